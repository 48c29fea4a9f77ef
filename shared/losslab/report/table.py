"""Tables with the published numbers beside the replicated ones.

A table is kept in long form (`Table.data`): one row per cell and number, with everything that the text forms show. The text forms are in `render`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from losslab.errors import InputError
from losslab.papers import metrics, results
from losslab.papers.messages import near
from losslab.papers.spec import KEYS, Value
from losslab.report import published as numbers
from losslab.report import render, words
from losslab.report.stats import summarise

NUMBERS = ("published", "published_std", "mean", "std", "n", "low", "high", "difference")
REFERENCE = ("reference", "reference_std", "reference_n")  # paper scale
COLUMNS = (
    "value",
    "metric",
    "reading",
    "unit",
    *NUMBERS,
    *REFERENCE,
    "runs",
    "diverged",
    "missing",
    "status",
    "best",
    "best_published",
    "data",
    "stand_in",
)
STATUSES = ("done", "diverged", "missing", "not run")


@dataclass(frozen=True)
class Table:
    """Cells in long form, and how they are laid out."""

    cells: pd.DataFrame
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    caption: str = ""
    titles: Mapping[str, str] = field(default_factory=dict)
    digits: Mapping[str, int] = field(default_factory=dict)  # per value label
    keyed: Mapping[str, str] = field(default_factory=dict)  # method -> key of its look
    across: tuple[tuple[Any, ...], ...] = ()  # combinations of the column keys, in order
    beside: bool = True  # whether published numbers belong beside the replicated ones

    def data(self) -> pd.DataFrame:
        """Long form: one row per cell and number."""
        return self.cells.copy()

    def wide(self, layout: str = "auto") -> pd.DataFrame:
        """The table as text cells, as a frame."""
        return render.wide(self, layout)

    def markdown(self, layout: str = "auto") -> str:
        """Markdown with the caption above."""
        return render.markdown(self, layout)

    def html(self, layout: str = "auto") -> str:
        """Plain HTML: no scripts, no styles."""
        return render.html(self, layout)

    def latex(self, layout: str = "auto") -> str:
        """LaTeX for the package booktabs."""
        return render.latex(self, layout)

    def csv(self) -> str:
        """The long form as CSV text."""
        return csv_text(self.cells)

    def save(self, folder: Path, name: str) -> list[Path]:
        """Write ``name``.csv, .md and .tex into the folder."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        written = []
        for suffix, text in ((".csv", self.csv()), (".md", self.markdown()), (".tex", self.latex())):
            path = folder / f"{name}{suffix}"
            path.write_text(text, encoding="utf-8")
            written.append(path)
        return written

    def _repr_html_(self) -> str:
        return self.html()

    def __repr__(self) -> str:
        done = int((self.cells["status"] == "done").sum())
        return f"Table({done} of {len(self.cells)} cells)"


def build(
    frame: pd.DataFrame,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    values: Sequence[Value] | None = None,
    published: pd.DataFrame | None = None,
    titles: Mapping[str, str] | None = None,
    order: Mapping[str, Sequence[Any]] | None = None,
    best_over: Sequence[str] | None = None,
    caption: str = "",
    digits: int = 2,
    metric: str = "test_acc",
    reading: str = "last",
    reference: pd.DataFrame | None = None,
) -> Table:
    """Table of a results frame.

    ``rows``, ``columns``: key columns. ``values``: the numbers of a cell, by default ``metric`` at ``reading``.
    ``published``: long form of `published.read`; cells that only it has are shown too, as "not run". None: no such numbers
    can exist, so there is no place for them; an empty frame: they exist and are not available.
    ``reference``: results at paper scale, to be shown beside those of a smaller scale.
    ``titles``: data set key -> title. ``order``: key -> its values in order, where the frame's own order does not do.
    ``best_over``: keys over which the best is sought (default: method). Raises InputError where a cell would mix runs.
    """
    rows, columns = tuple(rows), tuple(columns)
    for key in (*rows, *columns):
        if key not in KEYS:
            raise InputError(near("key", key, KEYS))
    shown = [value if value.metric else value.model_copy(update={"metric": metric}) for value in (values or (Value(),))]
    shown = [value if value.reading else value.model_copy(update={"reading": reading}) for value in shown]
    labels = [value.label or (_label(value) if len(shown) > 1 else "") for value in shown]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"two numbers of a table share the label {next(label for label in labels if labels.count(label) > 1)!r}"
        )
    keys = (*rows, *columns)
    known = numbers.empty() if published is None else published
    places, ranks = _places(frame, known, keys, order or {})
    across = _in_order({place[len(rows) :] for place in places}, columns, ranks)
    cells: list[dict[str, Any]] = []
    for value, label in zip(shown, labels, strict=True):
        part = _cells(frame, known, places, keys, value, label, len(shown) == 1)
        _add_reference(part, reference, keys, value)
        _mark_best(part, keys, best_over, value, digits)
        cells += part
    table = pd.DataFrame(cells, columns=[*keys, *COLUMNS])
    beside = published is not None
    return Table(
        cells=_typed(table),
        rows=rows,
        columns=columns,
        caption=" ".join(filter(None, [caption, _legend(table, shown, frame, titles, beside)])),
        titles=dict(titles or {}),
        digits={
            label: digits if value.digits is None else value.digits for value, label in zip(shown, labels, strict=True)
        },
        keyed=dict(zip(frame["method"], frame["key"], strict=True)),
        across=tuple(across),
        beside=beside,
    )


