"""Normalisation of images, as the papers do it, by name."""

from dataclasses import dataclass

import torch

from losslab.data.dataset import Dataset
from losslab.errors import InputError, near

# Constants that papers apply whatever the data set: mean and deviation per channel, of images / 255.
CONSTANTS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "mnist": ((0.1307,), (0.3081,)),  # L_DMI also uses these for Fashion-MNIST
    "fashion_mnist": ((0.2860,), (0.3530,)),
    "cifar10": ((0.49139968, 0.48215827, 0.44653124), (0.24703233, 0.24348505, 0.26158768)),
    "cifar100": ((0.5071, 0.4865, 0.4409), (0.2673, 0.2564, 0.2762)),
    "ldam": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),  # imbalanced CIFAR-10 and CIFAR-100
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),  # WebVision, Clothing1M; L_DMI on CIFAR-10
    # IMAE's code subtracts (125.3, 123.0, 113.9) in BGR order, the red mean from blue, and divides by nothing.
    "imae": ((113.9 / 255, 123.0 / 255, 125.3 / 255), (1 / 255, 1 / 255, 1 / 255)),
}
_ABOUT = ("none", "mean_std", "per_pixel")


def statistics_names() -> tuple[str, ...]:
    """Names that `statistics` knows."""
    return (*_ABOUT, *CONSTANTS)


@dataclass(frozen=True, eq=False)
class Stats:
    """``mean`` and ``std`` of images / 255, float32, of a shape that broadcasts against ``(C, H, W)``."""

    mean: torch.Tensor
    std: torch.Tensor

    def to(self, device: torch.device | str) -> "Stats":
        """The same on another device."""
        return Stats(self.mean.to(device), self.std.to(device))


def statistics(dataset: Dataset, name: str = "mean_std") -> Stats:
    """Normalisation statistics of a data set.

    ``none``: images / 255. ``mean_std``: minus the mean, over the deviation, per channel (``dataset.mean``, ``dataset.std``).
    ``per_pixel``: minus the mean training image, over nothing (GCE; SCE on CIFAR). Or a constant of `CONSTANTS` by its name.
    Raises InputError for an unknown name or a constant for another number of channels.
    """
    channels = dataset.in_shape[0]
    if name == "per_pixel":
        total = dataset.train_images.sum(dim=0, dtype=torch.int64).double()
        mean = (total / (255 * len(dataset.train_images))).float()
        return Stats(mean, torch.ones(channels, 1, 1))
    if name == "none":
        return Stats(torch.zeros(channels, 1, 1), torch.ones(channels, 1, 1))
    if name == "mean_std":
        values = (dataset.mean, dataset.std)
    elif name in CONSTANTS:
        values = CONSTANTS[name]
    else:
        raise InputError(near("normalisation", name, statistics_names()))
    if len(values[0]) != channels:
        raise InputError(f"normalisation {name!r} is for {len(values[0])} channels; {dataset.name} has {channels}")
    mean, std = (torch.tensor(v, dtype=torch.float32).reshape(-1, 1, 1) for v in values)
    return Stats(mean, std)


def standardise(images: torch.Tensor, stats: Stats) -> torch.Tensor:
    """(images - mean) / std; ``images`` ``(..., C, H, W)`` on any device: uint8 (divided by 255, float32 returned), or float in [0, 1]."""
    local = stats.to(images.device)
    if images.dtype == torch.uint8:
        return images.to(torch.float32).div_(255).sub_(local.mean).div_(local.std)
    if not images.is_floating_point():
        raise InputError(f"standardise takes uint8 images, or float ones in [0, 1], not {images.dtype}")
    return ((images - local.mean) / local.std).to(images.dtype)
