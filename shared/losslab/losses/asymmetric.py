"""Asymmetric losses of p = p_y: AGCE, AUL and AEL."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, pick
from losslab.losses.spec import LossSpec, Param, family


def agce(log_probs: Tensor, targets: Tensor, *, a: Number = 0.6, q: Number = 0.6) -> Tensor:
    """Asymmetric generalised cross entropy `((a + 1)^q - (a + p)^q) / q`. `(..., N, K)` -> `(..., N)`."""
    p = pick(log_probs, targets).exp()
    return ((a + 1.0) ** q - (a + p) ** q) / q


def agce_grad(log_probs: Tensor, targets: Tensor, *, a: Number = 0.6, q: Number = 0.6) -> tuple[Tensor, None]:
    """d/dl = -p (a + p)^(q - 1)."""
    p = pick(log_probs, targets).exp()
    return -p * (a + p) ** (q - 1.0), None


def aul(log_probs: Tensor, targets: Tensor, *, a: Number = 5.5, p: Number = 3.0) -> Tensor:
    """Asymmetric unhinged loss `((a - p_y)^p - (a - 1)^p) / p`."""
    p_y = pick(log_probs, targets).exp()
    return ((a - p_y) ** p - (a - 1.0) ** p) / p


def aul_grad(log_probs: Tensor, targets: Tensor, *, a: Number = 5.5, p: Number = 3.0) -> tuple[Tensor, None]:
    """d/dl = -p_y (a - p_y)^(p - 1)."""
    p_y = pick(log_probs, targets).exp()
    return -p_y * (a - p_y) ** (p - 1.0), None


def ael(log_probs: Tensor, targets: Tensor, *, a: Number = 2.5) -> Tensor:
    """Asymmetric exponential loss `exp(-p / a)`; its smallest value is exp(-1 / a), not 0."""
    return torch.exp(-pick(log_probs, targets).exp() / a)


def ael_grad(log_probs: Tensor, targets: Tensor, *, a: Number = 2.5) -> tuple[Tensor, None]:
    """d/dl = -(p / a) exp(-p / a)."""
    ratio = pick(log_probs, targets).exp() / a
    return -ratio * torch.exp(-ratio), None


SPECS = family(
    __name__,
    LossSpec(
        "agce",
        agce,
        params={
            "a": Param(0.6, 0, None, low_open=True, meaning="shift; a -> 0 is L_q"),
            "q": Param(0.6, 0, None, low_open=True, meaning="power; q >= 1 is asymmetric whatever the noise"),
        },
        grad=agce_grad,
    ),
    LossSpec(
        "aul",
        aul,
        params={
            "a": Param(5.5, 1, None, low_open=True, meaning="shift; large a is close to 1 - p_y up to scale"),
            "p": Param(3.0, 0, None, low_open=True, meaning="power; p <= 1 is asymmetric whatever the noise"),
        },
        grad=aul_grad,
    ),
    LossSpec(
        "ael",
        ael,
        params={"a": Param(2.5, 0, None, low_open=True, meaning="decay; large a is close to 1 - p_y / a")},
        grad=ael_grad,
    ),
)
