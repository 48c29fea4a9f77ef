"""Small deterministic optimisers; torch's own would import its compiler first, which takes seconds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def descend(
    objective: Callable[[Tensor], Tensor], start: Tensor, rounds: int = 250, rate: float = 0.3
) -> tuple[Tensor, Tensor]:
    """Adam with a rate that falls to 0, on rows that do not interact: start `(n, ...)`, objective `(n, ...) -> (n,)`.

    Returns each row's best point `(n, ...)` and value `(n,)`.
    """
    x = start.detach().clone()
    best_x, best = x.clone(), torch.full((len(x),), torch.inf, dtype=x.dtype)
    first, second = torch.zeros_like(x), torch.zeros_like(x)
    for index in range(rounds):
        leaf = x.requires_grad_()
        values = objective(leaf)
        (gradient,) = torch.autograd.grad(values.sum(), leaf)
        with torch.no_grad():
            better = values < best
            best = torch.where(better, values, best)
            best_x = torch.where(better.view(-1, *[1] * (x.ndim - 1)), leaf, best_x)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient.square()
            size = (second / (1 - 0.999 ** (index + 1))).sqrt() + 1e-12
            x = leaf - rate * (1 - index / rounds) * first / (1 - 0.9 ** (index + 1)) / size
    return best_x.detach(), best.detach()


def quasi_newton(objective: Callable[[Tensor], Tensor], start: Tensor, rounds: int = 2000) -> tuple[Tensor, float]:
    """L-BFGS (scipy) on one point of any shape, objective to a scalar; returns the best point and its value."""
    from scipy.optimize import minimize

    shape = start.shape
    best_x, best = start.detach().clone(), float("inf")

    def both(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        nonlocal best_x, best
        leaf = torch.from_numpy(flat.copy()).view(shape).requires_grad_()
        value = objective(leaf)
        (gradient,) = torch.autograd.grad(value, leaf)
        if float(value.detach()) < best:
            best_x, best = leaf.detach().clone(), float(value.detach())
        return float(value.detach()), gradient.flatten().numpy()

    options = {"maxiter": rounds, "maxfun": 2 * rounds, "ftol": 1e-15, "gtol": 1e-12, "maxcor": 20}
    minimize(both, start.detach().double().flatten().numpy(), jac=True, method="L-BFGS-B", options=options)
    return best_x, best
