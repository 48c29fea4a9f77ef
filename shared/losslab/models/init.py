"""Initial weights as the papers set them. Each function draws from torch's global generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from torch import nn

from losslab.errors import InputError

Init = Literal["default", "apl", "he_normal", "msra", "ldam", "torchvision", "orthogonal"]


def initialise(module: nn.Module, scheme: Init) -> None:
    """Draws the weights of all convolutions and linear layers in `module` anew.

    * `default`: torch's own, as GCE's and L_DMI's code leave it;
    * `apl`: convolutions Kaiming uniform (fan-in, ReLU), linear Xavier uniform, biases torch's (APL, asymmetric losses, sparse
      regularisation, LM-Softmax);
    * `he_normal`: Keras's: normal cut at two deviations, variance 2 / fan-in, zero biases (SCE);
    * `msra`: Caffe's: normal, variance 2 / fan-in, zero biases (IMAE);
    * `ldam`: Kaiming normal (fan-in), biases torch's (LDAM);
    * `torchvision`: convolutions Kaiming normal (fan-out, ReLU), linear torch's;
    * `orthogonal`: convolutions orthogonal, zero biases (DnCNN).
    """
    if scheme not in get_args(Init):
        raise InputError(f"init is {scheme!r}; it can be {', '.join(get_args(Init))}")
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _SCHEMES[scheme](layer)


def _default(layer: nn.Conv2d | nn.Linear) -> None:
    """Made by the constructor already."""


def _apl(layer: nn.Conv2d | nn.Linear) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_uniform_(layer.weight, nonlinearity="relu")
    else:
        nn.init.xavier_uniform_(layer.weight)


def _he_normal(layer: nn.Conv2d | nn.Linear) -> None:
    # 0.8796... is the standard deviation of a standard normal cut at +-2.
    deviation = math.sqrt(2.0 / layer.weight[0].numel()) / 0.87962566103423978
    nn.init.trunc_normal_(layer.weight, std=deviation, a=-2 * deviation, b=2 * deviation)
    _zero_bias(layer)


def _msra(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.kaiming_normal_(layer.weight)
    _zero_bias(layer)


def _ldam(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.kaiming_normal_(layer.weight)


def _torchvision(layer: nn.Conv2d | nn.Linear) -> None:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
        _zero_bias(layer)


def _orthogonal(layer: nn.Conv2d | nn.Linear) -> None:
    nn.init.orthogonal_(layer.weight)
    _zero_bias(layer)


def _zero_bias(layer: nn.Conv2d | nn.Linear) -> None:
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


_SCHEMES: dict[str, Callable[[nn.Conv2d | nn.Linear], None]] = {
    "default": _default,
    "apl": _apl,
    "he_normal": _he_normal,
    "msra": _msra,
    "ldam": _ldam,
    "torchvision": _torchvision,
    "orthogonal": _orthogonal,
}
