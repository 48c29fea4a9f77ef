"""Determinant-based mutual information of joint distributions (Xu et al. 2019, L_DMI; Kong 2020), beside Shannon's.

A joint matrix Q `(C, C)` has predictions as rows and labels as columns and sums to 1. Label noise that does not depend on the input
given the true label turns Q into Q T, with T the row-stochastic transition matrix. All matrices are float64.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from losslab.errors import InputError
from losslab.seeding import generator

Array = NDArray[np.float64]


def joint(probabilities: ArrayLike, labels: ArrayLike, num_classes: int | None = None) -> Array:
    """`U[c, j] = (1 / N) sum_i h(x_i)_c 1[y_i = j]` from outputs `(N, C)` (or predicted classes `(N,)`) and labels `(N,)`."""
    y = np.asarray(labels, dtype=np.int64)
    h = np.asarray(probabilities)
    if h.ndim == 1:
        size = num_classes or int(max(h.max(), y.max())) + 1
        h = np.eye(size)[h.astype(np.int64)]
    if h.ndim != 2 or y.shape != h.shape[:1] or len(y) == 0:
        raise InputError(f"expected outputs (N, C) and labels (N,), got {h.shape} and {y.shape}")
    return np.asarray(h.astype(np.float64).T @ np.eye(h.shape[1])[y] / len(y))


def dmi(q: ArrayLike) -> float:
    """`|det Q|`; 0 for any classifier that ignores its input."""
    return abs(float(np.linalg.det(_square(q))))


def log_dmi(q: ArrayLike) -> float:
    """`log |det Q|`, -inf where it is 0; minus it is the loss. Does not underflow with many classes."""
    return float(np.linalg.slogdet(_square(q))[1])


def mutual_information(q: ArrayLike) -> float:
    """Shannon's `sum Q log(Q / (row sum x column sum))`, natural logarithm."""
    joint_matrix = _square(q)
    independent = np.outer(joint_matrix.sum(1), joint_matrix.sum(0))
    used = joint_matrix > 0
    return float((joint_matrix[used] * np.log(joint_matrix[used] / independent[used])).sum())


def prior_bound(q: ArrayLike) -> float:
    """`prod_c P(Y = c)`, which no |det Q| with these labels exceeds; at most C^-C (1e-10 for ten classes)."""
    return float(_square(q).sum(0).prod())


def normalised_dmi(q: ArrayLike) -> float:
    """`|det Q| / prod_c P(Y = c)`, in [0, 1]: the determinant of P(prediction | label). 1 for a perfect (or permuted) classifier.

    Computed from log-determinants, so ten or a hundred classes are no trouble.
    """
    prior = _square(q).sum(0)
    if np.any(prior <= 0):
        return 0.0
    return math.exp(log_dmi(q) - float(np.log(prior).sum()))


@dataclass(frozen=True)
class Invariance:
    """`det(Q T)` (noisy), `det Q` (clean), `det T`, signs included: noisy = clean x transition."""

    noisy: float
    clean: float
    transition: float

    @property
    def loss_shift(self) -> float:
        """`-log |det T|`, at least 0: what the noise adds to the loss of every classifier."""
        return math.inf if self.transition == 0 else -math.log(abs(self.transition))

    @property
    def gap(self) -> float:
        """`|det(Q T) - det Q det T|`, rounding only."""
        return abs(self.noisy - self.clean * self.transition)


def invariance(q: ArrayLike, transition: ArrayLike) -> Invariance:
    """Relative invariance of DMI for joint matrix Q and transition matrix T, both `(C, C)` (lemma 3.5)."""
    a, t = _square(q), _stochastic(transition)
    return Invariance(*(float(np.linalg.det(matrix)) for matrix in (a @ t, a, t)))


