"""What is refused before any work starts."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from losslab import heads, losses, models
from losslab.data import Dataset
from losslab.errors import InputError
from losslab.runs import Run
from losslab.training.build import build_network
from losslab.training.problem import dataset_of, prepare


def check(runs: Sequence[Run], root: str | None = None) -> None:
    """Raises InputError for anything that a run names and that is not there or out of range, before any work starts."""
    seen: set[str] = set()
    for run in runs:
        dataset = dataset_of(run.data, root)
        quiet = run.noise.model_copy(update={"seed": 0})
        parts = (run.loss, run.model, run.head, run.data, quiet, run.recipe.batch_size)
        key = repr(parts)
        if key in seen:
            continue
        seen.add(key)
        spec = losses.spec(run.loss.name)
        arguments = {"transition": torch.eye(dataset.num_classes)} if spec.matrix else {}
        if "class_counts" in spec.tensors:
            arguments["class_counts"] = torch.ones(dataset.num_classes)
        losses.build(run.loss.name, dataset.num_classes, **run.loss.params, **arguments)
        models.describe(run.model.name)
        if run.head.name != "linear" and run.head.name not in heads.names():
            raise InputError(f"unknown head {run.head.name!r}; known: {', '.join(heads.names())}")
        given = prepare(run, root)[1].given
        counts = np.bincount(given, minlength=dataset.num_classes)
        if "class_counts" in spec.tensors and not counts.all():
            raise InputError(
                f"{run.label()}: class {int(counts.argmin())} has no training sample, and {run.loss.name} divides by the class counts; "
                "choose a smaller imbalance ratio"
            )
        if len(given) % run.recipe.batch_size == 1 and _normalises_vectors(run, dataset):
            raise InputError(
                f"{run.label()}: {len(given)} training samples leave a last batch of one for batch_size {run.recipe.batch_size}, "
                "which batch normalisation cannot train on; choose another batch size, split or imbalance ratio"
            )


def _normalises_vectors(run: Run, dataset: Dataset) -> bool:
    """Whether the network has batch normalisation over plain vectors, whose variance one sample does not have."""
    network = build_network(run, dataset.in_shape, dataset.num_classes)
    return any(isinstance(module, nn.BatchNorm1d) for module in network.modules())
