"""Unequal class sizes: long-tailed and step (LDAM, Cao et al. 2019), and the choice of the samples that stay."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.errors import InputError
from losslab.noise._checks import to_labels
from losslab.seeding import generator


def _sizes(counts: Sequence[int] | NDArray[Any] | Any, ratio: float) -> tuple[NDArray[np.int64], float, float]:
    values = np.asarray(counts)
    if values.ndim != 1 or len(values) < 2 or values.dtype.kind not in "iu" or (values < 1).any():
        raise InputError("counts must hold the number of samples of every class: at least two integers of at least 1")
    if isinstance(ratio, bool) or not np.isfinite(ratio) or ratio < 1:
        raise InputError(
            f"the imbalance ratio is the largest class over the smallest, at least 1, not {ratio!r} (for 0.01 give 100)"
        )
    return values.astype(np.int64), float(values.sum() / len(values)), 1.0 / float(ratio)


def long_tailed(counts: Sequence[int] | NDArray[Any], ratio: float) -> NDArray[np.int64]:
    """Exponentially falling class sizes: n_c = int(n_max ratio^(-c / (K - 1))), n_max = n / K; class 0 is the head.

    ``counts``: (K,) samples that each class has (n_c never exceeds it). ``ratio``: largest over smallest class, at least 1.
    Returns (K,) int64. CIFAR-10 with ratio 100: 5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50 (12,406 in all).
    """
    available, largest, factor = _sizes(counts, ratio)
    sizes = [int(largest * factor ** (c / (len(available) - 1.0))) for c in range(len(available))]
    return np.minimum(np.array(sizes, dtype=np.int64), available)


def step(counts: Sequence[int] | NDArray[Any], ratio: float) -> NDArray[np.int64]:
    """Two class sizes: classes 0 to K / 2 - 1 keep n_max = n / K samples, the others int(n_max / ratio).

    Arguments and result as in `long_tailed`. With an odd K the middle class is small.
    """
    available, largest, factor = _sizes(counts, ratio)
    half = len(available) // 2
    sizes = [int(largest)] * half + [int(largest * factor)] * (len(available) - half)
    return np.minimum(np.array(sizes, dtype=np.int64), available)


def subsample(labels: Any, counts: Sequence[int] | NDArray[Any], seed: int) -> NDArray[np.int64]:
    """Indices (ascending, int64) of ``counts[c]`` random samples of every class c.

    The same seed with smaller counts gives a subset. Raises InputError if a class has too few samples.
    """
    wanted = np.asarray(counts)
    if wanted.ndim != 1 or wanted.dtype.kind not in "iu" or (wanted < 0).any():
        raise InputError("counts must hold one integer of at least 0 per class")
    values = to_labels(labels, len(wanted))
    keys = generator("imbalance", seed).random(len(values))
    kept = []
    for c, count in enumerate(wanted.tolist()):
        members = np.flatnonzero(values == c)
        if count > len(members):
            raise InputError(f"class {c} has {len(members)} samples, {count} were asked for")
        kept.append(members[np.argsort(keys[members], kind="stable")[:count]])
    return np.sort(np.concatenate(kept))
