"""The analytic side of the paper, computed: weights, their variances, gradients, and the loss value that the gradient would belong to.

Weights and gradients come from the library's own losses; what they should be is written out here. Everything is float64 and deterministic.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from losslab.analysis import gradients
from losslab.losses.cross_entropy import ce, mae
from losslab.losses.imae import imae

Array = NDArray[np.float64]
METHODS: dict[str, tuple[str, dict[str, Any]]] = {"CCE": ("ce", {}), "MAE": ("mae", {}), "IMAE": ("imae", {"T": 8.0})}
STEPS = (0.0, 0.5, 1.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 16.0)


def weight(method: str, p: ArrayLike, T: float = 8.0) -> Array:
    """The paper's formulas: `2 (1 - p)`, `4 p (1 - p)`, `exp(T p (1 - p))`."""
    x = np.asarray(p, dtype=np.float64)
    return {"CCE": 2 * (1 - x), "MAE": 4 * x * (1 - x), "IMAE": np.exp(T * x * (1 - x))}[method]


def table_2() -> pd.DataFrame:
    """The paper's summary of the three losses, in words of LaTeX."""
    rows = {
        "CCE": (r"$-\log p$", r"$-1/p$", r"$p - 1$", r"$p_j$", r"$2(1-p)$"),
        "MAE": (r"$2(1-p)$", r"$-2$", r"$2p(p-1)$", r"$2\,p\,p_j$", r"$4p(1-p)$"),
        "IMAE": (
            r"by its gradient", r"$-\frac{\exp(Tp(1-p))}{2p(1-p)}$", r"$-\frac12\exp(Tp(1-p))$",
            r"$\frac{p_j}{2(1-p)}\exp(Tp(1-p))$", r"$\exp(Tp(1-p))$",
        ),
    }  # fmt: skip
    names = ["loss", "dL/dp", "dL/dz_y", "dL/dz_j", "L1 norm of dL/dz"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("method")


# Weights and their variance


def moments() -> pd.DataFrame:
    """Mean and variance of the weights under uniform p, and emphasis mode: the L1 norm, and the L2 norm with 10 and 100 classes."""
    rows: dict[str, tuple[str, dict[str, Any]]] = {"CCE": ("ce", {}), "MAE": ("mae", {})} | {
        f"IMAE T={T:g}": ("imae", {"T": T}) for T in STEPS
    }
    table = {}
    for name, (loss, given) in rows.items():
        one, two = gradients.moments(loss, **given), gradients.moments(loss, norm=2, **given)
        wide = gradients.moments(loss, norm=2, num_classes=100, **given)
        table[name] = {
            "mean": one.mean, "variance": one.variance, "largest weight at p": _mode(loss, given),
            "variance, L2 norm, C = 10": two.variance, "variance, L2 norm, C = 100": wide.variance,
        }  # fmt: skip
    return pd.DataFrame.from_dict(table, orient="index")


def variance(method: str) -> float:
    """Variance of the weight under uniform p; T = 8."""
    name, given = METHODS[method]
    return gradients.moments(name, **given).variance


def _mode(loss: str, given: dict[str, Any]) -> float:
    return float("nan") if given.get("T") == 0 else gradients.emphasis(loss, **given)


@cache
def _nodes() -> tuple[Array, Array]:
    """Nodes and weights of Gauss and Legendre on [-1, 1]; costly to find, so found once."""
    nodes, weights = np.polynomial.legendre.leggauss(400)
    return nodes, weights


def quadrature(values: str, T: float = 8.0) -> float:
    """Variance under uniform p of another reading of the formula: `exp(T p) (1 - p)`."""
    nodes, weights = _nodes()
    p = (nodes + 1) / 2
    w = {"exp(T p) (1 - p)": np.exp(T * p) * (1 - p), "exp(T p (1 - p))": weight("IMAE", p, T)}[values]
    mean = float(weights @ w / 2)
    return float(weights @ (w - mean) ** 2 / 2)


def smallest_T(variance: float = 4 / 45) -> float:
    """The T at which IMAE's variance reaches a value (MAE's, unless told otherwise)."""
    low, high = 0.0, 16.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if quadrature("exp(T p (1 - p))", middle) < variance else (low, middle)
    return (low + high) / 2


def at_the_start(classes: tuple[int, ...] = (2, 10, 100, 1000)) -> pd.DataFrame:
    """Weights where every class has the probability 1/C, as before training."""
    return pd.DataFrame({f"C = {c}": {m: float(weight(m, 1 / c)) for m in METHODS} for c in classes})


# Gradients


def _gradient(name: str, logits: Tensor, targets: Tensor, **given: float | str) -> Tensor:
    leaf = logits.clone().requires_grad_()
    values = {"ce": ce, "mae": mae, "imae": imae}[name](leaf.log_softmax(-1), targets, **given)
    return torch.autograd.grad(values.sum(), leaf)[0]


def gradient_checks(samples: int = 200, classes: int = 10) -> dict[str, float]:
    """Largest errors of the L1 norms and of the common direction, by automatic differentiation at random outputs."""
    torch.manual_seed(0)
    logits = 3 * torch.randn(samples, classes, dtype=torch.float64)
    targets = torch.arange(samples) % classes
    p = logits.softmax(-1).gather(-1, targets.unsqueeze(-1)).squeeze(-1).numpy()
    found = {m: _gradient(name, logits, targets, **given) for m, (name, given) in METHODS.items()}
    norm = max(float(np.abs(g.abs().sum(-1).numpy() - weight(m, p)).max()) for m, g in found.items())
    lines = [nn.functional.normalize(g, dim=-1) for g in found.values()]
    turn = max(float((lines[0] - other).abs().max()) for other in lines[1:])
    sharp = torch.tensor([[np.log((1 - 1e-6) / 1e-6), 0.0]], dtype=torch.float64)
    fitted = {m: float(_gradient(n, sharp, torch.tensor([0]), **g)[0, 0]) for m, (n, g) in METHODS.items()}
    return {"norm": norm, "direction": turn, **{f"fitted {m}": value for m, value in fitted.items()}}


def batch_norms(samples: int = 128, classes: int = 10) -> pd.DataFrame:
    """Sum of the gradients' L1 norms over a batch, under the mean: released normalisation, plain mean, and the other losses."""
    torch.manual_seed(1)
    targets = torch.arange(samples) % classes
    rows: dict[str, dict[str, float]] = {}
    for name, sharpness in (("untrained", 0.1), ("half fitted", 4.0), ("all fitted", 14.0)):
        logits = torch.randn(samples, classes, dtype=torch.float64) + sharpness * nn.functional.one_hot(
            targets, classes
        )
        row = {}
        for label, loss, given in (
            ("CCE", "ce", {}), ("MAE", "mae", {}), ("IMAE T=8, plain mean", "imae", {"T": 8.0}),
            *((f"IMAE T={T:g}, released", "imae", {"T": T, "variant": "official"}) for T in (0.0, 8.0, 16.0)),
        ):  # fmt: skip
            row[label] = float(_gradient(loss, logits, targets, **given).abs().sum() / samples)  # type: ignore[arg-type]
        rows[name] = row
    return pd.DataFrame(rows)


def product_error() -> float:
    """Last layer: entrywise L1 norm of one sample's gradient against the product of the L1 norms, all three losses."""
    torch.manual_seed(2)
    features, layer = torch.randn(20, 7, dtype=torch.float64).relu(), nn.Linear(7, 5, bias=False).double()
    worst = 0.0
    for name, given in METHODS.values():
        loss = {"ce": ce, "mae": mae, "imae": imae}[name]
        for i in range(len(features)):
            y = torch.tensor([i % 5])
            z = layer(features[i : i + 1])
            value = loss(z.log_softmax(-1), y, **given).sum()
            (whole,) = torch.autograd.grad(value, layer.weight)
            at_logits = _gradient(name, z.detach(), y, **given)
            worst = max(worst, abs(float(whole.abs().sum() - features[i].abs().sum() * at_logits.abs().sum())))
    return worst


# The loss value that the gradient would belong to


def potential(x: ArrayLike, T: float = 8.0) -> Array:
    """Antiderivative of IMAE's derivative along x = log(p / (1 - p)), zero at p = 1/2: `-1/2 int_0^x exp(T s (1 - s)) du`, s = sigmoid(u)."""
    nodes, weights = _nodes()
    ends = np.atleast_1d(np.asarray(x, dtype=np.float64))
    u = ends[:, None] * (nodes + 1) / 2
    s = 1 / (1 + np.exp(-u))
    return np.asarray(-0.5 * ends / 2 * (np.exp(T * s * (1 - s)) @ weights))


def integral(p: float, cut: float, T: float = 8.0) -> float:
    """`int_p^{1 - cut} exp(T u (1 - u)) / (2 u (1 - u)) du`: the area that the paper calls the loss, cut short of 1."""
    ends = potential([np.log((1 - cut) / cut), np.log(p / (1 - p))], T)
    return float(ends[1] - ends[0])


def integrals(cuts: tuple[float, ...] = (1e-2, 1e-3, 1e-4, 1e-6, 1e-8)) -> pd.DataFrame:
    """The area from p to 1 - cut for three p, and how much a decade adds."""
    table = pd.DataFrame({f"p = {p:g}": [integral(p, cut) for cut in cuts] for p in (0.1, 0.5, 0.9)}, index=list(cuts))
    return table.rename_axis("cut")


def class_sum(p: float, classes: int, T: float = 8.0) -> float:
    """Sum over the labels of the potential at an output that gives one class p and the others the same."""
    rest = (1 - p) / (classes - 1)
    both = potential([np.log(p / (1 - p)), np.log(rest / (1 - rest))], T)
    return float(both[0] + (classes - 1) * both[1])


# Numbers that the published tables imply


def implied_noise(table: pd.DataFrame) -> pd.DataFrame:
    """2019: share of wrong labels that MAE's row implies, (true - given) / (test - share of wrong predictions that hit the given label)."""
    rows = table[table["method"] == "MAE"].pivot_table(index=["setting", "noise_rate"], columns="metric", values="mean")
    test = rows["test_acc_last"]
    share = (rows["intact_acc"] - rows["train_acc"]) / (test - (100 - test) / 9)
    found = share.rename("implied").reset_index()
    rate = found["noise_rate"]
    return found.assign(**{"true class left out": rate, "all ten classes": 0.9 * rate})


def implied_correction(table: pd.DataFrame) -> pd.DataFrame:
    """2020: what Table 6's hybrid accuracy says about the wrongly labelled training images: predicted as their true class, per cent."""
    rows = table.pivot_table(index=["setting", "noise_rate", "method"], columns="metric", values="mean", sort=False)
    rate = rows.index.get_level_values("noise_rate").to_numpy()
    rest = 60 * rows["hybrid_acc"] - 10 * rows["test_acc_last"] - 50 * (1 - rate) * rows["fit_clean"]
    return rows.assign(
        **{"true class": (rest / (50 * rate)).where(rate > 0), "left over at rate 0": (rest / 60).where(rate == 0)}
    )


def save(table: pd.DataFrame, folder: Path, name: str) -> None:
    """A table without trainings as tables/`name`.csv and .md."""
    target = folder / "tables"
    target.mkdir(parents=True, exist_ok=True)
    table.to_csv(target / f"{name}.csv", lineterminator="\n")
    head = [str(table.index.name), *map(str, table.columns)]
    rows = [head, ["---"] * len(head), *([str(key), *map(str, values)] for key, *values in table.itertuples())]
    text = "\n".join("| " + " | ".join(row) + " |" for row in rows)
    (target / f"{name}.md").write_text(text + "\n", encoding="utf-8")
