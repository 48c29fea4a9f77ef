"""Reverse cross entropy and symmetric cross entropy.

The reverse cross entropy `-sum_k p_k log t_k` needs a value A < 0 for log 0; for a label it is `-A (1 - p_y)`.
The released codes clamp the one-hot label at 1e-4 and take natural logarithms, so their A is log 1e-4 = -9.21; the
papers' readers quote A = -4 (log10 1e-4) or -6. The codes' further clamp of p at 1e-7 changes values by less than 1e-6
per class.
"""

from __future__ import annotations

import math

from torch import Tensor

from losslab.losses.numerics import Number, pick
from losslab.losses.spec import LossSpec, Param, family

A_DEFAULT = math.log(1e-4)


def rce(log_probs: Tensor, targets: Tensor, *, A: Number = A_DEFAULT) -> Tensor:
    """Reverse cross entropy `-A (1 - p_y)`. `(..., N, K)` -> `(..., N)`."""
    return A * pick(log_probs, targets).expm1()


def rce_grad(log_probs: Tensor, targets: Tensor, *, A: Number = A_DEFAULT) -> tuple[Tensor, None]:
    """d/dl = A p_y."""
    return A * pick(log_probs, targets).exp(), None


def sce(
    log_probs: Tensor, targets: Tensor, *, alpha: Number = 0.1, beta: Number = 1.0, A: Number = A_DEFAULT
) -> Tensor:
    """`-alpha log p_y - beta A (1 - p_y)`. `(..., N, K)` -> `(..., N)`."""
    log_p = pick(log_probs, targets)
    return beta * A * log_p.expm1() - alpha * log_p


def sce_grad(
    log_probs: Tensor, targets: Tensor, *, alpha: Number = 0.1, beta: Number = 1.0, A: Number = A_DEFAULT
) -> tuple[Tensor, None]:
    """d/dl = -alpha + beta A p_y."""
    return beta * A * pick(log_probs, targets).exp() - alpha, None


_A = Param(A_DEFAULT, None, 0, high_open=True, meaning="the value of log 0")

SPECS = family(
    __name__,
    LossSpec("rce", rce, params={"A": _A}, grad=rce_grad),
    LossSpec(
        "sce",
        sce,
        params={
            "alpha": Param(0.1, 0, None, meaning="weight of cross entropy"),
            "beta": Param(1.0, 0, None, meaning="weight of reverse cross entropy"),
            "A": _A,
        },
        grad=sce_grad,
    ),
)
