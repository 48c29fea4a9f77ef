"""The figures that answer the readers' questions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from imae.plots import legend, named
from imae.samples import LOSSES, Flock
from losslab.papers import results
from losslab.report import style
from losslab.report.stats import summarise


def influence(flock: Flock) -> Figure:
    """(a) Rank correlation of the L1 norm at the logits with the whole gradient, by epoch; (b) against the effect of single steps."""
    shown = style.spread(LOSSES)
    table, last = flock.table, pd.concat(flock.steps)
    last = last[last["epoch"] == last["epoch"].max()]
    with style.context():
        figure, axes = style.grid(3, share_y=False, width=3.8)
        for name, look in shown.items():
            for axis, group in zip(axes, ("right", "wrong"), strict=False):
                mean = table[(table["loss"] == name) & (table["labels"] == group)].groupby("epoch")["logits, L1"].mean()
                axis.plot(mean.index, mean, color=look.colour, linestyle=look.line, marker=look.marker)
            mine = last[last["loss"] == name]
            axes[2].plot(
                mine["weight"].clip(lower=1e-6),
                mine["moved"].clip(lower=1e-9),
                linestyle="none",
                marker=look.marker,
                markersize=3.5,
                color=look.colour,
            )
        for axis, title in zip(axes, ("(a) right labels", "(b) wrong labels"), strict=False):
            axis.set(xlabel="epoch", ylabel="Spearman's rho", ylim=(-1, 1.03), title=title)
            axis.axhline(0, color=style.INK, linewidth=0.8)
        axes[2].set(
            xscale="log",
            yscale="log",
            xlabel="weight: L1 norm at the logits",
            ylabel="outputs moved by one step",
            title="(c) effect, last epoch, one seed",
        )
        legend(figure, list(shown.values()))
    return figure


def shares(flock: Flock, rate: float = 0.4) -> Figure:
    """(a) Share of the gradient that wrong labels have; (b) cosine between the two mean gradients; (c) range of the logits."""
    shown = style.spread(LOSSES)
    table = flock.table
    with style.context():
        figure, axes = style.grid(3, share_y=False, width=3.8)
        for name, look in shown.items():
            mine = table[table["loss"] == name]
            options = {"color": look.colour, "linestyle": look.line, "marker": look.marker}
            part = mine[mine["labels"] == "wrong"].groupby("epoch")
            axes[0].plot(part["share, logits"].mean(), **options)
            axes[1].plot(part["cosine"].mean(), **options)
            axes[2].plot(mine[mine["labels"] == "all"].groupby("epoch")["logit range"].mean(), **options)
        axes[0].axhline(rate, color=style.INK, linewidth=0.8, linestyle=":")
        axes[1].axhline(0, color=style.INK, linewidth=0.8)
        axes[0].set(ylim=(0, 1), ylabel="share", title="(a) wrong labels' gradient")
        axes[1].set(ylim=(-1.03, 1.03), ylabel="cosine", title="(b) right against wrong")
        axes[2].set(yscale="log", ylabel="largest minus smallest logit", title="(c) the logits grow")
        for axis in axes:
            axis.set_xlabel("epoch")
        legend(figure, list(shown.values()), [("share of wrong labels", {"linestyle": ":"})])
    return figure


def step_size(frame: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Last test accuracy and memorised wrong labels: CCE at five learning rates, IMAE-T with both normalisations."""
    groups = {
        "CCE": {
            "CCE, rate x 1/4": 0.25,
            "CCE, rate x 1/2": 0.5,
            "CCE": 1.0,
            "CCE, rate x 2": 2.0,
            "CCE, rate x 4": 4.0,
        },
        "IMAE": {"IMAE T=0": 0.0, "IMAE T=2": 2.0, "IMAE T=8": 8.0, "IMAE T=16": 16.0},
        "IMAE, plain mean": {"IMAE T=0, plain mean": 0.0, "IMAE T=16, plain mean": 16.0},
    }
    shown = style.spread({"CCE": "ce", "IMAE": "imae", "IMAE, plain mean": "imae"})
    with style.context():
        figure, axes = style.grid(4, columns=2, share_y="row", width=4.0)
        figure.suptitle(f"{named(frame, titles)}, 50 % noise")
        for row, (metric, label) in enumerate(
            (("test_acc", "last test accuracy (%)"), ("final.fit_noisy", "wrong labels fitted (%)"))
        ):
            for name, methods in groups.items():
                axis = axes[2 * row + (name != "CCE")]
                found = [
                    (x, summarise(results.values(results.choose(frame, {"method": m}), metric, "last")))
                    for m, x in methods.items()
                ]
                found = [(x, s) for x, s in found if s.n]
                high = [0 if np.isnan(s.high) else s.high - s.mean for _, s in found]
                look = shown[name]
                axis.errorbar(
                    [x for x, _ in found],
                    [s.mean for _, s in found],
                    high,
                    color=look.colour,
                    linestyle=look.line,
                    marker=look.marker,
                    capsize=2,
                )
            axes[2 * row].set(xscale="log", xlabel="learning rate / the recipe's", ylabel=label)
            axes[2 * row].minorticks_off()
            axes[2 * row].set_xticks([0.25, 0.5, 1, 2, 4], ["1/4", "1/2", "1", "2", "4"])
            axes[2 * row + 1].set(xlabel="T")
        legend(figure, list(shown.values()))
    return figure
