"""The theory of sparse regularization as code: permutation sets, risk bounds, the l_p term, what unit logits can reach, the growing weight."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.losses import functional
from losslab.losses.regularisers import growing_weight, sharpen, sparse
from losslab.noise import corrupt, flip_map, transition_matrix
from losslab.noise.imbalance import long_tailed, step
from losslab.seeding import generator

Array = NDArray[np.float64]
CLAMP = 1e-7
LOSSES: dict[str, tuple[str, dict[str, Any]]] = {
    "CE": ("ce", {}),
    "FL": ("focal", {"gamma": 0.5}),
    "GCE": ("gce", {"q": 0.7}),
    "MAE": ("mae", {}),
    "MSE": ("mse", {}),
}
# Name -> classes, tau, p, as released; MNIST's logits are not normalised in the code.
REGIMES: dict[str, tuple[int, float, float]] = {
    "CIFAR-10": (10, 0.5, 0.1),
    "CIFAR-100": (100, 0.5, 0.01),
    "WebVision-mini": (50, 0.5, 0.01),
    "MNIST, if normalised": (10, 0.1, 0.1),
}
# Name -> classes, p, lambda_0, rho, r, epochs.
SCHEDULES: dict[str, tuple[int, float, float, float, int, int]] = {
    "MNIST, CE and FL": (10, 0.1, 4.0, 2.0, 5, 50),
    "MNIST, GCE": (10, 0.1, 3.0, 2.0, 5, 50),
    "CIFAR-10": (10, 0.1, 1.2, 1.03, 1, 120),
    "CIFAR-100, symmetric": (100, 0.01, 4.0, 1.02, 1, 200),
    "CIFAR-100, asymmetric": (100, 0.01, 10.0, 1.02, 1, 200),
}


def class_sums(name: str, outputs: Array, **params: Any) -> Array:
    """`sum_k L(u, k)` for outputs `(n, K)` on the simplex, through the library's loss of log-outputs."""
    logits = torch.from_numpy(np.log(outputs))
    return _all_labels(name, logits, **params).sum(1).numpy()


def _all_labels(name: str, logits: Tensor, **params: Any) -> Tensor:
    """L(softmax(logits), k) for every k: `(n, K)`."""
    classes = logits.shape[1]
    columns = [
        getattr(functional, name)(logits, torch.full((len(logits),), k), reduction="none", **params)
        for k in range(classes)
    ]
    return torch.stack(columns, 1)


# Permutation sets (T1)


def permutations(vector: Array, count: int, seed: int = 0) -> Array:
    """Random members of P_v: permutations of one vector, `(count, K)`."""
    draw = generator("sparse_regularization/permutations", seed)
    return np.stack([draw.permutation(vector) for _ in range(count)])


def random_vector(classes: int, seed: int = 0) -> Array:
    """A random point inside the simplex."""
    return generator("sparse_regularization/vector", seed).dirichlet(np.ones(classes)) * 0.99 + 0.01 / classes


def sum_spread(classes: int, count: int = 500) -> pd.DataFrame:
    """Largest minus smallest class sum, over free outputs and over the permutations of one vector."""
    free = np.stack([random_vector(classes, seed) for seed in range(count)])
    bound = permutations(random_vector(classes), count)
    rows = {
        label: (np.ptp(class_sums(name, free, **given)), np.ptp(class_sums(name, bound, **given)))
        for label, (name, given) in LOSSES.items()
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=["any output", "one permutation set"])


# Risks of finite problems


def _problem(
    classes: int, points: int, hypotheses: int, eps: float, seed: int, vector: Array | None = None
) -> tuple[Array, NDArray[np.int64], Array]:
    """Hypotheses in H_{v, eps}, labels, v: outputs `(hypotheses, points, K)` within eps of a permutation of v."""
    draw = generator("sparse_regularization/problem", seed)
    v = random_vector(classes, seed) if vector is None else vector
    outputs = np.stack([draw.permutation(v) for _ in range(hypotheses * points)])
    if eps > 0:
        outputs = _moved(outputs, eps, draw)
    labels = draw.integers(classes, size=points)
    return outputs.reshape(hypotheses, points, classes), labels, v


def _moved(outputs: Array, eps: float, draw: np.random.Generator) -> Array:
    """Outputs moved by at most eps (Euclidean), staying on the simplex: towards a random point of it."""
    targets = draw.dirichlet(np.full(outputs.shape[1], 0.3), size=len(outputs))
    way = targets - outputs
    length = np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
    size = eps * np.sqrt(draw.random((len(outputs), 1)))
    return np.asarray(outputs + way * np.minimum(size / length, 1.0))


