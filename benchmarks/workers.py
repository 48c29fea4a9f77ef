"""(g) Two worker processes against one (on a GPU: cohorts at a time), wall time of whole sweeps, start-up included."""

from __future__ import annotations

import statistics
import tempfile
import time
from typing import Any

from benchmarks.common import options, runs, save
from losslab import training
from losslab.runs import Store


def main() -> None:
    """Measures and writes."""
    given = options(
        "Whole sweeps with one worker and with several", rounds=3, runs=180, epochs=60, workers="1,2", model="mlp"
    )
    members = runs(given.runs, model=given.model, epochs=given.epochs)
    took: dict[int, list[float]] = {int(count): [] for count in given.workers.split(",")}
    for _ in range(given.rounds):
        for count, seconds in took.items():
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                summary = training.train(members, Store(folder), device=str(given.device), workers=count)
                seconds.append(time.perf_counter() - began)
                if not summary.complete:
                    raise SystemExit("runs are left: were source files changed meanwhile?")
    first = next(iter(took.values()))
    rows: list[dict[str, Any]] = [
        {
            "workers": count,
            "seconds": statistics.median(seconds),
            "runs per minute": 60 * given.runs / statistics.median(seconds),
            "x one": statistics.median(a / b for a, b in zip(first, seconds, strict=True)),
        }
        for count, seconds in took.items()
    ]
    title = f"{given.runs} {given.model} runs of {given.epochs} epochs, wall time with start-up of the workers"
    save("workers", given, {title: rows})


if __name__ == "__main__":
    main()
