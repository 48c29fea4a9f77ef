"""How much each sample weighs: gradients at the logits as a function of p_y, and of single samples in a network.

A loss of p_y has the gradient `l'(p_y) p_y (e_y - p)` at the logits, so its L1 norm is `-2 l'(p_y) p_y (1 - p_y)` whatever the other
probabilities are; the L2 norm, and losses of more than p_y, are taken with the rest uniform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from losslab.analysis.curves import curve
from losslab.errors import InputError
from losslab.losses.module import Loss

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Moments:
    """Mean and variance of the weight over p_y uniform in (0, 1)."""

    mean: float
    variance: float


def weight(name: str, p: ArrayLike, norm: int = 1, num_classes: int = 10, **given: Any) -> Array:
    """L1 or L2 norm of the gradient at the logits, at p_y = p `(n,)` with the rest uniform."""
    _check_norm(norm)
    found = curve(name, np.atleast_1d(np.asarray(p, dtype=np.float64)), num_classes, **given)
    return found.weight_l1 if norm == 1 else found.weight_l2


def moments(name: str, norm: int = 1, num_classes: int = 10, **given: Any) -> Moments:
    """`int w dp` and `int w^2 dp - (int w dp)^2` over [0, 1] by Gauss-Legendre quadrature (Wang et al. 2019, IMAE, figure 1).

    The nodes are those of p = 3 t^2 - 2 t^3, which takes the edge off weights like p^q.
    """
    nodes, weights = np.polynomial.legendre.leggauss(600)
    t = (nodes + 1) / 2
    density = weights / 2 * 6 * t * (1 - t)
    w = weight(name, t * t * (3 - 2 * t), norm, num_classes, **given)
    mean = float(density @ w)
    return Moments(mean, float(density @ (w - mean) ** 2))


def emphasis(name: str, norm: int = 1, num_classes: int = 10, **given: Any) -> float:
    """The emphasis mode: p_y of the samples with the largest weight, 0 or 1 where the weight grows up to an end."""
    p = np.linspace(0, 1, 2003)[1:-1]
    for _ in range(4):
        w = weight(name, p, norm, num_classes, **given)
        best = int(np.argmax(w))
        if best in (0, len(p) - 1):
            return float(round(p[best]))
        p = np.linspace(p[best - 1], p[best + 1], 201)
    return float(p[int(np.argmax(weight(name, p, norm, num_classes, **given)))])


def logit_gradients(loss: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    """Gradient of each sample's loss w.r.t. its own logits: `(N, K)` from logits `(N, K)` and targets `(N,)`."""
    leaf = logits.detach().clone().requires_grad_()
    (gradient,) = torch.autograd.grad(_values(loss, leaf, targets).sum(), leaf)
    return gradient


def last_layer_norms(
    loss: Loss, features: Tensor, logits: Tensor, targets: Tensor, norm: int = 2, bias: bool = False
) -> Tensor:
    """Exact norm of each sample's gradient of the last layer, `(N,)`.

    `dL/dW = (dL/dz) f^T`, so the entrywise L1 (L2) norm is the product of the L1 (L2) norms of both; a bias adds a 1 to the features.
    """
    _check_norm(norm)
    if bias:
        features = torch.cat([features, torch.ones_like(features[:, :1])], 1)
    return features.norm(p=norm, dim=1) * logit_gradients(loss, logits, targets).norm(p=norm, dim=1)


