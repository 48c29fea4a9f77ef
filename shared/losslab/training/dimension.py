"""D2L's schedule: when the features' dimensionality starts to grow, the given labels lose weight (Ma et al. 2018).

Early training compresses the features; memorising wrong labels expands them again. The epoch at which their local intrinsic dimensionality (LID)
leaves the band of the last epochs is the *turning point*; from then on the label's weight is ``exp(-(t / T) LID_t / min LID)``. The released code
also goes back to the weights of the epoch before the turning point; here training goes on from where it is.
"""

from __future__ import annotations

import statistics

import torch
from torch import Tensor

from losslab.losses.bootstrap import d2l_alpha, local_intrinsic_dimensionality

NEIGHBOURS, BATCH, BATCHES = 20, 128, 10  # as in the released code: 1,280 samples in batches of 128, 20 neighbours
WINDOW = 5  # epochs that the band is taken from
DEVIATIONS = 2.0  # its half width, in standard deviations


def dimensionality(features: Tensor) -> Tensor:
    """Mean LID of features ``(M, n, d)`` over batches: ``(M,)``."""
    parts = features[:, : BATCH * BATCHES].float().split(BATCH, dim=1)
    whole = [part for part in parts if part.shape[1] > NEIGHBOURS + 1]
    return torch.stack([local_intrinsic_dimensionality(part, NEIGHBOURS) for part in whole]).mean(0)


def turning_point(history: list[float]) -> int | None:
    """First epoch (0-based) whose LID lies above the band of the `WINDOW` epochs before it; None if there is none yet."""
    for epoch in range(WINDOW, len(history)):
        before = history[epoch - WINDOW : epoch]
        if history[epoch] > statistics.mean(before) + DEVIATIONS * statistics.pstdev(before):
            return epoch
    return None


def label_weight(history: list[float], epochs: int) -> float:
    """Weight of the given label in the next epoch, in (0, 1], from the LIDs of the epochs so far."""
    if turning_point(history) is None:
        return 1.0
    return d2l_alpha(len(history), epochs, history[-1], min(history[:-1]))
