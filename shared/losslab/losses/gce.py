"""Generalised cross entropy L_q, its truncated form with pruning, and the comp-sum family around it."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, box_cox, pick
from losslab.losses.spec import LossSpec, Param, StateSpec, family, variant

State = dict[str, Tensor]


def gce(log_probs: Tensor, targets: Tensor, *, q: Number = 0.7) -> Tensor:
    """`(1 - p_y^q) / q`, between cross entropy (q -> 0) and 1 - p_y (q = 1). `(..., N, K)` -> `(..., N)`."""
    return -torch.expm1(q * pick(log_probs, targets)) / q


def gce_grad(log_probs: Tensor, targets: Tensor, *, q: Number = 0.7) -> tuple[Tensor, None]:
    """d/dl = -p_y^q."""
    return -torch.exp(q * pick(log_probs, targets)), None


def truncated_gce(
    log_probs: Tensor,
    targets: Tensor,
    *,
    q: Number = 0.7,
    k: Number = 0.5,
    variant: str = "paper",
    state: State | None = None,
) -> Tensor:
    """Truncated L_q, by alternating pruning or directly. `(..., N, K)` -> `(..., N)`.

    With frozen weights w in {0, 1} (`state["weight"]`, rows `(..., N)`; None: all 1):
    paper: `w (L_q(p_y) - L_q(k)) N / sum w`, so that the mean is over the kept samples;
    official: `w (L_q(p_y) - L_q(k))`, so that the mean is over the batch and pruning shrinks the step;
    direct: no weights, `L_q(max(p_y, k))`.
    The constant L_q(k) makes the first two negative once p_y > k; it has no gradient.
    """
    log_p = pick(log_probs, targets)
    value = -torch.expm1(q * log_p) / q
    limit = (1.0 - k**q) / q
    if variant == "direct":
        return torch.where(log_p.exp() > k, value, limit + torch.zeros_like(value))
    return (value - limit) * _weights(log_p, variant, state)


def truncated_gce_grad(
    log_probs: Tensor,
    targets: Tensor,
    *,
    q: Number = 0.7,
    k: Number = 0.5,
    variant: str = "paper",
    state: State | None = None,
) -> tuple[Tensor, None]:
    """d/dl = -w p_y^q (paper: times N / sum w; direct: w = 1 where p_y > k, else 0)."""
    log_p = pick(log_probs, targets)
    slope = -torch.exp(q * log_p)
    if variant == "direct":
        return torch.where(log_p.exp() > k, slope, torch.zeros_like(slope)), None
    return slope * _weights(log_p, variant, state), None


def _weights(log_p: Tensor, variant: str, state: State | None) -> Tensor:
    if state is None:
        return torch.ones_like(log_p)
    weight = state["weight"].to(log_p.dtype)
    if variant == "official":
        return weight
    return weight * (log_p.shape[-1] / weight.sum(-1, keepdim=True).clamp_min(1.0))


def keep_all(num_models: int, num_samples: int, num_classes: int, targets: Tensor) -> State:
    """Before the first pruning every sample has weight 1."""
    return {"weight": targets.new_ones((num_models, num_samples), dtype=torch.get_default_dtype())}


def prune(
    state: State, log_probs: Tensor, targets: Tensor, *, q: Number = 0.7, k: Number = 0.5, variant: str = "paper"
) -> State:
    """Weight 1 where p_y >= k (the same as L_q(p_y) <= L_q(k)), else 0. Pruned samples may come back."""
    return {"weight": (pick(log_probs, targets).exp() >= k).to(state["weight"].dtype)}


def comp_sum(log_probs: Tensor, targets: Tensor, *, tau: Number = 1.5) -> Tensor:
    """`((1 + u)^(1 - tau) - 1) / (1 - tau)` with `1 + u = 1 / p_y`. `(..., N, K)` -> `(..., N)`.

    tau = 0: sum of exponentials; 1: cross entropy; 1 + q: L_q; 2: 1 - p_y. Below tau = 1 the loss grows like a power of
    1 / p_y; beyond an exponent of 60 it goes on along its tangent.
    """
    return box_cox(-pick(log_probs, targets), 1.0 - tau)


def comp_sum_grad(log_probs: Tensor, targets: Tensor, *, tau: Number = 1.5) -> tuple[Tensor, None]:
    """d/dl = -(1 / p_y)^(1 - tau)."""
    return -torch.exp((-pick(log_probs, targets) * (1.0 - tau)).clamp_max(60.0)), None


_Q = Param(0.7, 0, 1, low_open=True, meaning="0 would be cross entropy, 1 is 1 - p_y")
_K = Param(0.5, 0, 1, low_open=True, high_open=True, meaning="samples with p_y below it are pruned")
_PRUNING = variant(
    "paper", "official", "direct", meaning="mean over kept samples | over the batch | plain truncation, no memory"
)

SPECS = family(
    __name__,
    LossSpec("gce", gce, params={"q": _Q}, grad=gce_grad),
    LossSpec(
        "truncated_gce",
        truncated_gce,
        params={"q": _Q, "k": _K, "variant": _PRUNING},
        state=StateSpec(init=keep_all, refresh=prune),
        grad=truncated_gce_grad,
    ),
    LossSpec(
        "comp_sum",
        comp_sum,
        params={"tau": Param(1.5, 0, None, meaning="0 sum-exponential, 1 cross entropy, 1 + q is L_q, 2 is 1 - p_y")},
        grad=comp_sum_grad,
    ),
)
