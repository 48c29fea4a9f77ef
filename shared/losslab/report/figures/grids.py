"""Heat maps of two varied numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from losslab.errors import InputError
from losslab.papers import results
from losslab.papers.spec import KEYS
from losslab.report import style
from losslab.report.figures import common

SHADES = "viridis"


def heatmap(
    frame: pd.DataFrame,
    x: str,
    y: str,
    metric: str = "test_acc",
    reading: str = "last",
    *,
    panels: str | Sequence[str] | None = None,
    published: pd.DataFrame | None = None,
    titles: Mapping[str, str] | None = None,
    title: str | None = None,
    digits: int = 1,
) -> Figure:
    """Mean over the seeds by two varied quantities, with the published grid in a panel of its own beside it.

    ``x``, ``y``: key columns, or numbers inside the settings (``"alpha"`` of ``alpha=0.1,beta=1``).
    """
    frame = common.trained(frame)
    table = frame.assign(_x=_axis(frame, x), _y=_axis(frame, y), _value=results.values(frame, metric, reading))
    grids: list[tuple[str, pd.DataFrame]] = []
    for panel in common.panels(table, panels, titles):
        mixed = panel.rows.drop_duplicates(["_x", "_y", "seed", "run"])
        if mixed.duplicated(["_x", "_y", "seed"]).any():
            raise InputError(
                f"a field of the heat map holds several runs per seed: narrow the frame, or add panels (x: {x}, y: {y})"
            )
        grids.append((panel.title or "Replicated", _pivot(panel.rows)))
        if published is not None and len(published):
            part = published[published["mean"].notna()]
            part = part.assign(_x=_axis(part, x), _y=_axis(part, y), _value=part["mean"])
            grids.append((f"{panel.title}, published" if panel.title else "Published", _pivot(part)))
    grids = [
        (name, grid.reindex(index=rows, columns=across)) for rows, across in [_union(grids)] for name, grid in grids
    ]
    finite = np.concatenate([grid.to_numpy(float).ravel() for _, grid in grids])
    low, high = float(np.nanmin(finite)), float(np.nanmax(finite))
    down, wide = grids[0][1].shape
    with style.context():
        figure, axes = style.grid(
            len(grids), columns=2, width=max(2.6, 0.62 * wide + 1.2), height=max(1.9, 0.5 * down + 1.0), share_y=False
        )
        for number, (axis, (name, grid)) in enumerate(zip(axes, grids, strict=True)):
            _draw(axis, grid, low, high, digits)
            axis.set(title=name, xlabel=_name(x), ylabel=_name(y) if number % 2 == 0 else "")
        bar = figure.colorbar(axes[0].collections[0], ax=axes, fraction=0.05, pad=0.02)
        bar.set_label(common.unit_axis(metric))
        bar.outline.set_visible(False)  # type: ignore[operator]
        common.suptitle(figure, common.heading(frame, panels, titles) if title is None else title)
    return figure


def _axis(table: pd.DataFrame, name: str) -> pd.Series:
    return table[name] if name in KEYS else common.axis_numbers(table, name)


def _name(name: str) -> str:
    return {"noise_rate": "Noise rate", "noise_type": "Noise", "dataset": "Data set", "method": "", "setting": ""}.get(
        name, name
    )


def _pivot(table: pd.DataFrame) -> pd.DataFrame:
    return table.pivot_table(index="_y", columns="_x", values="_value", aggfunc="mean", sort=False, dropna=False)


def _union(grids: Sequence[tuple[str, pd.DataFrame]]) -> tuple[list[Any], list[Any]]:
    """Row and column labels of all grids: numbers from the lower left, names in their order."""
    rows = list(dict.fromkeys(label for _, grid in grids for label in grid.index))
    columns = list(dict.fromkeys(label for _, grid in grids for label in grid.columns))
    if all(isinstance(label, (int, float)) for label in rows):
        rows.sort(reverse=True)
    if all(isinstance(label, (int, float)) for label in columns):
        columns.sort()
    return rows, columns


def _draw(axis: Axes, grid: pd.DataFrame, low: float, high: float, digits: int) -> None:
    shown = grid.rename(index=_text, columns=_text)
    sns.heatmap(
        shown,
        ax=axis,
        vmin=low,
        vmax=high,
        cmap=SHADES,
        annot=True,
        fmt=f".{digits}f",
        cbar=False,
        linewidths=1.0,
        linecolor="white",
        annot_kws={"size": 9},
    )
    axis.tick_params(length=0)
    axis.grid(False)
    axis.set_yticklabels(axis.get_yticklabels(), rotation=0)
    axis.set_xticklabels(axis.get_xticklabels(), rotation=0)


def _text(label: object) -> str:
    return f"{label:g}" if isinstance(label, (int, float)) else str(label)
