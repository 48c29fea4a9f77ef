"""What a regulariser changes, as tables and sentences that are computed from the trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from losslab.papers import results

SAMPLE, CENTROID = " + 0.5 R_sample", " + R_w"
NAMES = {"final.class_margin": "class margin", "final.sample_margin": "sample margin", "test_acc": "accuracy"}


def mean_of(frame: pd.DataFrame, metric: str, reading: str = "last", **where: object) -> float:
    """Mean over the seeds of one cell; NaN where nothing was run."""
    chosen = frame
    for key, value in where.items():
        chosen = chosen[chosen[key] == value]
    return float(results.values(chosen, metric, reading).mean()) if len(chosen) else float("nan")


def effect(frame: pd.DataFrame, suffix: str, metric: str, across: str, reading: str = "last") -> pd.DataFrame:
    """With minus without the regulariser, mean over the seeds: a row per loss, a column per data set or setting."""
    methods = [m for m in dict.fromkeys(frame["method"]) if f"{m}{suffix}" in set(frame["method"])]
    columns = list(dict.fromkeys(frame[across]))
    rows = {
        m: {
            c: mean_of(frame, metric, reading, method=m + suffix, **{across: c})
            - mean_of(frame, metric, reading, method=m, **{across: c})
            for c in columns
        }
        for m in methods
    }
    return pd.DataFrame(rows).T.reindex(columns=columns)


def effects(frame: pd.DataFrame, suffix: str, across: str, titles: Mapping[str, str] | None = None) -> pd.DataFrame:
    """`effect` for class margin, sample margin and accuracy, beside each other, as text."""
    parts = {}
    for metric, name in NAMES.items():
        digits = 3 if name == "sample margin" else 1
        part = effect(frame, suffix, metric, across).rename(columns=dict(titles or {}))
        parts[name] = part.map(lambda v, digits=digits: f"{v:+.{digits}f}" if v == v else "")
    return pd.concat(parts, axis=1)


def counted(frame: pd.DataFrame, suffix: str, across: str) -> str:
    """How often a regulariser enlarges each number, and by how much in the middle."""
    said = []
    for metric, name in NAMES.items():
        values = effect(frame, suffix, metric, across).to_numpy().ravel()
        values = values[np.isfinite(values)]
        if len(values):
            unit = {"class margin": " degrees", "sample margin": "", "accuracy": " points"}[name]
            said.append(
                f"{name} rises in {(values > 0).sum()} of {len(values)} (median {np.median(values):+.2f}{unit})"
            )
    return "; ".join(said)


def order(frame: pd.DataFrame, metric: str, methods: Sequence[str], **where: object) -> str:
    """Methods from the largest to the smallest mean, with their numbers."""
    for key, value in where.items():
        frame = frame[frame[key] == value]
    found = {m: mean_of(frame, metric, method=m) for m in methods}
    ranked = sorted((m for m in found if found[m] == found[m]), key=lambda m: -found[m])
    digits = 2 if metric == "final.sample_margin" else 1
    return " > ".join(f"{m} {found[m]:.{digits}f}" for m in ranked)
