"""The figures of this paper that no other paper has, and numbers read from the results."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from asymmetric_losses import denoise, theory
from losslab.papers import results
from losslab.report import style
from losslab.report.stats import band, summarise

SHOWN: tuple[tuple[str, str, dict[str, float]], ...] = (
    ("CE", "ce", {}), ("GCE (0.7)", "gce", {"q": 0.7}), ("MAE", "mae", {}), ("AGCE (0.6, 0.6)", "agce", {"a": 0.6, "q": 0.6}),
    ("AUL (5.5, 3)", "aul", {"a": 5.5, "q": 3.0}), ("AEL (2.5)", "ael", {"a": 2.5}),
)  # fmt: skip
FAMILIES = ("AGCE", "AUL", "AEL")


def data_title(frame: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """`CIFAR-10 (stand-in: digits 8x8)`."""
    row = frame.iloc[0]
    return titles[row["dataset"]] + (f" (stand-in: {row['stand_in']})" if row["stand_in"] else "")


def setting_parts(setting: str) -> dict[str, float]:
    """`a=0.6, q=0.6` as numbers."""
    return {name: float(value) for name, value in (part.split("=") for part in setting.replace(" ", "").split(","))}


def _look(name: str) -> dict[str, Any]:
    """AUL and AEL are dashed, because their curves lie on AGCE's."""
    dash = {"aul": (0, (5, 3)), "ael": (0, (1.5, 3))}.get(name, "-")
    return {"color": style.of(name).colour, "linestyle": dash, "linewidth": 2.6 if name == "agce" else 1.7}


# Figure 4: the losses and their minimisers


def losses() -> Figure:
    """Values, gradient weights, sample weights in the logits, and the minimiser on the simplex."""
    p = np.linspace(0.002, 1, 500)
    with style.context():
        figure, axes = style.grid(4, columns=2, width=4.2, height=3.0, share_y=False)
        for label, name, given in SHOWN:
            own = {"p": given["q"], "a": given["a"]} if name == "aul" else given
            points = np.column_stack([p, 1 - p])
            extra: dict[str, Any] = dict(own)
            value = theory.losses_at(name, points, **extra)[:, 0]
            value = value - value[-1]
            look = _look(name)
            axes[0].plot(p, value / value[0] if name != "ce" else value / 4, label=label, **look)
            g = theory.weight(name, p, given.get("a", 1.0), given.get("q", 1.0))
            axes[1].plot(p, g / g[-1], **look)
            axes[2].plot(p, p * (1 - p) * g / g[-1], **look)
            ratios = np.linspace(1.01, 3, 200)
            axes[3].plot(ratios, theory.minimisers(name, ratios, **extra), **look)
        for name, a, q in (("agce", 0.6, 0.6), ("aul", 5.5, 3.0), ("ael", 2.5, 1.0)):
            axes[3].axvline(theory.inverse_ratio(name, a, q), color=style.of(name).colour, linewidth=0.8, linestyle=":")
        axes[0].set(title="(a) loss, scaled to 1 at p = 0", xlabel="$p_y$", ylim=(0, 1.05))
        axes[1].set(title="(b) g(p) / g(1)", xlabel="$p_y$", yscale="log", ylim=(0.6, 30))
        axes[2].set(title="(c) sample weight p (1 - p) g(p) / g(1)", xlabel="$p_y$", ylim=(0, 1.02))
        axes[3].set(
            title="(d) minimiser, weights $w_m$ : 1 : 1/2",
            xlabel="$w_m / w_n$ (dotted: 1 / r)",
            ylabel="$u_m$",
            ylim=(0, 1.05),
        )
        axes[0].legend(fontsize=8)
    return figure


