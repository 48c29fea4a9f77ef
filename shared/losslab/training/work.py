"""One piece of work: training a cohort and putting its records into the store, so that nothing finished is ever lost."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from losslab.runs import Record, Run, Store, fingerprint
from losslab.runs.leases import Leases
from losslab.training.checkpoint import Checkpoints
from losslab.training.cohort import Cohort, Options
from losslab.training.plan import Work
from losslab.training.provenance import provenance

log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Settings:
    """What every piece of work of one call shares; plain values, so that it can be sent to another process."""

    store: str
    device: str
    root: str | None = None
    deadline: float | None = None  # time.time() after which work stops at the next epoch
    keep_weights: frozenset[str] = frozenset()  # hashes of runs that others start from
    checkpoint_seconds: float = CHECKPOINT_SECONDS


@dataclass(frozen=True)
class Report:
    """How a piece of work ended."""

    trained: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()  # another process holds their lease
    stopped: tuple[str, ...] = ()  # checkpointed, to be continued


def _padded(runs: list[Run], device: torch.device, width: int) -> list[Run]:
    """A lone convolutional network is doubled on a CPU: a group of one would take another convolution kernel and round differently."""
    return runs * 2 if len(runs) == 1 and width > 1 and device.type == "cpu" else runs


def do(
    work: Work, settings: Settings, tick: Callable[[float], None], stop: Callable[[], bool], width: int = 16
) -> Report:
    """Trains one cohort. ``tick`` receives the share of the work done since the last call; ``stop`` is asked after every epoch.

    Out of memory halves the cohort. Records are written as soon as the cohort ends; long cohorts leave checkpoints.
    """
    store, leases = Store(settings.store), Leases(Store(settings.store).folder)
    wanted = {run.hash: run for run in work.runs}
    got = leases.take(wanted)
    try:
        still = {run.hash for run in store.missing([wanted[h] for h in got], need_weights=settings.keep_weights)}
        runs = [run for run in work.runs if run.hash in still]
        elsewhere = tuple(h for h in wanted if h not in got)
        if not runs:
            tick(1.0)
            return Report(elsewhere=elsewhere)
        report = _train(runs, store, settings, leases, tick, stop, width)
        return Report(report.trained, report.diverged, elsewhere, report.stopped)
    finally:
        leases.release(got)


def _train(
    runs: list[Run],
    store: Store,
    settings: Settings,
    leases: Leases,
    tick: Callable[[float], None],
    stop: Callable[[], bool],
    width: int,
) -> Report:
    try:
        return _train_once(runs, store, settings, leases, tick, stop, width)
    except torch.OutOfMemoryError:
        if len(runs) == 1:
            raise
        log.warning("out of memory with %d runs at once; going on with two halves", len(runs))
        torch.cuda.empty_cache()
    half = len(runs) // 2
    parts = [
        _train(part, store, settings, leases, lambda x: tick(x / 2), stop, width) for part in (runs[:half], runs[half:])
    ]
    return Report(
        *(sum((getattr(part, name) for part in parts), ()) for name in ("trained", "diverged", "elsewhere", "stopped"))
    )


def _train_once(
    runs: list[Run],
    store: Store,
    settings: Settings,
    leases: Leases,
    tick: Callable[[float], None],
    stop: Callable[[], bool],
    width: int,
) -> Report:
    started = time.perf_counter()
    device = torch.device(settings.device)
    codes = {run.hash: fingerprint(run) for run in runs}
    parents = {}
    for run in runs:
        if run.parent is not None:
            weights = store.weights(run.parent)
            if weights is None:
                raise RuntimeError(f"the parent {run.parent.hash} of run {run.hash} has no weights in the store")
            parents[run.parent.hash] = weights
    convolutional = _padded(runs, device, width)
    cohort = Cohort(
        convolutional if len(runs) == 1 else runs,
        Options(device, settings.root, 128 if device.type == "cpu" else 2048, parents),
    )
    if len(cohort.runs) > len(runs) and not cohort.network.convolutional:
        cohort = Cohort(runs, cohort.options)
    checkpoints = Checkpoints(store.folder)
    checkpoints.restore(cohort, codes)
    epochs, saved = cohort.recipe.epochs, time.monotonic()
    share = 1.0 / max(1, epochs - cohort.epoch)
    hashes = tuple(run.hash for run in runs)
    for epoch_ended in cohort.work():
        if not epoch_ended:
            continue
        tick(share)
        leases.touch()
        if cohort.epoch == epochs:
            break
        late = settings.deadline is not None and time.time() > settings.deadline
        if late or stop():
            checkpoints.save(cohort, codes)
            return Report(stopped=hashes)
        if time.monotonic() - saved > settings.checkpoint_seconds:
            checkpoints.save(cohort, codes)
            saved = time.monotonic()
    outcomes = {outcome.run.hash: outcome for outcome in cohort.outcomes()}
    seconds = (time.perf_counter() - started) / len(runs)
    facts = provenance(device, cohort.recipe.precision)
    for outcome in outcomes.values():
        run, broken = outcome.run, outcome.diverged_at
        final = outcome.final if broken is None else {**outcome.final, "diverged_epoch": broken}
        cost = {"seconds": seconds, "cohort": len(runs), "device": facts["device"]}
        status = "done" if broken is None else "diverged"
        record = Record(run, codes[run.hash], status, outcome.curves, final, cost, facts, outcome.digests)  # type: ignore[arg-type]
        store.put(record, outcome.weights if run.hash in settings.keep_weights else None)
        checkpoints.remove(run.hash)
    diverged = tuple(h for h, outcome in outcomes.items() if outcome.diverged_at is not None)
    return Report(tuple(h for h in hashes if h not in diverged), diverged)


def parent_alive(pid: int) -> bool:
    """Whether the process that started this one still runs."""
    return os.getppid() == pid
