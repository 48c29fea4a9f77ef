"""Negative learning: the sample does *not* belong to a complementary label (NLNL, its negative-learning part)."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.losses.numerics import pick
from losslab.losses.spec import LossSpec, Param, family


def nlnl(
    log_probs: Tensor,
    targets: Tensor,
    *,
    negatives: int = 1,
    complementary: Tensor | None = None,
    class_counts: Tensor | None = None,
) -> Tensor:
    """`-w_y mean_j log(1 - p_j)` over complementary labels j. `(..., N, K)` -> `(..., N)`.

    complementary: `(..., N, J)` int64 labels other than y; None: the exact expectation over all K - 1 of them.
    class_counts: `(K,)` or `(..., K)`; then w_y = n_max / n_y, else 1. 1 - p_j is kept at or above 1e-5.
    """
    terms = -(-torch.expm1(log_probs)).clamp_min(1e-5).log()
    if complementary is None:
        value = (terms.sum(-1) - pick(terms, targets)) / (log_probs.shape[-1] - 1)
    else:
        value = terms.gather(-1, complementary).mean(-1)
    if class_counts is None:
        return value
    counts = class_counts.to(log_probs.dtype)
    weights = counts.amax(-1, keepdim=True) / counts
    return value * weights.expand(*targets.shape[:-1], weights.shape[-1]).gather(-1, targets)


def draw_complementary(
    generator: torch.Generator, targets: Tensor, num_classes: int, *, negatives: int = 1
) -> Tensor | None:
    """`negatives` labels per sample, independent, uniform over the other classes: `(..., N, negatives)`; None for 0."""
    if negatives == 0:
        return None
    shift = torch.randint(1, num_classes, (*targets.shape, negatives), generator=generator, device=generator.device)
    return (targets.unsqueeze(-1) + shift.to(targets.device)) % num_classes


SPECS = family(
    __name__,
    LossSpec(
        "nlnl",
        nlnl,
        params={
            "negatives": Param(
                1, 0, None, integer=True, meaning="complementary labels per sample; 0: exact expectation"
            )
        },
        optional=("class_counts",),
        draw=draw_complementary,
        draw_name="complementary",
    ),
)
