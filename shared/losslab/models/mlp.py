"""Fully connected networks for the embedded data sets."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import nn

from losslab.errors import InputError
from losslab.models.init import Init, initialise
from losslab.models.parts import Backbone, InShape


def mlp(
    in_shape: InShape,
    *,
    hidden: Sequence[int] = (128, 128),
    feature_dim: int | None = None,
    batch_norm: bool = False,
    final_relu: bool = True,
    init: Init = "default",
) -> Backbone:
    """Linear layers with ReLU, after batch normalisation where `batch_norm`.

    `feature_dim` adds one more, last, hidden layer, e.g. of 2 or 3 units for drawings; `final_relu=False` leaves out the ReLU
    after the last hidden layer, so that features can be negative.
    """
    widths = [*hidden] if feature_dim is None else [*hidden, feature_dim]
    if not widths or any(width < 1 for width in widths):
        raise InputError(f"hidden is {tuple(hidden)}; it must hold at least one width, all of them 1 or more")
    layers: list[nn.Module] = [nn.Flatten()]
    previous = math.prod(in_shape)
    for width in widths:
        layers.append(nn.Linear(previous, width))
        if batch_norm:
            layers.append(nn.BatchNorm1d(width))
        layers.append(nn.ReLU())
        previous = width
    if not final_relu:
        layers.pop()
    backbone = nn.Sequential(*layers)
    initialise(backbone, init)
    return Backbone(backbone, previous, init)


def mlp_bn(
    in_shape: InShape,
    *,
    hidden: Sequence[int] = (256, 256, 256),
    feature_dim: int | None = None,
    final_relu: bool = True,
    init: Init = "default",
) -> Backbone:
    """`mlp` with three layers of 256 and batch normalisation, without which many-class tasks hardly train."""
    return mlp(in_shape, hidden=hidden, feature_dim=feature_dim, batch_norm=True, final_relu=final_relu, init=init)
