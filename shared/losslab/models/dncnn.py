"""The denoiser of the asymmetric losses' regression experiments. Its output is an image, not logits."""

from __future__ import annotations

import math

from torch import Tensor, nn

from losslab.models.init import initialise
from losslab.models.layers import GroupModels, SplitModels
from losslab.models.parts import Backbone, InShape, NormOptions, image_shape


class Denoiser(nn.Module):
    """The input minus the noise that `noise` finds in it: images `(N, C, H, W)` to images."""

    def __init__(self, noise: nn.Module) -> None:
        super().__init__()
        self.pack = GroupModels()
        self.noise = noise
        self.unpack = SplitModels()

    def forward(self, x: Tensor) -> Tensor:
        images = self.pack(x)
        out: Tensor = self.unpack(images - self.noise(images))
        return out


def dncnn(in_shape: InShape, *, depth: int = 17, width: int = 64) -> Backbone:
    """DnCNN: `depth` 3x3 convolutions of `width` channels, biases in the first alone, batch normalisation between.

    It takes no head and ignores the number of classes: features and output are the clean image.
    """
    channels, *_ = image_shape(in_shape, "dncnn")
    norm = NormOptions(eps=1e-4, momentum=0.95)
    layers: list[nn.Module] = [nn.Conv2d(channels, width, 3, padding=1), nn.ReLU()]
    for _ in range(depth - 2):
        layers += [nn.Conv2d(width, width, 3, padding=1, bias=False), norm.norm2d(width), nn.ReLU()]
    layers.append(nn.Conv2d(width, channels, 3, padding=1, bias=False))
    backbone = Denoiser(nn.Sequential(*layers))
    initialise(backbone, "orthogonal")
    return Backbone(backbone, math.prod(in_shape), "default", head=nn.Identity())
