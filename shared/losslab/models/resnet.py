"""Residual networks. Layers are named as torchvision names them, so that its weights fit the network `resnet50`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from torch import Tensor, nn

from losslab.errors import InputError
from losslab.models.init import Init, initialise
from losslab.models.layers import ChannelPad
from losslab.models.parts import KERAS_NORM, Backbone, InShape, image_shape

Flavour = Literal["ldam", "imae"]
Weights = Literal["imagenet"]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut. `relu=False` leaves out the ReLU after the sum."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module, relu: bool, bias: bool = False):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1, bias=bias)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=bias)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample
        self.after = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out: Tensor = self.after(residual + self.downsample(x))
        return out


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride) and 1x1 convolutions and a shortcut. `relu=False` leaves out the ReLU after the sum."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module, relu: bool):
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU()
        self.downsample = downsample
        self.after = nn.ReLU() if relu else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        residual = self.relu(self.bn1(self.conv1(x)))
        residual = self.bn3(self.conv3(self.relu(self.bn2(self.conv2(residual)))))
        out: Tensor = self.after(residual + self.downsample(x))
        return out


class PreActBlock(nn.Module):
    """BN-ReLU-convolution twice and a shortcut; the 1x1 projection, where there is one, sees the raw input."""

    def __init__(self, inputs: int, width: int, stride: int, first: bool) -> None:
        super().__init__()
        self.before = nn.Identity() if first else nn.Sequential(KERAS_NORM.norm2d(inputs), nn.ReLU())
        self.conv1 = nn.Conv2d(inputs, width, 3, stride=stride, padding=1)
        self.between = nn.Sequential(KERAS_NORM.norm2d(width), nn.ReLU())
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.downsample = nn.Identity() if inputs == width else nn.Conv2d(inputs, width, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(self.between(self.conv1(self.before(x)))) + self.downsample(x)
        return out


def resnet18(in_shape: InShape, *, width: int = 64, final_relu: bool = True, init: Init = "default") -> Backbone:
    """CIFAR ResNet-18: 3x3 stem without pooling, widths 64 to 512, global average pooling. Options as in `resnet34`."""
    return _wide("resnet18", in_shape, BasicBlock, (2, 2, 2, 2), width, final_relu, init)


def resnet34(in_shape: InShape, *, width: int = 64, final_relu: bool = True, init: Init = "default") -> Backbone:
    """CIFAR ResNet-34: 3x3 stem without pooling, widths 64 to 512, global average pooling.

    GCE and L_DMI keep torch's initial weights; APL, asymmetric losses and sparse regularisation use `init="apl"`. In
    LM-Softmax's version, `init="apl", final_relu=False`, no block has a ReLU after its sum, so that features can be negative.
    """
    return _wide("resnet34", in_shape, BasicBlock, (3, 4, 6, 3), width, final_relu, init)


def resnet50_cifar(in_shape: InShape, *, width: int = 64, final_relu: bool = True, init: Init = "default") -> Backbone:
    """CIFAR ResNet-50: 3x3 stem without pooling, bottleneck blocks. Options as in `resnet34`."""
    return _wide("resnet50_cifar", in_shape, Bottleneck, (3, 4, 6, 3), width, final_relu, init)


def resnet50(
    in_shape: InShape, *, width: int = 64, weights: Weights | None = None, init: Init = "torchvision"
) -> Backbone:
    """torchvision's ResNet-50: 7x7 stem with stride and pooling. `weights="imagenet"` starts from its pre-trained weights."""
    backbone = _wide("resnet50", in_shape, Bottleneck, (3, 4, 6, 3), width, True, init, imagenet_stem=True)
    if weights is not None:
        if weights not in get_args(Weights):
            raise InputError(f"weights is {weights!r}; it can be {', '.join(get_args(Weights))} or None")
        from torchvision.models import ResNet50_Weights

        pretrained = ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=False)
        backbone.module.load_state_dict({key: v for key, v in pretrained.items() if not key.startswith("fc.")})
    return backbone


def resnet20(in_shape: InShape, *, flavour: Flavour = "ldam", final_relu: bool = True) -> Backbone:
    """Thin CIFAR ResNet-20: widths 16, 32, 64. Options as in `resnet32`."""
    return _thin("resnet20", in_shape, 3, flavour, final_relu)


def resnet32(in_shape: InShape, *, flavour: Flavour = "ldam", final_relu: bool = True) -> Backbone:
    """Thin CIFAR ResNet-32: widths 16, 32, 64.

    `flavour="ldam"` is LDAM's and He et al.'s: shortcuts without parameters, convolutions without bias, Kaiming normal
    weights. `"imae"` is IMAE's Caffe network: 1x1 projection with batch normalisation, biases, msra weights. (Caffe averages
    batch statistics over about 1,000 batches, corrected at the start; here torch's momentum of 0.1 is kept.)
    """
    return _thin("resnet32", in_shape, 5, flavour, final_relu)


