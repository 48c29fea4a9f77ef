"""What a data set is: uint8 images and labels in memory, and what is known about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch

from losslab.errors import InputError


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory; nothing in it is meant to be changed.

    Images are ``(n, C, H, W)`` uint8, labels ``(n,)`` int64 in [0, num_classes). ``mean`` and ``std`` are per channel, of
    images / 255: the values that the papers use where they print them, else measured on the training images.
    ``superclass`` is ``(K,)`` int64 or None. ``extra`` holds further tensors by name: ``held_out_images`` /
    ``held_out_labels`` (classes that training never sees), ``human_<column>`` (labels that people gave).
    ``source`` says what the data are, for captions.
    """

    name: str
    train_images: torch.Tensor
    train_labels: torch.Tensor
    test_images: torch.Tensor
    test_labels: torch.Tensor
    num_classes: int
    class_names: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    superclass: torch.Tensor | None = None
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)
    source: str = ""

    def __post_init__(self) -> None:
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.ndim != 4 or images.dtype != torch.uint8:
                raise InputError(
                    f"{self.name}: {part} images must be (n, C, H, W) uint8, not {tuple(images.shape)} {images.dtype}"
                )
            if labels.shape != images.shape[:1] or labels.dtype != torch.int64:
                raise InputError(
                    f"{self.name}: {part} labels must be ({len(images)},) int64, not {tuple(labels.shape)} {labels.dtype}"
                )
            if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < self.num_classes:
                raise InputError(f"{self.name}: {part} labels must lie in [0, {self.num_classes})")
        if self.train_images.shape[1:] != self.test_images.shape[1:]:
            raise InputError(f"{self.name}: training and test images must have one shape")
        channels = self.train_images.shape[1]
        if len(self.class_names) != self.num_classes or len(self.mean) != channels or len(self.std) != channels:
            raise InputError(f"{self.name}: needs {self.num_classes} class names and {channels} means and deviations")

    @property
    def in_shape(self) -> tuple[int, int, int]:
        """Shape (C, H, W) of one image."""
        channels, height, width = self.train_images.shape[1:]
        return channels, height, width


@dataclass(frozen=True)
class DataStatus:
    """Whether a data set is there, and otherwise what to get and where to put it."""

    name: str
    ready: bool
    about: str
    where: Path | None = None
    get: str = ""
    size: str = ""


def channel_statistics(images: torch.Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation per channel of images / 255, in float64, from the histogram of the uint8 values."""
    levels = torch.arange(256, dtype=torch.float64) / 255
    mean, std = [], []
    for channel in range(images.shape[1]):
        counts = torch.bincount(images[:, channel].reshape(-1).long(), minlength=256).double()
        average = float((counts * levels).sum() / counts.sum())
        mean.append(average)
        std.append(max(float(((counts * (levels - average) ** 2).sum() / counts.sum()).sqrt()), 1e-6))
    return tuple(mean), tuple(std)
