"""Prototypes followed through the training, which a results frame does not hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import torch
from torch import Tensor

from losslab.analysis import margins
from losslab.papers import Paper
from losslab.runs import Run
from losslab.training.cohort import Cohort, Options


class Watched(Cohort):
    """The library's own cohort, which keeps the prototypes `(runs, K, d)` at the start and after every epoch."""

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__(runs, Options(torch.device("cpu")))
        self.prototypes = [self._now()]

    def _now(self) -> Tensor:
        return cast(Tensor, self.network.head.weight).detach().clone()

    def end_epoch(self) -> None:
        super().end_epoch()
        self.prototypes.append(self._now())


@dataclass(frozen=True)
class Path:
    """Prototypes of one training by epoch: class margin in degrees and distance from the simplex."""

    method: str
    key: str
    seed: int
    class_margin: list[float]
    etf_distance: list[float]


def paths_of(paper: Paper, scale: str, methods: Sequence[str], seeds: int) -> list[Path]:
    """The methods on the block cifar10, trained once more and followed."""
    cells = [c for c in paper.cells(scale, only="balanced/cifar10", seeds=seeds) if c.keys["method"] in methods]
    known = {cell.run.hash: cell for cell in cells}
    cohort = Watched([cell.run for cell in cells])
    for _ in cohort.work():
        pass
    found = []
    for place, run in enumerate(cohort.runs):
        cell, own = known[run.hash], [stacked[place] for stacked in cohort.prototypes]
        angles, gaps = [margins.class_margin(w) for w in own], [margins.etf_distance(w) for w in own]
        found.append(Path(cell.keys["method"], cell.key, run.seed, angles, gaps))
    return found
