"""The figures of this paper in its own form, and those of the experiments that it does not have."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from l_dmi import theory
from losslab.analysis import information
from losslab.losses.dmi import dmi as l_dmi
from losslab.papers import results
from losslab.report import style

SHOWN = ("CE", "FW", "GCE", "LCCN", "DMI")
KEYS = dict(zip(SHOWN, ("ce", "forward_est", "gce", "lccn", "dmi"), strict=True))
CASES = {"case 1": "case 1: both ways", "case 2": "case 2: bags to clothes", "case 3": "case 3: clothes to bags"}
HOLLOW: dict[str, Any] = {"markerfacecolor": "white", "markeredgewidth": 1.0, "markersize": 4.5}


def as_authors_select(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with the curve that the reading `best_val` goes by: noisy accuracy, and minus the loss for L_DMI (Algorithm 1)."""
    is_dmi = frame["key"] == "dmi"
    chosen = [
        [-v for v in loss] if mine and loss is not None else acc
        for mine, loss, acc in zip(is_dmi, frame["val_loss"], frame["val_acc"], strict=True)
    ]
    return frame.assign(val_acc=pd.Series(chosen, index=frame.index, dtype=object))


def _finish(figure: Figure, lines: Sequence[Line2D]) -> Figure:
    style.legend(figure, list(lines), [str(line.get_label()) for line in lines])
    return figure


def _mark(axis: Axes, letter: str, title: str) -> None:
    axis.set_title(f"({letter}) {title}")


# Theory


def figure_1(size: int = 24, classes: int = 4) -> Figure:
    """Outputs O, labels L, their product U and the loss, for one batch."""
    logits, labels = theory.batch(classes, size, seed=1)
    outputs = logits.softmax(-1)
    onehot = torch.nn.functional.one_hot(labels, classes).double()
    u = (outputs.mT @ onehot / size).numpy()
    with style.context():
        figure, axes = style.grid(3, columns=3, width=4.2, height=2.8, share_y=False)
        for axis, values, title, x, y in (
            (axes[0], outputs.mT.numpy(), r"outputs $O$ ($C \times N$)", "sample", "class"),
            (axes[1], onehot.numpy(), r"noisy labels $L$ ($N \times C$)", "label", "sample"),
            (axes[2], u, r"$U = O L / N$", "label", "predicted class"),
        ):
            axis.imshow(values, aspect="auto", cmap="Greys", vmin=0, vmax=values.max())
            axis.grid(False)
            axis.set(title=title, xlabel=x, ylabel=y)
        axes[0].set_yticks(range(classes))
        axes[1].set_xticks(range(classes))
        axes[2].set(xticks=range(classes), yticks=range(classes))
        for i in range(classes):
            for j in range(classes):
                axes[2].text(
                    j,
                    i,
                    f"{u[i, j]:.2f}",
                    ha="center",
                    va="center",
                    color="white" if u[i, j] > u.max() / 2 else style.INK,
                )
        value = float(l_dmi(logits.log_softmax(-1), labels))
        figure.suptitle(rf"$L_{{DMI}} = -\log|\det U|$ = {value:.2f}, |det U| = {np.exp(-value):.1e}")
    return figure


def determinants() -> Figure:
    """(a) det(QT) against det Q det T; (b) what random noise adds to the loss; (c) |det T| of every noise case."""
    with style.context():
        figure, axes = style.grid(3, width=4.0, height=3.2, share_y=False)
        lines = []
        for place, classes in enumerate((2, 5, 10)):
            found = theory.random_pairs(classes)
            colour = style.ramp(style.of("dmi").colour, place, 3)
            axes[0].plot(found["clean"] + found["transition"], found["noisy"], ".", color=colour, markersize=3)
            values = np.sort(-found["transition"])
            axes[1].plot(values, np.linspace(0, 1, len(values)), color=colour)
            lines.append(Line2D([], [], color=colour, marker=".", label=f"random, {classes} classes"))
        low = axes[0].get_xlim()[0]
        axes[0].plot([low, 0], [low, 0], color=style.INK, linewidth=0.8)
        axes[0].set(xlabel=r"$\log|\det Q| + \log|\det T|$", ylabel=r"$\log|\det(QT)|$")
        axes[1].set(xlabel=r"$-\log|\det T|$, nats", ylabel="share of random matrices below", xlim=(-0.5, None))
        rates = np.linspace(0, 0.9, 46)
        noise: tuple[tuple[str, Callable[[float], theory.Array], Any], ...] = (
            ("two classes, all cases", lambda r: theory.case_matrix("MR", r), "-"),
            ("CIFAR-10, class-dependent", lambda r: theory.case_matrix("CIFAR-10", r), (0, (5, 2))),
            ("CIFAR-10, drawn from all classes", lambda r: theory.independent_matrix(10, r), (0, (1.5, 1.8))),
            ("CIFAR-10, drawn from the others", lambda r: theory.independent_matrix(10, r, True), (0, (6, 2, 1.5, 2))),
        )
        for label, matrix, dash in noise:
            left = [max(abs(float(np.linalg.det(matrix(r)))), 1e-12) for r in rates]
            axes[2].plot(rates, left, color=style.INK, linestyle=dash)
            lines.append(Line2D([], [], color=style.INK, linestyle=dash, label=label))
        axes[2].set(yscale="log", ylim=(1e-10, 2), xlabel="noise amount r", ylabel=r"$|\det T|$")
        for axis, letter, title in zip(
            axes, "abc", ("relative invariance", "what noise adds to the loss", "the paper's noise cases"), strict=True
        ):
            _mark(axis, letter, title)
        return _finish(figure, lines)


