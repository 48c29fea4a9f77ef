"""Pieces that the convolutional networks share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from losslab.errors import InputError
from losslab.models.init import Init

InShape = tuple[int, ...]


@dataclass(frozen=True)
class Backbone:
    """What a builder returns: the feature network, its width, and how a default linear head is initialised.

    A network that is no classifier brings its own `head`.
    """

    module: nn.Module
    feature_dim: int
    init: Init
    head: nn.Module | None = None


@dataclass(frozen=True)
class NormOptions:
    """Batch normalisation as a framework sets it; `momentum` is torch's, the weight of the new value."""

    eps: float = 1e-5
    momentum: float = 0.1

    def norm2d(self, channels: int) -> nn.BatchNorm2d:
        return nn.BatchNorm2d(channels, eps=self.eps, momentum=self.momentum)

    def norm1d(self, features: int) -> nn.BatchNorm1d:
        return nn.BatchNorm1d(features, eps=self.eps, momentum=self.momentum)


TORCH_NORM = NormOptions()
KERAS_NORM = NormOptions(eps=1e-3, momentum=0.01)


def image_shape(in_shape: InShape, name: str, pools: int = 0) -> tuple[int, int, int]:
    """`in_shape` as (channels, height, width), large enough to be halved `pools` times."""
    if len(in_shape) != 3:
        raise InputError(f"{name} takes images, in_shape = (channels, height, width), got {in_shape}")
    channels, height, width = in_shape
    if min(height, width) < 2**pools:
        raise InputError(f"{name} needs images of at least {2**pools}x{2**pools}, got {height}x{width}")
    return channels, height, width


def conv_block(
    inputs: int, outputs: int, *, pool: bool, bias: bool = True, norm: NormOptions = TORCH_NORM
) -> list[nn.Module]:
    """3x3 convolution, batch normalisation, ReLU and, where `pool`, 2x2 max-pooling.

    Pooling stands before ReLU: the same function, because a maximum commutes with ReLU, on a quarter of the elements.
    """
    pooling: list[nn.Module] = [nn.MaxPool2d(2)] if pool else []
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=bias)
    return [convolution, norm.norm2d(outputs), *pooling, nn.ReLU()]


def dense_block(inputs: int, outputs: int, *, relu: bool = True, norm: NormOptions = TORCH_NORM) -> list[nn.Module]:
    """Linear, batch normalisation and, where `relu`, ReLU."""
    return [nn.Linear(inputs, outputs), norm.norm1d(outputs), *([nn.ReLU()] if relu else [])]
