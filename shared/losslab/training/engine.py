"""`train`: from a list of runs to a store that holds their records."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import torch

from losslab.errors import InputError
from losslab.runs import Run, Store, fingerprint
from losslab.training.allocator import keep_memory
from losslab.training.check import check
from losslab.training.checkpoint import Checkpoints
from losslab.training.cluster import run_cluster
from losslab.training.cost import BIG, macs, units
from losslab.training.graphs import take_turns
from losslab.training.launch import launched
from losslab.training.plan import CPU_WIDTH, Work, cohorts
from losslab.training.pool import run_pool
from losslab.training.probes import CURVES, Wanted, check_probes, probe_curves
from losslab.training.work import Report, Settings, Task

POOL_SECONDS = 6.0  # work shorter than this is not worth starting processes for
CLUSTER_PIECES = 16  # pieces into which work is cut for a cluster whose size is not known
GPU_LANES = 4  # cohorts that share a GPU, each on its own stream
UNITS_PER_SECOND = 8e10  # rough speed of one CPU core, for that decision only


@dataclass
class Progress:
    """What is done, of how much."""

    runs_done: int
    runs_total: int
    units_done: float
    units_total: float
    message: str = ""

    @property
    def share(self) -> float:
        """Share of the work done, in [0, 1]."""
        return min(1.0, self.units_done / self.units_total) if self.units_total else 1.0


@dataclass
class Summary:
    """How a call of `train` ended. All fields hold run hashes."""

    found: list[str] = field(default_factory=list)
    trained: list[str] = field(default_factory=list)
    diverged: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def complete(self) -> bool:
        """Whether every requested run has a record."""
        return not self.left


@dataclass
class Plan:
    """What would be trained: parents before the runs that start from them."""

    found: list[Run]
    stages: list[list[Run]]
    keep_weights: frozenset[str]

    @property
    def runs(self) -> list[Run]:
        """All runs to train."""
        return [run for stage in self.stages for run in stage]


def plan(runs: Sequence[Run], store: Store, probes: Wanted | None = None) -> Plan:
    """Which of ``runs``, and which parents of theirs, have to be trained."""
    asked = dict(probes or {})
    keep = {key for key, names in asked.items() if "weights" in names}
    keep |= {run.parent.hash for run in runs if run.parent is not None}
    curves = {key: probe_curves(names) for key, names in asked.items()}
    wanted = frozenset(key for key, names in asked.items() if "weights" in names)
    todo = {run.hash: run for run in store.missing(runs, need_weights=wanted, need_curves=curves)}
    found = [run for key, run in {run.hash: run for run in runs}.items() if key not in todo]
    level = list(todo.values())
    while parents := {run.parent.hash: run.parent for run in level if run.parent is not None}:
        keep |= set(parents)
        level = store.missing(parents.values(), need_weights=frozenset(parents))
        todo |= {run.hash: run for run in level}

    def depth(run: Run) -> int:
        return 0 if run.parent is None else 1 + depth(run.parent)

    stages: dict[int, list[Run]] = {}
    for run in todo.values():
        stages.setdefault(depth(run), []).append(run)
    return Plan(found, [stages[d] for d in sorted(stages)], frozenset(keep))


def _recorded(runs: Sequence[Run], store: Store, probes: dict[str, frozenset[str]]) -> frozenset[str]:
    """Recordings that a record has already, beside those that are asked for now: a run made anew keeps them.

    Adds probes to ``probes``; returns the hashes of the runs with weights.
    """
    weighty = set()
    for run in runs:
        record = store.get(run)
        if record is not None:
            had = frozenset(name for name, curves in CURVES.items() if curves and set(curves) <= set(record.curves))
            if had:
                probes[run.hash] = probes.get(run.hash, frozenset()) | had
            if record.weights is not None:
                weighty.add(run.hash)
    return frozenset(weighty)


def resolve_device(device: str) -> str:
    """ "auto" to "cuda" where there is one, else "cpu". Raises InputError for a device that is not there."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device.startswith("cuda") and not torch.cuda.is_available():
        raise InputError(
            f"device {device!r} was asked for, but torch {torch.__version__} sees no CUDA device; use device: auto or cpu"
        )
    if device.split(":")[0] not in ("cpu", "cuda"):
        raise InputError(f"unknown device {device!r}; allowed: auto, cpu, cuda, cuda:N")
    return device


