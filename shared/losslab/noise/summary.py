"""What noise there really is in given labels."""

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.errors import InputError
from losslab.noise._checks import check_classes, to_labels


def realised(labels: Any, noisy: Any, num_classes: int) -> tuple[NDArray[np.float64], float]:
    """Realised transition matrix ``(K, K)`` float64 and overall share of wrong labels in [0, 1].

    Row = true class, column = given class; the row of a class without samples is NaN. ``labels`` and ``noisy``: ``(n,)``
    integers in [0, K), arrays or tensors. Raises InputError for labels out of range or of unequal length.
    """
    k = check_classes(num_classes)
    true, given = to_labels(labels, k), to_labels(noisy, k, "noisy labels")
    if true.shape != given.shape:
        raise InputError(f"there are {len(given)} noisy labels for {len(true)} labels")
    counts = np.bincount(true * k + given, minlength=k * k).reshape(k, k).astype(np.float64)
    sizes = counts.sum(axis=1, keepdims=True)
    matrix = np.divide(counts, sizes, out=np.full((k, k), np.nan), where=sizes > 0)
    return matrix, float((true != given).mean()) if len(true) else 0.0


def digest(labels: Any) -> str:
    """SHA-256 (hex) of labels as little-endian int64: one text for one realisation, whatever the dtype, device or machine."""
    return hashlib.sha256(to_labels(labels, None).astype("<i8").tobytes()).hexdigest()
