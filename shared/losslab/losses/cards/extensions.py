"""Cards: losses from neighbouring work."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import Bound, Properties, Text
from losslab.losses.cards.classic import ZERO

LDR = "Zhu, Ying, Yang: Label distributionally robust losses for multi-class classification. ICML 2023"


def _least_ldr(K: int, h: Mapping[str, Any]) -> float:
    """The label far above the rest; official logits are at least 0 and sum to K, so the gap is at most K."""
    rest = (K - 1) * math.exp((h["c"] - K) / h["lam"]) if h["variant"] == "official" else 0.0
    value: float = h["lam"] * (math.log1p(rest) - math.log(K))
    return value


TEXTS = {
    "elr": Text(
        title="Early-learning regularisation",
        paper="Liu, Niles-Weed, Razavian, Fernandez-Granda: Early-learning regularization prevents memorization of noisy labels. NeurIPS 2020",
        formula=r"-\log p_y + \lambda \log (1 - \langle p, t \rangle), \quad t \leftarrow \beta t + (1 - \beta) \tilde p",
        symbols={
            "t": "running average of the sample's predictions, constant for the gradient",
            r"\lambda": "lam",
            r"\beta": "beta",
        },
        defaults={
            "CIFAR-10, symmetric": {"lam": 3.0, "beta": 0.7},
            "CIFAR-10, asymmetric": {"lam": 1.0, "beta": 0.9},
            "CIFAR-100": {"lam": 7.0, "beta": 0.9},
        },
        sources=("shengliu66/ELR",),
        notes="May be negative. The average is moved before it is used. Outside training (no memory) it is cross entropy.",
        cost="a running average of K numbers per sample is read and written in every step",
    ),
    "ldr_kl": Text(
        title="LDR-KL",
        paper=LDR,
        formula=r"\lambda \log \frac{1}{K} \sum_j \exp \frac{z_j - z_y + c\,[j \ne y]}{\lambda}",
        symbols={r"\lambda": "lam, the temperature", "c": "margin"},
        properties=Properties(
            low=Bound("-lam log K; official lam log((1 + (K - 1) exp((c - K) / lam)) / K)", _least_ldr)
        ),
        defaults={"released code": {"lam": 1.0, "c": 2.0, "variant": "official"}},
        variants={
            "paper": "logits as they are",
            "official": "softplus of the logits, divided by its mean over the classes",
        },
        sources=("Optimization-AI/ICML2023_LDR",),
        notes="lam = 1, c = 0 is cross entropy minus log K; lam -> 0 is the multi-class hinge.",
    ),
    "aldr_kl": Text(
        title="ALDR-KL",
        paper=LDR,
        formula=r"\lambda_i \log \frac{1}{K} \sum_j \exp \frac{z_j - z_y + c\,[j \ne y]}{\lambda_i} "
        r"- \frac{\alpha \log K}{2 \lambda} (\lambda_i - \lambda)^2",
        symbols={
            r"\lambda_i": "temperature of the sample, from its previous prediction",
            r"\lambda": "lam",
            r"\alpha": "alpha",
        },
        defaults={"released code": {"lam": 1.0, "c": 1.0, "variant": "official"}},
        variants={"paper": "logits as they are", "official": "logits divided by the mean of their absolute values"},
        sources=("Optimization-AI/ICML2023_LDR",),
        notes="A confident sample gets a low temperature. lam_i stays at or above lam / 1000. Outside training lam_i = lam.",
        cost="each step takes two softmaxes of the logits: one at the previous temperature, for the new one, and one at the new",
    ),
    "squentropy": Text(
        title="Squentropy",
        paper="Hui, Belkin, Wright: Cut your losses with squentropy. ICML 2023",
        formula=r"-\log p_y + \frac{1}{K - 1} \sum_{j \ne y} z_j^2",
        properties=Properties(kind="mixed", low=ZERO),
    ),
    "encouraging": Text(
        title="Encouraging loss",
        paper="Zhao et al.: Well-classified examples are underestimated in classification with deep neural networks. AAAI 2022",
        formula=r"-\log p_y + \log (1 - p_y), \quad \text{the second term along its tangent for } p_y > \mathrm{le}",
        properties=Properties(
            low=Bound("log(1 - le) - 1, le at most 1 - 1e-5", lambda K, h: math.log1p(-min(h["le"], 1 - 1e-5)) - 1),
        ),
        defaults={"default": {"le": 0.75}, "cautious": {"le": 0.5}},
        sources=("lancopku/well-classified-examples-are-underestimated",),
        notes="May be negative. le = 1 is log((1 - p_y) / p_y): the label leaves the denominator, as in LM-Softmax.",
    ),
}
