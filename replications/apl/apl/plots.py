"""The figures of this paper in its own form: solid lines for plain losses, dashed ones for normalised losses, test accuracy by epoch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from apl import theory
from losslab.papers import results
from losslab.report import published, style
from losslab.report.stats import band

PAIRS = (("CE", "NCE"), ("FL", "NFL"), ("MAE", "NMAE"), ("RCE", "NRCE"))
DASH = (0, (4, 2))
HOLLOW: dict[str, Any] = {"markerfacecolor": "none", "markeredgewidth": 1.1, "linestyle": "none", "markersize": 4.5}
ACTIVE_PASSIVE = ("NCE+RCE", "NCE+MAE", "NFL+RCE", "NFL+MAE")


def data_title(frame: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """`CIFAR-10 (stand-in: digits 8x8)`."""
    row = frame.iloc[0]
    return titles[row["dataset"]] + (f" (stand-in: {row['stand_in']})" if row["stand_in"] else "")


def _line(axis: Axes, rows: pd.DataFrame, colour: str, dash: object = "-", curve: str = "test_acc") -> int:
    """Mean over the seeds by epoch and its 95 % interval; the number of epochs."""
    mean, low, high = band([[100 * v for v in values] for values in rows[curve]])
    epochs = np.arange(1, len(mean) + 1)
    axis.plot(epochs, mean, color=colour, linestyle=dash)
    axis.fill_between(epochs, low, high, color=colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    return len(mean)


def _ends(axis: Axes, numbers: pd.DataFrame, method: str, colour: str, epochs: int) -> None:
    """Published final accuracies, hollow, just right of the last epoch."""
    found = numbers[numbers["method"] == method]["mean"]
    axis.plot([1.03 * epochs] * len(found), found, marker="o", markeredgecolor=colour, clip_on=False, **HOLLOW)


def _legend(figure: Figure, entries: Sequence[tuple[str, dict[str, Any]]]) -> None:
    lines = [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in entries]
    style.legend(figure, lines, [str(line.get_label()) for line in lines])


def pairs(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str], length: int) -> Figure:
    """Figures 1 and 2: four panels, a loss and its normalised form; published points at the same share of `length` epochs."""
    points = published.curves(numbers)
    with style.context():
        figure, axes = style.grid(4, columns=4, width=3.0)
        for axis, pair in zip(axes, PAIRS, strict=True):
            for method, dash, marker in zip(pair, ("-", DASH), "os", strict=True):
                colour = style.of(pair[0].lower() if pair[0] != "FL" else "focal").colour
                rows = frame[frame["method"] == method]
                epochs = _line(axis, rows, colour, dash)
                seen = points[points["method"] == method]
                axis.plot(
                    seen["epoch"] * epochs / length, seen["mean"], marker=marker, markeredgecolor=colour, **HOLLOW
                )
            axis.set(title=f"{pair[0]} / {pair[1]}", xlabel="epoch", ylim=(0, 100))
        axes[0].set_ylabel("test accuracy (%)")
        figure.suptitle(data_title(frame, titles))
        hollow = {"markeredgecolor": style.INK, **HOLLOW}
        _legend(figure, [("plain loss", {}), ("normalised", {"linestyle": DASH}), ("published, plain", {"marker": "o", **hollow}),
                         ("published, normalised", {"marker": "s", **hollow})])  # fmt: skip
    return figure


def scales(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Figure 3: four panels, a loss times a constant; CE in black beside NCE; published final accuracies on the right."""
    methods = list(dict.fromkeys(frame["method"]))
    with style.context():
        figure, axes = style.grid(4, columns=4, width=3.0)
        for axis, base in zip(axes, ("NCE", "NFL", "MAE", "RCE"), strict=True):
            own = [m for m in methods if m == base or m.endswith(f"*{base}")]
            shown = {m: style.ramp(style.of(base.lower()).colour, place, len(own)) for place, m in enumerate(own)}
            if base == "NCE":
                shown = {"CE": style.of("ce").colour, **shown}
            for method, colour in shown.items():
                epochs = _line(axis, frame[frame["method"] == method], colour)
                _ends(axis, numbers, method, colour, epochs)
                axis.plot([], [], color=colour, label=method)
            axis.legend(loc="upper left", fontsize=8)
            axis.set(title=base, xlabel="epoch", ylim=(0, 100))
        axes[0].set_ylabel("test accuracy (%)")
        figure.suptitle(data_title(frame, titles))
        _legend(figure, [("published, last epoch", {"marker": "o", "markeredgecolor": style.INK, **HOLLOW})])
    return figure


