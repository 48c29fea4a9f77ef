"""What a training costs in arithmetic, for balancing the work and for the time that is left."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from losslab import models
from losslab.runs.spec import Run
from losslab.training.problem import dataset_of

BIG = 2e6  # multiply-adds per image from which a network fills a core alone and is not stacked on a CPU
OVERHEAD = 1e5  # what one sample costs beside the network's arithmetic, in the same unit


@dataclass(frozen=True)
class Size:
    """What one network takes."""

    macs: float  # multiply-adds of one image's forward pass
    parameters: int
    activations: int  # numbers that the layers put out for one image


@lru_cache(maxsize=64)
def network_size(
    model: str, params: tuple[tuple[str, Any], ...], in_shape: tuple[int, int, int], num_classes: int
) -> Size:
    """Counts the convolutions and linear layers of a network. (torch's own counter takes seconds to import.)"""
    with torch.random.fork_rng(devices=[]):
        network = models.build(model, in_shape, num_classes, **dict(params)).eval()
    total, numbers = 0.0, 0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total, numbers
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features
        if not list(layer.children()):
            numbers += output.numel()

    for layer in network.modules():
        layer.register_forward_hook(count)
    sample = torch.zeros(1, *in_shape)
    with torch.no_grad():
        network(sample.long() if any(isinstance(layer, nn.Embedding) for layer in network.modules()) else sample)
    return Size(total, sum(p.numel() for p in network.parameters()), numbers)


def macs(run: Run, root: str | None) -> float:
    """Multiply-adds of one image's forward pass."""
    dataset = dataset_of(run.data, root)
    return network_size(
        run.model.name, tuple(sorted(run.model.params.items())), dataset.in_shape, dataset.num_classes
    ).macs


def units(run: Run, root: str | None) -> float:
    """Work of one run: epochs x (3 x training samples + test samples) x cost of a forward pass, in multiply-adds."""
    dataset = dataset_of(run.data, root)
    return work(macs(run, root), run.recipe.epochs, len(dataset.train_labels), len(dataset.test_labels))


def work(macs: float, epochs: int, train: int, test: int) -> float:
    """The unit of `units`: a backward pass counts as two forward ones."""
    return epochs * (3 * train + test) * (macs + OVERHEAD)
