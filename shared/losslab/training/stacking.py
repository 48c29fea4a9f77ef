"""M models of one architecture run as one network.

`stack` copies the module tree and puts stacked twins in place of the layers that hold parameters. Inside,

* raw images are `(M, B, C, H, W)`, or `(1, B, C, H, W)` where all models see the same ones;
* feature maps are `(B, M*C, H, W)` in channels-last memory (grouped convolution; activations, pooling and sums work as they are);
* features and logits are `(M, B, d)` (batched matrix products).

Every stacked tensor is contiguous with the models outermost, so that its `(M, -1)` view gives each model's part.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from losslab.errors import InputError
from losslab.models.network import Network

State = dict[str, Tensor]


def stack(networks: Sequence[Network]) -> StackedNetwork:
    """One network that runs all of `networks`, which must have the same architecture; their weights are copied."""
    return StackedNetwork(networks)


class StackedNetwork(nn.Module):
    """`copies` models at once. Parameters carry the names that they have in a single model."""

    def __init__(self, networks: Sequence[Network]) -> None:
        super().__init__()
        _check_alike(networks)
        self.copies = len(networks)
        self.feature_dim = networks[0].feature_dim
        self.num_classes = networks[0].num_classes
        self._layout = [(key, tuple(value.shape)) for key, value in networks[0].state_dict().items()]
        self.backbone = _twin([network.backbone for network in networks])
        self.head = _twin([network.head for network in networks])
        self.train(networks[0].training)

    @property
    def convolutional(self) -> bool:
        """Whether there are convolutions: a CPU picks another kernel for one model than for a group of two or more."""
        return any(isinstance(module, StackedConv2d) for module in self.modules())

    def features(self, images: Tensor, shared: bool = False) -> Tensor:
        """Images `(M, B, C, H, W)`, or `(B, C, H, W)` for all models where `shared`, to features `(M, B, d)`."""
        features: Tensor = self.backbone(images.unsqueeze(0) if shared else images)
        return features

    def forward(self, images: Tensor, shared: bool = False) -> Tensor:
        """The same to logits `(M, B, K)`."""
        logits: Tensor = self.head(self.features(images, shared))
        return logits

    def stacked_parameters(self) -> list[tuple[str, nn.Parameter, bool]]:
        """`(name, parameter, decay)` for each trainable parameter, named as in a single model.

        The first axis is M, except for convolutions and batch normalisation, where it is M*C with the models outermost;
        `per_model` works for all. `decay` is False for biases and for the scales and shifts of normalisation, which some
        recipes leave out of weight decay.
        """
        normalised = {
            f"{name}.{key}"
            for name, module in self.named_modules()
            if isinstance(module, _StackedBatchNorm)
            for key, _ in module.named_parameters(recurse=False)
        }
        return [
            (name, parameter, not (name in normalised or name.rpartition(".")[2] == "bias"))
            for name, parameter in self.named_parameters()
            if parameter.requires_grad
        ]

    def per_model(self, tensor: Tensor) -> Tensor:
        """The `(M, -1)` view of a stacked parameter, or of a gradient or optimiser state with the same memory layout."""
        return tensor.view(self.copies, -1)

    def unstack(self, index: int) -> State:
        """The state dict of model `index`, with the keys, shapes and layout of a single model's."""
        return {
            key: self._part(key, index).detach().clone(memory_format=torch.contiguous_format) for key, _ in self._layout
        }

    def load(self, index: int, state_dict: Mapping[str, Tensor]) -> None:
        """Copies a single model's state dict into model `index`, in place."""
        expected = dict(self._layout)
        if missing := [key for key in expected if key not in state_dict]:
            raise InputError(f"cannot load model {index}: the state dict lacks {', '.join(missing)}")
        if unknown := [key for key in state_dict if key not in expected]:
            raise InputError(f"cannot load model {index}: the state dict has unknown entries {', '.join(unknown)}")
        for key, shape in expected.items():
            if tuple(state_dict[key].shape) != shape:
                raise InputError(
                    f"cannot load model {index}: {key} has shape {tuple(state_dict[key].shape)}, not {shape}"
                )
        with torch.no_grad():
            for key in expected:
                self._part(key, index).copy_(state_dict[key])

    def _part(self, key: str, index: int) -> Tensor:
        """Model `index`'s part of one entry of the state dict: a view, shaped as in a single model."""
        if not 0 <= index < self.copies:
            raise InputError(f"there is no model {index}: this stack has models 0 to {self.copies - 1}")
        path, _, name = key.rpartition(".")
        module = self.get_submodule(path)
        tensor = cast(Tensor, getattr(module, name))
        return module.part(name, tensor, index) if isinstance(module, _Twin) else tensor[index]