def monotone(q: ArrayLike, transition: ArrayLike, side: str = "label") -> bool:
    """Information monotonicity: noise on the labels (Q T) or on the predictions (T^T Q) does not raise DMI, because |det T| <= 1."""
    a, t = _square(q), _stochastic(transition)
    if side not in ("label", "prediction"):
        raise InputError(f"side is {side!r}; it can be 'label' or 'prediction'")
    after = a @ t if side == "label" else t.T @ a
    return dmi(after) <= dmi(a) + 1e-15


@dataclass(frozen=True, eq=False)
class CounterExample:
    """Two classifiers whose order by Shannon's mutual information turns under noise, while that by DMI stays (claim B.2).

    better, worse: joint matrices with clean labels. shannon, determinant: ((clean better, worse), (noisy better, worse)).
    """

    better: Array
    worse: Array
    transition: Array
    shannon: tuple[tuple[float, float], tuple[float, float]]
    determinant: tuple[tuple[float, float], tuple[float, float]]


def counter_example() -> CounterExample:
    """The two-class example of the paper, with all eight numbers."""
    better = np.array([[0.1, 0.4], [0.2, 0.3]])
    worse = np.array([[0.2, 0.6], [0.1, 0.1]])
    t = np.array([[0.8, 0.2], [0.4, 0.6]])
    pairs = ((better, worse), (better @ t, worse @ t))
    shannon = tuple((mutual_information(a), mutual_information(b)) for a, b in pairs)
    determinant = tuple((dmi(a), dmi(b)) for a, b in pairs)
    return CounterExample(better, worse, t, (shannon[0], shannon[1]), (determinant[0], determinant[1]))


def invariance_ratio(noisy: ArrayLike, clean: ArrayLike, transition: ArrayLike) -> float:
    """`rho = |det U_noisy| / (|det U_clean| |det T|)`: 1 for a fixed classifier on fresh labels, above 1 where the noise was memorised.

    A classifier that repeats the noisy labels has rho = prod P(noisy label) / (prod P(true label) det(T)^2).
    """
    t = _stochastic(transition)
    logs = log_dmi(noisy) - log_dmi(clean) - float(np.linalg.slogdet(t)[1])
    return math.exp(logs) if math.isfinite(logs) else math.nan


@dataclass(frozen=True)
class BatchEstimate:
    """Mean and standard deviation over batches of |det U| and of -log |det U|, with the values at Q. Batches with det 0 are left out
    of the logarithm; `singular` is their share."""

    size: int
    determinant: float
    determinant_mean: float
    determinant_std: float
    loss: float
    loss_mean: float
    loss_std: float
    singular: float


def batch_estimate(q: ArrayLike, size: int, draws: int = 500, seed: int = 0) -> BatchEstimate:
    """Bias and spread of the batch estimate: batches of `size` samples drawn from Q, with hard predictions."""
    a = _square(q)
    counts = generator("dmi-batch", seed).multinomial(size, a.ravel() / a.sum(), draws)
    matrices = counts.reshape(draws, *a.shape) / size
    log = np.linalg.slogdet(matrices)[1]
    det = np.exp(log)
    finite = np.isfinite(log)
    losses = -log[finite]
    return BatchEstimate(
        size=size,
        determinant=dmi(a),
        determinant_mean=float(det.mean()),
        determinant_std=float(det.std()),
        loss=-log_dmi(a),
        loss_mean=float(losses.mean()) if losses.size else math.inf,
        loss_std=float(losses.std()) if losses.size else math.nan,
        singular=float(1 - finite.mean()),
    )


def _square(q: ArrayLike | torch.Tensor) -> Array:
    a = np.asarray(q.detach().cpu() if isinstance(q, torch.Tensor) else q, dtype=np.float64)
    if a.ndim != 2 or a.shape[0] != a.shape[1] or not np.all(np.isfinite(a)):
        raise InputError(f"expected a square matrix of finite numbers, got shape {a.shape}")
    return a


def _stochastic(transition: ArrayLike) -> Array:
    t = _square(transition)
    if np.any(t < 0) or np.any(np.abs(t.sum(1) - 1) > 1e-6):
        raise InputError("the rows of a transition matrix must be non-negative and sum to 1")
    return t
