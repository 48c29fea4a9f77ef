"""What a run trains on: samples, given labels, true labels, validation split, test set.

The images of a cohort lie once in memory (the *pool*); each run holds row numbers into it, so that noise, splits, imbalance and foreign images
(open-set noise) cost a run a few integers per sample.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losslab import data, noise
from losslab.data import Dataset
from losslab.errors import InputError
from losslab.runs.spec import DataPart, NoisePart, Run
from losslab.seeding import generator

FOREIGN = -1  # true label of an image that belongs to no class (open-set noise)
FLOAT_POOL_BYTES = 512 * 2**20  # a standardised pool up to this size is kept as float32, a larger one as bytes


@dataclass(frozen=True)
class RunData:
    """One run's samples as rows of the pool. Integer arrays: rows, given, true ``(n,)``; the same for the validation part ``(v,)``."""

    rows: np.ndarray
    given: np.ndarray
    true: np.ndarray
    val_rows: np.ndarray
    val_given: np.ndarray
    val_true: np.ndarray

    def digests(self) -> dict[str, str]:
        """SHA-256 over the split and over the given labels."""
        split = hashlib.sha256(self.rows.tobytes() + b"|" + self.val_rows.tobytes())
        labels = hashlib.sha256(self.given.tobytes() + b"|" + self.val_given.tobytes())
        return {"split": split.hexdigest(), "labels": labels.hexdigest()}


@lru_cache(maxsize=8)
def load_dataset(name: str, options: tuple[tuple[str, object], ...], root: str | None) -> Dataset:
    """A data set, loaded once per process. Raises InputError for an unknown name or missing files."""
    return data.load(name, Path(root) if root else None, **dict(options))


def dataset_of(part: DataPart, root: str | None) -> Dataset:
    """The data set of a run's data part."""
    return load_dataset(part.name, tuple(sorted(part.options.items())), root)


def _kept(dataset: Dataset, part: DataPart) -> np.ndarray:
    """Training samples that the imbalance leaves, as indices."""
    labels = dataset.train_labels.numpy()
    if part.imbalance == "none":
        return np.arange(len(labels))
    counts = np.bincount(labels, minlength=dataset.num_classes)
    wanted = {"long_tailed": noise.imbalance.long_tailed, "step": noise.imbalance.step}[part.imbalance](
        counts, part.imbalance_ratio
    )
    return np.sort(noise.imbalance.subsample(labels, wanted, part.split_seed))


def _validation(labels: np.ndarray, part: DataPart, num_classes: int) -> np.ndarray:
    """Mask of the held-out samples: the same share of every class (of the true labels), drawn from the split's own stream."""
    held = np.zeros(len(labels), dtype=bool)
    if part.validation == 0:
        return held
    draw = generator("split", part.name, part.split_seed)
    for k in range(num_classes):
        members = np.flatnonzero(labels == k)
        held[draw.permutation(members)[: round(part.validation * len(members))]] = True
    if held.all() or not held.any():
        raise InputError(
            f"data.validation {part.validation} leaves no training or no validation samples of {len(labels)}"
        )
    return held


def noise_options(dataset: Dataset, part: NoisePart) -> dict[str, Any]:
    """A noise part's further options. Kinds that go by super-classes take the data set's own ones unless told otherwise."""
    options: dict[str, Any] = dict(part.options)
    if part.kind.startswith("superclass") and options.get("superclass", "real") == "real":
        if dataset.superclass is None:
            raise InputError(
                f"noise option superclass 'real' needs a data set with super-classes; {dataset.name} has none"
            )
        options["superclass"] = dataset.superclass.numpy()
    return options


