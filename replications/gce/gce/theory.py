"""The analytic side of the paper, computed: L_q between its limits, sums over the classes, risk bounds, the pruning step.

Values come from the library's own losses; the bounds are written out here. Everything is float64 and deterministic.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor, nn

from losslab.losses.cross_entropy import ce, mae
from losslab.losses.gce import gce, keep_all, prune, truncated_gce
from losslab.seeding import generator

Array = np.ndarray


def two_classes(p: Array) -> tuple[Tensor, Tensor]:
    """Log-probabilities `(n, 2)` that give the label probability `p`, and the labels."""
    values = torch.as_tensor(np.array(p, dtype=np.float64))
    return torch.stack([values, 1 - values], dim=-1).clamp_min(1e-300).log(), torch.zeros(
        len(values), dtype=torch.int64
    )


def loss_values(p: Array, q: float) -> Array:
    """`L_q` at label probability `p`; q = 0 is cross-entropy."""
    log_probs, targets = two_classes(p)
    return (ce(log_probs, targets) if q == 0 else gce(log_probs, targets, q=q)).numpy() + 0.0  # no negative zeros


def truncated_values(p: Array, q: float, k: float) -> Array:
    """Truncated `L_q`: constant below `k`."""
    log_probs, targets = two_classes(p)
    return truncated_gce(log_probs, targets, q=q, k=k, variant="direct").numpy()


def mae_values(p: Array) -> Array:
    """`2 - 2 p`."""
    log_probs, targets = two_classes(p)
    return mae(log_probs, targets).numpy() + 0.0


def logit_norm(p: Array, q: float) -> Array:
    """L1 norm of the gradient in the logits, `2 p^q (1 - p)`."""
    return 2 * p**q * (1 - p)


def gradient_identity(qs: Iterable[float] = (0.1, 0.4, 0.7, 1.0)) -> float:
    """Largest difference between the gradient of `L_q` and `p^q` times that of CCE, over the parameters of a small network, per sample."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 4)).double()
    x, y = torch.randn(6, 5, dtype=torch.float64), torch.arange(6) % 4
    worst = 0.0
    for i in range(len(x)):
        log_probs = net(x[i : i + 1]).log_softmax(-1)
        p = log_probs[0, y[i]].exp().item()
        of_ce = torch.autograd.grad(ce(log_probs, y[i : i + 1]).sum(), list(net.parameters()), retain_graph=True)
        for q in qs:
            of_q = torch.autograd.grad(
                gce(log_probs, y[i : i + 1], q=q).sum(), list(net.parameters()), retain_graph=True
            )
            worst = max([worst, *((a - p**q * b).abs().max().item() for a, b in zip(of_q, of_ce, strict=True))])
    return worst


# Sums over the classes


