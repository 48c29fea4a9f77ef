"""The analytic side of the paper, computed: asymmetry ratios, minimisers on the simplex, gradients, special cases, the risk bound.

Values come from the library's own losses, the formulas that they are compared with are written out here. Everything is float64 and
deterministic. A loss is named as in the library; AUL's exponent is the library's `p`, and `q` in the formulas.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import torch

from losslab.analysis import scalar, tolerance
from losslab.analysis.probing import probe
from losslab.seeding import generator

Array = np.ndarray
Setting = tuple[str, str, str, dict[str, float]]

# Data set, label, loss, hyper-parameters of the asymmetric part.
RELEASED: tuple[Setting, ...] = (
    ("MNIST", "AGCE (4, 0.2)", "agce", {"a": 4.0, "q": 0.2}),
    ("MNIST", "AUL (3, 0.1)", "aul", {"a": 3.0, "p": 0.1}),
    ("MNIST", "AEL (3.5)", "ael", {"a": 3.5}),
    ("CIFAR-10", "AGCE (0.6, 0.6)", "agce", {"a": 0.6, "q": 0.6}),
    ("CIFAR-10", "AUL (5.5, 3)", "aul", {"a": 5.5, "p": 3.0}),
    ("CIFAR-10", "AEL (2.5)", "ael", {"a": 2.5}),
    ("CIFAR-10, with NCE", "AGCE (6, 1.5)", "agce", {"a": 6.0, "q": 1.5}),
    ("CIFAR-10, with NCE", "AUL (6.3, 1.5)", "aul", {"a": 6.3, "p": 1.5}),
    ("CIFAR-10, with NCE", "AEL (5)", "ael", {"a": 5.0}),
    ("CIFAR-100, with NCE", "AGCE (1.8, 3)", "agce", {"a": 1.8, "q": 3.0}),
    ("CIFAR-100, with NCE", "AUL (6, 3)", "aul", {"a": 6.0, "p": 3.0}),
    ("CIFAR-100, with NCE", "AEL (1.5)", "ael", {"a": 1.5}),
    ("WebVision", "AGCE (1e-5, 0.5)", "agce", {"a": 1e-5, "q": 0.5}),
    ("WebVision, with NCE", "AGCE (2.5, 3)", "agce", {"a": 2.5, "q": 3.0}),
)
CLASSES = {"MNIST": 10, "CIFAR-10": 10, "CIFAR-100": 100, "WebVision": 50}


# Ratios


def inverse_ratio(name: str, a: float = 1.0, q: float = 1.0) -> float:
    """1 / r: the smallest w_m / w_n with the minimiser at the vertex, by the paper's closed forms."""
    if name == "agce":
        return float(((a + 1) / a) ** (1 - q)) if q <= 1 else 1.0
    if name == "aul":
        return float((a / (a - 1)) ** (q - 1)) if q > 1 else 1.0
    return math.exp(1 / a)


def two_probability_ratio(name: str, a: float = 1.0, q: float = 1.0) -> float:
    """r with two probabilities: the smallest slope over the largest, along the edge from one vertex to another."""
    if name == "agce":
        return float((a / (a + 1)) ** abs(1 - q))
    if name == "aul":
        return float(((a - 1) / a) ** abs(q - 1))
    return math.exp(-1 / a)


def limits(inverse: float, classes: int) -> tuple[float, float]:
    """Largest rates of pair and of symmetric noise with w_m / w_n >= 1 / r."""
    return 1 / (1 + inverse), (classes - 1) / (classes - 1 + inverse)


def ratio_table() -> pd.DataFrame:
    """Every released setting: 1 / r by formula, by a scan of the loss and by minimisation on the 3-class simplex; the noise that it allows."""
    rows = []
    for place, label, name, given in RELEASED:
        a, q = given["a"], given.get("q", given.get("p", 1.0))
        inverse = inverse_ratio(name, a, q)
        found = scalar.asymmetry(probe(name, 10, **given))
        pair, symmetric = limits(inverse, CLASSES[place.split(",")[0]])
        switch = tolerance.switch_ratio(name, 3, **given)
        rows.append((place, label, inverse, found.switch, switch, two_probability_ratio(name, a, q), pair, symmetric))
    columns = ["data set", "loss", "1/r", "1/r, scan", "switch, minimised", "r, two probabilities"]
    columns += ["pair noise up to", "symmetric noise up to"]
    return pd.DataFrame(rows, columns=columns).set_index(["data set", "loss"])


