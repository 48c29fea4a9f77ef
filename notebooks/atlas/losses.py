"""The loss atlas in numbers: every loss of the library and the published sums, by family, with computed properties.

Everything is computed from the losses themselves by `losslab.analysis`; descriptions are used only to be compared with that.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import torch

from losslab import losses
from losslab.analysis import curves, properties, tolerance
from losslab.analysis.descent import descend
from losslab.analysis.probing import Probe, probe, probe_cosines
from losslab.analysis.properties import Properties
from losslab.report import looks

SUMS: dict[str, dict[str, float]] = {
    "nce+mae": {"alpha": 1.0, "beta": 1.0},
    "nce+rce": {"alpha": 1.0, "beta": 1.0},
    "nfl+mae": {"alpha": 1.0, "beta": 1.0},
    "nfl+rce": {"alpha": 1.0, "beta": 1.0},
    "nce+agce": {"alpha": 1.0, "beta": 4.0, "a": 6.0, "q": 1.5},
    "nce+aul": {"alpha": 1.0, "beta": 4.0, "a": 6.3, "p": 1.5},
    "nce+ael": {"alpha": 1.0, "beta": 4.0, "a": 5.0},
}
"""Sums that the papers recommend, with their settings for CIFAR-10."""

_FAMILIES: dict[str, tuple[str, ...]] = {
    "cross entropy and relatives": ("ce", "label_smoothing", "label_aware_smoothing", "focal", "poly1"),
    "between cross entropy and absolute error": ("gce", "truncated_gce", "comp_sum", "sce", "imae"),
    "absolute error and its multiples": ("mae", "nmae", "rce", "nrce", "mse"),
    "normalised": ("nce", "nfl", "ngce"),
    "asymmetric": ("agce", "aul", "ael"),
    "active + passive": tuple(SUMS),
    "the network's own opinion": ("bootstrap_soft", "bootstrap_hard", "d2l", "elr"),
    "knowing the noise, or asking differently": ("forward", "backward", "nlnl", "dmi"),
    "on the logits": ("ldr_kl", "aldr_kl", "squentropy", "encouraging"),
    "on angles": ("normface", "cosface", "arcface", "sphereface", "gm_softmax", "lm_softmax", "nsl", "ldam"),
}

TRUTH, RATE = 0.9, 0.4
"""How sure of the true class the network is, and the noise rate, in `wrong_share`."""

SPECIAL: tuple[tuple[str, dict[str, Any]], ...] = (
    ("gce", {"q": 1.0}),
    ("comp_sum", {"tau": 1.0}),
    ("comp_sum", {"tau": 1.7}),
    ("comp_sum", {"tau": 2.0}),
    ("agce", {"q": 1.0}),
    ("aul", {"p": 1.0}),
    ("focal", {"gamma": 0.0}),
    ("poly1", {"eps": 0.0}),
    ("label_smoothing", {"eps": 0.0}),
    ("nfl", {"gamma": 0.0}),
    ("ngce", {"q": 1.0}),
    ("sce", {"beta": 0.0}),
    ("ldr_kl", {"c": 0.0}),
    ("cosface", {"m": 0.0}),
    ("arcface", {"m": 0.0}),
    ("sphereface", {"m": 1.0}),
    ("lm_softmax", {"variant": "unscaled"}),
)
"""Settings at which a loss is expected to turn into another one."""


def families() -> dict[str, tuple[str, ...]]:
    """Title -> losses: every loss of the library once, and the sums; a loss that was registered since is under "others"."""
    known = {name for members in _FAMILIES.values() for name in members}
    rest = tuple(name for name in losses.names() if name not in known)
    return {**_FAMILIES, **({"others": rest} if rest else {})}


def all_names() -> list[str]:
    """The losses of the atlas in its order."""
    return [name for members in families().values() for name in members]


def label(name: str) -> str:
    """How a loss is called in figures and tables."""
    return looks.of(name).label


@cache
def found(name: str, classes: int = 10) -> Properties:
    """Computed properties at the default setting (`SUMS` for sums)."""
    return properties.check(name, classes, **SUMS.get(name, {}))


@cache
def line(name: str, classes: int = 10) -> curves.Curve:
    """The loss along p_y with a uniform rest (the label's cosine for losses on angles)."""
    return curves.curve(name, None, classes, **SUMS.get(name, {}))


def prepared(name: str, classes: int = 10) -> Probe:
    """The loss at the atlas's setting."""
    return probe(name, classes, **SUMS.get(name, {}))


def sum_path(name: str, p: np.ndarray, classes: int = 10) -> np.ndarray:
    """Sum of the loss over all labels `(n,)` at outputs that give p to one class and the rest equally to the others."""
    loss = prepared(name, classes)
    logits = torch.zeros(len(p), classes, dtype=torch.float64)
    logits[:, 0] = torch.from_numpy(np.log(p / (1 - p)) + math.log(classes - 1))
    return np.asarray(loss.class_sums(loss.from_logits(logits)).detach().numpy())


def wrong_share(name: str, classes: int = 10, truth: float = TRUTH, rate: float = RATE) -> float:
    """Part of the gradient (L1, in the logits) that wrong labels have, in [0, 1], under symmetric noise.

    The network gives `truth` to the true class of every sample and the rest equally to the others; NaN for losses on angles and of
    the whole batch.
    """
    if losses.spec(name).level != "sample" or losses.spec(name).input == "cosines":
        return math.nan
    p = torch.full((classes, classes), (1 - truth) / (classes - 1), dtype=torch.float64)
    p[:, 0] = truth
    size = prepared(name, classes).gradient(_logits(p), torch.arange(classes)).abs().sum(1)
    wrong = rate * float(size[1:].mean())
    return wrong / (wrong + (1 - rate) * float(size[0]))


def kept_truth(name: str, classes: int = 10, rate: float = RATE) -> float:
    """Probability of the true class at the output that minimises the expected loss under pair noise.

    NaN for losses on angles, of the whole batch, and those whose gradient is not that of their value.
    """
    if (
        losses.spec(name).level != "sample"
        or losses.spec(name).input == "cosines"
        or not found(name, classes).conservative
    ):
        return math.nan
    weights = tolerance.noisy_weights("pair", rate, classes)
    if losses.spec(name).input == "logits":
        loss = prepared(name, classes)  # the value may change when all logits grow alike, and a network may let them
        starts = torch.stack([torch.zeros_like(weights), *(3 * torch.eye(classes, dtype=torch.float64)[:2])])
        found_at, lowest = descend(lambda z: loss.all_labels(z) @ weights, starts)
        return float(torch.softmax(found_at[int(lowest.argmin())], 0)[0])
    given: dict[str, Any] = SUMS.get(name, {})  # type: ignore[assignment]
    end = tolerance.minimise(name, weights, polish=False, **given)
    return float((end if end.vertex else tolerance.minimise(name, weights, **given)).p[0])


def push(name: str, classes: int = 10) -> tuple[float, float, float]:
    """What one step does to the logits: of the label (0.2), its rival (0.6) and the other classes together, in shares of the sum of sizes.

    Positive: up. The other classes share the remaining 0.2 equally.
    """
    p = torch.full((1, classes), 0.2 / (classes - 2), dtype=torch.float64)
    p[0, 0], p[0, 1] = 0.2, 0.6
    step = -prepared(name, classes).gradient(_logits(p), torch.zeros(1, dtype=torch.int64))[0]
    step = step / step.abs().sum()
    return float(step[0]), float(step[1]), float(step[2:].sum())


def handicap(name: str, classes: int = 10) -> float:
    """The margin that a loss asks for, at a label of cosine 1/2 (losses on angles) or probability 1/2 (losses on logits).

    Cosines: by how much the label's cosine would have to be smaller for NormFace with the same s to give the same value, the other
    cosines being 0. Logits: by how much the label's logit would have to be smaller for cross entropy to pull as strongly. NaN for other
    losses, and where the loss is no such shift.
    """
    spec = losses.spec(name)
    if spec.input == "logits":
        pull = -float(prepared(name, classes).slope(torch.zeros(1, dtype=torch.float64))[0])
        return math.log(pull / (1 - pull)) if 0 < pull < 1 else math.nan
    if spec.input != "cosines" or name in ("lm_softmax", "nsl"):
        return math.nan
    loss = prepared(name, classes)
    point = torch.zeros(1, classes, dtype=torch.float64)
    point[0, 0] = 0.5
    value = float(loss.at(point, torch.zeros(1, dtype=torch.int64))[0])
    return 0.5 + math.log(math.expm1(value) / (classes - 1)) / float(loss.arguments["s"])


def fading(name: str, classes: int = 10) -> float:
    """Losses on angles: the pull on the label's cosine at 30 degrees, over that at 90 degrees; 1: it never fades. NaN for others."""
    if losses.spec(name).input != "cosines":
        return math.nan
    x = np.cos(np.radians([30.0, 90.0]))
    loss = prepared(name, classes)
    points = torch.zeros(2, classes, dtype=torch.float64)
    points[:, 0] = torch.from_numpy(x)
    pull = loss.gradient(points, torch.zeros(2, dtype=torch.int64))[:, 0]
    return float(pull[0] / pull[1])


def taxonomy(classes: int = 10) -> pd.DataFrame:
    """One row per loss, every entry computed; empty text where a question does not apply.

    Columns: family; of p_y alone; kind; symmetric; sum (over the labels); low, high (of the values); bounded; pair (rate of pair noise up
    to which the clean vertex stays the minimiser, losses of p_y alone); margin; wrong (`wrong_share`, %); truth (`kept_truth`).
    """
    rows = []
    for family, members in families().items():
        for name in members:
            p = found(name, classes)
            rows.append(
                {
                    "family": family,
                    "loss": label(name),
                    "of p_y alone": _yes(p.of_target_only),
                    "kind": _kind(p),
                    "symmetric": "if cosines sum to 0" if p.symmetric_if_zero_sum else _yes(p.symmetric),
                    "sum over labels": _interval(p.class_sum_range),
                    "values": _interval((p.infimum, p.supremum)) if p.infimum is not None else "",
                    "bounded": _yes(p.bounded),
                    "pair noise": _number(p.asymmetric_pair_noise),
                    "margin-based": _margin(name, classes),
                    "wrong %": _number(100 * wrong_share(name, classes), 1),
                    "truth kept": _number(kept_truth(name, classes)),
                }
            )
    return pd.DataFrame(rows).set_index(["family", "loss"])


def counts(table: pd.DataFrame) -> dict[str, int]:
    """How many losses of a `taxonomy` have a property."""
    tests = {
        "active": table["kind"] == "active",
        "passive": table["kind"] == "passive",
        "active + passive": table["kind"] == "active + passive",
        "symmetric": table["symmetric"] != "no",
        "bounded": table["bounded"] == "yes",
        "a function of p_y alone": table["of p_y alone"] == "yes",
        "asymmetric under all pair noise": table["pair noise"] == "0.500",
        "margin-based": table["margin-based"] != "",
    }
    return {name: int((test & (table["values"] != "")).sum()) for name, test in tests.items()}


def disagreements(classes: int = 10) -> list[str]:
    """Losses whose description (`losslab.losses.describe`) says otherwise about symmetry, bounds or kind than was computed."""
    problems = []
    for name in losses.names():
        p, claim = found(name, classes), losses.describe(name).properties
        if p.domain == "batch":
            continue
        symmetric = p.symmetric_if_zero_sum if p.domain == "cosines" and claim.symmetric else p.symmetric
        kind = _kind(p)
        problems += [f"{name}: symmetric"] if bool(claim.symmetric) != symmetric else []
        problems += [f"{name}: bounded"] if claim.bounded and not p.bounded else []
        problems += (
            [f"{name}: kind"] if claim.kind and kind and claim.kind.replace("mixed", "active + passive") != kind else []
        )
    return problems


def same_functions(classes: int = 10, tolerance_: float = 1e-9) -> pd.DataFrame:
    """Losses and settings whose gradient is a constant times another one's at 200 random outputs, for every label.

    One row per loss that equals an earlier one: columns "of" (the earlier one) and "factor".
    """
    draw = torch.Generator().manual_seed(3)
    logits = 2 * torch.randn(200, classes, generator=draw, dtype=torch.float64)
    cosines = probe_cosines(classes)[:200]
    leaders: list[tuple[str, str, torch.Tensor]] = []
    rows = []
    plain = [(name, SUMS.get(name, {})) for name in all_names() if losses.spec(name).level == "sample"]
    for name, given in [*plain, *SPECIAL]:
        domain = "cosines" if losses.spec(name).input == "cosines" else "probabilities"
        points = cosines if domain == "cosines" else logits
        vector = _gradients(probe(name, classes, **given), points)
        for other, place, base in leaders:
            factor = float(vector @ base / (base @ base))
            if (
                place == domain
                and factor > 0
                and float((vector - factor * base).norm()) <= tolerance_ * float(vector.norm())
            ):
                rows.append((_named(name, given), other, factor))
                break
        else:
            leaders.append((_named(name, given), domain, vector))
    return pd.DataFrame(rows, columns=["loss", "of", "factor"]).set_index("loss")


def by_class_size(classes: int = 10) -> pd.DataFrame:
    """Losses that know class sizes: their pull on a label of the largest and of the smallest class.

    Sizes fall from 100 to 1; at p_y = 1/2, or at a cosine of 1/2.
    """
    rows = {}
    rare = torch.logspace(0, 2, classes, dtype=torch.float64)
    for name in losses.names():
        spec = losses.spec(name)
        if "class_counts" not in spec.tensors:
            continue
        x = np.array([0.5])
        sizes = [curves.curve(name, x, classes, class_counts=order) for order in (rare.flip(0), rare)]
        rows[label(name)] = [float(-one.toward_label[0]) for one in sizes]
    return pd.DataFrame(rows, index=["largest class", "smallest class"]).T


def _logits(p: torch.Tensor) -> torch.Tensor:
    """Logits of these probabilities, zero at the last class: for a loss that sees more of the logits than the softmax does."""
    logits = p.log()
    return logits - logits[:, -1:]


def _gradients(loss: Probe, points: torch.Tensor) -> torch.Tensor:
    labels = torch.arange(len(points)) % loss.num_classes
    return loss.gradient(points, labels).flatten()


def _named(name: str, given: Mapping[str, Any]) -> str:
    inside = ", ".join(f"{key}={value:g}" if not isinstance(value, str) else f"{value}" for key, value in given.items())
    return label(name) + (f" ({inside})" if given and name not in SUMS else "")


def _kind(p: Properties) -> str:
    if p.active is None:
        return ""
    return "active + passive" if p.active and p.passive else "active" if p.active else "passive"


def _margin(name: str, classes: int) -> str:
    shift, fade = handicap(name, classes), fading(name, classes)
    if fade > 0.999:
        return "never satisfied"
    return f"{shift:.2f}" if shift > 1e-6 else ""


def _yes(value: bool | None) -> str:
    return "" if value is None else "yes" if value else "no"


def _number(value: float | None, digits: int = 3) -> str:
    return "" if value is None or math.isnan(value) else f"{round(value, 9) + 0.0:.{digits}f}"


def _interval(ends: tuple[float | None, float | None] | None) -> str:
    if ends is None or ends[0] is None or ends[1] is None:
        return ""
    low, high = _short(ends[0]), _short(ends[1])
    return low if low == high else f"{low} to {high}"


def _short(value: float) -> str:
    """Four significant digits, without the noise of the last bits."""
    rounded = round(value, 6)
    return "∞" if value == math.inf else "-∞" if value == -math.inf else f"{rounded + 0.0:.4g}"
