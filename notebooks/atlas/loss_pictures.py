"""The figures of the loss atlas: one per family, one page with all losses, and what a step does to the classes."""

from __future__ import annotations

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from atlas import losses as atlas
from losslab import losses
from losslab.report import style

HEAT = LinearSegmentedColormap.from_list("heat", ["#FFFFFF", "#BFD9EA", "#0072B2", "#1F3A5F"])
WIDEST = 170.0
"""Degrees up to which losses on angles are drawn."""


def family(title: str, classes: int = 10, reference: str = "ce") -> Figure:
    """A family in four panels (three for losses on angles).

    Value from 1 at the uniform output (90 degrees) to 0 at its least; size of the gradient, on a logarithmic scale; the same over its
    maximum; sum over all labels from the uniform output to a vertex, over its start. Cross entropy is drawn in grey where it is not a member.
    """
    names = atlas.families()[title]
    angles = losses.spec(names[0]).input == "cosines"
    members = [*names] if angles or reference in names else [*names, reference]
    path = np.linspace(1 / classes, 0.999, 120)
    with style.context():
        figure, axes = style.grid(3 if angles else 4, columns=4, width=3.0, height=2.6, share_y=False)
        handles = []
        for name in members:
            x, value, size = _lines(name, classes)
            ink = _ink(name, names)
            handles += axes[0].plot(x, value, **ink)
            axes[1].plot(x, size, **ink)
            axes[2].plot(x, size / size.max(), **ink)
            if not angles and name in names and atlas.found(name, classes).conservative:
                sums = atlas.sum_path(name, path, classes)
                axes[3].plot(path, sums / sums[0], **ink)
        axes[0].set(ylim=(-0.05, 2.0), title="value")
        axes[1].set(yscale="log", ylim=_decades(axes[1]), title="size of the gradient")
        axes[2].set(ylim=(0, 1.05), title="the same, over its maximum")
        if not angles:
            axes[3].set(title="sum over all labels", ylim=_sum_limits(axes[3]), xlabel="probability of one class")
        for axis in axes[:3]:
            axis.set_xlabel("angle to the label (degrees)" if angles else "p_y, probability of the label")
            axis.set_xlim(*((0, WIDEST) if angles else (0, 1)))
        style.legend(figure, handles, [atlas.label(name) for name in members])
    return figure


def page(classes: int = 10) -> Figure:
    """Every loss as one strip: the size of its gradient against p_y, over its own maximum."""
    rows: list[tuple[str, np.ndarray]] = []
    breaks = []
    grid = np.linspace(0.005, 0.995, 100)
    for title, names in atlas.families().items():
        if losses.spec(names[0]).input == "cosines":
            continue
        for name in names:
            one = atlas.line(name, classes)
            rows.append((atlas.label(name), np.interp(grid, one.x, one.weight_l1 / one.weight_l1.max())))
        breaks.append((title, len(rows)))
    with style.context(), mpl.rc_context({"axes.grid": False}):
        figure, (axis,) = style.grid(1, width=5.4, height=0.2 * len(rows) + 0.6)
        drawn = axis.imshow(
            np.array([values for _, values in rows]),
            aspect="auto",
            cmap=HEAT,
            vmin=0,
            vmax=1,
            extent=(0, 1, len(rows), 0),
            interpolation="nearest",
        )
        axis.set_yticks(np.arange(len(rows)) + 0.5, [name for name, _ in rows])
        axis.tick_params(axis="y", length=0)
        start = 0
        for title, end in breaks:
            axis.axhline(end, color=style.INK, linewidth=0.8)
            axis.text(1.01, (start + end) / 2, title, va="center", fontsize=8.5)
            start = end
        axis.axvline(1 / classes, color=style.INK, linewidth=0.8, linestyle=":")
        axis.set(xlabel="p_y, probability of the given label", xlim=(0, 1))
        bar = figure.colorbar(drawn, ax=axis, orientation="horizontal", location="top", shrink=0.6, aspect=40, pad=0.01)
        bar.set_label("size of the gradient, over the loss's own maximum")
    return figure


