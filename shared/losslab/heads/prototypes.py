"""Class prototypes that stay where they are put: points on the unit sphere, `(K, d)` in float64, far from each other.

All but `random_prototypes` sum to zero, which makes the loss `-w_y . z` symmetric (prototype-anchored learning). `anchors` picks
the best construction for K and d. Everything is drawn from generators seeded by name, so it is the same everywhere.
"""

from __future__ import annotations

import math
from functools import cache

import torch
from torch import Tensor

from losslab.errors import InputError


def anchors(num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """The widest known prototypes: simplex (K <= d + 1), polygon (d = 2), orthogonal simplices (K <= 2d), else optimised."""
    _check(num_classes, dim)
    if num_classes <= dim + 1:
        return simplex_etf(num_classes, dim, seed)
    if dim == 2:
        return polygon(num_classes)
    if num_classes <= 2 * dim:
        return orthogonal_simplices(num_classes, dim, seed)
    return optimised(num_classes, dim, seed)


def simplex_etf(num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Regular simplex: all cosines are -1 / (K - 1), the largest possible angle for K <= d + 1. Randomly rotated by `seed`."""
    _check(num_classes, dim)
    if num_classes > dim + 1:
        raise InputError(f"a simplex of {num_classes} classes needs {num_classes - 1} dimensions or more, got {dim}")
    return _unit(_simplex(num_classes) @ _rotation(dim, seed)[: num_classes - 1])


def polygon(num_classes: int, start_degrees: float = -80.0) -> Tensor:
    """Regular polygon in the plane, neighbours in class order, counter-clockwise from `start_degrees`."""
    _check(num_classes, 2)
    angle = math.radians(start_degrees) + torch.arange(num_classes, dtype=torch.float64) * (2 * math.pi / num_classes)
    return torch.stack([angle.cos(), angle.sin()], dim=1)


def orthogonal_simplices(num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Simplices in K - d orthogonal subspaces: no cosine is above 0, the least possible for d + 1 < K <= 2d (Rankin).

    With K = 2d these are pairs of opposite points along the axes.
    """
    _check(num_classes, dim)
    groups = num_classes - dim
    if not 1 <= groups <= dim:
        raise InputError(
            f"orthogonal simplices in {dim} dimensions need {dim + 1} to {2 * dim} classes, got {num_classes}"
        )
    parts = [_simplex(dim // groups + (index < dim % groups) + 1) for index in range(groups)]
    return _unit(torch.block_diag(*parts) @ _rotation(dim, seed))


def optimised(num_classes: int, dim: int, seed: int = 0, steps: int = 2000) -> Tensor:
    """Points packed on the sphere by gradient descent on a sharpening log-sum-exp of their cosines, with zero sum.

    The sum costs some angle where the best packing does not balance: 73.4 instead of 77.9 degrees for 7 points in space, 65.5
    instead of 66.1 for 10; nothing for 4, 6, 8, 9, 12 or 24.
    """
    _check(num_classes, dim)
    if dim < 2:
        raise InputError(f"packing needs 2 dimensions or more, got {dim}")
    return _optimised(num_classes, dim, seed, steps).clone()


def random_prototypes(num_classes: int, dim: int, seed: int = 0) -> Tensor:
    """Independent points, uniform on the sphere: what good prototypes are compared with."""
    _check(num_classes, dim)
    return _unit(_normal(num_classes, dim, seed))


def min_angle(prototypes: Tensor) -> float:
    """The class margin in degrees: the smallest angle between two prototypes, whatever their lengths."""
    w = _unit(prototypes.detach().double())
    cosines = (w @ w.mT).fill_diagonal_(-1.0)
    return math.degrees(math.acos(min(1.0, max(-1.0, float(cosines.max())))))


@cache
def _optimised(num_classes: int, dim: int, seed: int, steps: int) -> Tensor:
    best = random_prototypes(num_classes, dim, seed)
    for start in range(3 if num_classes <= 64 else 1):
        w = random_prototypes(num_classes, dim, seed + start)
        momentum = torch.zeros_like(w)
        for step in range(steps):
            # Minus the soft minimum of the pairs' distances; ever harder, so that only nearest pairs count in the end.
            sharpness = 4.0 * 250.0 ** (step / steps)
            cosines = (w @ w.mT).fill_diagonal_(-torch.inf)
            weights = torch.softmax(sharpness * cosines.flatten(), 0).view_as(cosines)
            gradient = (weights + weights.mT) @ w + 2 * w.mean(0)
            gradient = gradient - (gradient * w).sum(1, keepdim=True) * w
            momentum = 0.9 * momentum + gradient
            rate = 0.2 / (1 + 0.02 * sharpness) * math.cos(math.pi / 2 * step / steps)
            w = _unit(w - rate * num_classes**0.5 * momentum / 4)
        w = _centred(w)
        if min_angle(w) > min_angle(best) or start == 0:
            best = w
    return best


def _simplex(points: int) -> Tensor:
    """A regular simplex of unit vectors that sum to zero, `(points, points - 1)` (Helmert's rows)."""
    matrix = torch.zeros(points, points - 1, dtype=torch.float64)
    for column in range(1, points):
        matrix[:column, column - 1] = 1.0
        matrix[column, column - 1] = -float(column)
    return _unit(matrix / matrix.norm(dim=0)) if points > 1 else matrix


def _centred(w: Tensor) -> Tensor:
    """Moves unit vectors until they sum to zero: subtract the mean, normalise, repeat."""
    for _ in range(200):
        mean = w.mean(0)
        if float(mean.norm()) < 1e-15:
            break
        w = _unit(w - mean)
    return w


def _rotation(dim: int, seed: int) -> Tensor:
    """A random orthogonal matrix; signs are fixed, so that it does not depend on the linear algebra library."""
    q, r = torch.linalg.qr(_normal(dim, dim, seed))
    return q * r.diagonal().sign()


def _normal(rows: int, columns: int, seed: int) -> Tensor:
    return torch.randn(rows, columns, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def _unit(w: Tensor) -> Tensor:
    return w / w.norm(dim=-1, keepdim=True)


def _check(num_classes: int, dim: int) -> None:
    if num_classes < 2 or dim < 1:
        raise InputError(f"prototypes need 2 classes and 1 dimension or more, got {num_classes} and {dim}")