def rivals() -> pd.DataFrame:
    """What is completely asymmetric and what is not: r by a scan, largest pair noise."""
    rows = []
    for label, name, given in (
        ("MAE", "mae", {}), ("RCE", "rce", {}), ("AGCE (a=6, q=1.5)", "agce", {"a": 6.0, "q": 1.5}),
        ("AUL (a=3, q=0.1)", "aul", {"a": 3.0, "p": 0.1}), ("AGCE (a=0.6, q=0.6)", "agce", {"a": 0.6, "q": 0.6}),
        ("GCE (q=0.7)", "gce", {"q": 0.7}), ("CE", "ce", {}), ("FL (gamma=0.5)", "focal", {"gamma": 0.5}),
    ):  # fmt: skip
        given_any: dict[str, Any] = dict(given)
        found = scalar.asymmetry(probe(name, 10, **given_any))
        rows.append((label, found.ratio, found.completely, found.max_rate("pair")))
    return pd.DataFrame(rows, columns=["loss", "r", "completely asymmetric", "pair noise up to"]).set_index("loss")


# Minimisers on the simplex


def grid3(steps: int = 150) -> Array:
    """The 3-class simplex as a lattice `(n, 3)`; the vertices are among its points."""
    i, j = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1), indexing="ij")
    keep = i + j <= steps
    return np.column_stack([i[keep], j[keep], steps - i[keep] - j[keep]]) / steps


def losses_at(name: str, points: Array, **given: Any) -> Array:
    """`L(u, i)` for all i: points `(n, K)`, values `(n, K)`."""
    loss = probe(name, points.shape[1], **given)
    return loss.all_labels(loss.from_probabilities(torch.from_numpy(points))).numpy()


def minimisers(name: str, ratios: Array, **given: Any) -> Array:
    """u_m of the lattice minimiser for the weights (rho, 1, 1/2)."""
    points = grid3()
    values = losses_at(name, points, **given)
    found = []
    for rho in ratios:
        risk = values @ np.array([rho, 1.0, 0.5])
        found.append(points[int(risk.argmin()), 0])
    return np.array(found)


def random_conditions(count: int = 200) -> dict[str, float]:
    """Random families, a, q and weights: does `w_m / w_n >= 1 / r` decide where the lattice minimiser is?

    Draws within 2 % of the switch are left out.
    """
    draw = generator("asymmetric_losses", "conditions")
    points = grid3(100)
    right = inside = used = 0
    while used < count:
        name = ("agce", "aul", "ael")[draw.integers(3)]
        a = float(np.exp(draw.uniform(-1.5, 2.0))) + (1.02 if name == "aul" else 0.0)
        q = float(draw.uniform(0.1, 4.0))
        w = np.sort(draw.dirichlet([1.0, 1.0, 1.0]))[::-1]
        margin = (w[0] / w[1]) / inverse_ratio(name, a, q)
        if abs(margin - 1) < 0.02 or w[0] / w[1] < 1.005:
            continue
        given = {"agce": {"a": a, "q": q}, "aul": {"a": a, "p": q}, "ael": {"a": a}}[name]
        best = points[int((losses_at(name, points, **given) @ w).argmin())]
        right += int(bool(best[0] == 1) == (margin > 1))
        inside += int(margin > 1)
        used += 1
    return {"agreement": right / used, "inside": inside / used}


def norm_condition(count: int = 150) -> float:
    """The asymmetric norm loss `sum_k |a 1[k=i] - u_k|^q`, q > 1: agreement of its condition with the lattice minimiser."""
    draw = generator("asymmetric_losses", "norm")
    points = grid3(200)
    right = used = 0
    while used < count:
        a, q = float(draw.uniform(1.1, 6.0)), float(draw.uniform(1.2, 3.0))
        w = np.sort(draw.dirichlet([0.5, 0.5, 0.5]))[::-1]
        if w[1] < 1e-3:
            continue
        bound = (a ** (q - 1) + (w[1] + w[2]) / w[1]) / (a - 1) ** (q - 1)
        if abs(w[0] / w[1] / bound - 1) < 0.05:
            continue
        risk = (w * (a - points) ** q + (1 - w) * points**q).sum(1)
        right += int(bool(points[int(risk.argmin()), 0] == 1) == (w[0] / w[1] > bound))
        used += 1
    return right / used


