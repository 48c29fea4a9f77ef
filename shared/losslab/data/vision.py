"""MNIST, Fashion-MNIST, CIFAR-10 and CIFAR-100 through torchvision (its checksummed download), and CIFAR-N's human labels."""

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from losslab.data.dataset import Dataset, DataStatus
from losslab.data.normalisation import CONSTANTS
from losslab.errors import InputError, near
from losslab.noise.flips import CIFAR100_SUPERCLASS
from losslab.noise.human import COLUMNS, read_human_labels


class _Set(NamedTuple):
    title: str
    torchvision: str  # class name
    folder: str  # where torchvision looks, below the root
    size: str
    about: str
    human: str = ""  # file of human labels, if any


_SETS: dict[str, _Set] = {
    "mnist": _Set("MNIST", "MNIST", "MNIST/raw", "12 MB", "handwritten digits, 28x28, 10 classes, 60,000 + 10,000 images"),
    "fashion_mnist": _Set("Fashion-MNIST", "FashionMNIST", "FashionMNIST/raw", "31 MB", "clothes, 28x28, 10 classes, 60,000 + 10,000 images"),
    "cifar10": _Set("CIFAR-10", "CIFAR10", "cifar-10-batches-py", "170 MB", "photographs, 32x32, 10 classes, 50,000 + 10,000 images"),
    "cifar100": _Set("CIFAR-100", "CIFAR100", "cifar-100-python", "169 MB", "photographs, 32x32, 100 classes, 50,000 + 10,000 images"),
    "cifar10n": _Set("CIFAR-10N", "CIFAR10", "cifar-10-batches-py", "170 MB + 2 MB", "CIFAR-10 with labels that people gave", "CIFAR-10_human.pt"),
    "cifar100n": _Set("CIFAR-100N", "CIFAR100", "cifar-100-python", "169 MB + 2 MB", "CIFAR-100 with labels that people gave", "CIFAR-100_human.pt"),
}  # fmt: skip
_CALL = "losslab.data.load({name!r}, download=True) fetches it with a checksum"
_HUMAN = "{file} from noisylabels.com (github.com/UCSC-REAL/cifar-10-100n, folder data)"


def _base(name: str) -> str:
    return {"cifar10n": "cifar10", "cifar100n": "cifar100"}.get(name, name)


def _images(values: Any) -> torch.Tensor:
    """(n, C, H, W) uint8 of torchvision's ``data``: (n, H, W) tensors or (n, H, W, 3) arrays."""
    tensor = values if isinstance(values, torch.Tensor) else torch.from_numpy(np.asarray(values))
    return tensor.unsqueeze(1).contiguous() if tensor.ndim == 3 else tensor.permute(0, 3, 1, 2).contiguous()


def load(
    name: str,
    root: Path,
    download: bool = False,
    human_file: str | Path | None = None,
    held_out: str | None = None,
) -> Dataset:
    """A torchvision set, read from ``root``; ``download=True`` fetches what is missing.

    ``cifar10n`` and ``cifar100n`` add the human labels of ``human_file`` (``root/CIFAR-10_human.pt`` by default; .pt, or a .csv
    with the same column names) to ``extra`` as ``human_<column>``, for example ``human_worse_label``.

    ``held_out`` names another of these sets, with images of the same shape and other classes; its training images become
    ``extra["held_out_images"]`` for open-set noise (CIFAR-10 with CIFAR-100's images, Wang et al. 2018).
    """
    from torchvision import datasets

    chosen = _SETS[name]
    if human_file is not None and not chosen.human:
        raise InputError(f"human_file is for cifar10n and cifar100n, not {name!r}")
    factory = getattr(datasets, chosen.torchvision)
    try:
        train, test = (factory(root, train=part, download=download) for part in (True, False))
    except RuntimeError as error:
        if download:
            raise InputError(f"{chosen.title} could not be fetched into {root}: {error}") from error
        raise InputError(
            f"{chosen.title} is not complete in {root / chosen.folder}. {_CALL.format(name=name)} ({chosen.size}); "
            f"or put torchvision's files there and set LOSSLAB_DATA to {root}"
        ) from error
    mean, std = CONSTANTS[_base(name)]
    classes = 100 if "100" in name else 10
    extra: dict[str, torch.Tensor] = {}
    if held_out is not None:
        if held_out not in _SETS or held_out == name:
            raise InputError(near("held_out", held_out, [other for other in _SETS if other != name]))
        strangers = load(held_out, root, download)
        extra = {"held_out_images": strangers.train_images, "held_out_labels": strangers.train_labels}
    train_labels, test_labels = (torch.as_tensor(part.targets, dtype=torch.int64) for part in (train, test))
    return Dataset(
        name=name,
        train_images=_images(train.data),
        train_labels=train_labels,
        test_images=_images(test.data),
        test_labels=test_labels,
        num_classes=classes,
        class_names=tuple(str(c) for c in train.classes),
        mean=mean,
        std=std,
        superclass=torch.tensor(CIFAR100_SUPERCLASS) if classes == 100 else None,
        extra=extra | (_human_labels(name, root, human_file, train_labels) if chosen.human else {}),
        source=chosen.title,
    )


def _human_labels(name: str, root: Path, human_file: str | Path | None, clean: torch.Tensor) -> dict[str, torch.Tensor]:
    path = Path(human_file) if human_file is not None else root / _SETS[name].human
    found = {}
    for column in ("clean_label", *COLUMNS[name]):
        labels = torch.from_numpy(read_human_labels(path, column))
        if labels.shape != clean.shape:
            raise InputError(f"column {column!r} of {path} holds {len(labels)} labels for {len(clean)} images")
        found[column] = labels
    if not torch.equal(found.pop("clean_label"), clean):
        raise InputError(
            f"clean_label of {path} differs from the labels of {_base(name)}: the images are in another order"
        )
    return {f"human_{column}": labels for column, labels in found.items()}


def status(name: str, root: Path) -> DataStatus:
    """Ready if torchvision's folder is there (its files are checked when they are read)."""
    chosen = _SETS[name]
    images = (root / chosen.folder).is_dir()
    human = not chosen.human or (root / chosen.human).is_file()
    get = [] if images else [_CALL.format(name=_base(name))]
    if not human:
        get.append(_HUMAN.format(file=chosen.human))
    where = root / (chosen.folder if not images or human else chosen.human)
    return DataStatus(name, images and human, chosen.about, where, "; and ".join(get), chosen.size)
