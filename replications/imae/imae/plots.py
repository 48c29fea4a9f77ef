"""The figures of this paper, in its own form; those that answer the questions are in study.py."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from imae import theory
from losslab.analysis import curves as loss_curves
from losslab.papers import Paper, results
from losslab.report import published, style
from losslab.report.stats import band
from losslab.runs import Run
from losslab.training.problem import prepare

KEYS = {"CCE": "ce", "MAE": "mae", "IMAE": "imae"}


def looks() -> dict[str, style.Look]:
    """CCE, MAE and IMAE."""
    return style.spread(KEYS)


def legend(figure: Figure, shown: Sequence[style.Look], more: Sequence[tuple[str, dict[str, object]]] = ()) -> None:
    """One legend on the right; `more`: label and line options."""
    lines = [Line2D([], [], color=look.colour, linestyle=look.line, label=look.label) for look in shown]
    lines += [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in more]  # type: ignore[arg-type]
    style.legend(figure, lines, [str(line.get_label()) for line in lines])


def named(frame: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """`CIFAR-10 (stand-in: digits 8x8)`."""
    row = frame.iloc[0]
    return titles[row["dataset"]] + (f" (stand-in: {row['stand_in']})" if row["stand_in"] else "")


def line(axis: Axes, frame: pd.DataFrame, curve: str, look: style.Look, dash: object = None) -> None:
    """Mean over the seeds by epoch in per cent, and its 95 % interval."""
    mean, low, high = band([[100 * v for v in values] for values in frame[curve]])
    epochs = np.arange(1, len(mean) + 1)
    axis.plot(epochs, mean, color=look.colour, linestyle=look.line if dash is None else dash)
    axis.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


# Analytic


def figure_1() -> Figure:
    """Weight against probability, with the variances."""
    p = np.linspace(0, 1, 401)
    shown = []
    with style.context():
        figure, axes = style.grid(1)
        for name, look in looks().items():
            label = f"{name}{', T = 8' if name == 'IMAE' else ''}: variance {theory.variance(name):.2f}"
            axes[0].plot(p, theory.weight(name, p), color=look.colour, linestyle=look.line)
            shown.append(replace(look, label=label))
        axes[0].set(xlabel="probability p of the given label", ylabel="weight: L1 norm at the logits")
        axes[0].set(xlim=(0, 1), ylim=(0, 8))
        legend(figure, shown)
    return figure


def figure_old_5() -> Figure:
    """Weights for the values of T of the 2019 study."""
    p = np.linspace(0, 1, 401)
    names = {f"T = {T:g}": T for T in (16.0, 8.0, 4.0, 2.0, 1.0, 0.5)}
    shown = style.spread(dict.fromkeys(names, "imae"))
    with style.context():
        figure, axes = style.grid(2, columns=2, share_y=False)
        for axis in axes:
            for name, T in names.items():
                axis.plot(p, theory.weight("IMAE", p, T), color=shown[name].colour, linestyle=shown[name].line)
            axis.set(xlabel="probability p of the given label", xlim=(0, 1))
        axes[0].set(ylabel="weight", ylim=(0, None), title="(a)")
        axes[1].set(yscale="log", title="(b) logarithmic")
        legend(figure, list(shown.values()))
    return figure


def figure_3(step: float = 0.004) -> Figure:
    """The size of dL/dp for T = 8 on the paper's grid, with the area from 1/2 to 1."""
    p = np.arange(step, 1, step)
    size = np.abs(loss_curves.curve("imae", p, T=8.0).slope)
    look = style.of("imae")
    with style.context():
        figure, axes = style.grid(1)
        axes[0].plot(p, size, color=look.colour)
        right = p >= 0.5
        axes[0].fill_between(
            p[right], 0, size[right], color=look.colour, alpha=0.25, linewidth=0, label="'loss' at p = 0.5"
        )
        axes[0].set(xlabel="probability p of the given label", ylabel="|dL/dp|", xlim=(0, 1), ylim=(0, 140))
        axes[0].legend(loc="upper center")
    return figure


