"""The figures of this paper: Figures 1 and 2 in the paper's own form, and those that answer the questions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gce import samples, theory
from losslab.papers import results
from losslab.report import published, style
from losslab.report.stats import band

Q_KEYS = {"Lq q=0.0": "ce", "Lq q=0.4": "gce", "Lq q=0.8": "gce", "Lq q=1.0": "mae"}
Q_MARKERS = dict(zip(Q_KEYS, "osDv", strict=True))


def _looks(frame: pd.DataFrame) -> dict[str, style.Look]:
    """Look of every method of a frame, in its order."""
    return style.spread(dict(zip(frame["method"], frame["key"], strict=True)))


def _line(
    axis: Axes, frame: pd.DataFrame, curve: str, look: style.Look, *, factor: float = 1.0, dash: object = None
) -> None:
    """Mean over the seeds by epoch and its 95 % interval."""
    mean, low, high = band([[factor * v for v in values] for values in frame[curve]])
    epochs = np.arange(1, len(mean) + 1)
    axis.plot(epochs, mean, color=look.colour, linestyle=look.line if dash is None else dash)
    axis.fill_between(epochs, low, high, color=look.colour, alpha=0.15, linewidth=0)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True))


def _data(frame: pd.DataFrame, titles: dict[str, str]) -> str:
    """`CIFAR-10 (stand-in: digits 8x8)`."""
    row = frame.iloc[0]
    return titles[row["dataset"]] + (f"\n(stand-in: {row['stand_in']})" if row["stand_in"] else "")


def _legend(figure: Figure, looks: Sequence[style.Look], more: Sequence[tuple[str, Mapping[str, object]]] = ()) -> None:
    lines = [Line2D([], [], color=look.colour, linestyle=look.line, label=look.label) for look in looks]
    lines += [Line2D([], [], label=label, **{"color": style.INK, **options}) for label, options in more]  # type: ignore[arg-type]
    style.legend(figure, lines, [str(line.get_label()) for line in lines])


def _mark(axis: Axes, letter: str, title: str) -> None:
    axis.set_title(f"({letter}) {title}")


# Theory


def losses() -> Figure:
    """L_q, the weight on grad p, the size of the logit gradient, and truncation, against the probability of the label."""
    p = np.linspace(0.002, 1, 500)
    shown = {"CCE (q = 0)": 0.0, "q = 0.4": 0.4, "q = 0.7": 0.7, "MAE / 2 (q = 1)": 1.0}
    looks = style.spread(dict(zip(shown, ("ce", "gce", "gce", "mae"), strict=True)))
    with style.context():
        figure, axes = style.grid(4, columns=2, width=4.2, share_y=False)
        for label, q in shown.items():
            line = {"color": looks[label].colour, "linestyle": looks[label].line}
            axes[0].plot(p, theory.loss_values(p, q), **line)
            axes[1].plot(p, p ** (q - 1), **line)
            axes[2].plot(p, theory.logit_norm(p, q), **line)
            if q:
                axes[2].plot(q / (1 + q), theory.logit_norm(np.array(q / (1 + q)), q), marker="o", color=line["color"])
        axes[3].plot(p, theory.loss_values(p, 0.7), color=looks["q = 0.7"].colour, linestyle=looks["q = 0.7"].line)
        axes[3].plot(p, theory.truncated_values(p, 0.7, 0.5), color=style.of("truncated_gce").colour)
        axes[3].axvline(0.5, color=style.INK, linewidth=0.8, linestyle=":")
        axes[0].set(ylim=(0, 4), ylabel="loss")
        axes[1].set(yscale="log", ylabel=r"$p^{q-1}$")
        axes[2].set(ylabel=r"$2 p^q (1 - p)$")
        axes[3].set(ylim=(0, 1.6), ylabel="loss")
        for axis, letter, title in zip(
            axes,
            "abcd",
            ("the loss", "weight on the gradient of p", "gradient in the logits, L1 norm", "truncated at k = 0.5"),
            strict=True,
        ):
            _mark(axis, letter, title)
            axis.set(xlabel="probability p of the given label", xlim=(0, 1))
        _legend(figure, list(looks.values()), [("truncated, q = 0.7", {"color": style.of("truncated_gce").colour})])
    return figure


def bounds() -> Figure:
    """Sums of ten classes' losses at random outputs within their bounds; widths against q; where truncation gives the narrower band."""
    points, qs = theory.simplex_points(10), np.linspace(0.02, 0.995, 200)
    gce, trunc, bound = style.of("gce"), style.of("truncated_gce"), style.of("bound")
    with style.context():
        figure, axes = style.grid(3, width=4.0, height=3.2, share_y=False)
        grid = np.linspace(0.05, 1, 20)
        for q in grid:
            sums = theory.class_sums(points, q)[::40]
            axes[0].plot(np.full(len(sums), q), sums, ".", color=gce.colour, markersize=1.5, alpha=0.4)
        limits = np.array([theory.sum_bounds(10, q) for q in qs])
        for column in (0, 1):
            axes[0].plot(qs, limits[:, column], color=style.INK)
        axes[0].axhline(9, color=bound.colour, linestyle=bound.line)
        axes[0].set(yscale="log", xlabel="q", ylabel=r"$\sum_j L_q(f, j)$, ten classes", ylim=(8, 250))
        for classes, dash in ((10, "-"), (100, "--")):
            axes[1].plot(qs, theory.width(classes, qs), color=gce.colour, linestyle=dash)
        for k, dash in ((0.5, "-"), (0.3, "--")):
            axes[1].plot(qs, theory.truncated_width(qs, k), color=trunc.colour, linestyle=dash)
        axes[1].set(yscale="log", xlabel="q", ylabel="width of the band", ylim=(0.02, 200))
        for classes, place in ((2, 0), (10, 1), (100, 2), (1000, 3)):
            across, up = np.meshgrid(np.linspace(0.05, 0.95, 120), qs)
            ratio = theory.truncated_width(up, across) / theory.width(classes, up)
            axes[2].contour(
                across, up, ratio, levels=[1.0], colors=[style.ramp(trunc.colour, place, 4)], linewidths=1.7
            )
            axes[2].plot([], [], color=style.ramp(trunc.colour, place, 4), label=f"{classes} classes")
        axes[2].plot(0.5, 0.7, "o", color=style.INK)
        axes[2].set(xlabel="k", ylabel="q", ylim=(0, 1), xlim=(0.05, 0.95))
        axes[2].legend(loc="lower right")
        for axis, letter, title in zip(
            axes, "abc", ("sums and their bounds", "widths", r"above the line $W_t > W$"), strict=True
        ):
            _mark(axis, letter, title)
        _legend(figure, [], [
            ("bounds", {}), ("MAE / 2: always 9", {"color": bound.colour, "linestyle": bound.line}),
            ("W, 10 classes", {"color": gce.colour}), ("W, 100 classes", {"color": gce.colour, "linestyle": "--"}),
            (r"$W_t$, k = 0.5", {"color": trunc.colour}), (r"$W_t$, k = 0.3", {"color": trunc.colour, "linestyle": "--"}),
            ("q = 0.7, k = 0.5", {"marker": "o", "linestyle": "none"}),
        ])  # fmt: skip
    return figure


