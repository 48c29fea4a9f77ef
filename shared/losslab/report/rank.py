"""Do the methods come out in the published order? Kendall's tau-b per table column."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from scipy import stats

from losslab.errors import InputError
from losslab.report.table import Table

OVERALL = "overall"


def kendall(table: Table, over: str = "method") -> pd.DataFrame:
    """Tau-b between published and replicated numbers over the methods of every column, and of every data set where rows hold it too.

    Columns: the keys of the group, ``value``, ``n`` (methods with both numbers), ``tau`` (NaN for fewer than two, or where one side is all ties).
    The last row, ``overall`` in the first column, is the mean weighted by the number of pairs of methods.
    """
    keys = [key for key in (*table.rows, *table.columns) if key != over]
    if over not in (*table.rows, *table.columns):
        raise InputError(f"the table has no {over} in its rows or columns, so there is nothing to rank")
    rows: list[dict[str, Any]] = []
    for place, part in table.cells.groupby([*keys, "value"], sort=False, dropna=False):
        both = part[part["published"].notna() & part["mean"].notna()]
        tau = math.nan
        if both["published"].nunique() > 1 and both["mean"].nunique() > 1:
            tau = float(stats.kendalltau(both["published"], both["mean"], variant="b").statistic)
        rows.append(
            {
                **dict(zip([*keys, "value"], place, strict=True)),
                "metric": part["metric"].iloc[0],
                "n": len(both),
                "tau": tau,
            }
        )
    result = pd.DataFrame(rows, columns=[*keys, "value", "metric", "n", "tau"])
    known = result[result["tau"].notna()]
    pairs = known["n"] * (known["n"] - 1) / 2
    total: dict[str, Any] = {key: math.nan if key == "noise_rate" else "" for key in keys}
    tau = float((known["tau"] * pairs).sum() / pairs.sum()) if len(known) else math.nan
    total |= {"value": "", "metric": "", "n": int(known["n"].sum()), "tau": tau}
    total[keys[0] if keys and keys[0] != "noise_rate" else "value"] = OVERALL
    result.loc[len(result)] = [total[name] for name in result.columns]
    return result


def overall(ranks: pd.DataFrame) -> float:
    """The weighted mean over all columns."""
    return float(ranks["tau"].iloc[-1])


def sentence(ranks: pd.DataFrame) -> str:
    """One line for a notebook."""
    columns = ranks.iloc[:-1]
    known = columns[columns["tau"].notna()]
    if known.empty:
        return "No column has two methods with a published and a replicated number, so there is no ranking to compare."
    return (
        f"Kendall's tau-b between the published and the replicated ranking: {overall(ranks):+.2f} on average over "
        f"{len(known)} of {len(columns)} columns "
        f"(from {known['tau'].min():+.2f} to {known['tau'].max():+.2f}; 1 = the same order, 0 = none, -1 = reversed)."
    )
