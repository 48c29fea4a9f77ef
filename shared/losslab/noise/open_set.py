"""Open-set noise: some training images are replaced by images of classes that are none of the known ones."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.errors import InputError
from losslab.noise._checks import check_rate, to_labels
from losslab.seeding import generator


def open_set_indices(labels: Any, rate: float, seed: int) -> NDArray[np.int64]:
    """Which samples get a stranger's image: floor(rate x class size) of every class, ascending int64 indices.

    The labels stay as they are (Wang et al. 2018; Zhang & Sabuncu 2018). The same seed at a lower rate gives a subset.
    """
    r, values = check_rate(rate), to_labels(labels, None)
    keys = generator("noise", "open_set", "indices", seed).random(len(values))
    chosen = []
    for c in np.unique(values):
        members = np.flatnonzero(values == c)
        count = int(np.floor(r * len(members) + 1e-9))
        chosen.append(members[np.argsort(keys[members], kind="stable")[:count]])
    return np.sort(np.concatenate(chosen)).astype(np.int64) if chosen else np.zeros(0, dtype=np.int64)


def open_set(
    images: torch.Tensor, labels: Any, strangers: torch.Tensor, rate: float, seed: int
) -> tuple[torch.Tensor, NDArray[np.int64]]:
    """Images with strangers among them, and the indices that were replaced.

    ``images`` (n, C, H, W) and ``strangers`` (m, C, H, W) of one dtype; a new tensor is returned. Strangers are drawn without
    replacement; InputError if there are too few, or if the shapes differ.
    """
    if images.shape[1:] != strangers.shape[1:] or images.dtype != strangers.dtype:
        raise InputError(
            f"strangers must be like the images, {tuple(images.shape[1:])} {images.dtype}; "
            f"got {tuple(strangers.shape[1:])} {strangers.dtype}"
        )
    if len(images) != len(labels):
        raise InputError(f"there are {len(labels)} labels for {len(images)} images")
    replaced = open_set_indices(labels, rate, seed)
    if len(replaced) > len(strangers):
        raise InputError(
            f"open-set noise at rate {rate} needs {len(replaced)} images of other classes, got {len(strangers)}"
        )
    picks = generator("noise", "open_set", "strangers", seed).permutation(len(strangers))[: len(replaced)]
    mixed = images.clone()
    mixed[torch.from_numpy(replaced)] = strangers[torch.from_numpy(picks)]
    return mixed, replaced
