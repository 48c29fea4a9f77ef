"""Two changes of cross entropy that act on how far logits grow: squentropy (less) and the encouraging loss (more)."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, at_most, pick
from losslab.losses.spec import LossSpec, Param, family

_LAST = 1.0 - 1e-5


def squentropy(logits: Tensor, targets: Tensor) -> Tensor:
    """`-log p_y + (1 / (K - 1)) sum_{j != y} z_j^2`. `(..., N, K)` -> `(..., N)`."""
    own = pick(logits, targets)
    square = (logits.square().sum(-1) - own.square()) / (logits.shape[-1] - 1)
    return torch.logsumexp(logits, -1) - own + square


def encouraging(log_probs: Tensor, targets: Tensor, *, le: Number = 0.75) -> Tensor:
    """`-log p_y + log(1 - p_y)`, the second term continued along its tangent where p_y > le.

    `(..., N, K)` -> `(..., N)`. le = 1 keeps the logarithm up to p_y = 1 - 1e-5: the loss is then log u with u = (1 - p_y) / p_y.
    """
    le = at_most(le, _LAST)
    log_p = pick(log_probs, targets)
    p = log_p.exp()
    low = torch.where(p > le, torch.ones_like(p) * le, p)
    return -log_p + torch.log1p(-low) - (p - low) / (1.0 - le)


def encouraging_grad(log_probs: Tensor, targets: Tensor, *, le: Number = 0.75) -> tuple[Tensor, None]:
    """d/dl = -1 - p / (1 - min(p, le))."""
    le = at_most(le, _LAST)
    p = pick(log_probs, targets).exp()
    return -1.0 - p / (1.0 - torch.where(p > le, torch.ones_like(p) * le, p)), None


SPECS = family(
    __name__,
    LossSpec("squentropy", squentropy, input="logits"),
    LossSpec(
        "encouraging",
        encouraging,
        params={"le": Param(0.75, 0, 1, low_open=True, meaning="above it the bonus log(1 - p) is linear")},
        grad=encouraging_grad,
    ),
)