def _label(value: Value) -> str:
    text = metrics.describe(str(value.metric)).label
    return text if str(value.metric).startswith("final.") else f"{text}, {words.reading(str(value.reading))}"


def _places(
    frame: pd.DataFrame, known: pd.DataFrame, keys: tuple[str, ...], order: Mapping[str, Sequence[Any]]
) -> tuple[list[tuple[Any, ...]], dict[str, dict[Any, int]]]:
    """Every combination of keys that the frame or the published numbers hold, in order; and the order of every key's values."""
    ours = [tuple(_clean(v) for v in row) for row in frame[list(keys)].itertuples(index=False, name=None)]
    places = dict.fromkeys(ours)
    if "experiment" not in keys:
        for row in known[list(keys)].itertuples(index=False, name=None):
            place = tuple(_clean(v) for v in row)
            if not any(_matches(place, other) for other in places):
                places[place] = None
    ranks: dict[str, dict[Any, int]] = {}
    for position, key in enumerate(keys):
        wanted = [_clean(v) for v in order.get(key, ())]
        seen = list(dict.fromkeys(place[position] for place in places))
        if key == "noise_rate" and not wanted:
            seen.sort(key=lambda rate: -1.0 if rate is None else float(rate))
        ranks[key] = {v: i for i, v in enumerate(dict.fromkeys([*wanted, *seen]))}
    return _in_order(places, keys, ranks), ranks


def _in_order(
    places: Iterable[tuple[Any, ...]], keys: Sequence[str], ranks: Mapping[str, Mapping[Any, int]]
) -> list[tuple[Any, ...]]:
    return sorted(places, key=lambda place: tuple(ranks[key][value] for key, value in zip(keys, place, strict=True)))


def _matches(loose: tuple[Any, ...], place: tuple[Any, ...]) -> bool:
    """Whether a published row, whose empty fields match everything, belongs to a place."""
    return all(a in (None, "") or a == b for a, b in zip(loose, place, strict=True))


