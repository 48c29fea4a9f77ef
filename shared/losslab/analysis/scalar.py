"""Asymmetry of losses of p_y alone: ratios and conditions by a scan of the scalar form (Zhou et al. 2021, asymmetric losses).

A loss `L(u, i) = l(u_i)` is *asymmetric* on weights w with one largest w_m if `sum_i w_i l(u_i)` is smallest over the simplex at the
vertex e_m; *completely* asymmetric if so for all such w; *strictly* asymmetric on w if every move of mass to the dominant class
lowers the weighted loss. With s = -l' the two ratios are

    r  = inf over p + d <= 1 of (l(p) - l(p + d)) / (l(0) - l(d))       asymmetric on w iff  w_m / w_n >= 1 / r
    r2 = inf over u + v <= 1 of s(u) / s(v)                             strictly asymmetric on w iff  w_m / w_n > 1 / r2

with w_n the second largest weight. r2 is the ratio that takes two probabilities, `inf (l(u1) - l(u1 + d)) / (l(u2 - d) - l(u2))`: a
ratio of two integrals of s is at least the infimum of the integrands' ratio, and small d attain it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.analysis.probing import Probe, uniform_rest
from losslab.errors import InputError

Array = NDArray[np.float64]
_TINY = (-690.0, -20.0)
"""Logit of the smallest probability used: about 1e-300 with a closed-form gradient, 1e-9 without."""


@dataclass(frozen=True, eq=False)
class Scalar:
    """The scalar form of a loss of p_y: `value(p)` and minus its slope `steepness(x)` at p = sigmoid(x)."""

    value: Callable[[Array], Array]
    steepness: Callable[[Array], Array]


@dataclass(frozen=True)
class Asymmetry:
    """Ratios in [0, 1] and what follows from them; see the module's description.

    ratio: r, the noise tolerance w_n / w_m up to which the vertex is the minimiser. strict_ratio: r2.
    completely, strictly: r = 1 and l decreasing, r2 = 1 and l strictly decreasing.
    """

    ratio: float
    strict_ratio: float
    completely: bool
    strictly: bool

    @property
    def switch(self) -> float:
        """1 / r: the smallest w_m / w_n on which the loss is asymmetric."""
        return math.inf if self.ratio == 0 else 1 / self.ratio

    def max_rate(self, kind: str = "symmetric", num_classes: int = 10) -> float:
        """The highest noise rate on which the loss is asymmetric: `(K - 1) / (K - 1 + 1/r)` for symmetric noise, `1 / (1 + 1/r)` for pairs."""
        if kind not in ("symmetric", "pair"):
            raise InputError(f"kind is {kind!r}; it can be 'symmetric' or 'pair'")
        others = num_classes - 1 if kind == "symmetric" else 1
        return 0.0 if self.ratio == 0 else others / (others + self.switch)


def scalar(loss: Probe) -> Scalar:
    """The scalar form of a loss that depends on p_y alone.

    Where the gradient is not the derivative of the value (detached factors, IMAE), the form is the integral of the gradient.
    """
    if not loss.depends_on_target_only:
        raise InputError(f"{loss.spec.name} is not a function of the label's probability alone")

    def steepness(x: Array) -> Array:
        logits = torch.from_numpy(np.asarray(x, dtype=np.float64))
        p = torch.sigmoid(logits)
        return np.asarray(-(loss.slope(logits) / (p * torch.sigmoid(-logits))).numpy())

    if not loss.conservative:
        return Scalar(_integral(loss), steepness)

    def value(p: Array) -> Array:
        chance = torch.from_numpy(np.atleast_1d(np.asarray(p, dtype=np.float64)))
        x = (chance.log() - torch.log1p(-chance)).clamp(-1e4, 1e4)
        labels = torch.zeros(chance.shape, dtype=torch.int64)
        return np.asarray(loss.at(loss.from_logits(uniform_rest(x, loss.num_classes)), labels).detach().numpy())

    return Scalar(value, steepness)


def asymmetry(loss: Probe, points: int = 240) -> Asymmetry:
    """The ratios of a loss of p_y alone, by a scan over `points` x `points` pairs and the limits at both ends."""
    form = scalar(loss)
    tiny = _TINY[loss.spec.grad is None]
    x = np.concatenate([[tiny], np.linspace(-18, 18, 1200)])
    s = form.steepness(x)
    if s[0] > (1e12 * s[-1] if tiny < -30 else 1.01 * s[1]):
        s[0] = np.inf
    falling = bool(np.all(s >= 0)) and bool(np.any(s > 0))
    ratio = 0.0 if not falling else min(1.0, _one_probability(form, s, points))
    strict = 0.0 if not falling else min(1.0, _two_probabilities(x, s))
    complete = falling and ratio > 1 - 1e-6
    return Asymmetry(
        ratio=1.0 if complete else ratio,
        strict_ratio=1.0 if falling and strict > 1 - 1e-6 else strict,
        completely=complete,
        strictly=complete and strict > 1 - 1e-6 and bool(np.all(s > 0)),
    )


def _one_probability(form: Scalar, s: Array, points: int) -> float:
    if s[0] == 0:
        return _scan(form, points)
    at_zero = 0.0 if np.isinf(s[0]) else float(s.min() / s[0])  # d -> 0
    return min(at_zero, _scan(form, points))


def _scan(form: Scalar, points: int) -> float:
    half = points // 2
    d = np.unique(np.concatenate([np.logspace(-6, 0, half), np.linspace(0, 1, half + 1)[1:]]))
    t = np.linspace(0, 1, points)
    start = np.outer(1 - d, t)
    end = np.minimum(start + d[:, None], 1.0)
    gain = form.value(start.ravel()) - form.value(end.ravel())
    cost = form.value(np.zeros(1)) - form.value(d)
    usable = cost > 1e-15
    if not usable.any():
        return 1.0
    return float((gain.reshape(start.shape)[usable] / cost[usable, None]).min())


def _two_probabilities(x: Array, s: Array) -> float:
    """inf of s(u) / s(v) over u + v <= 1; p and 1 - p have opposite logits."""
    order = np.maximum.accumulate(s)  # largest s(v) over v up to x
    allowed = np.interp(-x, x, np.arange(len(x)), left=0)  # v up to 1 - u
    top = order[np.floor(allowed + 1e-9).astype(int)]
    inside = np.isfinite(top) & (top > 0)
    return 0.0 if not inside.all() else float((s / top).min())


def _integral(loss: Probe) -> Callable[[Array], Array]:
    grid = np.linspace(-40, 40, 8001)
    slope = loss.slope(torch.from_numpy(grid)).numpy()
    steps = (slope[1:] + slope[:-1]) / 2 * np.diff(grid)
    total = np.concatenate([[0.0], np.cumsum(steps)])
    total = total - total[-1]

    def value(p: Array) -> Array:
        with np.errstate(divide="ignore"):
            x = np.log(p) - np.log1p(-np.asarray(p, dtype=np.float64))
        return np.asarray(np.interp(x, grid, total))

    return value
