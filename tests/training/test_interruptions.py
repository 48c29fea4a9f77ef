"""Signals, killed processes and several processes on one store."""

from __future__ import annotations

import errno
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from small import BLOBS, run
from sweep import body, long_runs, short_runs

from losslab import training
from losslab.runs import NamedPart, Run, Store
from losslab.runs import store as storing
from losslab.runs.leases import Leases
from losslab.training.plan import Work
from losslab.training.pool import WorkerDied, run_pool
from losslab.training.work import Settings

HERE = Path(__file__).parent


def wait_for(what: Callable[[], object], seconds: float = 120.0) -> None:
    """Waits until ``what()`` is true."""
    end = time.monotonic() + seconds
    while not what():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def records(store: Store) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in (store.folder / "records").glob("??/*.json")}


def sweep(store: Store, *arguments: str) -> subprocess.Popen[str]:
    """Trains the sweep's runs in another process, in a group of its own."""
    command = [sys.executable, str(HERE / "sweep.py"), str(store.folder), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)


def alive(group: int) -> list[int]:
    """Processes of a group that have not ended."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[2]) == group and fields[0] not in "ZX":
            found.append(int(path.parent.name))
    return found


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_sigterm_stops_at_an_epoch_and_a_second_call_goes_on(tmp_path: Path, workers: int) -> None:
    runs, store, expected = long_runs(40), Store(tmp_path / "store"), Store(tmp_path / "whole")
    sent: list[int] = []

    def progress(state: training.Progress) -> None:
        if state.units_done > 0 and not sent:
            sent.append(1)
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    first = training.train(runs, store, device="cpu", workers=workers, progress=progress)
    assert signal.getsignal(signal.SIGTERM) is before
    assert sent and not first.complete
    assert len(list((store.folder / "checkpoints").glob("*.safetensors"))) >= 1
    assert not list((store.folder / "leases").glob("[0-9a-f]*"))
    second = training.train(runs, store, device="cpu", workers=1)
    assert second.complete
    assert sorted(second.trained + first.trained) == sorted(one.hash for one in runs)
    assert training.train(runs, expected, device="cpu", workers=1).complete
    for one in runs:
        assert body(store, one) == body(expected, one)


def test_a_second_signal_stops_at_once(tmp_path: Path) -> None:
    def progress(state: training.Progress) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a process in the background of a shell ignores it
    try:
        with pytest.raises(KeyboardInterrupt):
            training.train(long_runs(40), Store(tmp_path), device="cpu", workers=1, progress=progress)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_budget_that_is_spent_begins_nothing(tmp_path: Path) -> None:
    summary = training.train(short_runs(), Store(tmp_path), device="cpu", workers=1, budget=1e-9)
    assert len(summary.left) == len(short_runs())
    assert not summary.trained


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_cohort_retried(tmp_path: Path) -> None:
    runs, store = [*long_runs(30), *short_runs()], Store(tmp_path / "store")
    killed: list[int] = []

    def progress(state: training.Progress) -> None:
        if state.units_done > 0 and not killed:
            victim = multiprocessing.active_children()[0]
            assert victim.pid is not None
            killed.append(victim.pid)
            os.kill(victim.pid, signal.SIGKILL)

    summary = training.train(runs, store, device="cpu", workers=2, progress=progress)
    assert killed
    assert summary.complete
    assert sorted(summary.trained) == sorted(one.hash for one in runs)
    assert store.check() == (len(runs), [])
    assert not list((store.folder / "leases").glob("[0-9a-f]*"))


def test_a_disk_that_fills_up_while_records_are_written_costs_only_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs, fresh, store = long_runs(10), Store(tmp_path / "fresh"), Store(tmp_path / "store")
    assert training.train(runs, fresh, device="cpu", workers=1).complete
    write, written = storing.write_atomic, list[Path]()

    def full(path: Path, data: bytes) -> None:
        if len(written) == 1:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        written.append(path)
        write(path, data)

    monkeypatch.setattr(storing, "write_atomic", full)
    with pytest.raises(OSError, match="No space left"):
        training.train(runs, store, device="cpu", workers=1)
    monkeypatch.undo()
    assert store.check() == (1, []), "what was written before stays, and nothing is half written"
    assert not list((store.folder / "leases").glob("[0-9a-f]*"))
    again = training.train(runs, store, device="cpu", workers=1)
    assert again.complete and len(again.found) == 1 and len(again.trained) == len(runs) - 1
    assert [body(store, one) for one in runs] == [body(fresh, one) for one in runs]


def test_a_worker_that_dies_twice_on_a_cohort_and_one_that_fails_are_errors(tmp_path: Path) -> None:
    settings = Settings(str(tmp_path / "store"), "cpu")
    bad = run("ce", data=BLOBS, model=NamedPart(name="no such network"))

    def pool(runs: Sequence[Run], tick: Callable[[float], None]) -> None:
        run_pool([Work(tuple(runs), 1.0)], settings, 1, tick, lambda report: None, lambda: False)

    with pytest.raises(RuntimeError, match="no such network"):
        pool([bad], lambda units: None)
    ended = threading.Event()

    def kill_all() -> None:
        while not ended.wait(0.05):
            for child in multiprocessing.active_children():
                if child.is_alive() and child.pid is not None:
                    os.kill(child.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill_all)
    killer.start()
    try:
        with pytest.raises(WorkerDied, match="exit code -9"):
            pool(short_runs(), lambda units: None)
    finally:
        ended.set()
        killer.join()


@pytest.mark.slow
def test_kill_9_in_the_middle_of_a_sweep_costs_only_the_unfinished_runs(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), [*long_runs(150), *short_runs()]
    process = sweep(store, "--workers", "2", "--long", "150")
    try:
        wait_for(lambda: records(store) or process.poll() is not None)
        process.kill()
        process.wait()
        finished = records(store)
        assert finished
        assert len(finished) < len(runs)
        wait_for(lambda: not alive(process.pid))  # the workers see that nobody is there to report to
    finally:
        if alive(process.pid):
            os.killpg(process.pid, signal.SIGKILL)
        if process.stdout:
            process.stdout.close()
    finished |= records(store)  # a worker may have finished one more
    assert Leases(store.folder).free([one.hash for one in runs]) == {one.hash for one in runs}
    (store.folder / "leases" / runs[0].hash).write_text(f"elsewhere {process.pid} 1\n")
    os.utime(store.folder / "leases" / runs[0].hash, (0, 0))
    summary = training.train(runs, store, device="cpu", workers=1)
    assert summary.complete
    assert sorted(summary.found) == sorted(finished)
    assert sorted(summary.trained) == sorted({one.hash for one in runs} - set(finished))
    now = records(store)
    assert all(now[key] == data for key, data in finished.items())
    assert store.check() == (len(runs), [])


@pytest.mark.slow
def test_two_processes_on_one_store_share_the_runs(tmp_path: Path) -> None:
    store, runs = Store(tmp_path / "store"), [*long_runs(60), *short_runs()]
    process = sweep(store, "--workers", "1", "--long", "60")
    try:
        wait_for(lambda: list((store.folder / "leases").glob("[0-9a-f]*")) or process.poll() is not None)
        mine = training.train(runs, store, device="cpu", workers=1)
        output, _ = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0
    theirs = json.loads(output)
    assert mine.complete
    assert not theirs["left"]
    assert not set(mine.trained) & set(theirs["trained"])
    assert sorted([*mine.trained, *theirs["trained"]]) == sorted(one.hash for one in runs)
    assert store.check() == (len(runs), [])