def appendix_c(rate: float = 0.4) -> Figure:
    """The transition matrices at one rate; cells with a number are not zero."""
    shown = {name: theory.case_matrix(name, rate) for name in theory.CASES if name != "MR"}
    shown["class-independent, ten classes"] = theory.independent_matrix(10, rate)
    with style.context():
        figure, axes = style.grid(len(shown), columns=3, width=3.4, height=2.9, share_y=False)
        for axis, (name, t) in zip(axes, shown.items(), strict=True):
            axis.imshow(t, cmap="Greys", vmin=0, vmax=1)
            axis.grid(False)
            size = len(t)
            axis.set(xticks=range(size), yticks=range(size), xlabel="given label", ylabel="true label")
            title = "Dogs vs. Cats and MR" if name.startswith("Dogs") else name
            axis.set_title(f"{title}\n|det T| = {abs(np.linalg.det(t)):.3g}")
            for i, j in zip(*np.nonzero(t), strict=True):
                axis.text(
                    j, i, f"{t[i, j]:.2g}".lstrip("0") or "0", ha="center", va="center", fontsize=9 if size == 2 else 5,
                    color="white" if t[i, j] > 0.5 else style.INK,
                )  # fmt: skip
        figure.suptitle(f"noise amount r = {rate:g}")
    return figure


def claim_b2() -> Figure:
    """Shannon's information and DMI of the two classifiers of the counter-example, before and after the noise."""
    example = information.counter_example()
    looks = (style.of("ce").colour, style.of("dmi").colour)
    with style.context():
        figure, axes = style.grid(2, width=3.6, height=2.9, share_y=False)
        for axis, pairs, title in ((axes[0], example.shannon, "Shannon (nats)"), (axes[1], example.determinant, "DMI")):
            for place, values in enumerate(pairs):
                for k in (0, 1):
                    axis.bar(place + 0.4 * k - 0.2, values[k] / max(values), width=0.38, color=looks[k])
                    axis.text(
                        place + 0.4 * k - 0.2,
                        values[k] / max(values) + 0.02,
                        f"{values[k]:.4g}",
                        ha="center",
                        fontsize=8,
                    )
            axis.set(title=title, ylim=(0.7, 1.08), ylabel="share of the larger one")
            axis.set_xticks([0, 1], ["clean labels", "noisy labels"])
        handles = [Line2D([], [], color=c, linewidth=6, label=n) for c, n in zip(looks, ("h", "h'"), strict=True)]
        return _finish(figure, handles)


