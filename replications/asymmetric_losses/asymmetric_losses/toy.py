"""Noise tolerance observed: tables of free logits, one row per input, trained by gradient descent on labels that are drawn with noise.

An input of this toy is seen many times with different labels, which is what the theory is about: the network cannot learn single labels
by heart, and converges to the minimiser of the weighted loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import softmax

from asymmetric_losses import theory
from losslab.seeding import generator

Array = np.ndarray


class Adam:
    """Adam (Kingma and Ba 2015) for arrays and tensors; `torch.optim` would import torch's compiler, which takes longer than these trainings."""

    def __init__(self) -> None:
        self.moments: list[tuple[Any, Any]] = []
        self.steps = 0

    def step(self, values: Sequence[Any], gradients: Sequence[Any], lr: float) -> None:
        """Change `values` in place."""
        self.steps += 1
        self.moments = self.moments or [(0.0, 0.0)] * len(values)
        for place, (value, gradient) in enumerate(zip(values, gradients, strict=True)):
            first, second = self.moments[place]
            first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
            self.moments[place] = first, second
            value -= lr * (first / (1 - 0.9**self.steps)) / ((second / (1 - 0.999**self.steps)) ** 0.5 + 1e-8)


def descend(
    name: str, weights: Array, start: Array, steps: int, lr: float = 0.1, a: float = 1.0, q: float = 1.0
) -> Array:
    """Outputs after Adam on `sum_k w_k L(softmax(z), k)` from the logits `start` `(n, K)`; `weights` `(n, K)`. Gradients by formula."""
    z, adam = start.copy(), Adam()
    for _ in range(steps):
        p = softmax(z, axis=1)
        pull = weights * theory.weight(name, p, a, q) * p
        adam.step([z], [p * pull.sum(1, keepdims=True) - pull], lr)
    return np.asarray(softmax(z, axis=1))


def shares(rates: Sequence[float], inputs: int, labels: int, classes: int = 3) -> Array:
    """Empirical label distributions `(rates * inputs, classes)`: class 0 is true, class 1 is what it is mistaken for."""
    draw = generator("asymmetric_losses", "toy", inputs, labels)
    rows = []
    for rate in rates:
        wrong = draw.binomial(labels, rate, inputs) / labels
        rows.append(np.column_stack([1 - wrong, wrong, *[np.zeros(inputs)] * (classes - 2)]))
    return np.concatenate(rows)


def tolerance_curve(
    name: str, rates: Sequence[float], a: float, q: float = 1.0, inputs: int = 20, labels: int = 4000, steps: int = 1500
) -> pd.DataFrame:
    """Mean and spread over the inputs of the true class's probability after training, by pair-noise rate. Starts are level outputs."""
    w = shares(rates, inputs, labels)
    p = descend(name, w, np.zeros_like(w), steps, a=a, q=q)[:, 0].reshape(len(rates), inputs)
    return pd.DataFrame({"rate": list(rates), "p": p.mean(1), "low": p.min(1), "high": p.max(1)})


def wrong_ends(
    name: str, rates: Sequence[float], a: float, q: float = 1.0, inputs: int = 200, steps: int = 1500
) -> pd.DataFrame:
    """Share of random starts that end at the wrong class, by pair-noise rate, in per cent; exact weights, logits from N(0, 3^2)."""
    draw = generator("asymmetric_losses", "starts", inputs)
    start = np.tile(3 * draw.standard_normal((inputs, 3)), (len(rates), 1))
    w = np.repeat([[1 - rate, rate, 0.0] for rate in rates], inputs, axis=0)
    ends = descend(name, w, start, steps, a=a, q=q).argmax(1).reshape(len(rates), inputs)
    return pd.DataFrame({"rate": list(rates), "wrong": 100 * (ends != 0).mean(1)})