def simplex_points(classes: int, count: int = 4000) -> Array:
    """Random points of the simplex from spiky to flat, its vertices, its centre, and even mixtures of few classes: `(n, classes)`."""
    draw = generator("gce", "simplex", classes)
    points = [draw.dirichlet(np.full(classes, a), count // 4) for a in (0.03, 0.3, 1.0, 30.0)]
    few = np.zeros((classes, classes))
    for n in range(1, classes + 1):
        few[n - 1, :n] = 1 / n
    return np.concatenate([*points, few])


def class_sums(points: Array, q: float, k: float | None = None) -> Array:
    """`sum_j L(f, j)` at each point; of the truncated loss where `k` is given. q = 0 is cross-entropy."""
    f = torch.as_tensor(points)
    classes = f.shape[1]
    log_probs = f.clamp_min(1e-300).log().unsqueeze(0).expand(classes, -1, -1)
    targets = torch.arange(classes).unsqueeze(1).expand(-1, len(f))
    if k is not None:
        values = truncated_gce(log_probs, targets, q=q, k=k, variant="direct")
    else:
        values = ce(log_probs, targets) if q == 0 else gce(log_probs, targets, q=q)
    return values.sum(0).numpy()


def sum_bounds(classes: int, q: float) -> tuple[float, float]:
    """Smallest and largest value of `sum_j L_q(f, j)`."""
    return (classes - classes ** (1 - q)) / q, (classes - 1) / q


def width(classes: float, q: Array | float) -> Array | float:
    """`W`: the distance of the two bounds."""
    return (classes ** (1 - q) - 1) / q


def truncated_depth(q: Array | float, k: Array | float) -> Array:
    """`d = max(1, (1 - q)^(1/q) / k)`: how many classes share the probability where the truncated sum is smallest."""
    return np.maximum(1.0, (1 - np.asarray(q)) ** (1 / np.asarray(q)) / k)


def truncated_bounds(classes: int, q: float, k: float) -> tuple[float, float]:
    """Bounds of the truncated sum: `d L_q(1/d) + (c - d) L_q(k)` and `c L_q(k)`."""
    d = float(truncated_depth(q, k))
    limit = (1 - k**q) / q
    return d * (1 - d**-q) / q + (classes - d) * limit, classes * limit


def truncated_width(q: Array | float, k: Array | float) -> Array:
    """`W_t = d (L_q(k) - L_q(1/d))`; it does not depend on the number of classes."""
    d = truncated_depth(q, k)
    return d * (d ** -np.asarray(q) - np.asarray(k) ** q) / q


def violation(values: Array, bounds: tuple[float, float]) -> float:
    """How far the values leave the bounds; 0 if they do not."""
    return float(max(bounds[0] - values.min(), values.max() - bounds[1], 0.0))


# Risk bounds on random finite problems, with exact risks


def _losses(f: Array, q: float) -> Array:
    """`L_q(f(x), j)` of every hypothesis, point and label: `(hypotheses, points, classes)`."""
    return (1 - f**q) / q


def uniform_risks(classes: int, q: float, eta: float, problems: int = 200) -> dict[str, float]:
    """Both inequalities of the uniform-noise bound on random problems: largest violation, and the largest share of the bound that was used."""
    draw = generator("gce", "risk", classes, str(q), str(eta))
    bound = float(eta * width(classes, q) / (classes - 1))
    slope = 1 - eta * classes / (classes - 1)
    worst = used = 0.0
    for _ in range(problems):
        f = draw.dirichlet(np.full(classes, draw.uniform(0.05, 2.0)), (40, 6))
        labels, weight = draw.integers(classes, size=6), draw.dirichlet(np.ones(6))
        losses = _losses(f, q)
        own = losses[:, np.arange(6), labels]
        clean = own @ weight
        noisy = ((1 - eta) * own + eta / (classes - 1) * (losses.sum(-1) - own)) @ weight
        best, found = clean.argmin(), noisy.argmin()
        excess, lost = noisy[best] - noisy[found], clean[best] - clean[found]
        worst = max(worst, -excess, excess - bound, lost, -bound / slope - lost)
        used = max(used, excess / bound)
    return {"violation": max(worst, 0.0), "used": float(used), "bound": bound, "clean_bound": -bound / slope}


def class_dependent_risks(classes: int, q: float, problems: int = 200) -> dict[str, float]:
    """The class-dependent bound on random problems with a hypothesis of risk 0."""
    draw = generator("gce", "class risk", classes, str(q))
    worst = used = 0.0
    for _ in range(problems):
        rate = draw.uniform(0.0, 0.49, classes)
        flips = draw.dirichlet(np.ones(classes), classes) * (1 - np.eye(classes))
        flips *= (rate / flips.sum(1))[:, None]  # flips[i, j] <= rate[i] < 1 - rate[i]
        labels, weight = draw.integers(classes, size=6), draw.dirichlet(np.ones(6))
        truth = np.eye(classes)[labels]
        lean = draw.random(
            (40, 1, 1)
        )  # the rivals lean towards the true labels or towards the labels that noise makes likely
        f = lean * truth + (1 - lean) * np.where(draw.random((40, 1, 1)) < 0.5, _normalised(flips[labels]), 1 / classes)
        f[0] = truth
        losses = _losses(f, q)
        own = losses[:, np.arange(6), labels]
        noisy = ((1 - rate[labels]) * own + (losses * flips[labels]).sum(-1)) @ weight
        excess = noisy[0] - noisy.min()
        bound = width(classes, q) * ((1 - rate[labels]) @ weight)
        worst, used = max(worst, excess - bound), max(used, excess / bound)
    return {"violation": max(worst, 0.0), "used": float(used)}


def _normalised(rows: Array) -> Array:
    return rows / rows.sum(-1, keepdims=True)


# The alternating search


def pruning_step(q: float = 0.7, k: float = 0.5, samples: int = 500, trials: int = 400) -> dict[str, float]:
    """The pruning step against random weights, and the rewriting of the truncated sum (the paper's Equation 12)."""
    draw = generator("gce", "pruning")
    f = torch.as_tensor(draw.dirichlet(np.full(10, 0.2), samples)).clamp_min(1e-12)
    agrees = torch.as_tensor(draw.random(samples) < 0.6)
    targets = torch.where(agrees, f.argmax(-1), torch.as_tensor(draw.integers(10, size=samples)))
    log_probs = f.log()
    value = gce(log_probs, targets, q=q)
    limit = (1 - k**q) / q
    state = keep_all(1, samples, 10, targets.unsqueeze(0))
    weight = prune(state, log_probs.unsqueeze(0), targets.unsqueeze(0), q=q, k=k)["weight"][0].double()

    def objective(w: Tensor) -> float:
        return float((w * value).sum() - limit * w.sum())

    best = objective(weight)
    rivals = [torch.ones(samples).double()] + [
        torch.as_tensor(draw.random(samples) ** draw.uniform(0.1, 3)) for _ in range(trials)
    ]
    nearby = [(weight + (torch.arange(samples) == i) * (1 - 2 * weight)) for i in range(samples)]
    truncated = truncated_gce(log_probs, targets, q=q, k=k, variant="direct").sum()
    rewritten = (weight * value + (1 - weight) * limit).sum()
    return {
        "violation": max(0.0, *(best - objective(w) for w in rivals + nearby)),
        "rewriting_error": abs(float(truncated - rewritten)),
        "kept": float(weight.mean()),
    }