# The paper's figures


def figure_1(frame: pd.DataFrame, titles: dict[str, str]) -> Figure:
    """(a, b) CCE and MAE on clean labels; (c) mean softmax of the given label over correctly and wrongly labelled samples."""
    clean, confidence = (frame[frame["experiment"] == name] for name in ("ce-mae-clean", "confidence"))
    looks = _looks(frame)
    with style.context():
        figure, axes = style.grid(3, share_y=False)
        for axis, letter, dataset in zip(axes, "ab", clean["dataset"].unique(), strict=False):
            for method, rows in clean[clean["dataset"] == dataset].groupby("method", sort=False):
                _line(axis, rows, "test_acc", looks[str(method)], factor=100)
            _mark(axis, letter, _data(clean[clean["dataset"] == dataset], titles))
            axis.set(xlabel="epoch", ylabel="test accuracy (%)", ylim=(0, 100))
        for method, rows in confidence.groupby("method", sort=False):
            _line(axes[2], rows, "prob_clean", looks[str(method)], dash="-")
            _line(axes[2], rows, "prob_noisy", looks[str(method)], dash=(0, (4, 2)))
        _mark(axes[2], "c", "40 % uniform noise, " + _data(confidence, titles))
        axes[2].set(xlabel="epoch", ylabel="mean softmax of the given label", ylim=(0, 1))
        _legend(figure, list(looks.values()), [("correct labels", {}), ("wrong labels", {"linestyle": "--"})])
    return figure


