"""What can be computed about cross-entropy, reverse cross-entropy and their sum without training: values, gradients, sums, risks, optima.

All values and gradients come from the library's losses.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.analysis.bounds import uniform_noise_risk
from losslab.losses.cross_entropy import ce, mae
from losslab.losses.gce import gce
from losslab.losses.symmetric import rce, sce
from losslab.seeding import generator

Array = NDArray[np.float64]
A_CODE = float(np.log(1e-4))  # labels clipped at 1e-4, natural logarithm
SETTINGS = {"MNIST": (0.01, 1.0), "CIFAR-10": (0.1, 1.0), "CIFAR-100": (6.0, 0.1)}  # alpha, beta of the official code


def _pair(p: Array) -> tuple[torch.Tensor, torch.Tensor]:
    """Two-class log-probabilities whose label 0 has probability p."""
    p = np.atleast_1d(np.asarray(p, dtype=np.float64))
    log_probs = torch.stack([torch.from_numpy(p).log(), torch.log1p(-torch.from_numpy(p)).clamp_min(-1e3)], -1)
    return log_probs, torch.zeros(len(p), dtype=torch.int64)


def loss_values(p: Array, alpha: float, beta: float, A: float = A_CODE) -> Array:
    """`alpha CE + beta RCE` at label probability p."""
    return np.asarray(sce(*_pair(p), alpha=alpha, beta=beta, A=A).numpy())


def label_gradient(p: Array, alpha: float, beta: float, A: float = A_CODE) -> Array:
    """Size of the gradient in the label's logit: `(alpha + beta |A| p) (1 - p)`, by automatic differentiation."""
    p = np.atleast_1d(np.asarray(p, dtype=np.float64))
    logit = torch.from_numpy(np.log(p) - np.log1p(-p)).requires_grad_()
    logits = torch.stack([logit, torch.zeros_like(logit)], -1)
    values = sce(logits.log_softmax(-1), torch.zeros(len(p), dtype=torch.int64), alpha=alpha, beta=beta, A=A)
    (gradient,) = torch.autograd.grad(values.sum(), logit)
    return np.asarray(gradient.abs().numpy())


def reverse_share(p: Array, alpha: float, beta: float, A: float = A_CODE) -> Array:
    """Part of SL's gradient that comes from the RCE term: `beta |A| p / (alpha + beta |A| p)`."""
    reverse = beta * -A * np.asarray(p, dtype=np.float64)
    return np.asarray(reverse / (alpha + reverse))


# Identities