def _losses(name: str, outputs: Array, **given: Any) -> Array:
    """L(f(x), k): `(hypotheses, points, K)`."""
    flat = torch.from_numpy(np.log(np.maximum(outputs, 1e-12))).reshape(-1, outputs.shape[-1])
    return _all_labels(name, flat, **given).numpy().reshape(outputs.shape)


def _risks(losses: Array, labels: NDArray[np.int64], matrix: Array) -> tuple[Array, Array]:
    """Clean and noisy risk of every hypothesis, points of equal weight."""
    points = np.arange(len(labels))
    return losses[:, points, labels].mean(1), (losses * matrix[labels]).sum(2).mean(1)


def kept_minimisers(
    name: str, rate: float, classes: int = 10, problems: int = 200, free: bool = False, **given: Any
) -> float:
    """T1: share of random problems in which the hypothesis of least noisy risk is one of least clean risk.

    free: outputs are anywhere on the simplex instead of in one permutation set.
    """
    matrix, same = transition_matrix("symmetric", classes, rate), 0
    for seed in range(problems):
        outputs, labels, _ = _problem(classes, 6, 40, 0.0, seed)
        if free:
            outputs = generator("sparse_regularization/free", seed).dirichlet(np.ones(classes), size=outputs.shape[:2])
        clean, noisy = _risks(_losses(name, outputs, **given), labels, matrix)
        same += bool(clean[noisy.argmin()] - clean.min() < 1e-9)
    return same / problems


def excess_factor(rate: float, classes: int) -> float:
    """c of T2: eta / ((1 - eta) K - 1), for eta < 1 - 1 / K."""
    left = (1 - rate) * classes - 1
    return rate / left if left > 1e-12 else math.inf


def gce_delta(classes: int, eps: float, q: float = 0.7) -> float:
    """A delta that serves every v: |sum_k L_q(u) - sum_k L_q(v)| for ||u - v||_2 <= eps, from |a^q - b^q| <= |a - b|^q."""
    return classes ** (1 - q / 2) * eps**q / q


def symmetric_bound(rate: float, classes: int, delta: float) -> float:
    """T2: R(f*_eta) - R(f*) <= 2 c delta."""
    return 2 * excess_factor(rate, classes) * delta


def asymmetric_bound(matrix: Array, labels: NDArray[np.int64], delta: float) -> float:
    """T3: with R(f*) = 0 and eta_yk < 1 - eta_y, R(f*_eta) <= 2 delta + 2 c delta / a."""
    kept = np.diag(matrix)[labels]
    others = matrix[labels].copy()
    others[np.arange(len(labels)), labels] = -np.inf
    gap = float((kept - others.max(1)).min())
    return 2 * delta + 2 * float(kept.mean()) * delta / gap if gap > 0 else math.inf


def check_symmetric(problems: int, seed: int = 0) -> dict[str, float]:
    """T2 on random finite problems, L_0.7: largest violation and largest ratio of the excess risk to the bound.

    delta is the largest distance of a class sum from that of v among the problem's own outputs.
    """
    worst, ratio, draw = -math.inf, 0.0, generator("sparse_regularization/symmetric", seed)
    for number in range(problems):
        classes, eps = int(draw.integers(3, 7)), float(draw.uniform(0.01, 0.3))
        rate = float(draw.uniform(0.05, 0.95 * (1 - 1 / classes)))
        outputs, labels, v = _problem(classes, 5, 30, eps, 1000 + number)
        losses = _losses("gce", outputs, q=0.7)
        delta = float(np.abs(losses.sum(2) - class_sums("gce", v[None], q=0.7)).max())
        assert delta <= gce_delta(classes, eps) + 1e-9
        clean, noisy = _risks(losses, labels, transition_matrix("symmetric", classes, rate))
        excess, bound = clean[noisy.argmin()] - clean.min(), symmetric_bound(rate, classes, delta)
        worst, ratio = max(worst, excess - bound), max(ratio, excess / bound)
    return {"violation": worst, "ratio": ratio}


def check_asymmetric(problems: int, seed: int = 0) -> dict[str, float]:
    """T3 on random finite problems, L_0.7, one-hot v, one hypothesis without error: as `check_symmetric`."""
    worst, ratio, draw = -math.inf, 0.0, generator("sparse_regularization/asymmetric", seed)
    for number in range(problems):
        classes, eps = int(draw.integers(3, 7)), float(draw.uniform(0.01, 0.3))
        vector = np.eye(classes)[0]
        outputs, labels, _ = _problem(classes, 5, 30, eps, 5000 + number, vector)
        outputs[0] = np.eye(classes)[labels]
        matrix = np.eye(classes) * 0.55 + 0.45 * draw.dirichlet(np.full(classes, 0.5), size=classes)
        losses = _losses("gce", outputs, q=0.7)
        delta = float(np.abs(losses.sum(2) - (classes - 1) / 0.7).max())
        clean, noisy = _risks(losses, labels, matrix)
        bound = asymmetric_bound(matrix, labels, delta)
        if math.isfinite(bound) and clean.min() < 1e-5:
            excess = clean[noisy.argmin()]
            worst, ratio = max(worst, excess - bound), max(ratio, excess / bound)
    return {"violation": worst, "ratio": ratio}


