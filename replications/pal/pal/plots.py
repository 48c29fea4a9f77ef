"""The figures of this paper: Figure 1 in its own form, and those of the sections that the paper is not known to have."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from losslab.analysis import bounds
from losslab.heads import prototypes
from losslab.report import style
from losslab.report.stats import band, summarise
from pal import theory
from pal.planar import Plane

CLASSES = mpl.colormaps["tab10"].colors  # type: ignore[attr-defined]
KEYS = {"CE": "ce", "NormFace": "normface", "CE+PAL": "ce+pal", "CE+FNPAL": "ce+fnpal"}


def _mark(axis: Axes, letter: str, title: str) -> None:
    axis.set_title(f"({letter}) {title}")


def _legend(figure: Figure, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    lines = [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in entries]
    style.legend(figure, lines, [str(line.get_label()) for line in lines])


def _line(axis: Axes, rows: pd.DataFrame, column: str, look: style.Look) -> None:
    """Mean over the seeds by epoch and its 95 % interval."""
    series = [part.sort_values("epoch") for _, part in rows.groupby("seed")]
    mean, low, high = band([list(part[column]) for part in series])
    epochs = series[0]["epoch"].to_numpy()
    axis.plot(epochs, mean, color=look.colour, linestyle=look.line)
    axis.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)


# Figure 1


def figure_1(found: Sequence[Plane], data: str) -> Figure:
    """Features (points), prototypes (arrows, scaled to the cloud) and decision regions (areas) of the first seed, in four panels."""
    first = [plane for plane in found if plane.seed == 0]
    with style.context():
        figure, axes = style.grid(4, columns=4, width=3.2, height=3.2, share_y=False)
        for axis, letter, plane in zip(axes, "abcd", first, strict=True):
            unit = "normalised" in plane.panel
            z = plane.features / plane.features.norm(dim=1, keepdim=True) if unit else plane.features
            w = plane.prototypes / plane.prototypes.norm(dim=1, keepdim=True) if unit else plane.prototypes
            reach = 1.25 if unit else 1.12 * float(z.abs().quantile(0.998))
            side = torch.linspace(-reach, reach, 240, dtype=torch.float64)
            grid = torch.stack(torch.meshgrid(side, side, indexing="xy"), -1)
            region = (grid @ w.T).argmax(-1).numpy()
            extent = (-reach, reach, -reach, reach)
            axis.imshow(
                region,
                extent=extent,
                origin="lower",
                cmap=ListedColormap(CLASSES),
                vmin=-0.5,
                vmax=9.5,
                alpha=0.18,
                interpolation="nearest",
            )
            axis.scatter(z[:, 0], z[:, 1], c=[CLASSES[k] for k in plane.labels.tolist()], s=5, linewidths=0)
            arrows = w * (0.92 * reach / float(w.norm(dim=1).max()))
            for k, (x, y) in enumerate(arrows.tolist()):
                axis.annotate(
                    "",
                    (x, y),
                    (0, 0),
                    arrowprops={"arrowstyle": "-|>", "color": CLASSES[k], "linewidth": 1.6, "shrinkA": 0, "shrinkB": 0},
                )
                axis.text(1.06 * x, 1.06 * y, str(k), fontsize=8, ha="center", va="center", color=style.INK)
            axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
            axis.grid(visible=False)
            _mark(axis, letter, plane.panel.replace("long-tailed, ", "LT, ").replace("features and prototypes", "both"))
        figure.suptitle(data)
    return figure


# Anchored prototypes


def gallery() -> Figure:
    """The polygon, packed points in space, and the largest cosine between ten prototypes against the dimension."""
    with style.context():
        figure = Figure(figsize=(11.4, 3.6), layout="constrained")
        flat = figure.add_subplot(1, 3, 1)
        for k, (x, y) in enumerate(prototypes.polygon(10).tolist()):
            flat.annotate(
                "",
                (x, y),
                (0, 0),
                arrowprops={"arrowstyle": "-|>", "color": CLASSES[k], "linewidth": 1.8, "shrinkA": 0, "shrinkB": 0},
            )
            flat.text(1.12 * x, 1.12 * y, str(k), ha="center", va="center", fontsize=9)
        flat.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal")
        _mark(flat, "a", "k = 10, d = 2: polygon")
        space = figure.add_subplot(1, 3, 2, projection="3d")
        for k, point in enumerate(prototypes.anchors(10, 3).tolist()):
            space.plot(*[[0, v] for v in point], color=CLASSES[k], linewidth=1.8)
            space.scatter(*[[v] for v in point], color=CLASSES[k], s=26)
        space.set_xticklabels([]), space.set_yticklabels([]), space.set_zticklabels([])  # type: ignore[attr-defined]
        space.set_box_aspect((1, 1, 1))  # type: ignore[call-arg,arg-type]
        _mark(space, "b", "k = 10, d = 3: packed")
        axis = figure.add_subplot(1, 3, 3)
        for k, place in ((5, 0), (10, 1), (20, 2)):
            dims = np.array(
                [d for d in range(2, 22) if d == 2 or k <= 2 * d]
            )  # between them packing is optimised, which takes seconds
            worst = [1 - theory.gamma_min(prototypes.anchors(k, int(d))) for d in dims]
            axis.plot(
                dims,
                worst,
                marker="osD"[place],
                color=style.ramp(style.of("ce+pal").colour, place, 3),
                label=f"k = {k}",
            )
        axis.set(xlabel="dimension d", ylabel="largest cosine between prototypes", xticks=range(2, 22, 3))
        axis.legend()
        _mark(axis, "c", "how far apart they can be")
    return figure


def optima() -> Figure:
    """Cosines between the prototypes at the optimum of cross-entropy with free features; darker is closer together."""
    with style.context():
        figure, axes = style.grid(4, columns=4, width=2.9, height=2.8, share_y=False)
        shown = [(sizes, False) for sizes in theory.SIZES] + [("step 100", True)]
        image = None
        for axis, letter, (sizes, anchored) in zip(axes, "abcd", shown, strict=True):
            w = theory.optimum(sizes, anchored).prototypes
            image = axis.imshow(
                np.ma.masked_array((w @ w.T).numpy(), np.eye(10, dtype=bool)), cmap="PuOr_r", vmin=-0.8, vmax=0.8
            )
            axis.grid(visible=False)
            axis.set(xticks=range(0, 10, 3), yticks=range(0, 10, 3), xlabel="class")
            _mark(axis, letter, f"{sizes}, {'anchored' if anchored else 'learned'}")
        assert image is not None
        figure.colorbar(image, ax=axes, label="cosine", shrink=0.8)
    return figure


# Trained networks


def margin_curves(frame: pd.DataFrame, data: str) -> Figure:
    """Class margin, mean and smallest sample margin of the training samples by epoch."""
    panels = (
        ("class margin", "class margin (degrees)"),
        ("gamma", "mean sample margin"),
        ("gamma_min", r"smallest sample margin $\gamma_{min}$"),
    )
    with style.context():
        figure, axes = style.grid(3, share_y=False)
        for axis, letter, (column, label) in zip(axes, "abc", panels, strict=True):
            for method, rows in frame.groupby("method", sort=False):
                _line(axis, rows, column, style.of(KEYS[str(method)]))
            axis.set(xlabel="epoch", ylabel=label)
            _mark(axis, letter, column.replace("gamma_min", "smallest margin").replace("gamma", "mean margin"))
        axes[0].axhline(96.38, color=style.INK, linewidth=0.9, linestyle=":")
        for axis in axes[1:]:
            axis.axhline(10 / 9, color=style.INK, linewidth=0.9, linestyle=":")
            axis.axhline(0, color=style.GRID, linewidth=0.9)
        looks = [(m, {"color": style.of(k).colour, "linestyle": style.of(k).line}) for m, k in KEYS.items()]
        _legend(figure, [*looks, ("simplex", {"linestyle": ":", "linewidth": 0.9})])
        figure.suptitle(data)
    return figure


def delta_trained(frame: pd.DataFrame, data: str) -> Figure:
    """Range of cross-entropy's class sum by epoch; and Delta against s for the simplex and the worst prototypes."""
    with style.context():
        figure, axes = style.grid(2, width=4.2, share_y=False)
        for method, rows in frame.groupby("method", sort=False):
            _line(axes[0], rows, "Delta", style.of(KEYS[str(method)]))
        axes[0].set(xlabel="epoch", ylabel=r"$\Delta$ at the mean feature norm", yscale="log")
        _mark(axes[0], "a", "during training")
        s = np.geomspace(0.5, 64, 60)
        for k, dash in ((10, "-"), (100, "--")):
            axes[1].plot(s, [bounds.anchored_delta(k, v) for v in s], color=style.of("ce+fnpal").colour, linestyle=dash)
            axes[1].plot(s, [bounds.cross_entropy_floor(k, v) for v in s], color=style.of("gce").colour, linestyle=dash)
        axes[1].set(xscale="log", yscale="log", ylim=(1e-6, 1e4), xlabel="feature norm s", ylabel=r"$\Delta(s)$, floor")
        axes[1].set_xticks([1, 4, 16, 64], ["1", "4", "16", "64"])
        _mark(axes[1], "b", "on an anchored simplex")
        looks = [(m, {"color": style.of(k).colour, "linestyle": style.of(k).line}) for m, k in KEYS.items()]
        more = [
            (r"$\Delta$, k = 10", {"color": style.of("ce+fnpal").colour}),
            ("floor, k = 10", {"color": style.of("gce").colour}),
            ("k = 100", {"linestyle": "--"}),
        ]
        _legend(figure, [*looks, *more])
        figure.suptitle(data)
    return figure


