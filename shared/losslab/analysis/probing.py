"""A loss at many points and all labels at once: what the other modules are built on.

A *point* is the input of a loss's core: log-probabilities, logits or cosines, `(..., K)` in float64, as its spec says.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from losslab.errors import InputError
from losslab.losses.registry import spec as find
from losslab.losses.spec import LossSpec, check_extra_tensor

NOISE_RATE = 0.2
"""Rate of the symmetric noise whose matrix a corrected loss gets when none is given."""


@dataclass(frozen=True, eq=False)
class Probe:
    """A sample-level loss with fixed hyper-parameters and number of classes K.

    `arguments` holds everything that the core needs besides points and labels. Losses that remember samples are taken without
    memory, as they are before the first refresh.
    """

    spec: LossSpec
    num_classes: int
    arguments: dict[str, Any] = field(default_factory=dict)

    @property
    def domain(self) -> str:
        """ "simplex" (log-probabilities), "logits" or "cosines"."""
        return "simplex" if self.spec.input == "log_probs" else self.spec.input

    def at(self, points: Tensor, labels: Tensor) -> Tensor:
        """Values `(..., N)` at points `(..., N, K)` for labels `(..., N)`."""
        return self.spec.core(points, labels, **self.arguments)

    def all_labels(self, points: Tensor) -> Tensor:
        """`L(point, k)` for every label k: points `(N, K)`, values `(N, K)`."""
        size, count = points.shape
        labels = torch.arange(count).unsqueeze(1).expand(count, size)
        return self.at(points.expand(count, size, count), labels).mT

    def class_sums(self, points: Tensor) -> Tensor:
        """`sum_k L(point, k)`: points `(N, K)`, sums `(N,)`."""
        return self.all_labels(points).sum(-1)

    def from_logits(self, logits: Tensor) -> Tensor:
        """The points of logits (of cosines, for a loss of cosines)."""
        return torch.log_softmax(logits, -1) if self.domain == "simplex" else logits

    def from_probabilities(self, p: Tensor) -> Tensor:
        """The points of probabilities; a zero counts as exp(-1e4). Not for losses of cosines."""
        if self.domain == "cosines":
            raise InputError(f"{self.spec.name} is a function of cosines, not of probabilities")
        return p.double().log().clamp_min(-1e4)

    def gradient(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Gradient of every sample's value w.r.t. its own logits (or cosines): `(N, K)`, for labels `(N,)`."""
        leaf = logits.detach().double().clone().requires_grad_()
        values = self.at(self.from_logits(leaf), labels)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        return gradient

    def slope(self, x: Tensor) -> Tensor:
        """`dL/dz_y` at p_y = sigmoid(x) with the rest uniform, `(n,)`; the derivative of the loss along x = logit(p_y).

        From the loss's closed form where it has one: automatic differentiation of `expm1` loses p_y below 1e-16.
        """
        labels = torch.zeros(x.shape, dtype=torch.int64)
        logits = uniform_rest(x, self.num_classes)
        if self.spec.grad is None or self.domain != "simplex":
            return self.gradient(logits, labels)[:, 0]
        own, rest = self.spec.grad(torch.log_softmax(logits, -1), labels, **self.arguments)
        slope = own * torch.sigmoid(-x)
        return slope if rest is None else slope + rest * (1 - self.num_classes * torch.sigmoid(x))

    @cached_property
    def depends_on_target_only(self) -> bool:
        """Whether the value is a function of p_y alone."""
        if self.domain == "cosines" or self.num_classes < 3:
            return self.domain != "cosines"
        draw = torch.Generator().manual_seed(5)
        p = torch.linspace(0.02, 0.98, 25, dtype=torch.float64).repeat_interleave(8)
        rest = torch.rand(len(p), self.num_classes - 1, generator=draw, dtype=torch.float64) ** 4 + 1e-9
        rest = rest / rest.sum(1, keepdim=True) * (1 - p).unsqueeze(1)
        logits = torch.cat([p.unsqueeze(1), rest], 1).log()
        if self.domain == "logits":
            logits = logits + torch.randn(len(p), 1, generator=draw, dtype=torch.float64)
        labels = torch.zeros(len(p), dtype=torch.int64)
        points = torch.cat(
            [self.from_logits(logits), self.from_logits(uniform_rest((p / (1 - p)).log(), self.num_classes))]
        )
        one, other = self.at(points, labels.repeat(2)).chunk(2)
        return bool(((one - other).abs() <= 1e-8 * (1 + other.abs())).all())

    @cached_property
    def conservative(self) -> bool:
        """Whether the gradient is the derivative of the value; false where a factor is detached."""
        draw = torch.Generator().manual_seed(7)
        size = 32
        inputs = torch.randn(size, self.num_classes, generator=draw, dtype=torch.float64)
        if self.domain == "cosines":
            inputs = torch.tanh(inputs)
        labels = torch.arange(size) % self.num_classes
        step = 1e-5 * torch.randn(size, self.num_classes, generator=draw, dtype=torch.float64)
        moved = [self.at(self.from_logits(inputs + sign * step), labels) for sign in (1, -1)]
        change = (moved[0] - moved[1]) / 2
        predicted = (self.gradient(inputs, labels) * step).sum(-1)
        return bool(((change - predicted).abs() <= 1e-10 + 1e-4 * predicted.abs()).all())