def integral_figure() -> Figure:
    """(a) The area grows with every decade that the cut moves to 1; (b) the losses along the logit; (c) sums over the classes."""
    cuts, x, p = np.logspace(-1, -10, 40), np.linspace(-12, 12, 241), np.linspace(0.1, 0.999, 60)
    chosen = looks()
    with style.context():
        figure, axes = style.grid(3, share_y=False, width=3.8)
        for place, start in enumerate((0.1, 0.5, 0.9)):
            values = [theory.integral(start, cut) for cut in cuts]
            axes[0].plot(cuts, values, color=style.ramp(chosen["IMAE"].colour, place, 3), label=f"p = {start:g}")
        axes[0].set(xscale="log", xlabel="distance of the cut from 1", ylabel="area", ylim=(0, None))
        axes[0].invert_xaxis()
        axes[0].legend(loc="upper left")
        s = 1 / (1 + np.exp(-x))
        for name, height in (("CCE", -np.log(s)), ("MAE", 2 * (1 - s)), ("IMAE", theory.potential(x))):
            axes[1].plot(x, height, color=chosen[name].colour, linestyle=chosen[name].line)
        axes[1].set(xlabel="log p / (1 - p)", ylabel="loss")
        for classes, dash in ((2, ":"), (3, "--"), (10, "-")):
            low = 1 / classes
            q = np.linspace(low, 0.999, 60)
            sums = np.array([theory.class_sum(v, classes) for v in q])
            axes[2].plot(q, sums - sums[0], color=chosen["IMAE"].colour, linestyle=dash)
        axes[2].plot(p, np.zeros_like(p), color=chosen["MAE"].colour)
        axes[2].set(xlabel="largest probability", ylabel="class sum, change from 1/C", xlim=(0, 1))
        for axis, title in zip(
            axes, ("(a) area from p to the cut", "(b) along the logit", "(c) symmetric?"), strict=True
        ):
            axis.set_title(title)
        dashes: list[tuple[str, dict[str, object]]] = [
            (f"(c) {c} classes", {"linestyle": d, "color": chosen["IMAE"].colour})
            for c, d in ((2, ":"), (3, "--"), (10, "-"))
        ]
        legend(figure, list(chosen.values()), dashes)
    return figure


# What was trained


def abnormal(paper: Paper, scale: str, count: int = 8) -> Figure:
    """Training images with wrong labels, of the ten-class and of the hundred-class data."""
    parts = [
        (name, paper.cells(scale, only=only, seeds=1))
        for name, only in (("CIFAR-10", "cifar10"), ("CIFAR-100", "cifar100-symmetric"))
    ]
    with style.context():
        figure, axes = style.grid(2 * count, columns=count, width=1.15, height=1.35, share_y=False)
        for row, (title, cells) in enumerate(parts):
            run = next(cell.run for cell in cells if cell.run.noise.rate == 0.4)
            for axis, (image, given, true) in zip(axes[row * count :], _wrong(run, count), strict=False):
                axis.imshow(image, cmap="gray" if image.ndim == 2 else None, interpolation="nearest")
                axis.set(xticks=[], yticks=[])
                axis.grid(False)
                axis.set_title(f"{given}\nnot {true}", fontsize=8, fontweight="normal", loc="center")
            stand_in = cells[0].stand_in
            axes[row * count].set_ylabel(title + (f"\n({stand_in})" if stand_in else ""), fontsize=8)
    return figure


def _wrong(run: Run, count: int) -> list[tuple[np.ndarray, str, str]]:
    dataset, samples = prepare(run, None)
    found = np.flatnonzero(samples.given != samples.true)[::7][:count]
    names = dataset.class_names
    images = dataset.train_images[samples.rows[found]].permute(0, 2, 3, 1).squeeze(-1).numpy()
    return [(images[i], names[samples.given[k]], names[samples.true[k]]) for i, k in enumerate(found)]


