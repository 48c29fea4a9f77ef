"""The figures of this paper: optima against scale and weight, histograms of similarities, margins of trained networks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from torch.nn.functional import normalize

from lm_softmax import readings
from lm_softmax.samples import Path
from losslab.analysis import margins
from losslab.analysis.free_features import Optimum
from losslab.report import style
from losslab.report.stats import band, summarise
from losslab.training.inspect import Trained

KEYS = {"NormFace": "normface", "CosFace": "cosface", "ArcFace": "arcface", "LM-Softmax": "lm_softmax"}
WITH, WITHOUT = "lm_softmax", "other"  # whose colours the histograms take


# Theory


def conditions(alphas: Sequence[float], curves: Mapping[int, Sequence[float]]) -> Figure:
    """Class margin of GM-Softmax against its slope, with the threshold (K - 2) / (2 (K - 1)) of every K."""
    with style.context():
        figure, axes = style.grid(1, width=4.2, height=3.0)
        for place, (k, values) in enumerate(curves.items()):
            colour = style.ramp(style.of("gm_softmax").colour, place, len(curves))
            axes[0].plot(alphas, values, color=colour, marker=".", label=f"K = {k}")
            axes[0].axvline((k - 2) / (2 * (k - 1)), color=colour, linestyle=":", linewidth=1)
        axes[0].axvline(0.5, color=style.INK, linewidth=0.8)
        axes[0].set(xlabel="alpha", ylabel="class margin (degrees)", title="GM-Softmax, s = 5")
        axes[0].legend(loc="lower right")
    return figure


def by_loss(table: pd.DataFrame) -> Figure:
    """Class margin of each loss's optimum against s, one panel per dimension; dashed: the largest possible."""
    dims = list(dict.fromkeys(table["d"]))
    with style.context():
        figure, axes = style.grid(len(dims), columns=3, width=3.2, height=2.9, share_y=False)
        for axis, d in zip(axes, dims, strict=True):
            part = table[table["d"] == d]
            axis.axhline(
                part.loc[part["loss"] == "largest", "class margin"].iloc[0],
                color=style.INK,
                linestyle="--",
                linewidth=1,
            )
            for name, key in KEYS.items():
                own, look = part[part["loss"] == name], style.of(key)
                axis.plot(
                    own["s"].astype(float),
                    own["class margin"],
                    color=look.colour,
                    marker=look.marker,
                    linestyle=look.line,
                )
            axis.set(xscale="log", xlabel="scale s", title=f"d = {d}", ylim=(0, None))
            marks = sorted({float(s) for s in part["s"] if s != "-"})
            axis.set_xticks(marks, [f"{s:g}" for s in marks])
            axis.minorticks_off()
        axes[0].set_ylabel("class margin (degrees)")
        lines = [Line2D([], [], color=style.of(k).colour, marker=style.of(k).marker) for k in KEYS.values()]
        style.legend(figure, [*lines, Line2D([], [], color=style.INK, linestyle="--")], [*KEYS, "largest possible"])
    return figure


def imbalance(weights: Sequence[float], curves: Mapping[str, Sequence[Optimum]]) -> Figure:
    """Free features with exponential class sizes: class margin and length of the mean prototype against the weight of R_w."""
    shown = [max(weight, min(w for w in weights if w) / 4) for weight in weights]
    with style.context():
        figure, axes = style.grid(2, columns=2, width=3.6, height=2.9, share_y=False)
        for name, optima in curves.items():
            look = style.of(KEYS[name])
            for axis, values in zip(
                axes, ([o.class_margin for o in optima], [o.centroid for o in optima]), strict=True
            ):
                axis.plot(shown, values, color=look.colour, marker=look.marker)
        axes[0].axhline(margins.etf_angle(10), color=style.INK, linestyle="--", linewidth=1)
        for axis, title in zip(axes, ("class margin (degrees)", "length of the mean prototype"), strict=True):
            axis.set(xscale="log", xlabel="weight of R_w (left end: 0)", title=title)
        lines = [Line2D([], [], color=style.of(k).colour, marker=style.of(k).marker) for k in KEYS.values()]
        style.legend(figure, [*lines, Line2D([], [], color=style.INK, linestyle="--")], [*KEYS, "simplex"])
    return figure


