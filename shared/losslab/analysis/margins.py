"""Margins and geometry of prototypes and features: angles, sample margins, distance to a simplex, neural collapse.

Prototypes W are `(K, d)`, features Z `(N, d)`, labels `(N,)`. Angles are in degrees. Everything is computed in float64 with normalised
prototypes and features unless it says otherwise (Zhou et al. 2022, learning towards the largest margins).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab.errors import InputError


def class_margin(prototypes: Tensor) -> float:
    """`min_{i != j} angle(w_i, w_j)`."""
    return math.degrees(math.acos(min(1.0, max(-1.0, float(_off_diagonal(_gram(prototypes)).max())))))


def nearest_angles(prototypes: Tensor) -> Tensor:
    """Angle of each prototype to its nearest other one: `(K,)`."""
    gram = _gram(prototypes).fill_diagonal_(-1.0)
    return torch.rad2deg(torch.arccos(gram.amax(1).clamp(-1, 1)))


def sample_margins(features: Tensor, prototypes: Tensor, labels: Tensor, unit: bool = True) -> Tensor:
    """`gamma = w_y . z - max_{j != y} w_j . z`, `(N,)`, in [-2, 2] for unit vectors; `unit=False` takes both as they are."""
    z, w = features.detach().cpu().double(), prototypes.detach().cpu().double()
    if z.ndim != 2 or w.ndim != 2 or z.shape[1] != w.shape[1] or labels.shape != z.shape[:1]:
        raise InputError(
            f"expected features (N, d), prototypes (K, d), labels (N,), got {tuple(z.shape)}, {tuple(w.shape)}, {tuple(labels.shape)}"
        )
    scores = normalize(z, dim=1) @ normalize(w, dim=1).T if unit else z @ w.T
    rows = labels.long().cpu().unsqueeze(1)
    return scores.gather(1, rows).squeeze(1) - scores.scatter(1, rows, -math.inf).amax(1)


def minimal_margins(margins: Tensor, labels: Tensor, num_classes: int) -> Tensor:
    """Smallest sample margin of each class, `(K,)`; inf for a class without samples. Their minimum is gamma_min."""
    found = torch.full((num_classes,), math.inf, dtype=margins.dtype)
    return found.scatter_reduce(0, labels.long().cpu(), margins.cpu(), "amin")


def etf_angle(num_classes: int) -> float:
    """`arccos(-1 / (K - 1))`, the largest class margin, reached for K <= d + 1."""
    return math.degrees(math.acos(-1 / (num_classes - 1)))


def max_sample_margin(num_classes: int, non_negative: bool = False) -> float:
    """The largest gamma_min, `K / (K - 1)` for K <= d + 1; `sqrt(K / (K - 1))` for features without negative entries (a last ReLU)."""
    ratio = num_classes / (num_classes - 1)
    return math.sqrt(ratio) if non_negative else ratio


def etf_distance(prototypes: Tensor) -> float:
    """Frobenius distance between the cosines of the prototypes and those of a simplex, over the simplex's norm; 0 for a simplex."""
    gram = _gram(prototypes)
    size = len(gram)
    ideal = torch.full_like(gram, -1 / (size - 1)).fill_diagonal_(1.0)
    return float((gram - ideal).norm() / ideal.norm())


def centroid_norm(prototypes: Tensor) -> float:
    """`|| (1 / K) sum_j w_j ||` of unit prototypes."""
    return float(normalize(prototypes.detach().cpu().double(), dim=1).mean(0).norm())


def random_class_margin(num_classes: int, dim: int, draws: int = 200, seed: int = 0) -> tuple[float, float]:
    """Mean and standard deviation of the class margin of Gaussian prototypes: the baseline that any initialisation gives."""
    draw = torch.Generator().manual_seed(seed)
    margins = []
    for _ in range(draws):
        margins.append(class_margin(torch.randn(num_classes, dim, generator=draw, dtype=torch.float64)))
    values = torch.tensor(margins, dtype=torch.float64)
    return float(values.mean()), float(values.std(correction=0))


@dataclass(frozen=True)
class MarginSummary:
    """All margins of one model: angles in degrees, sample margins of unit vectors."""

    class_margin: float
    etf_angle: float
    etf_distance: float
    centroid_norm: float
    mean_margin: float
    minimal_margin: float
    minimal_margins: tuple[float, ...]


