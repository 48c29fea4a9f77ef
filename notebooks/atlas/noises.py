"""The noise atlas in numbers: matrices of every kind, realised against nominal rates, and what the codes mean by one rate.

Nothing here is random from run to run: every draw comes from a named stream of the library.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import torch

from losslab import data, noise
from losslab.data import Dataset

RATE = 0.4
MNIST_SIZES = (5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949)
"""Training images per class of MNIST."""


@dataclass(frozen=True)
class Variant:
    """One published way to make labels wrong: who uses it, on which class sizes, and the arguments of `losslab.noise`."""

    name: str
    users: str
    sizes: str  # key of SIZES
    kind: str
    draw: str = "multinomial"
    options: Mapping[str, Any] = field(default_factory=dict)


SIZES: dict[str, tuple[int, ...]] = {
    "CIFAR-10": (5000,) * 10,
    "CIFAR-100": (500,) * 100,
    "MNIST": MNIST_SIZES,
    "Fashion-MNIST, bags or not": (6000, 54000),
}

VARIANTS: tuple[Variant, ...] = (
    Variant("to another class, a coin per image", "GCE, IMAE (2020), L_DMI's code since 2020", "CIFAR-10", "symmetric"),
    Variant(
        "to another class, the same count in every class",
        "codes of SCE, APL, ALF, SR",
        "CIFAR-10",
        "symmetric",
        "exact_equal",
    ),
    Variant(
        "to another class, the same count in every class", "codes of SCE and APL", "MNIST", "symmetric", "exact_equal"
    ),
    Variant("drawn anew from all classes", "L_DMI (2019), IMAE (2019)", "CIFAR-10", "symmetric_inclusive"),
    Variant("five flips, at once", "GCE", "CIFAR-10", "asymmetric", "multinomial", {"flip_map": "cifar10"}),
    Variant(
        "five flips, one after the other in place",
        "codes of APL, ALF, SR",
        "CIFAR-10",
        "asymmetric",
        "exact",
        {"flip_map": "cifar10", "sequential": True},
    ),
    Variant(
        "four flips, cat to dog one way",
        "L_DMI",
        "CIFAR-10",
        "class_dependent",
        "multinomial",
        {"matrix": "l_dmi_cifar10"},
    ),
    Variant("five flips", "APL, ALF, SR", "MNIST", "asymmetric", "multinomial", {"flip_map": "mnist"}),
    Variant("to the next class of ten", "unofficial GCE code", "CIFAR-10", "pair"),
    Variant(
        "bags and clothes exchanged, each with half the rate",
        "L_DMI, case 1",
        "Fashion-MNIST, bags or not",
        "class_dependent",
        "multinomial",
        {"matrix": "l_dmi_fashion_1"},
    ),
    Variant(
        "bags become clothes",
        "L_DMI, case 2",
        "Fashion-MNIST, bags or not",
        "class_dependent",
        "multinomial",
        {"matrix": "l_dmi_fashion_2"},
    ),
    Variant(
        "clothes become bags",
        "L_DMI, case 3",
        "Fashion-MNIST, bags or not",
        "class_dependent",
        "multinomial",
        {"matrix": "l_dmi_fashion_3"},
    ),
    Variant(
        "ring in blocks of five class numbers",
        "codes of APL, ALF, SR",
        "CIFAR-100",
        "superclass_ring",
        "multinomial",
        {"superclass": "blocks"},
    ),
    Variant(
        "ring in the real super-classes",
        "the papers' words",
        "CIFAR-100",
        "superclass_ring",
        "multinomial",
        {"superclass": "cifar100"},
    ),
    Variant(
        "random pairs in blocks of five class numbers",
        "code of SCE",
        "CIFAR-100",
        "superclass_pair",
        "multinomial",
        {"superclass": "blocks"},
    ),
    Variant(
        "random pairs in the real super-classes",
        "IMAE",
        "CIFAR-100",
        "superclass_pair",
        "exact",
        {"superclass": "cifar100"},
    ),
)


def pictures(rate: float = RATE) -> dict[str, np.ndarray]:
    """Title -> transition matrix `(10, 10)` of every kind that has one, and of the published forms of it."""
    ten: dict[str, tuple[str, dict[str, Any]]] = {
        "symmetric": ("symmetric", {}),
        "symmetric_inclusive": ("symmetric_inclusive", {}),
        "pair": ("pair", {}),
        "asymmetric, CIFAR-10": ("asymmetric", {"flip_map": "cifar10"}),
        "the same, in place": ("asymmetric", {"flip_map": "cifar10", "sequential": True}),
        "one way, l_dmi_cifar10": ("class_dependent", {"matrix": "l_dmi_cifar10"}),
        "asymmetric, MNIST": ("asymmetric", {"flip_map": "mnist"}),
        "asymmetric, Fashion-MNIST": ("asymmetric", {"flip_map": "fashion_mnist"}),
        "superclass_ring": ("superclass_ring", {"superclass": "blocks"}),
        "superclass_uniform": ("superclass_uniform", {"superclass": "blocks"}),
        "superclass_pair": ("superclass_pair", {"superclass": "blocks", "seed": 1}),
    }
    return {title: noise.transition_matrix(kind, 10, rate, **options) for title, (kind, options) in ten.items()}


def two_class(rate: float = RATE) -> dict[str, np.ndarray]:
    """The named matrices of two classes."""
    named = {name: noise.named_matrix(name, rate) for name in noise.matrix_names()}
    return {name: matrix for name, matrix in named.items() if matrix.shape == (2, 2)}


def tolerated(classes: int = 10) -> pd.DataFrame:
    """Per kind the highest rate at which every true class keeps the most labels of its own row, and the wrong labels there."""
    rows = []
    cases: dict[str, tuple[str, dict[str, Any]]] = {
        "symmetric": ("symmetric", {}),
        "symmetric_inclusive": ("symmetric_inclusive", {}),
        "pair": ("pair", {}),
        "asymmetric, CIFAR-10": ("asymmetric", {"flip_map": "cifar10"}),
        "the same, in place": ("asymmetric", {"flip_map": "cifar10", "sequential": True}),
        "superclass_uniform": ("superclass_uniform", {"superclass": "blocks"}),
        "superclass_pair": ("superclass_pair", {"superclass": "blocks", "seed": 1}),
    }
    for title, (kind, options) in cases.items():
        low, high = 0.0, 1.0
        for _ in range(40):
            middle = (low + high) / 2
            matrix = noise.transition_matrix(kind, classes, middle, **options)
            low, high = (middle, high) if _majority(matrix) > 1e-12 else (low, middle)
        wrong = 1 - np.diag(noise.transition_matrix(kind, classes, low, **options)).mean()
        rows.append((title, f"{low:.3f}", f"{100 * wrong:.1f}"))
    return pd.DataFrame(rows, columns=["kind", "rate", "wrong labels there, %"]).set_index("kind")


def meaning(rate: float = RATE, seed: int = 1) -> pd.DataFrame:
    """What a nominal rate is in every published variant, on labels with the class sizes of the papers' data sets."""
    rows = []
    for variant in VARIANTS:
        sizes = np.array(SIZES[variant.sizes])
        labels = np.repeat(np.arange(len(sizes)), sizes)
        options: dict[str, Any] = {"draw": variant.draw, **variant.options}
        given = noise.corrupt(labels, variant.kind, rate, seed, num_classes=len(sizes), **options)
        matrix, wrong = noise.realised(labels, given, len(sizes))
        own = 1 - np.diag(matrix)
        rows.append(
            {
                "data": variant.sizes,
                "what": variant.name,
                "used by": variant.users,
                "n": f"{len(labels):,}",
                "wrong, %": f"{100 * expected(variant, rate, seed):.1f}",
                "realised, %": f"{100 * wrong:.2f}",
                "noisy classes": f"{int((own > 0).sum())} of {len(sizes)}",
                "in the worst class, %": f"{100 * own.max():.1f}",
            }
        )
    return pd.DataFrame(rows).set_index(["data", "what"])