def probe(name: str, num_classes: int = 10, **given: Any) -> Probe:
    """The loss of that name, ready to be evaluated anywhere.

    `given`: its hyper-parameters, and `transition` `(K, K)` or `class_counts` `(K,)` where it needs them. Without them a corrected loss
    gets symmetric noise of rate 0.2, a loss of class counts a geometric sequence from 100 down to 1.
    """
    spec = find(name)
    if spec.level != "sample":
        raise InputError(f"{name} is a loss of the whole batch; it has no value for one sample")
    if num_classes < 2:
        raise InputError(f"num_classes is {num_classes}, expected at least 2")
    tensors: dict[str, Tensor] = {}
    for key in (*spec.tensors, *spec.optional):
        value = given.pop(key, None)
        if value is None and key in spec.tensors:
            value = _default_tensor(key, num_classes)
        if value is not None:
            tensors[key] = check_extra_tensor(name, key, value, num_classes).double()
    return Probe(spec, num_classes, {**spec.resolve(given), **tensors})


def uniform_rest(x: Tensor, num_classes: int) -> Tensor:
    """Logits `(n, K)` for which class 0 has probability sigmoid(x) and all others the same; the others' logits are 0."""
    logits = torch.zeros(*x.shape, num_classes, dtype=torch.float64)
    logits[..., 0] = x + math.log(num_classes - 1)
    return logits


def probe_logits(num_classes: int, size: float = 1e4, seed: int = 0) -> Tensor:
    """A fine and adversarial set of logits `(n, K)`: random at all scales up to `size`, vertices, faces, edges, ties, near-vertices."""
    k, draw = num_classes, torch.Generator().manual_seed(seed)
    scales = [scale for scale in (0.0, 0.03, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3) if scale < size] + [
        size
    ]
    rows = torch.unique(torch.linspace(0, k - 1, min(k, 12)).round().long())  # classes are alike
    eye = torch.eye(k, dtype=torch.float64)[rows]
    steps = torch.tril(torch.ones(k, k, dtype=torch.float64))[rows]
    pairs = eye + eye.roll(1, 1)
    ladder = torch.arange(k, dtype=torch.float64).expand(1, k) / (k - 1)
    parts = [torch.zeros(1, k, dtype=torch.float64)]
    for scale in scales[1:]:
        normal = torch.randn(60, k, generator=draw, dtype=torch.float64)
        sparse = torch.where(torch.rand(30, k, generator=draw, dtype=torch.float64) < 0.3, 1.0, 0.0)
        parts += [scale * part for part in (normal, sparse, eye, -eye, steps, -steps, pairs, ladder)]
        parts.append(scale * eye + torch.randn(eye.shape, generator=draw, dtype=torch.float64))
    return torch.cat(parts).clamp(-size, size)


def probe_cosines(num_classes: int, seed: int = 0, zero_sum: bool = False) -> Tensor:
    """Cosines `(n, K)` in [-1, 1]: random, corners, edges; with `zero_sum` those that prototypes with zero sum can give."""
    k, draw = num_classes, torch.Generator().manual_seed(seed)
    eye = torch.eye(k, dtype=torch.float64)
    base = torch.cat(
        [
            2 * torch.rand(400, k, generator=draw, dtype=torch.float64) - 1,
            torch.randn(400, k, generator=draw, dtype=torch.float64) * 0.2,
            torch.rand(400, k, generator=draw, dtype=torch.float64).round() * 2 - 1,
            2 * eye - 1,
            1 - 2 * eye,
            eye,
            -eye,
            torch.ones(1, k, dtype=torch.float64),
            -torch.ones(1, k, dtype=torch.float64),
            torch.zeros(1, k, dtype=torch.float64),
        ]
    ).clamp(-1, 1)
    if not zero_sum:
        return base
    centred = base - base.mean(1, keepdim=True)
    return centred / centred.abs().amax(1, keepdim=True).clamp_min(1.0)


def symmetric_noise(num_classes: int, rate: float) -> Tensor:
    """Each label becomes any other one with probability rate / (K - 1): `(K, K)`, rows are clean labels."""
    off = rate / (num_classes - 1)
    return torch.full((num_classes, num_classes), off, dtype=torch.float64).fill_diagonal_(1 - rate)


def _default_tensor(key: str, num_classes: int) -> Tensor:
    if key == "transition":
        return symmetric_noise(num_classes, NOISE_RATE)
    return torch.logspace(2, 0, num_classes, dtype=torch.float64)
