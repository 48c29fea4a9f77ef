"""The figures of the noise atlas: transition matrices, realised rates, samples, class sizes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, PowerNorm
from matplotlib.figure import Figure

from atlas.noises import RATE, Instance
from losslab.data import Dataset
from losslab.report import style

HEAT = LinearSegmentedColormap.from_list("heat", ["#FFFFFF", "#BFD9EA", "#0072B2", "#1F3A5F"])


def matrices(found: Mapping[str, np.ndarray], columns: int = 4, size: float = 2.1, numbers: bool = False) -> Figure:
    """One picture per matrix: rows true classes, columns given classes, colour the probability.

    The scale of colours is that of the square root, so that 0.04 can be told from 0. "Wrong": with classes of equal size.
    """
    with style.context(), mpl.rc_context({"axes.grid": False, "axes.titlesize": 9.5}):
        figure, axes = style.grid(len(found), columns=columns, width=size + 0.25, height=size + 0.45, share_y=False)
        drawn = None
        for axis, (title, matrix) in zip(axes, found.items(), strict=True):
            drawn = axis.imshow(matrix, cmap=HEAT, norm=PowerNorm(0.5, 0, 1))
            ticks = range(0, len(matrix), 1 if len(matrix) <= 10 else 10)
            axis.set_xticks(ticks, [str(t) for t in ticks], fontsize=7)
            axis.set_yticks(ticks, [str(t) for t in ticks], fontsize=7)
            axis.set_title(f"{title}\n{100 * (1 - np.diag(matrix).mean()):.3g} % wrong")
            for side in axis.spines.values():
                side.set_visible(True)
            if numbers:
                _numbers(axis, matrix)
        for place, axis in enumerate(axes):
            if place % columns == 0:
                axis.set_ylabel("true class")
            if place >= len(axes) - columns:
                axis.set_xlabel("given class")
        if drawn is not None:
            figure.colorbar(drawn, ax=axes, shrink=0.5, aspect=25, label="probability", ticks=[0, 0.05, 0.2, 0.5, 1])
    return figure


def draws(found: Mapping[str, np.ndarray], rate: float = RATE) -> Figure:
    """Realised share of wrong labels per class; one dot per seed, one panel per draw."""
    with style.context():
        figure, axes = style.grid(len(found), width=3.2, height=2.7)
        for axis, (draw, shares) in zip(axes, found.items(), strict=True):
            seeds, classes = shares.shape
            jitter = np.linspace(-0.25, 0.25, seeds)
            for seed in range(seeds):
                axis.plot(
                    np.arange(classes) + jitter[seed],
                    100 * shares[seed],
                    ".",
                    color=style.of("gce").colour,
                    markersize=6,
                    alpha=0.6,
                )
            axis.axhline(100 * rate, color=style.INK, linewidth=0.8, linestyle=":")
            axis.set(title=draw, xlabel="true class", xticks=range(classes))
        axes[0].set_ylabel("wrong labels (%)")
    return figure


def confusable(table: pd.DataFrame, rate: float = RATE) -> Figure:
    """Share of wrong labels by fifth of the likeness to another class."""
    with style.context():
        figure, (axis,) = style.grid(1, width=3.4, height=2.6)
        for place, name in enumerate(table.columns):
            axis.plot(
                table.index,
                table[name],
                marker="osD"[place],
                color=style.ramp(style.of("gce").colour, place, len(table.columns)),
                label=name,
            )
        axis.axhline(100 * rate, color=style.INK, linewidth=0.8, linestyle=":", label="rate")
        axis.set(
            xlabel="fifth of the samples, by likeness to another class",
            ylabel="wrong labels (%)",
            ylim=(0, 100),
            xticks=table.index,
        )
        style.legend(figure, *axis.get_legend_handles_labels())
    return figure


def flipped(dataset: Dataset, found: Instance, sharpness: float = 8.0) -> Figure:
    """Of every class the wrongly labelled image that looks most like its given class, and the rightly labelled one that does least."""
    labels, given = dataset.train_labels.numpy(), found.given[sharpness]
    order = np.argsort(-found.score, kind="stable")
    wrong, right = (
        [int(i) for i in kept]
        for kept in (order[(given != labels)[order]], order[::-1][(given == labels)[order[::-1]]])
    )
    rows = {
        "wrong labels, the likeliest of each class": [
            next(i for i in wrong if labels[i] == c) for c in np.unique(labels[wrong])
        ],
        "right labels, the safest of each class": [
            next(i for i in right if labels[i] == c) for c in np.unique(labels[right])
        ],
    }
    texts = [
        [f"{labels[i]} → {given[i]}" if given[i] != labels[i] else f"{labels[i]}" for i in chosen]
        for chosen in rows.values()
    ]
    return _gallery([dataset.train_images[torch.tensor(chosen)] for chosen in rows.values()], texts, list(rows))


def open_set(glyphs: Dataset, mixed: torch.Tensor, replaced: np.ndarray, count: int = 10) -> Figure:
    """One image per class that stayed, and one stranger per class under the label that it got."""
    labels = glyphs.train_labels.numpy()
    stayed = np.setdiff1d(np.arange(len(labels)), replaced)
    rows = [[pool[labels[pool] == c][0] for c in range(min(count, glyphs.num_classes))] for pool in (stayed, replaced)]
    texts = [[f"label {glyphs.class_names[labels[i]]}" for i in row] for row in rows]
    return _gallery([mixed[torch.tensor(row)] for row in rows], texts, ["images that stayed", "strangers"])


def sizes(table: pd.DataFrame) -> Figure:
    """Class sizes, one panel per kind of imbalance, one line per ratio."""
    kinds = list(dict.fromkeys(table.columns.get_level_values(0)))
    every = sorted(set(table.columns.get_level_values(1)))
    with style.context():
        figure, axes = style.grid(len(kinds), width=3.6, height=2.8)
        for axis, kind in zip(axes, kinds, strict=True):
            ratios = [column[1] for column in table.columns if column[0] == kind]
            for ratio in ratios:
                place = every.index(ratio)
                colour = style.ramp(style.of("gce").colour, place, len(every))
                axis.plot(
                    table.index,
                    table[(kind, ratio)],
                    marker="osDv"[place],
                    color=colour,
                    label=f"ratio {ratio:g}",
                    drawstyle="default" if kind != "step" else "steps-mid",
                )
            axis.set(title=kind, xlabel="class", yscale="log", xticks=table.index)
            axis.legend(loc="lower left", fontsize=8)
        axes[0].set_ylabel("training images")
    return figure


def _numbers(axis: Axes, matrix: np.ndarray) -> None:
    for i, j in np.ndindex(*matrix.shape):
        axis.text(
            j,
            i,
            f"{matrix[i, j]:.1f}",
            ha="center",
            va="center",
            fontsize=9,
            color="white" if matrix[i, j] > 0.55 else style.INK,
        )


def _gallery(images: list[torch.Tensor], texts: list[list[str]], titles: list[str]) -> Figure:
    """Rows of grey images with a text above each."""
    across = max(len(row) for row in images)
    with (
        style.context(),
        mpl.rc_context(
            {"axes.grid": False, "axes.titleweight": "normal", "axes.titlelocation": "center", "axes.titlesize": 9}
        ),
    ):
        figure = Figure(figsize=(0.85 * across + 0.3, 1.35 * len(images) + 0.2), layout="constrained")
        parts: Any = figure.subfigures(len(images), 1)
        for part, pictures, words, title in zip(np.atleast_1d(parts), images, texts, titles, strict=True):
            part.suptitle(title, fontsize=9.5, x=0.01, ha="left")
            axes = part.subplots(1, across, squeeze=False)[0]
            for axis in axes:
                axis.set_axis_off()
            for axis, picture, word in zip(axes, pictures, words, strict=False):
                axis.imshow(picture[0].numpy(), cmap="gray_r", interpolation="nearest")
                axis.set_title(word)
    return figure
