"""Free-feature optimisation: what a loss wants, when the network can place every feature where it likes.

All samples of a class want the same place, so one feature per class stands for them, weighted by the class's number of samples. With
prototypes w_j and features z_i of unit length (the theorems of Zhou et al. 2022, largest margins, and of prototype-anchored learning):

T1  K <= d + 1: the largest gamma_min is K / (K - 1), attained only by a simplex with z_i = w_i.
T2  any K, d: the largest gamma_min belongs to the best packing, 1 - cos of its class margin.
T3  balanced: a softmax loss with margins is at least `gm_floor`, attained by the simplex.
T4  without normalisation cross entropy comes arbitrarily close to 0 at any class margin (`unnormalised_witness`).
T5  imbalanced: prototypes of rare classes move together, unless the centroid is held at zero or the prototypes are anchored.
T6  LM-Softmax has the floor `lm_floor`, NormFace the one of `losslab.analysis.bounds.cross_entropy_floor`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab.analysis import margins
from losslab.analysis.descent import quasi_newton
from losslab.errors import InputError
from losslab.heads.prototypes import simplex_etf
from losslab.losses.numerics import others_logsumexp
from losslab.losses.registry import spec as find
from losslab.losses.regularisers import sample_margin, zero_centroid

_SHARPNESS = (4.0, 25.0, 100.0, 400.0, 2e3, 1e4, 5e4)
"""Stages of the soft minimum of the sample margins; every second start leaves out the first."""
_NUDGE = 0.02


@dataclass(frozen=True, eq=False)
class Optimum:
    """Where the optimisation ended: prototypes `(K, d)`, features `(K, d)` (one per class), the objective with its regularisers.

    class_margin in degrees; sample_margins `(K,)`; gamma_min their minimum; mean_margin weighted by the class sizes; centroid `|mean w|`.
    best_class_margin, best_gamma_min: the bounds for K <= d + 1, else None. alignment: the smallest cosine between z_i and w_i.
    """

    prototypes: Tensor
    features: Tensor
    objective: float
    class_margin: float
    sample_margins: Tensor
    gamma_min: float
    mean_margin: float
    centroid: float
    alignment: float
    best_class_margin: float | None
    best_gamma_min: float | None


def class_sizes(num_classes: int, kind: str = "balanced", ratio: float = 0.01) -> Tensor:
    """Relative class sizes `(K,)`: "balanced", "exp" (ratio^(c / (K - 1))) or "step" (the last half at `ratio`)."""
    index = torch.arange(num_classes, dtype=torch.float64)
    if kind == "balanced":
        return torch.ones_like(index)
    if kind == "exp":
        return ratio ** (index / (num_classes - 1))
    if kind == "step":
        return torch.where(index < num_classes // 2, 1.0, ratio).double()
    raise InputError(f"kind is {kind!r}; it can be 'balanced', 'exp' or 'step'")


def optimise(
    num_classes: int,
    dim: int,
    loss: str = "normface",
    *,
    sizes: Tensor | None = None,
    prototypes: Tensor | None = None,
    centroid: float = 0.0,
    centroid_variant: str = "paper",
    margin: float = 0.0,
    scale: float = 1.0,
    normalised: bool = True,
    decay: float = 0.0,
    non_negative: bool = False,
    seed: int = 0,
    starts: int = 1,
    rounds: int = 400,
    **given: Any,
) -> Optimum:
    """Minimise a loss over free features and prototypes; the best of `starts` random starts.

    loss: a loss of cosines (its hyper-parameters in `given`); any other sample-level loss, on `scale` times the cosines; or "margin",
        which maximises gamma_min itself.
    sizes: relative class sizes `(K,)`. prototypes `(K, d)`: anchored, not optimised.
    centroid, margin: weights of zero-centroid and of sample-margin regularisation.
    normalised=False: features and prototypes of any length, with weight decay `decay` on both.
    non_negative: features without negative entries, as after a ReLU.
    """
    weights = torch.ones(num_classes, dtype=torch.float64) if sizes is None else torch.as_tensor(sizes).double()
    if weights.shape != (num_classes,) or bool((weights <= 0).any()):
        raise InputError(f"sizes must be {num_classes} positive numbers")
    anchored = None if prototypes is None else prototypes.detach().double()
    if anchored is not None and anchored.shape != (num_classes, dim):
        raise InputError(f"prototypes have shape {tuple(anchored.shape)}, expected ({num_classes}, {dim})")
    value = _objective(loss, scale, given)
    share = weights / weights.sum()

    def place(free: Tensor) -> tuple[Tensor, Tensor]:
        z, w = free[:num_classes], free[num_classes:] if anchored is None else anchored
        z = z.square() if non_negative else z
        return (normalize(z, dim=1), normalize(w, dim=1)) if normalised else (z, w)

    def total(free: Tensor, sharpness: float) -> Tensor:
        z, w = place(free)
        scores = z @ w.T
        result = value(scores, share, sharpness)
        if margin:
            cosines = normalize(z, dim=1) @ normalize(w, dim=1).T
            result = result + margin * (share * sample_margin(cosines, torch.arange(num_classes))).sum()
        if centroid:
            result = result + centroid * zero_centroid(w, variant=centroid_variant)
        return result + decay * free.square().sum() if decay else result

    draw = torch.Generator().manual_seed(seed)
    rows = num_classes if anchored is not None else 2 * num_classes
    best, lowest = torch.empty(0), math.inf
    for start in range(starts):
        free = torch.randn(rows, dim, generator=draw, dtype=torch.float64)
        reached = math.inf
        stages = _SHARPNESS[start % 2 :] if loss == "margin" else (1.0,)
        for stage, sharpness in enumerate(stages):
            if stage in (1, 2):  # a nudge, off the saddle points where the soft stages may end
                nudge = torch.randn(free.shape, generator=draw, dtype=torch.float64)
                free = normalize(free, dim=1) + _NUDGE / dim**0.5 * nudge
            free, reached = quasi_newton(lambda x, s=sharpness: total(x, s), free, rounds)  # type: ignore[misc]
        if reached < lowest:
            best, lowest = free, reached
    z, w = place(best)
    return _optimum(z, w, lowest, share)


def gm_floor(num_classes: int, s: float, alpha: float = 1.0, beta: float = 0.0) -> float:
    """T3: `log(1 + (K - 1) exp(-s (1 / (K - 1) + alpha + beta)))`, the least balanced loss where alpha1 = alpha2 >= 1/2, beta1 = beta2."""
    return math.log1p((num_classes - 1) * math.exp(-s * (1 / (num_classes - 1) + alpha + beta)))


def gm_threshold(num_classes: int) -> float:
    """T3 needs alpha above `(K - 2) / (2 (K - 1))`, which is below 1/2; under it all prototypes may coincide."""
    return (num_classes - 2) / (2 * (num_classes - 1))


def lm_floor(num_classes: int, s: float) -> float:
    """T6: `log(K - 1) / s - K / (K - 1)`, the least LM-Softmax for K <= d + 1; negative for useful s."""
    return math.log(num_classes - 1) / s - num_classes / (num_classes - 1)


def unnormalised_witness(num_classes: int, degrees: float, below: float = 1e-6) -> Optimum:
    """T4: unit prototypes with the given class margin and long features `t w_i` whose cross entropy is under `below`."""
    if not 0 < degrees <= margins.etf_angle(num_classes):
        raise InputError(f"degrees is {degrees}; it must lie in (0, {margins.etf_angle(num_classes):.4f}]")
    w = simplex_etf(num_classes, num_classes)
    side = normalize(w[1] - (w[0] @ w[1]) * w[0], dim=0)
    angle = math.radians(degrees)
    w[1] = math.cos(angle) * w[0] + math.sin(angle) * side
    gap = 1 - math.cos(math.radians(margins.class_margin(w)))
    z = w * (math.log((num_classes - 1) / below) / gap * 1.01)
    share = torch.full((num_classes,), 1 / num_classes, dtype=torch.float64)
    loss = torch.nn.functional.cross_entropy(z @ w.T, torch.arange(num_classes))
    return _optimum(z, w, float(loss), share)


def nsl_prediction(prototypes: Tensor, p: Tensor) -> int:
    """The class that the negative-similarity loss predicts for label probabilities p `(K,)`: `argmax_i w_i . sum_j p_j w_j`.

    On a simplex the scores are `(K p_i - 1) / (K - 1)`, so it is the most likely label; elsewhere it need not be.
    """
    w = normalize(prototypes.detach().double(), dim=1)
    return int((w @ (p.double() @ w)).argmax())


def _objective(loss: str, scale: float, given: dict[str, Any]) -> Any:
    """`value(scores (K, K), share (K,), sharpness) -> scalar`; row i holds the scores of the feature of class i."""
    if loss == "margin":
        if given:
            raise InputError(f"'margin' has no hyper-parameters, got {', '.join(given)}")

        def worst(scores: Tensor, share: Tensor, sharpness: float) -> Tensor:
            labels = torch.arange(len(scores))
            gaps = others_logsumexp(sharpness * scores, labels) - sharpness * scores.diagonal()
            return torch.logsumexp(gaps, 0) / sharpness

        return worst
    spec = find(loss)
    if spec.level != "sample":
        raise InputError(f"{loss} is a loss of the whole batch")
    counts = given.pop("class_counts", None)
    if spec.tensors and counts is None:
        raise InputError(f"{loss} needs {', '.join(spec.tensors)}")
    extra = {} if counts is None else {"class_counts": torch.as_tensor(counts).double()}
    arguments = {**spec.resolve(given), **extra}

    def mean(scores: Tensor, share: Tensor, sharpness: float) -> Tensor:
        inputs = scores if spec.input == "cosines" else scale * scores
        inputs = torch.log_softmax(inputs, 1) if spec.input == "log_probs" else inputs
        return (share * spec.core(inputs, torch.arange(len(scores)), **arguments)).sum()

    return mean


def _optimum(z: Tensor, w: Tensor, objective: float, share: Tensor) -> Optimum:
    size, dim = w.shape
    gamma = margins.sample_margins(z, w, torch.arange(size))
    fits = size <= dim + 1
    return Optimum(
        prototypes=w.detach(),
        features=z.detach(),
        objective=objective,
        class_margin=margins.class_margin(w),
        sample_margins=gamma,
        gamma_min=float(gamma.min()),
        mean_margin=float((share * gamma).sum()),
        centroid=margins.centroid_norm(w),
        alignment=float((normalize(z.detach(), dim=1) * normalize(w.detach(), dim=1)).sum(1).min()),
        best_class_margin=margins.etf_angle(size) if fits else None,
        best_gamma_min=margins.max_sample_margin(size) if fits else None,
    )
