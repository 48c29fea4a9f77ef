"""The figures of this paper, in its own form where that is known: t-SNE panels, accuracy by epoch, one hyper-parameter at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from losslab.losses.regularisers import growing_weight
from losslab.papers import results
from losslab.report import style
from losslab.report.stats import band, summarise
from sparse_regularization import theory
from sparse_regularization.networks import Array, Look

DASH = (0, (4, 2))
BASE = {"tau": 0.5, "p": 0.1, "lambda0": 1.2, "rho": 1.03, "r": 1.0}  # CE+SR on CIFAR-10
SYMBOLS = {"tau": r"$\tau$", "p": "$p$", "lambda0": r"$\lambda_0$", "rho": r"$\rho$", "r": "$r$"}


def data_title(frame: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """`CIFAR-10 (stand-in: digits 8x8)`."""
    row = frame.iloc[0]
    return titles[row["dataset"]] + (f" (stand-in: {row['stand_in']})" if row["stand_in"] else "")


def mean_of(frame: pd.DataFrame, reading: str = "last", **where: Any) -> float:
    """Mean test accuracy over the seeds of the rows with these values, per cent; NaN where there are none."""
    for key, value in where.items():
        frame = frame[frame[key] == value]
    found = results.values(frame, "test_acc", reading).dropna() if len(frame) else pd.Series(dtype=float)
    return float(found.mean()) if len(found) else float("nan")


def _line(
    axis: Axes, rows: pd.DataFrame, colour: str, dash: object = "-", curve: str = "test_acc", label: str = ""
) -> int:
    """Mean over the seeds by epoch and its 95 % interval; the number of epochs."""
    mean, low, high = band([[100 * v for v in values] for values in rows[curve]])
    epochs = np.arange(1, len(mean) + 1)
    axis.plot(epochs, mean, color=colour, linestyle=dash, label=label)
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return len(mean)


def _legend(figure: Figure, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    lines = [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in entries]
    style.legend(figure, lines, [str(line.get_label()) for line in lines])


def planes(found: Sequence[Look], where: Mapping[tuple[str, int], Array], title: str, columns: int = 2) -> Figure:
    """Figure 1 and its like: one t-SNE panel per network, the test images coloured by their true class."""
    shown = [look for look in found if (look.method, look.seed) in where]
    colours = _class_colours(10)
    with style.context():
        figure, axes = style.grid(len(shown), columns=columns, width=3.4, height=3.2, share_y=False)
        for place, (axis, look) in enumerate(zip(axes, shown, strict=True)):
            flat = where[look.method, look.seed]
            axis.scatter(flat[:, 0], flat[:, 1], s=7, c=[colours[c % 10] for c in look.labels], linewidths=0)
            axis.set(title=f"({'abcdefgh'[place]}) {look.method}, {look.accuracy:.1f} %", xticks=[], yticks=[])
            axis.grid(False)
        figure.suptitle(title)
        _legend(
            figure,
            [
                (f"class {c}", {"marker": "o", "linestyle": "none", "color": colour, "markersize": 5})
                for c, colour in enumerate(colours)
            ],
        )
    return figure


def _class_colours(count: int) -> list[str]:
    keys = ("ce", "focal", "mae", "gce", "rce", "sce", "imae", "dmi", "nce+mae", "ngce")
    return [style.of(key).colour for key in keys[:count]]


def sharpening(frame: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Accuracy by epoch: rows are losses, columns noise rates, one line per temperature."""
    losses = [m for m in dict.fromkeys(frame["method"]) if "tau" not in m]
    rates = list(dict.fromkeys(frame["noise_rate"]))
    taus = ["1", *sorted({m.split("tau=")[1] for m in frame["method"] if "tau" in m}, key=float, reverse=True)]
    colours = {tau: style.ramp(style.of("ce+sr").colour, place, len(taus)) for place, tau in enumerate(taus)}
    with style.context():
        figure, axes = style.grid(len(losses) * len(rates), columns=len(rates), width=3.6, height=2.6)
        for place, axis in enumerate(axes):
            loss, rate = losses[place // len(rates)], rates[place % len(rates)]
            for tau, colour in colours.items():
                name = loss if tau == "1" else f"{loss} tau={tau}"
                rows = frame[(frame["method"] == name) & (frame["noise_rate"] == rate)]
                if len(rows):
                    _line(axis, rows, colour, "-" if tau != "1" else DASH)
            axis.set(title=f"{loss}, " + (f"symmetric {rate:g}" if rate else "clean"), xlabel="epoch", ylim=(0, 100))
            if place % len(rates) == 0:
                axis.set_ylabel("test accuracy (%)")
        figure.suptitle(data_title(frame, titles))
        entries: list[tuple[str, dict[str, Any]]] = [
            (rf"$\tau$ = {t}", {"color": c, "linestyle": DASH if t == "1" else "-"}) for t, c in colours.items()
        ]
        _legend(figure, entries)
    return figure


def studied(frame: pd.DataFrame) -> pd.DataFrame:
    """The studies in long form: parameter, value, reading, mean and half width of the 95 % interval over the seeds."""
    rows = []
    for method, part in frame.groupby("method", sort=False):
        name, value = (
            ("", 0.0) if method == "CE+SR" else (str(method).split()[1].split("=")[0], float(str(method).split("=")[1]))
        )
        for reading in ("last", "best"):
            found = results.values(part, "test_acc", reading).dropna()
            if not len(found):
                continue
            got = summarise(found)
            half = (got.high - got.mean) if len(found) > 1 else 0.0
            for parameter in BASE if not name else (name,):
                rows.append((parameter, value if name else BASE[parameter], reading, got.mean, half))
    return pd.DataFrame(rows, columns=["parameter", "value", "reading", "mean", "half"]).sort_values(
        ["parameter", "value"]
    )


def parameters(frame: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """One panel per hyper-parameter; last epoch solid, best epoch dashed; the released value marked."""
    table = studied(frame)
    names = [n for n in BASE if (table["parameter"] == n).sum() > 2]
    colour = style.of("ce+sr").colour
    with style.context():
        columns = 2 if len(names) == 4 else 3
        figure, axes = style.grid(max(1, len(names)), columns=columns, width=2.9, height=2.6)
        for axis, name in zip(axes, names, strict=True):
            part = table[table["parameter"] == name]
            places = {value: i for i, value in enumerate(sorted(part["value"].unique()))}
            for reading, dash, fill in (("last", "-", colour), ("best", DASH, "white")):
                rows = part[part["reading"] == reading]
                x = [places[v] for v in rows["value"]]
                axis.errorbar(
                    x,
                    rows["mean"],
                    yerr=rows["half"],
                    color=colour,
                    linestyle=dash,
                    marker="o",
                    markerfacecolor=fill,
                    markeredgecolor=colour,
                    markeredgewidth=1.1,
                    capsize=2,
                )
            axis.axvline(places[BASE[name]], color=style.INK, linewidth=0.8, linestyle=":")
            axis.set(xlabel=SYMBOLS[name], xticks=list(places.values()), ylim=(0, 100))
            axis.set_xticklabels([f"{v:g}" for v in places])
        for axis in axes[::columns]:
            axis.set_ylabel("test accuracy (%)")
        figure.suptitle(data_title(frame, titles))
        _legend(
            figure,
            [
                ("last epoch", {"color": colour, "marker": "o"}),
                (
                    "best epoch",
                    {
                        "color": colour,
                        "linestyle": DASH,
                        "marker": "o",
                        "markerfacecolor": "white",
                        "markeredgecolor": colour,
                        "markeredgewidth": 1.1,
                    },
                ),
                ("as released", {"linestyle": ":"}),
            ],
        )
    return figure


def theory_figure() -> Figure:
    """Sharpening, the l_p term, its pull along a path between two classes, and the growing weight."""
    with style.context():
        figure, axes = style.grid(4, columns=2, width=4.3, height=2.9, share_y=False)
        gap = torch.linspace(0, 4, 200, dtype=torch.float64)
        logits = torch.stack([gap, *[torch.zeros_like(gap)] * 9], -1)
        for place, tau in enumerate((1.0, 0.5, 0.25, 0.1)):
            colour = style.ramp(style.of("ce+sr").colour, place, 4)
            axes[0].plot(gap, torch.softmax(logits / tau, -1)[:, 0], color=colour, label=rf"$\tau$ = {tau:g}")
        axes[0].set(title="(a) sharpening, 10 classes", xlabel="lead of the top logit", ylabel="its probability")
        u = np.linspace(0, 1, 801)
        for place, p in enumerate((0.01, 0.1, 0.5, 1.0)):
            colour = style.ramp(style.of("gce").colour, place, 4)
            values = np.clip(u, 1e-7, 1) ** p + np.clip(1 - u, 1e-7, 1) ** p
            axes[1].plot(u, values, color=colour, label=f"$p$ = {p:g}")
        axes[1].set(title="(b) the term, 2 classes, clamped at 1e-7", xlabel=r"$u_1$", ylabel=r"$\sum_k u_k^p$")
        wide = torch.stack([gap * 2, *[torch.zeros_like(gap)] * 9], -1)
        for tau, p, dash in ((0.5, 0.1, "-"), (0.5, 0.01, DASH), (0.1, 0.1, (0, (1, 1.5)))):
            size = theory.penalty_gradient(wide, tau, p, normalised=False).norm(dim=-1)
            axes[2].plot(
                2 * gap,
                size / p,
                color=style.of("ce+sr").colour,
                linestyle=dash,
                label=rf"$\tau$ = {tau:g}, $p$ = {p:g}",
            )
        axes[2].set(
            title="(c) size of the term's gradient, over p",
            xlabel="lead of the top logit",
            ylabel="norm in the logits / p",
            yscale="log",
            ylim=(1e-3, 100),
        )
        for (label, (classes, p, lam, rho, every, epochs)), key in zip(
            theory.SCHEDULES.items(), ("mae", "sce", "ce", "gce", "dmi"), strict=True
        ):
            t = np.arange(epochs)
            axes[3].plot(
                (t + 1) / epochs,
                [float(growing_weight(int(e), lam=lam, rho=rho, every=every)) * p * classes for e in t],
                color=style.of(key).colour,
                label=label,
            )
        axes[3].axhline(1, color=style.INK, linewidth=0.8, linestyle=":")
        axes[3].set(title=r"(d) $\lambda_t\, p\, K$", xlabel="share of the training", yscale="log")
        for place, axis in enumerate(axes):
            axis.legend(fontsize=7.5, loc=(0.4, 0.48) if place == 1 else "best")
    return figure


def bounds_figure() -> Figure:
    """T2's bound against eps for L_0.7, and its factor c against the noise rate."""
    eps = np.geomspace(1e-4, 0.5, 100)
    with style.context():
        figure, axes = style.grid(2, columns=2, width=4.3, height=2.9, share_y=False)
        for rate, key in ((0.2, "sce"), (0.4, "gce"), (0.6, "ce"), (0.8, "dmi")):
            line = [theory.symmetric_bound(rate, 10, theory.gce_delta(10, float(e))) for e in eps]
            axes[0].plot(eps, line, color=style.of(key).colour, label=rf"$\eta$ = {rate:g}")
        axes[0].axhline(1 / 0.7, color=style.INK, linewidth=0.8, linestyle=":", label="largest possible loss")
        axes[0].set(
            title="(a) bound on the excess risk, $L_{0.7}$, 10 classes",
            xlabel=r"distance $\epsilon$ from $P_v$",
            xscale="log",
            yscale="log",
        )
        rates = np.linspace(0.01, 0.99, 300)
        for classes, key in ((2, "sce"), (10, "ce"), (100, "gce")):
            c = np.array(
                [theory.excess_factor(float(r), classes) if r < 1 - 1 / classes - 0.005 else np.nan for r in rates]
            )
            axes[1].plot(rates, c, color=style.of(key).colour, label=f"{classes} classes")
        axes[1].set(title=r"(b) $c = \eta / ((1-\eta) K - 1)$", xlabel=r"noise rate $\eta$", yscale="log")
        for axis in axes:
            axis.legend(fontsize=7.5)
    return figure


def distances(table: pd.DataFrame, title: str) -> Figure:
    """Distance from one-hot, penalty and test accuracy by epoch, one line per way of training."""
    keys = dict(zip(dict.fromkeys(table["way"]), ("ce", "focal", "dmi", "mae", "ce+sr"), strict=True))
    dashes = dict(zip(keys, ("-", DASH, DASH, (0, (1, 1.5)), "-"), strict=True))
    with style.context():
        figure, axes = style.grid(3, columns=3, width=3.3, height=2.8, share_y=False)
        for axis, (column, label) in zip(
            axes,
            (
                ("distance", r"mean $\min_k\|u - e_k\|_2$"),
                ("penalty", r"mean $\sum_k u_k^{0.1}$"),
                ("test accuracy", "test accuracy (%)"),
            ),
            strict=True,
        ):
            for way, rows in table.groupby("way", sort=False):
                axis.plot(
                    rows["epoch"], rows[column], color=style.of(keys[str(way)]).colour, linestyle=dashes[str(way)]
                )
            axis.set(xlabel="epoch", title=label)
        floor = float(theory.one_hot_distance(theory.sharpest(10, 0.5)[1]))
        axes[0].axhline(floor, color=style.INK, linewidth=0.8, linestyle=":")
        axes[0].set_ylim(0, 1)
        axes[1].axhline(
            theory.sharpest(10, 0.5)[1].pow(0.1).sum().item(), color=style.INK, linewidth=0.8, linestyle=":"
        )
        axes[2].set_ylim(0, 100)
        figure.suptitle(title)
        _legend(
            figure,
            [
                *((w, {"color": style.of(k).colour, "linestyle": dashes[w]}) for w, k in keys.items()),
                ("least at unit length", {"linestyle": ":"}),
            ],
        )
    return figure


def author_log(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Left: the first author's log (CIFAR-100, 200 epochs). Right: CE+SR under the same kinds of noise here."""
    logged = numbers[(numbers["metric"] == "test_acc") & (numbers["dataset"] == "cifar100")].copy()
    logged["epoch"] = logged["setting"].str.extract(r"epoch=(\d+)", expand=False).astype(int)
    logged["lam"] = logged["setting"].str.extract(r"lambda0=(\d+)", expand=False)
    colours = {"asym": style.of("dmi").colour, "sym": style.of("ce+sr").colour}
    with style.context():
        figure, axes = style.grid(2, columns=2, width=4.4, height=2.9)
        for kind, rows in logged.groupby("noise_type"):
            axes[0].plot(rows["epoch"], rows["mean"], ".", color=colours[str(kind)], markersize=4)
        axes[0].set(
            title="the first author's log, CIFAR-100",
            xlabel="epoch of 200",
            xlim=(0, 200),
            ylim=(0, 100),
            ylabel="test accuracy (%)",
        )
        for kind, rows in frame[frame["noise_type"] != "clean"].groupby("noise_type", sort=False):
            _line(axes[1], rows, colours[str(kind)])
        axes[1].set(title=data_title(frame, titles) + ", rate 0.4", xlabel="epoch", ylim=(0, 100))
        _legend(
            figure,
            [
                ("asymmetric, $\\lambda_0$ = 10", {"color": colours["asym"]}),
                ("symmetric, $\\lambda_0$ = 4", {"color": colours["sym"]}),
            ],
        )
    return figure


def paired(frame: pd.DataFrame, left: str, right: str) -> pd.DataFrame:
    """Left minus right at the last epoch, paired by seed: mean and 95 % interval per data set, noise and rate."""
    keys = ["dataset", "noise_type", "noise_rate"]
    rows = []
    for place, part in frame.groupby(keys, sort=False):
        ends = [results.values(part[part["method"] == m].set_index("seed"), "test_acc", "last") for m in (left, right)]
        gap = (ends[0] - ends[1]).dropna()
        if len(gap):
            got = summarise(gap)
            rows.append((*place, got.mean, got.low if len(gap) > 1 else np.nan, got.high if len(gap) > 1 else np.nan))
    return pd.DataFrame(rows, columns=[*keys, "mean", "low", "high"])