@contextmanager
def _graceful() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM ask for a stop at the next epoch; a second one stops at once. Only the main thread can do this."""
    asked = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield asked.is_set
        return
    before = {s: signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)}

    def ask(number: int, frame: object) -> None:
        if asked.is_set():
            raise KeyboardInterrupt
        asked.set()

    for s in before:
        signal.signal(s, ask)
    try:
        yield asked.is_set
    finally:
        for s, handler in before.items():
            signal.signal(s, handler)


def train(
    runs: Sequence[Run],
    store: Store,
    *,
    device: str = "auto",
    workers: int | None = None,
    root: str | Path | None = None,
    probes: Wanted | None = None,
    dask: str | None = None,
    budget: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Summary:
    """Trains what the store lacks of ``runs`` (and of the runs that they start from).

    In processes that `torchrun` started, every run is shared by all of them, see `losslab.training.ddp`.

    Args:
        runs: any runs; equal ones are trained once.
        store: where the records go. Other processes may work on the same store.
        device: "auto", "cpu", "cuda" or "cuda:N".
        workers: processes on a CPU (None: one per core where the work is worth it), cohorts at a time on a GPU
            (None: 4). The numbers do not depend on it.
        probes: extra recordings by run hash, see `losslab.training.probes`; a record without them is made anew.
        dask: address of a Dask scheduler, to train there instead of in local processes.
        root: folder of the data sets; None: the default one.
        budget: seconds after which no new epoch is begun; unfinished runs leave checkpoints.
        progress: called with a `Progress` at most a few times a second.

    Raises InputError for bad input before any work starts. The records do not depend on cohorts, workers or interruptions.
    """
    started = time.time()
    where, data_root = resolve_device(device), None if root is None else str(root)
    if workers is not None and workers < 1:
        raise InputError(f"workers must be at least 1, not {workers}")
    if budget is not None and budget <= 0:
        raise InputError(f"the budget must be positive, not {budget:g} seconds")
    for names in (probes or {}).values():
        check_probes(names)
    together = launched()
    if together and (dask is not None or workers is not None):
        raise InputError("torchrun's processes train every run together; leave out workers and the Dask cluster")
    planned, wanted = plan(runs, store, probes), dict(probes or {})
    if together:
        from losslab.training import ddp

        where = ddp.join(where)
        planned = ddp.agreed(planned)
    keep = planned.keep_weights | _recorded(planned.runs, store, wanted)
    check(planned.runs, data_root)
    summary = Summary(found=[run.hash for run in planned.found])
    state = Progress(0, len(planned.runs), 0.0, sum(units(run, data_root) for run in planned.runs))
    deadline = None if budget is None else started + budget
    settings = Settings(str(store.folder), where, data_root, deadline, keep, wanted)

    def tick(done: float) -> None:
        state.units_done += done
        if progress is not None:
            progress(state)

    def note(report: Report) -> None:
        summary.trained += report.trained
        summary.diverged += report.diverged
        state.runs_done += len(report.trained) + len(report.diverged)
        if progress is not None:
            progress(state)

    with _graceful() as stop:
        for stage in planned.stages:
            if together:
                ddp.run_together(stage, settings, lambda run: units(run, data_root), tick, note, stop)
                continue
            _stage(stage, store, settings, workers, dask, tick, note, stop)
            if stop() or (deadline is not None and time.time() > deadline):
                break
    if together:
        ddp.leave()
    summary.left = [run.hash for run in settings.missing(store, planned.runs)]
    summary.seconds = time.time() - started
    return summary


def _stage(
    stage: list[Run],
    store: Store,
    settings: Settings,
    workers: int | None,
    dask: str | None,
    tick: Callable[[float], None],
    note: Callable[[Report], None],
    stop: Callable[[], bool],
) -> None:
    """Trains runs that do not depend on each other; waits for those that another process is training."""
    checkpoints = Checkpoints(store.folder)
    begun = {run.hash: checkpoints.epoch(run.hash, fingerprint(run)) for run in stage}
    count = workers or (CLUSTER_PIECES if dask else os.cpu_count() or 1)
    on_cpu = settings.device == "cpu"
    works = cohorts(
        stage,
        workers=count if on_cpu else 1,
        width=lambda run: _width(run, settings),
        cost=lambda run: units(run, settings.root),
        start=lambda run: begun[run.hash],
    )
    pooled = on_cpu and count > 1 and len(works) > 1 and (workers is not None or _seconds(works) > POOL_SECONDS)
    waiting: set[str] = set()

    def done(report: Report) -> None:
        waiting.update(report.elsewhere)
        note(report)

    if dask is not None:
        run_cluster(works, settings, dask, tick, done, stop)
    elif pooled:
        run_pool(works, settings, count, tick, done, stop)
    elif on_cpu:
        keep_memory()
        with _threads(1 if all(macs(w.runs[0], settings.root) < BIG for w in works) else None):
            _in_process(works, settings, 1, tick, done, stop)
    else:
        _in_process(works, settings, min(workers or GPU_LANES, len(works)), tick, done, stop)
    if waiting:
        _wait([run for run in stage if run.hash in waiting], store, settings, workers, dask, tick, note, stop)


def _in_process(
    works: Sequence[Work],
    settings: Settings,
    lanes: int,
    tick: Callable[[float], None],
    done: Callable[[Report], None],
    stop: Callable[[], bool],
) -> None:
    """Trains works in this process: one after the other on a CPU; on a GPU several at a time, each on its own stream."""
    queue = list(works)

    def lane() -> Iterator[None]:
        while queue and not stop() and not (settings.deadline is not None and time.time() > settings.deadline):
            work = queue.pop(0)
            task = Task(work, settings, lambda share, work=work: tick(share * work.units), stop, lanes=lanes)  # type: ignore[misc]
            yield from task.run()
            done(task.report)

    if settings.device == "cpu":
        for _ in lane():
            pass
        return
    with torch.cuda.device(torch.device(settings.device)):
        take_turns([lane() for _ in range(lanes)], [torch.cuda.Stream() for _ in range(lanes)])
        torch.cuda.synchronize()


def _wait(
    runs: list[Run],
    store: Store,
    settings: Settings,
    workers: int | None,
    dask: str | None,
    tick: Callable[[float], None],
    note: Callable[[Report], None],
    stop: Callable[[], bool],
) -> None:
    """Waits until other processes have finished ``runs``; takes over what they leave behind."""
    while not stop() and (settings.deadline is None or time.time() < settings.deadline):
        time.sleep(1.0)
        left = settings.missing(store, runs)
        if not left:
            return
        from losslab.runs.leases import Leases

        free = Leases(store.folder).free(run.hash for run in left)
        if free:
            _stage([run for run in left if run.hash in free], store, settings, workers, dask, tick, note, stop)


def _width(run: Run, settings: Settings) -> int:
    if settings.device == "cpu":
        return 1 if macs(run, settings.root) >= BIG else CPU_WIDTH
    return 64 if macs(run, settings.root) < BIG else 1


def _seconds(works: Sequence[Work]) -> float:
    return sum(work.units for work in works) / UNITS_PER_SECOND


@contextmanager
def _threads(count: int | None) -> Iterator[None]:
    before = torch.get_num_threads()
    if count is not None:
        torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