def pushes(names: tuple[str, ...], classes: int = 10) -> Figure:
    """What one step does to label, rival and the other classes together, per loss."""
    parts = ("label (p = 0.2)", "rival (p = 0.6)", "the others together")
    colours = (style.of("ce").colour, style.of("agce").colour, style.of("bound").colour)
    with style.context():
        figure, (axis,) = style.grid(1, width=6.2, height=2.6)
        for place, (part, colour) in enumerate(zip(parts, colours, strict=True)):
            heights = [atlas.push(name, classes)[place] for name in names]
            axis.bar(np.arange(len(names)) + 0.27 * (place - 1), heights, width=0.26, color=colour, label=part)
        axis.axhline(0, color=style.INK, linewidth=0.8)
        axis.set_xticks(range(len(names)), [atlas.label(name).replace(" ", "\n") for name in names], fontsize=8)
        axis.set(ylabel="share of the step (up: positive)")
        style.legend(figure, *axis.get_legend_handles_labels())
    return figure


def wrong_labels(classes: int = 10) -> Figure:
    """Part of the gradient that wrong labels have, against how sure the network is of the truth, for one loss per behaviour."""
    names = ("ce", "sce", "imae", "gce", "nce", "nce+rce", "agce", "mae")
    truth = np.linspace(0.12, 0.99, 60)
    with style.context():
        figure, (axis,) = style.grid(1, width=3.6, height=2.8)
        for name in names:
            look = style.of(name)
            share = [100 * atlas.wrong_share(name, classes, t) for t in truth]
            axis.plot(truth, share, color=look.colour, linestyle=look.line, label=look.label)
        axis.axhline(100 * atlas.RATE, color=style.INK, linewidth=0.8, linestyle=":", label="their number")
        axis.set(
            xlabel="probability of the true class", ylabel="part of the gradient (%)", ylim=(0, 100), xlim=(0.1, 1)
        )
        style.legend(figure, *axis.get_legend_handles_labels())
    return figure


def _lines(name: str, classes: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Place (probability or degrees), value between chance and least, size of the gradient.

    Where a factor is detached (IMAE), what training descends is the integral of the gradient, not the value; so that is drawn.
    """
    one = atlas.line(name, classes)
    value = one.value
    if not atlas.found(name, classes).conservative and name != "dmi":
        value = np.concatenate([[0.0], np.cumsum((one.slope[1:] + one.slope[:-1]) / 2 * np.diff(one.x))])
    angles = one.axis.startswith("cosine")
    x = np.degrees(np.arccos(one.x)) if angles else one.x
    start = float(np.interp(0.0 if angles else 1 / classes, one.x, value))
    shown = x <= WIDEST if angles else x <= 1  # at 180 degrees the slope of ArcFace's arc cosine has no bound
    return x[shown], (value[shown] - value.min()) / (start - value.min()), one.weight_l1[shown]


def _ink(name: str, names: tuple[str, ...]) -> dict[str, Any]:
    if name not in names:
        return {"color": style.of("bound").colour, "linestyle": "--", "linewidth": 1.0, "zorder": 1}
    look, last = style.of(name), max(len(names) - 1, 1)
    width = 3.2 - 1.9 * names.index(name) / last  # curves that lie on each other: the later ones are thinner
    return {"color": look.colour, "linestyle": look.line, "linewidth": width}


def _decades(axis: mpl.axes.Axes) -> tuple[float, float]:
    """Limits of a logarithmic axis: at most three decades below the largest value."""
    top = max(float(np.max(line.get_ydata())) for line in axis.get_lines())
    low = min(float(np.max(line.get_ydata())) for line in axis.get_lines())
    return max(low / 30, top / 1e4), 1.5 * top


def _sum_limits(axis: mpl.axes.Axes) -> tuple[float, float]:
    ends = [line.get_ydata() for line in axis.get_lines()]
    low, high = min(np.min(e) for e in ends), max(np.max(e) for e in ends)
    return min(low, 0.9), min(max(high, 1.1), 2.5)