def given_labels(
    dataset: Dataset, kept: np.ndarray, part: NoisePart, seed: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pool rows, given labels and true labels of the kept samples under a run's noise, each ``(n,)``."""
    labels = dataset.train_labels.numpy()[kept]
    seed = seed if part.seed is None else part.seed
    if part.kind == "open_set":
        strangers = dataset.extra.get("held_out_images")
        if strangers is None:
            raise InputError(f"noise kind 'open_set' needs a data set with held-out images; {dataset.name} has none")
        replaced = noise.open_set_indices(labels, part.rate, seed)
        rows, true = kept.copy(), labels.copy()
        draw = generator("noise", "open_set", "images", seed)
        few = len(replaced) > len(strangers)
        rows[replaced] = len(dataset.train_labels) + draw.choice(len(strangers), len(replaced), replace=few)
        true[replaced] = FOREIGN
        return rows, labels, true
    options = noise_options(dataset, part)
    if part.kind == "instance":
        options["features"] = dataset.train_images[torch.from_numpy(kept)].numpy()  # type: ignore[assignment]
    if part.kind == "human":
        name = str(options.pop("labels", "human_labels"))
        if name not in dataset.extra:
            raise InputError(f"noise kind 'human' needs label set {name!r}; {dataset.name} has {sorted(dataset.extra)}")
        options["human"] = dataset.extra[name].numpy()[kept]  # type: ignore[assignment]
    given = noise.corrupt(
        labels,
        part.kind,
        part.rate,
        seed,
        num_classes=dataset.num_classes,
        flip_map=part.flip_map,
        draw=part.draw,
        **options,
    )
    return kept, given, labels


def prepare(run: Run, root: str | None) -> tuple[Dataset, RunData]:
    """Data set and samples of a run. Raises InputError."""
    dataset = dataset_of(run.data, root)
    kept = _kept(dataset, run.data)
    rows, given, true = given_labels(dataset, kept, run.noise, run.seed)
    held = _validation(dataset.train_labels.numpy()[kept], run.data, dataset.num_classes)
    parts = [array[~held].astype(np.int64) for array in (rows, given, true)] + [
        array[held].astype(np.int64) for array in (rows, given, true)
    ]
    return dataset, RunData(*parts)


class Pixels:
    """Standardised images on the device: ``take(rows)`` with rows of any shape gives ``(*rows.shape, C, H, W)``."""

    def __init__(self, images: Tensor, shift: Tensor, scale: Tensor, device: torch.device, dtype: torch.dtype) -> None:
        # Outside an image lies black; with a mean image the padding comes after the subtraction and is zero.
        per_channel = shift.numel() == shift.shape[0]
        self.black = (-shift * scale if per_channel else torch.zeros(shift.shape[0])).reshape(-1).to(device, dtype)
        self.shift, self.scale, self.dtype = shift.to(device, dtype), scale.to(device, dtype), dtype
        self.images = images.to(device)
        if images.numel() * 4 <= FLOAT_POOL_BYTES:
            self.images = self._standardise(self.images).contiguous()

    def _standardise(self, images: Tensor) -> Tensor:
        return (images.to(self.dtype) - self.shift) * self.scale

    def take(self, rows: Tensor) -> Tensor:
        """Images at ``rows``, standardised."""
        chosen = self.images.index_select(0, rows.reshape(-1)).unflatten(0, rows.shape)
        return chosen if chosen.dtype == self.dtype else self._standardise(chosen)

    def slice(self, start: int, stop: int) -> Tensor:
        """Images ``start`` to ``stop``, standardised."""
        chosen = self.images[start:stop]
        return chosen if chosen.dtype == self.dtype else self._standardise(chosen)

    def __len__(self) -> int:
        return len(self.images)


def pixels(dataset: Dataset, part: DataPart, device: torch.device, dtype: torch.dtype) -> tuple[Pixels, Pixels]:
    """Pool (training images, then held-out ones) and test images of a data set, normalised by the part's ``statistics``."""
    extra = dataset.extra.get("held_out_images")
    pool = dataset.train_images if extra is None else torch.cat([dataset.train_images, extra])
    stats = data.statistics(dataset, part.statistics)
    shift, scale = stats.mean.double() * 255, 1 / (stats.std.double() * 255)
    return Pixels(pool, shift, scale, device, dtype), Pixels(dataset.test_images, shift, scale, device, dtype)
