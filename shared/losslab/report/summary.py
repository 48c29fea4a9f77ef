"""metrics.json and curves for `dvc metrics show` and `dvc plots show`."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.papers import Paper, results
from losslab.papers import metrics as units
from losslab.report import rank
from losslab.report.claims import OUTCOMES, Verdict
from losslab.report.inventory import own
from losslab.report.stats import band
from losslab.report.table import Table


def metrics(
    paper: Paper,
    frame: pd.DataFrame,
    scale: str,
    verdicts: Iterable[Verdict] = (),
    tables: Mapping[str, Table] | None = None,
    inventory: pd.DataFrame | None = None,
    reading: str = "last",
) -> dict[str, Any]:
    """Content of metrics.json: items, claims by verdict, rank correlations, mean accuracy per experiment and method. No seconds: they change."""
    done, lost, absent = ((frame["status"] == status).sum() for status in results.STATUSES)
    content: dict[str, Any] = {
        "paper": paper.slug,
        "scale": scale,
        "runs": {"done": int(done), "diverged": int(lost), "missing": int(absent)},
        "trainings": int(frame["run"].nunique()),
    }
    if inventory is not None:
        mine = own(inventory)
        done_items, all_items = int(mine["regenerated"].sum()), int(inventory["regenerated"].sum())
        content["items"] = {"regenerated": done_items, "of": len(mine), "extra": all_items - done_items}
    outcomes = [verdict.verdict for verdict in verdicts]
    if outcomes:
        content["claims"] = {outcome.replace(" ", "_"): outcomes.count(outcome) for outcome in OUTCOMES}
    taus = {
        name: rank.overall(rank.kendall(table))
        for name, table in (tables or {}).items()
        if "method" in (*table.rows, *table.columns)
    }
    taus = {name: round(tau, 4) for name, tau in taus.items() if math.isfinite(tau)}
    if taus:
        content["kendall_tau"] = taus
    content["mean"] = _means(paper, frame, reading)
    return content


def _means(paper: Paper, frame: pd.DataFrame, reading: str) -> dict[str, dict[str, float]]:
    """Experiment -> method -> mean of the paper's metric over its cells and seeds."""
    if frame.empty:
        return {}
    table = frame.assign(number=results.values(frame, paper.metric, reading))
    result: dict[str, dict[str, float]] = {}
    for (experiment, method), part in table.groupby(["experiment", "method"], sort=False):
        number = part["number"].mean()
        if math.isfinite(number):
            result.setdefault(str(experiment), {})[str(method)] = round(float(number), 3)
    return result


def write(content: Mapping[str, Any], path: Path) -> None:
    """JSON; the same content gives the same bytes."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def curves(frame: pd.DataFrame, metric: str = "test_acc") -> pd.DataFrame:
    """Mean curve per cell: epoch, keys, mean over seeds, interval, number of seeds."""
    keys = ["experiment", "dataset", "noise_type", "noise_rate", "setting", "method"]
    factor = units.describe(metric).factor
    parts = []
    for place, part in frame[frame["status"] == "done"].groupby(keys, sort=False, dropna=False):
        lines = [curve for curve in part[metric] if curve is not None and len(curve)]
        if lines:
            mean, low, high = band(lines)
            columns = {"mean": mean * factor, "low": low * factor, "high": high * factor}
            parts.append(
                pd.DataFrame(
                    {
                        "epoch": range(1, len(mean) + 1),
                        **dict(zip(keys, place, strict=True)),
                        **columns,
                        "n": len(lines),
                    }
                )
            )
    columns_all = ["epoch", *keys, "mean", "low", "high", "n"]
    return pd.concat(parts, ignore_index=True)[columns_all] if parts else pd.DataFrame(columns=columns_all)


def curves_csv(frame: pd.DataFrame, path: Path, metric: str = "test_acc") -> None:
    """Curves for `dvc plots`: one row per epoch, one column per method, the mean over the frame's cells and seeds. Narrow the frame first."""
    table = curves(frame, metric)
    wide = table.pivot_table(index="epoch", columns="method", values="mean", aggfunc="mean", sort=False)
    wide = wide[list(dict.fromkeys(table["method"]))].sort_index() if len(table) else wide
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(wide.reset_index().to_csv(index=False, float_format="%.4f", lineterminator="\n"), encoding="utf-8")
