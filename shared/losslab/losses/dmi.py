"""L_DMI: minus the log of the absolute determinant of the joint matrix of predictions and labels, over a batch."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import Number, onehot, per_stack
from losslab.losses.spec import LossSpec, Param, family, variant


def joint_counts(log_probs: Tensor, targets: Tensor) -> Tensor:
    """`M[c, j] = sum_i p_i(c) 1[y_i = j]`, float64 `(..., K, K)`; divided by N it estimates the joint distribution."""
    p = log_probs.double().exp()
    return p.mT @ onehot(targets, p)


def dmi(log_probs: Tensor, targets: Tensor, *, eps: Number = 1e-3, variant: str = "paper") -> Tensor:
    """L_DMI of a batch. `(..., N, K)` -> `(...)`. All matrices are float64.

    paper: `-log |det(M / N)|` with M the joint counts, from the log-determinant `1/2 log det(M^T M + eps^2 I)`:
    singular values of M below eps (in samples) are floored, so that a class missing from the batch, or more classes
    than samples, leaves a finite value and a gradient in all other directions.
    official: `-log(|det M| + eps)`, not divided by N; at det M = 0 there is no gradient.
    """
    counts = joint_counts(log_probs, targets)
    floor = per_stack(eps)
    if variant == "official":
        return -(torch.linalg.det(counts).abs() + floor).log().to(log_probs.dtype)
    size, num_classes = log_probs.shape[-2:]
    ridge = floor.unsqueeze(-1).unsqueeze(-1) if isinstance(floor, Tensor) else floor
    square = counts.mT @ counts + ridge**2 * torch.eye(num_classes, dtype=counts.dtype, device=counts.device)
    factor = torch.linalg.cholesky_ex(square).L
    log_det = factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    shift = num_classes * counts.new_full((), float(size)).log()
    return (shift - log_det).to(log_probs.dtype)


SPECS = family(
    __name__,
    LossSpec(
        "dmi",
        dmi,
        level="batch",
        params={
            "eps": Param(
                1e-3, 0, None, low_open=True, meaning="floor of M's singular values; official: added to |det M|"
            ),
            "variant": variant("paper", "official", meaning="official: determinant of the counts, not divided by N"),
        },
    ),
)