def figure_2(frame: pd.DataFrame, numbers: pd.DataFrame, titles: dict[str, str], published_epochs: int = 500) -> Figure:
    """Test accuracy (a-c) and validation loss (d-f) by epoch; published points at the same share of the training."""
    points = published.curves(numbers)
    looks = style.spread(Q_KEYS)
    panels = frame[["noise_type", "noise_rate"]].drop_duplicates().to_records(index=False).tolist()
    with style.context():
        figure, axes = style.grid(2 * len(panels), columns=len(panels), share_y=False)
        figure.suptitle(_data(frame, titles).replace("\n", " "))
        for column, (kind, rate) in enumerate(panels):
            part = frame[(frame["noise_type"] == kind) & (frame["noise_rate"] == rate)]
            upper, lower = axes[column], axes[len(panels) + column]
            for method, rows in part.groupby("method", sort=False):
                look = looks[str(method)]
                _line(upper, rows, "test_acc", look, factor=100)
                _line(lower, rows, "val_loss", look)
                seen = points[
                    (points["method"] == method) & (points["noise_type"] == kind) & (points["noise_rate"] == rate)
                ]
                at = seen["epoch"] * len(rows["test_acc"].iloc[0]) / published_epochs
                upper.plot(
                    at,
                    seen["mean"],
                    linestyle="none",
                    marker=Q_MARKERS[str(method)],
                    markerfacecolor="none",
                    markeredgecolor=look.colour,
                    markeredgewidth=1.1,
                )
            _mark(upper, "abc"[column], f"noise rate {rate:g}")
            _mark(lower, "def"[column], f"noise rate {rate:g}")
            upper.set(ylabel="test accuracy (%)" if column == 0 else "", ylim=(20, 100))
            lower.set(xlabel="epoch", ylabel="validation loss" if column == 0 else "", ylim=(0, None))
        marks = {"markerfacecolor": "none", "markeredgewidth": 1.1, "linestyle": "none"}
        _legend(
            figure,
            list(looks.values()),
            [
                (f"published, q={m[-3:]}", {"marker": Q_MARKERS[m], "markeredgecolor": looks[m].colour, **marks})
                for m in Q_KEYS
            ],
        )
    return figure


# The questions


def weights(gradients: pd.DataFrame, rate: float) -> Figure:
    """Share of the gradient that wrong labels have, what explains a sample's gradient norm, and how much the norms vary."""
    rows = gradients[gradients["rate"] == rate]
    keys = {"CCE": "ce", "Lq (q=0.7)": "gce", "MAE": "mae"}
    looks = style.spread(keys)
    with style.context():
        figure, axes = style.grid(3, share_y=False, width=3.9)
        for name, key in keys.items():
            mine = rows[rows["loss"] == key]
            for axis, column, labels in ((axes[0], "share", "wrong"), (axes[2], "variation", "all")):
                mean = mine[mine["labels"] == labels].groupby("epoch")[column].mean()
                axis.plot(
                    mean.index, mean, color=looks[name].colour, linestyle=looks[name].line, marker=looks[name].marker
                )
        axes[0].axhline(rate, color=style.INK, linewidth=0.8, linestyle=":")
        axes[0].set(ylim=(0, 1), xlabel="epoch", ylabel="share")
        axes[2].set(xlabel="epoch", ylabel="standard deviation / mean", ylim=(0, None))
        last = rows[(rows["epoch"] == rows["epoch"].max()) & (rows["loss"] == "gce") & (rows["labels"] != "all")]
        explained = ["weight on p", "logit norm", "logit norm x feature norm"]
        for place, labels in enumerate(("right", "wrong")):
            height = last[last["labels"] == labels][explained].mean()
            axes[1].bar(
                np.arange(3) + 0.38 * place - 0.19,
                height,
                width=0.36,
                color=style.ramp(style.of("gce").colour, place, 2),
                label=f"{labels} labels",
            )
        axes[1].axhline(0, color=style.INK, linewidth=0.8)
        axes[1].set(ylim=(-1.1, 1.1), ylabel="Spearman's rho")
        axes[1].set_xticks(range(3), [r"$p^{q-1}$", "logits", "logits x\nfeatures"])
        axes[1].legend(loc="lower right")
        for axis, letter, title in zip(
            axes,
            "abc",
            ("gradient norm of wrong labels", "what predicts it, Lq, last epoch", "variation of the gradient norm"),
            strict=True,
        ):
            _mark(axis, letter, title)
        _legend(figure, list(looks.values()), [("share of wrong labels", {"linestyle": ":"})])
    return figure


def prunings(frame: pd.DataFrame) -> pd.DataFrame:
    """What the engine wrote down at every pruning: one row per run and pruning."""
    rows = []
    for row in frame[frame["method"] == "Trunc Lq"].to_dict("records"):
        final = json.loads(row["final"])
        for step, epoch in enumerate(final.get("prune_epoch", [])):
            rows.append({
                **{key: row[key] for key in ("noise_type", "noise_rate", "seed")}, "epoch": epoch,
                **{name: final[f"prune_{name}"][step] for name in ("share", "precision", "recall", "clean")},
            })  # fmt: skip
    return pd.DataFrame(rows)


