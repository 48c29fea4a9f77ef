"""An interrupted training continues where it was, and ends with the numbers that it would have had."""

from __future__ import annotations

import errno
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from small import BLOBS, FEW_DIGITS, run

from losslab.runs import NamedPart, Run, Store, fingerprint
from losslab.training import checkpoint as module
from losslab.training import work as working
from losslab.training.checkpoint import Checkpoints
from losslab.training.plan import Work
from losslab.training.work import Report, Settings, Task

EPOCHS = 6
FAST = {"precision": "float32", "epochs": EPOCHS, "batch_size": 32}


def mixed(model: str = "mlp") -> list[Run]:
    """Runs with every kind of memory: momentum, the best network, sample memories, drawn labels, a growing penalty."""
    pruning = {**FAST, "refresh_start": 1, "refresh_every": 2, "lr": 0.1}
    common: dict[str, Any] = {
        "recipe": FAST,
        "data": FEW_DIGITS if model == "cnn_small" else BLOBS,
        "model": NamedPart(name=model),
    }
    pruned = {**common, "recipe": pruning}
    return [
        run("ce", **common),
        run("elr", **common),
        run("nlnl", **common),
        run("truncated_gce", {"k": 0.35}, **pruned),
        run("ce", regulariser=NamedPart(name="sparse", params={"rho": 1.5}), **common),
    ]


def adam() -> list[Run]:
    return [run("gce", data=BLOBS, seed=i, recipe={**FAST, "optimizer": "adam", "lr": 0.01}) for i in range(2)]


def settings(store: Store, runs: Sequence[Run]) -> Settings:
    return Settings(str(store.folder), "cpu", keep_weights=frozenset(one.hash for one in runs))


def begin(store: Store, runs: Sequence[Run], epochs: int, stop: bool = True, every: float = 1e9) -> Report:
    """Trains ``runs`` as one cohort and ends after ``epochs``: asked to (``stop``), or as if killed."""
    asked = settings(store, runs)
    ticks: list[float] = []
    given = replace(asked, checkpoint_seconds=every)
    task = Task(Work(tuple(runs), 1.0), given, ticks.append, lambda: stop and len(ticks) >= epochs)
    for _ in task.run():
        if len(ticks) >= epochs and not stop:
            break
    return task.report


def finish(store: Store, runs: Sequence[Run], epochs: int) -> None:
    """Trains ``runs`` to their end, which must take that many epochs."""
    ticks: list[float] = []
    task = Task(Work(tuple(runs), 1.0), settings(store, runs), ticks.append, lambda: False)
    for _ in task.run():
        pass
    assert sorted(task.report.trained) == sorted(one.hash for one in runs)
    assert len(ticks) == epochs
    assert sum(ticks) == pytest.approx(1.0)
    left = {path.stem for path in (store.folder / "checkpoints").glob("*")}
    assert not left & {one.hash for one in runs}


def body(store: Store, one: Run) -> str:
    record = store.get(one)
    assert record is not None
    content = json.loads(record.to_json())
    return json.dumps({k: v for k, v in content.items() if k not in ("cost", "provenance", "checksum")}, sort_keys=True)


@pytest.fixture
def whole(tmp_path: Path) -> Callable[[Sequence[Run]], Store]:
    """A store with the same runs, trained without interruption."""

    def trained(runs: Sequence[Run]) -> Store:
        store = Store(tmp_path / "whole")
        finish(store, runs, EPOCHS)
        return store

    return trained


def check_same(store: Store, expected: Store, runs: Sequence[Run]) -> None:
    for one in runs:
        assert body(store, one) == body(expected, one), one.label()
        mine, theirs = store.weights(one), expected.weights(one)
        assert mine is not None and theirs is not None
        assert all(torch.equal(mine[name], value) for name, value in theirs.items())


@pytest.mark.parametrize("case", ["mlp", "mlp_bn", "cnn_small", "adam"])
def test_a_stopped_training_goes_on(tmp_path: Path, whole: Callable[[Sequence[Run]], Store], case: str) -> None:
    runs = adam() if case == "adam" else mixed(case)
    store = Store(tmp_path / "store")
    first = begin(store, runs, 2)
    assert sorted(first.stopped) == sorted(one.hash for one in runs)
    assert not first.trained
    second = begin(store, list(reversed(runs)), 3)
    assert len(second.stopped) == len(runs)
    finish(store, runs, EPOCHS - 5)
    check_same(store, whole(runs), runs)


def test_runs_go_on_in_other_company(tmp_path: Path, whole: Callable[[Sequence[Run]], Store]) -> None:
    runs = mixed()
    store = Store(tmp_path / "store")
    begin(store, runs[:2], 2)
    begin(store, runs[2:], 2)
    begin(store, [runs[0], runs[3]], 2)
    finish(store, [runs[0], runs[3]], EPOCHS - 4)
    finish(store, [runs[1], runs[4], runs[2]], EPOCHS - 2)
    check_same(store, whole(runs), runs)


def test_runs_that_stand_at_different_epochs_go_on_each_from_its_own(
    tmp_path: Path, whole: Callable[[Sequence[Run]], Store]
) -> None:
    runs = mixed()
    store = Store(tmp_path / "store")
    begin(store, runs, 2)
    begin(store, runs[:2], 2)
    finish(store, runs, (EPOCHS - 4) + (EPOCHS - 2))
    check_same(store, whole(runs), runs)


