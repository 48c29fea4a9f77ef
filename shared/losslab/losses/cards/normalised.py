"""Cards: the normalised losses."""

from __future__ import annotations

from dataclasses import replace

from losslab.losses.cards import Bound, Properties, Text
from losslab.losses.cards.classic import ONE, ZERO

APL = (
    "Ma, Huang, Wang, Romano, Erfani, Bailey: Normalized loss functions for deep learning with noisy labels. ICML 2020"
)
CODE = ("HanxunH/Active-Passive-Losses",)
ACTIVE = Properties(kind="active", symmetric=True, class_sum_low=ONE, class_sum_high=ONE, low=ZERO, high=ONE)


def _nmae(K: int, h: object) -> float:
    return 1.0 if h["variant"] == "paper" else 0.5  # type: ignore[index]


def _nrce(K: int, h: object) -> float:
    return 1.0 if h["variant"] == "paper" else -h["A"] * 0.25 * (K - 1) ** 2  # type: ignore[index]


TEXTS = {
    "nce": Text(
        title="Normalised cross entropy",
        paper=APL,
        formula=r"\frac{-\log p_y}{-\sum_{k} \log p_k}",
        properties=ACTIVE,
        defaults={
            "NCE+MAE or NCE+RCE, MNIST and CIFAR-10": {"alpha": 1.0, "beta": 1.0},
            "NCE+MAE or NCE+RCE, MNIST, released configuration": {"alpha": 1.0, "beta": 10.0},
            "NCE+MAE, CIFAR-100": {"alpha": 10.0, "beta": 1.0},
            "NCE+RCE, CIFAR-100": {"alpha": 10.0, "beta": 0.1},
            "NCE+MAE, WebVision": {"alpha": 50.0, "beta": 1.0},
            "NCE+RCE, WebVision": {"alpha": 50.0, "beta": 0.1},
        },
        sources=CODE,
        notes="1 / K at the uniform prediction. Falls when the other probabilities move away from uniform at the same p_y.",
    ),
    "nfl": Text(
        title="Normalised focal loss",
        paper=APL,
        formula=r"\frac{(1-p_y)^\gamma \log p_y}{\sum_k (1-p_k)^\gamma \log p_k}",
        symbols={r"\gamma": "gamma"},
        properties=ACTIVE,
        defaults={
            "all": {"gamma": 0.5},
            "NFL+MAE, CIFAR-100": {"alpha": 10.0, "beta": 1.0},
            "NFL+RCE, CIFAR-100": {"alpha": 10.0, "beta": 0.1},
        },
        variants={
            "paper": "gradient of the whole formula",
            "official": "the factors (1 - p)^gamma are constants for the gradient",
        },
        sources=CODE,
        cost="a power (1 - p_k)^gamma of every class in the value and another in the gradient, where cross entropy takes one exponential",
    ),
    "ngce": Text(
        title="Normalised L_q",
        paper=APL,
        formula=r"\frac{1 - p_y^{\,q}}{K - \sum_k p_k^{\,q}}",
        properties=replace(
            ACTIVE, high=Bound("1 / (K - (K - 1)^(1 - q))", lambda K, h: 1 / (K - (K - 1) ** (1 - h["q"])))
        ),
        defaults={
            "CIFAR-10": {"q": 0.7},
            "CIFAR-100": {"q": 0.2},
            "released configuration, MNIST and CIFAR-10": {"q": 0.1},
            "released configuration, CIFAR-100": {"q": 0.7},
        },
        sources=CODE,
    ),
    "nmae": Text(
        title="Normalised mean absolute error",
        paper=APL,
        formula=r"\frac{1 - p_y}{K - 1}",
        properties=Properties(
            kind="passive",
            symmetric=True,
            class_sum_low=Bound("1; official 1/2", _nmae),
            class_sum_high=Bound("1; official 1/2", _nmae),
            low=ZERO,
            high=Bound("1 / (K - 1); official half", lambda K, h: _nmae(K, h) / (K - 1)),
            ratio=ONE,
        ),
        variants={"paper": "sum over labels 1", "official": "half of it"},
        sources=CODE,
    ),
    "nrce": Text(
        title="Normalised reverse cross entropy",
        paper=APL,
        formula=r"\frac{-A (1 - p_y)}{-A (K - 1)} = \frac{1 - p_y}{K - 1}",
        symbols={"A": "the value of log 0; cancels"},
        properties=Properties(
            kind="passive",
            symmetric=True,
            class_sum_low=Bound("1; official -A (K - 1)^2 / 4", _nrce),
            class_sum_high=Bound("1; official -A (K - 1)^2 / 4", _nrce),
            low=ZERO,
            high=Bound("1 / (K - 1); official -A (K - 1) / 4", lambda K, h: _nrce(K, h) / (K - 1)),
            ratio=ONE,
        ),
        variants={
            "paper": "the same function as NMAE",
            "official": "multiplied by (K - 1) / 4 instead of divided by -A (K - 1): sum over labels 186.5 for K = 10, 22568 for K = 100",
        },
        sources=CODE,
        notes="Published curves of NRCE were drawn with the official factor; they differ from those of NMAE only for that reason.",
    ),
}
