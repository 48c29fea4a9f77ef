"""Sentences and small tables that depend on trained numbers: computed, so that they say what these runs say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from asymmetric_losses import denoise, plots
from losslab.papers import results
from losslab.report.stats import Summary, summarise

EARLIER = ("CE", "FL", "MAE", "GCE", "SCE", "NFL+RCE", "NCE+MAE", "NCE+RCE")
NEW = ("AEL", "AUL", "AGCE", "NCE+AEL", "NCE+AUL", "NCE+AGCE")
SINGLE, SUMS = NEW[:3], NEW[3:]


def keep(folder: Path, frame: pd.DataFrame, item: str) -> pd.DataFrame:
    """Write a table that no experiment stands behind as the item's table; returned, to be shown."""
    folder.mkdir(parents=True, exist_ok=True)
    flat = frame.reset_index()
    flat.to_csv(folder / f"{item}.csv", index=False, float_format="%.6g", lineterminator="\n")
    (folder / f"{item}.md").write_text(flat.to_markdown(index=False) + "\n", encoding="utf-8")
    flat.to_latex(folder / f"{item}.tex", index=False, float_format="%.4g")
    return frame


def contest(frame: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """By noise: the best of the earlier losses and the best of the new ones, means over the seeds at the last epoch; where both were trained."""
    rows = []
    part = frame[frame["dataset"] == dataset]
    for kind, rate in dict.fromkeys(zip(part["noise_type"], part["noise_rate"], strict=True)):
        where = {"noise_type": kind, "noise_rate": rate}
        here = results.choose(part, where)
        if not {"GCE", "NCE+AUL"} <= set(here["method"]):
            continue
        old, new = (plots.best_of(here, group) for group in (EARLIER, NEW))
        rows.append((kind, rate, *old, *new, new[1] - old[1]))
    return pd.DataFrame(rows, columns=["noise", "rate", "best earlier", "%", "best new", "% ", "difference"])


def groups(frame: pd.DataFrame, dataset: str, kind: str, rate: float) -> str:
    """The mean accuracies of single asymmetric losses, of their sums with NCE, and of the strongest single earlier losses."""
    rows = results.choose(frame, {"dataset": dataset, "noise_type": kind, "noise_rate": rate})

    def listed(methods: tuple[str, ...]) -> str:
        found = {m: plots.mean_of(rows, method=m) for m in methods}
        return ", ".join(f"{m} {v:.1f}" for m, v in found.items() if v == v) or "not run"

    return f"{kind} {rate:g}: single {listed(SINGLE)}; with NCE {listed(SUMS)}; beside CE, MAE, GCE {listed(('CE', 'MAE', 'GCE'))}"


def compare(frame: pd.DataFrame, first: str, second: str, unit: str = "points", **where: object) -> str:
    """`first is 3.2 points above second (61.0 and 57.8 %, n = 3).`"""
    rows = results.choose(frame, where)
    one, two = (plots.mean_of(rows, method=m) for m in (first, second))
    if one != one or two != two:
        return f"{first} and {second}: not run at this scale."
    verb = "above" if one >= two else "below"
    gap = paired(rows, first, second)
    interval = f"; 95 % interval of the difference {gap.low:+.1f} to {gap.high:+.1f}" if gap.n > 1 else ""
    return (
        f"{first} ends {abs(one - two):.1f} {unit} {verb} {second} ({one:.1f} and {two:.1f} %, n = {gap.n}{interval})."
    )


def paired(rows: pd.DataFrame, first: str, second: str) -> Summary:
    """Summary over the seeds of the first method's last accuracy minus the second's, in points."""
    by_seed = [
        results.values(part, "test_acc", "last").groupby(part["seed"]).mean()
        for part in (rows[rows["method"] == method] for method in (first, second))
    ]
    return summarise((by_seed[0] - by_seed[1]).dropna())


def fallen(frame: pd.DataFrame, titles: Mapping[str, str]) -> str:
    """The cells with less than half of cross entropy's accuracy: trainings that do not get going or break down."""
    found = []
    for (dataset, kind, rate), part in frame.groupby(["dataset", "noise_type", "noise_rate"], sort=False):
        means = {str(m): plots.mean_of(part, method=m) for m in dict.fromkeys(part["method"])}
        low = [f"{m} {v:.1f}" for m, v in means.items() if v < means.get("CE", float("nan")) / 2]
        found += [f"{titles[str(dataset)]}, {kind} {rate:g}: {', '.join(low)} (CE {means['CE']:.1f})"] if low else []
    return "less than half of cross entropy's accuracy: " + ("; ".join(found) or "none")


def closing(table_1: pd.DataFrame, table_2: pd.DataFrame, web: pd.DataFrame) -> str:
    """What these trainings say about the claim to outperform earlier losses, a line per comparison."""
    lines = [
        f"CIFAR-10, {row.noise} {row.rate:g}: best new loss {row._5} {row.difference:+.1f} points from the best earlier one, {row._3}"
        for row in contest(pd.concat([table_1, table_2]), "cifar10").itertuples()
    ]
    for frame in (table_1, table_2):
        rows = frame[frame["dataset"] == "cifar100"]
        for kind, rate in dict.fromkeys(zip(rows["noise_type"], rows["noise_rate"], strict=True)):
            told = compare(rows, "NCE+AUL", "GCE", noise_type=kind, noise_rate=rate)
            lines += [] if "not run" in told else [f"CIFAR-100, {kind} {rate:g}: {told}"]
    if (table_1["stand_in"] != "").any():
        lines.insert(0, "(on the stand-ins of these data sets, see above)")
    return "\n".join([*lines, f"WebVision: {compare(web, 'AGCE', 'GCE (q=0.5)')}"])


def ratio_answer(table: pd.DataFrame) -> str:
    """Q1 in a sentence, from the two shares of concordant pairs."""
    by_ratio, by_weight = plots.concordance(table, "r"), plots.concordance(table, "first weight")
    text = f"A larger r goes with a higher accuracy in {100 * by_ratio:.0f} % of the pairs of settings, "
    text += f"a larger first weight in {100 * by_weight:.0f} % (50 %: no relation). "
    if by_ratio >= 0.6:
        return text + "The ratio predicts the order here, as the paper says."
    if by_ratio <= 0.4:
        text += "The order is reversed here: what moves with r is first of all the size of the gradient"
        return text + (", and the accuracy follows that." if by_weight >= 0.6 else ".")
    return text + "The ratio says little about the order here."


def plateau(frame: pd.DataFrame) -> str:
    """How many of the parameter study's settings stay below 40 % at their best epoch: trainings that stall."""
    best = {
        (f"{kind} {rate:g}", method, setting): float(results.values(part, "test_acc", "best").mean())
        for (kind, rate, method, setting), part in frame.groupby(
            ["noise_type", "noise_rate", "method", "setting"], sort=False
        )
    }
    stalled = [f"{method} ({setting}), {kind}" for (kind, method, setting), value in best.items() if value < 40]
    return (
        f"{len(stalled)} of {len(best)} settings never reach 40 %"
        + (": " + "; ".join(stalled) if stalled else "")
        + "."
    )


# Denoising


def scores(study: pd.DataFrame) -> pd.DataFrame:
    """PSNR (dB) and SSIM by noise, mode and loss, means over the seeds."""
    table = study.pivot_table(index=["noise", "mode"], columns="loss", values=["psnr", "ssim"], sort=False)
    return table.reindex(columns=pd.MultiIndex.from_product([["psnr", "ssim"], denoise.LOSSES]))


def kernel_gain(study: pd.DataFrame, noise: str, modes: tuple[str, ...]) -> tuple[float, float]:
    """Smallest and largest difference in dB between a kernel and l2, over the modes, means over the seeds."""
    psnr = (
        study[(study["noise"] == noise) & study["mode"].isin(modes)].groupby(["mode", "loss"])["psnr"].mean().unstack()
    )
    gains = pd.concat([psnr["l_heat"] - psnr["l2"], psnr["l_poisson"] - psnr["l2"]])
    return float(gains.min()), float(gains.max())


def published_scores(numbers: pd.DataFrame) -> pd.DataFrame:
    """The published figure in the same form: one image per noise."""
    table = numbers[numbers["metric"] == "psnr"].pivot_table(
        index=["noise_type", "setting"], columns="method", values="mean", sort=False
    )
    return table.reindex(columns=list(denoise.LOSSES)).rename_axis(
        index={"noise_type": "noise", "setting": "mode"}, columns=""
    )