def tolerance(
    curves: Mapping[str, tuple[pd.DataFrame, float, str]], ends: Mapping[str, tuple[pd.DataFrame, float, str]]
) -> Figure:
    """Two panels: probability of the true class after training and share of wrong ends, by pair-noise rate; dotted lines are predicted."""
    with style.context():
        figure, axes = style.grid(2, columns=2, width=4.6, height=3.2, share_y=False)
        for label, (table, predicted, key) in curves.items():
            look = style.of(key)
            axes[0].plot(table["rate"], table["p"], marker=look.marker, color=look.colour, label=label)
            axes[0].fill_between(table["rate"], table["low"], table["high"], color=look.colour, alpha=0.15, linewidth=0)
            axes[0].axvline(predicted, color=look.colour, linestyle=":", linewidth=1.0)
        for (label, (table, predicted, key)), dash in zip(ends.items(), ("-", (0, (4, 2))), strict=False):
            look = style.of(key)
            axes[1].plot(
                table["rate"], table["wrong"], marker=look.marker, color=look.colour, linestyle=dash, label=label
            )
            axes[1].axvline(predicted, color=look.colour, linestyle=":", linewidth=1.0)
        axes[0].set(
            title="(a) level start: softmax of the true class",
            xlabel="pair noise (dotted: predicted)",
            ylim=(0.4, 1.02),
        )
        axes[1].set(
            title="(b) random starts that end wrong (%)", xlabel="pair noise (dotted: predicted)", ylim=(-2, 60)
        )
        for axis in axes:
            axis.legend(fontsize=8, loc="lower left" if axis is axes[0] else "upper left")
    return figure


# Figure 1 and what it is about


def _ordered(frame: pd.DataFrame) -> list[str]:
    return sorted(frame["setting"].unique(), key=lambda setting: setting_parts(setting)["a"])


