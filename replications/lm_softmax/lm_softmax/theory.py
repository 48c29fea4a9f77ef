"""The analytic side of the paper, computed: margins on the sphere, the optimum of every loss, unequal classes, lengths that are free.

Optima come from `losslab.analysis.free_features` (one feature per class, placed where the loss wants it); formulas are written out here.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab.analysis import free_features, margins
from losslab.analysis.free_features import Optimum
from losslab.heads.prototypes import simplex_etf
from losslab.losses.margin import arcface, cosface, gm_softmax, lm_softmax, normface
from losslab.losses.numerics import others_logsumexp
from losslab.losses.regularisers import sample_margin

TAMMES = {4: 109.4712, 5: 90.0, 6: 90.0, 7: 77.8695, 8: 74.8585, 10: 66.1468, 12: 63.4349}
"""Largest smallest angle of k points on the sphere (Tammes' problem), known values in degrees."""
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "NormFace": ("normface", {}),
    "CosFace": ("cosface", {"m": 0.1}),
    "ArcFace": ("arcface", {"m": 0.1}),
    "LM-Softmax": ("lm_softmax", {}),
}


# The losses themselves


def worked_example() -> pd.Series:
    """Every loss at the cosines (0.9, 0.1, -0.2) with label 0, float64."""
    cosines, label = torch.tensor([[0.9, 0.1, -0.2]], dtype=torch.float64), torch.tensor([0])
    values = {f"LM-Softmax, s={s}": lm_softmax(cosines, label, s=float(s)) for s in (1, 5, 10, 64)}
    values["NormFace, s=10"] = normface(cosines, label, s=10.0)
    values["CosFace, s=10, m=0.1"] = cosface(cosines, label, s=10.0, m=0.1)
    values["ArcFace, s=10, m=0.1"] = arcface(cosines, label, s=10.0, m=0.1)
    values["R_sample"] = sample_margin(cosines, label)
    return pd.Series({name: float(value) for name, value in values.items()}, name="value")


def _cosines(count: int = 500, classes: int = 10, dim: int = 6) -> tuple[Tensor, Tensor]:
    draw = torch.Generator().manual_seed(0)
    z = normalize(torch.randn(count, dim, generator=draw, dtype=torch.float64), dim=1)
    w = normalize(torch.randn(classes, dim, generator=draw, dtype=torch.float64), dim=1)
    return z @ w.T, torch.arange(count) % classes


def special_cases(s: float = 10.0, m: float = 0.1) -> pd.Series:
    """Largest difference of each loss from GM-Softmax with the parameters of the table, over random cosines."""
    cosines, labels = _cosines()
    own = cosines.gather(1, labels.unsqueeze(1)).squeeze(1)
    shift = -math.sin(m) * (1 - own.square()).sqrt()
    gm = {
        "NormFace": gm_softmax(cosines, labels, s=s) - normface(cosines, labels, s=s),
        "CosFace": gm_softmax(cosines, labels, s=s, beta1=-m, beta2=-m) - cosface(cosines, labels, s=s, m=m),
        "ArcFace": gm_softmax(cosines, labels, s=s, alpha1=math.cos(m), alpha2=math.cos(m), beta1=shift, beta2=shift)
        - arcface(cosines, labels, s=s, m=m),
        "LM-Softmax": gm_softmax(cosines, labels, s=s, beta2=-1e3) / s - lm_softmax(cosines, labels, s=s),
    }
    return pd.Series({name: float(value.abs().max()) for name, value in gm.items()}, name="largest difference")


def sandwich(scales: Iterable[float] = (1.0, 5.0, 10.0, 64.0, 1e4)) -> pd.DataFrame:
    """`-gamma <= L_LM <= -gamma + log(K - 1) / s` on random cosines: least and largest `L_LM + gamma`, and the upper end."""
    cosines, labels = _cosines()
    gamma = -sample_margin(cosines, labels)
    rows = {}
    for s in scales:
        gap = lm_softmax(cosines, labels, s=s) + gamma
        rows[f"{s:g}"] = {"least": float(gap.min()), "largest": float(gap.max()), "log(K - 1) / s": math.log(9) / s}
    return pd.DataFrame(rows).T.rename_axis("s")


