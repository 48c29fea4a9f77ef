"""Training steps as CUDA graphs: one launch per step instead of some hundreds.

A captured step reads where it stands in the epoch from a tensor that it moves on itself, so a whole epoch is the same replay again and again. The
order of the samples, the learning rates, the augmentation draws and the weights of penalties are tensors too, refilled before each epoch.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from losslab.training.cohort import Cohort

log = logging.getLogger(__name__)
WARM_UP = 3  # eager steps before a capture, in which libraries choose kernels and allocate workspaces


class GraphedSteps:
    """The steps of a cohort on a CUDA device. Capturing changes nothing that the cohort remembers."""

    def __init__(self, cohort: Cohort) -> None:
        self.cohort = cohort
        batch = cohort.recipe.batch_size
        self.full, rest = divmod(cohort.n, batch)
        device = cohort.device
        self.start = torch.arange(min(batch, cohort.n), device=device)
        self.where = self.start.clone()
        self.tail = torch.arange(cohort.n - rest, cohort.n, device=device)
        saved = [(tensor, tensor.detach().clone()) for tensor in cohort.tensors()]
        try:
            self.step = self._capture(self.where, moving=True) if self.full else None
            self.last = self._capture(self.tail, moving=False) if rest else None
        finally:
            with torch.no_grad():
                for tensor, value in saved:
                    tensor.copy_(value)

    def _capture(self, where: Tensor, moving: bool) -> torch.cuda.CUDAGraph:
        for _ in range(WARM_UP):
            self.cohort.step(where)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=torch.cuda.current_stream(), capture_error_mode="thread_local"):
            self.cohort.step(where)
            if moving:
                where.add_(len(where))
        return graph

    def epoch(self) -> None:
        """Launches all steps of one epoch; returns before they are done."""
        self.where.copy_(self.start)
        if self.step is not None:
            for _ in range(self.full):
                self.step.replay()
        if self.last is not None:
            self.last.replay()


def graphed_steps(cohort: Cohort) -> GraphedSteps | None:
    """Graphs of a cohort's steps, or None (and a warning) where something in the step cannot be captured."""
    try:
        return GraphedSteps(cohort)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        log.warning("no CUDA graph for %s: %s; the steps are launched one by one", cohort.runs[0].label(), error)
        return None


def take_turns(workers: list[Iterator[None]], streams: list[torch.cuda.Stream]) -> None:
    """Advances several generators in turn, each on its own stream, until all have ended."""
    alive = list(zip(workers, streams, strict=True))
    while alive:
        for pair in list(alive):
            with torch.cuda.stream(pair[1]):
                try:
                    next(pair[0])
                except StopIteration:
                    alive.remove(pair)