def figure_4(frame: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Test, noisy-subset and clean-subset accuracy by epoch; a row of panels per network."""
    networks = list(frame["setting"].unique())
    shown = (("test_acc", "test set"), ("fit_noisy", "noisy subset"), ("fit_clean", "clean subset"))
    chosen = looks()
    with style.context():
        figure, axes = style.grid(3 * len(networks), columns=3, share_y=False)
        figure.suptitle(f"{named(frame, titles)}, symmetric noise, rate 0.4")
        for place, (axis, letter) in enumerate(zip(axes, "abcdef", strict=False)):
            network, (curve, title) = networks[place // 3], shown[place % 3]
            for method, rows in frame[frame["setting"] == network].groupby("method", sort=False):
                line(axis, rows, curve, chosen[str(method)])
            axis.set_title(f"({letter}) {network}, {title}")
            axis.set(xlabel="epoch", ylabel="accuracy (%)", ylim=(0, 100))
        legend(figure, list(chosen.values()))
    return figure


def six_panels(frame: pd.DataFrame, curve: str, titles: Mapping[str, str], ylabel: str) -> Figure:
    """2019: one curve by epoch, networks in rows, rates in columns."""
    cases = frame[["setting", "noise_rate"]].drop_duplicates().to_records(index=False).tolist()
    chosen = looks()
    with style.context():
        figure, axes = style.grid(len(cases), columns=frame["noise_rate"].nunique(), share_y=False)
        figure.suptitle(f"{named(frame, titles)}, labels drawn anew from all ten classes")
        for axis, (network, rate) in zip(axes, cases, strict=True):
            part = frame[(frame["setting"] == network) & (frame["noise_rate"] == rate)]
            for method, rows in part.groupby("method", sort=False):
                line(axis, rows, curve, chosen[str(method)])
            axis.set_title(f"{network}, r = {rate:g}")
            axis.set(xlabel="epoch", ylabel=ylabel, ylim=(0, 100))
        legend(figure, list(chosen.values()))
    return figure


def t_curves(
    frame: pd.DataFrame,
    curves: Mapping[float, str],
    labels: Mapping[float, str],
    numbers: pd.DataFrame,
    titles: Mapping[str, str],
) -> Figure:
    """2019: a curve by epoch for every T, one panel per noise rate; published ends of the curves at the right edge."""
    shown = style.spread(dict.fromkeys(frame["method"].unique(), "imae"))
    rates = sorted(frame["noise_rate"].unique())
    with style.context():
        figure, axes = style.grid(len(rates), columns=2, share_y=False, width=4.4, height=3.3)
        figure.suptitle(named(frame, titles))
        for axis, rate in zip(axes, rates, strict=True):
            part = frame[frame["noise_rate"] == rate]
            length = max(map(len, part["test_acc"]))
            for method, rows in part.groupby("method", sort=False):
                line(axis, rows, curves[rate], shown[str(method)])
                ends = published.within(numbers, {"noise_rate": rate, "method": method})["mean"]
                axis.plot(
                    [1.04 * length] * len(ends),
                    ends,
                    "o",
                    markerfacecolor="none",
                    markeredgewidth=1.2,
                    color=shown[str(method)].colour,
                )
            axis.set_title(f"r = {rate:g}")
            axis.set(xlabel="epoch", ylabel=labels[rate], ylim=(0 if rate else 50, 102))
        ring = {"marker": "o", "linestyle": "none", "markerfacecolor": "none", "markeredgewidth": 1.2}
        legend(figure, list(shown.values()), [("published end", ring)])
    return figure


def released_log(frame: pd.DataFrame, log: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """The authors' logs (upper row) and the runs here (lower row), one column per rate."""
    chosen = looks()
    found = log["setting"].str.extract(r"iteration=(\d+)")[0].astype(float)
    log = log.assign(iteration=found)
    rates = sorted(log["noise_rate"].unique())
    with style.context():
        figure, axes = style.grid(2 * len(rates), columns=len(rates), width=2.9, height=2.6, share_y=False)
        for column, rate in enumerate(rates):
            upper, lower = axes[column], axes[len(rates) + column]
            for method, rows in log[log["noise_rate"] == rate].groupby("method", sort=False):
                look = chosen[str(method)]
                upper.plot(rows["iteration"] / 1000, rows["mean"], color=look.colour, linestyle=look.line)
            for method, rows in frame[frame["noise_rate"] == rate].groupby("method", sort=False):
                line(lower, rows, "test_acc", chosen[str(method)])
            upper.set_title(f"r = {rate:g}, released logs")
            lower.set_title("here")
            upper.set(xlabel="iterations (1000)", ylim=(0, 100))
            lower.set(xlabel="epoch", ylim=(0, 100))
        for axis in (axes[0], axes[len(rates)]):
            axis.set_ylabel("test accuracy (%)")
        figure.suptitle(f"CIFAR-100, ResNet44 (released logs); {named(frame, titles)} (here)")
        legend(figure, list(chosen.values()))
    return figure


def mean_of(frame: pd.DataFrame, reading: str, metric: str = "test_acc", **where: object) -> float:
    """Mean over the seeds of one reading of the rows with these keys."""
    return float(results.values(results.choose(frame, where), metric, reading).mean())


def values(frame: pd.DataFrame, metric: str, reading: str = "last") -> pd.Series:
    """One number per row."""
    return results.values(frame, metric, reading)
