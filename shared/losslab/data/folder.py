"""Any tree of images in memory: ``train/<class>/*`` and ``test/<class>/*`` (or ``val/<class>/*``), decoded once, then cached."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data import cache
from losslab.data.dataset import Dataset, channel_statistics
from losslab.errors import InputError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".ppm", ".pgm", ".tif", ".tiff"})
LIMIT = 16 * 2**30  # bytes in memory


def decode(path: Path, size: tuple[int, int] | None, grey: bool) -> NDArray[np.uint8]:
    """One image as (C, H, W) uint8; with ``size`` (height, width) resized (bilinear, antialiased). C is 1 or 3."""
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as opened:
            image = opened.convert("L" if grey else "RGB")
    except (UnidentifiedImageError, OSError) as error:
        raise InputError(f"{path} is not a readable image: {error}") from error
    if size is not None and image.size != (size[1], size[0]):
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    pixels = np.asarray(image, dtype=np.uint8)
    return pixels[None] if grey else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def check_size(size: Any) -> tuple[int, int] | None:
    """None, a side, or (height, width) as (height, width)."""
    pair = (size, size) if isinstance(size, int) and not isinstance(size, bool) else size
    if pair is None:
        return None
    if not isinstance(pair, Sequence) or len(pair) != 2 or not all(isinstance(s, int) and 1 <= s <= 4096 for s in pair):
        raise InputError(f"size must be a side or (height, width) in pixels, from 1 to 4096, not {size!r}")
    return pair[0], pair[1]


def decode_all(
    paths: Sequence[Path], size: tuple[int, int] | None, grey: bool = False, threads: int | None = None
) -> torch.Tensor:
    """Images ``(n, C, H, W)`` uint8, decoded by a pool of threads. Without ``size`` all must have the size of the first."""
    if not paths:
        return torch.zeros((0, 1 if grey else 3, *(size or (1, 1))), dtype=torch.uint8)
    first = decode(paths[0], size, grey)
    need = first.nbytes * len(paths)
    if need > LIMIT:
        raise InputError(
            f"{len(paths):,} images of {first.shape[1]}x{first.shape[2]} need {need / 2**30:.0f} GiB of memory, more than "
            f"{LIMIT // 2**30} GiB; give a smaller size=, or use losslab.data.gated.index and decode batch by batch"
        )
    result = np.empty((len(paths), *first.shape), dtype=np.uint8)

    def place(i: int) -> None:
        image = decode(paths[i], size, grey)
        if image.shape != first.shape:
            raise InputError(
                f"{paths[i]} is {image.shape[1]}x{image.shape[2]}, but {paths[0]} is {first.shape[1]}x{first.shape[2]}; "
                "give size= to resize all images"
            )
        result[i] = image

    with ThreadPoolExecutor(max_workers=threads) as pool:
        for _ in pool.map(place, range(len(paths)), chunksize=64):
            pass
    return torch.from_numpy(result)


def listing_digest(paths: Sequence[Path], base: Path) -> str:
    """SHA-256 (hex) over names, sizes and modification times: any change of the tree gives another digest."""
    total = hashlib.sha256()
    for path in paths:
        about = path.stat()
        total.update(f"{path.relative_to(base).as_posix()}\0{about.st_size}\0{about.st_mtime_ns}\n".encode())
    return total.hexdigest()


def _tree(folder: Path) -> dict[str, list[Path]]:
    """Image files of every class folder, sorted by name."""
    return {
        child.name: sorted(f for f in child.rglob("*") if f.suffix.lower() in SUFFIXES and f.is_file())
        for child in sorted(folder.iterdir())
        if child.is_dir() and not child.name.startswith(".")
    }


def _parts(path: Path) -> tuple[dict[str, list[Path]], dict[str, list[Path]]]:
    layout = f"{path}/train/<class>/<image> and {path}/test/<class>/<image> (or val/)"
    if not path.is_dir():
        raise InputError(f"no folder {path}; an image tree looks like {layout}")
    test_folder = next((path / part for part in ("test", "val") if (path / part).is_dir()), None)
    if not (path / "train").is_dir() or test_folder is None:
        raise InputError(f"{path} is not an image tree: it must hold {layout}")
    train, test = _tree(path / "train"), _tree(test_folder)
    if len(train) < 2 or not all(train.values()) or not any(test.values()):
        empty = next((name for name, files in train.items() if not files), None)
        raise InputError(
            f"{path}: "
            + (f"class {empty!r} has no training image" if empty else f"needs images of two classes: {layout}")
        )
    if strange := sorted(set(test) - set(train)):
        raise InputError(f"{test_folder} has classes that {path / 'train'} lacks: {', '.join(strange[:5])}")
    return train, test


def load(path: Path, root: Path, size: Any = None, grey: bool = False, superclass: Any = None) -> Dataset:
    """An image tree in memory; class ids follow the sorted folder names.

    ``size``: a side or (height, width) to resize to (bilinear, antialiased); None: all images must have one size. ``grey``: one
    channel instead of three. ``superclass``: one id per class. The decoded images are kept in ``root/cache``, keyed by the
    names, sizes and times of the files.
    """
    shape = check_size(size)
    train, test = _parts(path)
    names = tuple(train)
    files = {
        "train": [(f, i) for i, name in enumerate(names) for f in train[name]],
        "test": [(f, i) for i, name in enumerate(names) for f in test.get(name, [])],
    }

    def make() -> dict[str, torch.Tensor]:
        return {part: decode_all([f for f, _ in entries], shape, grey) for part, entries in files.items()}

    listing = listing_digest([f for entries in files.values() for f, _ in entries], path)
    images = cache.cached(
        root, f"imagefolder-{path.resolve().name}", {"version": 1, "files": listing, "size": shape, "grey": grey}, make
    )
    labels = {part: torch.tensor([i for _, i in entries], dtype=torch.int64) for part, entries in files.items()}
    mean, std = channel_statistics(images["train"])
    groups = None if superclass is None else torch.as_tensor(superclass, dtype=torch.int64)
    if groups is not None and groups.shape != (len(names),):
        raise InputError(f"superclass must hold one id for each of the {len(names)} classes")
    least = min(Counter(labels["train"].tolist()).values())
    return Dataset(
        name=f"imagefolder:{path.resolve().name}",
        train_images=images["train"],
        train_labels=labels["train"],
        test_images=images["test"],
        test_labels=labels["test"],
        num_classes=len(names),
        class_names=names,
        mean=mean,
        std=std,
        superclass=groups,
        source=f"image tree {path.resolve().name}: {len(names)} classes, at least {least} training images each",
    )
