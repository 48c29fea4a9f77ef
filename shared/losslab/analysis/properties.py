"""Properties of a loss, computed: symmetric, bounded, monotone, active or passive, asymmetric.

>>> from losslab.analysis import properties
>>> found = properties.check("gce", q=0.7)
>>> found.symmetric, found.bounded, round(found.supremum, 4)
(False, True, 1.4286)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor

from losslab.analysis import decomposition, scalar
from losslab.analysis.descent import descend
from losslab.analysis.probing import Probe, probe, probe_cosines, probe_logits
from losslab.losses import describe
from losslab.losses.registry import spec as find

Values = Callable[[Tensor], Tensor]
"""From points `(n, K)` to one number each `(n,)`."""


@dataclass(frozen=True)
class Properties:
    """What was found for one loss with fixed hyper-parameters and K classes; None: the question does not apply.

    domain: "simplex", "logits", "cosines", or "batch" (then everything else is None).
    of_target_only: a function of p_y alone.
    symmetric: `sum_k L(x, k)` is the same for all x (Ghosh et al. 2017); class_sum is that number. Cosines: for arbitrary ones.
    symmetric_if_zero_sum: the same for cosines that sum to zero, as prototypes with zero centroid give.
    class_sum_range: smallest and largest sum found.
    bounded: values stay finite whatever the input; infimum, supremum (of the integrated gradient where a factor is detached).
    conservative: the gradient is the derivative of the value.
    monotone: "strict" or "weak" if the loss falls, as p_y (or c_y) grows with the rest in proportion; else "no".
    active, passive: the kinds among its parts.
    asymmetry_ratio, strict_ratio, completely_asymmetric, strictly_asymmetric: see `losslab.analysis.scalar`.
    asymmetric_symmetric_noise, asymmetric_pair_noise: the noise rates up to which the vertex of the clean class is the minimiser.
    """

    name: str
    num_classes: int
    domain: str
    of_target_only: bool | None = None
    symmetric: bool | None = None
    symmetric_if_zero_sum: bool | None = None
    class_sum: float | None = None
    class_sum_range: tuple[float, float] | None = None
    bounded: bool | None = None
    infimum: float | None = None
    supremum: float | None = None
    conservative: bool | None = None
    monotone: str | None = None
    active: bool | None = None
    passive: bool | None = None
    asymmetry_ratio: float | None = None
    strict_ratio: float | None = None
    completely_asymmetric: bool | None = None
    strictly_asymmetric: bool | None = None
    asymmetric_symmetric_noise: float | None = None
    asymmetric_pair_noise: float | None = None

    def as_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)


def check(name: str, num_classes: int = 10, **given: Any) -> Properties:
    """Compute all properties. `given`: hyper-parameters, `transition` or `class_counts`."""
    if find(name).level != "sample":
        return Properties(name, num_classes, "batch")
    loss = probe(name, num_classes, **given)
    low, high = class_sum_range(loss)
    symmetric = _constant(low, high)
    inf, sup = value_range(loss)
    kinds = _kinds(name, num_classes, given)
    found: dict[str, Any] = {
        "of_target_only": loss.depends_on_target_only,
        "symmetric": symmetric,
        "class_sum": (low + high) / 2 if symmetric else None,
        "class_sum_range": (low, high),
        "bounded": math.isfinite(inf) and math.isfinite(sup),
        "infimum": inf,
        "supremum": sup,
        "conservative": loss.conservative,
        "monotone": monotone(loss),
        "active": None if kinds is None else "active" in kinds,
        "passive": None if kinds is None else "passive" in kinds,
    }
    if loss.domain == "cosines":
        found["symmetric_if_zero_sum"] = _constant(
            *_extremes(loss.class_sums(probe_cosines(num_classes, zero_sum=True)))
        )
    if loss.depends_on_target_only:
        ratios = scalar.asymmetry(loss)
        found |= {
            "asymmetry_ratio": ratios.ratio,
            "strict_ratio": ratios.strict_ratio,
            "completely_asymmetric": ratios.completely,
            "strictly_asymmetric": ratios.strictly,
            "asymmetric_symmetric_noise": ratios.max_rate("symmetric", num_classes),
            "asymmetric_pair_noise": ratios.max_rate("pair", num_classes),
        }
    return Properties(name, num_classes, loss.domain, **found)


def class_sum_range(loss: Probe) -> tuple[float, float]:
    """Smallest and largest `sum_k L(x, k)` found; infinite where it keeps growing with the logits."""
    return _range(loss, loss.class_sums)


def value_range(loss: Probe) -> tuple[float, float]:
    """Infimum and supremum of the loss over its domain, -inf or inf where it keeps growing with the logits.

    Where a factor is detached and the loss is a function of p_y, the values are those of the integrated gradient, 0 at p_y = 1.
    """
    if not loss.conservative and loss.depends_on_target_only:
        return _integrated_range(loss)
    label = torch.zeros((), dtype=torch.int64)
    if "class_counts" in loss.arguments or "transition" in loss.arguments:  # labels differ
        return _range(
            loss, lambda points: loss.all_labels(points).amin(1), lambda points: loss.all_labels(points).amax(1)
        )
    return _range(loss, lambda points: loss.at(points, label.expand(len(points))))


def monotone(loss: Probe, rays: int = 24) -> str:
    """Whether the loss falls as p_y (c_y) grows and the rest keeps its proportions: "strict", "weak" or "no"."""
    count, draw = loss.num_classes, torch.Generator().manual_seed(11)
    rest = torch.randn(rays, count - 1, generator=draw, dtype=torch.float64)
    if loss.domain == "cosines":
        path = torch.linspace(-0.99, 0.99, 100, dtype=torch.float64).expand(rays, 100)
        others = torch.tanh(rest).unsqueeze(1).expand(rays, 100, count - 1)
    else:
        path = torch.linspace(-12, 12, 100, dtype=torch.float64) + torch.logsumexp(rest, 1, keepdim=True)
        others = rest.unsqueeze(1).expand(rays, 100, count - 1)
    logits = torch.cat([path.unsqueeze(2), others], 2)
    labels = torch.zeros(rays, 100, dtype=torch.int64)
    if loss.conservative:
        change = loss.at(loss.from_logits(logits), labels).diff(dim=1)
    else:
        flat = loss.gradient(logits.reshape(-1, count), labels.reshape(-1))
        change = flat[:, 0].reshape(rays, 100)
    noise = 1e-13 * (1 + change.abs().max())
    if bool((change > noise).any()):
        return "no"
    return "strict" if bool((change < 0).all()) else "weak"


def compare(name: str, num_classes: int = 10, tight: bool = True, **given: Any) -> list[str]:
    """Disagreements between the properties that `losslab.losses.describe` claims and the computed ones; empty if there is none.

    What the description leaves open is not compared, nor what could not be computed. Bounds must hold, and with `tight` be reached to
    one part in a thousand. `given`: as for `check`.
    """
    card = describe(name)
    tight = tight and not find(name).tensors  # claims do not know the matrix or the counts
    claim, found = card.properties, check(name, num_classes, **given)
    if found.domain == "batch":
        return []
    hyper = find(name).resolve(
        {key: value for key, value in given.items() if key not in ("transition", "class_counts")}
    )
    problems = []

    def differ(what: str, said: Any, seen: Any) -> None:
        problems.append(f"{name} {_shown(given)}: {what} is declared as {said}, computed {seen}")

    symmetric = found.symmetric_if_zero_sum if found.domain == "cosines" and claim.symmetric else found.symmetric
    if claim.symmetric != symmetric:
        differ("symmetric", claim.symmetric, symmetric)
    if claim.bounded and not found.bounded:
        differ("bounded", True, (found.infimum, found.supremum))
    if claim.kind and found.active is not None:
        kind = "mixed" if found.active and found.passive else "active" if found.active else "passive"
        if claim.kind != kind:
            differ("kind", claim.kind, kind)
    sums = found.class_sum_range or (-math.inf, math.inf)
    if found.domain == "cosines" and claim.symmetric:  # claimed for zero-sum prototypes
        sums = _extremes(probe(name, num_classes, **given).class_sums(probe_cosines(num_classes, zero_sum=True)))
    ends = (
        ("infimum", claim.low, found.infimum, 1),
        ("supremum", claim.high, found.supremum, -1),
        ("smallest class sum", claim.class_sum_low, sums[0], 1),
        ("largest class sum", claim.class_sum_high, sums[1], -1),
    )
    for what, bound, seen, side in ends:
        if bound is not None and seen is not None:
            said = bound(num_classes, hyper)
            if not _bound_agrees(said, seen, side, tight):
                differ(what, said, seen)
    if claim.ratio is not None and found.asymmetry_ratio is not None:
        said, seen = claim.ratio(num_classes, hyper), 1 / found.asymmetry_ratio if found.asymmetry_ratio else math.inf
        if not (said == seen or math.isclose(said, seen, rel_tol=1e-3)):
            differ("asymmetry (largest weight over second)", said, seen)
    return problems


def _bound_agrees(said: float, seen: float, side: int, tight: bool) -> bool:
    """A lower bound (side 1) or an upper bound (side -1)."""
    if said == seen:
        return True
    room = 1e-3 * (1 + abs(seen)) if math.isfinite(seen) else 0.0
    excess = side * (seen - said)
    return -min(room, 1e-6 * (1 + abs(said))) <= excess and (excess <= room or not tight)


def _shown(given: dict[str, Any]) -> str:
    words = (f"{key}={value}" for key, value in given.items() if not isinstance(value, Tensor))
    return f"({', '.join(words)})"


def _kinds(name: str, num_classes: int, given: dict[str, Any]) -> set[str] | None:
    if not decomposition.known(name):
        return None
    return {part.kind for part in decomposition.parts(name, num_classes, **given)}


def _constant(low: float, high: float) -> bool:
    return math.isfinite(low) and math.isfinite(high) and high - low <= 1e-8 * (1 + abs(high))


def _extremes(values: Tensor) -> tuple[float, float]:
    return float(values.min()) + 0.0, float(values.max()) + 0.0


def _range(loss: Probe, low: Values, high: Values | None = None) -> tuple[float, float]:
    """Extremes over the probing set, each improved by descent from the best points.

    For logits two sets are used, up to 1e6 and 1e8; what still grows between the two is taken as unbounded.
    """
    high = low if high is None else high
    place: Values
    if loss.domain == "cosines":
        start = probe_cosines(loss.num_classes)
        inf, sup = float(low(start).min()), float(high(start).max())
        angles, place = torch.arcsin(start.clamp(-0.999, 0.999)), lambda x: x.sin()
    else:
        start = probe_logits(loss.num_classes, 1e6)
        near, far = (loss.from_logits(points) for points in (start, probe_logits(loss.num_classes, 1e8)))
        inf, sup = _settled(low(near), low(far), 1), _settled(high(near), high(far), -1)
        angles, place = start[(start.abs() <= 30).all(1)], loss.from_logits
    if math.isfinite(inf):
        inf = min(inf, _lowest(lambda x: low(place(x)), angles))
    if math.isfinite(sup):
        sup = max(sup, -_lowest(lambda x: -high(place(x)), angles))
    return inf + 0.0, sup + 0.0


def _settled(near: Tensor, far: Tensor, side: int) -> float:
    one, two = (float((side * values.detach()).min()) for values in (near, far))
    return -side * math.inf if one - two > 1e-3 * (1 + abs(one)) else side * min(one, two)


def _lowest(objective: Values, start: Tensor) -> float:
    """The lowest value that descent from the ten best starts reaches."""
    best = objective(start).detach().argsort()[:10]
    return float(descend(objective, start[best], rounds=80, rate=0.1)[1].min())


def _integrated_range(loss: Probe) -> tuple[float, float]:
    x = torch.linspace(-60, 60, 24001, dtype=torch.float64)
    slope = loss.slope(x)
    value = torch.cat([torch.zeros(1, dtype=torch.float64), torch.cumulative_trapezoid(slope, x)])
    value = value - value[-1]
    ends = 200  # the last logit units at either end: a loss that still moves there never stops
    low, high = _extremes(value)
    moving = 1e-6 * (1 + max(abs(low), abs(high)))
    left, right = float(value[0] - value[ends]), float(value[-1 - ends] - value[-1])
    if max(abs(left), abs(right)) > moving:
        high = math.inf if max(left, right) > moving else high
        low = -math.inf if min(left, right) < -moving else low
    return low, high