def speed(paths: Mapping[str, Sequence[tuple[int, float]]], trained: Sequence[Path]) -> Figure:
    """Distance from the simplex: free features by step, and trained networks by epoch (mean over the seeds and its 95 % interval)."""
    with style.context():
        figure, axes = style.grid(2, columns=2, width=3.8, height=3.0, share_y=True)
        for name, path in paths.items():
            look = style.of(KEYS[name])
            axes[0].plot(
                [max(step, 0.7) for step, _ in path], [v for _, v in path], color=look.colour, linestyle=look.line
            )
        for method in dict.fromkeys(path.method for path in trained):
            own = [path for path in trained if path.method == method]
            look = style.of(own[0].key)
            mean, low, high = band([path.etf_distance for path in own])
            axes[1].plot(np.arange(len(mean)), mean, color=look.colour, linestyle=look.line)
            axes[1].fill_between(np.arange(len(mean)), low, high, color=look.colour, alpha=0.15, linewidth=0)
        axes[0].set(
            xscale="log", xlabel="step of gradient descent", ylabel="distance from the simplex", title="free features"
        )
        axes[1].set(xlabel="epoch", title="trained networks")
        shown = dict.fromkeys([path.key for path in trained])
        lines = [Line2D([], [], color=style.of(k).colour, linestyle=style.of(k).line) for k in shown]
        style.legend(figure, lines, [style.of(k).label for k in shown])
    return figure


# Trained networks


def _similarities(network: Trained, part: str) -> np.ndarray:
    labels = network.dataset.test_labels if part == "test" else torch.from_numpy(network.samples.true)
    w = normalize(readings.prototypes(network), dim=1)
    cosines = normalize(network.features(part), dim=1) @ w.T
    return cosines.gather(1, labels.unsqueeze(1)).squeeze(1).numpy()


def histograms(
    pairs: Sequence[tuple[str, Trained, Trained | None]], parts: Sequence[str] = ("train", "test")
) -> Figure:
    """Figure 2: the cosine of a sample with its own prototype; a column per loss, a row per part, with and without the regulariser.

    The axis begins where one half per cent of the samples of some panel lie below.
    """
    found = {
        (part, column, side): _similarities(network, part)
        for part in parts
        for column, (_, *both) in enumerate(pairs)
        for side, network in enumerate(both)
        if network is not None
    }
    low = np.floor(10 * min(np.quantile(values, 0.005) for values in found.values())) / 10
    bins = np.linspace(low, 1, 61)
    with style.context():
        figure, axes = style.grid(len(pairs) * len(parts), columns=len(pairs), width=2.6, height=2.1, share_y="row")
        for row, part in enumerate(parts):
            for column, (title, _, _) in enumerate(pairs):
                axis = axes[row * len(pairs) + column]
                for side, colour in enumerate((style.of(WITHOUT).colour, style.of(WITH).colour)):
                    if (values := found.get((part, column, side))) is not None:
                        axis.hist(
                            values,
                            bins=bins.tolist(),
                            weights=np.full(len(values), 100 / len(values)),
                            color=colour,
                            alpha=0.6,
                        )
                axis.set(
                    title=title if row == 0 else "",
                    xlabel="cosine to the own prototype" if row == len(parts) - 1 else "",
                )
            axes[row * len(pairs)].set_ylabel(f"{part} samples (%)")
        handles = [Line2D([], [], color=style.of(k).colour, linewidth=6, alpha=0.6) for k in (WITHOUT, WITH)]
        style.legend(figure, handles, ["without", "with R_sample"])
    return figure


