"""Label-aware smoothing: label smoothing whose strength grows with the number of training samples of the label's class.

Symbols: l = log p_y, S = sum over k of log p_k, n_k training samples of class k, r_y = (n_y - n_min) / (n_max - n_min).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losslab.losses.numerics import Number, pick
from losslab.losses.spec import LossSpec, Param, family, variant

SHAPES = ("concave", "linear", "convex", "power")


def label_aware_smoothing(
    log_probs: Tensor,
    targets: Tensor,
    *,
    class_counts: Tensor,
    head: Number = 0.3,
    tail: Number = 0.0,
    shape: str = "concave",
    power: Number = 2.0,
    variant: str = "paper",
) -> Tensor:
    """`-(1 - eps_y) log p_y - eps_y / (K - 1) sum_{j != y} log p_j`. `(..., N, K)` -> `(..., N)`.

    eps_y goes from `tail` for the rarest class to `head` for the most frequent one, along `shape` (see `smoothing`).
    class_counts: `(K,)` or `(..., K)`. official: eps_y is spread over all K classes, `-(1 - eps_y) log p_y - eps_y / K sum_j log p_j`.
    """
    hit, spread = _weights(log_probs, targets, class_counts, head, tail, shape, power, variant)
    return -(hit * pick(log_probs, targets) + spread * log_probs.sum(-1))


def label_aware_smoothing_grad(
    log_probs: Tensor,
    targets: Tensor,
    *,
    class_counts: Tensor,
    head: Number = 0.3,
    tail: Number = 0.0,
    shape: str = "concave",
    power: Number = 2.0,
    variant: str = "paper",
) -> tuple[Tensor, Tensor]:
    """d/dl = -(1 - eps K / (K - 1)), d/dS = -eps / (K - 1); official: -(1 - eps), -eps / K."""
    hit, spread = _weights(log_probs, targets, class_counts, head, tail, shape, power, variant)
    return -hit, -spread


def smoothing(class_counts: Tensor, head: Number, tail: Number, shape: str = "concave", power: Number = 2.0) -> Tensor:
    """eps_k of every class, `(..., K)`: `tail + (head - tail) f(r_k)`.

    f: concave sin(pi r / 2), linear r, convex 1 - cos(pi r / 2), power r^power. Classes of equal size are all the rarest: `tail`.
    """
    return tail + (head - tail) * _curve(_frequency(class_counts), shape, power)


def _frequency(counts: Tensor) -> Tensor:
    """r_k in [0, 1]; 0 where all counts are equal."""
    low = counts.amin(-1, keepdim=True)
    span = counts.amax(-1, keepdim=True) - low
    return (counts - low) / torch.where(span > 0, span, torch.ones_like(span))


def _curve(r: Tensor, shape: str, power: Number) -> Tensor:
    if shape == "linear":
        return r
    if shape == "power":
        return r**power
    angle = (0.5 * math.pi) * r
    return angle.sin() if shape == "concave" else 1.0 - angle.cos()


def _weights(
    log_probs: Tensor,
    targets: Tensor,
    class_counts: Tensor,
    head: Number,
    tail: Number,
    shape: str,
    power: Number,
    variant: str,
) -> tuple[Tensor, Tensor]:
    """Minus the factors of l and S."""
    r = _frequency(class_counts.to(log_probs.dtype))
    own = r.expand(*targets.shape[:-1], r.shape[-1]).gather(-1, targets)
    eps = tail + (head - tail) * _curve(own, shape, power)
    if variant == "official":
        return 1.0 - eps, eps / log_probs.shape[-1]
    spread = eps / (log_probs.shape[-1] - 1)
    return 1.0 - eps - spread, spread


SPECS = family(
    __name__,
    LossSpec(
        "label_aware_smoothing",
        label_aware_smoothing,
        params={
            "head": Param(0.3, 0, 1, high_open=True, meaning="smoothing of the most frequent class"),
            "tail": Param(0.0, 0, 1, high_open=True, meaning="smoothing of the rarest class"),
            "shape": Param("concave", choices=SHAPES, meaning="how the smoothing grows with the class size"),
            "power": Param(2.0, 0, None, low_open=True, meaning="exponent of the shape power; the others ignore it"),
            "variant": variant("paper", "official", meaning="official: the mass is spread over all K classes"),
        },
        tensors=("class_counts",),
        grad=label_aware_smoothing_grad,
    ),
)