def outputs(classes: int, count: int = 2000) -> Array:
    """Random points of the simplex, from flat to nearly one-hot."""
    draw = generator("sce", "outputs", classes)
    return np.concatenate([draw.dirichlet(np.full(classes, c), count // 4) for c in (5.0, 1.0, 0.3, 0.05)])


def class_sums(points: Array, alpha: float, beta: float, A: float = A_CODE) -> Array:
    """Sum of the loss over all labels, one number per output."""
    log_probs = torch.from_numpy(points).clamp_min(1e-300).log()
    labels = torch.arange(points.shape[1])
    return np.asarray(
        sum(sce(log_probs, k.expand(len(points)), alpha=alpha, beta=beta, A=A) for k in labels).numpy()  # type: ignore[union-attr]
    )


def gradient_errors(classes: int = 10, A: float = -6.0) -> dict[str, float]:
    """Largest difference between automatic differentiation and the formulas for RCE, `A p_y (e_y - p)`, and for CE + RCE by component."""
    draw = generator("sce", "gradients")
    logits = torch.from_numpy(draw.normal(0, 3, (500, classes))).requires_grad_()
    labels = torch.from_numpy(draw.integers(classes, size=500))
    p, hot = logits.detach().softmax(-1), torch.nn.functional.one_hot(labels, classes).double()
    own = p.gather(1, labels.unsqueeze(1))
    (reverse,) = torch.autograd.grad(rce(logits.log_softmax(-1), labels, A=A).sum(), logits)
    log_probs = logits.detach().log_softmax(-1)
    both = sce(logits.log_softmax(-1), labels, alpha=1.0, beta=1.0, A=A)
    (total,) = torch.autograd.grad(both.sum(), logits)
    by_component = torch.where(hot.bool(), (p - 1) + A * own * (1 - own), p - A * p * own)
    return {
        "vector": float((reverse - A * own * (hot - p)).abs().max()),
        "components": float((total - by_component).abs().max()),
        "mae": float((rce(log_probs, labels, A=-2.0) - mae(log_probs, labels)).abs().max()),
    }


def directions(classes: int = 10) -> dict[str, dict[str, float]]:
    """Logit gradients of five losses as `scalar x (p - e_y)`: largest residual, error of the predicted scalar, share of negative label components."""
    draw = generator("sce", "directions")
    logits = torch.from_numpy(draw.normal(0, 2, (1000, classes))).requires_grad_()
    labels = torch.from_numpy(draw.integers(classes, size=1000))
    p = logits.detach().softmax(-1)
    hot = torch.nn.functional.one_hot(labels, classes).double()
    own, way = p.gather(1, labels.unsqueeze(1)), p - hot
    log_probs = logits.log_softmax(-1)
    cases = {
        "CE": (ce(log_probs, labels), torch.ones_like(own)),
        "MAE": (mae(log_probs, labels), 2 * own),
        "RCE": (rce(log_probs, labels), -A_CODE * own),
        "GCE (q = 0.7)": (gce(log_probs, labels, q=0.7), own**0.7),
        "SL (CIFAR-10)": (sce(log_probs, labels, alpha=0.1, beta=1.0), 0.1 - A_CODE * own),
    }
    found = {}
    for name, (values, predicted) in cases.items():
        (gradient,) = torch.autograd.grad(values.sum(), logits, retain_graph=True)
        scalar = (gradient * way).sum(1, keepdim=True) / way.square().sum(1, keepdim=True)
        found[name] = {
            "residual": float((gradient - scalar * way).abs().max()),
            "error": float((scalar - predicted).abs().max()),
            "negative": float((gradient.gather(1, labels.unsqueeze(1)) < 0).double().mean()),
            "smallest": float(scalar.min()),
            "largest": float(scalar.max()),
        }
    return found


# Risks


def _problem(
    draw: np.random.Generator, classes: int, hypotheses: int = 40, points: int = 6
) -> tuple[Array, NDArray[np.int64], Array]:
    """Outputs `(hypotheses, points, classes)`, labels and weights of a random finite problem."""
    labels, weight = draw.integers(classes, size=points), draw.dirichlet(np.ones(points))
    lean = draw.random((hypotheses, 1, 1)) * np.eye(classes)[labels]
    spread = draw.dirichlet(np.full(classes, 0.5), (hypotheses, points))
    return lean + (1 - lean.max(-1, keepdims=True)) * spread, labels, weight


def _matrix(f: Array, alpha: float, beta: float, A: float) -> Array:
    """Loss of every output for every label, `(hypotheses, points, classes)`."""
    log_probs = torch.from_numpy(f).clamp_min(1e-300).log()
    labels = torch.arange(f.shape[-1])
    values = [sce(log_probs, k.expand(f.shape[:-1]), alpha=alpha, beta=beta, A=A) for k in labels]
    return np.asarray(torch.stack(values, -1).numpy())


def uniform_noise(
    classes: int, rate: float, alpha: float, beta: float, problems: int = 200, A: float = A_CODE
) -> dict[str, float]:
    """Random finite problems under uniform noise: error of RCE's risk identity, and how often the noisy minimiser is another hypothesis."""
    draw = generator("sce", "uniform", classes, str(rate))
    error = moved = 0.0
    for _ in range(problems):
        f, labels, weight = _problem(draw, classes)
        losses = _matrix(f, alpha, beta, A)
        own = losses[:, np.arange(len(labels)), labels]
        noisy = ((1 - rate) * own + rate / (classes - 1) * (losses.sum(-1) - own)) @ weight
        clean = own @ weight
        claimed = uniform_noise_risk(clean, -beta * A * (classes - 1), rate, classes)  # type: ignore[arg-type]
        error = max(error, float(np.abs(noisy - claimed).max()))
        moved += float(clean.argmin() != noisy.argmin()) / problems
    return {"error": error, "moved": moved}


def class_dependent_noise(classes: int, alpha: float, beta: float, problems: int = 200, A: float = A_CODE) -> float:
    """How often a hypothesis of risk 0 is not the noisy minimiser, with flip rates `eta_yk < 1 - eta_y`."""
    draw = generator("sce", "class-dependent", classes)
    lost = 0
    for _ in range(problems):
        f, labels, weight = _problem(draw, classes)
        rate = draw.uniform(0.0, 0.49, classes)
        flips = draw.dirichlet(np.full(classes, 0.3), classes) * (1 - np.eye(classes))
        flips *= (rate / flips.sum(1))[:, None]
        towards = flips[labels] / flips[labels].sum(1, keepdims=True)  # rivals lean towards what noise makes likely
        half = draw.random((len(f), 1, 1)) < 0.5
        f = np.where(half, 0.7 * np.eye(classes)[labels] + 0.3 * towards, f)
        f[0] = np.clip(np.eye(classes)[labels], 1e-12, 1)
        losses = _matrix(f, alpha, beta, A)
        own = losses[:, np.arange(len(labels)), labels]
        noisy = ((1 - rate[labels]) * own + (losses * flips[labels]).sum(-1)) @ weight
        lost += int(noisy.argmin() != 0 and noisy.min() < noisy[0] - 1e-9)
    return lost / problems


def optimum(rate: float, alpha: float, beta: float, classes: int = 10, A: float = A_CODE) -> float:
    """Confidence in the true class at the smallest expected loss under uniform noise: `p_k = alpha t_k / (nu - beta |A| t_k)`, by bisection."""
    t = np.full(classes, rate / (classes - 1))
    t[0] = 1 - rate
    b = -beta * A
    if alpha == 0:
        return 1.0
    if b == 0:
        return float(t[0])
    low, high = b * t.max(), b * t.max() + alpha
    for _ in range(200):
        nu = (low + high) / 2
        total = (alpha * t / (nu - b * t)).sum() if nu > b * t.max() else np.inf
        low, high = (nu, high) if total > 1 else (low, nu)
    return float(alpha * t[0] / (high - b * t[0]))
