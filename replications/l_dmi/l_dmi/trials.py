"""Figures and numbers of the experiments that the paper does not have: the choice of the epoch, and E1 to E4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from scipy.optimize import linear_sum_assignment

from losslab.papers import results
from losslab.report import style

RULES: dict[str, tuple[str, Any]] = {
    "lowest L_DMI": ("own", "-"),
    "noisy accuracy": ("noisy", (0, (5, 2))),
    "last epoch": ("last", (0, (1.5, 1.8))),
}


def mean_of(frame: pd.DataFrame, reading: str, metric: str = "test_acc", **keys: object) -> float:
    """Mean over the seeds of one cell; nan where it was not run."""
    rows = frame[frame["status"] == "done"]
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    return float(results.values(rows, metric, reading).mean()) if len(rows) else float("nan")


def seeds_of(frame: pd.DataFrame, reading: str, **keys: object) -> list[float]:
    """The seeds' values of one cell."""
    rows = frame[frame["status"] == "done"]
    for key, value in keys.items():
        rows = rows[rows[key] == value]
    return [float(v) for v in results.values(rows, "test_acc", reading)]


def matched(frame: pd.DataFrame, rate: float) -> pd.DataFrame:
    """Test accuracy at the last epoch, as it is and with the predicted classes renamed in the best way, per cent; mean over the seeds."""
    rows = []
    for row in results.records(frame[(frame["noise_rate"] == rate) & (frame["status"] == "done")]):
        shares = np.array(row["predicted_test"][-1])  # true class by predicted class; the classes are nearly balanced
        true, named = linear_sum_assignment(-shares)
        rows.append(
            (
                row["method"],
                100 * shares.diagonal().mean(),
                100 * shares[true, named].mean(),
                float((true == named).sum()),
            )
        )
    columns = ["method", "as it is", "classes renamed", "classes that keep their name"]
    return pd.DataFrame(rows, columns=columns).groupby("method", sort=False).mean()


def selection_table(raw: pd.DataFrame, chosen: pd.DataFrame) -> pd.DataFrame:
    """L_DMI's test accuracy under three rules of keeping an epoch; `raw` goes by noisy accuracy, `chosen` by the loss."""
    mine = (raw["method"] == "DMI") & (raw["status"] == "done")
    raw, chosen = raw[mine], chosen[mine]
    values = raw[["dataset", "noise_type", "noise_rate", "seed"]].assign(
        own=results.values(chosen, "test_acc", "best_val"),
        noisy=results.values(raw, "test_acc", "best_val"),
        last=results.values(raw, "test_acc", "last"),
    )
    return values.groupby(["dataset", "noise_type", "noise_rate"], sort=False)[["own", "noisy", "last"]].mean()


def selection(table: pd.DataFrame, titles: Mapping[str, str]) -> Figure:
    """The three rules against the noise amount, one panel per noise case."""
    cases = list(table.groupby(["dataset", "noise_type"], sort=False))
    with style.context():
        figure, axes = style.grid(len(cases), columns=3, width=3.5, height=2.7, share_y=False)
        for axis, ((dataset, kind), rows) in zip(axes, cases, strict=True):
            rates = rows.index.get_level_values("noise_rate")
            for column, dash in RULES.values():
                axis.plot(rates, rows[column], color=style.of("dmi").colour, linestyle=dash, marker=".")
            axis.set(title=f"{titles[str(dataset)]}, {kind}", xlabel="noise amount r", ylim=(5, 101))
        for axis in axes[::3]:
            axis.set_ylabel("test accuracy (%)")
        lines = [Line2D([], [], color=style.of("dmi").colour, linestyle=d, label=n) for n, (_, d) in RULES.items()]
        style.legend(figure, lines, [str(line.get_label()) for line in lines])
        figure.suptitle("which epoch of L_DMI is kept (stand-ins as in Figures 2 and 3)")
    return figure


