"""The analytic side of the paper, computed: invariance and its signs, monotonicity, the gradient, determinants of the noise cases, constants.

Values come from the library's own loss and information measures. Everything is float64 and deterministic.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from losslab.analysis import information
from losslab.losses.dmi import dmi as l_dmi
from losslab.losses.dmi import joint_counts
from losslab.noise import transition_matrix
from losslab.seeding import generator

Array = NDArray[np.float64]
Labels = NDArray[np.int64]
CASES = {
    "Fashion-MNIST, case 1": ("l_dmi_fashion_1", 2),
    "Fashion-MNIST, case 2": ("l_dmi_fashion_2", 2),
    "Fashion-MNIST, case 3": ("l_dmi_fashion_3", 2),
    "CIFAR-10": ("l_dmi_cifar10", 10),
    "Dogs vs. Cats": ("l_dmi_dogs_cats", 2),
    "MR": ("l_dmi_mr", 2),
}


def case_matrix(name: str, rate: float) -> Array:
    """Transition matrix of a noise case by the paper's name."""
    matrix, classes = CASES[name]
    return np.asarray(transition_matrix("class_dependent", classes, rate, matrix=matrix))


def independent_matrix(classes: int, rate: float, others_only: bool = False) -> Array:
    """Class-independent noise: labels drawn anew from all classes (the paper), or from the others (the code since 2020)."""
    kind = "symmetric" if others_only else "symmetric_inclusive"
    return np.asarray(transition_matrix(kind, classes, rate))


# Invariance and monotonicity


def random_joint(classes: int, draw: np.random.Generator) -> Array:
    """A joint distribution of predictions (rows) and labels, from spiky to flat."""
    return np.asarray(draw.dirichlet(np.full(classes * classes, draw.uniform(0.05, 2))).reshape(classes, classes))


def random_transition(classes: int, draw: np.random.Generator) -> Array:
    """A random row-stochastic matrix, diagonally dominant or not."""
    lean = draw.random()
    return np.asarray(lean * np.eye(classes) + (1 - lean) * draw.dirichlet(np.full(classes, 0.5), classes))


def random_pairs(classes: int, trials: int = 300) -> dict[str, Array]:
    """Logarithms of |det(Q T)|, |det Q| and |det T| for random Q and T; zeros (to rounding) are left out."""
    draw = generator("l_dmi", "pairs", classes)
    rows = []
    for _ in range(trials):
        q, t = random_joint(classes, draw), random_transition(classes, draw)
        found = information.log_dmi(q @ t), information.log_dmi(q), float(np.linalg.slogdet(t)[1])
        rows.append(found)
    table = np.array(rows)
    return dict(zip(("noisy", "clean", "transition"), table[np.isfinite(table).all(1)].T, strict=True))


def invariance_checks(trials: int = 300) -> dict[str, float]:
    """Lemma 3.5 and theorem 4.1 on random problems, with the corrected and with the printed signs."""
    gap = rise = shift_low = 0.0
    printed = 0
    turned = 0
    count = 0
    for classes in (2, 3, 5, 10):
        found = random_pairs(classes, trials)
        gap = max(gap, float(np.abs(found["noisy"] - found["clean"] - found["transition"]).max()))
        rise = max(rise, float(found["transition"].max()))
        shift_low = min(shift_low, float((-found["transition"]).min()))
        loss_shift = found["clean"] - found["noisy"]  # L(noisy) - L(clean)
        printed += int((np.abs(loss_shift - found["transition"]) < 1e-6).sum())
        count += len(loss_shift)
        order = np.sign(np.subtract.outer(found["clean"], found["clean"]))
        noisy = found["clean"] + found["transition"][0]  # one T for all classifiers
        turned += int((np.sign(np.subtract.outer(noisy, noisy)) != order).sum())
    return {
        "gap": gap,
        "largest_log_det_t": rise,
        "smallest_shift": shift_low,
        "printed_sign_share": printed / count,
        "turned": float(turned),
        "count": float(count),
    }


def less_informative(trials: int = 500) -> float:
    """Largest L(h) - L(h') over random h and h' = h passed through a random channel: never above 0, so L(h') >= L(h)."""
    draw = generator("l_dmi", "channels")
    worst = -np.inf
    for _ in range(trials):
        classes = int(draw.integers(2, 11))
        q, channel = random_joint(classes, draw), random_transition(classes, draw)
        if abs(np.linalg.det(channel)) > 1e-12:
            worst = max(worst, information.log_dmi(channel.T @ q) - information.log_dmi(q))
    return float(worst)


def youden(classifier: Array, prior: float) -> tuple[float, float]:
    """det Q of a two-class problem, and P(0) P(1) (TPR + TNR - 1). `classifier[c, y]` = P(prediction c | class y)."""
    q = classifier * np.array([prior, 1 - prior])
    return float(np.linalg.det(q)), prior * (1 - prior) * float(classifier[0, 0] + classifier[1, 1] - 1)


def constant_beats_truth(prior: float = 0.1, flip: float = 0.9) -> dict[str, tuple[float, float]]:
    """Noisy 0-1 loss and noisy DMI of the true classifier and of the constant majority one, when the minority is mislabelled."""
    t = np.array([[1 - flip, flip], [0.0, 1.0]])
    result = {}
    for name, q in (
        ("true classifier", np.diag([prior, 1 - prior])),
        ("constant", np.array([[0.0, 0.0], [prior, 1 - prior]])),
    ):
        noisy = q @ t
        result[name] = (float(1 - np.trace(noisy)), information.dmi(noisy))
    return result


