"""Early-learning regularisation: cross entropy pushed towards a running average of the sample's own predictions."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, per_class, pick
from losslab.losses.spec import LossSpec, Param, StateSpec, family

State = dict[str, Tensor]
_EDGE = 1e-4


def _clamped(log_probs: Tensor) -> Tensor:
    return log_probs.exp().clamp(_EDGE, 1.0 - _EDGE)


def _moved(state: State, p: Tensor, beta: Number) -> Tensor:
    p = p.detach()
    share = per_class(beta)
    return share * state["average"].to(p.dtype) + (1.0 - share) * p / p.sum(-1, keepdim=True)


def elr(
    log_probs: Tensor, targets: Tensor, *, lam: Number = 3.0, beta: Number = 0.7, state: State | None = None
) -> Tensor:
    """`-log p_y + lam log(1 - <p, t>)`, t the detached running average *after* this prediction.

    `(..., N, K)` -> `(..., N)`. p is kept in [1e-4, 1 - 1e-4] in the second term. Without state: cross entropy.
    """
    value = -pick(log_probs, targets)
    if state is None:
        return value
    p = _clamped(log_probs)
    return value + lam * (1.0 - (p * _moved(state, p, beta)).sum(-1)).log()


def start(num_models: int, num_samples: int, num_classes: int, targets: Tensor) -> State:
    """Averages start at zero."""
    return {"average": targets.new_zeros((num_models, num_samples, num_classes), dtype=torch.get_default_dtype())}


def move(rows: State, log_probs: Tensor, targets: Tensor, *, lam: Number = 3.0, beta: Number = 0.7) -> State:
    """`t <- beta t + (1 - beta) p`."""
    return {"average": _moved(rows, _clamped(log_probs), beta)}


SPECS = family(
    __name__,
    LossSpec(
        "elr",
        elr,
        params={
            "lam": Param(3.0, 0, None, meaning="weight of the regulariser"),
            "beta": Param(0.7, 0, 1, high_open=True, meaning="memory of the running average"),
        },
        state=StateSpec(init=start, update=move),
    ),
)
