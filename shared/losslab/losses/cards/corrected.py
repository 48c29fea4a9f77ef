"""Cards: losses corrected by a transition matrix, by the model's own prediction, by complementary labels, and L_DMI."""

from __future__ import annotations

import math

from losslab.losses.cards import Bound, Properties, Text
from losslab.losses.cards.classic import ZERO

PATRINI = "Patrini, Rozza, Menon, Nock, Qu: Making deep neural networks robust to label noise: a loss correction approach. CVPR 2017"
REED = "Reed et al.: Training deep neural networks on noisy labels with bootstrapping. ICLR 2015 workshop"
_CLAMP = -math.log(1e-5) - math.log1p(-1e-5)

TEXTS = {
    "dmi": Text(
        title="Determinant-based mutual information, L_DMI",
        paper="Xu, Cao, Kong, Wang: L_DMI: A novel information-theoretic loss function for training deep nets robust to label noise. "
        "NeurIPS 2019",
        formula=r"-\log |\det U|, \quad U_{cj} = \frac{1}{N} \sum_i p_c(x_i)\, [y_i = j]",
        symbols={"N": "batch size", "U": "joint distribution of prediction and label in the batch"},
        defaults={"all, official": {"eps": 1e-3, "variant": "official"}},
        variants={
            "paper": "log-determinant of U; singular values of N U below eps are floored, so that a missing class leaves a gradient",
            "official": "-log(|det(N U)| + eps), not divided by N (except in one of five experiments): no gradient at det = 0",
        },
        sources=("Newbeeer/L_DMI",),
        notes="A loss of the whole batch. |det U| is at most K^-K, so normalising by N inside the logarithm with eps = 1e-3 would make "
        "the official form constant. Needs a warm start with cross entropy: classes are found only up to a permutation.",
        cost="the determinant of a K x K matrix, in double precision: of order N K^2 + K^3 operations where cross entropy takes N K",
    ),
    "bootstrap_soft": Text(
        title="Soft bootstrapping",
        paper=REED,
        formula=r"-\sum_k (\beta t_k + (1 - \beta) p_k) \log p_k",
        symbols={"t": "one-hot or soft target", r"\beta": "beta"},
        properties=Properties(low=ZERO),
        sources=("YisenWang/symmetric_cross_entropy_for_noisy_labels",),
        notes="The gradient flows through p_k in the target, as in the released code.",
    ),
    "bootstrap_hard": Text(
        title="Hard bootstrapping",
        paper=REED,
        formula=r"-\beta \log p_y - (1 - \beta) \log \max_k p_k",
        symbols={r"\beta": "beta"},
        properties=Properties(low=ZERO),
        sources=("YisenWang/symmetric_cross_entropy_for_noisy_labels",),
    ),
    "d2l": Text(
        title="Dimensionality-driven learning",
        paper="Ma et al.: Dimensionality-driven learning with noisy labels. ICML 2018",
        formula=r"-\alpha \log p_y - (1 - \alpha) \log \max_k p_k",
        symbols={
            r"\alpha": "alpha, 1 until the turning point, then falling with the features' local intrinsic dimensionality"
        },
        properties=Properties(low=ZERO),
        sources=("xingjunm/dimensionality-driven-learning",),
        notes="The loss takes alpha as given; losslab.losses.bootstrap has the dimensionality (20 neighbours) and the rule for alpha.",
    ),
    "forward": Text(
        title="Forward correction",
        paper=PATRINI,
        formula=r"-\log (T^\top p)_y = -\log \sum_i T_{iy}\, p_i",
        symbols={"T": "transition matrix, T_ij = P(given j | true i)"},
        properties=Properties(low=ZERO),
        sources=("giorgiop/loss-correction",),
        notes="T is given or estimated (losslab.losses.transition). A zero of T counts as a very small number.",
        cost="a row of log T per sample is read beside its logits, and a second log-sum-exp is taken over them; "
        "torch.compile also takes the logarithms again for every sample",
    ),
    "backward": Text(
        title="Backward correction",
        paper=PATRINI,
        formula=r"\sum_j (T^{-1})_{yj} \,(-\log p_j)",
        symbols={"T": "transition matrix, T_ij = P(given j | true i)"},
        sources=("giorgiop/loss-correction",),
        notes="May be negative, without a lower bound.",
        cost="T is inverted in every call, K^3 operations: the core may read no value of T, so it cannot know that T is the same",
    ),
    "nlnl": Text(
        title="Negative learning",
        paper="Kim, Yim, Yun, Kim: NLNL: Negative learning for noisy labels. ICCV 2019",
        formula=r"-w_y \log (1 - p_j), \quad j \ne y \text{ drawn uniformly}",
        symbols={"j": "complementary label", "w_y": "1, or n_max / n_y where class counts are given"},
        properties=Properties(
            kind="passive",
            class_sum_low=Bound("-K log(1 - 1/K)", lambda K, h: -K * math.log1p(-1 / K)),
            class_sum_high=Bound("-log 1e-5 - log(1 - 1e-5)", lambda K, h: _CLAMP),
            low=ZERO,
            high=Bound("(-log 1e-5 - log(1 - 1e-5)) / (K - 1)", lambda K, h: _CLAMP / (K - 1)),
            condition="in expectation over the complementary label, without class weights",
        ),
        defaults={"MNIST and CIFAR-10": {"negatives": 1}, "CIFAR-100": {"negatives": 110}},
        sources=("HanxunH/Active-Passive-Losses", "hitcszx/ALFs"),
        notes="The first of the method's three stages, which is what the compared codes use. 1 - p_j is kept at or above 1e-5. "
        "The module draws the labels; the core without labels takes the exact expectation.",
    ),
}
