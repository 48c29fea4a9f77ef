"""Last layers: features to logits.

Each works for one model, `(N, d)` to `(N, K)`, and for a stack, `(M, N, d)` to `(M, N, K)`, where parameters and buffers carry a
leading M too (`leading_axes = True`). Numbers that may differ between stacked models, such as scales, are buffers.
"""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from losslab.errors import InputError
from losslab.heads import prototypes as construct

Normalise = Literal["both", "features", "prototypes"]
Placement = Literal["auto", "simplex", "polygon", "orthogonal", "optimised", "random"]


class Head(nn.Module):
    """Base: `prototypes`, `(K, d)` or `(M, K, d)`, has a row per class."""

    leading_axes = True

    @property
    def prototypes(self) -> Tensor:
        weight: Tensor = self.weight  # type: ignore[assignment]
        return weight


class LinearHead(Head):
    """`W z + b`, initialised like `nn.Linear`; `bias=False` as in LM-Softmax."""

    def __init__(self, feature_dim: int, num_classes: int, bias: bool = True) -> None:
        super().__init__()
        plain = nn.Linear(feature_dim, num_classes, bias)
        self.weight, self.bias = plain.weight, plain.bias

    def forward(self, features: Tensor) -> Tensor:
        logits = _products(features, self.weight)
        return logits if self.bias is None else logits + self.bias.unsqueeze(-2)


class CosineHead(Head):
    """`s cos(w_k, z)`; with only one side normalised, `s w_k . z` of that side's unit vectors.

    The margin losses take cosines, `scale=1`, and bring their own s. Initial weights: Kaiming uniform as in LM-Softmax's code,
    which, like LDAM's, are learned without bias.
    """

    scale: Tensor

    def __init__(self, feature_dim: int, num_classes: int, scale: float = 1.0, normalise: Normalise = "both") -> None:
        super().__init__()
        if normalise not in get_args(Normalise):
            raise InputError(f"normalise is {normalise!r}; it can be {', '.join(get_args(Normalise))}")
        self.weight = nn.Linear(feature_dim, num_classes, bias=False).weight
        self.normalise = normalise
        self.register_buffer("scale", _positive("scale", scale))

    def forward(self, features: Tensor) -> Tensor:
        weight = self.weight
        if self.normalise != "features":
            weight = F.normalize(weight, dim=-1)
        if self.normalise != "prototypes":
            features = F.normalize(features, dim=-1)
        return self.scale[..., None, None] * _products(features, weight)

    def extra_repr(self) -> str:
        return f"normalise={self.normalise!r}"


class AnchoredHead(nn.Module):
    """`W z` with prototypes that are never trained (prototype-anchored learning), no bias.

    `normalise=True` uses unit features and multiplies by `scale`, the features' norm. `placement` chooses the construction in
    `losslab.heads.prototypes`, `seed` its rotation or start.
    """

    leading_axes = True
    prototypes: Tensor
    scale: Tensor

    def __init__(
        self,
        feature_dim: int,
        num_classes: int,
        placement: Placement = "auto",
        seed: int = 0,
        normalise: bool = False,
        scale: float = 1.0,
    ) -> None:
        super().__init__()
        points = _placed(placement, num_classes, feature_dim, seed)
        self.register_buffer("prototypes", points.to(torch.get_default_dtype()))
        self.normalise = normalise
        self.register_buffer("scale", _positive("scale", scale))

    def forward(self, features: Tensor) -> Tensor:
        if self.normalise:
            features = F.normalize(features, dim=-1)
        return self.scale[..., None, None] * _products(features, self.prototypes)

    def extra_repr(self) -> str:
        return f"normalise={self.normalise}"


class FNPALHead(AnchoredHead):
    """Feature-normalised prototype-anchored learning: `s W z / |z|`, W fixed. Useful s: 4 to 8 (K = 10), 8 to 12 (K = 100)."""

    def __init__(
        self, feature_dim: int, num_classes: int, scale: float = 8.0, placement: Placement = "auto", seed: int = 0
    ) -> None:
        super().__init__(feature_dim, num_classes, placement, seed, normalise=True, scale=scale)