def network_norms(
    model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, norm: int = 2, chunk: int = 64
) -> Tensor:
    """Norm of each sample's gradient of all parameters, `(N,)`: for small models, in evaluation mode."""
    _check_norm(norm)
    parameters = {name: value.detach() for name, value in model.named_parameters() if value.requires_grad}
    fixed = {name: value.detach() for name, value in model.named_parameters() if not value.requires_grad}
    fixed |= {name: value.detach() for name, value in model.named_buffers()}
    was_training = model.training
    model.eval()

    def one(weights: dict[str, Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = torch.func.functional_call(model, {**weights, **fixed}, (x.unsqueeze(0),))
        return _values(loss, logits, y.unsqueeze(0)).sum()

    each: Callable[..., dict[str, Tensor]] = torch.func.vmap(torch.func.grad(one), in_dims=(None, 0, 0))
    found = []
    try:
        for start in range(0, len(targets), chunk):
            piece = each(parameters, inputs[start : start + chunk], targets[start : start + chunk])
            flat = torch.cat([value.flatten(1) for value in piece.values()], 1)
            found.append(flat.norm(p=norm, dim=1))
    finally:
        model.train(was_training)
    return torch.cat(found)


@dataclass(frozen=True, eq=False)
class Influence:
    """Per-sample gradient norms of one state of a model; all tensors `(N,)`.

    logit: at the logits. feature: norm of the features. last_layer: their product, exact. network: all parameters, or None.
    """

    logit: Tensor
    feature: Tensor
    last_layer: Tensor
    network: Tensor | None = None


def influence(
    loss: Loss,
    features: Tensor,
    logits: Tensor,
    targets: Tensor,
    norm: int = 2,
    model: nn.Module | None = None,
    inputs: Tensor | None = None,
) -> Influence:
    """All norms for features `(N, d)`, logits `(N, K)`, targets `(N,)`; with a model and its inputs also the whole network's."""
    _check_norm(norm)
    if (model is None) != (inputs is None):
        raise InputError("the whole network's gradient needs both model= and inputs=")
    logit = logit_gradients(loss, logits, targets).norm(p=norm, dim=1)
    feature = features.norm(p=norm, dim=1)
    whole = None if model is None or inputs is None else network_norms(model, loss, inputs, targets, norm)
    return Influence(logit, feature, feature * logit, whole)


@dataclass(frozen=True)
class Shares:
    """How gradient norms are spread over correctly and wrongly labelled samples.

    noisy_share: part of the total norm that wrongly labelled samples carry; noisy_fraction: their part of the samples.
    variation: standard deviation over mean, of all, of the clean and of the noisy samples (0 would be equal treatment).
    """

    noisy_share: float
    noisy_fraction: float
    variation: float
    variation_clean: float
    variation_noisy: float


def shares(norms: Tensor, noisy: Tensor) -> Shares:
    """From norms `(N,)` and whether each label is wrong `(N,)`."""
    n, flags = _pair(norms, noisy)
    wrong = flags > 0
    total = n.sum()
    return Shares(
        noisy_share=float(n[wrong].sum() / total) if total > 0 else float("nan"),
        noisy_fraction=float(wrong.mean()),
        variation=variation(n),
        variation_clean=variation(n[~wrong]),
        variation_noisy=variation(n[wrong]),
    )


def variation(values: ArrayLike) -> float:
    """Coefficient of variation: population standard deviation over mean; nan without samples."""
    v = np.asarray(values, dtype=np.float64)
    return float(v.std() / v.mean()) if v.size and v.mean() != 0 else float("nan")


def rank_correlation(first: Tensor, second: Tensor) -> float:
    """Spearman's rank correlation of two `(N,)`; nan if one is constant."""
    from scipy.stats import rankdata

    a, b = (rankdata(x) for x in _pair(first, second))
    if len(a) < 2 or a.std() == 0 or b.std() == 0:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])


def reversals(first: Tensor, second: Tensor) -> float:
    """Fraction of pairs of samples that the two `(N,)` order in opposite ways, from 0 to 1."""
    a, b = _pair(first, second)
    upper = np.triu_indices(len(a), 1)
    signs = np.sign(a[:, None] - a[None])[upper] * np.sign(b[:, None] - b[None])[upper]
    return float((signs < 0).mean()) if signs.size else float("nan")


def direction_cosine(model: nn.Module, loss: Loss, inputs: Tensor, targets: Tensor, noisy: Tensor) -> float:
    """Cosine between the mean parameter gradients of the wrongly and of the correctly labelled samples; nan without one kind."""
    wrong = noisy.bool().to(inputs.device)
    if not bool(wrong.any()) or bool(wrong.all()):
        return float("nan")
    weights = [value for value in model.parameters() if value.requires_grad]
    was_training = model.training
    model.eval()
    sides = []
    for rows in (wrong, ~wrong):
        mean = _values(loss, model(inputs[rows]), targets[rows]).mean()
        sides.append(torch.cat([part.flatten() for part in torch.autograd.grad(mean, weights)]))
    model.train(was_training)
    return float(torch.nn.functional.cosine_similarity(sides[0], sides[1], dim=0))


def _values(loss: Loss, logits: Tensor, targets: Tensor) -> Tensor:
    """Each sample's own value, `(N,)`, without the memory of samples."""
    if loss.spec.level != "sample":
        raise InputError(f"{loss.spec.name} is a loss of the whole batch; its samples have no gradient of their own")
    extra = {name: getattr(loss, name) for name in (*loss.spec.tensors, *loss.spec.optional) if hasattr(loss, name)}
    inputs = torch.log_softmax(logits, -1) if loss.spec.input == "log_probs" else logits
    return loss.spec.core(inputs, targets, **loss.hyperparameters, **extra)


def _pair(first: Tensor, second: Tensor) -> tuple[Array, Array]:
    a, b = (np.asarray(torch.as_tensor(x).detach().cpu().double().numpy()) for x in (first, second))
    if a.ndim != 1 or a.shape != b.shape:
        raise InputError(f"expected two axes of the same length, got {a.shape} and {b.shape}")
    return a, b


def _check_norm(norm: int) -> None:
    if norm not in (1, 2):
        raise InputError(f"norm is {norm!r}; it can be 1 or 2")
