"""(b, c) Images per second of the papers' networks on 28x28 and 32x32x3, against the official way, and the share of the peak."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.common import Trainer, interleaved, medians, options, peak_flops, ratios, runs, save, synthetic
from benchmarks.plain import Plain
from losslab.training.cost import macs

SHAPES = {"cnn4": (1, 28, 28), "cnn8": (3, 32, 32), "resnet34": (3, 32, 32)}
BATCH = 128


def main() -> None:
    """Measures and writes."""
    given = options(
        "Images per second and share of the matmul peak",
        rounds=3,
        models="cnn4,cnn8",
        batches=0,
        lanes="1,4",
        widths="1",
        precisions="float32,bf16",
        workers=0,
    )
    device, cpu = given.device, given.device.type == "cpu"
    dtypes = {"float32": torch.float32, "bf16": torch.bfloat16}
    peaks = {name: peak_flops(device, dtypes[name]) for name in given.precisions.split(",")}
    if not cpu:
        torch.backends.cudnn.benchmark = True
    tables: dict[str, list[dict[str, Any]]] = {
        "matmul peak": [{"precision": name, "TFLOP/s": peak / 1e12} for name, peak in peaks.items()]
    }
    for model in given.models.split(","):
        batches = given.batches or ({"cnn4": 8}.get(model, 2) if cpu else 100)
        count = batches * BATCH
        name = synthetic(f"images-{model}", SHAPES[model], count, BATCH)
        shape = {"dataset": name, "model": model, "batch_size": BATCH, "lr": 0.01, "clip_norm": 5.0}
        (one,) = runs(1, **shape)
        flops = 6 * macs(one, None)  # forward and backward, multiply and add counted apart
        official = Plain(one, device, official=True, augment=model != "cnn4", workers=given.workers)
        cases = {"official way (PIL per image, float32)": lambda official=official, n=batches: official.steps(n)}
        precision_of = dict.fromkeys(cases, "float32")
        for precision in peaks:
            for width in map(int, given.widths.split(",")):
                for lanes in map(int, given.lanes.split(",")) if not cpu else (1,):
                    groups = [runs(width, **shape, precision=precision) for _ in range(lanes)]
                    trainer = Trainer(groups, device)
                    label = f"engine, {precision}" + ("" if cpu else f", {lanes} at a time") + f", M = {width}"
                    cases[label] = lambda trainer=trainer, n=count: n * trainer.epochs()
                    precision_of[label] = precision
        rates = interleaved(cases, given.rounds, device)
        gains = ratios(rates, next(iter(cases)))
        tables[f"{model}, batch {BATCH}, {flops / 1e6:.1f} MFLOP per image"] = [
            {
                "how": label,
                "images/s": rate,
                "x official": gains[label],
                "GFLOP/s": rate * flops / 1e9,
                "% of peak": 100 * rate * flops / peaks.get(precision_of[label], peaks[next(iter(peaks))]),
            }
            for label, rate in medians(rates).items()
        ]
    save("images", given, tables, note="the engine's numbers include an evaluation on one batch per epoch")


if __name__ == "__main__":
    main()
