"""The paper's theory as numbers: anchored prototypes, optima with free features, the negative-similarity loss, ranges of class sums.

Prototypes W are `(k, d)` with unit rows, features z have norm s, logits are `W z`. Everything is computed in float64.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab.analysis import bounds, margins
from losslab.analysis.free_features import Optimum, class_sizes, nsl_prediction, optimise
from losslab.heads import prototypes
from losslab.losses import functional

PAIRS = (
    (3, 2),
    (4, 3),
    (10, 9),
    (10, 10),
    (10, 64),
    (100, 99),
    (100, 128),
    (3, 1),
    (10, 2),
    (10, 5),
    (10, 8),
    (100, 64),
    (10, 3),
    (10, 4),
)
SIZES = {"balanced": ("balanced", 1.0), "long-tailed 100": ("exp", 0.01), "step 100": ("step", 0.01)}


def _unit_draws(count: int, dim: int, seed: int = 0) -> Tensor:
    draw = torch.Generator().manual_seed(seed)
    return normalize(torch.randn(count, dim, dtype=torch.float64, generator=draw), dim=1)


# Anchored prototypes


def construction(k: int, d: int) -> str:
    """The name of what `losslab.heads.prototypes.anchors` builds for k classes in d dimensions."""
    if k <= d + 1:
        return "simplex"
    if d == 2:
        return "polygon"
    return "orthogonal simplices" if k <= 2 * d else "packed points"


def bound(k: int, d: int) -> float:
    """The largest gamma_min of unit prototypes where it is known: 1 minus the least possible largest cosine; else nan."""
    if k <= d + 1:
        return k / (k - 1)
    if k <= 2 * d:
        return 1.0  # Rankin: some cosine is at least 0
    return 1 - math.cos(2 * math.pi / k) if d == 2 else math.nan


def gamma_min(w: Tensor) -> float:
    """The smallest sample margin when every feature lies on its prototype."""
    return float(margins.sample_margins(w, w, torch.arange(len(w))).min())


def anchors(pairs: Sequence[tuple[int, int]] = PAIRS) -> pd.DataFrame:
    """One row per (k, d): construction, gamma_min and its bound, class margin in degrees, length of the sum of the prototypes."""
    rows = []
    for k, d in pairs:
        if k > 2 * d and d < 2:
            continue  # three points on a line do not exist
        w = prototypes.anchors(k, d)
        rows.append(
            (k, d, construction(k, d), gamma_min(w), bound(k, d), margins.class_margin(w), float(w.sum(0).norm()))
        )
    return pd.DataFrame(rows, columns=["k", "d", "construction", "gamma_min", "bound", "class margin", "sum"])


def largest_margin(k: int, d: int) -> float:
    """gamma_min found by optimising features and prototypes together, from random starts."""
    return optimise(k, d, "margin", starts=2, rounds=300).gamma_min


def aligned(k: int, d: int) -> Tensor:
    """A simplex along the first k axes: `sqrt(k / (k - 1)) (e_i - 1 / k)`; the best rotation for features without negative entries."""
    w = torch.zeros(k, d, dtype=torch.float64)
    w[:, :k] = math.sqrt(k / (k - 1)) * (torch.eye(k, dtype=torch.float64) - 1 / k)
    return w


def relu_margin(w: Tensor) -> float:
    """The largest gamma_min with features that have unit length and no negative entries: the shortest z >= 0 with margin 1, inverted.

    0 where some class has no such feature with a positive margin. By Lagrange duality the shortest z is the positive part of a
    non-negative combination of the rows `w_y - w_j`, found by a non-negative least squares problem for each class.
    """
    from scipy.optimize import nnls

    k, d = w.shape
    smallest = math.inf
    for y in range(k):
        gaps = (w[y] - w[torch.arange(k) != y]).numpy()
        # least distance programming (Lawson and Hanson, chapter 23): min |z| subject to G z >= h
        g = np.vstack([gaps, np.eye(d)])
        h = np.concatenate([np.ones(k - 1), np.zeros(d)])
        matrix = np.vstack([g.T, h])
        u, _ = nnls(matrix, np.concatenate([np.zeros(d), [1.0]]), maxiter=50 * (k + d))
        residual = matrix @ u - np.concatenate([np.zeros(d), [1.0]])
        if abs(residual[d]) < 1e-12:
            return 0.0  # no z fulfils the conditions
        z = -residual[:d] / residual[d]
        smallest = min(smallest, 1 / float(np.linalg.norm(z)))
    return smallest


# Balanced and imbalanced optima


@cache
def optimum(sizes: str, anchored: bool, scale: float = 4.0, d: int = 16) -> Optimum:
    """Cross-entropy on `scale` times the cosines of ten free features, weighted by the class sizes; prototypes free or anchored."""
    kind, ratio = SIZES[sizes]
    fixed = prototypes.simplex_etf(10, d) if anchored else None
    return optimise(10, d, "ce", scale=scale, sizes=class_sizes(10, kind, ratio), prototypes=fixed, rounds=1500)


def optima() -> pd.DataFrame:
    """Learned and anchored prototypes at the optimum: gamma_min, range of the cosines between prototypes, length of their mean."""
    rows = []
    for sizes in SIZES:
        for anchored in (False, True):
            found = optimum(sizes, anchored)
            w = found.prototypes
            off = (w @ w.T)[~torch.eye(10, dtype=torch.bool)]
            rows.append(
                (
                    sizes,
                    "anchored" if anchored else "learned",
                    found.gamma_min,
                    float(off.min()),
                    float(off.max()),
                    found.centroid,
                )
            )
    columns = ["classes", "prototypes", "gamma_min", "lowest cosine", "highest cosine", "mean w"]
    return pd.DataFrame(rows, columns=columns)


# The negative-similarity loss


def class_sum_error(w: Tensor, s: float = 8.0) -> float:
    """Largest |sum over labels of -w_j . z| over random features of norm s: 0 for a symmetric loss."""
    z = s * _unit_draws(500, w.shape[1])
    return float((z @ w.T).sum(1).abs().max())


def noisy_risk_error(k: int = 10, d: int = 16, rate: float = 0.6, s: float = 8.0) -> float:
    """Largest gap between the noisy risk and `(1 - eta k / (k - 1))` times the clean one, over random outputs."""
    w, z = prototypes.simplex_etf(k, d), s * _unit_draws(200, d)
    values = -(z @ w.T)
    clean = values[:, 0]
    noisy = (1 - rate) * clean + rate / (k - 1) * values[:, 1:].sum(1)
    return float((noisy - (1 - rate * k / (k - 1)) * clean).abs().max())


def agreement(w: Tensor, draws: int = 2000) -> float:
    """Share of random label distributions for which NSL's minimiser over features of fixed norm predicts the likeliest label, in per cent."""
    weights = np.random.default_rng(0).dirichlet(np.full(len(w), 0.3), draws)
    p = torch.from_numpy(weights)
    return 100 * float(((p @ w @ w.T).argmax(1) == p.argmax(1)).double().mean())


