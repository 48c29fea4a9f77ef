"""Weights of the classes in the loss, from some epoch on: re-weighting, and deferred re-weighting (DRW, Cao et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from losslab.runs.spec import Run


def class_weights(counts: Tensor, kind: str, beta: float) -> Tensor:
    """Weights ``(K,)`` with mean 1 over the classes. ``inverse``: 1 / n_k; ``effective``: (1 - beta) / (1 - beta^n_k) (Cui et al. 2019).

    A class without samples gets weight 0 and does not count in the mean.
    """
    if kind == "none":
        return torch.ones_like(counts)
    safe = counts.clamp(min=1)
    raw = 1 / safe if kind == "inverse" else (1 - beta) / (1 - beta**safe)
    raw = torch.where(counts > 0, raw, 0.0)
    return raw * (counts > 0).sum() / raw.sum()


class ClassWeights:
    """Class weights of M runs, ``(M, K)``; all ones before each run's first weighted epoch."""

    def __init__(self, runs: Sequence[Run], given: Tensor, num_classes: int, dtype: torch.dtype) -> None:
        self.recipes = [run.recipe for run in runs]
        self.used = any(recipe.class_weights != "none" for recipe in self.recipes)
        if not self.used:
            return
        counts = F.one_hot(given, num_classes).sum(1).double()
        made = [class_weights(c, r.class_weights, r.effective_beta) for c, r in zip(counts, self.recipes, strict=True)]
        self.full = torch.stack(made).to(dtype)
        self.now = torch.ones_like(self.full)

    def set_epoch(self, epoch: int) -> None:
        """Puts the weights of an epoch in place."""
        if self.used:
            begun = torch.tensor([epoch >= r.class_weights_from for r in self.recipes], device=self.now.device)
            self.now.copy_(torch.where(begun.unsqueeze(1), self.full, 1.0))

    def apply(self, grad: Tensor, values: Tensor, y: Tensor) -> None:
        """Multiplies gradients ``(M, B, K)`` and losses ``(M, B)`` by the weights of the labels ``(M, B)``, in place."""
        if self.used:
            factor = self.now.gather(1, y)
            grad.mul_(factor.unsqueeze(-1))
            values.mul_(factor)
