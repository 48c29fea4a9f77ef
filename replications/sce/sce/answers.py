"""The figures that answer the questions, and the numbers beside them."""

from __future__ import annotations

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.stats import spearmanr

from losslab.papers import results
from losslab.report import style
from losslab.report.stats import band, summarise
from sce import plots, theory

LABELS = {"ce": "CE", "gce": "GCE", "rce": "RCE", "sce": "SL"}


def spread_over_classes(frame: pd.DataFrame) -> pd.DataFrame:
    """One row per run: range and standard deviation over the classes at the last epoch, in points."""
    kept = frame[frame["status"] == "done"]
    columns = {
        name: results.values(kept, f"test_acc_per_class.{name}", "last") for name in ("min", "max", "spread", "std")
    }
    return kept[["experiment", "dataset", "stand_in", "noise_type", "noise_rate", "method", "key", "seed"]].assign(
        **columns
    )


def class_wise(asymmetric: pd.DataFrame, grid: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """(a, b) Single classes under asymmetric noise, CE and SL; (c, d) standard deviation over the classes against the rate of symmetric noise."""
    spread = spread_over_classes(grid)
    with style.context():
        figure, axes = style.grid(4, columns=4, width=2.9, height=3.0, share_y=False)
        for axis, letter, method in zip(axes, "ab", ("CE", "SL"), strict=False):
            rows = asymmetric[asymmetric["method"] == method]
            plots.classes(axis, rows)
            plots.mark(axis, letter, f"{method}, 40 % asymmetric")
            axis.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 101))
        for axis, letter, dataset in zip(axes[2:], "cd", ("cifar10", "cifar100"), strict=True):
            part = spread[(spread["dataset"] == dataset) & spread["noise_type"].isin(["clean", "symmetric"])]
            for _, rows in part.groupby("method", sort=False):
                look = style.of(str(rows["key"].iloc[0]))
                by_rate = [(rate, summarise(runs["std"])) for rate, runs in rows.groupby("noise_rate")]
                x, mean = [float(str(r)) for r, _ in by_rate], np.array([s.mean for _, s in by_rate])
                error = np.nan_to_num([s.high - s.mean for _, s in by_rate])
                axis.errorbar(
                    x, mean, yerr=error, color=look.colour, linestyle=look.line, marker=look.marker, capsize=2
                )
            axis.set(xlabel="noise rate", ylabel="std over classes (points)", ylim=(0, None))
            plots.mark(
                axis,
                letter,
                plots.data_name(part, titles).replace(" (stand-in:", "\n(stand-in:") if len(part) else dataset,
            )
        looks = [
            Line2D([], [], color=style.of(k).colour, label=LABELS[k])
            for k in dict.fromkeys(spread["key"])
            if k in ("ce", "sce", "gce")
        ]
        lines = [Line2D([], [], color=plots.CLASSES[k], label=f"class {k}") for k in range(10)]
        lines += [Line2D([], [], color=plots.OVERALL, linewidth=2.4, label="all classes"), *looks]
        style.legend(figure, lines, [str(line.get_label()) for line in lines])
    return figure


