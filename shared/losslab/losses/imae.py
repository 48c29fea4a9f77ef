"""IMAE: the direction of mean absolute error, with a new size per sample.

The method is defined by its gradient: dL/dz has L1 norm w = exp(T p_y (1 - p_y)). That is the gradient of cross
entropy times the constant `c = w / (2 (1 - p_y))`, so the value reported here is `-c log p_y` with c detached. (The
integral of the gradient is no value to report: it diverges logarithmically at p_y = 1.)
"""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, pick
from losslab.losses.spec import LossSpec, Param, family, variant


def imae_weight(p: Tensor, T: Number = 8.0) -> Tensor:
    """The L1 norm of the gradient at the logits, `exp(T p (1 - p))`; 1 at both ends, exp(T / 4) at p = 1/2."""
    return torch.exp(T * p * (1.0 - p))


def _coefficient(log_p: Tensor, T: Number, variant: str) -> Tensor:
    weight = imae_weight(log_p.exp(), T)
    rest = -log_p.expm1()
    if variant == "paper":
        return weight / (2.0 * rest.clamp_min(torch.finfo(log_p.dtype).eps))
    share = weight * (log_p.shape[-1] / (weight.sum(-1, keepdim=True) + 1e-8))
    return share / (2.0 * rest + 1e-6)


def imae(log_probs: Tensor, targets: Tensor, *, T: Number = 8.0, variant: str = "paper") -> Tensor:
    """`-c log p_y` with the detached `c = exp(T p (1 - p)) / (2 (1 - p))`. `(..., N, K)` -> `(..., N)`.

    official: w is divided by its mean over the batch, so that under the mean the gradients' L1 norms sum to 1 in every
    batch (constants 1e-8 in that sum and 1e-6 in the denominator).
    """
    log_p = pick(log_probs, targets)
    return -_coefficient(log_p, T, variant).detach() * log_p


def imae_grad(log_probs: Tensor, targets: Tensor, *, T: Number = 8.0, variant: str = "paper") -> tuple[Tensor, None]:
    """d/dl = -c."""
    return -_coefficient(pick(log_probs, targets), T, variant), None


SPECS = family(
    __name__,
    LossSpec(
        "imae",
        imae,
        params={
            "T": Param(8.0, 0, None, meaning="larger T: larger differences between samples, most weight at p = 1/2"),
            "variant": variant("paper", "official", meaning="official: weights divided by their mean over the batch"),
        },
        grad=imae_grad,
    ),
)