def combinations(count: int = 40) -> pd.DataFrame:
    """Positive sums of two losses on weights where both are asymmetric: share of draws with the minimiser at the vertex.

    The library's minimiser is used, because NCE at a vertex depends on which of the other classes vanishes first.
    """
    draw = generator("asymmetric_losses", "sums")
    rows = []
    for label, name, given, bound in (
        ("AGCE (0.6, 0.6) + AEL (2.5)", "agce+ael", {"agce.a": 0.6, "q": 0.6, "ael.a": 2.5}, inverse_ratio("ael", 2.5)),
        (
            "AUL (5.5, 3) + AGCE (6, 1.5)",
            "aul+agce",
            {"aul.a": 5.5, "p": 3.0, "agce.a": 6.0, "q": 1.5},
            inverse_ratio("aul", 5.5, 3),
        ),
        ("MAE + AUL (6, 3)", "mae+aul", {"a": 6.0, "p": 3.0}, inverse_ratio("aul", 6, 3)),
        ("NCE + AGCE (1.8, 3)", "nce+agce", {"a": 1.8, "q": 3.0}, 1.0),
    ):
        kept = 0
        for _ in range(count):
            low, high = np.sort(draw.uniform(0.05, 1.0, 2))
            w = torch.tensor([high * bound * draw.uniform(1.02, 3.0), high, low], dtype=torch.float64)
            options: dict[str, Any] = {**given, "alpha": 1.0, "beta": float(np.exp(draw.uniform(-2, 2)))}
            found = tolerance.minimise(name, w / w.sum(), polish=False, **options)
            kept += int(found.vertex and found.label == 0)
        rows.append((label, bound, kept / count))
    return pd.DataFrame(rows, columns=["sum", "largest 1/r of its parts", "minimiser at the vertex"]).set_index("sum")


# Gradients and special cases


def weight(name: str, p: Array, a: float = 1.0, q: float = 1.0) -> Array:
    """g(p) of the paper's gradient `-g(p) p (1[j=y] - p_j)` in the logits."""
    forms = {
        "agce": lambda: (a + p) ** (q - 1), "aul": lambda: (a - p) ** (q - 1), "ael": lambda: np.exp(-p / a) / a,
        "mae": lambda: np.ones_like(p), "gce": lambda: p ** (q - 1), "ce": lambda: 1 / p,
    }  # fmt: skip
    return np.asarray(forms[name]())


def gradient_error() -> float:
    """Largest difference between the written-out gradient and automatic differentiation, released settings, random outputs."""
    draw = generator("asymmetric_losses", "logits")
    logits = torch.from_numpy(3 * draw.standard_normal((200, 10)))
    labels = torch.arange(200) % 10
    p = logits.softmax(-1)
    p_y = p.gather(1, labels.unsqueeze(1))
    unit = torch.nn.functional.one_hot(labels, 10).double()
    worst = 0.0
    for _, _, name, given in RELEASED:
        x = logits.clone().requires_grad_()
        loss = probe(name, 10, **given)
        loss.at(torch.log_softmax(x, -1), labels).sum().backward()
        g = torch.from_numpy(weight(name, p_y.numpy(), given["a"], given.get("q", given.get("p", 1.0))))
        assert x.grad is not None
        worst = max(worst, float((x.grad + g * p_y * (unit - p)).abs().max()))
    return worst


def alike() -> pd.DataFrame:
    """The single losses released for CIFAR-10, shifted and scaled to run from 1 to 0: distance from AGCE's curve; and their gradients at p = 0.1."""
    p = np.linspace(0, 1, 1001)
    points = np.column_stack([p, 1 - p])
    curves = {
        label: losses_at(name, points, **given)[:, 0] for place, label, name, given in RELEASED if place == "CIFAR-10"
    }
    scaled = {label: (v - v[-1]) / (v[0] - v[-1]) for label, v in curves.items()}
    base = scaled["AGCE (0.6, 0.6)"]
    rows = []
    for place, label, name, given in RELEASED:
        if place == "CIFAR-10":
            g = float(weight(name, np.array([0.1]), given["a"], given.get("q", given.get("p", 1.0)))[0])
            rows.append((label, float(np.abs(scaled[label] - base).max()), g))
    return pd.DataFrame(rows, columns=["loss", "largest distance of the scaled curve from AGCE's", "g(0.1)"]).set_index(
        "loss"
    )