def rho(table: pd.DataFrame, switch: int, lookup: pd.DataFrame) -> Figure:
    """E1: rho by epoch on training (solid) and held-out data (dashed), a panel per rate; E2: rho of a lookup table against the rate."""
    rates = sorted(table["rate"].unique())
    with style.context():
        figure, axes = style.grid(len(rates) + 1, columns=len(rates) + 1, width=3.8, height=3.1, share_y=False)
        for axis, rate in zip(axes, rates, strict=False):
            for loss in ("ce", "dmi"):
                rows = table[(table["rate"] == rate) & (table["loss"] == loss)]
                rows = rows if loss == "ce" else rows[rows["epoch"] >= switch]
                for column, dash in (("training", "-"), ("held out", (0, (4, 2)))):
                    by_epoch = rows.groupby("epoch")[column]
                    mean, low, high = by_epoch.mean(), by_epoch.min(), by_epoch.max()
                    axis.plot(mean.index, mean, color=style.of(loss).colour, linestyle=dash)
                    axis.fill_between(mean.index, low, high, color=style.of(loss).colour, alpha=0.12, linewidth=0)
            axis.axhline(1, color=style.INK, linewidth=0.8)
            axis.axvline(switch, color=style.INK, linewidth=0.8, linestyle=":")
            axis.set(yscale="log", xlabel="epoch", ylabel=r"$\rho$", title=f"noise amount {rate:g}")
        last = axes[-1]
        last.plot(lookup.index, lookup["rho"], color=style.INK, marker="o", label="lookup table, its own labels")
        last.plot(
            lookup.index, lookup["one_over_det"], color=style.INK, linestyle=":", marker="x", label=r"$1/|\det T|$"
        )
        last.plot(lookup.index, lookup["fresh"], color=style.INK, linestyle="--", marker="s", label="fresh labels")
        last.axhline(1, color=style.INK, linewidth=0.8)
        last.set(yscale="log", xlabel="noise amount r", ylabel=r"$\rho$", title="a lookup table")
        last.legend(loc="upper left")
        lines = [
            Line2D([], [], color=style.of(k).colour, label=n)
            for k, n in (("ce", "CE, then CE"), ("dmi", "CE, then L_DMI"))
        ]
        lines += [
            Line2D([], [], color=style.INK, label="training data"),
            Line2D([], [], color=style.INK, linestyle="--", label="held out, fresh noise"),
            Line2D([], [], color=style.INK, linestyle=":", label="switch"),
        ]
        style.legend(figure, lines, [str(line.get_label()) for line in lines])
    return figure


LABELS = {"expected": "expected noisy labels", "fresh": "one draw, held out", "training": "training labels"}


def ranking(table: pd.DataFrame) -> Figure:
    """E3: share of pairs of networks in another order, by measure; a panel per rate."""
    rates = sorted(table["rate"].unique())
    measures = list(dict.fromkeys(table["measure"]))
    with style.context():
        figure, axes = style.grid(len(rates), width=4.6, height=3.0)
        for axis, rate in zip(axes, rates, strict=True):
            for place, labels in enumerate(LABELS):
                rows = table[(table["rate"] == rate) & (table["labels"] == labels)].set_index("measure")["turned"]
                axis.bar(
                    np.arange(len(measures)) + 0.27 * (place - 1), 100 * rows[measures], width=0.25,
                    color=style.ramp(style.of("dmi").colour, place, 3), label=LABELS[labels],
                )  # fmt: skip
            axis.set_xticks(range(len(measures)), measures)
            axis.set(title=f"noise amount {rate:g}", ylim=(0, 100))
        axes[0].set_ylabel("pairs in another order (%)")
        handles, names = axes[0].get_legend_handles_labels()
        style.legend(figure, handles, names)
    return figure


def instance(table: pd.DataFrame) -> Figure:
    """E4: rho against the network's accuracy, for noise that follows the image and for noise of the same matrix that does not."""
    dashes: dict[str, Any] = {"follows the image": "-", "same matrix, independent": (0, (4, 2))}
    strengths = sorted(table["sharpness"].unique())
    with style.context():
        figure, axes = style.grid(len(strengths), width=3.6, height=3.0)
        for axis, sharpness in zip(axes, strengths, strict=True):
            for (kind, dash), key in zip(dashes.items(), ("dmi", "ce"), strict=True):
                rows = table[(table["sharpness"] == sharpness) & (table["noise"] == kind)]
                by_epoch = rows.groupby("epoch")["rho"]
                mean = by_epoch.mean()
                axis.plot(mean.index, mean, color=style.of(key).colour, linestyle=dash, marker=".")
                axis.fill_between(
                    mean.index, by_epoch.min(), by_epoch.max(), color=style.of(key).colour, alpha=0.15, linewidth=0
                )
            axis.axhline(1, color=style.INK, linewidth=0.8)
            axis.set(yscale="log", xlabel="epoch", title=f"sharpness {sharpness:g}")
        axes[0].set_ylabel(r"$\rho$, held-out images")
        lines = [
            Line2D([], [], color=style.of(key).colour, linestyle=dash, label=kind)
            for (kind, dash), key in zip(dashes.items(), ("dmi", "ce"), strict=True)
        ]
        style.legend(figure, lines, [str(line.get_label()) for line in lines])
    return figure
