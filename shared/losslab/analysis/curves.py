"""Value and gradient of any loss along one line: p_y against a uniform rest, the loss atlas.

>>> from losslab.analysis import curves
>>> curves.curve("gce", q=0.7).weight_l1.max()  # 2 p^q (1 - p), largest at p = q / (1 + q)
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from losslab.analysis.probing import Probe, probe, uniform_rest
from losslab.errors import InputError
from losslab.losses.registry import spec as find

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Curve:
    """A loss along a line; all arrays `(n,)`.

    x: p_y, the others sharing 1 - p_y equally; for losses of cosines c_y, the others at -c_y / (K - 1), as zero-sum prototypes give.
    value: the loss. slope: d value / d x along the line. weight_l1, weight_l2: norms of the gradient w.r.t. the logits (or cosines).
    toward_label: the label's own component of that gradient.
    """

    name: str
    axis: str
    x: Array
    value: Array
    slope: Array
    weight_l1: Array
    weight_l2: Array
    toward_label: Array


def grid(points: int = 199) -> Array:
    """Probabilities inside (0, 1), denser at both ends: `(points,)`."""
    t = (np.arange(points) + 0.5) / points
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float64)


def curve(name: str, x: ArrayLike | None = None, num_classes: int = 10, **given: Any) -> Curve:
    """The loss of that name along the line; `given` are its hyper-parameters.

    A loss of the whole batch is taken on a batch with one sample per class, all with the same p_y; its weights are those of one sample.
    """
    spec = find(name)
    cosines = spec.input == "cosines"
    default = 2 * grid() - 1 if cosines else grid()
    xs = np.asarray(default if x is None else x, dtype=np.float64)
    low = -1.0 if cosines else 0.0
    if xs.ndim != 1 or not np.all((xs > low) & (xs < 1)):
        raise InputError(f"x must be one axis of numbers inside ({low:g}, 1)")
    t = torch.from_numpy(xs)
    if cosines:
        base = torch.full((num_classes,), -1.0 / (num_classes - 1), dtype=torch.float64)
        base[0] = 1.0
        inputs, tangent = t.unsqueeze(1) * base, base.expand(len(xs), -1)
    else:
        inputs = uniform_rest((t / (1 - t)).log(), num_classes)
        tangent = torch.zeros_like(inputs)
        tangent[:, 0] = 1 / (t * (1 - t))
    if spec.level == "batch":
        value, gradient = _batch(name, inputs, num_classes, given)
        scale = num_classes  # moving p_y of all K samples
    else:
        value, gradient = _sample(probe(name, num_classes, **given), inputs)
        scale = 1
    return Curve(
        name=name,
        axis="cosine of the label" if cosines else "probability of the label",
        x=xs,
        value=value.numpy(),
        slope=((gradient * tangent).sum(1) * scale).numpy(),
        weight_l1=gradient.abs().sum(1).numpy(),
        weight_l2=gradient.norm(dim=1).numpy(),
        toward_label=gradient[:, 0].numpy(),
    )


def _sample(loss: Probe, inputs: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    labels = torch.zeros(len(inputs), dtype=torch.int64)
    return loss.at(loss.from_logits(inputs), labels).detach(), loss.gradient(inputs, labels)


def _batch(
    name: str, inputs: torch.Tensor, num_classes: int, given: dict[str, Any]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Per point a batch of K samples, sample i of class i with the same p_y; gradient of sample 0."""
    spec = find(name)
    turned = [inputs.roll(shift, 1) for shift in range(num_classes)]
    leaf = torch.stack(turned, 1).requires_grad_()
    labels = torch.arange(num_classes).expand(len(inputs), num_classes)
    value = spec.core(torch.log_softmax(leaf, -1), labels, **spec.resolve(given))
    (gradient,) = torch.autograd.grad(value.sum(), leaf)
    return value.detach(), gradient[:, 0]
