"""(a) Trainings per minute on the digits, against a plain loop and against per-image transforms; (c) share of the matmul peak."""

from __future__ import annotations

import statistics

import torch

from benchmarks.common import Trainer, chunks, epoch_flops, interleaved, matmul, medians, options, ratios, runs, save
from benchmarks.plain import Plain, official

EPOCHS = {"mlp": 60, "cnn_small": 50}  # of one training, for the runs per minute
PLAIN, OFFICIAL, PEAK = "plain loop (DataLoader)", "official style (PIL per image)", "matmul peak"


def main() -> None:
    """Measures and writes."""
    given = options(
        "Trainings per minute on the digits: M at once, against one at a time",
        rounds=5,
        models="mlp,cnn_small",
        lanes=4,
    )
    device = given.device
    widths = (1, 8, 16, 32) if device.type == "cpu" else (1, 8, 32, 128)
    tables = {}
    for model in given.models.split(","):
        (one,) = runs(1, model=model)
        cases = {PEAK: matmul(device, torch.float32), PLAIN: Plain(one, device, official=False).epoch}
        if style := official(one, device):
            cases[OFFICIAL] = style.epoch
        for m in widths:
            cases[f"engine, M = {m}"] = Trainer([runs(m, model=model)], device).epochs
        if device.type == "cuda":
            groups = chunks(runs(widths[-1] * given.lanes, model=model), given.lanes)
            cases[f"engine, {given.lanes} cohorts of {widths[-1]}"] = Trainer(groups, device).epochs
        rates = interleaved(cases, given.rounds, device)
        peak, flops = rates.pop(PEAK), epoch_flops(one)
        plain, old = ratios(rates, PLAIN), ratios(rates, OFFICIAL) if OFFICIAL in rates else {}
        tables[f"{model} on the digits, {'one core' if device.type == 'cpu' else 'GPU'}"] = [
            {
                "how": name,
                "ms per run and epoch": 1000 / rate,
                "runs per minute": 60 * rate / EPOCHS[model],
                "x plain": plain[name],
                "x official": old.get(name),
                "% of float32 peak": statistics.median(
                    100 * flops * r / p for r, p in zip(rates[name], peak, strict=True)
                ),
            }
            for name, rate in medians(rates).items()
        ]
    save("throughput", given, tables, epochs=EPOCHS)


if __name__ == "__main__":
    main()
