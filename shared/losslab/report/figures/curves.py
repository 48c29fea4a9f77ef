"""Figures over the epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslab.errors import InputError
from losslab.papers import metrics
from losslab.papers.messages import near
from losslab.papers.results import curve_names
from losslab.report import published as numbers
from losslab.report import style
from losslab.report.figures import common
from losslab.report.stats import band

EPOCH, SHARE = "Epoch", "Share of the training (%)"
PAIR_DASH = (4.0, 1.8)


def curves(
    frame: pd.DataFrame,
    metric: str = "test_acc",
    *,
    panels: str | Sequence[str] | None = "noise_rate",
    published: pd.DataFrame | None = None,
    published_epochs: int | None = None,
    x: str = "epoch",
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    columns: int | None = None,
    ylim: tuple[float, float] | None = None,
    share_y: bool | str = True,
) -> Figure:
    """Mean over the seeds by epoch with its 95 % interval, one line per method.

    ``published``: points whose settings hold ``epoch=N``. ``x="share"`` draws shares of the training instead of epochs, so
    that a stand-in's shorter training lines up with the paper's; ``published_epochs`` is then the length of the paper's
    (default: its last point).
    """
    frame = common.named(common.trained(frame), panels)
    _known(frame, metric)
    if x not in ("epoch", "share"):
        raise InputError(near("x", x, ("epoch", "share")))
    parts = common.panels(frame, panels, titles)
    columns = common.across(frame, panels, columns)
    chosen = common.looks(frame)
    points = numbers.curves(published) if published is not None else numbers.empty()
    with style.context():
        figure, axes = style.grid(len(parts), columns=columns, share_y=share_y)
        any_point = False
        for axis, panel in zip(axes, parts, strict=True):
            for label, rows in common.series(panel.rows).items():
                _line(axis, rows, metric, chosen[label], x)
                any_point |= _points(
                    axis, points, panel.keys, str(rows["method"].iloc[0]), chosen[label], x, published_epochs
                )
            axis.set_title(panel.title)
            if ylim:
                axis.set_ylim(*ylim)
        common.label_axes(axes, columns, EPOCH if x == "epoch" else SHARE, common.unit_axis(metric))
        more = [common.published_handle()] if any_point else []
        style.legend(figure, *common.handles(chosen, marker=any_point, more=more))
        common.suptitle(figure, common.heading(frame, panels, titles) if title is None else title)
    return figure


def _known(frame: pd.DataFrame, *names: str) -> None:
    for name in names:
        if name not in frame.columns:
            raise InputError(near("curve", name, curve_names(frame)))


def _epochs(count: int, x: str) -> np.ndarray:
    epochs = np.arange(1, count + 1)
    return epochs if x == "epoch" else 100.0 * epochs / count


def _line(
    axis: Axes, rows: pd.DataFrame, metric: str, look: style.Look, x: str, dash: Any = None, width: float | None = None
) -> None:
    lines = [curve for curve in rows[metric] if curve is not None and len(curve)]
    if not lines:
        return
    factor = metrics.describe(metric).factor
    mean, low, high = (factor * values for values in band(lines))
    epochs = _epochs(len(mean), x)
    axis.plot(epochs, mean, color=look.colour, linestyle=look.line if dash is None else dash, linewidth=width)
    if metrics.describe(metric).unit == "%":
        low, high = np.clip(low, 0, 100), np.clip(high, 0, 100)
    axis.fill_between(epochs, low, high, color=look.colour, alpha=0.16, linewidth=0)


def _points(
    axis: Axes, table: pd.DataFrame, keys: Mapping[str, Any], method: str, look: style.Look, x: str, total: int | None
) -> bool:
    part = common.published_rows(table, keys, method) if len(table) else table
    if part.empty:
        return False
    epochs = part["epoch"].to_numpy(float)
    if x == "share":
        epochs = 100.0 * epochs / (total or float(table["epoch"].max()))
    order = np.argsort(epochs)
    axis.plot(
        epochs[order],
        part["mean"].to_numpy(float)[order],
        color=look.colour,
        marker=look.marker or "o",
        linestyle=":",
        linewidth=0.9,
        **common.HOLLOW,
    )  # type: ignore[arg-type]
    return True


def curve_pairs(
    frame: pd.DataFrame,
    solid: str = "fit_clean",
    dashed: str = "fit_noisy",
    *,
    panels: str | Sequence[str] | None = "noise_rate",
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    labels: tuple[str, str] | None = None,
    columns: int | None = None,
    ylabel: str | None = None,
) -> Figure:
    """Two curves of every method: one solid, one dashed, in the method's colour."""
    frame = common.named(common.trained(frame), panels)
    _known(frame, solid, dashed)
    parts = common.panels(frame, panels, titles)
    columns = common.across(frame, panels, columns)
    chosen = common.looks(frame)
    names = labels or (metrics.describe(solid).label, metrics.describe(dashed).label)
    unit = metrics.describe(solid).unit
    with style.context():
        figure, axes = style.grid(len(parts), columns=columns)
        for axis, panel in zip(axes, parts, strict=True):
            for label, rows in common.series(panel.rows).items():
                _line(axis, rows, solid, chosen[label], "epoch", "-")
                _line(axis, rows, dashed, chosen[label], "epoch", (0, PAIR_DASH))
            axis.set_title(panel.title)
        common.label_axes(axes, columns, EPOCH, ylabel or (f"Share ({unit})" if unit else "Value"))
        plain = {label: Line2D([], [], color=look.colour, linewidth=3.0) for label, look in chosen.items()}
        marks = [
            (names[0], Line2D([], [], color=style.INK, linestyle="-")),
            (names[1], Line2D([], [], color=style.INK, linestyle=(0, PAIR_DASH))),
        ]
        style.legend(figure, [*plain.values(), *(mark for _, mark in marks)], [*plain, *(name for name, _ in marks)])
        common.suptitle(figure, common.heading(frame, panels, titles) if title is None else title)
    return figure


