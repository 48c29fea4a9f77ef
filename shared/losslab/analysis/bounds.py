"""Class sums of losses and what they bound: how far the minimiser under label noise can be from the clean one.

Symbols: K classes, C or [low, high] the class sum `sum_k L(x, k)`, W = high - low, eta the noise rate, R the clean and R^eta the noisy
risk, f* their clean and f^ their noisy minimiser.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losslab.analysis.descent import descend
from losslab.analysis.probing import probe
from losslab.analysis.properties import class_sum_range
from losslab.errors import InputError


@dataclass(frozen=True)
class SumBounds:
    """`low <= sum_k L(x, k) <= high` for all x."""

    low: float
    high: float

    @property
    def width(self) -> float:
        """W; 0 for symmetric losses."""
        return self.high - self.low


def gce_sum(num_classes: int, q: float) -> SumBounds:
    """L_q: `(K - K^(1 - q)) / q <= sum <= (K - 1) / q`, so W = (K^(1 - q) - 1) / q, which vanishes at q = 1 (Zhang & Sabuncu 2018, lemma 1)."""
    _check_power(q)
    k = num_classes
    return SumBounds((k - k ** (1 - q)) / q, (k - 1) / q)


def truncated_gce_sum(num_classes: int, q: float, k: float) -> SumBounds:
    """Truncated L_q: `d L_q(1/d) + (K - d) L_q(k) <= sum <= K L_q(k)` with d = max(1, (1 - q)^(1/q) / k).

    W = d (L_q(k) - L_q(1/d)). It is not below that of L_q for every q: at k = 0.3 it fails from q = 0.792 for ten classes.
    """
    _check_power(q)
    if not 0 < k < 1:
        raise InputError(f"k is {k}; it must lie in (0, 1)")
    d = max(1.0, (1 - q) ** (1 / q) / k)

    def box_cox(p: float) -> float:
        return (1 - p**q) / q

    return SumBounds(d * box_cox(1 / d) + (num_classes - d) * box_cox(k), num_classes * box_cox(k))


def loss_sum(name: str, num_classes: int = 10, **given: Any) -> SumBounds:
    """Smallest and largest class sum of any loss that a search finds, infinite where it has no bound."""
    return SumBounds(*class_sum_range(probe(name, num_classes, **given)))


def sum_on_ball(name: str, num_classes: int, radius: float, starts: int = 24, seed: int = 0, **given: Any) -> SumBounds:
    """Class sum over logits of a given norm, by ascent and descent from many starts.

    With radius = 1 / tau: outputs of normalised logits at temperature tau, as in the code of sparse regularisation.
    """
    loss = probe(name, num_classes, **given)
    draw = torch.Generator().manual_seed(seed)
    base = torch.randn(starts, num_classes, generator=draw, dtype=torch.float64)
    eye = torch.eye(num_classes, dtype=torch.float64)[:4]
    base = torch.cat([base, eye, -eye, torch.ones(1, num_classes, dtype=torch.float64)])

    def sums(directions: Tensor) -> Tensor:
        return loss.class_sums(loss.from_logits(radius * torch.nn.functional.normalize(directions, dim=1)))

    low = descend(sums, base, rounds=300, rate=0.05)[1].min()
    high = descend(lambda x: -sums(x), base, rounds=300, rate=0.05)[1].min()
    return SumBounds(float(low), -float(high))


@dataclass(frozen=True)
class RiskBounds:
    """Intervals of `R^eta(f*) - R^eta(f^)` and of `R(f*) - R(f^)`."""

    noisy: tuple[float, float]
    clean: tuple[float, float]


def uniform_noise(width: float, rate: float, num_classes: int) -> RiskBounds:
    """Uniform noise, eta < 1 - 1/K (Zhang & Sabuncu 2018, theorem 1).

    `0 <= R^eta(f*) - R^eta(f^) <= eta W / (K - 1)`, and that over `1 - eta K / (K - 1)`, with a minus, for the clean risk.
    """
    slope = _uniform_slope(rate, num_classes)
    noisy = rate * width / (num_classes - 1)
    return RiskBounds((0.0, noisy), (-noisy / slope, 0.0))


def class_dependent_noise(width: float, mean_kept: float) -> tuple[float, float]:
    """`0 <= R^eta(f*) - R^eta(f^) <= W E(1 - eta_y)` where eta_ij < 1 - eta_i and R(f*) = 0 (Zhang & Sabuncu 2018, theorem 2)."""
    return 0.0, width * mean_kept


def uniform_noise_risk(risk: float, class_sum: float, rate: float, num_classes: int) -> float:
    """Symmetric losses: `R^eta = (1 - eta K / (K - 1)) R + eta C / (K - 1)` (Ghosh et al. 2017)."""
    return (1 - rate * num_classes / (num_classes - 1)) * risk + rate * class_sum / (num_classes - 1)


def excess_factor(rate: float, num_classes: int) -> float:
    """c = eta / ((1 - eta) K - 1): `R(f^) - R(f*) <= c W` under uniform noise; grows without bound as eta goes to 1 - 1/K."""
    _uniform_slope(rate, num_classes)
    return rate / ((1 - rate) * num_classes - 1)


def tolerates_uniform(rate: float, num_classes: int) -> bool:
    """Symmetric losses keep their minimiser for eta < 1 - 1/K."""
    return rate < 1 - 1 / num_classes


def tolerates_class_dependent(transition: Tensor) -> bool:
    """Whether every row of T `(K, K)` has its largest entry on the diagonal: eta_ij < 1 - eta_i for all j != i."""
    diagonal = transition.diagonal().unsqueeze(1)
    others = transition.clone().fill_diagonal_(-math.inf)
    return bool((others < diagonal).all())


def relaxed_uniform(delta: float, rate: float, num_classes: int) -> float:
    """`R(f^) - R(f*) <= 2 c delta` under uniform noise, with c of `excess_factor` (sparse regularisation, Zhou et al. 2021).

    For outputs near the permutations of one vector: delta is how much the class sums of two such outputs differ at most. With exact
    permutations delta = 0, and every loss that is a sum over classes keeps its minimiser.
    """
    _check_delta(delta)
    return 2 * excess_factor(rate, num_classes) * delta


def relaxed_class_dependent(delta: float, transition: Tensor, prior: Tensor | None = None) -> float:
    """`R(f^) <= 2 delta + 2 c delta / a` under class-dependent noise where the clean risk can be 0 (Wang et al. 2024, eps-softmax).

    c = E(1 - eta_y) and a = min over y and k != y of 1 - eta_y - eta_yk, which must be positive.

    Args:
        transition: `(K, K)`, rows are clean labels.
        prior: shares of the classes `(K,)`; None: equal.
    """
    _check_delta(delta)
    kept = transition.diagonal()
    others = transition.clone().fill_diagonal_(-math.inf)
    gap = float((kept.unsqueeze(1) - others).min())
    if gap <= 0:
        raise InputError(
            f"a row of the transition matrix has its largest entry off the diagonal (least gap {gap:g}); the bound needs eta_yk < 1 - eta_y"
        )
    mean_kept = float(kept.mean() if prior is None else (kept * prior).sum() / prior.sum())
    return 2 * delta + 2 * mean_kept * delta / gap


def margin_term(margins: Tensor, class_counts: Tensor) -> float:
    """`(1 / K) sum_j 1 / (gamma_j sqrt(n_j))`: what the margins decide in a bound of the class-balanced error (Cao et al. 2019, theorem 2).

    The bound is this times the root of the hypothesis class's complexity, up to a constant, plus a term without margins; so only
    ratios of the term mean something.

    Args:
        margins: least sample margin per class `(K,)`, positive (`losslab.analysis.margins`).
        class_counts: training samples per class `(K,)`.
    """
    if margins.shape != class_counts.shape or margins.dim() != 1:
        raise InputError(
            f"margins {tuple(margins.shape)} and class_counts {tuple(class_counts.shape)} must both be (K,)"
        )
    if not bool((margins > 0).all() and (class_counts > 0).all()):
        raise InputError("margins and class_counts must be positive: the bound is for separated training data")
    return float((1 / (margins.double() * class_counts.double().sqrt())).mean())


def best_margins(class_counts: Tensor, total: float = 1.0) -> Tensor:
    """The margins `(K,)` with a given sum that make `margin_term` least: proportional to n_j^(-1/4), LDAM's rule."""
    if not bool((class_counts > 0).all()) or total <= 0:
        raise InputError("class_counts and total must be positive")
    share = class_counts.double() ** -0.25
    return total * share / share.sum()


