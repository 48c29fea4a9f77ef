"""Networks by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from losslab.errors import InputError
from losslab.models import cnn, dncnn, mlp, resnet, text
from losslab.models.init import initialise
from losslab.models.network import HeadFactory, Network
from losslab.models.parts import Backbone, InShape


@dataclass(frozen=True)
class Entry:
    """A builder, and the setting in which the paper counts its parameters."""

    builder: Callable[..., Backbone]
    source: str
    in_shape: InShape
    num_classes: int


@dataclass(frozen=True)
class ModelCard:
    """What `describe` tells. `parameters` counts the network with a linear head in the setting `in_shape`, `num_classes`."""

    name: str
    source: str
    summary: str
    options: dict[str, Any]
    in_shape: InShape
    num_classes: int
    feature_dim: int
    parameters: int


_MODELS: dict[str, Entry] = {
    "mlp": Entry(mlp.mlp, "embedded data", (1, 8, 8), 10),
    "mlp_bn": Entry(mlp.mlp_bn, "embedded data", (1, 16, 16), 100),
    "cnn_small": Entry(cnn.cnn_small, "embedded data", (1, 8, 8), 10),
    "cnn4": Entry(cnn.cnn4, "APL (Ma et al. 2020), MNIST", (1, 28, 28), 10),
    "cnn8": Entry(cnn.cnn8, "APL (Ma et al. 2020), CIFAR-10", (3, 32, 32), 10),
    "sce_cnn4": Entry(cnn.sce_cnn4, "SCE (Wang et al. 2019), MNIST", (1, 28, 28), 10),
    "sce_cnn8": Entry(cnn.sce_cnn8, "SCE (Wang et al. 2019), CIFAR-10", (3, 32, 32), 10),
    "dmi_cnn": Entry(cnn.dmi_cnn, "L_DMI (Xu et al. 2019), Fashion-MNIST", (1, 28, 28), 2),
    "vgg16_bn": Entry(cnn.vgg16_bn, "L_DMI (Xu et al. 2019), Dogs vs. Cats", (3, 150, 150), 2),
    "resnet18": Entry(resnet.resnet18, "GCE (Zhang and Sabuncu 2018), LM-Softmax (Zhou et al. 2022)", (3, 32, 32), 10),
    "resnet34": Entry(resnet.resnet34, "GCE, L_DMI, APL and most others on CIFAR", (3, 32, 32), 100),
    "resnet50_cifar": Entry(resnet.resnet50_cifar, "APL's released CIFAR-100 configuration", (3, 32, 32), 100),
    "resnet50": Entry(resnet.resnet50, "WebVision, Clothing1M", (3, 224, 224), 50),
    "resnet20": Entry(resnet.resnet20, "IMAE (Wang et al. 2019), CIFAR-10", (3, 32, 32), 10),
    "resnet32": Entry(resnet.resnet32, "LDAM (Cao et al. 2019), IMAE; imbalanced CIFAR", (3, 32, 32), 10),
    "resnet44": Entry(resnet.resnet44, "IMAE (Wang et al. 2019), CIFAR-100", (3, 32, 32), 100),
    "resnet56": Entry(resnet.resnet56, "IMAE (Wang et al. 2019), CIFAR-10", (3, 32, 32), 10),
    "resnet44_preact": Entry(resnet.resnet44_preact, "SCE (Wang et al. 2019), CIFAR-100", (3, 32, 32), 100),
    "dncnn": Entry(dncnn.dncnn, "asymmetric losses (Zhou et al. 2023), denoising", (1, 40, 40), 1),
    "text_cnn": Entry(text.text_cnn, "L_DMI (Xu et al. 2019), MR", (60,), 2),
}


def names() -> tuple[str, ...]:
    """The networks that `build` knows."""
    return tuple(_MODELS)


def build(
    name: str, in_shape: InShape, num_classes: int, head: nn.Module | HeadFactory | None = None, **options: Any
) -> Network:
    """A network with fresh weights from torch's global generator.

    `in_shape` is a sample's shape, `(C, H, W)`. `head` is None for `nn.Linear`, initialised as the paper does, or a function
    `(feature_dim, num_classes) -> module`, or a module. `options` are the network's own, see `describe(name).options`.
    """
    entry = _entry(name)
    allowed = _options(entry)
    if unknown := sorted(set(options) - set(allowed)):
        raise InputError(f"{name} has no option {', '.join(unknown)}; it has {', '.join(allowed) or 'none'}")
    shape = tuple(in_shape)
    if not shape or any(not isinstance(side, int) or side < 1 for side in shape):
        raise InputError(f"in_shape is {in_shape!r}; it must be a sample's shape, such as (1, 28, 28)")
    if num_classes < 1:
        raise InputError(f"num_classes is {num_classes}; it must be 1 or more")
    backbone = entry.builder(shape, **options)
    if backbone.head is not None:
        if head is not None:
            raise InputError(f"{name} is no classifier and takes no head")
        head = backbone.head
    elif head is None:
        head = nn.Linear(backbone.feature_dim, num_classes)
        initialise(head, backbone.init)
    elif not isinstance(head, nn.Module):
        head = head(backbone.feature_dim, num_classes)
    return Network(backbone.module, head, backbone.feature_dim, num_classes)


def describe(name: str) -> ModelCard:
    """Where a network comes from, what it looks like, its options with their defaults, its size."""
    entry = _entry(name)
    network = build(name, entry.in_shape, entry.num_classes)
    return ModelCard(
        name=name,
        source=entry.source,
        summary=inspect.getdoc(entry.builder) or "",
        options={key: parameter.default for key, parameter in _options(entry).items()},
        in_shape=entry.in_shape,
        num_classes=entry.num_classes,
        feature_dim=network.feature_dim,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
    )


def _entry(name: str) -> Entry:
    if name not in _MODELS:
        raise InputError(f"no network is called {name!r}; there are {', '.join(_MODELS)}")
    return _MODELS[name]


def _options(entry: Entry) -> dict[str, inspect.Parameter]:
    return {key: p for key, p in inspect.signature(entry.builder).parameters.items() if p.kind is p.KEYWORD_ONLY}
