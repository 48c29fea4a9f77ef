"""The paper's figures: Figures 1 to 6 in the paper's own form, and the losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from losslab.papers import results
from losslab.report import style
from losslab.report.stats import band
from sce import theory

CLASSES = sns.color_palette("colorblind", 10)
OVERALL = "#C00000"  # the paper's overall curve is red
HARD = 3  # the class whose confidence the paper shows
SHARES = (
    5 / 120,
    10 / 120,
    30 / 120,
    50 / 120,
    70 / 120,
    90 / 120,
    110 / 120,
)  # the paper's epochs, as shares of its training
BARS = (50 / 120, 100 / 120)


def mean_of(frame: pd.DataFrame, reading: str = "last", metric: str = "test_acc", **keys: object) -> float:
    """Mean over the seeds of a reading, of the rows with these keys."""
    for key, value in keys.items():
        frame = frame[frame[key] == value]
    return float(results.values(frame, metric, reading).mean()) if len(frame) else float("nan")


def per_class(frame: pd.DataFrame) -> np.ndarray:
    """Test accuracy by epoch and class, mean over the runs of the frame, per cent: `(epochs, K)`."""
    return 100 * np.mean(
        [np.stack([np.asarray(v, dtype=float) for v in curve]) for curve in frame["test_acc_per_class"]], axis=0
    )


def tables(frame: pd.DataFrame, name: str) -> np.ndarray:
    """A recording of the probe `confusion`, mean over the runs: `(epochs, K, K)`, rows are true classes."""
    runs = [[np.stack([np.asarray(row, dtype=float) for row in epoch]) for epoch in curve] for curve in frame[name]]
    return np.mean([np.stack(run) for run in runs], axis=0)


def data_name(frame: pd.DataFrame, titles: dict[str, str]) -> str:
    """`CIFAR-10 (stand-in: digits 8x8)`."""
    row = frame.iloc[0]
    return titles[row["dataset"]] + (f" (stand-in: {row['stand_in']})" if row["stand_in"] else "")


def _looks(frame: pd.DataFrame) -> dict[str, style.Look]:
    return style.spread(dict(zip(frame["method"], frame["key"], strict=True)))


def _line(axis: Axes, frame: pd.DataFrame, look: style.Look, curve: str = "test_acc", factor: float = 100.0) -> None:
    mean, low, high = band([[factor * v for v in values] for values in frame[curve]])
    epochs = np.arange(1, len(mean) + 1)
    axis.plot(epochs, mean, color=look.colour, linestyle=look.line)
    axis.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _legend(figure: Figure, looks: Sequence[style.Look], more: Sequence[tuple[str, Mapping[str, object]]] = ()) -> None:
    lines = [Line2D([], [], color=look.colour, linestyle=look.line, label=look.label) for look in looks]
    lines += [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in more]  # type: ignore[arg-type]
    style.legend(figure, lines, [str(line.get_label()) for line in lines])


def mark(axis: Axes, letter: str, title: str) -> None:
    axis.set_title(f"({letter}) {title}")


def class_legend(figure: Figure, more: Sequence[tuple[str, Mapping[str, object]]] = (), title: str = "class") -> None:
    lines = [Line2D([], [], color=CLASSES[k], label=str(k)) for k in range(10)]
    lines += [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in more]  # type: ignore[arg-type]
    style.legend(figure, lines, [str(line.get_label()) for line in lines], title)


# Theory


def losses() -> Figure:
    """The losses, their gradients, the RCE part of SL's gradient, and the confidence that minimises the expected loss under uniform noise."""
    p = np.linspace(0.001, 0.999, 500)
    ce, rce, sce = style.of("ce"), style.of("rce"), style.of("sce")
    with style.context():
        figure, axes = style.grid(4, columns=2, width=4.2, share_y=False)
        for axis, values in ((axes[0], theory.loss_values), (axes[1], theory.label_gradient)):
            axis.plot(p, values(p, 1.0, 0.0), color=ce.colour, linestyle=ce.line)
            for place, A in enumerate((theory.A_CODE, -4.0, -2.0)):
                axis.plot(p, values(p, 0.0, 1.0, A), color=style.ramp(rce.colour, place, 3))
            axis.plot(p, values(p, 0.1, 1.0), color=sce.colour, linestyle="--")
        axes[1].axvline(0.5, color=style.INK, linewidth=0.8, linestyle=":")
        rates = np.linspace(0, 0.88, 89)
        axes[3].plot(rates, 1 - rates, color=ce.colour, linestyle=ce.line)
        for place, (name, (alpha, beta)) in enumerate(theory.SETTINGS.items()):
            colour = style.ramp(sce.colour, place, 3)
            axes[2].plot(p, theory.reverse_share(p, alpha, beta), color=colour, label=f"{name}: {alpha:g}, {beta:g}")
            axes[3].plot(rates, [theory.optimum(float(r), alpha, beta) for r in rates], color=colour, label=name)
        axes[0].set(ylim=(0, 9.5), ylabel="loss", xlabel="probability p of the given label")
        axes[1].set(ylabel="gradient in the label's logit", xlabel="probability p of the given label")
        axes[2].set(ylim=(0, 1.02), ylabel="RCE's part of the gradient", xlabel="probability p of the given label")
        axes[3].set(ylim=(0, 1.02), ylabel="best confidence in the true class", xlabel="uniform noise rate")
        axes[2].legend(loc="center right", title="alpha, beta of", fontsize=8)
        axes[3].legend(loc="lower left", title="SL as on", fontsize=8)
        titles = ("the losses", "their gradients", "how much of SL is RCE", "where the expected loss is smallest")
        for axis, letter, title in zip(axes, "abcd", titles, strict=True):
            mark(axis, letter, title)
        reverse = [
            (f"RCE, A = {A:.3g}", {"color": style.ramp(rce.colour, i, 3)})
            for i, A in enumerate((theory.A_CODE, -4.0, -2.0))
        ]
        _legend(figure, [ce], [*reverse, ("SL (0.1, 1)", {"color": sce.colour, "linestyle": "--"})])
    return figure