def per_class(
    frame: pd.DataFrame,
    metric: str = "test_acc_per_class",
    *,
    panels: str | Sequence[str] | None = ("method",),
    class_names: Sequence[str] | None = None,
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    overall: str | None = "test_acc",
    columns: int | None = None,
) -> Figure:
    """Accuracy per class by epoch, mean over the seeds, and the accuracy over all classes in black.

    Above ten classes: ranges over the classes instead of single lines.
    """
    frame = common.named(common.trained(frame), panels)
    _known(frame, metric)
    parts = common.panels(frame, panels, titles)
    columns = common.across(frame, panels, columns)
    names = [str(name) for name in class_names] if class_names is not None else None
    with style.context():
        figure, axes = style.grid(len(parts), columns=columns)
        entries: dict[str, Any] = {}
        for axis, panel in zip(axes, parts, strict=True):
            stack = [
                np.array([[np.nan if v is None else v for v in epoch] for epoch in curve], dtype=float)
                for curve in panel.rows[metric]
                if curve is not None
            ]
            if not stack:
                continue
            length = min(map(len, stack))
            mean = metrics.describe(metric).factor * np.nanmean([curve[:length] for curve in stack], axis=0)
            entries |= _classes(axis, mean, names) if mean.shape[1] <= 10 else _ranges(axis, mean)
            if overall and overall in panel.rows:
                _line(axis, panel.rows, overall, style.of("ce"), "epoch", "-", 2.4)
                entries["all classes"] = Line2D([], [], color=style.of("ce").colour, linewidth=2.4)
            axis.set_title(panel.title)
        common.label_axes(axes, columns, EPOCH, common.unit_axis(metric))
        style.legend(figure, list(entries.values()), list(entries), "Class")
        common.suptitle(figure, common.heading(frame, panels, titles) if title is None else title)
    return figure


def _classes(axis: Axes, mean: np.ndarray, names: Sequence[str] | None) -> dict[str, Any]:
    palette = sns.color_palette("colorblind", 10)
    entries = {}
    for k in range(mean.shape[1]):
        (line,) = axis.plot(np.arange(1, len(mean) + 1), mean[:, k], color=palette[k], linewidth=1.2, alpha=0.9)
        entries[names[k] if names and k < len(names) else str(k)] = line
    return entries


def _ranges(axis: Axes, mean: np.ndarray) -> dict[str, Any]:
    epochs = np.arange(1, len(mean) + 1)
    colour = style.of("gce").colour
    outer = axis.fill_between(epochs, mean.min(1), mean.max(1), color=colour, alpha=0.15, linewidth=0)
    inner = axis.fill_between(
        epochs, np.quantile(mean, 0.25, axis=1), np.quantile(mean, 0.75, axis=1), color=colour, alpha=0.35, linewidth=0
    )
    (median,) = axis.plot(epochs, np.median(mean, axis=1), color=colour)
    return {"worst to best": outer, "middle half": inner, "median class": median}
