"""Cards: losses that look at the number of training samples of each class."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import Bound, Properties, Text


def _entropy(K: int, eps: float, variant: str) -> float:
    """Entropy of one smoothed target."""
    off = eps / (K if variant == "official" else K - 1)
    on = 1 - eps + (off if variant == "official" else 0.0)
    return -(on * math.log(on) if on > 0 else 0.0) - ((K - 1) * off * math.log(off) if off > 0 else 0.0)


def _low(K: int, h: Mapping[str, Any]) -> float:
    return min(_entropy(K, h["head"], h["variant"]), _entropy(K, h["tail"], h["variant"]))


TEXTS = {
    "label_aware_smoothing": Text(
        title="Label-aware smoothing",
        paper="Zhong, Cui, Liu, Jia: Improving calibration for long-tailed recognition. CVPR 2021",
        formula=r"-(1-\epsilon_y) \log p_y - \frac{\epsilon_y}{K-1} \sum_{j \ne y} \log p_j, \quad "
        r"\epsilon_y = \epsilon_{\mathrm{tail}} + (\epsilon_{\mathrm{head}} - \epsilon_{\mathrm{tail}})\, "
        r"f\!\left(\frac{n_y - n_{\min}}{n_{\max} - n_{\min}}\right)",
        symbols={
            "n_y": "training samples of class y",
            r"\epsilon_{\mathrm{head}}": "head",
            r"\epsilon_{\mathrm{tail}}": "tail",
            "f": "concave: sin(pi r / 2), linear: r, convex: 1 - cos(pi r / 2), power: r^power",
        },
        properties=Properties(kind="mixed", low=Bound("the smaller entropy of the targets of head and tail", _low)),
        defaults={
            "CIFAR-10, imbalance 100": {"head": 0.3, "tail": 0.0, "variant": "official"},
            "CIFAR-10, imbalance 50": {"head": 0.2, "tail": 0.0, "variant": "official"},
            "CIFAR-10, imbalance 10": {"head": 0.1, "tail": 0.0, "variant": "official"},
            "CIFAR-100, imbalance 100": {"head": 0.4, "tail": 0.1, "variant": "official"},
            "CIFAR-100, imbalance 50": {"head": 0.3, "tail": 0.0, "variant": "official"},
            "CIFAR-100, imbalance 10": {"head": 0.2, "tail": 0.0, "variant": "official"},
            "ImageNet-LT, iNaturalist 2018": {"head": 0.3, "tail": 0.0, "variant": "official"},
        },
        variants={
            "paper": "the mass eps_y goes to the other K - 1 classes",
            "official": "it goes to all K classes, the label too: the label keeps 1 - eps_y + eps_y / K",
        },
        sources=("dvlab-research/MiSLAS",),
        notes="MiSLAS uses it in its second stage, on a fixed backbone. Classes of equal size all get the smoothing of the tail. "
        "The shape is called exp in the released code where it is called power here.",
    ),
}
