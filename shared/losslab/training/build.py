"""The networks of a cohort and the transition matrices of its losses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from losslab import heads, models
from losslab.data import Dataset
from losslab.noise import transition_matrix
from losslab.runs.spec import NamedPart, Run
from losslab.seeding import torch_seed
from losslab.training.problem import noise_options
from losslab.training.stacking import StackedNetwork, stack
from losslab.training.state import Weights

LINEAR = NamedPart(name="linear")


def _head(run: Run) -> Callable[[int, int], nn.Module] | None:
    if run.head == LINEAR:
        return None
    return lambda feature_dim, num_classes: heads.build(run.head.name, feature_dim, num_classes, **run.head.params)


def build_network(run: Run, in_shape: tuple[int, int, int], num_classes: int) -> models.Network:
    """A run's network with its initial weights: those of its seed, the same for every loss, noise and recipe."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed("init", run.model.name, run.head.name, run.seed))
        return models.build(run.model.name, in_shape, num_classes, head=_head(run), **run.model.params)  # type: ignore[arg-type]


def build_networks(
    runs: Sequence[Run], in_shape: tuple[int, int, int], num_classes: int, parents: Mapping[str, Weights]
) -> StackedNetwork:
    """The stacked network of a cohort; what parent runs give is put in place."""
    made = []
    for run in runs:
        network = build_network(run, in_shape, num_classes)
        if run.parent is not None and run.parent_gives in ("weights", "backbone"):
            # Heads that rescale a trained classifier (LWS, tau-norm) take the parent's head too, also where only the backbone is kept.
            whole = run.parent_gives == "weights" or getattr(network.head, "of_trained", False)
            given = {k: v for k, v in parents[run.parent.hash].items() if whole or k.startswith("backbone.")}
            network.load_state_dict(given, strict=whole)
            if run.parent_gives == "backbone":
                network.backbone.requires_grad_(False)
        made.append(network)
    return stack(made)


def true_transition(run: Run, dataset: Dataset) -> Tensor:
    """Transition matrix ``(K, K)`` of a run's own noise, float64; the identity without label noise."""
    noise, num_classes = run.noise, dataset.num_classes
    if noise.kind in ("none", "open_set"):
        return torch.eye(num_classes, dtype=torch.float64)
    known: dict[str, Any] = {
        k: v for k, v in noise_options(dataset, noise).items() if k in ("matrix", "superclass", "sequential")
    }
    seed = run.seed if noise.seed is None else noise.seed  # kinds that draw their matrix draw the one of the labels
    return torch.from_numpy(
        transition_matrix(noise.kind, num_classes, noise.rate, flip_map=noise.flip_map, seed=seed, **known)
    )