def special_cases() -> pd.DataFrame:
    """Distance of each limit from the loss that it should be, over p in [0.001, 1]."""
    p = np.linspace(0.001, 1, 1000)

    def at(name: str, **given: Any) -> Array:
        points = np.column_stack([p, 1 - p])
        return losses_at(name, points, **given)[:, 0]

    mae, gce = 1 - p, (1 - p**0.7) / 0.7
    big = 1000.0
    rows = [
        ("AGCE (a = 2.5, q = 1)", "1 - p", np.abs(at("agce", a=2.5, q=1.0) - mae).max()),
        ("AUL (a = 5.5, q = 1)", "1 - p", np.abs(at("aul", a=5.5, p=1.0) - mae).max()),
        ("AGCE (a = 1e-8, q = 0.7)", "GCE (q = 0.7)", np.abs(at("agce", a=1e-8, q=0.7) - gce).max()),
        ("AGCE (a = 1e-5, q = 0.5), the WebVision setting", "GCE (q = 0.5)", np.abs(at("agce", a=1e-5, q=0.5) - 2 * (1 - p**0.5)).max()),
        ("a (AEL (a = 1000) - exp(-1/a))", "1 - p", np.abs(big * (at("ael", a=big) - math.exp(-1 / big)) - mae).max()),
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["loss", "should be", "largest difference"]).set_index("loss")


# Wrong local minima, and the risk bound


def wrong_minimum_rate(name: str, a: float, q: float) -> float:
    """The pair-noise rate above which the wrong vertex is a local minimum: w_n l'(1) > w_m l'(0) in absolute value; 0.5 if never below 0.5."""
    one = np.array([0.0, 1.0])
    zero_slope, one_slope = weight(name, one, a, q)
    return min(0.5, float(zero_slope / (zero_slope + one_slope)))


def risk_bound(count: int = 3000) -> pd.DataFrame:
    """Largest violation of `excess 0-1 risk <= 2 / (l(0) - l(1)) excess risk`, pointwise, by loss and number of classes; 0: it holds.

    Random outputs, random label distributions ("clean": one-hot). The minimiser of a completely asymmetric loss is a vertex.
    """
    draw = generator("asymmetric_losses", "risk")
    rows = {}
    for label, name, given in (
        ("MAE / 2", "mae", {"variant": "official"}), ("AGCE (6, 1.5)", "agce", {"a": 6.0, "q": 1.5}),
        ("AGCE (1.8, 3)", "agce", {"a": 1.8, "q": 3.0}), ("AUL (3, 0.1)", "aul", {"a": 3.0, "p": 0.1}),
    ):  # fmt: skip
        given_any: dict[str, Any] = dict(given)
        found: dict[str, float] = {}
        for classes in (2, 3, 10):
            noisy = np.stack([draw.dirichlet([c] * classes) for c in draw.choice([0.1, 0.3, 1.0], count)])
            sharp = np.exp(draw.uniform(-4, 3, count))[:, None]
            u = torch.softmax(torch.from_numpy(sharp * draw.standard_normal((count, classes))), -1).numpy()
            values, corner = losses_at(name, u, **given_any), losses_at(name, np.eye(classes), **given_any)
            span = float(corner[0, 1] - corner[0, 0])
            for kind, w in (("noisy", noisy), ("clean", np.eye(classes)[draw.integers(0, classes, count)])):
                excess = (values * w).sum(1) - (w @ corner.T).min(1)
                lost = w.max(1) - w[np.arange(count), u.argmax(1)]
                found[f"{kind}, {classes} classes"] = max(0.0, float((lost - 2 / span * excess).max()))
        rows[label] = found
    return pd.DataFrame(rows).T.rename_axis("loss")
