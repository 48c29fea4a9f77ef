"""(b, c) Images per second of the papers' networks on 28x28 and 32x32x3, against the official way, and the share of the peak."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.common import Trainer, interleaved, matmul, medians, options, ratios, runs, save, synthetic
from benchmarks.plain import official
from losslab.training.cost import macs

SHAPES = {"cnn4": (1, 28, 28), "cnn8": (3, 32, 32), "resnet34": (3, 32, 32)}
BATCH = 128
EVALUATED = 10  # test images: the other side only trains, so that next to nothing is evaluated here
DTYPES = {"float32": torch.float32, "bf16": torch.bfloat16}
OFFICIAL = "official way (PIL per image, float32)"


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
    torch.backends.cudnn.benchmark = not cpu
    tables: dict[str, list[dict[str, Any]]] = {}
    for model in given.models.split(","):
        batches = given.batches or ({"cnn4": 8}.get(model, 2) if cpu else 100)
        count = batches * BATCH
        name = synthetic(f"images-{model}", SHAPES[model], count, EVALUATED)
        shape = {"dataset": name, "model": model, "batch_size": BATCH, "lr": 0.01, "clip_norm": 5.0}
        (one,) = runs(1, **shape)
        flops = 6 * macs(one, None)  # forward and backward, multiply and add counted apart
        precisions = given.precisions.split(",")
        cases = {f"peak {precision}": matmul(device, DTYPES[precision]) for precision in precisions}
        peak_of: dict[str, str] = {}
        if style := official(one, device, augment=model != "cnn4", workers=given.workers):
            cases[OFFICIAL] = lambda style=style, n=batches: style.steps(n)  # type: ignore[misc]
            peak_of[OFFICIAL] = "peak float32"
        for precision in precisions:
            for width in map(int, given.widths.split(",")):
                for lanes in (1,) if cpu else map(int, given.lanes.split(",")):
                    trainer = Trainer([runs(width, **shape, precision=precision) for _ in range(lanes)], device)
                    label = f"engine, {precision}, M = {width}" + ("" if cpu else f", {lanes} at a time")
                    cases[label] = _images(trainer, count)
                    peak_of[label] = f"peak {precision}"
        rates = interleaved(cases, given.rounds, device)
        gains = ratios(rates, OFFICIAL) if OFFICIAL in rates else {}
        found = medians(rates)
        tables[f"{model}, batch {BATCH}, {flops / 1e6:.1f} MFLOP per image"] = [
            {
                "how": label,
                "images/s": found[label],
                "x official": gains.get(label),
                "GFLOP/s": found[label] * flops / 1e9,
                "% of peak": _share(rates[label], rates.get(peak), flops),
            }
            for label, peak in peak_of.items()
        ]
        tables[f"matmul peak beside {model}"] = [
            {"precision": precision, "GFLOP/s": found[f"peak {precision}"] / 1e9} for precision in precisions
        ]
    save("images", given, tables, note=f"training steps; the engine also evaluates {EVALUATED} images per epoch")


def _images(trainer: Trainer, count: int) -> Callable[[], float]:
    return lambda: count * trainer.epochs()


def _share(rates: list[float], peaks: list[float] | None, flops: float) -> float | None:
    if peaks is None:
        return None
    return statistics.median(100 * flops * rate / peak for rate, peak in zip(rates, peaks, strict=True))


if __name__ == "__main__":
    main()