def pulls(s: float = 10.0) -> dict[str, float]:
    """Gradients in the own cosine: LM-Softmax pulls with -1 whatever the cosines, NormFace's pull dies with the loss."""
    cosines, labels = _cosines()
    own = labels.unsqueeze(1)
    leaf = cosines.clone().requires_grad_()
    (of_lm,) = torch.autograd.grad(lm_softmax(leaf, labels, s=s).sum(), leaf)
    solved = torch.full((1, 10), -1 / 9, dtype=torch.float64).scatter(1, torch.zeros(1, 1, dtype=torch.int64), 1.0)
    leaf = solved.clone().requires_grad_()
    (of_nf,) = torch.autograd.grad(normface(leaf, torch.tensor([0]), s=s).sum(), leaf)
    return {
        "lm_error": float((of_lm.gather(1, own) + 1).abs().max()),
        "normface_at_simplex": abs(float(of_nf[0, 0])) / s,
    }


def overflow(s: float = 64.0) -> tuple[float, float]:
    """LM-Softmax in float32 at opposite cosines: exponentials summed as they are, and the library's form."""
    cosines, label = torch.tensor([[-1.0, 1.0, 0.0]]), torch.tensor([0])
    naive = torch.exp(s * (cosines[:, 1:] - cosines[:, :1])).sum(1).log() / s
    return float(naive), float(lm_softmax(cosines, label, s=s))


def floors(pairs: Iterable[tuple[int, float]]) -> pd.DataFrame:
    """Least possible losses for K <= d + 1 by formula, and the losses of the simplex."""
    rows = []
    for k, s in pairs:
        w = simplex_etf(k, k - 1)
        cosines, labels = w @ w.T, torch.arange(k)
        found = float(lm_softmax(cosines, labels, s=s).mean()), float(normface(cosines, labels, s=s).mean())
        formula = free_features.lm_floor(k, s), math.log1p((k - 1) * math.exp(-s * k / (k - 1)))
        rows.append((k, s, *formula, max(abs(a - b) for a, b in zip(found, formula, strict=True))))
    names = ["classes", "s", "LM-Softmax", "NormFace", "error"]
    return pd.DataFrame(rows, columns=names).set_index(["classes", "s"])


# Optima


def packings(
    cases: Mapping[tuple[int, int], float], starts: int = 3
) -> tuple[pd.DataFrame, dict[tuple[int, int], Optimum]]:
    """Maximises the smallest sample margin for every (K, d); the value says what class margin is known to be the largest."""
    rows, found = [], {}
    for (k, d), best in cases.items():
        optimum = free_features.optimise(k, d, "margin", starts=starts)
        found[k, d] = optimum
        gamma = 1 - math.cos(math.radians(optimum.class_margin))
        rows.append(
            (k, d, best, optimum.class_margin, optimum.gamma_min, abs(optimum.gamma_min - gamma), optimum.alignment)
        )
    names = ["K", "d", "largest known", "class margin", "gamma_min", "gamma_min - (1 - cos)", "cosine of z and w"]
    return pd.DataFrame(rows, columns=names).set_index(["K", "d"]), found


def conditions(s: float = 5.0, classes: int = 10, dim: int = 16) -> pd.DataFrame:
    """GM-Softmax for pairs (alpha1, alpha2): class margin, loss, and the lower bound where it is claimed."""
    rows = []
    pairs = ((1.0, 1.0), (0.5, 0.5), (0.45, 0.45), (0.3, 0.3), (0.1, 0.1), (0.8, 0.2), (1.0, 1.5), (0.5, 2.0))
    for one, two in pairs:
        found = free_features.optimise(classes, dim, "gm_softmax", s=s, alpha1=one, alpha2=two)
        floor = free_features.gm_floor(classes, s, one) if one == two else math.nan
        rows.append((one, two, found.class_margin, found.alignment, found.objective, floor))
    names = ["alpha1", "alpha2", "class margin", "cosine of z and w", "loss", "bound"]
    return pd.DataFrame(rows, columns=names).set_index(["alpha1", "alpha2"])


def slopes(classes: int, alphas: Iterable[float], s: float = 5.0) -> list[float]:
    """Class margin of GM-Softmax with alpha1 = alpha2 for every slope, in K + 6 dimensions."""
    return [
        free_features.optimise(classes, classes + 6, "gm_softmax", s=s, alpha1=a, alpha2=a).class_margin for a in alphas
    ]


def by_loss(classes: int, dims: Iterable[int], scales: Iterable[float], starts: int = 2) -> pd.DataFrame:
    """Class margin and smallest sample margin of the optimum of every loss; the row `largest` maximises gamma_min itself."""
    rows = []
    for d in dims:
        tries = starts if classes > d + 1 else 1  # with room for a simplex there is one optimum to find
        best = free_features.optimise(classes, d, "margin", starts=tries)
        rows.append((d, "-", "largest", best.class_margin, best.gamma_min, best.mean_margin))
        for s in scales:
            for name, (loss, given) in LOSSES.items():
                found = free_features.optimise(classes, d, loss, starts=tries, s=s, **given)
                rows.append((d, f"{s:g}", name, found.class_margin, found.gamma_min, found.mean_margin))
    names = ["d", "s", "loss", "class margin", "gamma_min", "mean margin"]
    return pd.DataFrame(rows, columns=names)