def _bars(axis: Axes, frame: pd.DataFrame, column: str, colour: Mapping[str, str]) -> None:
    """Mean over the seeds as a bar, single seeds as dots."""
    names = list(dict.fromkeys(frame["name"]))
    for place, name in enumerate(names):
        values = frame.loc[frame["name"] == name, column].to_numpy()
        found = summarise(pd.Series(values))
        axis.barh(place, found.mean, height=0.62, color=colour.get(name, style.of("other").colour), alpha=0.85)
        axis.plot(values, np.full(len(values), place), "o", color=style.INK, markersize=3)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.4, -0.6)
    axis.grid(axis="y", visible=False)


def rotation(frame: pd.DataFrame, data: str) -> Figure:
    """Test accuracy, and share of training images with a positive margin, with and without ReLU, aligned and random prototypes."""
    with style.context():
        figure, axes = style.grid(4, columns=4, width=2.9, height=2.5, share_y=False)
        places = [(m, c) for m in ("CE+PAL", "CE+FNPAL") for c in ("accuracy", "positive")]
        for number, (axis, letter, (method, column)) in enumerate(zip(axes, "abcd", places, strict=True)):
            look = style.of(KEYS[method])
            _bars(axis, frame[frame["method"] == method], column, dict.fromkeys(frame["name"], look.colour))
            axis.set_xlabel("test accuracy (%)" if column == "accuracy" else "margin > 0 (%)")
            _mark(axis, letter, method)
            if number:
                axis.set_yticklabels([])
        figure.suptitle(data)
    return figure