# The penalty


def one_hot_distance(outputs: Tensor) -> Tensor:
    """`min_k ||u - e_k||_2` of outputs `(..., K)`."""
    square = outputs.square().sum(-1) + 1 - 2 * outputs.max(-1).values
    return square.clamp_min(0).sqrt()


def lp_range(classes: int, p: float, clamped: bool = False) -> tuple[float, float]:
    """Least and greatest `sum_k u_k^p` on the simplex: at a vertex and, for p < 1, at the uniform output."""
    return (1 + (classes - 1) * CLAMP**p if clamped else 1.0), classes ** (1 - p)


def penalty_gradient(logits: Tensor, tau: float, p: float, normalised: bool) -> Tensor:
    """d ||u||_p^p / dz in closed form: (p / tau) (u_j^p - u_j sum_k u_k^p), and (I - zh zh^T) / ||z|| where logits are normalised."""
    u = torch.softmax(sharpen(logits, tau=tau, scaling="l2" if normalised else "none"), -1)
    powers = u**p
    slope = (p / tau) * (powers - u * powers.sum(-1, keepdim=True))
    if not normalised:
        return slope
    length = logits.norm(dim=-1, keepdim=True)
    unit = logits / length
    return (slope - unit * (unit * slope).sum(-1, keepdim=True)) / length


def gradient_errors(classes: int = 10, count: int = 200) -> dict[str, float]:
    """Closed forms against automatic differentiation; and the one-hot constraint's own gradient."""
    draw = generator("sparse_regularization/gradients", 0)
    logits = torch.from_numpy(draw.normal(size=(count, classes)) * 2)
    found = {}
    for label, scaling in (("plain", "none"), ("normalised", "l2")):
        leaf = logits.clone().requires_grad_()
        value = sparse(torch.log_softmax(sharpen(leaf, tau=0.5, scaling=scaling), -1), p=0.1).sum()
        (auto,) = torch.autograd.grad(value, leaf)
        found[label] = float((auto - penalty_gradient(logits, 0.5, 0.1, scaling == "l2")).abs().max())
        found[f"{label}, size"] = float(auto.norm(dim=1).min())
    moved = logits + 1e-7 * torch.from_numpy(draw.normal(size=logits.shape))
    found["one-hot step"] = float((logits.argmax(1) != moved.argmax(1)).double().mean())
    return found


# Unit logits


def sharpest(classes: int, tau: float) -> tuple[Tensor, Tensor]:
    """The logit vector of length 1 with the greatest top probability, after division by tau, and its output."""
    first = math.sqrt((classes - 1) / classes)
    logits = torch.full((classes,), -first / (classes - 1), dtype=torch.float64)
    logits[0] = first
    return logits, torch.softmax(logits / tau, -1)


def regime_table(regimes: Mapping[str, tuple[int, float, float]] = REGIMES) -> pd.DataFrame:
    """What outputs of unit logits can reach."""
    rows = {}
    for label, (classes, tau, p) in regimes.items():
        top = sharpest(classes, tau)[1]
        smallest = float(top.clamp_min(CLAMP).pow(p).sum())
        rows[label] = (
            classes,
            tau,
            p,
            float(top[0]),
            -math.log(float(top[0])),
            float(one_hot_distance(top)),
            smallest,
            classes ** (1 - p),
        )
    names = [
        "K",
        "tau",
        "p",
        "largest probability",
        "least CE",
        "distance from one-hot",
        "penalty, sharpest",
        "penalty, uniform",
    ]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names)


def small_p_reading(classes: int, tau: float, p: float, count: int = 200) -> dict[str, float]:
    """The penalty's gradient against that of K + p sum_k log u_k on unit logits: least cosine, range of the length ratio."""
    draw = generator("sparse_regularization/small-p", classes)
    logits = torch.from_numpy(draw.normal(size=(count, classes)))
    logits = (logits / logits.norm(dim=1, keepdim=True)).requires_grad_()
    log_u = torch.log_softmax(logits / tau, -1)
    (exact,) = torch.autograd.grad(torch.exp(p * log_u).sum(), logits, retain_graph=True)
    (linear,) = torch.autograd.grad(p * log_u.sum(), logits)
    ratio = exact.norm(dim=1) / linear.norm(dim=1)
    cosine = torch.cosine_similarity(exact, linear, dim=1)
    return {"cosine": float(cosine.min()), "shortest": float(ratio.min()), "longest": float(ratio.max())}


