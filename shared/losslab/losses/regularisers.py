"""Terms added to a loss: sparse outputs, sample margins, zero centroid, neural collapse. `total = mean loss + weight * term`.

Core functions have any number of leading axes, like those of the losses; hyper-parameters are floats or tensors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from losslab.errors import InputError
from losslab.losses.module import Loss
from losslab.losses.numerics import Number, onehot, per_class, per_stack, pick, reduce, target_mask
from losslab.losses.spec import Param, variant


def sharpen(logits: Tensor, *, tau: Number = 0.5, scaling: str = "none") -> Tensor:
    """Logits of the sharpened output softmax(z / tau). `(..., N, K)`.

    scaling "l2": z is first divided by its Euclidean norm, as the released code of sparse regularisation does on CIFAR.
    """
    if scaling == "l2":
        logits = normalize(logits, dim=-1)
    return logits / per_class(tau)


def sparse(log_probs: Tensor, *, p: Number = 0.1, variant: str = "paper") -> Tensor:
    """`sum_k u_k^p` of the sharpened output u, from log u. `(..., N, K)` -> `(..., N)`; between 1 and K^(1 - p).

    official: u is clamped at 1e-7, which raises the smallest value to 1 + (K - 1) 1e-7^p and stops its gradient there.
    """
    if variant == "official":
        log_probs = log_probs.clamp_min(math.log(1e-7))
    return torch.exp(per_class(p) * log_probs).sum(-1)


def growing_weight(epoch: int, *, lam: Number = 1.2, rho: Number = 1.03, every: int = 1) -> Number:
    """`lam rho^floor(epoch / every)`, with epochs counted from 0."""
    return lam * rho ** (epoch // every)


def sample_margin(cosines: Tensor, targets: Tensor) -> Tensor:
    """Minus the sample margin, `max_{j != y} c_j - c_y`, of cosines `(..., N, K)`: `(..., N)` in [-2, 2]."""
    others = cosines.masked_fill(target_mask(targets, cosines.shape[-1]), -torch.inf)
    return others.amax(-1) - pick(cosines, targets)


def zero_centroid(prototypes: Tensor, *, variant: str = "paper") -> Tensor:
    """`|| (1/K) sum_j w_j / ||w_j|| ||^2` of prototypes `(..., K, d)`: `(...)`. official: without the 1/K, so K^2 times larger."""
    unit = normalize(prototypes, dim=-1)
    centre = unit.mean(-2) if variant == "paper" else unit.sum(-2)
    return centre.square().sum(-1)


def nc1(features: Tensor, targets: Tensor, means: Tensor) -> Tensor:
    """`(1/K) sum_k (1/n_k) sum_{i: y_i = k} ||h_i - mu_k||^2` over a batch; classes without samples count 0.

    features `(..., N, d)`, targets `(..., N)`, means `(..., K, d)` (learnt with the network): `(...)`.
    """
    member = onehot(targets, means.new_empty(()).expand(*targets.shape, means.shape[-2]))
    share = member / member.sum(-2, keepdim=True).clamp_min(1.0)
    own = means.gather(-2, targets.unsqueeze(-1).expand(*targets.shape, means.shape[-1]))
    distance = (features - own).square().sum(-1)
    return (share.sum(-1) * distance).sum(-1) / means.shape[-2]


def nc2(means: Tensor, *, variant: str = "average") -> Tensor:
    """Minus the angle to the nearest other class, of centred class means `(..., K, d)`: `(...)`, in radians.

    average: mean over the classes of their smallest angle; minimum: the smallest angle of all;
    etf: instead, the Frobenius distance of the cosines from those of a simplex, -1 / (K - 1) off the diagonal.
    """
    unit = normalize(means - means.mean(-2, keepdim=True), dim=-1)
    cosines = unit @ unit.mT
    size = means.shape[-2]
    diagonal = torch.eye(size, dtype=torch.bool, device=means.device)
    if variant == "etf":
        gap = (cosines + 1.0 / (size - 1)).masked_fill(diagonal, 0.0)
        return gap.square().sum((-2, -1)).clamp_min(torch.finfo(gap.dtype).tiny).sqrt()
    nearest = cosines.masked_fill(diagonal, -torch.inf).amax(-1).clamp(-0.99999, 0.99999)
    return -torch.arccos(nearest).mean(-1) if variant == "average" else -torch.arccos(nearest.amax(-1))


@dataclass(frozen=True, eq=False)
class RegulariserSpec:
    """A regulariser as data.

    core: `core(*inputs, **hyper-parameters named in core_params) -> values`, `(..., N)` at level "sample", `(...)` at level "model".
    inputs: what it is a function of, out of "log_probs", "cosines", "targets", "prototypes", "features", "means".
    params: all hyper-parameters. weight: `weight(epoch, **params) -> number` multiplies the term.
    transform: changes the logits before loss and term see them: `transform(logits, **params)`; or None.
    """

    name: str
    core: Callable[..., Tensor]
    inputs: tuple[str, ...]
    core_params: tuple[str, ...] = ()
    level: str = "sample"
    params: Mapping[str, Param] = field(default_factory=dict)
    weight: Callable[..., Number] = lambda epoch, **given: given["lam"]
    transform: Callable[..., Tensor] | None = None
    modules: tuple[str, ...] = (__name__, "losslab.losses.numerics")
    meaning: str = ""

    def resolve(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All hyper-parameters, checked and with defaults filled in."""
        given = dict(given or {})
        unknown = [name for name in given if name not in self.params]
        if unknown:
            raise InputError(f"{self.name} has no hyper-parameter {unknown[0]!r} (it has: {', '.join(self.params)})")
        return {
            name: param.check(self.name, name, given.get(name, param.default)) for name, param in self.params.items()
        }

    def term(self, *inputs: Tensor, epoch: int = 0, **params: Any) -> Tensor:
        """The weighted term: mean over the samples where there are any, times the weight of the epoch."""
        value = self.core(*inputs, **{name: params[name] for name in self.core_params})
        weight = self.weight(epoch, **params)
        return per_stack(weight) * (value.mean(-1) if self.level == "sample" else value)


