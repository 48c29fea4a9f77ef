"""scikit-learn's handwritten digits: 1,797 real 8x8 images, no download."""

import importlib.util
from pathlib import Path

import numpy as np
import torch

from losslab.data.dataset import Dataset, DataStatus, channel_statistics
from losslab.errors import InputError
from losslab.seeding import generator

TRAIN_SIZE = 1280


def stratified(labels: np.ndarray, train_size: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices (ascending) of a random training part of ``train_size`` samples with every class's share kept, and the rest."""
    values, sizes = np.unique(labels, return_counts=True)
    quota = sizes * train_size / len(labels)
    counts = np.floor(quota).astype(np.int64)
    counts[np.argsort(counts - quota, kind="stable")[: train_size - counts.sum()]] += 1
    keys = generator("data", "stratified split", seed).random(len(labels))
    train = np.zeros(len(labels), dtype=bool)
    for value, count in zip(values, counts, strict=True):
        members = np.flatnonzero(labels == value)
        train[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return np.flatnonzero(train), np.flatnonzero(~train)


def _digits() -> tuple[np.ndarray, np.ndarray]:
    """Pixels ``(1797, 64)`` in 0 to 16 and labels: the file that scikit-learn carries, without the seconds that importing it takes."""
    spec = importlib.util.find_spec("sklearn")
    if spec is None or not spec.submodule_search_locations:
        raise InputError("the data set 'digits' is part of scikit-learn, which is not installed")
    values = np.loadtxt(
        Path(spec.submodule_search_locations[0]) / "datasets/data/digits.csv.gz", delimiter=",", dtype=np.uint8
    )
    return values[:, :-1], values[:, -1]


def load(root: Path, split_seed: int = 0) -> Dataset:
    """1,280 training and 517 test images, ``(n, 1, 8, 8)`` uint8; ``split_seed`` names the stratified split."""
    if split_seed < 0:
        raise InputError(f"split_seed must be at least 0, not {split_seed}")
    pixels, labels = _digits()
    images = np.round(np.asarray(pixels) * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    train, test = stratified(np.asarray(labels), TRAIN_SIZE, split_seed)
    targets = torch.from_numpy(np.asarray(labels).astype(np.int64))
    all_images = torch.from_numpy(images)
    mean, std = channel_statistics(all_images[train])
    return Dataset(
        name="digits",
        train_images=all_images[train].contiguous(),
        train_labels=targets[train].contiguous(),
        test_images=all_images[test].contiguous(),
        test_labels=targets[test].contiguous(),
        num_classes=10,
        class_names=tuple(str(i) for i in range(10)),
        mean=mean,
        std=std,
        source="scikit-learn digits, 8x8, 1,280 training and 517 test images",
    )


def status(root: Path) -> DataStatus:
    """Always ready."""
    return DataStatus(
        "digits", True, "scikit-learn's 1,797 digits, 8x8, 10 classes", size="in the package scikit-learn"
    )
