"""Points in the plane for toy figures, held like images: ``(n, 2, 1, 1)`` uint8, so that every model and loss takes them."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data.dataset import Dataset, DataStatus, channel_statistics
from losslab.errors import InputError
from losslab.seeding import generator

_ABOUT = {"toy-blobs": "round clouds of points in the plane", "toy-circle": "a disc inside a ring, two classes"}


def _blobs(
    n: int, num_classes: int, spread: float, rng: np.random.Generator
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    labels = np.arange(n) % num_classes
    angle = 2 * np.pi * np.arange(num_classes) / num_classes
    centres = 0.6 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return centres[labels] + spread * rng.standard_normal((n, 2)), labels


def _circle(n: int, spread: float, rng: np.random.Generator) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    labels = np.arange(n) % 2
    radius = np.where(labels == 0, 0.4 * np.sqrt(rng.random(n)), 0.7) + spread * rng.standard_normal(n)
    angle = 2 * np.pi * rng.random(n)
    return radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1), labels


def load(
    name: str,
    root: Path,
    train: int = 512,
    test: int = 1024,
    num_classes: int = 4,
    spread: float | None = None,
    seed: int = 0,
) -> Dataset:
    """Points in [-1, 1]^2 as two channels of a 1x1 image, value = 255 (x + 1) / 2.

    ``toy-blobs``: ``num_classes`` clouds on a circle of radius 0.6; ``spread``: their deviation, 0.12 if None. ``toy-circle``:
    two classes, whatever ``num_classes``; ``spread``: deviation of the radius, 0.05 if None.
    """
    if train < num_classes or test < num_classes or not 2 <= num_classes <= 64:
        raise InputError(
            f"toy sets need 2 to 64 classes and a point of each: got {num_classes} classes, {train} and {test} points"
        )
    parts = {}
    for part, n in (("train", train), ("test", test)):
        rng = generator("data", name, part, seed)
        if name == "toy-blobs":
            points, labels = _blobs(n, num_classes, 0.12 if spread is None else spread, rng)
        else:
            points, labels = _circle(n, 0.05 if spread is None else spread, rng)
        grey = np.round((np.clip(points, -1, 1) + 1) * 127.5).astype(np.uint8)
        parts[part] = (torch.from_numpy(grey).reshape(n, 2, 1, 1), torch.from_numpy(labels.astype(np.int64)))
    count = num_classes if name == "toy-blobs" else 2
    mean, std = channel_statistics(parts["train"][0])
    return Dataset(
        name=name,
        train_images=parts["train"][0],
        train_labels=parts["train"][1],
        test_images=parts["test"][0],
        test_labels=parts["test"][1],
        num_classes=count,
        class_names=tuple(f"class {i}" for i in range(count)),
        mean=mean,
        std=std,
        source=f"generated: {_ABOUT[name]}",
    )


def points(images: torch.Tensor) -> torch.Tensor:
    """The coordinates ``(n, 2)`` float32 in [-1, 1] of a toy set's images."""
    return images.reshape(len(images), 2).float() / 127.5 - 1


def status(name: str, root: Path) -> DataStatus:
    """Always ready."""
    return DataStatus(name, True, f"generated: {_ABOUT[name]}", size="drawn at once")
