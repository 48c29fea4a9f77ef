"""In which order a run sees its training samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from losslab.runs.spec import Run
from losslab.seeding import generator


def epoch_orders(runs: Sequence[Run], given: np.ndarray, epoch: int) -> Tensor:
    """Sample numbers ``(M, n)`` of one epoch. Two runs with the same data, seed and sampler get the same order, whatever else differs.

    ``shuffle``: every sample once. ``class_aware``: classes in random cycles, a random sample of the class each time. ``class_balanced``: blocks of
    up to 8 samples of one class in random class cycles (IMAE's released batches: 32 classes x 8 images). The two go by the *given* label.
    """
    n = given.shape[1]
    made: dict[tuple[object, ...], np.ndarray] = {}
    rows = []
    for m, run in enumerate(runs):
        sampler = run.recipe.sampler
        key: tuple[object, ...] = (sampler, run.data.name, run.seed) if sampler == "shuffle" else (sampler, m)
        if key not in made:
            draw = generator("order", sampler, run.data.name, run.seed, epoch)
            made[key] = (
                draw.permutation(n)
                if sampler == "shuffle"
                else _by_class(given[m], draw, 1 if sampler == "class_aware" else 8)
            )
        rows.append(made[key])
    return torch.from_numpy(np.stack(rows))


def _by_class(given: np.ndarray, draw: np.random.Generator, block: int) -> np.ndarray:
    members = [np.flatnonzero(given == k) for k in np.unique(given)]
    chosen: list[np.ndarray] = []
    count = 0
    while count < len(given):
        for k in draw.permutation(len(members)):
            chosen.append(draw.choice(members[k], block, replace=len(members[k]) < block))
            count += block
    return np.concatenate(chosen)[: len(given)]
