"""Checks and conversions that all kinds of noise share."""

import math
import operator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.errors import InputError


def check_rate(rate: float | None) -> float:
    """The rate as a float in [0, 1]."""
    if rate is None or isinstance(rate, bool | str) or not math.isfinite(rate) or not 0.0 <= rate <= 1.0:
        raise InputError(f"the noise rate must be a number in [0, 1], not {rate!r}")
    return float(rate)


def check_classes(num_classes: int) -> int:
    """The number of classes as an int, at least 2."""
    try:
        count = operator.index(num_classes)
    except TypeError:
        raise InputError(f"num_classes must be an integer, not {num_classes!r}") from None
    if isinstance(num_classes, bool) or count < 2:
        raise InputError(f"num_classes must be at least 2, not {num_classes!r}")
    return count


def to_labels(labels: Any, num_classes: int | None, name: str = "labels") -> NDArray[np.int64]:
    """A new int64 numpy copy of one-dimensional integer labels, checked to lie in [0, num_classes)."""
    values = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    if values.dtype.kind not in "iu":
        raise InputError(f"{name} must be integers, not {values.dtype}")
    if values.ndim != 1:
        raise InputError(f"{name} must have one axis, not shape {tuple(values.shape)}")
    if num_classes is not None and values.size and (values.min() < 0 or values.max() >= num_classes):
        raise InputError(
            f"{name} must lie in [0, {num_classes}), but range from {int(values.min())} to {int(values.max())}"
        )
    return values.astype(np.int64)


def check_matrix(matrix: Any, num_classes: int) -> NDArray[np.float64]:
    """A transition matrix: (K, K), not negative, rows summing to 1 (tolerance 1e-6, then normalised)."""
    values = matrix.detach().cpu().numpy() if isinstance(matrix, torch.Tensor) else np.asarray(matrix)
    values = values.astype(np.float64)
    if values.shape != (num_classes, num_classes):
        raise InputError(f"the matrix must have shape {(num_classes, num_classes)}, not {tuple(values.shape)}")
    if not np.isfinite(values).all() or (values < 0).any():
        raise InputError("the matrix must hold finite probabilities of at least 0")
    sums = values.sum(axis=1)
    worst = int(np.abs(sums - 1).argmax())
    if abs(sums[worst] - 1) > 1e-6:
        raise InputError(f"every row of the matrix must sum to 1; row {worst} sums to {sums[worst]:.6g}")
    return values / sums[:, None]
