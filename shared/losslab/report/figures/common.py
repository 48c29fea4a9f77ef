"""What the figures share: series, panels, titles, and numbers that stand inside a setting."""

from __future__ import annotations

import math
import re
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslab.errors import InputError
from losslab.papers import metrics
from losslab.papers.messages import near
from losslab.papers.spec import KEYS
from losslab.report import published as numbers
from losslab.report import style, words
from losslab.report.looks import Look, spread

HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.2, "markersize": 6.0}


@dataclass(frozen=True)
class Panel:
    """One panel: its title, the keys that it fixes, and its rows."""

    title: str
    keys: Mapping[str, Any]
    rows: pd.DataFrame


def trained(frame: pd.DataFrame) -> pd.DataFrame:
    """Runs with numbers. Raises InputError where there are none."""
    done = frame[frame["status"] == "done"]
    if done.empty:
        raise InputError("no finished run to draw; train first")
    return done.drop_duplicates([*KEYS, "seed"])


def names_of(by: str | Sequence[str] | None) -> list[str]:
    """Key columns of the panels as a list. Raises InputError for an unknown one."""
    names = [by] if isinstance(by, str) else list(by or ())
    for name in names:
        if name not in KEYS:
            raise InputError(near("key", name, KEYS))
    return names


def panels(frame: pd.DataFrame, by: str | Sequence[str] | None, titles: Mapping[str, str] | None) -> list[Panel]:
    """One panel per combination of the key columns ``by``, in the frame's order. A panel's title says what differs between panels; see `heading`."""
    names = names_of(by)
    if not names:
        return [Panel("", {}, frame)]
    told = varying(frame, names)
    shown = words.dataset_titles(frame, titles)
    result = []
    for place, part in frame.groupby(names, sort=False, dropna=False):
        keys = {name: _clean(value) for name, value in zip(names, place, strict=True)}
        result.append(Panel(lines(phrase({key: keys[key] for key in told}, shown)), keys, part))
    return result


def lines(text: str, width: int = 38) -> str:
    """A panel's title, broken after a comma where it is too long, and between words only if that does not do."""
    result = [""]
    for part in text.split(", "):
        joined = f"{result[-1]}, {part}" if result[-1] else part
        if len(joined) <= width or not result[-1]:
            result[-1] = joined
        else:
            result[-1] += ","
            result.append(part)
    return "\n".join(wrapped(line, width) for line in result)


def varying(frame: pd.DataFrame, names: Sequence[str]) -> list[str]:
    """Those of the key columns that hold more than one value."""
    return [name for name in names if frame[name].nunique(dropna=False) > 1]


def across(frame: pd.DataFrame, by: str | Sequence[str] | None, columns: int | None) -> int:
    """Number of panels side by side: as given, else the values of the last key that varies, else up to three."""
    if columns is not None:
        return columns
    told = varying(frame, names_of(by))
    if len(told) < 2:
        count = frame[told[0]].nunique(dropna=False) if told else 1
        return 4 if count in (4, 7, 8) else 3
    wide = frame[told[-1]].nunique(dropna=False)
    full = len(frame[told].drop_duplicates()) % wide == 0
    return wide if full and 2 <= wide <= 5 else 3


def wrapped(text: str, width: int = 36) -> str:
    """The text in lines of at most ``width`` characters where it has spaces."""
    return "\n".join(textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False))