def combinations(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Figure 4: one panel per data set; active with passive solid, two of a kind and single losses dashed."""
    looks = style.spread(dict(zip(frame["method"], frame["key"], strict=True)))
    datasets = list(dict.fromkeys(frame["dataset"]))
    with style.context():
        figure, axes = style.grid(len(datasets), columns=2, width=4.6, height=3.4)
        for axis, dataset in zip(axes, datasets, strict=True):
            part = frame[frame["dataset"] == dataset]
            for method, rows in part.groupby("method", sort=False):
                look = looks[str(method)]
                epochs = _line(axis, rows, look.colour, look.line)
                _ends(axis, numbers[numbers["dataset"] == dataset], str(method), look.colour, epochs)
            axis.set(title=data_title(part, titles), xlabel="epoch", ylim=(0, 100))
        axes[0].set_ylabel("test accuracy (%)")
        entries: list[tuple[str, dict[str, Any]]] = [
            (look.label, {"color": look.colour, "linestyle": look.line}) for look in looks.values()
        ]
        _legend(figure, [*entries, ("published, last epoch", {"marker": "o", "markeredgecolor": style.INK, **HOLLOW})])
    return figure


def weights(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Figure 5: NCE+RCE for a grid of alpha (colour) and beta (dash); published final accuracies on the right."""
    settings = list(dict.fromkeys(frame["setting"]))
    pairs_of = {s: [part.split("=")[1] for part in s.split(",")] for s in settings}
    alphas, betas = (list(dict.fromkeys(v[i] for v in pairs_of.values())) for i in (0, 1))
    colours = {a: style.of(k).colour for a, k in zip(alphas, ("gce", "nce+rce", "agce"), strict=False)}
    dashes = dict(zip(betas, ("-", DASH, (0, (1, 1.5)), (0, (6, 2, 1, 2))), strict=False))
    with style.context():
        figure, axes = style.grid(1, width=4.6, height=3.6)
        for setting in settings:
            alpha, beta = pairs_of[setting]
            epochs = _line(axes[0], frame[frame["setting"] == setting], colours[alpha], dashes[beta])
            seen = numbers[numbers["setting"] == setting]
            _ends(axes[0], seen, "NCE+RCE", colours[alpha], epochs)
        axes[0].set(title=data_title(frame, titles), xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 100))
        entries: list[tuple[str, dict[str, Any]]] = [(rf"$\alpha$ = {a}", {"color": c}) for a, c in colours.items()]
        entries += [(rf"$\beta$ = {b}", {"linestyle": d}) for b, d in dashes.items()]
        _legend(figure, [*entries, ("published, last epoch", {"marker": "o", "markeredgecolor": style.INK, **HOLLOW})])
    return figure


def theory_figure() -> Figure:
    """Gradients against p_y, what NCE does at a fixed p_y, the escape from the label, and who leads in NCE+RCE."""
    p = np.linspace(0.002, 0.998, 400)
    with style.context():
        figure, axes = style.grid(4, columns=2, width=4.4, height=3.0, share_y=False)
        for label, name in (
            ("CE", "ce"),
            ("MAE", "mae"),
            ("RCE", "rce"),
            ("NCE", "nce"),
            ("NFL", "nfl"),
            ("NMAE", "nmae"),
        ):
            look = style.of(name)
            axes[0].plot(p, theory.logit_norm(name, p, 10), color=look.colour, linestyle=look.line, label=label)
        axes[0].set(
            title="(a) gradient in the logits, L1, 10 classes",
            xlabel="$p_y$, the others level",
            yscale="log",
            ylim=(3e-4, 12),
        )
        shares = np.linspace(1 / 9, 0.999, 200)
        for place, p_y in enumerate((0.1, 0.3, 0.6)):
            colour = style.ramp(style.of("nce").colour, place, 3)
            axes[1].plot(shares, theory.fixed_target(p_y, 10, shares), color=colour, label=f"$p_y$ = {p_y}")
        axes[1].set(
            title="(b) NCE with $p_y$ held fixed",
            xlabel="share of $1 - p_y$ on one other class",
            ylabel="NCE",
            ylim=(0, None),
        )
        far = np.geomspace(1, 1000, 60)
        gone = theory.escape(10, list(far))
        for label, name in (("CE", "ce"), ("MAE", "mae"), ("NCE", "nce"), ("NCE+RCE", "nce+rce")):
            look = style.of(name)
            axes[2].plot(
                far,
                gone[label] / theory.escape(10, [0.0])[label].iloc[0],
                color=look.colour,
                linestyle=look.line,
                label=label,
            )
        axes[2].set(title="(c) one other class pushed away, label ignored", xlabel="logit distance of that class", xscale="log",
                    ylabel="loss / loss at the start", ylim=(0, 1.1))  # fmt: skip
        for place, (classes, alpha, beta) in enumerate(((10, 1, 1), (100, 1, 1), (100, 10, 0.1))):
            colour = style.ramp(style.of("nce+rce").colour, place, 3)
            axes[3].plot(
                p,
                theory.active_share(classes, alpha, beta, p),
                color=colour,
                label=rf"K = {classes}, $\alpha$ = {alpha}, $\beta$ = {beta}",
            )
            axes[3].axvline(1 / classes, color=colour, linewidth=0.7, linestyle=":")
        axes[3].set(
            title="(d) active share of the gradient of NCE+RCE",
            xlabel="$p_y$ (dotted: 1 / K)",
            xscale="log",
            ylim=(0, 1),
        )
        axes[0].legend(fontsize=8, loc="lower center", ncols=2)
        for axis in axes[1:]:
            axis.legend(fontsize=8, loc="best")
    return figure


# Numbers read from the results


def mean_of(frame: pd.DataFrame, reading: str = "last", metric: str = "test_acc", **where: object) -> float:
    """Mean over the seeds of one reading of the rows with these keys."""
    return float(results.values(results.choose(frame, where), metric, reading).mean())


def memory(frame: pd.DataFrame) -> pd.DataFrame:
    """By method: test accuracy and what became of the training labels at the end, per cent, mean over the seeds."""
    columns = {"test": "test_acc", "right labels fitted": "final.fit_clean", "wrong labels fitted": "final.fit_noisy"}
    rows = {
        keys: {name: float(results.values(part, metric, "last").mean()) for name, metric in columns.items()}
        for keys, part in frame.groupby(["dataset", "method"], sort=False)
    }
    return pd.DataFrame(rows).T


def peak_share(frame: pd.DataFrame) -> float:
    """Mean over the seeds of the best epoch as a share of the training."""
    return float(np.mean([(int(np.argmax(curve)) + 1) / len(curve) for curve in frame["test_acc"]]))