class _Twin(nn.Module):
    """Base of the stacked layers. `part` gives a view of one model's share of a tensor, in the single layer's shape."""

    copies: int

    def part(self, name: str, tensor: Tensor, index: int) -> Tensor:
        return tensor.view(self.copies, -1, *tensor.shape[1:])[index]


class StackedLinear(_Twin):
    """`(M, B, in)`, or `(1, B, in)` for all models, to `(M, B, out)`, whose memory is `(M, out, B)`.

    That order lets the products of the backward pass write the weights' gradients in place, and batch normalisation read its
    input without a copy. Weights are `(M, out, in)`.
    """

    def __init__(self, layers: Sequence[nn.Linear]) -> None:
        super().__init__()
        self.copies = len(layers)
        self.weight = _parameter([layer.weight for layer in layers])
        self.bias = None if layers[0].bias is None else _parameter([layer.bias for layer in layers])

    def forward(self, x: Tensor) -> Tensor:
        columns = x.expand(self.copies, -1, -1).mT
        if self.bias is None:
            return torch.bmm(self.weight, columns).mT
        return torch.baddbmm(self.bias.unsqueeze(2), self.weight, columns).mT

    def part(self, name: str, tensor: Tensor, index: int) -> Tensor:
        return tensor[index]


class StackedConv2d(_Twin):
    """`(B, M*C, H, W)` or raw images to `(B, M*Cout, H', W')`. Weights are kept channels-last, `(M*Cout, kh, kw, C)`."""

    def __init__(self, layers: Sequence[nn.Conv2d]) -> None:
        super().__init__()
        first = layers[0]
        if first.padding_mode != "zeros":
            raise InputError(f"cannot stack a convolution with padding_mode {first.padding_mode!r}; only 'zeros' works")
        self.copies = len(layers)
        self.weight = _parameter([layer.weight.permute(0, 2, 3, 1) for layer in layers], join=True)
        biases = [layer.bias for layer in layers if layer.bias is not None]
        self.bias = _parameter(biases, join=True) if biases else None
        self.stride, self.padding, self.dilation, self.groups = (
            first.stride,
            first.padding,
            first.dilation,
            first.groups,
        )

    def forward(self, x: Tensor) -> Tensor:
        groups = self.copies * self.groups
        if x.dim() == 5:
            if x.shape[0] == 1 and self.groups == 1:
                x, groups = x.squeeze(0).contiguous(memory_format=torch.channels_last), 1
            else:
                x = _group(x, self.copies)
        weight = self.weight.permute(0, 3, 1, 2)
        return F.conv2d(x, weight, self.bias, self.stride, self.padding, self.dilation, groups)

    def part(self, name: str, tensor: Tensor, index: int) -> Tensor:
        own = super().part(name, tensor, index)
        return own.permute(0, 3, 1, 2) if name == "weight" else own


class _StackedBatchNorm(_Twin):
    """Statistics per model: to batch normalisation the models are further channels. Tensors are `(M*C,)`.

    `num_batches_tracked` is kept but not counted, because a fixed momentum makes it of no effect.
    """

    running_mean: Tensor | None
    running_var: Tensor | None

    def __init__(self, layers: Sequence[nn.BatchNorm1d | nn.BatchNorm2d]) -> None:
        super().__init__()
        first = layers[0]
        if first.momentum is None:
            raise InputError("cannot stack batch normalisation with momentum=None; give a number")
        self.copies = len(layers)
        self.momentum, self.eps = first.momentum, first.eps
        self.weight = _parameter([layer.weight for layer in layers], join=True) if first.affine else None
        self.bias = _parameter([layer.bias for layer in layers], join=True) if first.affine else None
        for name in ("running_mean", "running_var"):
            tensors = [cast(Tensor, getattr(layer, name)) for layer in layers]
            self.register_buffer(name, torch.cat(tensors) if first.track_running_stats else None)
        tracked = [layer.num_batches_tracked for layer in layers if layer.num_batches_tracked is not None]
        self.register_buffer("num_batches_tracked", torch.stack(tracked) if tracked else None)

    def normalise(self, x: Tensor) -> Tensor:
        batch_statistics = self.training or self.running_mean is None
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, batch_statistics, self.momentum, self.eps
        )

    def part(self, name: str, tensor: Tensor, index: int) -> Tensor:
        return tensor.view(self.copies, -1)[index] if name != "num_batches_tracked" else tensor[index]


