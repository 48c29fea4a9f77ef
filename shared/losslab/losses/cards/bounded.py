"""Cards: L_q and its relatives, reverse and symmetric cross entropy, IMAE, the asymmetric losses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import Bound, Properties, Text
from losslab.losses.cards.classic import ONE, ZERO

GCE = "Zhang, Sabuncu: Generalized cross entropy loss for training deep neural networks with noisy labels. NeurIPS 2018"
SCE = "Wang, Ma, Chen, Luo, Yi, Bailey: Symmetric cross entropy for robust learning with noisy labels. ICCV 2019"
ALF = "Zhou, Liu, Jiang, Gao, Ji: Asymmetric loss functions for learning with noisy labels. ICML 2021"
IMAE = "Wang, Hua, Kodirov, Clifton, Robertson: IMAE for noise-robust learning. arXiv 1903.12141"
Hyper = Mapping[str, Any]


def _power_sum(K: int, s: float) -> float:
    """Sum over labels at the uniform prediction of (p^-s - 1) / s."""
    return K * math.log(K) if s == 0 else K * (K**s - 1) / s


def _comp_sum_low(K: int, h: Hyper) -> float:
    return min(_power_sum(K, 1 - h["tau"]), (K - 1) / (h["tau"] - 1) if h["tau"] > 1 else math.inf)


def _comp_sum_high(K: int, h: Hyper) -> float:
    return max(_power_sum(K, 1 - h["tau"]), (K - 1) / (h["tau"] - 1)) if h["tau"] > 1 else math.inf


def _limit(h: Hyper) -> float:
    return float((1 - h["k"] ** h["q"]) / h["q"])


def _truncated_low(K: int, h: Hyper) -> float:
    if h["variant"] == "direct":
        d = max(1.0, (1 - h["q"]) ** (1 / h["q"]) / h["k"])
        return float((K - d) * _limit(h) + d * (1 - d ** -h["q"]) / h["q"])
    return _power_sum(K, -h["q"]) - K * _limit(h)


def _truncated_high(K: int, h: Hyper) -> float:
    return K * _limit(h) if h["variant"] == "direct" else (K - 1) / h["q"] - K * _limit(h)


def _agce_ends(K: int, h: Hyper) -> tuple[float, float]:
    a, q = h["a"], h["q"]
    return K * ((a + 1) ** q - (a + 1 / K) ** q) / q, (K - 1) * ((a + 1) ** q - a**q) / q


def _aul_ends(K: int, h: Hyper) -> tuple[float, float]:
    a, p = h["a"], h["p"]
    return K * ((a - 1 / K) ** p - (a - 1) ** p) / p, (K - 1) * (a**p - (a - 1) ** p) / p


TEXTS = {
    "gce": Text(
        title="Generalised cross entropy, L_q",
        paper=GCE,
        formula=r"\frac{1 - p_y^{\,q}}{q}",
        properties=Properties(
            kind="active",
            class_sum_low=Bound("(K - K^(1 - q)) / q", lambda K, h: _power_sum(K, -h["q"])),
            class_sum_high=Bound("(K - 1) / q", lambda K, h: (K - 1) / h["q"]),
            low=ZERO,
            high=Bound("1 / q", lambda K, h: 1 / h["q"]),
            ratio=Bound("inf; 1 for q = 1", lambda K, h: 1.0 if h["q"] == 1 else math.inf),
        ),
        defaults={
            "all": {"q": 0.7},
            "inside GCE+SR, MNIST and CIFAR-10": {"q": 0.01},
            "inside GCE+SR, CIFAR-100": {"q": 0.001},
        },
        sources=("AlanChou/Truncated-Loss (not by the authors)", "HanxunH/Active-Passive-Losses", "Newbeeer/L_DMI"),
        notes="q -> 0 is cross entropy; q = 1 is 1 - p_y, half of the mean absolute error.",
    ),
    "truncated_gce": Text(
        title="Truncated L_q with alternating pruning",
        paper=GCE,
        equation="Eqs. 12, 13, Algorithm 1",
        formula=r"w \left(\frac{1 - p_y^{\,q}}{q} - L_q(k)\right), \quad w \leftarrow [\,p_y \ge k\,] \text{ at each pruning},"
        r"\quad L_q(k) = \frac{1 - k^q}{q}",
        symbols={"w": "0/1 weight of the sample, kept between prunings"},
        properties=Properties(
            kind="active",
            class_sum_low=Bound("direct: d L_q(1/d) + (K - d) L_q(k), d = max(1, (1 - q)^(1/q) / k)", _truncated_low),
            class_sum_high=Bound("direct: K L_q(k)", _truncated_high),
            low=Bound("-L_q(k); direct 0", lambda K, h: 0.0 if h["variant"] == "direct" else -_limit(h)),
            high=Bound(
                "1/q - L_q(k); direct L_q(k)",
                lambda K, h: _limit(h) if h["variant"] == "direct" else 1 / h["q"] - _limit(h),
            ),
            condition="the bounds of variants paper and official are those with all weights 1",
        ),
        defaults={
            "CIFAR-10": {"q": 0.7, "k": 0.5},
            "CIFAR-100": {"q": 0.7, "k": 0.5},
        },
        variants={
            "paper": "mean over the kept samples: pruning does not shrink the step",
            "official": "mean over the whole batch, as in the best-known code (not by the authors): pruning shrinks the step",
            "direct": "plain truncation L_q(max(p_y, k)) in every step, no memory",
        },
        sources=("AlanChou/Truncated-Loss (not by the authors)",),
        notes="First pruning at epoch 40 (CIFAR-10) or 80 (CIFAR-100), then every 10 epochs. Values are negative once p_y > k.",
    ),
    "comp_sum": Text(
        title="Comp-sum losses",
        paper="Mao, Mohri, Zhong: Cross-entropy loss functions: theoretical analysis and applications. ICML 2023",
        formula=r"\frac{(1 + u)^{1 - \tau} - 1}{1 - \tau}, \quad 1 + u = \frac{1}{p_y}",
        symbols={r"\tau": "tau; 0 sum of exponentials, 1 cross entropy, 1 + q is L_q, 2 is 1 - p_y"},
        properties=Properties(
            kind="active",
            class_sum_low=Bound(
                "K (K^(1 - tau) - 1) / (1 - tau), for tau <= 2; then (K - 1) / (tau - 1)", _comp_sum_low
            ),
            class_sum_high=Bound(
                "(K - 1) / (tau - 1) for 1 < tau <= 2; else none or the expression on the left", _comp_sum_high
            ),
            low=ZERO,
            high=Bound(
                "1 / (tau - 1) for tau > 1, else inf", lambda K, h: 1 / (h["tau"] - 1) if h["tau"] > 1 else math.inf
            ),
        ),
    ),
    "rce": Text(
        title="Reverse cross entropy",
        paper=SCE,
        formula=r"-\sum_k p_k \log t_k = -A\,(1 - p_y), \quad \log 0 := A",
        symbols={"t": "one-hot target"},
        properties=Properties(
            kind="passive",
            symmetric=True,
            class_sum_low=Bound("-A (K - 1)", lambda K, h: -h["A"] * (K - 1)),
            class_sum_high=Bound("-A (K - 1)", lambda K, h: -h["A"] * (K - 1)),
            low=ZERO,
            high=Bound("-A", lambda K, h: -h["A"]),
            ratio=ONE,
        ),
        defaults={
            "released codes, all data sets": {"A": math.log(1e-4)},
            "quoted from the papers": {"A": -4.0},
            "a re-run": {"A": -6.0},
        },
        sources=("YisenWang/symmetric_cross_entropy_for_noisy_labels", "HanxunH/Active-Passive-Losses"),
        notes="The codes clamp the one-hot label at 1e-4 and use natural logarithms: A = -9.21. A = -2 is the mean absolute error.",
    ),
    "sce": Text(
        title="Symmetric cross entropy",
        paper=SCE,
        formula=r"-\alpha \log p_y - \beta A\,(1 - p_y)",
        symbols={r"\alpha, \beta": "weights of cross entropy and reverse cross entropy"},
        properties=Properties(
            kind="mixed",
            class_sum_low=Bound(
                "alpha K log K - beta A (K - 1)",
                lambda K, h: h["alpha"] * K * math.log(K) - h["beta"] * h["A"] * (K - 1),
            ),
            low=ZERO,
        ),
        defaults={
            "MNIST": {"alpha": 0.01, "beta": 1.0},
            "CIFAR-10": {"alpha": 0.1, "beta": 1.0},
            "CIFAR-10, asymmetric noise (APL)": {"alpha": 0.1, "beta": 5.0},
            "CIFAR-100": {"alpha": 6.0, "beta": 0.1},
            "CIFAR-100, asymmetric noise (APL)": {"alpha": 2.0, "beta": 0.1},
            "WebVision": {"alpha": 10.0, "beta": 1.0},
        },
        sources=("YisenWang/symmetric_cross_entropy_for_noisy_labels", "HanxunH/SCELoss-Reproduce"),
        notes="beta and A act only through their product. Only the second term is symmetric.",
    ),
    "imae": Text(
        title="IMAE, improved mean absolute error",
        paper=IMAE,
        formula=r"\nabla_z L = \tfrac{w}{2 (1 - p_y)} (p - e_y), \quad w = \exp\{T p_y (1 - p_y)\}",
        symbols={"w": "L1 norm of the gradient at the logits", "e_y": "one-hot vector of the label"},
        properties=Properties(low=ZERO),
        defaults={
            "default": {"T": 8.0},
            "CIFAR-100, no noise": {"T": 6.0},
            "CIFAR-100, symmetric 0.2": {"T": 8.0},
            "CIFAR-100, symmetric 0.4": {"T": 8.0},
            "CIFAR-100, symmetric 0.6": {"T": 2.0},
            "Clothing1M": {"T": 8.0},
        },
        variants={
            "paper": "every sample's gradient has L1 norm w; plain mean over the batch",
            "official": "w divided by its sum over the batch (1e-8 added), 2 (1 - p) by 2 (1 - p) + 1e-6: the norms sum to 1",
        },
        sources=("XinshaoAmosWang/Improving-Mean-Absolute-Error-against-CCE", "XinshaoAmosWang/ProSelfLC-AT"),
        notes="Defined by its gradient; the value reported is -c log p_y with the constant c = w / (2 (1 - p_y)), because the "
        "integral of the gradient diverges at p_y = 1. The claims are about this value. 1 - p_y is floored at the rounding unit.",
    ),
    "agce": Text(
        title="Asymmetric generalised cross entropy",
        paper=ALF,
        formula=r"\frac{(a+1)^q - (a + p_y)^q}{q}",
        properties=Properties(
            class_sum_low=Bound("at the uniform prediction or at a vertex", lambda K, h: min(_agce_ends(K, h))),
            class_sum_high=Bound("at a vertex or at the uniform prediction", lambda K, h: max(_agce_ends(K, h))),
            low=ZERO,
            high=Bound("((a + 1)^q - a^q) / q", lambda K, h: ((h["a"] + 1) ** h["q"] - h["a"] ** h["q"]) / h["q"]),
            ratio=Bound(
                "((a + 1) / a)^(1 - q) for q <= 1, else 1", lambda K, h: ((h["a"] + 1) / h["a"]) ** max(0.0, 1 - h["q"])
            ),
        ),
        defaults={
            "MNIST": {"a": 4.0, "q": 0.2},
            "CIFAR-10": {"a": 0.6, "q": 0.6},
            "CIFAR-100": {"a": 0.6, "q": 0.6},
            "WebVision": {"a": 1e-5, "q": 0.5},
            "inside NCE+AGCE, CIFAR-10": {"alpha": 1.0, "beta": 4.0, "a": 6.0, "q": 1.5},
            "inside NCE+AGCE, CIFAR-100": {"alpha": 10.0, "beta": 0.1, "a": 1.8, "q": 3.0},
            "inside NCE+AGCE, WebVision": {"alpha": 50.0, "beta": 0.1, "a": 2.5, "q": 3.0},
        },
        sources=("hitcszx/ALFs",),
        notes="a -> 0 is L_q; q = 1 is 1 - p_y.",
    ),
    "aul": Text(
        title="Asymmetric unhinged loss",
        paper=ALF,
        formula=r"\frac{(a - p_y)^p - (a - 1)^p}{p}",
        symbols={"p": "the power (p_y is the probability of the label)"},
        properties=Properties(
            class_sum_low=Bound("at the uniform prediction or at a vertex", lambda K, h: min(_aul_ends(K, h))),
            class_sum_high=Bound("at a vertex or at the uniform prediction", lambda K, h: max(_aul_ends(K, h))),
            low=ZERO,
            high=Bound("(a^p - (a - 1)^p) / p", lambda K, h: (h["a"] ** h["p"] - (h["a"] - 1) ** h["p"]) / h["p"]),
            ratio=Bound(
                "(a / (a - 1))^(p - 1) for p > 1, else 1", lambda K, h: (h["a"] / (h["a"] - 1)) ** max(0.0, h["p"] - 1)
            ),
        ),
        defaults={
            "MNIST": {"a": 3.0, "p": 0.1},
            "CIFAR-10": {"a": 5.5, "p": 3.0},
            "CIFAR-100": {"a": 5.5, "p": 3.0},
            "inside NCE+AUL, CIFAR-10": {"alpha": 1.0, "beta": 4.0, "a": 6.3, "p": 1.5},
            "inside NCE+AUL, CIFAR-100": {"alpha": 10.0, "beta": 0.015, "a": 6.0, "p": 3.0},
        },
        sources=("hitcszx/ALFs",),
        notes="p = 1 is 1 - p_y. With (5.5, 3) gradients are 20 to 30 times those of 1 - p_y.",
    ),
    "ael": Text(
        title="Asymmetric exponential loss",
        paper=ALF,
        formula=r"e^{-p_y / a}",
        properties=Properties(
            class_sum_low=Bound("K exp(-1 / (a K))", lambda K, h: K * math.exp(-1 / (h["a"] * K))),
            class_sum_high=Bound("K - 1 + exp(-1 / a)", lambda K, h: K - 1 + math.exp(-1 / h["a"])),
            low=Bound("exp(-1 / a)", lambda K, h: math.exp(-1 / h["a"])),
            high=ONE,
            ratio=Bound("exp(1 / a)", lambda K, h: math.exp(1 / h["a"])),
        ),
        defaults={
            "MNIST": {"a": 3.5},
            "CIFAR-10": {"a": 2.5},
            "CIFAR-100": {"a": 2.5},
            "inside NCE+AEL, CIFAR-10": {"alpha": 1.0, "beta": 4.0, "a": 5.0},
            "inside NCE+AEL, CIFAR-100": {"alpha": 10.0, "beta": 0.1, "a": 1.5},
        },
        sources=("hitcszx/ALFs",),
    ),
}
