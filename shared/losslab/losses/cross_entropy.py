"""Cross entropy and its smoothed forms, mean absolute error, squared error.

Symbols: p = softmax(z), l = log p_y, S = sum over k of log p_k, t the target distribution (one-hot for a label).
"""

from __future__ import annotations

from torch import Tensor

from losslab.losses.numerics import Number, onehot, per_class, pick
from losslab.losses.spec import LossSpec, Param, family, variant


def ce(log_probs: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy `-log p_y`, or `-sum_k t_k log p_k` for soft targets. `(..., N, K)` -> `(..., N)`."""
    if targets.dim() == log_probs.dim():
        return -(targets.to(log_probs.dtype) * log_probs).sum(-1)
    return -pick(log_probs, targets)


def ce_grad(log_probs: Tensor, targets: Tensor) -> tuple[Tensor, None]:
    """d/dl = -1."""
    return -log_probs.new_ones(targets.shape), None


def mae(log_probs: Tensor, targets: Tensor, *, variant: str = "paper") -> Tensor:
    """Mean absolute error `sum_k |t_k - p_k|`, which is `2 (1 - p_y)` for a label; official: half of it, `1 - p_y`."""
    scale = 2.0 if variant == "paper" else 1.0
    if targets.dim() == log_probs.dim():
        return (scale / 2) * (targets.to(log_probs.dtype) - log_probs.exp()).abs().sum(-1)
    return -scale * pick(log_probs, targets).expm1()


def mae_grad(log_probs: Tensor, targets: Tensor, *, variant: str = "paper") -> tuple[Tensor, None]:
    """d/dl = -2 p_y (official: -p_y)."""
    return (-2.0 if variant == "paper" else -1.0) * pick(log_probs, targets).exp(), None


def mse(log_probs: Tensor, targets: Tensor) -> Tensor:
    """Squared error `sum_k (t_k - p_k)^2`; for a label `1 - 2 p_y + sum_k p_k^2`."""
    return (onehot(targets, log_probs) - log_probs.exp()).square().sum(-1)


def label_smoothing(log_probs: Tensor, targets: Tensor, *, eps: Number = 0.1, variant: str = "paper") -> Tensor:
    """Cross entropy against `(1 - eps) t + eps / K`.

    official (a robust-loss code that fixes K = 10 and does not normalise): target `(1 - 1.1 eps) t + eps / 10`.
    """
    hit, spread = _smoothing_weights(eps, log_probs.shape[-1], variant)
    if targets.dim() == log_probs.dim():
        return -((per_class(hit) * targets.to(log_probs.dtype) + per_class(spread)) * log_probs).sum(-1)
    return -(hit * pick(log_probs, targets) + spread * log_probs.sum(-1))


def label_smoothing_grad(
    log_probs: Tensor, targets: Tensor, *, eps: Number = 0.1, variant: str = "paper"
) -> tuple[Tensor, Tensor]:
    """d/dl = -(1 - eps), d/dS = -eps / K."""
    hit, spread = _smoothing_weights(eps, log_probs.shape[-1], variant)
    ones = log_probs.new_ones(targets.shape)
    return -hit * ones, -spread * ones


def _smoothing_weights(eps: Number, num_classes: int, variant: str) -> tuple[Number, Number]:
    if variant == "paper":
        return 1.0 - eps, eps / num_classes
    return 1.0 - 1.1 * eps, 0.1 * eps


_HALF = variant("paper", "official", meaning="paper: sum of absolute errors, 2 (1 - p_y); official: 1 - p_y")
_SMOOTH = variant("paper", "official", meaning="official: targets 1 - 1.1 eps + eps / 10 and eps / 10, whatever K")

SPECS = family(
    __name__,
    LossSpec("ce", ce, soft_targets=True, grad=ce_grad),
    LossSpec("mae", mae, soft_targets=True, params={"variant": _HALF}, grad=mae_grad),
    LossSpec("mse", mse, soft_targets=True),
    LossSpec(
        "label_smoothing",
        label_smoothing,
        soft_targets=True,
        params={
            "eps": Param(0.1, 0, 1, high_open=True, meaning="mass moved to the uniform distribution"),
            "variant": _SMOOTH,
        },
        grad=label_smoothing_grad,
    ),
)