# The paper's figures


def figure_1(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Accuracy of single classes over the epochs, all classes in red."""
    wanted = [
        ("CE", 0.0, "CE, clean"),
        ("CE", 0.4, "CE, 40 % symmetric"),
        ("LSR", 0.4, "LSR, 40 %"),
        ("SL", 0.4, "SL, 40 %"),
    ]
    with style.context():
        figure, axes = style.grid(4, columns=4, width=2.9, height=3.0)
        figure.suptitle(data_name(frame, titles))
        for axis, letter, (method, rate, title) in zip(axes, "abcd", wanted, strict=True):
            rows = frame[(frame["method"] == method) & (frame["noise_rate"] == rate)]
            classes(axis, rows)
            mark(axis, letter, title)
            axis.set(xlabel="epoch", ylim=(20, 101))
        axes[0].set_ylabel("test accuracy (%)")
        class_legend(figure, [("all classes", {"color": OVERALL, "linewidth": 2.4})])
    return figure


def classes(axis: Axes, rows: pd.DataFrame) -> None:
    curves = per_class(rows)
    epochs = np.arange(1, len(curves) + 1)
    for k in range(curves.shape[1]):
        axis.plot(epochs, curves[:, k], color=CLASSES[k], linewidth=1.1)
    axis.plot(epochs, band([[100 * v for v in values] for values in rows["test_acc"]])[0], color=OVERALL, linewidth=2.4)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def predictions(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """(a) Mean softmax of correctly labelled training samples of class 3 at several epochs; (b) predictions per class at two epochs."""
    confidence, predicted = tables(frame, "softmax_train"), tables(frame, "predicted_train")
    look, x = style.of(str(frame["key"].iloc[0])), np.arange(10)
    shown = sorted({max(1, round(share * len(confidence))) for share in SHARES})
    with style.context():
        figure, axes = style.grid(3, columns=3, width=3.7, height=3.0, share_y=False)
        figure.suptitle(f"{frame['method'].iloc[0]}, 40 % symmetric noise, {data_name(frame, titles)}")
        handles: list[Line2D | Patch] = []
        for place, epoch in enumerate(shown):
            colour = sns.color_palette("viridis", len(shown))[place]
            axes[0].plot(x, confidence[epoch - 1, HARD], color=colour, marker="o", markersize=3)
            handles.append(Line2D([], [], color=colour, marker="o", markersize=3, label=f"epoch {epoch}"))
        axes[0].set(xlabel="class", ylabel="mean confidence", ylim=(0, 1), xticks=x)
        mark(axes[0], "a", f"class {HARD}, correct labels")
        for axis, share in zip(axes[1:], BARS, strict=True):
            epoch = max(1, round(share * len(predicted)))
            axis.bar(x - 0.2, 100 * predicted[epoch - 1].sum(0), width=0.38, color=style.ramp(look.colour, 2, 3))
            axis.bar(x + 0.2, 100 * predicted[epoch - 1].diagonal(), width=0.38, color=look.colour)
            axis.axhline(100, color=style.INK, linewidth=0.8, linestyle=":")
            axis.set(xlabel="class", ylabel="per cent of the class's size", xticks=x, ylim=(0, 140))
            mark(axis, "b", f"training set, epoch {epoch}")
        handles.append(Patch(facecolor=style.ramp(look.colour, 2, 3), label="predicted as the class"))
        handles.append(Patch(facecolor=look.colour, label="... and rightly"))
        style.legend(figure, handles, [str(h.get_label()) for h in handles])
    return figure


def figure_4(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Learning curves of CE and SL: the network of the tables at every noise rate, and the one of the class-wise figures."""
    looks, panels = _looks(frame), []
    for name, words in (("benchmark", "network of Table 1"), ("class-wise", "network of Figure 1")):
        rows = frame[(frame["experiment"] == name) & (frame["noise_rate"] > 0)]
        panels += [
            (rows[rows["noise_rate"] == rate], f"{100 * rate:g} % noise, {words}")
            for rate in sorted(rows["noise_rate"].unique())
        ]
    with style.context():
        figure, axes = style.grid(len(panels), columns=3, share_y=True)
        figure.suptitle(data_name(frame, titles))
        for axis, letter, (part, title) in zip(axes, "abcdefgh", panels, strict=False):
            for method, rows in part.groupby("method", sort=False):
                _line(axis, rows, looks[str(method)])
            mark(axis, letter, title)
            axis.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 101))
        _legend(figure, list(looks.values()))
    return figure


