"""Cards: margin losses on cosines."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import Bound, Properties, Text

LM = "Zhou, Liu, Zhai, Jiang, Gao, Ji: Learning towards the largest margins. ICLR 2022"
PAL = "Zhou, Liu, Zhai, Jiang, Gao, Ji: Prototype-anchored learning for learning with imperfect annotations. ICML 2022"
SYMBOLS = {"c_k": "cosine between feature and prototype k", r"\theta": "angle to the label's prototype", "s": "scale"}
CUBE = "bounds for any cosines in [-1, 1]; unit prototypes in few dimensions may not reach them"
SCALES = {"closest released code": {"s": 5.0, "m": 0.1}}


def _log1p_sum(K: int, exponent: float) -> float:
    shift = math.log(K - 1) + exponent
    return max(shift, 0.0) + math.log1p(math.exp(-abs(shift)))


def _one(h: Mapping[str, Any]) -> float:
    return float(h["s"]) if h["variant"] == "unscaled" else 1.0


TEXTS = {
    "normface": Text(
        title="NormFace",
        paper="Wang, Xiang, Cheng, Yuille: NormFace: L2 hypersphere embedding for face verification. ACM MM 2017",
        formula=r"-\log \frac{e^{s c_y}}{\sum_k e^{s c_k}}",
        symbols=SYMBOLS,
        properties=Properties(
            low=Bound("log(1 + (K - 1) e^(-2 s))", lambda K, h: _log1p_sum(K, -2 * h["s"])),
            high=Bound("log(1 + (K - 1) e^(2 s))", lambda K, h: _log1p_sum(K, 2 * h["s"])),
            condition=CUBE,
        ),
        defaults={"closest released code": {"s": 5.0}},
        sources=("fyzdalao/MarginTraining",),
    ),
    "cosface": Text(
        title="CosFace",
        paper="Wang et al.: CosFace: Large margin cosine loss for deep face recognition. CVPR 2018",
        formula=r"-\log \frac{e^{s (c_y - m)}}{e^{s (c_y - m)} + \sum_{j \ne y} e^{s c_j}}",
        symbols={**SYMBOLS, "m": "margin"},
        properties=Properties(
            low=Bound("log(1 + (K - 1) e^(-s (2 - m)))", lambda K, h: _log1p_sum(K, -h["s"] * (2 - h["m"]))),
            high=Bound("log(1 + (K - 1) e^(s (2 + m)))", lambda K, h: _log1p_sum(K, h["s"] * (2 + h["m"]))),
            condition=CUBE,
        ),
        defaults=SCALES,
        sources=("fyzdalao/MarginTraining",),
    ),
    "arcface": Text(
        title="ArcFace",
        paper="Deng, Guo, Xue, Zafeiriou: ArcFace: Additive angular margin loss for deep face recognition. CVPR 2019",
        formula=r"-\log \frac{e^{s \cos(\theta + m)}}{e^{s \cos(\theta + m)} + \sum_{j \ne y} e^{s c_j}}",
        symbols={**SYMBOLS, "m": "margin, an angle"},
        properties=Properties(
            low=Bound(
                "log(1 + (K - 1) e^(-s (1 + |cos m|)))",
                lambda K, h: _log1p_sum(K, -h["s"] * (1 + abs(math.cos(h["m"])))),
            ),
            high=Bound("log(1 + (K - 1) e^(2 s))", lambda K, h: _log1p_sum(K, 2 * h["s"])),
            condition=CUBE,
        ),
        defaults=SCALES,
        sources=("fyzdalao/MarginTraining",),
        notes="No special case where theta + m exceeds pi. The slope of the arc cosine is bounded by a clamp 1e-7 inside [-1, 1].",
    ),
    "sphereface": Text(
        title="SphereFace with normalised features",
        paper="Liu et al.: SphereFace: Deep hypersphere embedding for face recognition. CVPR 2017",
        formula=r"-\log \frac{e^{s \psi}}{e^{s \psi} + \sum_{j \ne y} e^{s c_j}}, \quad "
        r"\psi = (-1)^i \cos(m \theta) - 2 i, \; \theta \in [\tfrac{i \pi}{m}, \tfrac{(i+1) \pi}{m}]",
        symbols={**SYMBOLS, "m": "factor of the angle"},
    ),
    "gm_softmax": Text(
        title="Generalised margin softmax",
        paper=LM,
        formula=r"-\log \frac{e^{s (\alpha_1 c_y + \beta_1)}}{e^{s (\alpha_2 c_y + \beta_2)} + \sum_{j \ne y} e^{s c_j}}",
        symbols=SYMBOLS,
        defaults={
            "NormFace": {"alpha1": 1.0, "alpha2": 1.0, "beta1": 0.0, "beta2": 0.0},
            "CosFace with m = 0.1": {"beta1": -0.1, "beta2": -0.1},
        },
        notes="ArcFace is the case alpha = cos m, beta = -sin m sin(theta), which depends on the sample; LM-Softmax the limit of low beta2. "
        "With equal alphas of at least 1/2 the balanced optimum is a simplex.",
    ),
    "lm_softmax": Text(
        title="Largest-margin softmax",
        paper=LM,
        formula=r"\frac{1}{s} \log \sum_{j \ne y} e^{s (c_j - c_y)}",
        symbols=SYMBOLS,
        properties=Properties(
            low=Bound("log(K - 1) / s - 2; unscaled times s", lambda K, h: (math.log(K - 1) / h["s"] - 2) * _one(h)),
            high=Bound("log(K - 1) / s + 2; unscaled times s", lambda K, h: (math.log(K - 1) / h["s"] + 2) * _one(h)),
            condition=CUBE,
        ),
        defaults={"closest released code": {"s": 5.0}, "a derived project": {"s": 10.0}},
        variants={
            "paper": "with the factor 1 / s",
            "official": "the same; the released loss has the factor too",
            "unscaled": "without it: the gradient is s times larger",
        },
        sources=("fyzdalao/MarginTraining", "10zhou/SV-Softmax"),
        notes="Mostly negative. Lies between minus the sample margin and that plus log(K - 1) / s.",
    ),
    "nsl": Text(
        title="Negative similarity loss",
        paper=PAL,
        formula=r"-s\, c_y",
        symbols=SYMBOLS,
        properties=Properties(
            symmetric=True,
            class_sum_low=Bound("0", lambda K, h: 0.0),
            class_sum_high=Bound("0", lambda K, h: 0.0),
            low=Bound("-s", lambda K, h: -h["s"]),
            high=Bound("s", lambda K, h: h["s"]),
            condition="symmetric where the cosines sum to zero, that is where the prototypes do",
        ),
        notes="Derived from its name and purpose; no code is public. With features that are not normalised it has no lower bound.",
    ),
    "ldam": Text(
        title="Label-distribution-aware margin loss",
        paper="Cao, Wei, Gaidon, Arechiga, Ma: Learning imbalanced datasets with label-distribution-aware margin loss. NeurIPS 2019",
        formula=r"-\log \frac{e^{s (c_y - m_y)}}{e^{s (c_y - m_y)} + \sum_{j \ne y} e^{s c_j}}, "
        r"\quad m_y = m \left(\frac{n_y}{n_{\min}}\right)^{-1/4}",
        symbols={**SYMBOLS, "m": "margin of the rarest class", "n_y": "training samples of class y"},
        defaults={"CIFAR-10 and CIFAR-100": {"s": 30.0, "m": 0.5}},
        sources=("kaidic/LDAM-DRW",),
    ),
}
