"""The state of one run inside a cohort, for checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from losslab.training.state import Weights

if TYPE_CHECKING:
    from losslab.training.cohort import Cohort


def _memories(cohort: Cohort) -> Iterator[tuple[str, Tensor, int]]:
    """Everything beside the network that a run carries from epoch to epoch: name, tensor, axis of the models."""
    yield from ((f"optimiser.{name}", tensor, 0) for name, tensor in cohort.optimiser.state().items() if tensor.dim())
    yield from ((f"curve.{name}", tensor, 1) for name, tensor in cohort.curves.values.items())
    yield "broken", cohort.broken, 0
    if cohort.best is not None:
        yield "best.accuracy", cohort.best.accuracy, 0
        yield from ((f"best.{n}", t.reshape(len(cohort.runs), -1), 0) for n, t in cohort.best.kept.items() if t.dim())
    for group in cohort.objective.groups:
        for name, tensor in group.state.items():
            yield (
                f"state.{name}",
                tensor,
                group.models.start - len(cohort.runs),
            )  # negative: models of this group only


def run_state(cohort: Cohort, m: int) -> dict[str, Tensor]:
    """State of model m after ``cohort.epoch`` epochs, for a checkpoint."""
    state = {f"network.{name}": tensor for name, tensor in cohort.network.unstack(m).items()}
    for name, tensor, axis in _memories(cohort):
        if axis >= 0:
            state[name] = tensor.select(axis, m).clone()
        elif 0 <= (local := m - (axis + len(cohort.runs))) < tensor.shape[0]:
            state[name] = tensor[local].clone()
    return state | {"optimiser.steps": cohort.optimiser.steps.clone()}


@torch.no_grad()
def load_run_state(cohort: Cohort, m: int, state: Weights) -> None:
    """Puts model m where `run_state` found it."""
    cohort.network.load(m, {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")})
    cohort.optimiser.steps.copy_(state["optimiser.steps"])
    for name, value in state.items():
        if name.startswith("curve.") and name.removeprefix("curve.") not in cohort.curves.values:
            shape = (value.shape[0], len(cohort.runs), *value.shape[1:])
            cohort.curves.values[name.removeprefix("curve.")] = torch.full(shape, float("nan"), device=cohort.device)
    for name, tensor, axis in _memories(cohort):
        if name not in state:
            continue  # kept for a neighbour's sake, which was not there when this run's state was taken
        if axis >= 0:
            tensor.select(axis, m).copy_(state[name])
        elif 0 <= (local := m - (axis + len(cohort.runs))) < tensor.shape[0]:
            tensor[local].copy_(state[name])
