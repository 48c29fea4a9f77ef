"""Losses that mix the given label with the model's own prediction: bootstrapping and D2L."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losslab.losses.numerics import Number, pick
from losslab.losses.spec import LossSpec, Param, family


def bootstrap_soft(log_probs: Tensor, targets: Tensor, *, beta: Number = 0.95) -> Tensor:
    """`-sum_k (beta t_k + (1 - beta) p_k) log p_k`; the gradient flows through p_k too. `(..., N, K)` -> `(..., N)`."""
    if targets.dim() == log_probs.dim():
        given = (targets.to(log_probs.dtype) * log_probs).sum(-1)
    else:
        given = pick(log_probs, targets)
    return -(beta * given + (1.0 - beta) * (log_probs.exp() * log_probs).sum(-1))


def bootstrap_hard(log_probs: Tensor, targets: Tensor, *, beta: Number = 0.8) -> Tensor:
    """`-(beta log p_y + (1 - beta) log max_k p_k)`: the second label is the predicted class."""
    return -(beta * pick(log_probs, targets) + (1.0 - beta) * log_probs.amax(-1))


def d2l(log_probs: Tensor, targets: Tensor, *, alpha: Number = 1.0) -> Tensor:
    """`-(alpha log p_y + (1 - alpha) log max_k p_k)`: alpha follows the features' dimensionality."""
    return bootstrap_hard(log_probs, targets, beta=alpha)


def local_intrinsic_dimensionality(features: Tensor, k: int = 20) -> Tensor:
    """Mean local intrinsic dimensionality of `(..., n, d)` features: `(...)`.

    Maximum likelihood over the k nearest other samples, with distances r_1 <= ... <= r_k:
    `-1 / mean_i log(r_i / r_k)`.
    """
    distances = torch.cdist(features, features).sort(-1).values[..., 1 : k + 1]
    distances = distances.clamp_min(torch.finfo(features.dtype).eps)
    return -(1.0 / (distances / distances[..., -1:]).log().mean(-1)).mean(-1)


def d2l_alpha(epoch: int, epochs: int, dimension: float, smallest: float) -> float:
    """The weight of the given label after the turning point: `exp(-(epoch / epochs) * dimension / smallest)`.

    `dimension` is the last local intrinsic dimensionality and `smallest` the smallest one before it.
    """
    return math.exp(-(epoch / epochs) * dimension / smallest)


SPECS = family(
    __name__,
    LossSpec(
        "bootstrap_soft",
        bootstrap_soft,
        soft_targets=True,
        params={"beta": Param(0.95, 0, 1, meaning="weight of the given label")},
    ),
    LossSpec("bootstrap_hard", bootstrap_hard, params={"beta": Param(0.8, 0, 1, meaning="weight of the given label")}),
    LossSpec("d2l", d2l, params={"alpha": Param(1.0, 0, 1, meaning="weight of the given label; 1 is cross entropy")}),
)