def normalised() -> Figure:
    """(a) What a constant of 0.001 leaves of the gradient; (b) the loss against accuracy, ten classes, in three forms."""
    classes = np.arange(2, 21)
    with style.context():
        figure, axes = style.grid(2, width=4.4, height=3.2, share_y=False)
        forms: dict[str, tuple[str, Any]] = {
            "exact": (style.of("dmi").colour, "-"),
            "official, not divided by N": (style.of("gce").colour, (0, (5, 2))),
            "divided by N, + 0.001": (style.INK, (0, (1.5, 1.8))),
        }
        for name, size in (("official, not divided by N", 128), ("divided by N, + 0.001", None)):
            axes[0].plot(
                classes,
                [theory.gradient_factor(int(c), size) for c in classes],
                color=forms[name][0],
                linestyle=forms[name][1],
            )
        axes[0].axhline(1, color=forms["exact"][0])
        axes[0].set(
            yscale="log",
            xlabel="classes C",
            ylabel="share of the gradient that is left",
            ylim=(1e-22, 10),
            xticks=range(2, 21, 3),
        )
        accuracy = np.linspace(0.15, 0.99, 60)
        for name, (colour, dash) in forms.items():
            values = np.array([theory.loss_forms(10, a)[name] for a in accuracy])
            axes[1].plot(100 * accuracy, values - values[-1], color=colour, linestyle=dash)
        axes[1].set(xlabel="accuracy of the classifier (%)", ylabel="loss above that at 99 %")
        _mark(axes[0], "a", "gradient, a classifier of 90 %")
        _mark(axes[1], "b", "loss, ten classes, N = 128")
        return _finish(figure, [Line2D([], [], color=c, linestyle=d, label=n) for n, (c, d) in forms.items()])


BATCH_CASES = {
    "2 classes, 50 : 50": theory.good_joint(2),
    "2 classes, 10 : 90": np.array([[0.09, 0.09], [0.01, 0.81]]),
    "10 classes": theory.good_joint(10),
}


def batch_table(sizes: Sequence[int] = (16, 32, 64, 128, 256, 1024)) -> pd.DataFrame:
    """Bias and spread of the batch loss, per case and batch size, hard predictions of 90 % accuracy."""
    rows = []
    for name, q in BATCH_CASES.items():
        for size in sizes:
            found = information.batch_estimate(q, size, draws=2000)
            rows.append((name, size, found.loss_mean - found.loss, found.loss_std, found.singular))
    return pd.DataFrame(rows, columns=["case", "N", "bias", "spread", "singular"]).set_index(["case", "N"])


def batches(table: pd.DataFrame) -> Figure:
    """Bias of the batch loss, its standard deviation, and the share of singular batches against N."""
    titles = {
        "bias": "mean loss - loss of Q (nats)",
        "spread": "standard deviation (nats)",
        "singular": "share with det = 0",
    }
    with style.context():
        figure, axes = style.grid(3, width=3.6, height=3.0, share_y=False)
        lines = []
        for place, name in enumerate(BATCH_CASES):
            look: dict[str, Any] = {"color": style.ramp(style.of("dmi").colour, place, 3), "marker": "osD"[place]}
            for axis, column in zip(axes, titles, strict=True):
                rows = table.loc[name]
                axis.plot(rows.index, rows[column], **look)
            lines.append(Line2D([], [], label=name, **look))
        for axis, letter, (column, title) in zip(axes, "abc", titles.items(), strict=True):
            axis.set(xscale="log", xlabel="batch size N", ylabel=title)
            axis.axhline(0, color=style.INK, linewidth=0.8)
            _mark(axis, letter, column)
        return _finish(figure, lines)


# The paper's figures


def rates_panel(axis: Axes, frame: pd.DataFrame, numbers: pd.DataFrame, metric: str = "test_acc") -> None:
    """Methods against the noise amount: mean over the seeds, its interval or standard deviation, published points on dotted lines."""
    for method, key in KEYS.items():
        look, rows = style.of(key), frame[(frame["method"] == method) & (frame["status"] == "done")]
        seen = numbers[numbers["method"] == method].sort_values("noise_rate")
        axis.plot(
            seen["noise_rate"],
            seen["mean"],
            color=look.colour,
            linestyle=":",
            linewidth=0.9,
            marker=look.marker,
            **HOLLOW,
        )
        if rows.empty:
            continue
        values = results.values(rows, metric, "best_val").groupby(rows["noise_rate"])
        mean, spread = values.mean(), values.std(ddof=1).fillna(0)
        axis.errorbar(
            mean.index,
            mean,
            yerr=spread,
            color=look.colour,
            linestyle=look.line,
            marker=look.marker,
            capsize=2,
            markersize=5,
        )
    axis.set(xlabel="noise amount r", xlim=(-0.04, 0.94))


def _names(frame: pd.DataFrame, titles: Mapping[str, str], dataset: str) -> str:
    rows = frame[frame["dataset"] == dataset]
    stand_in = str(rows["stand_in"].iloc[0]) if len(rows) else ""
    return titles[dataset] + (f"\n(stand-in: {stand_in})" if stand_in else "")


