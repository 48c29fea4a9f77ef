"""Regenerated results against committed ones: how many numbers agree, and within what."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.errors import InputError
from losslab.papers import results
from losslab.papers.messages import show_path
from losslab.papers.spec import KEYS
from losslab.report import words

TOLERANCES = (0.0, 0.01, 0.1, 0.5, 1.0)
_COMPARED = ("mean", "std", "low", "high", "published", "published_std")


@dataclass(frozen=True)
class Agreement:
    """``gaps``: absolute difference per number that both sides have; ``texts``: non-numeric entries that differ, as (where, new, old)."""

    gaps: dict[str, float] = field(default_factory=dict)
    texts: tuple[tuple[str, str, str], ...] = ()
    only_new: tuple[str, ...] = ()
    only_old: tuple[str, ...] = ()

    @property
    def total(self) -> int:
        """Numbers on both sides."""
        return len(self.gaps)

    @property
    def largest(self) -> tuple[str, float]:
        """Where the largest difference is, and how large."""
        return max(self.gaps.items(), key=lambda item: item[1], default=("", 0.0))

    def within(self, tolerance: float) -> int:
        """How many numbers differ by no more than the tolerance."""
        return sum(gap <= tolerance + 1e-12 for gap in self.gaps.values())

    def agrees(self, tolerance: float = 0.0) -> bool:
        """Everything is on both sides, with the same texts, within the tolerance."""
        return self.within(tolerance) == self.total and not (self.texts or self.only_new or self.only_old)

    def table(self) -> pd.DataFrame:
        """Numbers per tolerance."""
        rows = [(tolerance, self.within(tolerance), self.total) for tolerance in TOLERANCES]
        return pd.DataFrame(rows, columns=["within", "numbers", "of"])

    def sentence(self) -> str:
        """One line for a terminal."""
        if not self.total and not self.texts:
            return f"nothing to compare ({len(self.only_new)} numbers only in the new results, {len(self.only_old)} only in the old ones)"
        where, gap = self.largest
        parts = [
            f"{self.within(0.0)} of {self.total} numbers are identical, {self.within(0.1)} agree within 0.1, {self.within(1.0)} within 1"
        ]
        if gap > 0:
            parts.append(f"largest difference {gap:.4g} at {where}")
        if self.texts:
            at, ours, theirs = self.texts[0]
            parts.append(f"{len(self.texts)} verdicts or states differ, first {at}: {ours} instead of {theirs}")
        for names, side in ((self.only_new, "new"), (self.only_old, "old")):
            if names:
                parts.append(f"{len(names)} only in the {side} results, first {names[0]}")
        return "; ".join(parts)


def frames(
    new: pd.DataFrame, old: pd.DataFrame, readings: Iterable[str] = ("last", "best"), metric: str = "test_acc"
) -> Agreement:
    """Two results frames, run by run: the readings of a metric, and the states."""
    readings = tuple(readings)
    return _compare(_frame_entries(new, readings, metric), _frame_entries(old, readings, metric))


def _frame_entries(frame: pd.DataFrame, readings: tuple[str, ...], metric: str) -> dict[str, Any]:
    entries: dict[str, Any] = {}
    for row in results.records(frame):
        if row["status"] == "missing":
            continue
        parts = [words.key_value(key, row[key]) for key in KEYS]
        where = ", ".join(filter(None, [*parts, f"seed {row['seed']}"]))
        entries[f"{where}: status"] = row["status"]
        for reading in readings:
            value = results.value(row, metric, reading)
            if math.isfinite(value):
                entries[f"{where}: {metric} {reading}"] = value
    return entries


def folders(new: Path, old: Path) -> Agreement:
    """Two results folders: tables/*.csv, claims.json and metrics.json."""
    for folder in (new, old):
        if not Path(folder).is_dir():
            raise InputError(f"{show_path(Path(folder))}: no such folder")
    return _compare(dict(_folder_entries(Path(new))), dict(_folder_entries(Path(old))))


def _folder_entries(folder: Path) -> Iterator[tuple[str, Any]]:
    for path in sorted(folder.glob("tables/*.csv")):
        yield from _table_entries(path)
    for name in ("claims.json", "metrics.json"):
        path = folder / name
        if path.is_file():
            try:
                content = json.loads(path.read_text(encoding="utf-8"))
            except ValueError as error:
                raise InputError(f"{show_path(path)}: not JSON: {error}") from None
            yield from _json_entries(name.removesuffix(".json"), content)


def _table_entries(path: Path) -> Iterator[tuple[str, Any]]:
    try:
        table = pd.read_csv(path, keep_default_na=False, dtype=str)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(f"{show_path(path)}: not a table: {' '.join(str(error).split())}") from None
    names = [name for name in (*KEYS, "value") if name in table.columns]
    for number, row in enumerate(table.to_dict("records")):
        where = ", ".join(_plain(row[name]) for name in names if row[name]) or f"row {number + 2}"
        if "status" in row:
            yield f"{path.stem}: {where}: status", row["status"]
        for name in _COMPARED if names else table.columns:
            if name in row and row[name] != "":
                yield f"{path.stem}: {where}: {name}", _number(row[name])


def _plain(text: str) -> str:
    """A key as one text however it was written: `0` for `0.0`."""
    number = _number(text)
    return f"{number:g}" if isinstance(number, float) else text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _json_entries(where: str, content: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(content, dict):
        for key, value in content.items():
            yield from _json_entries(f"{where}.{key}", value)
    elif isinstance(content, list):
        for number, value in enumerate(content):
            name = value.get("id", number) if isinstance(value, dict) else number
            yield from _json_entries(f"{where}.{name}", value)
    elif content is not None:
        yield (
            where,
            float(content) if isinstance(content, (int, float)) and not isinstance(content, bool) else str(content),
        )


def _compare(new: dict[str, Any], old: dict[str, Any]) -> Agreement:
    gaps, texts = {}, []
    for where, value in new.items():
        if where not in old:
            continue
        other = old[where]
        if isinstance(value, float) and isinstance(other, float):
            gaps[where] = abs(value - other)
        elif value != other:
            texts.append((where, str(value), str(other)))
    return Agreement(gaps, tuple(texts), tuple(w for w in new if w not in old), tuple(w for w in old if w not in new))