def figure_5(maps: dict[str, np.ndarray], labels: np.ndarray, scores: dict[str, float], title: str) -> Figure:
    """t-SNE of the test images' features, coloured by the true class; silhouettes are those of the features themselves."""
    with style.context():
        figure, axes = style.grid(len(maps), columns=2, width=4.0, height=3.6, share_y=False)
        figure.suptitle(title)
        for axis, letter, (name, points) in zip(axes, "ab", maps.items(), strict=False):
            for k in range(10):
                mine = points[labels == k]
                axis.plot(mine[:, 0], mine[:, 1], linestyle="none", marker="o", markersize=2.6, color=CLASSES[k])
            mark(axis, letter, f"{name}, silhouette {scores[name]:.2f}")
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
        class_legend(figure)
    return figure


def figure_6(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """Test accuracy over the epochs for A (a), alpha (b), and the two terms alone and scaled up (c)."""
    names = list(dict.fromkeys(frame["method"]))
    panels = [
        ("A, at alpha = 0.1, beta = 1", [*(n for n in names if " A=" in n), "SL"]),
        ("alpha, at beta = 1, A = -9.21", [n for n in names if " alpha=" in n]),
        ("the terms alone and scaled", [n for n in ("CE", "RCE", "SL", "5 x CE", "5 x RCE") if n in names]),
    ]
    panels = [(title, chosen) for title, chosen in panels if chosen]
    with style.context():
        figure, axes = style.grid(len(panels), columns=3, width=4.0, height=3.2)
        figure.suptitle("40 % symmetric noise, " + data_name(frame, titles))
        for axis, letter, (title, chosen) in zip(axes, "abc", panels, strict=False):
            keys = {n: str(frame.loc[frame["method"] == n, "key"].iloc[0]) for n in chosen}
            looks = {n: style.of(keys[n]) for n in chosen} if title.startswith("the") else {}
            for place, name in enumerate(chosen):
                rows = frame[frame["method"] == name]
                plain = looks.get(name)
                colour = plain.colour if plain else sns.color_palette("viridis", len(chosen))[place]
                mean = band([[100 * v for v in values] for values in rows["test_acc"]])[0]
                label = {"SL": "SL (A=-9.21)" if not plain else "SL"}.get(name, name)
                axis.plot(
                    np.arange(1, len(mean) + 1),
                    mean,
                    color=colour,
                    linestyle="--" if name.startswith("5") else "-",
                    label=label,
                )
            axis.legend(loc="lower right", fontsize=8)
            axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            axis.set(xlabel="epoch", ylim=(0, 101))
            mark(axis, letter, title)
        axes[0].set_ylabel("test accuracy (%)")
    return figure
