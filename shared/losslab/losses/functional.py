"""Every loss as a function: `functional.gce(logits, targets, q=0.7)`, and `functional.loss("nce+rce", ...)`.

All of them: `f(logits, targets, *, <hyper-parameters>, reduction="mean", index=None)`; those that remember samples take
`state=` (rows of the batch), those that need them `transition=` or `class_counts=`. They check like the module form.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from losslab.losses.module import function
from losslab.losses.registry import names, spec

_FUNCTIONS: dict[str, Callable[..., Tensor]] = {}


def _function(name: str) -> Callable[..., Tensor]:
    if name not in _FUNCTIONS:
        _FUNCTIONS[name] = function(spec(name))
    return _FUNCTIONS[name]


def loss(name: str, logits: Tensor, targets: Tensor, **arguments: Any) -> Tensor:
    """The loss (or sum of two) of that name; arguments as for its own function."""
    return _function(name)(logits, targets, **arguments)


def __getattr__(name: str) -> Callable[..., Tensor]:
    if name in names():
        return _function(name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*names(), "loss"])
