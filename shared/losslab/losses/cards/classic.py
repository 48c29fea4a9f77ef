"""Cards: cross entropy, its smoothed and focal forms, mean absolute and squared error."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import Bound, Properties, Text

ZERO = Bound("0", lambda K, h: 0.0)
ONE = Bound("1", lambda K, h: 1.0)
NEVER = Bound("inf", lambda K, h: math.inf)
LOG_SUM = Bound("K log K", lambda K, h: K * math.log(K))
GHOSH = "Ghosh, Kumar, Sastry: Robust loss functions under label noise for deep neural networks. AAAI 2017"


def _least_smoothed(K: int, h: Mapping[str, Any]) -> float:
    """The smallest cross entropy against the smoothed target t: `-sum_k t_k log(t_k / sum t)`, at p = t / sum t."""
    official = h["variant"] == "official"
    spread: float = h["eps"] / (10 if official else K)
    hit = 1 - h["eps"] + (0.0 if official else spread)
    total = hit + (K - 1) * spread
    rest = (K - 1) * spread * math.log(spread / total) if spread > 0 else 0.0
    return -hit * math.log(hit / total) - rest


def _smoothing_sum(K: int, h: Mapping[str, Any]) -> float:
    share: float = 1.0 if h["variant"] == "paper" else 1 - 1.1 * h["eps"] + 0.1 * h["eps"] * K
    return share * K * math.log(K)


TEXTS = {
    "ce": Text(
        title="Cross entropy",
        paper="the usual loss; called CCE, CE or softmax loss in the nine papers",
        formula=r"-\log p_y",
        properties=Properties(kind="active", class_sum_low=LOG_SUM, low=ZERO, ratio=NEVER),
        notes="Soft targets t: -sum_k t_k log p_k.",
    ),
    "mae": Text(
        title="Mean absolute error",
        paper=GHOSH,
        formula=r"\sum_k |t_k - p_k| = 2\,(1 - p_y)",
        symbols={"t": "one-hot or soft target"},
        properties=Properties(
            kind="passive",
            symmetric=True,
            class_sum_low=Bound(
                "2 (K - 1); official K - 1", lambda K, h: (2.0 if h["variant"] == "paper" else 1.0) * (K - 1)
            ),
            class_sum_high=Bound(
                "2 (K - 1); official K - 1", lambda K, h: (2.0 if h["variant"] == "paper" else 1.0) * (K - 1)
            ),
            low=ZERO,
            high=Bound("2; official 1", lambda K, h: 2.0 if h["variant"] == "paper" else 1.0),
            ratio=ONE,
        ),
        variants={"paper": "sum of absolute errors, 2 (1 - p_y)", "official": "1 - p_y, as in the APL and IMAE codes"},
        sources=(
            "HanxunH/Active-Passive-Losses",
            "hitcszx/ALFs",
            "XinshaoAmosWang/Improving-Mean-Absolute-Error-against-CCE",
        ),
        notes="The codes disagree: hitcszx/ALFs has the factor 2 in MAE, but not in NCE+MAE. A factor acts like a learning rate.",
    ),
    "mse": Text(
        title="Squared error",
        paper=GHOSH,
        formula=r"\sum_k (t_k - p_k)^2 = 1 - 2 p_y + \lVert p \rVert_2^2",
        symbols={"t": "one-hot or soft target"},
        properties=Properties(
            kind="passive",
            class_sum_low=Bound("K - 1", lambda K, h: K - 1.0),
            class_sum_high=Bound("2 (K - 1)", lambda K, h: 2.0 * (K - 1)),
            low=ZERO,
            high=Bound("2", lambda K, h: 2.0),
        ),
        notes="Bounded but not symmetric: the sum over labels is K ||p||^2 + K - 2.",
    ),
    "label_smoothing": Text(
        title="Label smoothing",
        paper="Szegedy et al.: Rethinking the inception architecture for computer vision. CVPR 2016",
        formula=r"-\sum_k \left((1-\epsilon)\, t_k + \tfrac{\epsilon}{K}\right) \log p_k",
        symbols={"t": "one-hot or soft target", r"\epsilon": "eps"},
        properties=Properties(
            kind="mixed",
            class_sum_low=Bound("K log K; official times 1 - 1.1 eps + 0.1 eps K", _smoothing_sum),
            low=Bound("-sum_k t_k log(t_k / sum t) of the smoothed target t, its entropy", _least_smoothed),
        ),
        variants={
            "paper": "targets 1 - eps + eps / K and eps / K",
            "official": "targets 1 - eps and eps / 10 whatever K, which sum to 0.99 for K = 10, eps = 0.1",
        },
        sources=("YisenWang/symmetric_cross_entropy_for_noisy_labels",),
    ),
    "focal": Text(
        title="Focal loss",
        paper="Lin, Goyal, Girshick, He, Dollar: Focal loss for dense object detection. ICCV 2017",
        formula=r"-(1 - p_y)^{\gamma} \log p_y",
        symbols={r"\gamma": "gamma"},
        properties=Properties(
            kind="active",
            class_sum_low=Bound("K (1 - 1/K)^gamma log K", lambda K, h: K * (1 - 1 / K) ** h["gamma"] * math.log(K)),
            low=ZERO,
            ratio=NEVER,
        ),
        defaults={
            "all": {"gamma": 0.5},
            "CIFAR margin experiments": {"gamma": 1.0, "variant": "official"},
            "original paper": {"gamma": 2.0},
        },
        variants={
            "paper": "gradient of the whole formula",
            "official": "the factor (1 - p)^gamma is a constant for the gradient: the gradient of cross entropy times it",
        },
        sources=("HanxunH/Active-Passive-Losses", "hitcszx/ALFs", "hitcszx/lnl_sr", "fyzdalao/MarginTraining"),
        notes="All four codes detach the factor, so their results are those of variant official.",
    ),
    "poly1": Text(
        title="Poly-1",
        paper="Leng et al.: PolyLoss: A polynomial expansion perspective of classification loss functions. ICLR 2022",
        formula=r"-\log p_y + \epsilon\,(1 - p_y)",
        symbols={r"\epsilon": "eps"},
        properties=Properties(
            kind="active",
            class_sum_low=Bound("K log K + eps (K - 1)", lambda K, h: K * math.log(K) + h["eps"] * (K - 1)),
            low=ZERO,
            ratio=NEVER,
        ),
        sources=("abhuse/polyloss-pytorch",),
        notes="Active as written; as a function it is cross entropy plus eps / 2 times the mean absolute error, which is written passively.",
    ),
}