def _clean(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def _cells(
    frame: pd.DataFrame,
    known: pd.DataFrame,
    places: Sequence[tuple[Any, ...]],
    keys: tuple[str, ...],
    value: Value,
    label: str,
    alone: bool,
) -> list[dict[str, Any]]:
    metric, reading = str(value.metric), str(value.reading)
    described = metrics.describe(metric)
    read = results.values(frame, metric, reading)
    groups: dict[tuple[Any, ...], list[Any]] = {}
    for index, row in zip(frame.index, frame[list(keys)].itertuples(index=False, name=None), strict=True):
        groups.setdefault(tuple(_clean(v) for v in row), []).append(index)
    cells = []
    for place in places:
        at = dict(zip(keys, place, strict=True))
        part = frame.loc[groups.get(place, [])]
        part = part[~part.duplicated(["run", "status", "seed"]) | (part["run"] == "")]
        _one_setting(part, at)
        summary = summarise(read.loc[part.index])
        number = numbers.lookup(known, at, value.published) if value.published or alone else None
        diverged, missing = int((part["status"] == "diverged").sum()), int((part["status"] == "missing").sum())
        runs = int((part["status"] != "not run").sum())
        cells.append({
            **at, "value": label, "metric": metric, "reading": reading, "unit": described.unit,
            "published": number.mean if number else math.nan, "published_std": number.std if number else math.nan,
            "mean": summary.mean, "std": summary.std, "n": summary.n, "low": summary.low, "high": summary.high,
            "difference": summary.mean - number.mean if number else math.nan,
            "runs": runs, "diverged": diverged, "missing": missing,
            "status": "done" if summary.n else "diverged" if diverged else "missing" if runs else "not run",
            "data": ", ".join(dict.fromkeys(part["data"])), "stand_in": ", ".join(dict.fromkeys(text for text in part["stand_in"] if text)),
        })  # fmt: skip
    return cells


def _add_reference(
    cells: list[dict[str, Any]], reference: pd.DataFrame | None, keys: tuple[str, ...], value: Value
) -> None:
    """Mean, standard deviation and number of seeds at paper scale of every cell, NaN and 0 where there is none."""
    metric = str(value.metric)
    known: dict[tuple[Any, ...], Any] = {}
    if reference is not None and (metric in reference or metric.startswith("final.")):
        read = results.values(reference, metric, str(value.reading))
        rows = reference[list(keys)].itertuples(index=False, name=None)
        places = [tuple(_clean(v) for v in row) for row in rows]
        for place in dict.fromkeys(places):
            here = reference[[other == place for other in places]]
            _one_setting(here, dict(zip(keys, place, strict=True)))
            known[place] = summarise(read.loc[here.index])
    for cell in cells:
        found = known.get(tuple(cell[key] for key in keys))
        mean, std, n = (found.mean, found.std, found.n) if found is not None else (math.nan, math.nan, 0)
        cell.update(reference=mean, reference_std=std, reference_n=n)


def _one_setting(part: pd.DataFrame, at: Mapping[str, Any]) -> None:
    """A cell averages over seeds and nothing else."""
    trained = part[part["status"] != "not run"]
    if trained["seed"].duplicated().any():
        mixed = [key for key in KEYS if key not in at and trained[key].nunique(dropna=False) > 1]
        cell = ", ".join(f"{key} {value}" for key, value in at.items())
        what = " or ".join(mixed) or "what differs"
        raise InputError(
            f"the cell {cell} holds several runs per seed: put {what} into the rows or columns, or narrow `where`"
        )


def _mark_best(
    cells: list[dict[str, Any]], keys: tuple[str, ...], best_over: Sequence[str] | None, value: Value, digits: int
) -> None:
    """The best of every group of cells that differ in ``best_over`` alone; equals after rounding share the place."""
    over = [key for key in (best_over or ("method",)) if key in keys]
    if best_over is None and len({cell.get("method") for cell in cells}) < 2:
        over = [key for key in ("method", "setting") if key in keys]
    lower = (
        value.lower_is_better
        if value.lower_is_better is not None
        else not metrics.describe(str(value.metric)).higher_is_better
    )
    sign = -1.0 if lower else 1.0
    places = value.digits if value.digits is not None else digits
    for mark, number in (("best", "mean"), ("best_published", "published")):
        groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
        for cell in cells:
            cell[mark] = False
            if not math.isnan(cell[number]):
                groups.setdefault(tuple(cell[key] for key in keys if key not in over), []).append(cell)
        for group in groups.values():
            if over and len(group) > 1:
                top = max(round(sign * cell[number], places) for cell in group)
                for cell in group:
                    cell[mark] = round(sign * cell[number], places) == top


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    floats = [name for name in ("noise_rate", *NUMBERS) if name in table.columns and name != "n"]
    table[floats] = table[floats].astype(float)
    for name in ("n", "reference_n", "runs", "diverged", "missing"):
        table[name] = table[name].astype("int64")
    for name in ("best", "best_published"):
        table[name] = table[name].astype(bool)
    return table


def _legend(
    table: pd.DataFrame, shown: Sequence[Value], frame: pd.DataFrame, titles: Mapping[str, str] | None, beside: bool
) -> str:
    """What the numbers are."""
    parts = []
    if len(shown) == 1:
        described = metrics.describe(str(shown[0].metric))
        how = "" if described.name.startswith("final.") else f", {words.reading(str(shown[0].reading))}"
        parts.append(f"{described.axis}{how}.")
    sizes = sorted(set(table.loc[table["n"] > 0, "n"]))
    if sizes and sizes[-1] > 1:
        usual = render.usual_seeds(table)
        count = f"{usual} seed{'s' if usual > 1 else ''}" + (
            "" if len(sizes) == 1 else " (number in brackets where it differs)"
        )
        percent = table[table["unit"] == "%"]
        cut = ", cut at 0 and 100 %" if (percent["low"] < 0).any() or (percent["high"] > 100).any() else ""
        parts.append(
            f"Replicated: mean ± standard deviation over {count}, with Student's 95 % interval of the mean{cut}."
        )
    elif sizes:
        parts.append("Replicated: one seed, so no interval.")
    if (table["reference_n"] > 0).any():
        parts.append("Paper scale: ours with the paper's data, network and epochs, number of seeds in brackets.")
    if table["published"].notna().any():
        parts.append("Published: the paper's numbers.")
    elif beside:
        parts.append("The paper's numbers are not available.")
    parts.append("Best per column in bold.")
    parts.append(words.stand_ins(frame, titles))
    return " ".join(filter(None, parts))


def cost(frame: pd.DataFrame, by: Sequence[str] = ("dataset", "method")) -> pd.DataFrame:
    """Seconds and device per cell, for files and pages; not for notebook text, as times differ from run to run."""
    done = frame[frame["status"].isin(["done", "diverged"])].drop_duplicates([*by, "run"])
    grouped = done.groupby(list(by), sort=False, dropna=False)
    table = grouped.agg(
        runs=("run", "size"),
        seconds=("seconds", "sum"),
        seconds_per_run=("seconds", "mean"),
        device=("device", lambda x: ", ".join(sorted(set(x)))),
    )
    return table.round({"seconds": 2, "seconds_per_run": 3}).reset_index()


def csv_text(table: pd.DataFrame) -> str:
    """CSV with six significant digits after rounding noise away, the same on every machine."""
    return table.to_csv(index=False, float_format="%.6g", lineterminator="\n")
