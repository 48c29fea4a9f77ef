"""Focal loss and poly-1: cross entropy bent near p_y = 1."""

from __future__ import annotations

from torch import Tensor

from losslab.losses.numerics import Number, one_minus_exp, pick
from losslab.losses.spec import LossSpec, Param, family, variant

FACTOR = variant("paper", "official", meaning="official: the factor (1 - p)^gamma is a constant for the gradient")
GAMMA = Param(0.5, 0, None, meaning="focusing power; 0 is cross entropy")


def focal(log_probs: Tensor, targets: Tensor, *, gamma: Number = 0.5, variant: str = "paper") -> Tensor:
    """`-(1 - p_y)^gamma log p_y`; official: the factor is detached. `(..., N, K)` -> `(..., N)`."""
    log_p = pick(log_probs, targets)
    factor = one_minus_exp(log_p) ** gamma
    return -(factor if variant == "paper" else factor.detach()) * log_p


def focal_grad(
    log_probs: Tensor, targets: Tensor, *, gamma: Number = 0.5, variant: str = "paper"
) -> tuple[Tensor, None]:
    """d/dl = -(1 - p)^gamma + gamma p l (1 - p)^(gamma - 1); official: the first term only."""
    log_p = pick(log_probs, targets)
    rest = one_minus_exp(log_p)
    factor = rest**gamma
    if variant == "official":
        return -factor, None
    return factor * (gamma * log_p * log_p.exp() / rest - 1.0), None


def poly1(log_probs: Tensor, targets: Tensor, *, eps: Number = 1.0) -> Tensor:
    """`-log p_y + eps (1 - p_y)`: the first coefficient of the series of cross entropy in 1 - p_y, raised by eps."""
    log_p = pick(log_probs, targets)
    return -log_p - eps * log_p.expm1()


def poly1_grad(log_probs: Tensor, targets: Tensor, *, eps: Number = 1.0) -> tuple[Tensor, None]:
    """d/dl = -1 - eps p_y."""
    return -1.0 - eps * pick(log_probs, targets).exp(), None


SPECS = family(
    __name__,
    LossSpec("focal", focal, params={"gamma": GAMMA, "variant": FACTOR}, grad=focal_grad),
    LossSpec(
        "poly1", poly1, params={"eps": Param(1.0, -1, None, meaning="change of the first coefficient")}, grad=poly1_grad
    ),
)