def descent(
    name: str, s: float = 10.0, classes: int = 10, dim: int = 16, steps: int = 2000, rate: float = 0.1, mu: float = 0.0
) -> list[tuple[int, float]]:
    """Plain gradient descent on free features: (step, distance of the prototypes' cosines from those of a simplex)."""
    loss, given = LOSSES[name]
    draw = torch.Generator().manual_seed(0)
    free = torch.randn(2 * classes, dim, generator=draw, dtype=torch.float64)
    labels, path = torch.arange(classes), []
    core = {"normface": normface, "cosface": cosface, "arcface": arcface, "lm_softmax": lm_softmax}[loss]
    marks = set(np.unique(np.geomspace(1, steps, 40).astype(int)).tolist())
    for step in range(steps + 1):
        leaf = normalize(free, dim=1).requires_grad_()
        z, w = leaf[:classes], leaf[classes:]
        if step in marks or step == 0:
            path.append((step, margins.etf_distance(w)))
        unit_z, unit_w = normalize(z, dim=1), normalize(w, dim=1)
        cosines = unit_z @ unit_w.T
        value = core(cosines, labels, s=s, **given).mean() + mu * sample_margin(cosines, labels).mean()
        (gradient,) = torch.autograd.grad(value, leaf)
        free = leaf.detach() - rate * gradient
    return path


# Unequal classes


def imbalance_table(weights: Iterable[float], kinds: Iterable[str] = ("exp", "step")) -> pd.DataFrame:
    """Class margins at K = 10, d = 16, ratio 100; `weight` multiplies the squared length of the *mean* prototype (the paper's form)."""
    forms: dict[str, tuple[str, dict[str, Any]]] = {
        "NormFace, s=5": ("normface", {"s": 5.0}),
        "LM, s=5": ("lm_softmax", {"s": 5.0, "variant": "unscaled"}),
        "LM, s=16": ("lm_softmax", {"s": 16.0, "variant": "unscaled"}),
    }
    rows = {}
    for kind in kinds:
        sizes = free_features.class_sizes(10, kind)
        for name, (loss, given) in forms.items():
            rows[kind, name] = {
                weight: free_features.optimise(10, 16, loss, sizes=sizes, centroid=weight, **given).class_margin
                for weight in weights
            }
    return pd.DataFrame(rows).T.rename_axis(["sizes", "loss"])


def imbalance_curves(
    weights: Iterable[float], s: float = 5.0, names: Iterable[str] = tuple(LOSSES)
) -> dict[str, list[Optimum]]:
    """Optima at exponential sizes of ratio 100; `weight` multiplies the squared length of the *sum* (the code's form)."""
    sizes = free_features.class_sizes(10, "exp")
    return {
        name: [
            free_features.optimise(
                10, 16, loss, sizes=sizes, centroid=weight, centroid_variant="official", s=s, **given
            )
            for weight in weights
        ]
        for name, (loss, given) in LOSSES.items()
        if name in set(names)
    }


# Lengths that are free


def witnesses(angles: Iterable[float], below: float = 1e-6) -> pd.DataFrame:
    """Unit prototypes with a chosen class margin and features so long that cross-entropy is under `below`."""
    rows = {}
    for angle in angles:
        found = free_features.unnormalised_witness(10, angle, below)
        rows[angle] = {
            "class margin": found.class_margin,
            "cross-entropy": found.objective,
            "feature length": float(found.features.norm(dim=1).max()),
        }
    return pd.DataFrame(rows).T.rename_axis("chosen angle")


def margin_loss(z: Tensor, w: Tensor, s: float) -> float:
    """Mean LM-Softmax of features z at their own prototypes, float64."""
    cosines = normalize(z, dim=1) @ normalize(w, dim=1).T
    labels = torch.arange(len(w))
    return float(((others_logsumexp(s * cosines, labels) - s * cosines.diagonal()) / s).mean())


def baselines() -> pd.DataFrame:
    """Class margin of random Gaussian prototypes, 200 draws: what no training has to give."""
    cases = ((10, 128), (10, 512), (100, 128), (100, 512))
    rows = {(k, d): (*margins.random_class_margin(k, d), margins.etf_angle(k)) for k, d in cases}
    table = pd.DataFrame(rows, index=["random, mean", "standard deviation", "simplex"]).T
    return table.rename_axis(["classes", "dimensions"])