def test_a_killed_training_loses_what_came_after_the_checkpoint(
    tmp_path: Path, whole: Callable[[Sequence[Run]], Store]
) -> None:
    runs = mixed()
    store = Store(tmp_path / "store")
    begin(store, runs, 3, stop=False, every=-1.0)  # a checkpoint after every epoch
    finish(store, runs, EPOCHS - 3)
    check_same(store, whole(runs), runs)


def test_a_deadline_stops_at_the_end_of_an_epoch(tmp_path: Path) -> None:
    runs = adam()
    store = Store(tmp_path / "store")
    late = replace(settings(store, runs), deadline=time.time() - 1)
    task = Task(Work(tuple(runs), 1.0), late, lambda share: None, lambda: False)
    for _ in task.run():
        pytest.fail("went on")
    assert len(task.report.stopped) == 2
    finish(store, runs, EPOCHS - 1)


def spoil(store: Store, one: Run, how: Callable[[bytes], bytes]) -> None:
    path = store.folder / "checkpoints" / f"{one.hash}.safetensors"
    data = path.read_bytes()
    assert how(data) != data
    path.write_bytes(how(data))


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "cut": lambda data: data[: len(data) // 2],
    "cut by one": lambda data: data[:-1],
    "zeros": lambda data: bytes(len(data)),
    "text": lambda data: b"not a checkpoint at all",
    "a flipped bit in the header": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
    "a flipped bit in a weight": lambda data: data[:-200] + bytes([data[-200] ^ 1]) + data[-199:],
    "a huge header": lambda data: b"\xff" * 8 + data[8:],
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_checkpoint_is_ignored(tmp_path: Path, kind: str) -> None:
    runs = adam()
    store = Store(tmp_path / "store")
    begin(store, runs, 2)
    spoil(store, runs[0], DAMAGE[kind])
    codes = [fingerprint(one) for one in runs]
    found = [Checkpoints(store.folder).epoch(one.hash, code) for one, code in zip(runs, codes, strict=True)]
    assert found == [0, 2]
    finish(store, runs, EPOCHS + EPOCHS - 2)
    check_same(store, _fresh(tmp_path, runs), runs)


def _fresh(tmp_path: Path, runs: Sequence[Run]) -> Store:
    store = Store(tmp_path / "fresh")
    finish(store, runs, EPOCHS)
    return store


def test_a_checkpoint_of_other_code_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runs = adam()
    store = Store(tmp_path / "store")
    begin(store, runs, 2)
    monkeypatch.setattr(working, "fingerprint", lambda one: "0123456789abcdef")
    checkpoints = Checkpoints(store.folder)
    assert checkpoints.epoch(runs[0].hash, "0123456789abcdef") == 0
    assert checkpoints.epoch(runs[0].hash, fingerprint(runs[0])) == 2
    ticks: list[float] = []
    for _ in Task(Work(tuple(runs), 1.0), settings(store, runs), ticks.append, lambda: False).run():
        pass
    assert len(ticks) == EPOCHS


def test_every_byte_of_a_checkpoint_counts(tmp_path: Path) -> None:
    (one,) = adam()[:1]
    store = Store(tmp_path / "store")
    begin(store, [one], 1)
    path = store.folder / "checkpoints" / f"{one.hash}.safetensors"
    data, code = path.read_bytes(), fingerprint(one)
    checkpoints = Checkpoints(store.folder)
    assert checkpoints.epoch(one.hash, code) == 1
    places = [*range(0, 4000, 97), *range(4000, len(data), len(data) // 40)]
    for place in places:
        path.write_bytes(data[:place] + bytes([data[place] ^ 8]) + data[place + 1 :])
        assert checkpoints.epoch(one.hash, code) == 0, place


def test_a_full_disk_costs_the_checkpoint_and_not_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = adam()
    store = Store(tmp_path / "store")

    def full(path: Path, data: bytes) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_atomic", full)
    with caplog.at_level(logging.WARNING):
        report = begin(store, runs, EPOCHS + 1, every=-1.0)
    assert len(report.trained) == 2
    assert "No space left" in caplog.text
    check_same(store, _fresh(tmp_path, runs), runs)


def test_out_of_memory_halves_the_cohort(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    runs = mixed()
    expected = _fresh(tmp_path, runs)
    sizes: list[int] = []

    class Narrow(working.Cohort):
        def __init__(self, members: Sequence[Run], options: working.Options) -> None:
            sizes.append(len(members))
            super().__init__(members, options)

        def begin_epoch(self) -> None:
            if len(self.runs) > 2 and self.epoch == 1:
                raise torch.OutOfMemoryError("too wide")
            super().begin_epoch()

    monkeypatch.setattr(working, "Cohort", Narrow)
    store, ticks = Store(tmp_path / "store"), list[float]()
    task = Task(Work(tuple(runs), 1.0), settings(store, runs), ticks.append, lambda: False)
    with caplog.at_level(logging.WARNING):
        for _ in task.run():
            pass
    assert len(task.report.trained) == 5
    assert sizes == [5, 2, 3, 1, 2]
    assert "out of memory with 5 runs" in caplog.text
    check_same(store, expected, runs)


def test_a_single_run_that_does_not_fit_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Huge(working.Cohort):
        def begin_epoch(self) -> None:
            raise torch.OutOfMemoryError("too large")

    monkeypatch.setattr(working, "Cohort", Huge)
    (one,) = adam()[:1]
    store = Store(tmp_path / "store")
    with pytest.raises(torch.OutOfMemoryError):
        begin(store, [one], 1)
    assert not list((store.folder / "leases").glob("[0-9a-f]*"))