class LWSHead(Head):
    """Learnable weight scaling: `f_k (w_k . z + b_k)`, where W and b come from a trained model and only f is learned.

    Takes the state dict of a linear or an anchored head; f then starts at 1.
    """

    of_trained = True  # the engine loads the parent's head into it
    weight: Tensor
    bias: Tensor

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        plain = nn.Linear(feature_dim, num_classes)
        self.register_buffer("weight", plain.weight.detach())
        self.register_buffer("bias", plain.bias.detach())
        self.scales = nn.Parameter(torch.ones(num_classes))

    def forward(self, features: Tensor) -> Tensor:
        logits = _products(features, self.weight) + self.bias.unsqueeze(-2)
        return logits * self.scales.unsqueeze(-2)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        _from_anchored(state_dict, prefix)
        state_dict.setdefault(f"{prefix}bias", torch.zeros_like(self.bias))
        state_dict.setdefault(f"{prefix}scales", torch.ones_like(self.scales))
        super()._load_from_state_dict(state_dict, prefix, *rest)


class TauNormHead(Head):
    """`w_k . z / |w_k|**tau` of a trained linear head (decoupling, Kang et al. 2020); nothing is learned, no bias."""

    of_trained = True
    weight: Tensor
    tau: Tensor

    def __init__(self, feature_dim: int, num_classes: int, tau: float = 1.0) -> None:
        super().__init__()
        if not 0 <= tau <= 1:
            raise InputError(f"tau is {tau}; it must lie in [0, 1]")
        self.register_buffer("weight", nn.Linear(feature_dim, num_classes, bias=False).weight.detach())
        self.register_buffer("tau", torch.tensor(float(tau)))

    def forward(self, features: Tensor) -> Tensor:
        norms = self.weight.norm(dim=-1, keepdim=True).clamp_min(torch.finfo(self.weight.dtype).tiny)
        return _products(features, self.weight / norms ** self.tau[..., None, None])

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        _from_anchored(state_dict, prefix)
        state_dict.pop(f"{prefix}bias", None)
        state_dict.setdefault(f"{prefix}tau", self.tau)
        super()._load_from_state_dict(state_dict, prefix, *rest)


class NCMHead(nn.Module):
    """Nearest class mean: cosine between the feature and each class's mean feature (decoupling, Kang et al. 2020)."""

    leading_axes = True
    means: Tensor

    def __init__(self, feature_dim: int, num_classes: int) -> None:
        super().__init__()
        self.register_buffer("means", torch.zeros(num_classes, feature_dim))

    @property
    def prototypes(self) -> Tensor:
        return self.means

    @torch.no_grad()
    def fit(self, features: Tensor, labels: Tensor) -> None:
        """Takes the class means of features `(..., N, d)` with labels `(..., N)`; a class without samples gets zero."""
        onehot = F.one_hot(labels, self.means.shape[-2]).to(features.dtype)
        counts = onehot.sum(-2).clamp_min(1).unsqueeze(-1)
        self.means.copy_(onehot.mT @ features / counts)

    def forward(self, features: Tensor) -> Tensor:
        return _products(F.normalize(features, dim=-1), F.normalize(self.means, dim=-1))


def _products(features: Tensor, weight: Tensor) -> Tensor:
    """`(..., N, d)` and `(..., K, d)` to `(..., N, K)`, in the order that makes the weight's gradient cheap for small K."""
    return (weight @ features.mT).mT


def _from_anchored(state_dict: dict[str, Any], prefix: str) -> None:
    """Turns an anchored head's entries into a linear head's, in place."""
    if f"{prefix}prototypes" in state_dict:
        scale = state_dict.pop(f"{prefix}scale", torch.ones(()))
        state_dict[f"{prefix}weight"] = state_dict.pop(f"{prefix}prototypes") * scale


def _placed(placement: Placement, num_classes: int, dim: int, seed: int) -> Tensor:
    match placement:
        case "auto":
            return construct.anchors(num_classes, dim, seed)
        case "simplex":
            return construct.simplex_etf(num_classes, dim, seed)
        case "polygon":
            if dim != 2:
                raise InputError(f"placement 'polygon' needs features of 2 dimensions, got {dim}")
            return construct.polygon(num_classes)
        case "orthogonal":
            return construct.orthogonal_simplices(num_classes, dim, seed)
        case "optimised":
            return construct.optimised(num_classes, dim, seed)
        case "random":
            return construct.random_prototypes(num_classes, dim, seed)
    raise InputError(f"placement is {placement!r}; it can be {', '.join(get_args(Placement))}")


def _positive(name: str, value: float) -> Tensor:
    if not value > 0:
        raise InputError(f"{name} is {value}; it must be above 0")
    return torch.tensor(float(value))