def why(frame: pd.DataFrame, data: str) -> Figure:
    """Test accuracy of all and of the last three classes, by what the fixed prototypes lack."""
    colours = {
        name: style.of("ce").colour if name.startswith("learned") else style.of("ce+pal").colour
        for name in frame["name"]
    }
    with style.context():
        figure, axes = style.grid(2, width=4.4, height=3.0, share_y=False)
        for axis, letter, (column, title) in zip(
            axes, "ab", (("accuracy", "all classes"), ("tail", "classes 7 to 9")), strict=True
        ):
            _bars(axis, frame, column, colours)
            axis.set(xlabel="test accuracy (%)", xlim=(0, 100))
            _mark(axis, letter, title)
        axes[1].set_yticklabels([])
        figure.suptitle(data)
    return figure


def narrow(frame: pd.DataFrame, data: str) -> Figure:
    """Learned against anchored prototypes in few dimensions: accuracy and class margin."""
    looks = {"learned": style.of("ce"), "anchored": style.of("ce+pal")}
    with style.context():
        figure, axes = style.grid(3, share_y=False)
        for axis, letter, (column, label) in zip(
            axes,
            "abc",
            (
                ("accuracy", "test accuracy (%)"),
                ("tail", "classes 7 to 9 (%)"),
                ("class margin", "class margin (degrees)"),
            ),
            strict=True,
        ):
            for name, rows in frame.groupby("name", sort=False):
                grouped = [summarise(part[column]) for _, part in rows.groupby("d")]
                dims = sorted(rows["d"].unique())
                look = looks[str(name)]
                axis.plot(dims, [g.mean for g in grouped], marker=look.marker, color=look.colour, linestyle=look.line)
                axis.plot(rows["d"], rows[column], "o", color=look.colour, markersize=2.5, alpha=0.6)
            axis.set(xlabel="feature dimension d", ylabel=label, xticks=dims)
            _mark(axis, letter, column.replace("tail", "tail accuracy"))
        _legend(
            figure,
            [
                (name, {"color": look.colour, "marker": look.marker, "linestyle": look.line})
                for name, look in looks.items()
            ],
        )
        figure.suptitle(data)
    return figure