def _handles(methods: Sequence[str]) -> list[Line2D]:
    lines = []
    for method in methods:
        look = style.of(KEYS[method])
        lines.append(Line2D([], [], color=look.colour, linestyle=look.line, marker=look.marker, label=method))
    return [*lines, Line2D([], [], color=style.INK, linestyle=":", marker="o", label="published", **HOLLOW)]


def figure_2(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str], metric: str = "test_acc") -> Figure:
    """CE and L_DMI on the three kinds of noise; bars are standard deviations, as in the paper."""
    with style.context():
        figure, axes = style.grid(3, width=3.7, height=3.2)
        for axis, letter, (case, title) in zip(axes, "abc", CASES.items(), strict=True):
            part = numbers[numbers["noise_type"] == case] if metric == "test_acc" else numbers.iloc[:0]
            rates_panel(axis, frame[frame["noise_type"] == case], part, metric)
            _mark(axis, letter, title)
            axis.set_ylim(5, 101)
        axes[0].set_ylabel("test accuracy (%)" if metric == "test_acc" else "mean accuracy of the classes (%)")
        figure.suptitle(_names(frame, titles, "fashion_mnist").replace("\n", " "))
        return _finish(figure, _handles(("CE", "DMI")) if metric == "test_acc" else _handles(("CE", "DMI"))[:-1])


def figure_3(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """Class-dependent noise on three data sets."""
    with style.context():
        figure, axes = style.grid(3, width=3.7, height=3.2, share_y=False)
        for axis, letter, dataset in zip(axes, "abc", ("cifar10", "dogs_cats", "mr"), strict=True):
            rates_panel(axis, frame[frame["dataset"] == dataset], numbers[numbers["dataset"] == dataset])
            _mark(axis, letter, _names(frame, titles, dataset))
            axis.set_ylim(40, 101)
        axes[0].set_ylabel("test accuracy (%)")
        return _finish(figure, _handles(SHOWN))


def figure_4(frame: pd.DataFrame, numbers: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """The nine panels of appendix D."""
    panels = [("fashion_mnist", case) for case in CASES]
    panels += [(d, kind) for d in ("cifar10", "dogs_cats", "mr") for kind in ("class-independent", "class-dependent")]
    numbers = numbers.drop_duplicates(["dataset", "noise_type", "noise_rate", "method"])
    with style.context():
        figure, axes = style.grid(9, columns=3, width=3.5, height=2.9, share_y=False)
        for axis, letter, (dataset, kind) in zip(axes, "abcdefghi", panels, strict=True):
            mine, seen = (t[(t["dataset"] == dataset) & (t["noise_type"] == kind)] for t in (frame, numbers))
            rates_panel(axis, mine, seen)
            _mark(axis, letter, f"{_names(frame, titles, dataset)}\n{CASES.get(kind, kind)}")
            axis.set_ylim(*((5, 101) if dataset == "fashion_mnist" else (30, 101)))
        for axis in axes[::3]:
            axis.set_ylabel("test accuracy (%)")
        return _finish(figure, _handles(SHOWN))


def algorithm_1(frame: pd.DataFrame, rate: float) -> Figure:
    """L_DMI's second stage by epoch: loss on noisy validation data, noisy accuracy, clean test accuracy; the kept epoch is marked."""
    rows = frame[(frame["method"] == "DMI") & (frame["noise_rate"] == rate)]
    colours = [style.ramp(style.of("dmi").colour, i, max(2, len(rows))) for i in range(len(rows))]
    with style.context():
        figure, axes = style.grid(3, width=3.6, height=3.0, share_y=False)
        for colour, row in zip(colours, results.records(rows), strict=True):
            loss = np.array(row["val_loss"], dtype=float)
            kept = int(loss.argmin())
            for axis, curve in zip(
                axes, (loss, 100 * np.array(row["val_acc"]), 100 * np.array(row["test_acc"])), strict=True
            ):
                axis.plot(np.arange(1, len(curve) + 1), curve, color=colour)
                axis.plot(kept + 1, curve[kept], marker="*", color=colour, markersize=11)
        labels = ("L_DMI, noisy validation part", "noisy validation accuracy (%)", "clean test accuracy (%)")
        for axis, letter, label in zip(axes, "abc", labels, strict=True):
            axis.set(xlabel="epoch of the second stage", ylabel=label)
            _mark(axis, letter, "")
        star = Line2D([], [], marker="*", linestyle="none", color=style.INK, label="kept: the lowest loss")
        lines = [Line2D([], [], color=c, label=f"seed {i}") for i, c in enumerate(colours)]
        return _finish(figure, [*lines, star])
