"""What a training costs in arithmetic, for balancing the work and for the time that is left."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from losslab import models
from losslab.runs.spec import Run
from losslab.training.problem import dataset_of

BIG = 2e6  # multiply-adds per image from which a network fills a core alone and is not stacked on a CPU
OVERHEAD = 1e5  # what one sample costs beside the network's arithmetic, in the same unit


@lru_cache(maxsize=64)
def _macs(model: str, params: tuple[tuple[str, Any], ...], in_shape: tuple[int, int, int], num_classes: int) -> float:
    """Multiply-adds of the convolutions and linear layers. (torch's own counter takes seconds to import.)"""
    with torch.random.fork_rng(devices=[]):
        network = models.build(model, in_shape, num_classes, **dict(params)).eval()
    total = 0.0

    def count(layer: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal total
        if isinstance(layer, nn.Conv2d):
            total += output.numel() * layer.weight[0].numel()
        elif isinstance(layer, nn.Linear):
            total += output.numel() * layer.in_features

    for layer in network.modules():
        layer.register_forward_hook(count)
    sample = torch.zeros(1, *in_shape)
    with torch.no_grad():
        network(sample.long() if any(isinstance(layer, nn.Embedding) for layer in network.modules()) else sample)
    return total


def macs(run: Run, root: str | None) -> float:
    """Multiply-adds of one image's forward pass."""
    dataset = dataset_of(run.data, root)
    return _macs(run.model.name, tuple(sorted(run.model.params.items())), dataset.in_shape, dataset.num_classes)


def units(run: Run, root: str | None) -> float:
    """Work of one run: epochs x (3 x training samples + test samples) x cost of a forward pass, in multiply-adds."""
    dataset = dataset_of(run.data, root)
    samples = 3 * len(dataset.train_labels) + len(dataset.test_labels)
    return run.recipe.epochs * samples * (macs(run, root) + OVERHEAD)
