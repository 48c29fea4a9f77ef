"""(d) How the time of an epoch grows with M (networks), N (samples) and K (classes), and what memory a run takes."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.common import Trainer, interleaved, medians, options, runs, save, tensor_bytes

TIMES = {
    "M": ("networks at once", [1, 2, 4, 8, 16, 32, 64]),
    "N": ("training samples", [256, 512, 1024, 2048, 4096]),
    "K": ("classes", [2, 8, 32, 64]),
}


def main() -> None:
    """Measures and writes."""
    given = options("Growth with M, N and K; memory per run", rounds=3)
    tables: dict[str, list[dict[str, Any]]] = {}
    for axis, (words, values) in TIMES.items():
        trainers, memory = {}, {}
        for value in values:
            m = value if axis == "M" else 16
            shape = {"train": value if axis == "N" else 1024, "test": 512, "num_classes": value if axis == "K" else 10}
            before = tensor_bytes(given.device)
            if given.device.type == "cuda":
                torch.cuda.reset_peak_memory_stats(given.device)
                base = torch.cuda.memory_allocated(given.device)
            trainers[str(value)] = Trainer([runs(m, dataset="toy-blobs", options=shape)], given.device)
            trainers[str(value)].epochs()
            memory[str(value)] = (tensor_bytes(given.device) - before) / m
            if given.device.type == "cuda":
                memory[str(value)] = (torch.cuda.max_memory_allocated(given.device) - base) / m
        rates = interleaved({name: trainer.epochs for name, trainer in trainers.items()}, given.rounds, given.device)
        found = medians(rates)
        tables[f"{axis}: {words}"] = [
            {
                axis: int(name),
                "ms per epoch of the cohort": 1000 * trainers[name].runs / rate,
                "ms per run and epoch": 1000 / rate,
                "KB per run": memory[name] / 1024,
            }
            for name, rate in found.items()
        ]
    save("growth", given, tables, shape="MLP 128-128 on points in the plane; where not varied M = 16, N = 1024, K = 10")


if __name__ == "__main__":
    main()