class StackedBatchNorm1d(_StackedBatchNorm):
    """Features `(M, B, d)`, or `(1, B, d)` for all models, to `(M, B, d)`."""

    def forward(self, x: Tensor) -> Tensor:
        columns = x.expand(self.copies, -1, -1).mT  # to batch_norm: one sample, M*d channels, B pixels
        return self.normalise(columns.flatten(0, 1).unsqueeze(0)).view(columns.shape).mT


class StackedBatchNorm2d(_StackedBatchNorm):
    """Feature maps `(B, M*C, H, W)` or raw images to `(B, M*C, H, W)`."""

    def forward(self, x: Tensor) -> Tensor:
        return self.normalise(_group(x, self.copies) if x.dim() == 5 else x)


class StackedFlatten(_Twin):
    """Feature maps `(B, M*C, H, W)` to `(M, B, C*H*W)`; raw inputs `(M, B, ...)` to `(M, B, -1)`."""

    def __init__(self, layers: Sequence[nn.Flatten]) -> None:
        super().__init__()
        if (layers[0].start_dim, layers[0].end_dim) != (1, -1):
            raise InputError("only nn.Flatten() can be stacked, which keeps the batch axis and flattens the rest")
        self.copies = len(layers)

    def forward(self, x: Tensor) -> Tensor:
        if x.dim() == 4:
            return _ChannelsLastGradient.apply(x).unflatten(1, (self.copies, -1)).transpose(0, 1).flatten(2)
        return x.flatten(2)


class _ChannelsLastGradient(torch.autograd.Function):
    """Hands a tensor on; brings its gradient into the memory order of feature maps, without which the layers below are several times slower."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.contiguous(memory_format=torch.channels_last)


class StackedReLU(nn.Module):
    """ReLU in place, on feature maps that nobody else reads."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu_(x)


class StackedEmbedding(_Twin):
    """Token numbers `(M, B, L)`, or `(1, B, L)` for all models, to `(M, B, L, E)`."""

    def __init__(self, layers: Sequence[nn.Embedding]) -> None:
        super().__init__()
        self.copies, self.rows = len(layers), layers[0].num_embeddings
        self.weight = _parameter([layer.weight for layer in layers])
        self.padding_idx = layers[0].padding_idx

    def forward(self, x: Tensor) -> Tensor:
        first_rows = torch.arange(self.copies, device=x.device).view(-1, 1, 1) * self.rows
        weight: Tensor = self.weight
        if self.padding_idx is not None:  # the padding row gets no gradient
            padding = torch.arange(self.rows, device=x.device).view(-1, 1) == self.padding_idx
            weight = torch.where(padding, weight.detach(), weight)
        return F.embedding(x + first_rows, weight.flatten(0, 1))

    def part(self, name: str, tensor: Tensor, index: int) -> Tensor:
        return tensor[index]


_TWINS: dict[type[nn.Module], Callable[..., _Twin]] = {
    nn.Linear: StackedLinear,
    nn.Conv2d: StackedConv2d,
    nn.BatchNorm1d: StackedBatchNorm1d,
    nn.BatchNorm2d: StackedBatchNorm2d,
    nn.Flatten: StackedFlatten,
    nn.Embedding: StackedEmbedding,
}


