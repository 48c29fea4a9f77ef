"""Estimating the transition matrix of the forward and backward corrections from a model trained on noisy labels."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.errors import InputError


def estimate_transition(probabilities: Tensor, percentile: float | None = None) -> Tensor:
    """T_hat: row i is the prediction for the sample that the model finds most typical of class i.

    probabilities `(n, K)`: softmax outputs on the (noisy) training set, float; returns `(K, K)` float64.
    percentile None: the sample with the largest p_i. A number such as 97: the largest p_i among those strictly below that
    percentile of p_i over the samples (the smallest value at or above it is used as the limit), which guards against
    outliers; where no sample lies below (all equal), the largest p_i. The released code of the method uses 97, except on
    CIFAR-100. Raises InputError for other shapes, or a percentile outside (0, 100].

    >>> p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    >>> [[round(v, 1) for v in row] for row in estimate_transition(p).tolist()]
    [[0.9, 0.1], [0.2, 0.8]]
    """
    table = torch.as_tensor(probabilities)
    if table.dim() != 2 or table.shape[0] < 1 or table.shape[1] < 2 or not table.is_floating_point():
        raise InputError(
            f"probabilities are {table.dtype} {tuple(table.shape)}, expected floats (n, K) with n >= 1, K >= 2"
        )
    table = table.double()
    if (
        not bool(torch.isfinite(table).all())
        or bool((table < 0).any())
        or bool(((table.sum(1) - 1).abs() > 1e-2).any())
    ):
        raise InputError("probabilities must be finite, non-negative and sum to 1 over the classes")
    if percentile is None:
        return table[table.argmax(0)]
    if not 0 < percentile <= 100:
        raise InputError(f"percentile is {percentile!r}, expected a number in (0, 100]")
    limit = torch.quantile(table, percentile / 100, dim=0, interpolation="higher")
    below = torch.where(table < limit, table, -torch.ones_like(table))
    best = torch.where((below >= 0).any(0), below.argmax(0), table.argmax(0))
    return table[best]
