"""The analytic side of the paper, computed: sums over the classes, gradients, risks, and what the minimisers of NCE look like.

Values come from the library's own losses; the formulas that they are compared with are written out here. Everything is float64 and
deterministic.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from losslab.analysis import decomposition
from losslab.analysis.probing import Probe, probe
from losslab.losses.symmetric import A_DEFAULT
from losslab.noise import corrupt, flip_map
from losslab.seeding import generator

Array = np.ndarray
NORMALISED: dict[str, dict[str, Any]] = {"nce": {}, "nfl": {"gamma": 0.5}, "ngce": {"q": 0.7}, "nmae": {}, "nrce": {}}
LISTED: tuple[tuple[str, str, dict[str, Any]], ...] = (
    ("CE", "ce", {}),
    ("FL", "focal", {"gamma": 0.5}),
    ("NCE", "nce", {}),
    ("NFL", "nfl", {"gamma": 0.5}),
    ("GCE", "gce", {"q": 0.7}),
    ("NGCE", "ngce", {"q": 0.7}),
    ("MAE", "mae", {}),
    ("NMAE", "nmae", {}),
    ("RCE", "rce", {}),
    ("NRCE", "nrce", {}),
    ("SCE", "sce", {"alpha": 0.1, "beta": 1.0}),
    ("NCE+RCE", "nce+rce", {}),
    ("NFL+MAE", "nfl+mae", {}),
    ("NFL+NCE", "nfl+nce", {}),
    ("MAE+RCE", "mae+rce", {}),
)


def logits(classes: int, count: int = 400) -> Tensor:
    """Random logits from flat to very sure, `(n, classes)`."""
    draw = generator("apl", "logits", classes)
    sizes = np.repeat([0.1, 1.0, 3.0, 8.0], count // 4)[:, None]
    return torch.from_numpy(sizes * draw.standard_normal((len(sizes), classes)))


def class_sums(name: str, classes: int, **given: Any) -> Array:
    """`sum_k L(f, k)` at random outputs."""
    loss = probe(name, classes, **given)
    return loss.class_sums(loss.from_logits(logits(classes))).numpy()


def sums_table(classes: Sequence[int] = (2, 10, 100)) -> pd.DataFrame:
    """Smallest and largest class sum of every normalised loss, and of the released forms of NMAE and NRCE."""
    rows = []
    for name, given in [*NORMALISED.items(), ("nmae", {"variant": "official"}), ("nrce", {"variant": "official"})]:
        label = name.upper() + (", released" if "variant" in given else "")
        for count in classes:
            sums = class_sums(name, count, **given)
            rows.append((label, count, float(sums.min()), float(sums.max())))
    return pd.DataFrame(rows, columns=["loss", "classes", "smallest", "largest"])


def largest_gap(first: str, second: str, classes: int) -> float:
    """Largest difference between two losses over random outputs and all labels."""
    one, two = probe(first, classes), probe(second, classes)
    points = logits(classes)
    return float((one.all_labels(one.from_logits(points)) - two.all_labels(two.from_logits(points))).abs().max())


# Table 1: active and passive


def parts_table() -> pd.DataFrame:
    """Every loss with its parts, as the paper writes them: is the term of the classes k != y zero?"""
    rows = []
    for label, name, given in LISTED:
        found = decomposition.parts(name, 10, **given)
        kinds = [part.kind for part in found]
        rows.append((label, " + ".join(part.name.upper() for part in found), " + ".join(kinds)))
    return pd.DataFrame(rows, columns=["loss", "parts", "kind"]).set_index("loss")


def rewriting_gap(classes: int = 10) -> dict[str, float]:
    """Largest difference between MAE and RCE as sums over the classes and as functions of p_y alone, over random outputs."""
    p = logits(classes).softmax(-1)
    labels = torch.arange(len(p)) % classes
    q = torch.nn.functional.one_hot(labels, classes).double()
    p_y = p.gather(1, labels.unsqueeze(1)).squeeze(1)
    log_q = torch.where(q > 0, torch.zeros_like(q), torch.full_like(q, A_DEFAULT))
    return {
        "MAE": float(((p - q).abs().sum(1) - 2 * (1 - p_y)).abs().max()),
        "RCE": float((-(p * log_q).sum(1) - (-A_DEFAULT) * (1 - p_y)).abs().max()),
    }


def directions(classes: int = 10) -> pd.DataFrame:
    """What the logit gradient does at random outputs, over the classes other than the label.

    `cosine with CE`: of the gradient with that of cross-entropy. `others pushed down`: share of the other classes whose logit falls.
    `top rival pushed down`: share of outputs at which the logit of the likeliest other class falls.
    """
    points = logits(classes)[: -(len(logits(classes)) // 4)]  # without the surest, whose gradients are rounding errors
    labels = torch.arange(len(points)) % classes
    base = probe("ce", classes).gradient(points, labels)
    wrong = torch.ones_like(points, dtype=torch.bool)
    wrong[torch.arange(len(points)), labels] = False
    rival = points.masked_fill(~wrong, -math.inf).argmax(1)
    rows = []
    for label, name, given in LISTED[:10]:
        gradient = probe(name, classes, **given).gradient(points, labels)
        cosine = (gradient * base).sum(1) / (gradient.norm(dim=1) * base.norm(dim=1))
        down = (gradient > 0)[wrong].double().mean()
        top = (gradient.gather(1, rival.unsqueeze(1)) > 0).double().mean()
        kind = decomposition.parts(name, classes, **given)[0].kind
        rows.append((label, kind, float(cosine.min()), float(cosine.mean()), 100 * float(down), 100 * float(top)))
    columns = ["loss", "kind", "smallest cosine with CE", "mean", "others pushed down, %", "top rival pushed down, %"]
    return pd.DataFrame(rows, columns=columns).set_index("loss")


# Gradients in the logits, as formulas


def _formula(name: str, p: Tensor, y: int) -> Tensor:
    """The gradient of one sample, written out."""
    count = len(p)
    unit = torch.nn.functional.one_hot(torch.tensor(y), count).double()
    if name == "mae":
        return 2 * p[y] * (p - unit)
    if name == "rce":
        return -A_DEFAULT * p[y] * (p - unit)
    if name == "nce":
        terms = -p.log()
        total = terms.sum()
        return ((p - unit) * total - terms[y] * (count * p - 1)) / total**2
    if name == "ngce":
        power, share = p**0.7, (p**0.7).sum()
        top, bottom = 1 - power[y], count - share
        by_top, by_bottom = -0.7 * power[y] * (unit - p), -0.7 * (power - p * share)
        return (bottom * by_top - top * by_bottom) / bottom**2
    weights = (1 - p) ** 0.5  # NFL as released: constants for the gradient
    total = (weights * -p.log()).sum()
    return (weights[y] * (p - unit) * total - weights[y] * -p[y].log() * (weights.sum() * p - weights)) / total**2


def gradient_errors(classes: int = 10) -> dict[str, float]:
    """Largest difference between the written-out gradient and automatic differentiation, over random outputs."""
    given: dict[str, dict[str, Any]] = {
        "mae": {},
        "rce": {},
        "nce": {},
        "ngce": {"q": 0.7},
        "nfl": {"variant": "official"},
    }
    points = logits(classes)
    labels = torch.arange(len(points)) % classes
    worst = {}
    for name, options in given.items():
        found = probe(name, classes, **options).gradient(points, labels)
        formula = torch.stack([_formula(name, z.softmax(0), int(y)) for z, y in zip(points, labels, strict=True)])
        worst[name] = float((found - formula).abs().max())
    return worst


# Noise tolerance: risks of finite problems are exact sums


def noisy_risk_error(name: str, classes: int, rate: float, **given: Any) -> float:
    """Largest error of `R_eta = (1 - eta K / (K - 1)) R + C eta / (K - 1)` over random outputs; zero for a symmetric loss."""
    values = _values(probe(name, classes, **given), classes)
    clean = values[:, 0]
    noisy = (1 - rate) * clean + rate * values[:, 1:].mean(1)
    total = values.sum(1).mean()
    line = (1 - rate * classes / (classes - 1)) * clean + total * rate / (classes - 1)
    return float((noisy - line).abs().max())


def same_minimiser(name: str, classes: int, rate: float, problems: int = 200, **given: Any) -> float:
    """Share of random finite problems (forty outputs for each of six points) whose noisy minimiser is the clean one."""
    values = _values(probe(name, classes, **given), classes).numpy()
    draw = generator("apl", "problems", classes)
    kept = 0
    for _ in range(problems):
        rows = draw.integers(0, len(values), (40, 6))
        clean = values[rows, 0].sum(1)
        noisy = ((1 - rate) * values[rows, 0] + rate * values[rows, 1:].mean(-1)).sum(1)
        kept += int(clean.argmin() == noisy.argmin())
    return kept / problems


def _values(loss: Probe, classes: int) -> Tensor:
    return loss.all_labels(loss.from_logits(logits(classes)))


def bound_violations(classes: int = 10) -> pd.DataFrame:
    """How far the normalised losses exceed 1 / (K - 1), the condition of the theorem on asymmetric noise."""
    rows = []
    for name, given in NORMALISED.items():
        values = _values(probe(name, classes, **given), classes)
        limit = 1 / (classes - 1)
        rows.append((name.upper(), limit, float(values.max()), 100 * float((values > limit + 1e-12).double().mean())))
    return pd.DataFrame(rows, columns=["loss", "1 / (K - 1)", "largest value seen", "above the bound, %"]).set_index(
        "loss"
    )


def escape(classes: int, distance: Sequence[float]) -> pd.DataFrame:
    """Outputs that ignore the label: one other class m is pushed `distance` below, all the rest stay level. The label is class 0."""
    rows = []
    for far in distance:
        z = torch.zeros(1, classes, dtype=torch.float64)
        z[0, -1] = -far
        zero = torch.zeros(1, dtype=torch.int64)
        row = {"distance": far, "p_y": float(z.softmax(-1)[0, 0])}
        for label in ("NCE", "NFL", "CE", "MAE", "NCE+RCE"):
            loss = probe(label.lower(), classes)
            row[label] = float(loss.at(loss.from_logits(z), zero))
        rows.append(row)
    return pd.DataFrame(rows).set_index("distance")


def fixed_target(p_y: float, classes: int, shares: Array) -> Array:
    """NCE with p_y fixed while one other class takes the share `shares` of the rest, and the others have it in equal parts."""
    rest = 1 - p_y
    p = np.full((len(shares), classes), 0.0)
    p[:, 0] = p_y
    p[:, 1] = rest * shares
    p[:, 2:] = (rest * (1 - shares) / (classes - 2))[:, None]
    loss = probe("nce", classes)
    return loss.at(loss.from_probabilities(torch.from_numpy(p)), torch.zeros(len(p), dtype=torch.int64)).numpy()


def logit_norm(name: str, p: Array, classes: int, **given: Any) -> Array:
    """L1 norm of the logit gradient at p_y = p, the other classes level."""
    rest = (1 - p) / (classes - 1)
    points = torch.from_numpy(np.log(np.column_stack([p, *[rest] * (classes - 1)])))
    return probe(name, classes, **given).gradient(points, torch.zeros(len(p), dtype=torch.int64)).abs().sum(1).numpy()


def active_share(classes: int, alpha: float, beta: float, p: Array) -> Array:
    """Share of the active part in the logit gradient of alpha NCE + beta RCE, at p_y = p with the other classes level."""
    active, passive = alpha * logit_norm("nce", p, classes), beta * logit_norm("rce", p, classes)
    return active / (active + passive)


# Cats and dogs


def flips(rate: float = 0.4) -> pd.DataFrame:
    """Wrong labels of ten balanced classes of 5,000 under CIFAR-10's flips, one after the other (as in the code) and at once; per cent."""
    labels = np.repeat(np.arange(10), 5000)
    rows = []
    for name, in_turn in (("in place", True), ("at once", False)):
        noisy = corrupt(labels, "asymmetric", rate, 0, num_classes=10, flip_map=flip_map("cifar10"), sequential=in_turn)
        wrong = noisy != labels
        shares = {
            "cats called dogs": wrong[labels == 3].mean(),
            "dogs called cats": wrong[labels == 5].mean(),
            "all": wrong.mean(),
        }
        rows.append({"flips": name, **{key: 100 * float(share) for key, share in shares.items()}})
    return pd.DataFrame(rows).set_index("flips")
