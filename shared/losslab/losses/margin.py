"""Margin losses on the sphere, functions of cosines `(..., N, K)` between unit features and unit prototypes.

Symbols: c_k the cosine to prototype k, y the label, s the scale, m the margin, theta = arccos c_y.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from losslab.losses.numerics import Number, number_cos, number_sin, others_logsumexp, per_class, pick
from losslab.losses.spec import LossSpec, Param, family, variant


def _scaled_ce(cosines: Tensor, targets: Tensor, s: Number, target: Tensor) -> Tensor:
    """Cross entropy of s times the cosines, with the label's cosine replaced by `target`."""
    rest = others_logsumexp(per_class(s) * cosines, targets)
    gap = rest - s * target
    return torch.logaddexp(gap, torch.zeros_like(gap))


def _inside(cosines: Tensor) -> Tensor:
    """Cosines kept a little inside [-1, 1], where the arc cosine has a finite slope."""
    edge = 1.0 - max(1e-7, torch.finfo(cosines.dtype).eps)
    return cosines.clamp(-edge, edge)


def normface(cosines: Tensor, targets: Tensor, *, s: Number = 10.0) -> Tensor:
    """`-log(e^{s c_y} / sum_k e^{s c_k})`. `(..., N, K)` -> `(..., N)`."""
    return _scaled_ce(cosines, targets, s, pick(cosines, targets))


def cosface(cosines: Tensor, targets: Tensor, *, s: Number = 10.0, m: Number = 0.1) -> Tensor:
    """NormFace with the label's cosine lowered to `c_y - m`."""
    return _scaled_ce(cosines, targets, s, pick(cosines, targets) - m)


def arcface(cosines: Tensor, targets: Tensor, *, s: Number = 10.0, m: Number = 0.1) -> Tensor:
    """NormFace with the label's cosine `cos(theta + m) = c_y cos m - sin(theta) sin m`."""
    c = pick(cosines, targets)
    near = _inside(c)
    sine = ((1.0 - near) * (1.0 + near)).sqrt()
    return _scaled_ce(cosines, targets, s, c * number_cos(m) - sine * number_sin(m))


def sphereface(cosines: Tensor, targets: Tensor, *, s: Number = 10.0, m: Number = 4.0) -> Tensor:
    """NormFace with the label's cosine `psi = (-1)^j cos(m theta) - 2 j` for theta in [j pi / m, (j + 1) pi / m]."""
    angle = m * torch.arccos(_inside(pick(cosines, targets)))
    turn = (angle.detach() / math.pi).floor()
    sign = 1.0 - 2.0 * torch.remainder(turn, 2.0)
    return _scaled_ce(cosines, targets, s, sign * angle.cos() - 2.0 * turn)


def gm_softmax(
    cosines: Tensor,
    targets: Tensor,
    *,
    s: Number = 10.0,
    alpha1: Number = 1.0,
    alpha2: Number = 1.0,
    beta1: Number = 0.0,
    beta2: Number = 0.0,
) -> Tensor:
    """`-log(e^{s (alpha1 c_y + beta1)} / (e^{s (alpha2 c_y + beta2)} + sum_{j != y} e^{s c_j}))`."""
    c = pick(cosines, targets)
    rest = others_logsumexp(per_class(s) * cosines, targets)
    return torch.logaddexp(s * (alpha2 * c + beta2), rest) - s * (alpha1 * c + beta1)


def lm_softmax(cosines: Tensor, targets: Tensor, *, s: Number = 10.0, variant: str = "paper") -> Tensor:
    """`(1 / s) log sum_{j != y} e^{s (c_j - c_y)}`; mostly negative. unscaled: without the 1 / s."""
    value = others_logsumexp(per_class(s) * cosines, targets) - s * pick(cosines, targets)
    return value if variant == "unscaled" else value / s


def nsl(cosines: Tensor, targets: Tensor, *, s: Number = 1.0) -> Tensor:
    """Negative similarity `-s c_y`: symmetric where the prototypes sum to zero."""
    return -s * pick(cosines, targets)


def ldam(cosines: Tensor, targets: Tensor, *, class_counts: Tensor, s: Number = 30.0, m: Number = 0.5) -> Tensor:
    """NormFace with the label's cosine `c_y - m_y`, `m_y = m (n_y / n_min)^(-1/4)`; counts `(K,)` or `(..., K)`."""
    counts = class_counts.to(cosines.dtype)
    margins = (counts / counts.amin(-1, keepdim=True)) ** -0.25
    own = margins.expand(*targets.shape[:-1], margins.shape[-1]).gather(-1, targets)
    return _scaled_ce(cosines, targets, s, pick(cosines, targets) - m * own)


_S = Param(10.0, 0, None, low_open=True, meaning="scale of the cosines")
_M = Param(0.1, 0, None, meaning="margin")
_LM = variant("paper", "official", "unscaled", meaning="unscaled: without the factor 1 / s; paper and official agree")

SPECS = family(
    __name__,
    LossSpec("normface", normface, input="cosines", params={"s": _S}),
    LossSpec("cosface", cosface, input="cosines", params={"s": _S, "m": _M}),
    LossSpec(
        "arcface",
        arcface,
        input="cosines",
        params={"s": _S, "m": Param(0.1, 0, math.pi, meaning="margin, an angle in radians")},
    ),
    LossSpec(
        "sphereface",
        sphereface,
        input="cosines",
        params={"s": _S, "m": Param(4.0, 1, None, meaning="factor of the angle")},
    ),
    LossSpec(
        "gm_softmax",
        gm_softmax,
        input="cosines",
        params={
            "s": _S,
            "alpha1": Param(1.0, meaning="slope of the label's cosine in the numerator"),
            "alpha2": Param(1.0, meaning="slope of the label's cosine in the denominator"),
            "beta1": Param(0.0, meaning="shift of the label's cosine in the numerator"),
            "beta2": Param(0.0, meaning="shift of the label's cosine in the denominator; very low: LM-Softmax"),
        },
    ),
    LossSpec("lm_softmax", lm_softmax, input="cosines", params={"s": _S, "variant": _LM}),
    LossSpec(
        "nsl",
        nsl,
        input="cosines",
        params={"s": Param(1.0, 0, None, low_open=True, meaning="scale, the norm of features")},
    ),
    LossSpec(
        "ldam",
        ldam,
        input="cosines",
        params={
            "s": Param(30.0, 0, None, low_open=True, meaning="scale of the cosines"),
            "m": Param(0.5, 0, None, meaning="margin of the rarest class"),
        },
        tensors=("class_counts",),
    ),
)
