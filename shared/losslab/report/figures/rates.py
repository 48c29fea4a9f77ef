"""Figures against a number: the noise rate, or a hyper-parameter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.papers import metrics, results
from losslab.report import style, words
from losslab.report.figures import common
from losslab.report.stats import summarise, within


def rates(
    frame: pd.DataFrame,
    metric: str = "test_acc",
    reading: str = "last",
    *,
    panels: str | Sequence[str] | None = ("dataset", "noise_type"),
    published: pd.DataFrame | None = None,
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    columns: int | None = None,
    ylim: tuple[float, float] | None = None,
    share_y: bool | str = "row",
) -> Figure:
    """A reading against the noise rate: mean over the seeds with its 95 % interval; published numbers as hollow points on dotted lines."""
    return _against(
        frame,
        "noise_rate",
        metric,
        reading,
        panels,
        published,
        titles,
        title,
        columns,
        ylim,
        share_y,
        "Noise rate",
        False,
    )


def study(
    frame: pd.DataFrame,
    x: str,
    metric: str = "test_acc",
    reading: str = "last",
    *,
    panels: str | Sequence[str] | None = ("dataset", "noise_type", "noise_rate"),
    published: pd.DataFrame | None = None,
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    columns: int | None = None,
    ylim: tuple[float, float] | None = None,
    share_y: bool | str = "row",
    xlabel: str | None = None,
    log: bool | None = None,
) -> Figure:
    """A reading against one varied number: ``x`` names it inside the settings (``"tau"`` of ``tau=0.5``) or the method names.

    Runs that differ in nothing else form one line. The axis is logarithmic where the numbers span a factor of 20 or more, or as ``log`` says.
    """
    return _against(
        frame, x, metric, reading, panels, published, titles, title, columns, ylim, share_y, xlabel or x, log
    )


def _against(
    frame: pd.DataFrame,
    x: str,
    metric: str,
    reading: str,
    panels: str | Sequence[str] | None,
    published: pd.DataFrame | None,
    titles: Mapping[str, str] | None,
    title: str | None,
    columns: int | None,
    ylim: tuple[float, float] | None,
    share_y: bool | str,
    xlabel: str,
    log: bool | None,
) -> Figure:
    frame = common.trained(frame)
    table = frame.assign(_x=common.axis_numbers(frame, x), _y=results.values(frame, metric, reading))
    table = table[table["_x"].notna() & table["_y"].notna()]
    if x != "noise_rate":
        table = table.assign(method=_stripped(table["method"], x), setting=_stripped(table["setting"], x))
        if published is not None:
            published = published.assign(_x=common.axis_numbers(published, x) if len(published) else [])
            published = published.assign(method=_stripped(published["method"], x))
    table = common.named(table, panels)
    parts = common.panels(table, panels, titles)
    chosen = common.looks(table)
    columns = common.across(table, panels, columns)
    positions = sorted(set(table["_x"]))
    logarithmic = log if log is not None else min(positions, default=1) > 0 and max(positions) / min(positions) >= 20
    with style.context():
        figure, axes = style.grid(len(parts), columns=columns, share_y=share_y)
        any_point, unit = False, metrics.describe(metric).unit
        for axis, panel in zip(axes, parts, strict=True):
            groups = common.series(panel.rows)
            for place, (label, rows) in enumerate(groups.items()):
                _means(axis, rows, chosen[label], _dodge(place, len(groups), positions, logarithmic), unit)
                keys = {key: value for key, value in panel.keys.items() if key != "setting"}
                any_point |= _points(
                    axis, common.published_rows(published, keys, str(rows["method"].iloc[0])), x, chosen[label]
                )
            axis.set_title(panel.title)
            if logarithmic:
                axis.set_xscale("log")
                if len(positions) <= 8:
                    axis.set_xticks(positions, [f"{p:g}" for p in positions])
                    axis.minorticks_off()
            else:
                here = sorted(set(panel.rows["_x"]))
                if len(here) <= 8:
                    axis.set_xticks(here, [f"{p:g}" for p in here])
            if ylim:
                axis.set_ylim(*ylim)
        common.label_axes(axes, columns, xlabel, common.unit_axis(metric))
        more = [common.published_handle()] if any_point else []
        style.legend(figure, *common.handles(chosen, more=more), _caption(metric, reading))
        common.suptitle(figure, common.heading(table, panels, titles) if title is None else title)
    return figure


def _caption(metric: str, reading: str) -> str | None:
    return None if metric.startswith("final.") or reading == "last" else common.wrapped(words.reading(reading), 24)


def _stripped(texts: pd.Series, x: str) -> pd.Series:
    """Texts without ``x=...``: what is left names the line."""
    pattern = rf"[\s,;(]*\b{x}\s*=\s*[-+\d.eE]+\)?[,;]?"
    return texts.str.replace(pattern, "", regex=True).str.strip(" ,;")


def _dodge(place: int, count: int, positions: Sequence[float], logarithmic: bool) -> float:
    """How far a line is moved aside, so that the intervals of several lines do not cover each other."""
    if logarithmic or len(positions) < 2:
        return 0.0
    gap = min(b - a for a, b in itertools.pairwise(positions))
    return (place - (count - 1) / 2) * min(0.03, 0.2 / count) * gap


def _means(axis: Axes, rows: pd.DataFrame, look: style.Look, aside: float, unit: str) -> None:
    xs: list[float] = []
    means: list[float] = []
    errors: list[tuple[float, float]] = []
    for place, part in rows.groupby("_x", sort=True):
        summary = summarise(part["_y"])
        xs.append(float(place) + aside)  # type: ignore[arg-type]
        means.append(summary.mean)
        low, high = within(summary.low, summary.high, unit)
        errors.append((0.0, 0.0) if math.isnan(low) else (summary.mean - low, high - summary.mean))
    axis.errorbar(
        xs,
        means,
        yerr=np.array(errors).T,
        color=look.colour,
        linestyle=look.line,
        marker=look.marker,
        elinewidth=1.0,
        capsize=2.5,
        capthick=1.0,
    )


def _points(axis: Axes, part: pd.DataFrame, x: str, look: style.Look) -> bool:
    column = "noise_rate" if x == "noise_rate" else "_x"
    part = part[part[column].notna()].sort_values(column) if len(part) else part
    if part.empty:
        return False
    options: dict[str, Any] = {
        "color": look.colour,
        "linestyle": ":",
        "linewidth": 0.9,
        "marker": look.marker or "o",
        "alpha": 0.75,
        **common.HOLLOW,
    }
    axis.plot(part[column], part["mean"], **options)
    return True
