"""Augmentation of stacked batches: each run's draws come from its own named stream, the pixels are moved on the device."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from losslab.runs.spec import Run
from losslab.seeding import torch_seed


class Augmentation:
    """One policy for a cohort; draws of a whole epoch are made at once. ``black`` ``(C,)`` is what lies outside a normalised image."""

    def __init__(self, policy: str, runs: Sequence[Run], samples: int, black: Tensor) -> None:
        self.policy = None
        if policy != "none":
            from losslab.data import augment

            self.policy = augment.policy(policy)
        self.seeds = [(run.data.name, run.seed) for run in runs]
        self.samples, self.device, self.black = samples, black.device, black
        self.draws: dict[str, Tensor] = {}

    def set_epoch(self, epoch: int) -> None:
        """Draws for every training sample of ``epoch``, ``(M, n, ...)``; tensors are kept, so that a captured graph sees the new values."""
        if self.policy is None:
            return
        made: dict[tuple[str, int], dict[str, Tensor]] = {}
        for key in self.seeds:
            if key not in made:
                generator = torch.Generator().manual_seed(torch_seed("augment", key[0], key[1], epoch))
                made[key] = self.policy.draw(self.samples, generator)
        for name in next(iter(made.values())):
            drawn = torch.stack([made[key][name] for key in self.seeds])
            if name in self.draws:
                self.draws[name].copy_(drawn)
            else:
                self.draws[name] = drawn.to(self.device)

    def __call__(self, images: Tensor, where: Tensor | slice) -> Tensor:
        """Augments ``(M, B, C, H, W)``; ``where`` says which columns of the epoch's draws belong to it."""
        if self.policy is None:
            return images
        part = {n: d[:, where] if isinstance(where, slice) else d.index_select(1, where) for n, d in self.draws.items()}
        return self.policy.apply(images, part, self.black)
