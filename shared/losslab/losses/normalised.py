"""Normalised losses: a loss divided by its sum over all labels, so that the sum over labels is 1.

Symbols: p = softmax(z), l_k = -log p_k, S = sum_k l_k, K classes, y the label.
"""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.focal import FACTOR, GAMMA
from losslab.losses.numerics import Number, one_minus_exp, per_class, pick
from losslab.losses.spec import LossSpec, Param, family, variant
from losslab.losses.symmetric import A_DEFAULT


def nce(log_probs: Tensor, targets: Tensor) -> Tensor:
    """Normalised cross entropy `l_y / S`, in [0, 1]; S is at least K log K. `(..., N, K)` -> `(..., N)`."""
    return pick(log_probs, targets) / log_probs.sum(-1)


def nce_grad(log_probs: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """With l = log p_y and S = sum_k log p_k: d/dl = 1 / S, d/dS = -l / S^2."""
    total = log_probs.sum(-1)
    return 1.0 / total, -pick(log_probs, targets) / total.square()


def nfl(log_probs: Tensor, targets: Tensor, *, gamma: Number = 0.5, variant: str = "paper") -> Tensor:
    """Normalised focal loss `(1 - p_y)^gamma l_y / sum_j (1 - p_j)^gamma l_j`; official: the factors are detached."""
    factor = one_minus_exp(log_probs) ** per_class(gamma)
    terms = (factor if variant == "paper" else factor.detach()) * log_probs
    return pick(terms, targets) / terms.sum(-1)


def ngce(log_probs: Tensor, targets: Tensor, *, q: Number = 0.7) -> Tensor:
    """Normalised L_q `(1 - p_y^q) / (K - sum_j p_j^q)`."""
    terms = torch.expm1(per_class(q) * log_probs)
    return pick(terms, targets) / terms.sum(-1)


def nmae(log_probs: Tensor, targets: Tensor, *, variant: str = "paper") -> Tensor:
    """Normalised mean absolute error `(1 - p_y) / (K - 1)`; official: half of it."""
    return _nmae_scale(log_probs.shape[-1], variant) * pick(log_probs, targets).expm1()


def nmae_grad(log_probs: Tensor, targets: Tensor, *, variant: str = "paper") -> tuple[Tensor, None]:
    """d/dl = -p_y / (K - 1)."""
    return _nmae_scale(log_probs.shape[-1], variant) * pick(log_probs, targets).exp(), None


def nrce(log_probs: Tensor, targets: Tensor, *, A: Number = A_DEFAULT, variant: str = "paper") -> Tensor:
    """Normalised reverse cross entropy, `(1 - p_y) / (K - 1)` whatever A: the same function as NMAE.

    official: multiplied by (K - 1) / 4 where it should be divided by -A (K - 1), so `-A (1 - p_y) (K - 1) / 4`.
    """
    return _nrce_scale(log_probs.shape[-1], A, variant) * pick(log_probs, targets).expm1()


def nrce_grad(
    log_probs: Tensor, targets: Tensor, *, A: Number = A_DEFAULT, variant: str = "paper"
) -> tuple[Tensor, None]:
    """d/dl = -p_y / (K - 1); official: A p_y (K - 1) / 4."""
    return _nrce_scale(log_probs.shape[-1], A, variant) * pick(log_probs, targets).exp(), None


def _nmae_scale(num_classes: int, variant: str) -> float:
    return -1.0 / (num_classes - 1) * (1.0 if variant == "paper" else 0.5)


def _nrce_scale(num_classes: int, A: Number, variant: str) -> Number:
    return -1.0 / (num_classes - 1) if variant == "paper" else A * (0.25 * (num_classes - 1))


_A = Param(A_DEFAULT, None, 0, high_open=True, meaning="the value of log 0; cancels in the paper's form")

SPECS = family(
    __name__,
    LossSpec("nce", nce, grad=nce_grad),
    LossSpec("nfl", nfl, params={"gamma": GAMMA, "variant": FACTOR}, modules=("losslab.losses.focal",)),
    LossSpec("ngce", ngce, params={"q": Param(0.7, 0, 1, low_open=True, meaning="the power of L_q")}),
    LossSpec(
        "nmae",
        nmae,
        params={"variant": variant("paper", "official", meaning="official: half, class sum 1/2")},
        grad=nmae_grad,
    ),
    LossSpec(
        "nrce",
        nrce,
        params={"A": _A, "variant": variant("paper", "official", meaning="official: times (K - 1) / 4, not divided")},
        grad=nrce_grad,
        modules=("losslab.losses.symmetric",),
    ),
)
