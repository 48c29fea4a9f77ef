"""Whether a classifier's confidence is its accuracy: reliability bins and the errors made of them."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losslab.errors import InputError


@dataclass(frozen=True, eq=False)
class Reliability:
    """Bins of equal width over the confidence, all `(bins,)`: edges `(bins + 1,)`, samples, mean confidence, accuracy (nan if empty).

    ece: expected calibration error, the mean |accuracy - confidence| over samples. mce: the largest over the bins.
    overconfidence: mean confidence minus accuracy, over all samples.
    """

    edges: Tensor
    counts: Tensor
    confidence: Tensor
    accuracy: Tensor
    ece: float
    mce: float
    overconfidence: float


def reliability(probabilities: Tensor, labels: Tensor, bins: int = 15) -> Reliability:
    """Reliability diagram of outputs `(N, K)` for labels `(N,)`; a confidence on an edge belongs to the bin below (Guo et al. 2017)."""
    p = probabilities.detach().cpu().double()
    if p.ndim != 2 or labels.shape != p.shape[:1] or len(p) == 0:
        raise InputError(f"expected outputs (N, K) and labels (N,), got {tuple(p.shape)} and {tuple(labels.shape)}")
    if bool((p < -1e-9).any()) or bool(((p.sum(1) - 1).abs() > 1e-3).any()):
        raise InputError("outputs must be probabilities: take the softmax of logits first")
    confidence, predicted = p.max(1)
    hit = (predicted == labels.cpu()).double()
    edges = torch.linspace(0, 1, bins + 1, dtype=torch.float64)
    index = (torch.bucketize(confidence, edges) - 1).clamp(0, bins - 1)
    counts = torch.bincount(index, minlength=bins)
    mean = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, confidence) / counts
    accuracy = torch.zeros(bins, dtype=torch.float64).index_add_(0, index, hit) / counts
    gaps = (accuracy - mean).abs()[counts > 0]
    share = counts[counts > 0] / len(p)
    return Reliability(
        edges=edges,
        counts=counts,
        confidence=mean,
        accuracy=accuracy,
        ece=float((share * gaps).sum()),
        mce=float(gaps.max()),
        overconfidence=float(confidence.mean() - hit.mean()),
    )


def ece(probabilities: Tensor, labels: Tensor, bins: int = 15) -> float:
    """Expected calibration error of outputs `(N, K)` for labels `(N,)`."""
    return reliability(probabilities, labels, bins).ece