def _sparse_weight(epoch: int, **given: Any) -> Number:
    return growing_weight(epoch, lam=given["lam"], rho=given["rho"], every=given["every"])


def _sparse_transform(logits: Tensor, **given: Any) -> Tensor:
    return sharpen(logits, tau=given["tau"], scaling=given["scaling"])


def _strength(default: float, meaning: str) -> Param:
    return Param(default, 0, None, meaning=meaning)


_SPECS = (
    RegulariserSpec(
        "sparse",
        sparse,
        inputs=("log_probs",),
        core_params=("p", "variant"),
        params={
            "tau": Param(0.5, 0, None, low_open=True, meaning="temperature of the output sharpening"),
            "p": Param(0.1, 0, 1, low_open=True, meaning="power of the l_p term"),
            "lam": _strength(1.2, "weight in the first epochs"),
            "rho": Param(1.03, 1, None, meaning="growth of the weight"),
            "every": Param(1, 1, None, integer=True, meaning="epochs between two growths"),
            "scaling": Param(
                "none", choices=("none", "l2"), meaning="l2: logits divided by their norm before sharpening"
            ),
            "variant": variant("paper", "official", meaning="official: outputs clamped at 1e-7"),
        },
        weight=_sparse_weight,
        transform=_sparse_transform,
        meaning="sum of u^p over the sharpened outputs u, with a weight that grows with the epochs",
    ),
    RegulariserSpec(
        "sample_margin",
        sample_margin,
        inputs=("cosines", "targets"),
        params={"lam": _strength(0.5, "weight")},
        meaning="minus the margin between the label's cosine and the best other one",
    ),
    RegulariserSpec(
        "zero_centroid",
        zero_centroid,
        inputs=("prototypes",),
        core_params=("variant",),
        level="model",
        params={
            "lam": _strength(5.0, "weight"),
            "variant": variant("paper", "official", meaning="official: squared norm of the sum, K^2 times larger"),
        },
        meaning="squared norm of the centroid of the unit prototypes",
    ),
    RegulariserSpec(
        "nc1",
        nc1,
        inputs=("features", "targets", "means"),
        level="model",
        params={"lam": _strength(0.01, "weight")},
        meaning="spread of the features around learnt class means, each class with the same weight",
    ),
    RegulariserSpec(
        "nc2",
        nc2,
        inputs=("means",),
        core_params=("variant",),
        level="model",
        params={
            "lam": _strength(0.1, "weight"),
            "variant": variant(
                "average", "minimum", "etf", meaning="average or minimum of nearest angles | distance to a simplex"
            ),
        },
        meaning="angles between the centred class means",
    ),
)
_BY_NAME = {spec.name: spec for spec in _SPECS}


def names() -> tuple[str, ...]:
    """The names of all regularisers."""
    return tuple(_BY_NAME)


def spec(name: str) -> RegulariserSpec:
    """The regulariser of that name. Raises InputError for an unknown one."""
    if name not in _BY_NAME:
        raise InputError(f"unknown regulariser {name!r} (known: {', '.join(_BY_NAME)})")
    return _BY_NAME[name]


class SparseLoss(nn.Module):
    """A loss on sharpened outputs plus the sparse term: `SparseLoss(build("ce", 10), tau=0.5, p=0.1, lam=1.2, rho=1.03)`.

    `forward(logits, targets, index=None)` with logits `(N, K)`; call `set_epoch(t)` at the start of every epoch.
    The loss must be a function of logits (not of cosines), with reduction "mean" or "sum".
    """

    def __init__(self, loss: Loss, **hyperparameters: Any) -> None:
        super().__init__()
        if loss.spec.input == "cosines" or loss.spec.level != "sample" or loss.reduction == "none":
            raise InputError(f"SparseLoss needs a sample-level loss of logits with reduction mean or sum, got {loss}")
        self.loss = loss
        self.hyperparameters = _BY_NAME["sparse"].resolve(hyperparameters)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """The epoch, counted from 0, that decides the weight of the term."""
        self.epoch = epoch

    def forward(self, logits: Tensor, targets: Tensor, index: Tensor | None = None) -> Tensor:
        """The loss of the sharpened logits plus the weighted term."""
        given = self.hyperparameters
        sharpened = _sparse_transform(logits, **given)
        penalty = sparse(torch.log_softmax(sharpened, -1), p=given["p"], variant=given["variant"])
        return self.loss(sharpened, targets, index=index) + _sparse_weight(self.epoch, **given) * reduce(
            penalty, self.loss.reduction
        )
