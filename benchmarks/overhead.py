"""(e) What record keeping and checkpoints cost."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.common import clock, cohort, interleaved, medians, options, ratios, runs, save
from losslab.runs import Run, Store, fingerprint
from losslab.training.checkpoint import Checkpoints
from losslab.training.plan import Work
from losslab.training.work import CHECKPOINT_SECONDS, Settings, Task


def _bare(members: list[Run], device: Any) -> float:
    one = cohort(members, device)
    for _ in one.work():
        pass
    one.outcomes()
    return float(len(members))


def _kept(members: list[Run], device: Any, every: float) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        settings = Settings(folder, str(device), keep_weights=frozenset(), checkpoint_seconds=every)
        task = Task(Work(tuple(members), 1.0), settings, lambda share: None, lambda: False)
        for _ in task.run():
            pass
        assert not store.missing(members)
    return float(len(members))


def _seconds(work: Any, repeats: int = 5) -> float:
    """Wall time of one call: writing waits for the disk."""
    took = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        took.append(time.perf_counter() - began)
    return sorted(took)[repeats // 2]


def main() -> None:
    """Measures and writes."""
    given = options("Overhead of the store and of checkpoints", rounds=7, width=16, epochs=60)
    members = runs(given.width, epochs=given.epochs)
    cases = {
        "training alone": lambda: _bare(members, given.device),
        "with leases, records": lambda: _kept(members, given.device, 1e9),
        "with a checkpoint after every epoch": lambda: _kept(members, given.device, -1.0),
    }
    wall = given.device.type == "cuda"
    rates = interleaved(
        cases, given.rounds, given.device, now=lambda: clock(given.device) if wall else time.process_time()
    )
    base = ratios(rates, "training alone")
    rows = [
        {"how": name, "runs per minute": 60 * rate, "% more time": 100 * (1 / base[name] - 1)}
        for name, rate in medians(rates).items()
    ]
    one = cohort(members, given.device)
    codes = {run.hash: fingerprint(run) for run in one.runs}
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder))
        saving = _seconds(lambda: checkpoints.save(one, codes))
        restoring = _seconds(lambda: checkpoints.restore(one, codes))
        _kept(members, given.device, 1e9)
        store = Store(folder)
        task = Task(Work(tuple(members), 1.0), Settings(folder, str(given.device)), lambda share: None, lambda: False)
        for _ in task.run():
            pass
        records = [store.get(run) for run in members]

        def put_all() -> None:
            for record in records:
                assert record is not None
                store.put(record)

        putting = _seconds(put_all)
        asking = _seconds(lambda: store.missing(members))
    parts = [
        {"what": f"checkpoint of {given.width} runs", "ms": 1000 * saving},
        {"what": f"{given.width} runs from their checkpoints", "ms": 1000 * restoring},
        {"what": "one record", "ms": 1000 * putting / given.width},
        {"what": "asking for one record", "ms": 1000 * asking / given.width},
    ]
    share = 100 * saving / CHECKPOINT_SECONDS
    name = f"{given.width} MLP runs of {given.epochs} epochs"
    save("overhead", given, {name: rows, "single steps, wall time": parts}, checkpoint_share_percent=share)


if __name__ == "__main__":
    main()