def weights(frame: pd.DataFrame, networks: readings.Networks) -> Figure:
    """Figure 3: accuracy, class margin and similarities of rare-class test samples against the weight of R_w, long-tailed classes."""
    table = readings.finals(frame, ["class_margin"])
    table["accuracy"] = [100 * values[-1] for values in frame["test_acc"]]
    table["weight"] = [float(text.rsplit("lambda=", 1)[1]) for text in table["setting"]]
    places = {value: place for place, value in enumerate(sorted(table["weight"].unique()))}
    with style.context():
        figure, axes = style.grid(3, columns=3, width=3.2, height=2.8, share_y=False)
        for _, part in table.groupby("method", sort=False):
            look = style.of(part["key"].iloc[0])
            for axis, column in zip(axes, ("accuracy", "class_margin"), strict=False):
                found = [summarise(part.loc[part["weight"] == weight, column]) for weight in places]
                mean = [one.mean for one in found]
                spread = [[one.mean - one.low for one in found], [one.high - one.mean for one in found]]
                if any(one.n > 1 for one in found):
                    axis.errorbar(
                        list(places.values()),
                        mean,
                        yerr=np.nan_to_num(np.array(spread)),
                        color=look.colour,
                        marker=look.marker,
                        capsize=2,
                    )
                else:
                    axis.plot(list(places.values()), mean, color=look.colour, marker=look.marker)
        first = table[(table["method"] == "LM-Softmax") & (table["seed"] == 0)]
        for place, (_, row) in enumerate(first.sort_values("weight").iterrows()):
            network = networks[row["run"]]
            rare = network.dataset.test_labels.numpy() >= network.network.num_classes // 2
            values = np.sort(_similarities(network, "test")[rare])
            shade = style.ramp(style.of("lm_softmax").colour, place, len(first))
            axes[2].plot(values, np.linspace(0, 100, len(values)), color=shade, label=f"{row['weight']:g}")
        axes[1].axhline(margins.etf_angle(10), color=style.INK, linestyle="--", linewidth=1)
        for axis, title in zip(
            axes, ("accuracy (%)", "class margin (degrees)", "rare classes, LM-Softmax"), strict=True
        ):
            axis.set_title(title)
        for axis in axes[:2]:
            axis.set(xticks=list(places.values()), xticklabels=[f"{w:g}" for w in places], xlabel="weight of R_w")
        axes[2].set(xlabel="cosine to the own prototype", ylabel="test samples below (%)")
        axes[2].legend(title="weight", fontsize=8)
        keys = dict.fromkeys(table["key"])
        lines = [Line2D([], [], color=style.of(k).colour, marker=style.of(k).marker) for k in keys]
        style.legend(figure, lines, list(dict.fromkeys(table["method"])))
    return figure


def _mark(key: str) -> dict[str, Any]:
    """A method's marker, hollow where a regulariser is on."""
    look = style.of(key)
    face = "none" if "+" in key else look.colour
    return {
        "marker": look.marker,
        "color": look.colour,
        "markerfacecolor": face,
        "markeredgewidth": 1.2,
        "linestyle": "none",
    }


def strangers(frame: pd.DataFrame) -> Figure:
    """Detection of strangers against class margin and mean sample margin; one point per network."""
    table = readings.finals(frame, ["class_margin", "sample_margin", "auroc_cosine", "auroc_softmax"])
    with style.context():
        figure, axes = style.grid(4, columns=2, width=3.6, height=2.7, share_y="row")
        for row, score in enumerate(("auroc_cosine", "auroc_softmax")):
            for column, x in enumerate(("class_margin", "sample_margin")):
                for _, one in table.iterrows():
                    axes[2 * row + column].plot(one[x], one[score], **_mark(one["key"]))
                axes[2 * row + column].set_xlabel(
                    {"class_margin": "class margin (degrees)", "sample_margin": "mean sample margin, test"}[x]
                )
            axes[2 * row].set_ylabel(f"AUROC, {'cosine' if row == 0 else 'softmax'} (%)")
        keys = dict.fromkeys(table["key"])
        handles = [Line2D([], [], **_mark(k)) for k in keys]
        style.legend(figure, handles, [style.of(k).label for k in keys])
    return figure


def sample_margins(pairs: Sequence[tuple[str, Trained, Trained | None]]) -> Figure:
    """Appendix: sample margins (not similarities) of all classes together, test samples, with and without R_sample."""
    bins = np.linspace(-1, 1.2, 61)
    with style.context():
        figure, axes = style.grid(len(pairs), columns=len(pairs), width=2.6, height=2.3, share_y=True)
        for axis, (title, plain, other) in zip(axes, pairs, strict=True):
            for network, colour in ((plain, style.of(WITHOUT).colour), (other, style.of(WITH).colour)):
                if network is not None:
                    w, y = readings.prototypes(network), network.dataset.test_labels
                    gamma = margins.sample_margins(network.features("test"), w, y).numpy()
                    axis.hist(
                        gamma,
                        bins=bins.tolist(),
                        weights=np.full(len(gamma), 100 / len(gamma)),
                        color=colour,
                        alpha=0.6,
                    )
            axis.axvline(0, color=style.INK, linewidth=0.8)
            axis.set(title=title, xlabel="sample margin")
        axes[0].set_ylabel("test samples (%)")
        handles = [Line2D([], [], color=style.of(k).colour, linewidth=6, alpha=0.6) for k in (WITHOUT, WITH)]
        style.legend(figure, handles, ["without", "with R_sample"])
    return figure