def beta(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """(a) Accuracy over the epochs for beta at alpha = 0.1; (b) last epoch against beta |A|, the A study and the beta study on one axis."""
    rows, look = [], style.of("sce")
    for name, part in frame.groupby("method", sort=False):
        text, _, number = str(name).partition("=")
        product = {"SL A": lambda v: -v, "SL beta": lambda v: -theory.A_CODE * v}.get(text)
        if product is not None:
            rows.append((text[3:], product(float(number)), summarise(results.values(part, "test_acc", "last"))))
    with style.context():
        figure, axes = style.grid(2, columns=2, width=4.0, height=3.2)
        figure.suptitle("40 % symmetric noise, " + plots.data_name(frame, titles))
        names = [n for n in dict.fromkeys(frame["method"]) if " beta=" in n] or ["SL"]
        for place, name in enumerate(names):
            mean = band([[100 * v for v in values] for values in frame.loc[frame["method"] == name, "test_acc"]])[0]
            axes[0].plot(
                np.arange(1, len(mean) + 1), mean, color=sns.color_palette("viridis", len(names))[place], label=name
            )
        for kind, marker in (("A", "o"), ("beta", "D")):
            mine = sorted((x, s) for k, x, s in rows if k == kind)
            if mine:
                error = np.nan_to_num([s.high - s.mean for _, s in mine])
                axes[1].errorbar(
                    [x for x, _ in mine], [s.mean for _, s in mine], yerr=error, marker=marker, capsize=2,
                    color=style.ramp(look.colour, int(kind == "beta"), 2), label=f"{kind} varied", linestyle="-" if kind == "A" else "--",
                )  # fmt: skip
        axes[0].set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 101))
        axes[1].set(xlabel="beta |A|", xscale="log")
        for axis, letter, title in zip(
            axes, "ab", ("beta, at alpha = 0.1, A = -9.21", "only the product acts, last epoch"), strict=True
        ):
            axis.legend(loc="lower right", fontsize=8)
            plots.mark(axis, letter, title)
    return figure


def gradients(terms: pd.DataFrame, wrong: pd.DataFrame, gains: pd.DataFrame, rate: float) -> Figure:
    """(a) RCE's gradient per class over the epochs; (b) SL's gain against it; (c, d) the same on wrong labels."""
    mine = terms[(terms["loss"] == "SL") & (terms["rate"] == rate)].groupby(["epoch", "class"])["RCE"].mean().unstack()
    bad = wrong[wrong["rate"] == rate]
    keys = {"CE": "ce", "RCE": "rce", "SL": "sce"}
    with style.context():
        figure, axes = style.grid(4, columns=4, width=3.0, height=3.1, share_y=False)
        for k in mine.columns:
            axes[0].plot(mine.index, mine[k], color=plots.CLASSES[k], linewidth=1.1)
        for label, rows in gains.groupby("class"):
            axes[1].plot(
                rows["RCE mass"],
                rows["gain"],
                linestyle="none",
                marker="o",
                markersize=4,
                color=plots.CLASSES[int(str(label))],
            )
        for name, key in keys.items():
            by_epoch = bad[bad["loss"] == name].groupby("epoch").mean(numeric_only=True)
            look = style.of(key)
            axes[2].plot(by_epoch.index, by_epoch["p given"], color=look.colour)
            axes[2].plot(by_epoch.index, by_epoch["p true"], color=look.colour, linestyle="--")
            axes[3].plot(by_epoch.index, by_epoch["given, CE"] + by_epoch["given, RCE"], color=look.colour)
            axes[3].plot(
                by_epoch.index, by_epoch["true, CE"] + by_epoch["true, RCE"], color=look.colour, linestyle="--"
            )
        axes[3].axhline(0, color=style.INK, linewidth=0.8)
        axes[0].set(xlabel="epoch", ylabel="mean |A| p (1 - p)")
        axes[1].set(xlabel="the same, first half of training", ylabel="SL minus CE (points)")
        axes[2].set(xlabel="epoch", ylabel="mean softmax", ylim=(0, 1))
        axes[3].set(xlabel="epoch", ylabel="mean gradient in the logit")
        names = ("RCE's gradient in SL", "... and the gain", "wrong labels: p", "wrong labels: gradient")
        for axis, letter, title in zip(axes, "abcd", names, strict=True):
            plots.mark(axis, letter, title)
        methods = [(LABELS[key], {"color": style.of(key).colour}) for key in keys.values()]
        plots.class_legend(
            figure, [*methods, ("given label", {}), ("true label", {"linestyle": "--"})], "class; method"
        )
    return figure


def class_correlation(frame: pd.DataFrame, first: dict[str, object], second: dict[str, object]) -> float:
    """Spearman's rank correlation over the classes between two cells' class accuracies (means over the seeds, last epoch)."""
    ends = []
    for keys in (first, second):
        rows = frame
        for key, value in keys.items():
            rows = rows[rows[key] == value]
        if not len(rows):
            return float("nan")
        ends.append(plots.per_class(rows)[-1])
    return float(spearmanr(*ends).statistic)
