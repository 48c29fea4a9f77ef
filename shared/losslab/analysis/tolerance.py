"""Noise tolerance without training: the output that minimises the expected loss of one sample under label noise.

With w_k the probability that the sample gets label k, the minimiser of `sum_k w_k L(p, k)` over the simplex is what a flexible model
learns for it. A loss tolerates the noise in the strict sense while that is the vertex of the clean class, and for classification
while its largest entry stays there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losslab.analysis.descent import descend
from losslab.analysis.probing import Probe, probe, symmetric_noise
from losslab.errors import InputError

_TIE = 3e-12
"""Relative difference below which a vertex is preferred."""


@dataclass(frozen=True, eq=False)
class Minimum:
    """The best output found: p `(K,)`, the expected loss there, whether it is a vertex, and its largest class."""

    p: Tensor
    value: float
    vertex: bool
    label: int


def noisy_weights(kind: str, rate: float, num_classes: int = 10) -> Tensor:
    """Distribution `(K,)` of the given label when class 0 is true: "symmetric", or "pair" (all the noise on class 1)."""
    if kind == "symmetric":
        return symmetric_noise(num_classes, rate)[0]
    if kind != "pair":
        raise InputError(f"kind is {kind!r}; it can be 'symmetric' or 'pair'")
    w = torch.zeros(num_classes, dtype=torch.float64)
    w[0], w[1] = 1 - rate, rate
    return w


def minimise(name: str, weights: Tensor, polish: bool = True, **given: Any) -> Minimum:
    """Minimise `sum_k w_k L(p, k)` over the simplex for weights `(K,)`.

    Candidates: vertices; edges and faces that a vertex spans with the next likely classes, finely near both ends; closed forms
    (cross entropy: w; L_q: w^(1 / (1 - q))). The best are then improved by descent from several starts.
    """
    w = torch.as_tensor(weights, dtype=torch.float64)
    if w.ndim != 1 or bool((w < 0).any()) or abs(float(w.sum()) - 1) > 1e-9:
        raise InputError("weights must be a distribution over the classes")
    loss = probe(name, len(w), **given)
    if loss.domain == "cosines":
        raise InputError(f"{name} is a function of cosines; use losslab.analysis.free_features")
    points = _candidates(w, loss.arguments)
    values = _expected(loss, points, w)
    lowest = float(values.min())
    best = int((values <= lowest + _TIE * (1 + abs(lowest))).int().argmax())  # vertices come first
    point, value = points[best], float(values[best])
    if polish:
        starts = points[values.argsort()[:: max(1, len(values) // 24)]].clamp_min(-30.0)
        found, lower = descend(lambda x: _expected(loss, torch.log_softmax(x, 1), w), starts)
        if float(lower.min()) < value - _TIE * (1 + abs(value)):
            value = float(lower.min())
            point = torch.log_softmax(found[int(lower.argmin())], 0)
    p = point.exp() / point.exp().sum()
    return Minimum(p, value, bool(p.max() == 1), int(p.argmax()))


def leaving_rate(
    name: str, kind: str = "symmetric", event: str = "vertex", num_classes: int = 10, tol: float = 1e-4, **given: Any
) -> float:
    """The noise rate at which the minimiser leaves the clean class, by bisection.

    event "vertex": it is no longer the vertex of the clean class; "class": its largest entry is another class.
    0 if it has left at any rate, the end of the range (1 - 1/K, or 1/2 for pairs) if it stays. A vertex that ties with other points
    counts as the minimiser (NCE alone: under pair noise every output with some other probability at zero is as good). Where the
    minimiser leaves the vertex by less than rounding shows, as for L_q at small rates, the rate found is some 1e-3 too high.
    """
    if event not in ("vertex", "class"):
        raise InputError(f"event is {event!r}; it can be 'vertex' or 'class'")
    low, high = 0.0, (1 - 1 / num_classes) if kind == "symmetric" else 0.5

    def stays(rate: float) -> bool:
        found = minimise(name, noisy_weights(kind, rate, num_classes), polish=event == "class", **given)
        return found.label == 0 and (event == "class" or found.vertex)

    if stays(high - tol / 2):
        return high
    while high - low > tol:
        middle = (low + high) / 2
        low, high = (middle, high) if stays(middle) else (low, middle)
    return 0.0 if low == 0.0 else (low + high) / 2


def switch_ratio(name: str, num_classes: int = 3, tol: float = 1e-4, **given: Any) -> float:
    """The smallest w_m / w_n (second largest weight, the rest at half of it) for which the vertex e_m is the minimiser; inf if none below 1e4."""

    def stays(ratio: float) -> bool:
        w = torch.full((num_classes,), 0.5, dtype=torch.float64)
        w[0], w[1] = ratio, 1.0
        found = minimise(name, w / w.sum(), polish=False, **given)
        return found.vertex and found.label == 0

    low, high = 1.0, 1e4
    if not stays(high):
        return float("inf")
    if stays(1 + tol):
        return 1.0
    while high / low > 1 + tol:
        middle = (low * high) ** 0.5
        low, high = (low, middle) if stays(middle) else (middle, high)
    return (low * high) ** 0.5


def _candidates(w: Tensor, arguments: dict[str, Any]) -> Tensor:
    """Log-probabilities `(n, K)`, vertices first. Zeros count as exp(-1e4), and once more with the least likely class far below the others.

    The second reading matters for normalised losses, whose limit at a vertex depends on which other class vanishes fastest.
    """
    k = len(w)
    order = torch.argsort(w, descending=True, stable=True)
    tail = torch.logspace(-12, -0.3, 260, dtype=torch.float64)
    moved = torch.unique(torch.cat([tail, 1 - tail, torch.linspace(0, 1, 401, dtype=torch.float64)]).clamp(0, 1))
    faces = []
    for start in range(min(k, 2)):
        rest = order[torch.arange(k) != start]
        for size in range(1, k):
            p = torch.zeros(len(moved), k, dtype=torch.float64)
            p[:, order[start]] = 1 - moved
            p[:, rest[:size]] = (moved / size).unsqueeze(1)
            faces.append(p)
    eye = torch.eye(k, dtype=torch.float64)
    powers = [w ** (1 / (1 - q)) for q in (0.0, 0.1, 0.3, 0.5, 0.7, 0.9, 0.97)]
    own = arguments.get("q")
    if isinstance(own, float) and 0 < own < 1:
        powers.append(w ** (1 / (1 - own)))
    closed = torch.stack([power / power.sum() for power in powers])
    inner = torch.cat([closed, torch.full((1, k), 1 / k, dtype=torch.float64), *faces])

    def logs(p: Tensor) -> list[Tensor]:
        plain = p.log().clamp_min(-1e4)
        ordered = plain.clone()
        vanishing = ordered[:, order[-1]]
        ordered[:, order[-1]] = torch.where(vanishing <= -1e4, torch.full_like(vanishing, -1e17), vanishing)
        return [plain, ordered]

    return torch.cat([*logs(eye), *logs(inner)])


def _expected(loss: Probe, points: Tensor, w: Tensor) -> Tensor:
    used = w > 0
    labels = torch.arange(len(w))[used]
    size = len(points)
    values = loss.at(points.expand(len(labels), *points.shape), labels.unsqueeze(1).expand(len(labels), size))
    return w[used] @ values