def pruned(frame: pd.DataFrame, by_class: pd.DataFrame, by_level: pd.DataFrame) -> Figure:
    """Precision, recall and share of the prunings; correctly labelled samples that are lost, by class and by difficulty."""
    noted = prunings(frame)
    trunc = style.of("truncated_gce")
    top = max(by_class.max().max(), by_level.max().max(), 0.1)
    cases = list(noted.groupby(["noise_type", "noise_rate"], sort=False))
    names = {"precision": "-", "recall": (0, (4, 2)), "clean": (0, (1, 1.5))}
    with style.context():
        figure, axes = style.grid(3, share_y=False, width=3.9)
        for place, (_, rows) in enumerate(cases):
            mean = rows.groupby("epoch")[list(names)].mean()
            for name, dash in names.items():
                axes[0].plot(
                    mean.index + 1,
                    mean[name],
                    color=style.ramp(trunc.colour, place, max(2, len(cases))),
                    linestyle=dash,
                )
        axes[0].set(ylim=(0, 1.02), xlabel="epoch", ylabel="share")
        for axis, table, label in (
            (axes[1], by_class, "class of the digit"),
            (axes[2], by_level, "difficulty (0 easy, 4 hard)"),
        ):
            axis.bar(table.columns, table.mean(), color=trunc.colour)
            for _, values in table.iterrows():
                axis.plot(table.columns, values, linestyle="none", marker="o", color=style.INK, markersize=3)
            axis.set(ylim=(0, min(1.0, 1.1 * top)), xlabel=label, xticks=list(table.columns), ylabel="share pruned")
        for axis, letter, title in zip(
            axes, "abc", ("the prunings", "correct labels lost, 40 % uniform", "... by difficulty"), strict=True
        ):
            _mark(axis, letter, title)
        rates: list[tuple[str, Mapping[str, object]]] = [
            (f"{kind} {rate:g}", {"color": style.ramp(trunc.colour, place, max(2, len(cases)))})
            for place, ((kind, rate), _) in enumerate(cases)
        ]
        meaning: list[tuple[str, Mapping[str, object]]] = [
            ("wrong among pruned", {}),
            ("pruned among wrong", {"linestyle": "--"}),
            ("pruned among correct", {"linestyle": ":"}),
        ]
        _legend(figure, [], [*rates, *meaning, ("one seed", {"marker": "o", "linestyle": "none", "markersize": 3})])
    return figure


def algorithm_1(flock: samples.Flock, rates: Sequence[float], seed: int = 0) -> Figure:
    """Which samples every pruning keeps: one line per sample, one column per pruning, one panel per noise rate."""
    kept, gone = "#FFFFFF", style.of("truncated_gce").colour
    with style.context():
        figure, axes = style.grid(2 * len(rates), columns=2 * len(rates), width=2.6, height=3.2, share_y=False)
        for place, rate in enumerate(rates):
            (i,) = flock.rows(strategy="pruning", rate=rate, seed=seed)
            history = np.stack([kept_by[i].numpy() for _, kept_by in flock.prunings], 1)
            for axis, wrong in zip(axes[2 * place :], (False, True), strict=False):
                rows = history[(flock.wrong[i] == wrong).numpy()]
                rows = rows[np.lexsort(rows.T)]
                axis.imshow(
                    rows, aspect="auto", interpolation="nearest", cmap=ListedColormap([gone, kept]), vmin=0, vmax=1
                )
                axis.set_xticks(range(0, history.shape[1], 2), [str(epoch + 1) for epoch, _ in flock.prunings[::2]])
                axis.set(xlabel="before epoch", ylabel="samples", yticks=[])
                axis.grid(False)
                axis.set_title(f"{rate:.0%} noise, {'wrong' if wrong else 'right'} labels")
        patches = [Patch(facecolor=gone, label="pruned"), Patch(facecolor=kept, edgecolor=style.INK, label="kept")]
        style.legend(figure, patches, ["pruned", "kept"])
    return figure


# Numbers read from curves


def early(frame: pd.DataFrame) -> float:
    """Test accuracy averaged over the first tenth of the training and over the seeds, per cent."""
    return float(np.mean([100 * np.mean(curve[: max(1, len(curve) // 10)]) for curve in frame["test_acc"]]))


def peak_share(frame: pd.DataFrame) -> float:
    """Mean over the seeds of the best epoch as a share of the training."""
    return float(np.mean([(int(np.argmax(curve)) + 1) / len(curve) for curve in frame["test_acc"]]))


def mean_of(frame: pd.DataFrame, reading: str, metric: str = "test_acc", **where: object) -> float:
    """Mean over the seeds of one reading of the rows with these keys."""
    return float(results.values(results.choose(frame, where), metric, reading).mean())
