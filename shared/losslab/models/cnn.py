"""Plain convolutional networks."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from losslab.errors import InputError
from losslab.models.init import Init, initialise
from losslab.models.layers import SeededDropout
from losslab.models.parts import (
    KERAS_NORM,
    TORCH_NORM,
    Backbone,
    InShape,
    NormOptions,
    conv_block,
    dense_block,
    image_shape,
)


def cnn_small(
    in_shape: InShape, *, widths: Sequence[int] = (16, 32), feature_dim: int = 256, final_relu: bool = True,
    init: Init = "default",
) -> Backbone:  # fmt: skip
    """The papers' 4-layer network in small, for 8x8 and 16x16 images: two convolutions with pooling, one dense layer."""
    return _plain("cnn_small", in_shape, [(width,) for width in widths], feature_dim, final_relu=final_relu, init=init)


def cnn4(
    in_shape: InShape, *, feature_dim: int = 128, final_relu: bool = True, conv_bias: bool = True, init: Init = "apl"
) -> Backbone:
    """APL's MNIST network, used by most of the papers: 32 and 64 channels, each pooled, dense 128, BN throughout.

    LM-Softmax's version has `conv_bias=False`; its drawings on a sphere use `feature_dim=3, final_relu=False`.
    """
    return _plain("cnn4", in_shape, [(32,), (64,)], feature_dim, final_relu=final_relu, conv_bias=conv_bias, init=init)


def cnn8(
    in_shape: InShape, *, feature_dim: int = 256, final_relu: bool = True, pad_to: int = 1, init: Init = "apl"
) -> Backbone:
    """APL's CIFAR-10 network, used by most of the papers: two convolutions each of 64, 128 and 196 channels, dense 256.

    `pad_to=8` rounds 196 channels up to 200 with zero channels, which GPUs run faster; they stay zero through training and
    change no logit.
    """
    stages = [(64, 64), (128, 128), (196, 196)]
    return _plain("cnn8", in_shape, stages, feature_dim, final_relu=final_relu, pad_to=pad_to, init=init)


def sce_cnn4(in_shape: InShape) -> Backbone:
    """`cnn4` as SCE's Keras code sets it: he_normal weights, zero biases, Keras's batch normalisation."""
    return _plain("sce_cnn4", in_shape, [(32,), (64,)], 128, norm=KERAS_NORM, init="he_normal")


def sce_cnn8(in_shape: InShape) -> Backbone:
    """`cnn8` as SCE's Keras code sets it. Its L2 penalty of 0.01 on the dense layer is the recipe's."""
    return _plain("sce_cnn8", in_shape, [(64, 64), (128, 128), (196, 196)], 256, norm=KERAS_NORM, init="he_normal")


def dmi_cnn(in_shape: InShape, *, dropout: float = 0.5, init: Init = "default") -> Backbone:
    """L_DMI's Fashion-MNIST network: two 5x5 convolutions of 16 and 32 channels without padding, each pooled; dropout."""
    channels, height, width = image_shape(in_shape, "dmi_cnn")
    size = tuple(((side - 4) // 2 - 4) // 2 for side in (height, width))
    if min(size) < 1:
        raise InputError(f"dmi_cnn needs images of at least 16x16, got {height}x{width}")
    backbone = nn.Sequential(
        nn.Conv2d(channels, 16, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Conv2d(16, 32, 5), nn.MaxPool2d(2), nn.ReLU(),
        nn.Flatten(), SeededDropout(dropout),
    )  # fmt: skip
    initialise(backbone, init)
    return Backbone(backbone, 32 * size[0] * size[1], init)


def vgg16_bn(in_shape: InShape, *, width: int = 64, init: Init = "default") -> Backbone:
    """VGG-16 with batch normalisation and no dense layer but the head, L_DMI's network for Dogs vs. Cats."""
    stages = [(width,) * 2, (2 * width,) * 2, (4 * width,) * 3, (8 * width,) * 3, (8 * width,) * 3]
    return _plain("vgg16_bn", in_shape, stages, None, init=init)


def _plain(
    name: str,
    in_shape: InShape,
    stages: Sequence[Sequence[int]],
    feature_dim: int | None,
    *,
    final_relu: bool = True,
    conv_bias: bool = True,
    pad_to: int = 1,
    norm: NormOptions = TORCH_NORM,
    init: Init,
) -> Backbone:
    """Stages of 3x3 convolutions, each stage pooled; then a dense layer unless `feature_dim` is None."""
    previous, height, width = image_shape(in_shape, name, len(stages))
    layers: list[nn.Module] = []
    for stage in stages:
        for index, channels in enumerate(stage, start=1):
            layers += conv_block(previous, channels, pool=index == len(stage), bias=conv_bias, norm=norm)
            previous = channels
    layers.append(nn.Flatten())
    features = previous * (height >> len(stages)) * (width >> len(stages))
    if feature_dim is not None:
        layers += dense_block(features, feature_dim, relu=final_relu, norm=norm)
        features = feature_dim
    backbone = nn.Sequential(*layers)
    initialise(backbone, init)
    if pad_to > 1:
        pad_channels(backbone, pad_to)
    return Backbone(backbone, features, init)


def pad_channels(backbone: nn.Sequential, multiple: int) -> None:
    """Rounds the channels of a plain network up to a multiple, in place; the new weights are zero.

    The new channels are zero before and after batch normalisation, whose scale and shift are zero there, and so are all their
    gradients: training leaves them zero, and the network computes what it computed before.
    """
    original = padded = 0  # channels that arrive at the next layer; 0 before the first convolution
    for index, layer in enumerate(backbone):
        if isinstance(layer, nn.Conv2d):
            inputs = padded or layer.in_channels
            original, padded = layer.out_channels, -(-layer.out_channels // multiple) * multiple
            weight = layer.weight.new_zeros(padded, inputs, *layer.kernel_size)
            weight[:original, : layer.in_channels] = layer.weight.detach()
            wide = nn.utils.skip_init(
                nn.Conv2d, inputs, padded, layer.kernel_size, padding=layer.padding, bias=layer.bias is not None
            )
            _fill(wide, weight, layer.bias)
            backbone[index] = wide
        elif isinstance(layer, nn.BatchNorm2d):
            norm = nn.BatchNorm2d(padded, eps=layer.eps, momentum=layer.momentum)
            _fill(
                norm,
                layer.weight.detach().new_zeros(padded).index_copy(0, torch.arange(original), layer.weight.detach()),
                None,
            )
            backbone[index] = norm
        elif isinstance(layer, nn.Linear) and original:
            area = layer.in_features // original
            weight = layer.weight.new_zeros(layer.out_features, padded, area)
            weight[:, :original] = layer.weight.detach().unflatten(1, (original, area))
            dense = nn.utils.skip_init(nn.Linear, padded * area, layer.out_features)
            _fill(dense, weight.flatten(1), layer.bias)
            backbone[index] = dense
            return


def _fill(layer: nn.Conv2d | nn.Linear | nn.BatchNorm2d, weight: torch.Tensor, bias: torch.Tensor | None) -> None:
    """Sets the weight, and the bias followed by zeros."""
    with torch.no_grad():
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.zero_()
            if bias is not None:
                layer.bias[: len(bias)].copy_(bias)