def _twin(modules: Sequence[nn.Module]) -> nn.Module:
    """The stacked form of one module, given its M versions."""
    first = modules[0]
    if getattr(first, "leading_axes", False):
        return _with_leading_axis(modules)
    if make := _TWINS.get(type(first)):
        return make(modules)
    if own := [name for name, _ in _own_tensors(first)]:
        known = ", ".join(sorted(kind.__name__ for kind in _TWINS))
        raise InputError(
            f"cannot stack {type(first).__name__}, which owns {', '.join(own)}: only {known} and modules with leading_axes = True"
        )
    twin = _shell(first)
    for name, child in first._modules.items():
        twin._modules[name] = None if child is None else _twin([cast(nn.Module, m._modules[name]) for m in modules])
    if hasattr(twin, "copies"):
        twin.copies = len(modules)  # type: ignore[assignment]
    if isinstance(first, nn.Sequential):
        _reuse_memory(twin)
    return twin


def _reuse_memory(sequence: nn.Module) -> None:
    """Lets ReLU overwrite its input where a layer just before it made that input, which has no other reader and is not needed for its gradient."""
    names = list(sequence._modules)
    for before, name in itertools.pairwise(names):
        fresh = isinstance(sequence._modules[before], (StackedBatchNorm2d, nn.MaxPool2d))
        if fresh and type(sequence._modules[name]) is nn.ReLU:
            sequence._modules[name] = StackedReLU()


def _with_leading_axis(modules: Sequence[nn.Module]) -> nn.Module:
    """A copy whose parameters and buffers, and those of its parts, carry a leading model axis."""
    first = modules[0]
    twin = _shell(first)
    for name, parameter in first._parameters.items():
        own = [cast(Tensor, m._parameters[name]) for m in modules if m._parameters[name] is not None]
        twin._parameters[name] = None if parameter is None else _parameter(own)
    for name, buffer in first._buffers.items():
        values = [cast(Tensor, m._buffers[name]) for m in modules if m._buffers[name] is not None]
        twin._buffers[name] = None if buffer is None else torch.stack(values)
    for name, child in first._modules.items():
        children = [cast(nn.Module, m._modules[name]) for m in modules]
        twin._modules[name] = None if child is None else _with_leading_axis(children)
    return twin


def _shell(module: nn.Module) -> nn.Module:
    """A shallow copy with its own, still empty, tables of parameters, buffers and children."""
    shell = copy.copy(module)
    shell._parameters, shell._buffers, shell._modules = {}, {}, {}
    return shell


def _own_tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from module.named_parameters(recurse=False)
    yield from module.named_buffers(recurse=False)


def _parameter(tensors: Sequence[Tensor], join: bool = False) -> nn.Parameter:
    """The tensors on a new leading axis, or joined along their first one."""
    values = [tensor.detach() for tensor in tensors]
    stacked = torch.cat(values) if join else torch.stack(values)
    requires_grad = isinstance(tensors[0], Tensor) and tensors[0].requires_grad
    return nn.Parameter(stacked.contiguous(), requires_grad=requires_grad)


def _group(images: Tensor, copies: int) -> Tensor:
    """Raw images `(M, B, C, H, W)` or `(1, B, C, H, W)` to `(B, M*C, H, W)` in channels-last memory: one copy."""
    last = images.expand(copies, -1, -1, -1, -1).permute(1, 3, 4, 0, 2)
    return last.flatten(3).permute(0, 3, 1, 2)


def _check_alike(networks: Sequence[Network]) -> None:
    if not networks:
        raise InputError("stack needs at least one network, got none")
    for network in networks:
        if not isinstance(network, Network):
            raise InputError(f"stack takes networks made by losslab.models.build, got {type(network).__name__}")
    first = networks[0]
    layout = {key: (tuple(value.shape), value.dtype, value.device) for key, value in first.state_dict().items()}
    description = repr(first)
    for index, network in enumerate(networks[1:], start=1):
        other = {key: (tuple(value.shape), value.dtype, value.device) for key, value in network.state_dict().items()}
        if other != layout:
            key = next(key for key in [*layout, *other] if layout.get(key) != other.get(key))
            raise InputError(
                f"only networks of one architecture can be stacked: {key} of network 0 is {layout.get(key)},"
                f" of network {index} {other.get(key)}"
            )
        if repr(network) != description:
            pairs = zip(description.splitlines(), repr(network).splitlines(), strict=False)
            ours, theirs = next(((a, b) for a, b in pairs if a != b), (description, repr(network)))
            raise InputError(
                f"only networks of one architecture can be stacked: network 0 has {ours.strip()}, network {index} {theirs.strip()}"
            )
