"""Methods side by side, and replicated against published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from losslab.errors import InputError
from losslab.papers import results
from losslab.report import style, words
from losslab.report.figures import common
from losslab.report.looks import of, spread
from losslab.report.stats import summarise
from losslab.report.table import Table


def bars(
    frame: pd.DataFrame,
    metric: str = "test_acc",
    reading: str = "last",
    *,
    panels: str | Sequence[str] | None = ("dataset", "noise_type", "noise_rate"),
    published: pd.DataFrame | None = None,
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    columns: int | None = None,
    xlim: tuple[float, float] | None = None,
) -> Figure:
    """One bar per method: mean over the seeds with its 95 % interval, single seeds as dots, the published number as a diamond."""
    frame = common.trained(frame)
    table = common.named(frame.assign(_y=results.values(frame, metric, reading)), panels)
    parts = common.panels(table, panels, titles)
    chosen = common.looks(table)
    columns = common.across(table, panels, columns)
    highest = max(
        (summarise(rows["_y"]).mean for panel in parts for rows in common.series(panel.rows).values()), default=1.0
    )
    rows = max(len(common.series(panel.rows)) for panel in parts)
    with style.context():
        figure, axes = style.grid(len(parts), columns=columns, height=0.3 * rows + 0.9, share_y=False)
        any_point = False
        for number, (axis, panel) in enumerate(zip(axes, parts, strict=True)):
            any_point |= _bars(axis, panel, chosen, published)
            axis.set_title(panel.title)
            if number % max(1, min(columns, len(parts))):
                axis.set_yticklabels([])
            axis.set_xlim(*(xlim or (0.0, 1.06 * highest)))
        for axis in axes:
            axis.set_xlabel(common.unit_axis(metric))
        if any_point:
            mark = Line2D([], [], color=style.INK, marker="D", linestyle="none", **{**common.HOLLOW, "markersize": 5.0})  # type: ignore[arg-type]
            figure.legend(
                [Patch(color="#BBBBBB"), mark], ["replicated", "published"], loc="outside lower left", ncols=2
            )
        common.suptitle(figure, common.heading(table, panels, titles) if title is None else title)
    return figure


def _bars(axis: Axes, panel: common.Panel, chosen: Mapping[str, style.Look], published: pd.DataFrame | None) -> bool:
    any_point = False
    groups = list(common.series(panel.rows).items())
    for place, (label, rows) in enumerate(groups):
        look, summary = chosen[label], summarise(rows["_y"])
        if not summary.n:
            continue
        axis.barh(place, summary.mean, height=0.66, color=look.colour, alpha=0.85, linewidth=0)
        if not math.isnan(summary.low):
            axis.errorbar(
                summary.mean,
                place,
                xerr=summary.high - summary.mean,
                color=style.INK,
                elinewidth=1.1,
                capsize=2.5,
                capthick=1.1,
            )
        part = common.published_rows(published, panel.keys, str(rows["method"].iloc[0]))
        if len(part) == 1:
            axis.plot(
                part["mean"],
                [place],
                marker="D",
                linestyle="none",
                color=style.INK,
                zorder=5,
                **{**common.HOLLOW, "markersize": 5.0},
            )  # type: ignore[arg-type]
            any_point = True
    axis.set_yticks(range(len(groups)), [label for label, _ in groups])
    axis.set_ylim(len(groups) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0, labelleft=True)
    axis.grid(axis="y", visible=False)
    return any_point


def forest(table: Table, *, title: str | None = None, by: Sequence[str] | None = None) -> Figure:
    """Replicated minus published, one line per cell with the 95 % interval of the replicated mean.

    ``by``: keys of the groups (default: all but method and rate). Raises InputError where no cell has both numbers.
    """
    cells = table.cells[table.cells["difference"].notna()]
    if cells.empty:
        raise InputError("no cell has a published and a replicated number, so there is no difference to draw")
    keys = [*table.rows, *table.columns]
    groups = [key for key in (by or [key for key in keys if key not in ("method", "noise_rate")]) if key in keys]
    names = words.dataset_titles(cells, table.titles) if "dataset" in keys else {}
    lines = [key for key in keys if key not in groups]
    looks = (
        spread({str(method): table.keyed.get(str(method), "other") for method in dict.fromkeys(cells["method"])})
        if "method" in cells
        else {}
    )
    blocks = list(cells.groupby(groups, sort=False, dropna=False)) if groups else [((), cells)]
    with style.context():
        sizes = [len(part) for _, part in blocks]
        figure = Figure(figsize=(6.6, 0.21 * sum(sizes) + 0.42 * len(blocks) + 0.7), layout="constrained")
        axes = figure.subplots(
            len(blocks), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": [size + 0.6 for size in sizes]}
        )
        for axis, (place, part) in zip(axes.flat, blocks, strict=True):
            _forest(axis, part, lines, looks)
            keyed = dict(zip(groups, place, strict=True))
            axis.set_title(common.phrase(keyed, names))
            for side in ("top", "right", "left"):
                axis.spines[side].set_visible(False)
        for axis in axes.flat[:-1]:
            axis.tick_params(labelbottom=False)
        axes.flat[-1].set_xlabel(
            f"Replicated - published ({'points' if cells['unit'].iloc[0] == '%' else cells['unit'].iloc[0] or 'difference'})"
        )
        common.suptitle(figure, title or "")
    return figure


def _forest(axis: Axes, part: pd.DataFrame, lines: Sequence[str], looks: Mapping[str, style.Look]) -> None:
    axis.axvline(0.0, color=style.INK, linewidth=1.0)
    labels = []
    for place, cell in enumerate(part.to_dict("records")):
        look = looks.get(str(cell.get("method")), of("other"))
        half = (cell["high"] - cell["low"]) / 2
        axis.errorbar(
            cell["difference"],
            place,
            xerr=None if math.isnan(half) else half,
            color=look.colour,
            marker=look.marker or "o",
            elinewidth=1.3,
            capsize=2.5,
            capthick=1.1,
        )
        labels.append(
            ", ".join(filter(None, (words.key_value(key, cell[key]) for key in lines)))
            + (f", {cell['value']}" if cell["value"] else "")
        )
    axis.set_yticks(np.arange(len(labels)), labels)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.tick_params(axis="y", length=0)
    axis.grid(axis="y", visible=False)