# The loss on a batch


def batch(classes: int, size: int, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random logits `(size, classes)` that lean towards the labels, and labels of which every class has its share."""
    draw = generator("l_dmi", "batch", classes, size, seed)
    labels = torch.arange(size) % classes
    lean = 2.0 * torch.nn.functional.one_hot(labels, classes)
    return torch.from_numpy(draw.normal(size=(size, classes))) + lean, labels


def gradient_checks(classes: int = 10, size: int = 128) -> dict[str, float]:
    """Closed form of the gradient against automatic differentiation, Euler's identity, and the invariances of the loss."""
    z, y = batch(classes, size)
    leaf = z.clone().requires_grad_()
    outputs = leaf.softmax(-1)
    (by_logits,) = torch.autograd.grad(-torch.linalg.slogdet(outputs.mT @ _onehot(y, classes) / size)[1], leaf)
    p = z.softmax(-1)
    u = joint_counts(z.log_softmax(-1), y) / size
    v = -torch.linalg.inv(u)[y] / size  # row y of the inverse
    closed = p * (v - (p * v).sum(-1, keepdim=True))
    (by_library,) = torch.autograd.grad(l_dmi(leaf.log_softmax(-1), y), leaf)
    value = l_dmi(z.log_softmax(-1), y)
    t = torch.from_numpy(independent_matrix(classes, 0.6))
    (of_expected,) = torch.autograd.grad(-torch.linalg.slogdet(leaf.softmax(-1).mT @ t[y] / size)[1], leaf)
    order = torch.from_numpy(generator("l_dmi", "order").permutation(classes))
    return {
        "closed_form": float((closed - by_logits).abs().max()),
        "library": float((by_library - by_logits).abs().max()),
        "expected_labels": float((of_expected - by_logits).abs().max()),
        "euler": float((p * v).sum() + classes),
        "permuted_outputs": float((l_dmi(z[:, order].log_softmax(-1), y) - value).abs()),
        "permuted_labels": float((l_dmi(z.log_softmax(-1), order[y]) - value).abs()),
        "scale": float(-torch.linalg.slogdet(size * u)[1] + torch.linalg.slogdet(u)[1] + classes * np.log(size)),
    }


def _onehot(y: Tensor, classes: int) -> Tensor:
    return torch.nn.functional.one_hot(y, classes).double()


def unbiased(classes: int = 3, size: int = 24, draws: int = 4000) -> float:
    """Largest distance of the mean of U over random batches from Q, in standard errors (claim B.1)."""
    draw = generator("l_dmi", "claim B.1")
    q = random_joint(classes, draw)
    us = draw.multinomial(size, q.ravel(), draws).reshape(draws, classes, classes) / size
    error = us.std(0) / np.sqrt(draws)
    return float((np.abs(us.mean(0) - q) / np.maximum(error, 1e-12)).max())


# Constants inside the logarithm


def good_joint(classes: int, accuracy: float = 0.9) -> Array:
    """Balanced labels, errors spread evenly."""
    off = (1 - accuracy) / max(classes - 1, 1)
    return np.asarray((np.eye(classes) * (accuracy - off) + off) / classes)


def gradient_factor(classes: int, size: int | None, eps: float = 1e-3, accuracy: float = 0.9) -> float:
    """|det| / (|det| + eps), by which a constant inside the logarithm shrinks the gradient. `size`: not divided by N, else None."""
    log_det = information.log_dmi(good_joint(classes, accuracy)) + (classes * np.log(size) if size else 0.0)
    return float(1 / (1 + np.exp(np.clip(np.log(eps) - log_det, -700, 700))))


def loss_forms(classes: int, accuracy: float, size: int = 128, eps: float = 1e-3) -> dict[str, float]:
    """The loss of a classifier of this accuracy in the three forms."""
    log_det = information.log_dmi(good_joint(classes, accuracy))
    return {
        "exact": -log_det,
        "official, not divided by N": -float(np.logaddexp(log_det + classes * np.log(size), np.log(eps))),
        "divided by N, + 0.001": -float(np.logaddexp(log_det, np.log(eps))),
    }


def lookup_ratio(labels: Labels, given: Labels, classes: int) -> dict[str, float]:
    """rho of a lookup table that repeats the given labels, measured and by formula, and 1 / |det T| with the realised T."""
    t = realised(labels, given, classes)
    rho = information.invariance_ratio(
        information.joint(given, given, classes), information.joint(given, labels, classes), t
    )
    of_given, of_true = (np.bincount(v.astype(int), minlength=classes) / len(labels) for v in (given, labels))
    det = abs(float(np.linalg.det(t)))
    return {
        "rho": rho,
        "formula": float(of_given.prod() / of_true.prod() / det**2),
        "one_over_det": 1 / det,
        "det": det,
    }


def realised(labels: Labels, given: Labels, classes: int) -> Array:
    """The transition matrix that a realisation of the noise really has: counts, normalised by rows."""
    counts = np.zeros((classes, classes))
    np.add.at(counts, (labels.astype(int), given.astype(int)), 1)
    return counts / counts.sum(1, keepdims=True)
