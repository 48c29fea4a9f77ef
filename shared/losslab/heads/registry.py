"""Heads by name."""

from __future__ import annotations

import inspect
from typing import Any

from torch import nn

from losslab.errors import InputError
from losslab.heads import modules

_HEADS: dict[str, type[nn.Module]] = {
    "linear": modules.LinearHead,
    "cosine": modules.CosineHead,
    "anchored": modules.AnchoredHead,
    "fnpal": modules.FNPALHead,
    "lws": modules.LWSHead,
    "tau_norm": modules.TauNormHead,
    "ncm": modules.NCMHead,
}


def names() -> tuple[str, ...]:
    """The heads that `build` knows."""
    return tuple(_HEADS)


def build(name: str, feature_dim: int, num_classes: int, **options: Any) -> nn.Module:
    """A head from features `(..., N, feature_dim)` to logits `(..., N, num_classes)`; new weights from torch's generator."""
    if name not in _HEADS:
        raise InputError(f"no head is called {name!r}; there are {', '.join(_HEADS)}")
    if feature_dim < 1 or num_classes < 1:
        raise InputError(f"feature_dim and num_classes must be 1 or more, got {feature_dim} and {num_classes}")
    allowed = list(inspect.signature(_HEADS[name]).parameters)[2:]
    if unknown := sorted(set(options) - set(allowed)):
        raise InputError(f"head {name} has no option {', '.join(unknown)}; it has {', '.join(allowed) or 'none'}")
    return _HEADS[name](feature_dim, num_classes, **options)
