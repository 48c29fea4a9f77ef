"""Published numbers: long-form CSV files, checked on reading, in the report's unit (accuracies in per cent).

An empty field of a key column matches everything, so a row without a noise rate stands for a data set whose noise is its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.errors import InputError
from losslab.papers.messages import near, show_path

COLUMNS = ("table", "dataset", "noise_type", "noise_rate", "setting", "method", "metric", "mean", "std", "source")
KEYS = ("dataset", "noise_type", "noise_rate", "setting", "method")
NOT_AVAILABLE = "not available"


@dataclass(frozen=True)
class Number:
    """One published number; ``std`` is NaN where none is given."""

    mean: float
    std: float
    source: str
    metric: str


def empty() -> pd.DataFrame:
    """No published numbers."""
    return _typed(pd.DataFrame({name: [] for name in (*COLUMNS, "file")}))


def read(path: Path) -> pd.DataFrame:
    """One file. Rows without a mean are kept: they say what is not available. Raises InputError with file, row and what is allowed."""
    shown = show_path(Path(path))
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file") from None
    except (pd.errors.ParserError, pd.errors.EmptyDataError, UnicodeDecodeError) as error:
        raise InputError(f"{shown}: not a table of published numbers: {' '.join(str(error).split())}") from None
    for name in table.columns:
        if name not in COLUMNS:
            raise InputError(f"{shown}: {near('column', name, COLUMNS)}")
    for name in COLUMNS:
        if name not in table.columns:
            raise InputError(f"{shown}: column {name!r} is missing; allowed: {', '.join(COLUMNS)}")
    for name in ("noise_rate", "mean", "std"):
        table[name] = _numbers(table[name], name, shown)
    for column in ("dataset", "method", "metric", "source"):
        blank = table.index[table[column].str.strip() == ""]
        if len(blank):
            raise InputError(f"{shown}: row {blank[0] + 2}: {column} is empty")
    double = table.duplicated(["table", *KEYS, "metric"], keep="first")
    if double.any():
        row = int(double.to_numpy().argmax())
        raise InputError(f"{shown}: row {row + 2}: the same cell is given twice ({_describe(table.iloc[row])})")
    scale = table["metric"].str.contains("fraction", case=False).map({True: 100.0, False: 1.0}).astype(float)
    for name in ("mean", "std"):
        table[name] = (table[name] * scale).round(10)
    table["file"] = Path(path).name
    return _typed(table)


def _numbers(column: pd.Series, name: str, shown: str) -> pd.Series:
    text = column.str.strip()
    numbers = pd.to_numeric(text.where(text != "", None), errors="coerce")
    wrong = numbers.isna() & (text != "")
    if wrong.any():
        row = int(wrong.to_numpy().argmax())
        hint = "; names such as 'aggregate' belong into noise_type or setting" if name == "noise_rate" else ""
        raise InputError(f"{shown}: row {row + 2}: {name} must be a number or empty, not {column.iloc[row]!r}{hint}")
    return numbers.astype(float)


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for name in (*COLUMNS, "file"):
        table[name] = table[name].astype(float if name in ("noise_rate", "mean", "std") else object)
    return table.reset_index(drop=True)


def _describe(row: Mapping[str, Any] | pd.Series) -> str:
    parts = [
        f"{key} {row[key]:g}" if key == "noise_rate" else f"{key} {row[key]!r}" for key in KEYS if not _blank(row[key])
    ]
    return ", ".join(parts)


def _blank(value: Any) -> bool:
    return value is None or value == "" or (isinstance(value, float) and math.isnan(value))


def rename(table: pd.DataFrame, aliases: Mapping[Any, Mapping[str, str]]) -> pd.DataFrame:
    """Published spellings as the paper's own names. Raises InputError for an alias that no row has."""
    table = table.copy()
    for key, names in aliases.items():
        for old in names:
            if key != "noise_rate" and old not in set(table[key]):
                raise InputError(f"alias of {key}: {near('published name', old, dict.fromkeys(table[key]))}")
        table[key] = table[key].replace(dict(names))
    return table


def within(table: pd.DataFrame, where: Mapping[Any, Any]) -> pd.DataFrame:
    """Rows that agree with ``where`` (one value or several per key); an empty field agrees with everything."""
    keep = pd.Series(True, index=table.index)
    for key, wanted in where.items():
        if key in KEYS:
            allowed = list(wanted) if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
            keep &= table[key].isin(allowed) | table[key].map(_blank)
    return table[keep]


def lookup(table: pd.DataFrame, keys: Mapping[str, Any], metric: str | None = None) -> Number | None:
    """The published number of a cell, or None.

    Of several matching rows those with the fewest empty fields count; two different numbers raise InputError.
    """
    hits = within(table, {key: value for key, value in keys.items() if not _blank(value)})
    if metric is not None:
        hits = hits[hits["metric"] == metric]
    hits = hits[hits["mean"].notna()]
    if len(hits) > 1:
        blanks = hits[list(KEYS)].map(_blank).sum(axis=1)
        hits = hits[blanks == blanks.min()]
    if hits.empty:
        return None
    if len(hits[["mean", "std"]].drop_duplicates()) > 1:
        cell = ", ".join(f"{key} {value!r}" for key, value in keys.items() if not _blank(value))
        files = ", ".join(sorted(set(hits["file"])))
        raise InputError(
            f"several published numbers for {cell} in {files}: name a metric, or add what differs ({_differing(hits)})"
        )
    row = hits.iloc[0]
    return Number(float(row["mean"]), float(row["std"]), str(row["source"]), str(row["metric"]))


def _differing(hits: pd.DataFrame) -> str:
    names = [name for name in ("metric", *KEYS, "table") if hits[name].nunique(dropna=False) > 1]
    return ", ".join(names) or "source"


def curves(table: pd.DataFrame) -> pd.DataFrame:
    """Rows whose setting holds ``epoch=N``, with the number in a column ``epoch`` and the rest of the setting left."""
    part = table[table["setting"].str.contains(r"\bepoch(?:_index)?=\d+", regex=True)].copy()
    part["epoch"] = part["setting"].str.extract(r"\bepoch(?:_index)?=(\d+)", expand=False).astype(float)
    part["setting"] = part["setting"].str.replace(r"[;,]?\s*\bepoch(?:_index)?=\d+[;,]?\s*", "", regex=True)
    return part


def together(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Several files as one table."""
    parts = [table for table in tables if len(table)]
    return pd.concat(parts, ignore_index=True) if parts else empty()