def summary(features: Tensor, prototypes: Tensor, labels: Tensor) -> MarginSummary:
    """Class margin and sample margins of features `(N, d)` at prototypes `(K, d)` with labels `(N,)`."""
    size = len(prototypes)
    margins = sample_margins(features, prototypes, labels)
    per_class = minimal_margins(margins, labels, size)
    return MarginSummary(
        class_margin=class_margin(prototypes),
        etf_angle=etf_angle(size),
        etf_distance=etf_distance(prototypes),
        centroid_norm=centroid_norm(prototypes),
        mean_margin=float(margins.mean()),
        minimal_margin=float(margins.min()),
        minimal_margins=tuple(per_class.tolist()),
    )


@dataclass(frozen=True)
class Collapse:
    """Neural collapse (Papyan et al. 2020); all are 0 at full collapse. Features as they are, not normalised.

    nc1: `tr(S_W S_B^+) / K`, spread within classes against that between them. cdnv: mean over pairs of classes of
    `(v_a + v_b) / (2 ||mu_a - mu_b||^2)`. nc2_norms: standard deviation over mean of the lengths of the centred class means.
    nc2_angles: mean of |cosine + 1 / (K - 1)| between them. nc3: `|| W / |W| - M / |M| ||` of prototypes and centred means.
    nc4: share of samples that the prototypes (and bias) classify unlike the nearest class mean.
    """

    nc1: float
    cdnv: float
    nc2_norms: float
    nc2_angles: float
    nc3: float | None = None
    nc4: float | None = None


def collapse(
    features: Tensor, labels: Tensor, prototypes: Tensor | None = None, bias: Tensor | None = None
) -> Collapse:
    """NC1 and NC2 of features `(N, d)` with labels `(N,)`; NC3 and NC4 with prototypes `(K, d)`. Every class needs a sample."""
    z, y = features.detach().cpu().double(), labels.long().cpu()
    size = int(y.max()) + 1 if prototypes is None else len(prototypes)
    counts = torch.bincount(y, minlength=size)
    if size < 2 or bool((counts == 0).any()):
        raise InputError("neural collapse needs at least two classes and a sample of each")
    means = torch.zeros(size, z.shape[1], dtype=z.dtype).index_add_(0, y, z) / counts.unsqueeze(1)
    inside = z - means[y]
    centred = means - means.mean(0)
    within = inside.T @ inside / len(z)
    between = centred.T @ centred / size
    spread = torch.zeros(size, dtype=z.dtype).index_add_(0, y, inside.square().sum(1)) / counts
    upper = torch.triu_indices(size, size, 1)
    gaps = (means[upper[0]] - means[upper[1]]).square().sum(1)
    lengths = centred.norm(dim=1)
    cosines = _off_diagonal(_gram(centred))
    nc3 = nc4 = None
    if prototypes is not None:
        w = prototypes.detach().cpu().double()
        nc3 = float((w / w.norm() - centred / centred.norm()).norm())
        scores = z @ w.T + (0 if bias is None else bias.detach().cpu().double())
        nc4 = float((scores.argmax(1) != torch.cdist(z, means).argmin(1)).double().mean())
    return Collapse(
        nc1=float(torch.trace(within @ torch.linalg.pinv(between, hermitian=True, rtol=1e-10)) / size),
        cdnv=float(((spread[upper[0]] + spread[upper[1]]) / (2 * gaps)).mean()),
        nc2_norms=float(lengths.std(correction=0) / lengths.mean()),
        nc2_angles=float((cosines + 1 / (size - 1)).abs().mean()),
        nc3=nc3,
        nc4=nc4,
    )


def _gram(prototypes: Tensor) -> Tensor:
    w = prototypes.detach().cpu().double()
    if w.ndim != 2 or len(w) < 2:
        raise InputError(f"expected prototypes (K, d) of at least two classes, got shape {tuple(w.shape)}")
    unit = normalize(w, dim=1)
    return unit @ unit.T


def _off_diagonal(square: Tensor) -> Tensor:
    return square[~torch.eye(len(square), dtype=torch.bool)]