def parameters(frame: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Figure 1: test accuracy by epoch; a row per noise, a column per family, a shade per a."""
    noises = list(dict.fromkeys(zip(frame["noise_type"], frame["noise_rate"], strict=True)))
    with style.context():
        figure, axes = style.grid(3 * len(noises), columns=3, width=3.2, height=2.6)
        for number, axis in enumerate(axes):
            (kind, rate), family = noises[number // 3], FAMILIES[number % 3]
            rows = results.choose(frame, {"noise_type": kind, "noise_rate": rate, "method": family})
            for place, setting in enumerate(_ordered(rows)):
                colour = style.ramp(style.of(family.lower()).colour, place, len(_ordered(rows)))
                _line(axis, rows[rows["setting"] == setting], colour, _with_ratio(family, setting))
            axis.set(title=f"{family}, {kind} {rate:g}", ylim=(0, 100))
            axis.legend(fontsize=7.5, loc="best")
            if number % 3 == 0:
                axis.set_ylabel("test accuracy (%)")
            if number >= 3 * (len(noises) - 1):
                axis.set_xlabel("epoch")
        figure.suptitle(data_title(frame, titles))
    return figure


def _with_ratio(family: str, setting: str) -> str:
    given = setting_parts(setting)
    return f"a = {given['a']:g}: r = {1 / theory.inverse_ratio(family.lower(), **given):.2f}"


def _line(axis: Axes, rows: pd.DataFrame, colour: str, label: str) -> None:
    mean, low, high = band([[100 * v for v in values] for values in rows["test_acc"]])
    epochs = np.arange(1, len(mean) + 1)
    axis.plot(epochs, mean, color=colour, label=label)
    axis.fill_between(epochs, np.clip(low, 0, 100), np.clip(high, 0, 100), color=colour, alpha=0.12, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def ratio_table(frame: pd.DataFrame, classes: int = 10) -> pd.DataFrame:
    """By noise, family and setting: r, the sample weight at p = 1 / K, mean accuracy at the last epoch and its standard deviation."""
    rows = []
    for keys, part in frame.groupby(["noise_type", "noise_rate", "method", "setting"], sort=False):
        kind, rate, family, setting = keys
        given = setting_parts(str(setting))
        p = np.array([1 / classes])
        first = float((p * (1 - p) * theory.weight(str(family).lower(), p, **given))[0])
        found = summarise(results.values(part, "test_acc", "last"))
        rows.append(
            (
                f"{kind} {rate:g}",
                family,
                given["a"],
                1 / theory.inverse_ratio(str(family).lower(), **given),
                first,
                found.mean,
                found.std,
            )
        )
    columns = ["noise", "loss", "a", "r", "first weight", "accuracy", "std"]
    return pd.DataFrame(rows, columns=columns).sort_values(["noise", "loss", "a"], ignore_index=True)


def concordance(table: pd.DataFrame, by: str) -> float:
    """Share of pairs of settings of the same family and noise whose accuracies are ordered as `by`; ties of less than one point count half."""
    right = total = 0.0
    for _, part in table.groupby(["noise", "loss"]):
        for i in range(len(part)):
            for j in range(i):
                gap = part["accuracy"].iloc[i] - part["accuracy"].iloc[j]
                step = part[by].iloc[i] - part[by].iloc[j]
                right += 0.5 if abs(gap) < 1 else float(gap * step > 0)
                total += 1
    return right / total


def ratio_accuracy(table: pd.DataFrame, title: str) -> Figure:
    """Accuracy at the last epoch against r, and against the first sample weight; a row per noise."""
    noises = list(dict.fromkeys(table["noise"]))
    with style.context():
        figure, axes = style.grid(2 * len(noises), columns=2, width=3.8, height=2.5)
        for number, axis in enumerate(axes):
            noise, column = noises[number // 2], ("r", "first weight")[number % 2]
            for family in FAMILIES:
                rows = table[(table["noise"] == noise) & (table["loss"] == family)].sort_values(column)
                look = style.of(family.lower())
                axis.errorbar(
                    rows[column],
                    rows["accuracy"],
                    rows["std"].fillna(0),
                    color=look.colour,
                    marker=look.marker,
                    linewidth=1.0,
                )
            axis.set(title=noise, ylim=(0, 100))
            axis.set_xlabel("asymmetry ratio r" if column == "r" else "sample weight at p = 1/K")
            if column == "first weight":
                axis.set_xscale("log")
        for axis in axes[::2]:
            axis.set_ylabel("test accuracy (%)")
        figure.suptitle(title)
        lines = [
            Line2D([], [], color=style.of(f.lower()).colour, marker=style.of(f.lower()).marker, label=f)
            for f in FAMILIES
        ]
        style.legend(figure, lines, list(FAMILIES))
    return figure


# Figure 2


def features(found: Mapping[tuple[str, float], tuple[Any, Any, float]], title: str) -> Figure:
    """t-SNE panels: a row per loss, a column per noise rate, colours are true classes."""
    methods, rates = list(dict.fromkeys(m for m, _ in found)), list(dict.fromkeys(r for _, r in found))
    with style.context():
        figure, axes = style.grid(len(found), columns=len(rates), width=2.7, height=2.6, share_y=False)
        for axis, (method, rate) in zip(axes, ((m, r) for m in methods for r in rates), strict=True):
            plane, labels, accuracy = found[method, rate]
            axis.scatter(plane[:, 0], plane[:, 1], c=labels, cmap="tab10", s=7, linewidths=0)
            axis.set(title=f"{method}, {rate:g}: {accuracy:.0f} %", xticks=[], yticks=[])
            axis.grid(False)
        figure.suptitle(title)
    return figure


# Denoising


def images(
    shown: Mapping[tuple[str, str, str], Any], scores: pd.DataFrame, kinds: tuple[str, ...], modes: tuple[str, ...]
) -> Figure:
    """The figure of the journal version: a block of rows per noise; clean, noisy, then the three losses, a row per mode."""
    with style.context():
        rows = len(kinds) * len(modes)
        figure, axes = style.grid(5 * rows, columns=5, width=1.75, height=1.75, share_y=False)
        for number, axis in enumerate(axes):
            kind, mode = kinds[number // (5 * len(modes))], modes[number // 5 % len(modes)]
            column = number % 5
            key = (kind, ("clean", "noisy")[column], "") if column < 2 else (kind, mode, denoise.LOSSES[column - 2])
            axis.imshow(shown[key].numpy(), cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            if column < 2:
                axis.set_title(("clean", kind)[column], fontsize=8)
            else:
                row = scores[(scores["noise"] == kind) & (scores["mode"] == mode) & (scores["loss"] == key[2])].iloc[0]
                axis.set_title(f"{key[2]}: {row['psnr']:.1f} dB", fontsize=8)
            if column == 0:
                axis.set_ylabel(mode, fontsize=8)
    return figure


# Numbers read from the results


def mean_of(frame: pd.DataFrame, reading: str = "last", metric: str = "test_acc", **where: object) -> float:
    """Mean over the seeds of one reading of the rows with these keys; nan if there are none."""
    rows = results.choose(frame, where)
    return float(results.values(rows, metric, reading).mean()) if len(rows) else float("nan")


def best_of(frame: pd.DataFrame, methods: tuple[str, ...], **where: object) -> tuple[str, float]:
    """The best of several methods by mean accuracy at the last epoch, and that accuracy."""
    rows = results.choose(frame, where)
    means = {m: mean_of(rows, method=m) for m in methods}
    known = {m: v for m, v in means.items() if v == v}
    name = max(known, key=lambda m: known[m])
    return name, known[name]
