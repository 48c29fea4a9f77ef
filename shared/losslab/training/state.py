"""What an unfinished cohort remembers between epochs, beyond the network itself."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from losslab.training.stacking import StackedNetwork

Weights = dict[str, Tensor]


class BestNetwork:
    """Keeps, per model, the weights of the epoch with the best noisy-validation accuracy so far. Works without host synchronisation."""

    def __init__(self, network: StackedNetwork) -> None:
        self.network = network
        self.tensors = dict(network.state_dict(keep_vars=True).items())
        self.kept = {name: t.detach().clone() for name, t in self.tensors.items()}
        self.accuracy = torch.full((network.copies,), -1.0, device=next(iter(self.kept.values())).device)

    def _rows(self, tensor: Tensor) -> Tensor:
        return tensor.reshape(self.network.copies, -1)

    @torch.no_grad()
    def update(self, accuracy: Tensor) -> None:
        """Takes over the current weights of the models whose accuracy ``(M,)`` is above their best."""
        better = accuracy > self.accuracy
        self.accuracy = torch.where(better, accuracy.to(self.accuracy.dtype), self.accuracy)
        for name, tensor in self.tensors.items():
            kept, now = self.kept[name], tensor.detach()
            if now.numel() % self.network.copies or now.dim() == 0:
                kept.copy_(now)  # a counter that all models share
            else:
                kept.copy_(torch.where(better.unsqueeze(1), self._rows(now), self._rows(kept)).reshape(kept.shape))

    @torch.no_grad()
    def swap(self) -> None:
        """Exchanges the current weights with the kept ones; a second call brings them back."""
        for name, tensor in self.tensors.items():
            now = tensor.detach().clone()
            tensor.copy_(self.kept[name])
            self.kept[name].copy_(now)


class Curves:
    """Per-epoch values of a cohort, kept on the device until somebody reads them: name -> (epochs, M, ...)."""

    def __init__(self, epochs: int, models: int, device: torch.device) -> None:
        self.epochs, self.models, self.device = epochs, models, device
        self.values: dict[str, Tensor] = {}

    def set(self, epoch: int, named: Mapping[str, Tensor]) -> None:
        """Stores ``(M, ...)`` values of one epoch."""
        for name, value in named.items():
            if name not in self.values:
                shape = (self.epochs, *value.shape)
                self.values[name] = torch.full(shape, float("nan"), dtype=torch.float32, device=self.device)
            self.values[name][epoch].copy_(value)

    def read(self, model: int, epochs: int) -> dict[str, list[float]]:
        """One model's curves over the first ``epochs`` epochs as lists."""
        return {name: value[:epochs, model].cpu().tolist() for name, value in self.values.items()}
