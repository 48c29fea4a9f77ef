"""Instance-dependent noise: the more a sample looks like another class, the likelier it carries that class's label."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.errors import InputError

_CHUNK = 4096  # samples at a time


def confusable(
    labels: NDArray[np.int64], features: Any, num_classes: int
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Per sample the nearest *other* class mean, and how much nearer it is than the sample's own class mean.

    Returns ``other`` (n,) int64 and ``score`` (n,) float64 = own distance - other distance (Euclidean, float64); the larger, the
    more the sample looks like the other class. Classes without samples are never chosen.
    """
    values = features.detach().cpu().numpy() if isinstance(features, torch.Tensor) else np.asarray(features)
    if len(values) != len(labels):
        raise InputError(f"there are {len(values)} rows of features for {len(labels)} labels")
    present, sizes = np.unique(labels, return_counts=True)
    if len(present) < 2:
        raise InputError("instance noise needs samples of at least two classes")
    # Through inner products, chunk by chunk. For images in whole numbers every sum below is exact in float64, so that the
    # result does not depend on the order of summation: the same labels on every machine.
    flat = values.reshape(len(labels), -1)
    sums = np.zeros((len(present), flat.shape[1]))
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.float64)
        if not np.isfinite(part).all():
            raise InputError("features must be finite")
        sums += (labels[start : start + _CHUNK] == present[:, None]).astype(np.float64) @ part
    lengths = (sums * sums).sum(axis=1) / sizes**2
    distance = np.full((len(labels), num_classes), np.inf)
    for start in range(0, len(flat), _CHUNK):
        part = flat[start : start + _CHUNK].astype(np.float64)
        square = (part * part).sum(axis=1, keepdims=True) - 2 * (part @ sums.T) / sizes + lengths
        distance[start : start + _CHUNK, present] = np.sqrt(np.maximum(square, 0))
    rows = np.arange(len(labels))
    own = distance[rows, labels].copy()
    distance[rows, labels] = np.inf
    other = distance.argmin(axis=1)
    return other.astype(np.int64), own - distance[rows, other]


def _probabilities(score: NDArray[np.float64], rate: float, sharpness: float) -> NDArray[np.float64]:
    """sigmoid(sharpness x standardised score + shift), the shift found by bisection so that the mean is the rate."""
    if rate in (0.0, 1.0):
        return np.full(len(score), rate)
    slope = sharpness * (score - score.mean()) / max(float(score.std()), 1e-12)
    low, high = -60.0 - np.abs(slope).max(), 60.0 + np.abs(slope).max()
    for _ in range(100):
        shift = (low + high) / 2
        if (1 / (1 + np.exp(-np.clip(slope + shift, -500, 500)))).mean() < rate:
            low = shift
        else:
            high = shift
    return 1 / (1 + np.exp(-np.clip(slope + high, -500, 500)))


def instance_noise(
    labels: NDArray[np.int64],
    features: Any,
    rate: float,
    rng: np.random.Generator,
    num_classes: int,
    exact: bool,
    sharpness: float,
) -> NDArray[np.int64]:
    """Labels in which a share ``rate`` carries the class that the sample is most easily taken for.

    The probability of a wrong label is logistic in `confusable`'s score, with mean ``rate``. ``exact``: floor(rate x n) wrong
    labels, chosen with those odds; otherwise one independent draw per sample.
    """
    if not np.isfinite(sharpness) or sharpness < 0:
        raise InputError(f"sharpness must be a finite number of at least 0, not {sharpness!r}")
    other, score = confusable(labels, features, num_classes)
    probability = _probabilities(score, rate, sharpness)
    uniform = rng.random(len(labels))
    if exact:
        tiny = np.finfo(np.float64).tiny
        odds = np.log(np.maximum(probability, tiny)) - np.log(np.maximum(1 - probability, tiny))
        draws = np.maximum(uniform, tiny)
        keys = -(odds - np.log(draws) + np.log1p(-draws))  # a logistic variable added to the log-odds
        wrong = np.zeros(len(labels), dtype=bool)
        wrong[np.argsort(keys, kind="stable")[: int(np.floor(rate * len(labels) + 1e-9))]] = True
    else:
        wrong = uniform < probability
    return np.where(wrong, other, labels)