def counter_example() -> tuple[Tensor, int]:
    """Ten prototypes on a circle: the likeliest label is 0, and NSL predicts its neighbour."""
    p = torch.full((10,), 0.02625, dtype=torch.float64)
    p[0], p[2] = 0.40, 0.39
    return p, nsl_prediction(prototypes.polygon(10), p)


def offset_gradient(loss: str, size: float = 2.0) -> float:
    """Largest change of the gradient in the features when every prototype is moved by the same vector of length `size`."""
    w = prototypes.simplex_etf(10, 16)
    moved = w + size * _unit_draws(1, 16, seed=1)
    y = torch.arange(10).repeat(5)
    grads = []
    for each in (w, moved):
        z = (4 * _unit_draws(50, 16, seed=2)).requires_grad_()
        value = getattr(functional, loss)(z @ each.T, y, reduction="sum")
        grads.append(torch.autograd.grad(value, z)[0])
    return float((grads[0] - grads[1]).abs().max())


# Ranges of class sums


def delta(w: Tensor, norm: float, rounds: int = 200) -> float:
    """Range of cross-entropy's class sum over features of norm `norm` or less, at prototypes W of any length.

    S(z) = k log sum exp(W z) - (sum_j w_j) . z is convex and at least k log k (Jensen), which it is at z = 0. Its maximum lies on the sphere;
    z <- norm * S'(z) / |S'(z)| never goes down.
    """
    w = w.detach().double()
    w = w - w.mean(0)  # a common shift cancels
    k = len(w)
    z = norm * torch.cat([normalize(w, dim=1), -normalize(w, dim=1), _unit_draws(10, w.shape[1])])
    for _ in range(rounds):
        z = norm * normalize((z @ w.T).softmax(1) @ w, dim=1)
    return k * (float(torch.logsumexp(z @ w.T, 1).max()) - math.log(k))


def delta_table(scales: Sequence[float] = (1, 2, 4, 8, 16, 32, 64), classes: Sequence[int] = (10, 100)) -> pd.DataFrame:
    """Delta on an anchored simplex, on the worst unit prototypes, and the floor of cross-entropy, for every s."""
    rows = [
        (s, k, bounds.anchored_delta(k, s), bounds.worst_delta(k, s), bounds.cross_entropy_floor(k, s))
        for s in scales
        for k in classes
    ]
    return pd.DataFrame(rows, columns=["s", "k", "Delta", "Delta, worst W", "floor"])


def risk_bound(s: float, rate: float, k: int = 10, problems: int = 200) -> tuple[float, float]:
    """Generalised symmetry on random finite problems with cross-entropy and an anchored simplex.

    Each problem has 6 points and 40 hypotheses. Returns the largest violation of `R(f_eta) - R(f*) <= c Delta(s)` and the largest share of
    the bound that was used.
    """
    w = prototypes.simplex_etf(k, k)
    limit = bounds.excess_factor(rate, k) * bounds.anchored_delta(k, s)
    draw = torch.Generator().manual_seed(0)
    z = s * normalize(torch.randn(problems, 40, 6, k, dtype=torch.float64, generator=draw), dim=-1)
    y = torch.randint(0, k, (problems, 1, 6, 1), generator=draw).expand(-1, 40, -1, -1)
    values = -(z @ w.T).log_softmax(-1)
    clean = values.gather(-1, y).squeeze(-1)
    noisy = (1 - rate) * clean + rate / (k - 1) * (values.sum(-1) - clean)
    clean, noisy = clean.mean(-1), noisy.mean(-1)
    excess = clean.gather(1, noisy.argmin(1, keepdim=True)).squeeze(1) - clean.amin(1)
    return float((excess - limit).clamp(min=0).max()), float((excess / limit).max())
