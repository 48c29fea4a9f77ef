"""Mean, standard deviation and Student-t interval over seeds."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95


@dataclass(frozen=True)
class Summary:
    """``std`` is the sample standard deviation; the interval is NaN for fewer than two numbers."""

    n: int
    mean: float
    std: float
    low: float
    high: float


def summarise(values: Iterable[float], level: float = LEVEL) -> Summary:
    """Summary of the finite values."""
    numbers = np.array([value for value in values if math.isfinite(value)], dtype=float)
    n = len(numbers)
    if n == 0:
        return Summary(0, math.nan, math.nan, math.nan, math.nan)
    mean = float(numbers.mean())
    if n == 1:
        return Summary(1, mean, math.nan, math.nan, math.nan)
    std = float(numbers.std(ddof=1))
    half = half_width(std, n, level)
    return Summary(n, mean, std, mean - half, mean + half)


def half_width(std: float, n: int, level: float = LEVEL) -> float:
    """Half of the Student-t interval of a mean over ``n`` values."""
    return float(stats.t.ppf(0.5 + level / 2, n - 1)) * std / math.sqrt(n)


def within(low: float, high: float, unit: str) -> tuple[float, float]:
    """The interval as it is shown: one of a percentage ends at 0 and 100, which Student's t with few seeds does not know. NaN stays."""
    return (max(low, 0.0), min(high, 100.0)) if unit == "%" and low <= high else (low, high)


def band(curves: Iterable[Iterable[float]], level: float = LEVEL) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean, lower and upper end per epoch ``(E,)`` of curves of one length or several (shorter ones end earlier); no interval: NaN."""
    rows = [np.array([math.nan if value is None else float(value) for value in curve]) for curve in curves]
    if not rows:
        return np.empty(0), np.empty(0), np.empty(0)
    length = max(map(len, rows))
    table = np.full((len(rows), length), np.nan)
    for row, values in zip(table, rows, strict=True):
        row[: len(values)] = values
    summaries = [summarise(column, level) for column in table.T]
    return tuple(np.array([getattr(s, name) for s in summaries]) for name in ("mean", "low", "high"))  # type: ignore[return-value]