def passive_identity(q: float = 0.1, weight: float = 1.7, classes: int = 10) -> float:
    """GCE+SR with p = q: largest error of 1/q + (lambda - 1/q) u_y^q + lambda sum_{k != y} u_k^q."""
    u = torch.from_numpy(np.stack([random_vector(classes, seed) for seed in range(100)]))
    labels = torch.arange(100) % classes
    own = u.gather(1, labels[:, None]).squeeze(1)
    left = functional.gce(u.log(), labels, q=q, reduction="none") + weight * sparse(u.log(), p=q)
    others = (u**q).sum(1) - own**q
    return float((left - (1 / q + (weight - 1 / q) * own**q + weight * others)).abs().max())


def gce_to_ce(q: float, least: float = 0.07) -> float:
    """Largest relative difference of L_q from CE for probabilities of at least `least`."""
    u = np.linspace(least, 0.999, 2000)
    return float(np.abs((1 - u**q) / q / -np.log(u) - 1).max())


# Schedule, noise, imbalance, log


def weights(schedules: Mapping[str, tuple[int, float, float, float, int, int]] = SCHEDULES) -> pd.DataFrame:
    """First and last weight, and lambda p K, which decides how much of the label's own term is left."""
    rows = {}
    for label, (classes, p, lam, rho, every, epochs) in schedules.items():
        last = float(growing_weight(epochs - 1, lam=lam, rho=rho, every=every))
        rows[label] = (lam, last, lam * p * classes, last * p * classes)
    return pd.DataFrame.from_dict(
        rows, orient="index", columns=["first", "last", "lambda p K, first", "lambda p K, last"]
    )


def logged_penalty(numbers: pd.DataFrame, batches: int = 391) -> pd.DataFrame:
    """The author's logged training loss, per batch and per unit of the weight: the mean penalty plus CE over the weight."""
    logged = numbers[numbers["metric"].str.startswith("train_loss_sum")].copy()
    logged["lambda_0"] = logged["setting"].str.extract(r"lambda0=(\d+)", expand=False).astype(float)
    logged["epoch"] = logged["setting"].str.extract(r"epoch=(\d+)", expand=False).astype(int)
    lam = [growing_weight(e - 1, lam=l0, rho=1.02) for e, l0 in zip(logged["epoch"], logged["lambda_0"], strict=True)]
    logged["weight"] = np.array(lam, dtype=float)
    logged["loss / weight"] = logged["mean"] / batches / logged["weight"]
    logged["least"] = (
        float(sharpest(100, 0.5)[1].pow(0.01).sum()) + -math.log(float(sharpest(100, 0.5)[1][0])) / logged["weight"]
    )
    logged["most"] = lp_range(100, 0.01)[1] + (math.log(100) + 2.0) / logged["weight"]
    return logged[["noise_type", "lambda_0", "epoch", "weight", "least", "loss / weight", "most"]].reset_index(
        drop=True
    )


def realised_rates(rates: Sequence[float] = (0.1, 0.2, 0.3, 0.4)) -> pd.DataFrame:
    """Per cent of wrong labels that the code's flips give on 50,000 balanced labels."""
    labels = np.repeat(np.arange(10), 5000)
    rows = {}
    for rate in rates:
        for way, options in (("in place", {"sequential": True}), ("at once", {})):
            given = corrupt(
                labels, "asymmetric", rate, 0, num_classes=10, flip_map=flip_map("cifar10"), draw="exact", **options
            )
            wrong = given != labels
            rows[rate, way] = (100 * wrong[labels == 3].mean(), 100 * wrong[labels == 5].mean(), 100 * wrong.mean())
    index = pd.MultiIndex.from_tuples(list(rows), names=["rate", "flipped"])
    return pd.DataFrame(list(rows.values()), index=index, columns=["cats", "dogs", "all"])


def class_counts() -> pd.DataFrame:
    """Sizes of the training sets with unequal classes."""
    rows = {}
    for title, classes, size in (("CIFAR-10", 10, 5000), ("CIFAR-100", 100, 500)):
        counts = [size] * classes
        for ratio in (10, 100):
            rows[title, f"exponential, {1 / ratio:g}"] = int(long_tailed(counts, ratio).sum())
            rows[title, f"step, {1 / ratio:g}"] = int(step(counts, ratio).sum())
    return pd.Series(rows).unstack(0)
