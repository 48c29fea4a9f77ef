"""Losses for learning with imperfect labels: one core function per loss, as module, function and stackable core.

>>> import torch
>>> from losslab import losses
>>> loss = losses.build("nce+rce", num_classes=10, alpha=1.0, beta=1.0)
>>> logits = torch.zeros(4, 10, requires_grad=True)
>>> loss(logits, torch.tensor([0, 1, 2, 3])).backward()
"""

from __future__ import annotations

from losslab.losses import functional
from losslab.losses.cards import LossCard
from losslab.losses.module import Loss, build
from losslab.losses.registry import names, register, spec
from losslab.losses.spec import LossSpec, Param, StateSpec

__all__ = [
    "Loss",
    "LossCard",
    "LossSpec",
    "Param",
    "StateSpec",
    "build",
    "describe",
    "functional",
    "names",
    "register",
    "spec",
]


def describe(name: str) -> LossCard:
    """What is known about a loss: paper, formula, hyper-parameters, properties, sources, variants."""
    return spec(name).card