def expected(variant: Variant, rate: float = RATE, seed: int = 1) -> float:
    """Expected share of wrong labels, in [0, 1]: from the transition matrix and the class sizes, or the counts of the draw."""
    sizes = np.array(SIZES[variant.sizes], dtype=float)
    if variant.draw == "exact_equal":
        return float(np.floor(np.floor(rate * sizes.sum() + 1e-9) / len(sizes)) * len(sizes) / sizes.sum())
    options = {**variant.options, **({"seed": seed} if variant.kind == "superclass_pair" else {})}
    matrix = noise.transition_matrix(variant.kind, len(sizes), rate, **options)
    return float((sizes * (1 - np.diag(matrix))).sum() / sizes.sum())


def blocks_inside() -> float:
    """Share of the flips of a ring in blocks of five class numbers of CIFAR-100 that stay inside the real super-class."""
    matrix = noise.transition_matrix("superclass_ring", 100, 1.0, superclass="blocks")
    groups = noise.superclasses("cifar100", 100)
    return float((groups[matrix.argmax(axis=1)] == groups).mean())


def settings(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """Every kind on the digits: arguments of `noise.corrupt` besides labels, rate, seed and draw."""
    return {
        "symmetric": {"kind": "symmetric"},
        "symmetric_inclusive": {"kind": "symmetric_inclusive"},
        "pair": {"kind": "pair"},
        "asymmetric (CIFAR-10's flips)": {"kind": "asymmetric", "flip_map": "cifar10"},
        "asymmetric, in place": {"kind": "asymmetric", "flip_map": "cifar10", "sequential": True},
        "class_dependent (l_dmi_cifar10)": {"kind": "class_dependent", "matrix": "l_dmi_cifar10"},
        "superclass_ring": {"kind": "superclass_ring", "superclass": "blocks"},
        "superclass_uniform": {"kind": "superclass_uniform", "superclass": "blocks"},
        "superclass_pair": {"kind": "superclass_pair", "superclass": "blocks"},
        "instance": {"kind": "instance", "features": dataset.train_images},
    }


def realised_rates(dataset: Dataset, seeds: int, rate: float = RATE) -> pd.DataFrame:
    """Per kind and draw on a data set: nominal rate, expected and realised wrong labels (%), mean, least and most over the seeds."""
    labels, classes = dataset.train_labels, dataset.num_classes
    sizes = np.bincount(labels.numpy(), minlength=classes)
    rows = []
    for name, given in settings(dataset).items():
        for draw in noise.draws():
            if draw == "exact_equal" and name != "symmetric":
                continue  # one rate for all classes: the official codes use it for symmetric noise
            shares = [
                _wrong(labels, draw=draw, rate=rate, seed=seed, classes=classes, **given)
                for seed in range(1, seeds + 1)
            ]
            rows.append((name, draw, f"{100 * rate:.0f}", _expected_on(sizes, given, rate, seeds), *_spread(shares)))
    columns = ["kind", "draw", "nominal", "expected", "realised", "least", "most"]
    return pd.DataFrame(rows, columns=columns).set_index(["kind", "draw"])


def per_class(dataset: Dataset, seeds: int, rate: float = RATE) -> dict[str, np.ndarray]:
    """Draw -> realised share of wrong labels `(seeds, K)` per true class under symmetric noise."""
    found: dict[str, list[np.ndarray]] = {}
    for draw in noise.draws():
        for seed in range(1, seeds + 1):
            how: Any = draw
            given = noise.corrupt(
                dataset.train_labels, "symmetric", rate, seed, num_classes=dataset.num_classes, draw=how
            )
            matrix, _ = noise.realised(dataset.train_labels, given, dataset.num_classes)
            found.setdefault(draw, []).append(1 - np.diag(matrix))
    return {draw: np.array(rows) for draw, rows in found.items()}


def nested(dataset: Dataset, seed: int = 1) -> dict[str, float]:
    """How realisations of one seed at 0.2 and 0.4, and of two seeds at 0.4, overlap: shares of the smaller set of wrong labels."""
    labels = dataset.train_labels
    low, high, other = (
        noise.corrupt(labels, "symmetric", rate, s, num_classes=dataset.num_classes)
        for rate, s in ((0.2, seed), (0.4, seed), (0.4, seed + 1))
    )
    wrong = low != labels
    return {
        "same seed, 0.2 inside 0.4": float((high != labels)[wrong].float().mean()),
        "to the same class": float((high == low)[wrong].float().mean()),
        "another seed, 0.4 and 0.4": float((other != labels)[high != labels].float().mean()),
    }


@dataclass(frozen=True, eq=False)
class Instance:
    """Instance-dependent noise on a data set: scores `(n,)`, the class that each sample is taken for, and given labels by sharpness."""

    score: np.ndarray
    other: np.ndarray
    given: dict[float, np.ndarray]

    def by_fifth(self, labels: np.ndarray) -> pd.DataFrame:
        """Share of wrong labels (%) by fifth of the score, from the least to the most confusable samples."""
        fifth = np.argsort(np.argsort(self.score, kind="stable"), kind="stable") * 5 // len(self.score)
        return pd.DataFrame(
            {
                f"sharpness {s:g}": [100 * float((g != labels)[fifth == k].mean()) for k in range(5)]
                for s, g in self.given.items()
            },
            index=pd.Index(range(1, 6), name="fifth"),
        )


def instance(
    dataset: Dataset, sharpness: tuple[float, ...] = (0.0, 2.0, 8.0), rate: float = RATE, seed: int = 1
) -> Instance:
    """Instance-dependent noise at several degrees of dependence; the pixels are the features."""
    labels = dataset.train_labels.numpy()
    other, score = noise.confusable(labels, dataset.train_images, dataset.num_classes)
    given = {
        s: noise.corrupt(
            labels, "instance", rate, seed, num_classes=dataset.num_classes, features=dataset.train_images, sharpness=s
        )
        for s in sharpness
    }
    return Instance(score, other, given)


def strangers(rate: float = RATE, seed: int = 1) -> tuple[Dataset, torch.Tensor, np.ndarray]:
    """glyphs-10 with open-set noise: the data set, its training images with strangers among them, and which were replaced."""
    glyphs = data.load("glyphs-10")
    mixed, replaced = noise.open_set(
        glyphs.train_images, glyphs.train_labels, glyphs.extra["held_out_images"], rate, seed
    )
    return glyphs, mixed, replaced


def imbalance(ratios: tuple[float, ...] = (1, 10, 50, 100), largest: int = 5000, classes: int = 10) -> pd.DataFrame:
    """Class sizes of long-tailed and step imbalance, one column per kind and ratio."""
    counts = [largest] * classes
    columns = {("long-tailed", ratio): noise.imbalance.long_tailed(counts, ratio) for ratio in ratios}
    columns |= {("step", ratio): noise.imbalance.step(counts, ratio) for ratio in ratios if ratio > 1}
    return pd.DataFrame(columns, index=pd.Index(range(classes), name="class"))


def _majority(matrix: np.ndarray) -> float:
    """The least lead of the true class over the next label, over all rows."""
    others = matrix - 2 * np.eye(len(matrix))
    return float((np.diag(matrix) - others.max(axis=1)).min())


def _wrong(labels: torch.Tensor, *, kind: str, rate: float, seed: int, classes: int, **options: Any) -> float:
    return float((noise.corrupt(labels, kind, rate, seed, num_classes=classes, **options) != labels).float().mean())


def _expected_on(sizes: np.ndarray, given: dict[str, Any], rate: float, seeds: int) -> str:
    """Wrong labels (%) that the transition matrix and the class sizes ask for; random pairs: mean over the seeds."""
    if given["kind"] == "instance":
        return f"{100 * rate:.2f}"
    options = {key: value for key, value in given.items() if key != "kind"}
    choices: list[dict[str, Any]] = (
        [{"seed": s} for s in range(1, seeds + 1)] if given["kind"] == "superclass_pair" else [{}]
    )
    shares = [
        (sizes * (1 - np.diag(noise.transition_matrix(given["kind"], len(sizes), rate, **options, **one)))).sum()
        / sizes.sum()
        for one in choices
    ]
    return f"{100 * float(np.mean(shares)):.2f}"


def _spread(shares: list[float]) -> tuple[str, str, str]:
    return tuple(f"{100 * value:.2f}" for value in (np.mean(shares), min(shares), max(shares)))  # type: ignore[return-value]
