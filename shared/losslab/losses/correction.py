"""Losses corrected with a transition matrix T, T[i, j] = P(given label j | true label i).

`transition` is `(K, K)` or stacked `(..., K, K)` with the leading axes of the inputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.spec import LossSpec, family


def forward(log_probs: Tensor, targets: Tensor, *, transition: Tensor) -> Tensor:
    """`-log (T^T p)_y = -log sum_i p_i T[i, y]`. `(..., N, K)` -> `(..., N)`.

    Computed as a logsumexp of log p_i + log T[i, y]; a zero of T counts as a very small number, so a label that T
    excludes costs a large finite amount.
    """
    floor = max(-1e30, torch.finfo(log_probs.dtype).min / 4)
    log_t = transition.log().clamp_min(floor).to(log_probs.dtype)
    return -torch.logsumexp(log_probs + _rows(log_t.mT, targets), dim=-1)


def backward(log_probs: Tensor, targets: Tensor, *, transition: Tensor) -> Tensor:
    """`sum_j (T^-1)[y, j] (-log p_j)`: unbiased for the clean cross entropy. `(..., N, K)` -> `(..., N)`.

    May be negative and has no lower bound. An inverse is taken in every call, without a host read; a singular T gives nan.
    """
    wide = transition if transition.dtype == torch.float64 else transition.float()
    inverse = torch.linalg.inv_ex(wide).inverse.to(log_probs.dtype)
    return -(_rows(inverse, targets) * log_probs).sum(-1)


def _rows(matrix: Tensor, targets: Tensor) -> Tensor:
    """Row `targets[..., n]` of the matrix `(..., K, K)`: `(..., N, K)`."""
    if matrix.dim() == 2:
        return matrix[targets]
    size = matrix.shape[-1]
    index = targets.unsqueeze(-1).expand(*targets.shape, size)
    return matrix.expand(*targets.shape[:-1], size, size).gather(-2, index)


SPECS = family(
    __name__,
    LossSpec("forward", forward, tensors=("transition",)),
    LossSpec("backward", backward, tensors=("transition",)),
)
