"""Small networks trained together by hand: M multi-layer perceptrons as stacked matrices, for studies that the run store does not record.

The engine (`losslab.training`) records accuracies and losses; a study that needs every sample's gradient, a pruning decision or an output in the
middle of training writes its own loop from these parts. Networks stand along the leading axis M and are not connected: each one's numbers depend
on its own seed alone.

>>> from losslab.analysis import stacked_mlp
>>> weights = stacked_mlp.initial((64, 128, 10), seeds=[1, 2, 3])
>>> stacked_mlp.layers(weights, torch.zeros(3, 5, 64))[-1].shape  # logits
torch.Size([3, 5, 10])
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from losslab.data import Dataset
from losslab.errors import InputError


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread inside: small matrices gain nothing from more, and sums keep their order."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def pixels(images: Tensor, dataset: Dataset) -> Tensor:
    """Images of one channel `(n, 1, H, W)` uint8 as standardised rows `(n, H * W)` float32. Raises InputError for more channels."""
    if images.dim() != 4 or images.shape[1] != 1:
        raise InputError(f"{dataset.name}: images have shape {tuple(images.shape)}, expected (n, 1, H, W)")
    return ((images.float() / 255 - dataset.mean[0]) / dataset.std[0]).flatten(1)


def initial(widths: Sequence[int], seeds: Sequence[int]) -> list[Tensor]:
    """Weights `(M, in, out)` and biases `(M, 1, out)` in turn, leaves of the graph, each network's drawn as torch draws them for one.

    Args:
        widths: units per layer, input and output included; at least two.
        seeds: one per network, for torch's global generator.
    """
    if len(widths) < 2 or not seeds:
        raise InputError(
            f"got widths {tuple(widths)} and {len(seeds)} seeds; expected at least two widths and one seed"
        )
    nets = []
    for seed in seeds:
        torch.manual_seed(seed)
        nets.append([torch.nn.Linear(a, b) for a, b in itertools.pairwise(widths)])
    stacked: list[Tensor] = []
    for same in zip(*nets, strict=True):
        stacked += [
            torch.stack([layer.weight.detach().T for layer in same]),
            torch.stack([layer.bias.detach() for layer in same]).unsqueeze(1),
        ]
    return [w.requires_grad_() for w in stacked]


def layers(weights: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """The input `(M, n, in)`, every hidden layer after its ReLU, and the logits `(M, n, K)`."""
    outputs = [x]
    for i in range(0, len(weights), 2):
        h = torch.baddbmm(weights[i + 1], outputs[-1], weights[i])
        outputs.append(h.relu() if i + 2 < len(weights) else h)
    return outputs


def logits(weights: Sequence[Tensor], x: Tensor) -> Tensor:
    """The last of `layers`, `(M, n, K)`."""
    return layers(weights, x)[-1]


def clip_scale(gradients: Sequence[Tensor], limit: float | None) -> Tensor:
    """Factors `(M, 1, 1)` that hold each network's own gradient norm at or below the limit; None: ones."""
    squares = torch.zeros(len(gradients[0]), dtype=gradients[0].dtype)
    for g in gradients:
        squares = squares + g.flatten(1).square().sum(1)
    return ((np.inf if limit is None else limit) / (squares.sqrt() + 1e-6)).clamp(max=1).view(-1, 1, 1)


def order(size: int, streams: Iterable[np.random.Generator]) -> Tensor:
    """One permutation of the samples per network, `(M, size)` int64, each from its own named stream (see `losslab.seeding.generator`)."""
    return torch.from_numpy(np.stack([stream.permutation(size) for stream in streams]))