def _clean(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def phrase(keys: Mapping[str, Any], titles: Mapping[str, str] | None = None) -> str:
    """Key values in words: `CIFAR-10, uniform noise, rate 0.4`."""
    clean = keys.get("noise_type") == "none"
    parts = []
    for key, value in keys.items():
        if key == "noise_rate":
            text = (
                ""
                if value is None or (clean and value == 0)
                else "clean labels"
                if value == 0
                else f"rate {value:g}"
                if "noise_type" in keys
                else f"noise rate {value:g}"
            )
        elif key == "noise_type":
            text = "clean labels" if clean else f"{value} noise" if value and "noise" not in str(value) else str(value)
        else:
            text = words.key_value(key, value, titles)
        parts.append(text)
    return ", ".join(filter(None, parts))


def heading(frame: pd.DataFrame, by: str | Sequence[str] | None, titles: Mapping[str, str] | None) -> str:
    """What all panels share: method (where the series are its settings), data set with its stand-in, noise, rate."""
    same = [key for key in ("dataset", "noise_type", "noise_rate") if frame[key].nunique(dropna=False) == 1]
    if "_series" in frame and frame["method"].nunique() == 1 and frame["_series"].nunique() > 1:
        same.insert(0, "method")
    return phrase({key: _clean(frame[key].iloc[0]) for key in same}, words.dataset_titles(frame, titles))


def named(frame: pd.DataFrame, by: str | Sequence[str] | None) -> pd.DataFrame:
    """The frame with a column ``_series``: the method, and its setting where a method has several that the panels do not tell apart."""
    several = "setting" not in names_of(by) and frame.groupby("method", sort=False)["setting"].nunique().max() > 1
    alone = frame["method"].nunique() == 1
    labels = [
        str(method) if not several or not setting else str(setting) if alone else f"{method}, {setting}"
        for method, setting in zip(frame["method"], frame["setting"], strict=True)
    ]
    return frame.assign(_series=labels)


def series(frame: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Label -> rows of a frame that went through `named`."""
    return {str(label): part for label, part in frame.groupby("_series", sort=False)}


def looks(frame: pd.DataFrame) -> dict[str, Look]:
    """Look of every series of the frame."""
    return spread({label: str(part["key"].mode().iloc[0]) for label, part in series(frame).items()})


def handles(
    chosen: Mapping[str, Look], *, marker: bool = True, more: Sequence[tuple[str, Line2D]] = ()
) -> tuple[list[Line2D], list[str]]:
    """Legend entries of the series, and further ones. A single series needs none."""
    made = [
        Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker if marker else "")
        for look in chosen.values()
    ]  # type: ignore[arg-type]
    if len(made) == 1 and not more:
        return [], []
    return [*made, *(handle for _, handle in more)], [*chosen, *(label for label, _ in more)]


def published_handle(text: str = "published") -> tuple[str, Line2D]:
    """Legend entry of the published numbers."""
    return text, Line2D([], [], color="#555555", linestyle=":", marker="o", linewidth=1.0, **HOLLOW)  # type: ignore[arg-type]


def published_rows(table: pd.DataFrame | None, keys: Mapping[str, Any], method: str) -> pd.DataFrame:
    """Published numbers of one series in one panel."""
    if table is None or table.empty:
        return numbers.empty()
    where = {
        key: value for key, value in {**keys, "method": method}.items() if key in numbers.KEYS and value is not None
    }
    part = numbers.within(table, where)
    return part[part["mean"].notna()]


def setting_number(text: str, name: str) -> float:
    """Number of ``name`` inside a setting such as ``alpha=0.1,beta=1``; NaN where it is not there."""
    match = re.search(rf"(?:^|[\s,;(]){re.escape(name)}\s*=\s*([-+]?[\d.]+(?:[eE][-+]?\d+)?)", text)
    return float(match.group(1)) if match else math.nan


def axis_numbers(table: pd.DataFrame, name: str) -> pd.Series:
    """Values of a varied quantity: a key column, or a number inside `setting` or, failing that, inside `method`."""
    if name in ("noise_rate",):
        return table[name].astype(float)
    found = table["setting"].map(lambda text: setting_number(text, name))
    if found.isna().all():
        found = table["method"].map(lambda text: setting_number(text, name))
    if found.isna().all() and len(table):
        example = next(iter(table["setting"]), "")
        raise InputError(f"no number called {name!r} in any setting or method; a setting reads {example!r}")
    return found


def label_axes(axes: Sequence[Axes], columns: int, x: str, y: str) -> None:
    """x below every panel without one beneath it, y at the left edge."""
    wide = max(1, min(columns, len(axes)))
    for number, axis in enumerate(axes):
        if number + wide >= len(axes):
            axis.set_xlabel(x)
        if number % wide == 0:
            axis.set_ylabel(y)


def suptitle(figure: Figure, text: str) -> None:
    """What the whole figure is about, at its upper left."""
    if text:
        figure.suptitle(lines(text, max(24, int(_panels_width(figure) / 0.105))), x=0.01, ha="left")


def _panels_width(figure: Figure) -> float:
    """Inches beside the legend."""
    return figure.get_figwidth() - max((style.legend_width(legend) for legend in figure.legends), default=0.0)


def unit_axis(metric: str) -> str:
    """Axis label of a metric."""
    return metrics.describe(metric).axis