def anchored_delta(num_classes: int, s: float) -> float:
    """Range of cross entropy's class sum over features of norm s, prototypes an anchored simplex, d >= K (prototype-anchored learning).

    `K (log(e^s + (K - 1) e^(-s / (K - 1))) - log K)`: about s^2 / 2 for small s.
    """
    k = num_classes
    return k * (_log_add(s, math.log(k - 1) - s / (k - 1)) - math.log(k))


def worst_delta(num_classes: int, s: float) -> float:
    """The same for unit prototypes in the worst place: one opposite to all others."""
    k = num_classes
    cosines = torch.linspace(-1, 1, 20001, dtype=torch.float64) * s
    log_sum = torch.logaddexp(-cosines, cosines + math.log(k - 1))
    sums = k * log_sum - (k - 2) * cosines
    return float(sums.max() - sums.min())


def cross_entropy_floor(num_classes: int, s: float) -> float:
    """The least cross entropy with features of norm s on an anchored simplex, `log(1 + (K - 1) e^(-s K / (K - 1)))`."""
    k = num_classes
    return math.log1p((k - 1) * math.exp(-s * k / (k - 1)))


def _log_add(a: float, b: float) -> float:
    return max(a, b) + math.log1p(math.exp(-abs(a - b)))


def _uniform_slope(rate: float, num_classes: int) -> float:
    slope = 1 - rate * num_classes / (num_classes - 1)
    if rate < 0 or slope <= 1e-12:
        raise InputError(f"the noise rate is {rate}; it must lie in [0, {1 - 1 / num_classes:g})")
    return slope


def _check_delta(delta: float) -> None:
    if not delta >= 0:
        raise InputError(f"delta is {delta}; it must not be negative")


def _check_power(q: float) -> None:
    if not 0 < q <= 1:
        raise InputError(f"q is {q}; it must lie in (0, 1]")