def resnet44(in_shape: InShape, *, flavour: Flavour = "ldam", final_relu: bool = True) -> Backbone:
    """Thin CIFAR ResNet-44: widths 16, 32, 64. Options as in `resnet32`."""
    return _thin("resnet44", in_shape, 7, flavour, final_relu)


def resnet56(in_shape: InShape, *, flavour: Flavour = "ldam", final_relu: bool = True) -> Backbone:
    """Thin CIFAR ResNet-56: widths 16, 32, 64. Options as in `resnet32`."""
    return _thin("resnet56", in_shape, 9, flavour, final_relu)


def resnet44_preact(in_shape: InShape) -> Backbone:
    """SCE's CIFAR-100 network: pre-activation blocks of 16, 32, 64 channels, Keras's weights and batch normalisation."""
    inputs, _, _ = image_shape(in_shape, "resnet44_preact")
    layers: list[nn.Module] = [nn.Conv2d(inputs, 16, 3, padding=1), KERAS_NORM.norm2d(16), nn.ReLU()]
    previous = 16
    for width in (16, 32, 64):
        for index in range(7):
            stride = 2 if index == 0 and width > 16 else 1
            layers.append(PreActBlock(previous, width, stride, first=width == 16 and index == 0))
            previous = width
    layers += [KERAS_NORM.norm2d(64), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    backbone = nn.Sequential(*layers)
    initialise(backbone, "he_normal")
    return Backbone(backbone, 64, "he_normal")


def _wide(
    name: str,
    in_shape: InShape,
    block: type[BasicBlock | Bottleneck],
    depths: Sequence[int],
    width: int,
    relu: bool,
    init: Init,
    imagenet_stem: bool = False,
) -> Backbone:
    """Four stages that double the width and, from the second on, halve the image."""
    inputs, _, _ = image_shape(in_shape, name)
    stem = nn.Conv2d(inputs, width, 7, stride=2, padding=3, bias=False) if imagenet_stem else None
    backbone = nn.Sequential()
    backbone.add_module("conv1", stem or nn.Conv2d(inputs, width, 3, padding=1, bias=False))
    backbone.add_module("bn1", nn.BatchNorm2d(width))
    backbone.add_module("relu", nn.ReLU())
    if imagenet_stem:
        backbone.add_module("maxpool", nn.MaxPool2d(3, stride=2, padding=1))
    previous = width
    for stage, depth in enumerate(depths):
        own = width * 2**stage
        outputs = own * block.expansion
        blocks: list[nn.Module] = []
        for index in range(depth):
            stride = 2 if index == 0 and stage > 0 else 1
            shortcut: nn.Module = nn.Identity()
            if stride > 1 or previous != outputs:
                shortcut = _projection(previous, outputs, stride, bias=False)
            blocks.append(block(previous, own, stride, shortcut, relu))
            previous = outputs
        backbone.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
    backbone.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    backbone.add_module("flatten", nn.Flatten())
    initialise(backbone, init)
    return Backbone(backbone, previous, "default" if init == "torchvision" else init)


def _thin(name: str, in_shape: InShape, depth: int, flavour: Flavour, relu: bool) -> Backbone:
    """6 * depth + 2 layers in three stages of 16, 32 and 64 channels."""
    if flavour not in get_args(Flavour):
        raise InputError(f"flavour is {flavour!r}; it can be {', '.join(get_args(Flavour))}")
    imae = flavour == "imae"
    inputs, _, _ = image_shape(in_shape, name)
    backbone = nn.Sequential()
    backbone.add_module("conv1", nn.Conv2d(inputs, 16, 3, padding=1, bias=imae))
    backbone.add_module("bn1", nn.BatchNorm2d(16))
    backbone.add_module("relu", nn.ReLU())
    previous = 16
    for stage, width in enumerate((16, 32, 64), start=1):
        blocks: list[nn.Module] = []
        for _ in range(depth):
            shortcut: nn.Module = nn.Identity()
            if width != previous:
                shortcut = _projection(previous, width, 2, bias=True) if imae else ChannelPad(width // 4, width // 4)
            stride = 1 if width == previous else 2
            blocks.append(BasicBlock(previous, width, stride, shortcut, relu, bias=imae))
            previous = width
        backbone.add_module(f"layer{stage}", nn.Sequential(*blocks))
    backbone.add_module("avgpool", nn.AdaptiveAvgPool2d(1))
    backbone.add_module("flatten", nn.Flatten())
    init: Init = "msra" if imae else "ldam"
    initialise(backbone, init)
    return Backbone(backbone, 64, init)


def _projection(inputs: int, outputs: int, stride: int, bias: bool) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride=stride, bias=bias), nn.BatchNorm2d(outputs))
