"""One piece of work: training a cohort and putting its records into the store; nothing finished is ever lost."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import torch

from losslab.runs import Record, Run, Store, fingerprint
from losslab.runs.leases import Leases
from losslab.training.checkpoint import Checkpoints
from losslab.training.cohort import Cohort, Options
from losslab.training.cost import BIG, macs
from losslab.training.plan import Work
from losslab.training.probes import Wanted, probe_curves
from losslab.training.provenance import provenance
from losslab.training.state import Weights

log = logging.getLogger(__name__)
CHECKPOINT_SECONDS = 120.0


@dataclass(frozen=True)
class Settings:
    """What every piece of work of one call shares; plain values, so that it can be sent to another process."""

    store: str
    device: str
    root: str | None = None
    deadline: float | None = None  # time.time() after which work stops at the next epoch
    keep_weights: frozenset[str] = frozenset()  # hashes of runs that others start from, or whose weights are asked for
    probes: Wanted = field(default_factory=dict)
    checkpoint_seconds: float = CHECKPOINT_SECONDS

    def missing(self, store: Store, runs: Iterable[Run]) -> list[Run]:
        """What the store lacks of ``runs``, recordings that were asked for included."""
        curves = {key: probe_curves(names) for key, names in self.probes.items()}
        return store.missing(runs, need_weights=self.keep_weights, need_curves=curves)


@dataclass(frozen=True)
class Report:
    """How a piece of work ended."""

    trained: tuple[str, ...] = ()
    diverged: tuple[str, ...] = ()
    elsewhere: tuple[str, ...] = ()  # another process holds their lease
    stopped: tuple[str, ...] = ()  # checkpointed, to be continued


class Task:
    """Trains one cohort. ``run()`` yields after every epoch, so that several tasks can share a GPU; ``report`` says how it ended.

    Args:
        tick: receives the share of the work done since the last call.
        stop: asked after every epoch.
        width: widest cohort that the caller stacks on a CPU (a network that is never stacked is not doubled either).
        lanes: how many tasks share the device; the cost of a run is its share of the wall time.
    """

    def __init__(
        self,
        work: Work,
        settings: Settings,
        tick: Callable[[float], None],
        stop: Callable[[], bool],
        width: int = 16,
        lanes: int = 1,
    ) -> None:
        self.work, self.settings, self.tick, self.stop = work, settings, tick, stop
        self.width, self.lanes = width, lanes
        self.device = torch.device(settings.device)
        self.store = Store(settings.store)
        self.leases, self.checkpoints = Leases(self.store.folder), Checkpoints(self.store.folder)
        self.report = Report()

    def run(self) -> Iterator[None]:
        """Trains what is missing and not leased to others. Records are written as soon as the cohort ends."""
        wanted = {run.hash: run for run in self.work.runs}
        got = self.leases.take(wanted)
        try:
            mine = [run for key, run in wanted.items() if key in got]
            runs = self.settings.missing(self.store, mine)
            self._add(elsewhere=tuple(key for key in wanted if key not in got))
            for part in self._alike(runs):
                yield from self._halving(part, len(part) / len(runs))
            if not runs:
                self.tick(1.0)
        finally:
            self.leases.release(got)

    def _add(self, **parts: tuple[str, ...]) -> None:
        self.report = Report(
            **{name: getattr(self.report, name) + parts.get(name, ()) for name in Report.__annotations__}
        )

    def _alike(self, runs: list[Run]) -> list[list[Run]]:
        """Runs that go on from the same epoch: a process that dies while it writes checkpoints leaves some older than others."""
        parts: dict[int, list[Run]] = {}
        for run in runs:
            parts.setdefault(self.checkpoints.epoch(run.hash, fingerprint(run)), []).append(run)
        return list(parts.values())

    def _save(self, cohort: Cohort, codes: dict[str, str]) -> None:
        """Writes checkpoints; without them (a full disk) the training goes on, and only an interruption costs more."""
        try:
            self.checkpoints.save(cohort, codes)
        except OSError as error:
            log.warning("no checkpoint of %d runs: %s", len(codes), error)

    def _halving(self, runs: list[Run], share: float) -> Iterator[None]:
        """Trains a cohort; out of memory, its two halves one after the other."""
        try:
            yield from self._train(runs, share)
            return
        except torch.OutOfMemoryError:
            if len(runs) == 1:
                raise
            log.warning("out of memory with %d runs at once; going on with two halves", len(runs))
        torch.cuda.empty_cache()
        half = len(runs) // 2
        for part in (runs[:half], runs[half:]):
            yield from self._halving(part, share / 2)

    def _cohort(self, runs: list[Run]) -> Cohort:
        cuda = self.device.type == "cuda"
        parents = {run.parent.hash: self._parent(run.parent) for run in runs if run.parent is not None}
        options = Options(self.device, self.settings.root, 2048 if cuda else 128, cuda, parents, self.settings.probes)
        cohort = Cohort(runs, options)
        stacked = self.width > 1 and macs(runs[0], self.settings.root) < BIG
        if len(runs) == 1 and stacked and not cuda and cohort.network.convolutional:
            # A group of one would take another convolution kernel and round differently: a lone network is doubled.
            return Cohort(runs * 2, options)
        return cohort

    def _parent(self, parent: Run) -> Weights:
        weights = self.store.weights(parent)
        if weights is None:
            raise RuntimeError(
                f"run {parent.hash} ({parent.label()}), from which others start, has no weights in the store"
            )
        return weights

    def _train(self, runs: list[Run], share: float) -> Iterator[None]:
        started = saved = time.monotonic()
        codes = {run.hash: fingerprint(run) for run in runs}
        cohort = self._cohort(runs)
        self.checkpoints.restore(cohort, codes)
        share /= max(1, cohort.recipe.epochs - cohort.epoch)
        for epoch in cohort.work():
            self.tick(share)
            self.leases.touch()
            if epoch == cohort.recipe.epochs:
                break
            late = self.settings.deadline is not None and time.time() > self.settings.deadline
            if late or self.stop():
                self._save(cohort, codes)
                self._add(stopped=tuple(codes))
                return
            if time.monotonic() - saved > self.settings.checkpoint_seconds:
                self._save(cohort, codes)
                saved = time.monotonic()
            yield
        self._record(cohort, codes, (time.monotonic() - started) / len(runs) / self.lanes)

    def facts(self, cohort: Cohort) -> dict[str, Any]:
        """Where and with what the runs were trained."""
        return provenance(self.device, cohort.recipe.precision)

    def _record(self, cohort: Cohort, codes: dict[str, str], seconds: float) -> None:
        facts = self.facts(cohort)
        for outcome in {outcome.run.hash: outcome for outcome in cohort.outcomes()}.values():
            run, broken = outcome.run, outcome.diverged_at
            final = outcome.final if broken is None else {**outcome.final, "diverged_epoch": broken}
            cost = {"seconds": seconds, "cohort": len(codes), "lanes": self.lanes, "device": facts["device"]}
            status: Literal["done", "diverged"] = "done" if broken is None else "diverged"
            record = Record(run, codes[run.hash], status, outcome.curves, final, cost, facts, outcome.digests)
            self.store.put(record, outcome.weights if run.hash in self.settings.keep_weights else None)
            self.checkpoints.remove(run.hash)
            self._add(**{"trained" if broken is None else "diverged": (run.hash,)})


def do(
    work: Work, settings: Settings, tick: Callable[[float], None], stop: Callable[[], bool], width: int = 16
) -> Report:
    """Trains one cohort to its end, see `Task`."""
    task = Task(work, settings, tick, stop, width)
    for _ in task.run():
        pass
    return task.report


def parent_alive(pid: int) -> bool:
    """Whether the process that started this one still runs."""
    return os.getppid() == pid
