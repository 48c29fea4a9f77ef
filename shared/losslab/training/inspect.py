"""Looking into a trained network: features, logits, prototypes of a finished run."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from losslab import data
from losslab.data import Dataset
from losslab.errors import InputError
from losslab.models import Network
from losslab.runs import Run, Store
from losslab.training.build import build_network
from losslab.training.problem import RunData, prepare


@dataclass(frozen=True)
class Trained:
    """A finished run's network in evaluation mode, with what it was trained on."""

    run: Run
    network: Network
    dataset: Dataset
    samples: RunData

    def images(self, part: str) -> Tensor:
        """Normalised images ``(n, C, H, W)`` of a part: "train" (without the validation samples), "validation", "test", or an entry of
        ``dataset.extra`` such as "held_out_images"."""
        stats = data.statistics(self.dataset, self.run.data.statistics)
        if part == "test":
            return data.standardise(self.dataset.test_images, stats)
        if part in ("train", "validation"):
            rows = torch.from_numpy(self.samples.rows if part == "train" else self.samples.val_rows)
            extra = self.dataset.extra.get("held_out_images")
            pool = self.dataset.train_images if extra is None else torch.cat([self.dataset.train_images, extra])
            return data.standardise(pool[rows], stats)
        if part in self.dataset.extra:
            return data.standardise(self.dataset.extra[part], stats)
        raise InputError(f"unknown part {part!r}; allowed: train, validation, test, {', '.join(self.dataset.extra)}")

    @torch.no_grad()
    def features(self, part: str = "test") -> Tensor:
        """Features ``(n, d)`` of a part's images, on the CPU."""
        return torch.cat([self.network.features(batch) for batch in self.images(part).split(512)])

    @torch.no_grad()
    def logits(self, part: str = "test") -> Tensor:
        """Logits ``(n, K)`` of a part's images, on the CPU."""
        return torch.cat([self.network(batch) for batch in self.images(part).split(512)])


def trained(run: Run, store: Store, root: str | None = None) -> Trained:
    """The network of a finished run that was trained with the probe `weights`. Raises InputError if its weights are not in the store."""
    weights = store.weights(run)
    if weights is None:
        raise InputError(
            f"the store has no weights of {run.label()} ({run.hash}); ask for the probe 'weights' in its experiment"
        )
    dataset, samples = prepare(run, root)
    network = build_network(run, dataset.in_shape, dataset.num_classes)
    network.load_state_dict(weights)
    return Trained(run, network.eval(), dataset, samples)
