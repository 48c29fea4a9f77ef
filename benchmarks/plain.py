"""The other side of the comparisons: one network, trained the way the papers' released code does it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset
from torch.utils.data import Dataset as TorchDataset

from losslab import losses, models, noise
from losslab.data import standardise, statistics
from losslab.runs import Run
from losslab.training.problem import dataset_of


class Pictures(TorchDataset):  # type: ignore[type-arg]
    """Images that go through torchvision's transforms one by one, as PIL pictures."""

    def __init__(self, images: Tensor, labels: Tensor, transform: Any) -> None:
        self.arrays = [image.permute(1, 2, 0).squeeze(-1).numpy() for image in images]
        self.labels, self.transform = labels.tolist(), transform

    def __len__(self) -> int:
        return len(self.arrays)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        from PIL import Image

        return self.transform(Image.fromarray(self.arrays[index])), self.labels[index]


class Plain:
    """One run in a plain loop: DataLoader, nn.Module, torch's SGD, loss and accuracy read at every step.

    Args:
        official: per-image PIL transforms, as in the released codes; else a TensorDataset of standardised images.
        augment: random crops and flips before the rest (only with ``official``).
    """

    def __init__(
        self, run: Run, device: torch.device, *, official: bool, augment: bool = False, workers: int = 0
    ) -> None:
        dataset = dataset_of(run.data, None)
        labels = noise.corrupt(
            dataset.train_labels, run.noise.kind, run.noise.rate, run.seed, num_classes=dataset.num_classes
        )
        self.run, self.device = run, device
        self.network = models.build(run.model.name, dataset.in_shape, dataset.num_classes).to(device)
        self.loss = losses.build(run.loss.name, dataset.num_classes, **run.loss.params)
        recipe = run.recipe
        self.optimiser = torch.optim.SGD(
            self.network.parameters(), lr=recipe.lr, momentum=recipe.momentum, weight_decay=recipe.weight_decay
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimiser, T_max=recipe.epochs)
        if official:
            plain, moved = _transforms(dataset.mean, dataset.std, dataset.in_shape[1], augment)
            train: Any = Pictures(dataset.train_images, labels, moved)
            test: Any = Pictures(dataset.test_images, dataset.test_labels, plain)
        else:
            stats = statistics(dataset, run.data.statistics)
            train = TensorDataset(standardise(dataset.train_images, stats), labels)
            test = TensorDataset(standardise(dataset.test_images, stats), dataset.test_labels)
        pinned = device.type == "cuda"
        self.train: DataLoader[Any] = DataLoader(
            train, recipe.batch_size, shuffle=True, num_workers=workers, pin_memory=pinned
        )
        self.test: DataLoader[Any] = DataLoader(test, recipe.batch_size, num_workers=workers, pin_memory=pinned)
        self.images = len(train)
        self._endless: Iterator[Any] | None = None

    def step(self, images: Tensor, labels: Tensor) -> tuple[float, float]:
        """One update; returns loss and accuracy."""
        images, labels = images.to(self.device, non_blocking=True), labels.to(self.device, non_blocking=True)
        self.optimiser.zero_grad()
        logits = self.network(images)
        loss = self.loss(logits, labels)
        loss.backward()
        if self.run.recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.network.parameters(), self.run.recipe.clip_norm)
        self.optimiser.step()
        return loss.item(), (logits.argmax(1) == labels).float().mean().item()

    def steps(self, count: int) -> float:
        """``count`` training steps; returns the number of images."""
        self.network.train()
        seen = 0
        for _ in range(count):
            batch = self._next()
            self.step(*batch)
            seen += len(batch[0])
        return float(seen)

    def _next(self) -> Any:
        if self._endless is None:
            self._endless = iter(self.train)
        batch = next(self._endless, None)
        if batch is None:
            self._endless = iter(self.train)
            batch = next(self._endless)
        return batch

    def epoch(self) -> float:
        """One epoch with evaluation on the test set; returns 1 (run x epoch)."""
        self.network.train()
        for images, labels in self.train:
            self.step(images, labels)
        self.schedule.step()
        self.network.eval()
        right = 0.0
        with torch.no_grad():
            for images, labels in self.test:
                logits = self.network(images.to(self.device))
                right += (logits.argmax(1) == labels.to(self.device)).sum().item()
        return 1.0


def official(run: Run, device: torch.device, **how: Any) -> Plain | None:
    """The official style, or None (said once) where torchvision or Pillow is not installed."""
    try:
        return Plain(run, device, official=True, **how)
    except ImportError as error:
        print(f"without the official style: {error}")
        return None


def _transforms(mean: tuple[float, ...], std: tuple[float, ...], side: int, augment: bool) -> tuple[Any, Any]:
    from torchvision import transforms

    end = [transforms.ToTensor(), transforms.Normalize(mean, std)]
    moved = [transforms.RandomCrop(side, padding=4), transforms.RandomHorizontalFlip()] if augment else []
    return transforms.Compose(end), transforms.Compose([*moved, *end])
