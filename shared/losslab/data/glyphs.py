"""Generated characters: 16x16 grey images of 10, 20 or 100 classes, under random warps, blur, clutter and noise.

The 100 classes are 20 super-classes of five look-alikes. Class ids follow the characters' code points, as the fine labels of
CIFAR-100 follow the alphabet, so that blocks of five ids are *not* the super-classes. Twenty further characters are held out
(``extra``) for open-set and verification tasks. Drawing uses no function whose last bit depends on the processor (no sine,
exponential or library reduction over floats), so the images are the same bytes on every machine.
"""

from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.data import cache
from losslab.data.dataset import Dataset, DataStatus, channel_statistics
from losslab.data.glyph_outlines import CANVAS, FONTS, masks
from losslab.errors import InputError
from losslab.seeding import generator

VERSION = "glyphs 1"  # change it with anything that changes an image
SIZE = 16

GROUPS: tuple[str, ...] = (
    "03689", "12457", "CDGOQ", "BEFPR", "HKMNW", "AVXYZ", "JLSTU", "abdeg", "hmnqr", "fijlt",
    "αβγδε", "ζηθλμ", "ξπστφ", "ΓΔΘΛΞ", "ΠΣΦΨΩ", "БЖИЙЮ", "ЦЧШЩЯ", "ДЪЫЬЭ", "<>≤≥≠", "←→↑↓↔",
)  # fmt: skip
HELD_OUT = "♠♥♦♣★%&#@$+×÷±=χψωυρ"


@dataclass(frozen=True)
class Look:
    """How much the images vary. Lengths are in pixels of the 64x64 canvas; deviations unless a range is meant."""

    scale: tuple[float, float] = (0.85, 1.15)
    rotation: float = 0.08  # tangent of half the angle, twice: nearly radians
    shear: float = 0.05  # every entry of the warp
    shift: float = 2.0
    background: float = 0.4  # from 0 to this
    contrast: tuple[float, float] = (0.5, 1.0)
    clutter: float = 0.4  # strength of a random bar, from 0 to this share of the contrast
    noise: float = 0.06


@dataclass(frozen=True)
class _Set:
    groups: tuple[str, ...]
    train: int
    test: int


_SETS: dict[str, _Set] = {
    "glyphs-10": _Set(GROUPS[:2], 128, 50),
    "glyphs-20": _Set(GROUPS[:4], 80, 30),
    "glyphs-100": _Set(GROUPS, 64, 20),
}


def _bell(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """Nearly normal numbers of variance 1: the sum of three uniform ones on [-1, 1], which is exact arithmetic."""
    a, b, c = (rng.random(shape, dtype=np.float32) for _ in range(3))
    return (a + b + c) * np.float32(2) - np.float32(3)


def _between(rng: np.random.Generator, n: int, low: float, high: float) -> NDArray[np.float32]:
    return np.float32(low) + rng.random(n, dtype=np.float32) * np.float32(high - low)


def _blurred(ink: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """The masks under three strengths of blur: binomial kernels of variance 1, 2 and 4 along both axes."""
    levels, done = [], 0
    for passes in (2, 4, 8):
        for axis in (-2, -1):
            for _ in range(passes - done):
                ink = (np.roll(ink, 1, axis) + ink * np.float32(2) + np.roll(ink, -1, axis)) * np.float32(0.25)
        done = passes
        levels.append(ink)
    return levels


def _warped(
    ink: NDArray[np.float32], which: NDArray[np.int64], look: Look, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Masks ``ink[which]`` (n, 64, 64) under random affine maps, reduced to 16x16: (n, 16, 16) in [0, 1]."""
    n = len(which)
    size = _between(rng, n, *look.scale)
    half = _bell(rng, n) * np.float32(look.rotation / 2)
    norm = (np.float32(1) + half * half) * size
    cos, sin = (np.float32(1) - half * half) / norm, np.float32(2) * half / norm
    a, b, c, d = _bell(rng, 4, n) * np.float32(look.shear)
    dx, dy = _bell(rng, 2, n) * np.float32(look.shift)
    m00, m01, m10, m11 = (
        cos * (1 + a) - sin * c,
        cos * b - sin * (1 + d),
        sin * (1 + a) + cos * c,
        sin * b + cos * (1 + d),
    )
    fine = 2 * SIZE
    place = ((np.arange(fine, dtype=np.float32) + np.float32(0.5)) / np.float32(fine) - np.float32(0.5)) * np.float32(
        CANVAS
    )
    u, v = place[None, None, :], place[None, :, None]
    middle, last = np.float32(CANVAS / 2 - 0.5), np.float32(CANVAS - 1.001)
    x = m00[:, None, None] * u + m01[:, None, None] * v + (middle + dx)[:, None, None]
    y = m10[:, None, None] * u + m11[:, None, None] * v + (middle + dy)[:, None, None]
    x, y = np.clip(x, np.float32(0), last), np.clip(y, np.float32(0), last)
    left, top = x.astype(np.int32), y.astype(np.int32)
    x, y = x - left, y - top
    flat = ink.reshape(-1)
    at = (which[:, None, None] * (CANVAS * CANVAS)).astype(np.int32) + top * CANVAS + left
    upper = flat[at] * (1 - x) + flat[at + 1] * x
    lower = flat[at + CANVAS] * (1 - x) + flat[at + CANVAS + 1] * x
    drawn = upper * (1 - y) + lower * y
    pairs = drawn[:, 0::2, 0::2] + drawn[:, 0::2, 1::2] + drawn[:, 1::2, 0::2] + drawn[:, 1::2, 1::2]
    return np.asarray(pairs * np.float32(0.25))


def _bars(n: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """One soft straight bar per image, at a random place and angle: (n, 16, 16) in [0, 1]."""
    direction = _bell(rng, 2, n)
    length = np.sqrt(direction[0] * direction[0] + direction[1] * direction[1]) + np.float32(1e-3)
    nx, ny = direction[0] / length, direction[1] / length
    offset = _between(rng, n, -7.5, 7.5)
    place = np.arange(SIZE, dtype=np.float32) - np.float32(SIZE / 2 - 0.5)
    far = np.abs(
        nx[:, None, None] * place[None, None, :] + ny[:, None, None] * place[None, :, None] - offset[:, None, None]
    )
    return np.clip(np.float32(1.25) - far, 0, 1)


@lru_cache(maxsize=2)
def _ink(characters: str) -> NDArray[np.float32]:
    """Blurred masks with an empty border, (blur, character, font) in the first axis: ``(n, 64, 64)``."""
    levels = np.stack(_blurred(masks(characters).reshape(-1, CANVAS, CANVAS)))
    levels[..., 0, :] = levels[..., -1, :] = levels[..., :, 0] = levels[..., :, -1] = 0
    return levels.reshape(-1, CANVAS, CANVAS)


def draw(characters: str, per_class: int, rng: np.random.Generator, look: Look) -> NDArray[np.uint8]:
    """Images ``(characters x per_class, 16, 16)`` uint8, class by class."""
    ink = _ink(characters)
    levels = len(ink) // (len(characters) * len(FONTS))
    images = []
    for c in range(len(characters)):
        font, blur = rng.integers(len(FONTS), size=per_class), rng.integers(levels, size=per_class)
        shape = _warped(ink, (blur * len(characters) + c) * len(FONTS) + font, look, rng)
        ground = _between(rng, per_class, 0, look.background)[:, None, None]
        contrast = _between(rng, per_class, *look.contrast)[:, None, None]
        bars = _bars(per_class, rng) * _between(rng, per_class, 0, look.clutter)[:, None, None]
        grey = ground + (1 - ground) * contrast * np.maximum(shape, bars)
        grey = grey + _bell(rng, per_class, SIZE, SIZE) * np.float32(look.noise)
        images.append(np.floor(np.clip(grey, 0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8))
    return np.concatenate(images)


def classes(name: str) -> tuple[str, tuple[int, ...]]:
    """The characters of a set in the order of their ids, and the super-class of each."""
    groups = _SETS[name].groups
    characters = "".join(sorted("".join(groups)))
    return characters, tuple(next(g for g, group in enumerate(groups) if c in group) for c in characters)


def load(
    name: str,
    root: Path,
    train_per_class: int | None = None,
    test_per_class: int | None = None,
    held_out_per_class: int = 40,
    seed: int = 0,
) -> Dataset:
    """A glyph set, ``(n, 1, 16, 16)`` uint8, class by class; drawn once, then read from ``root/cache``.

    Numbers of images per class: ``train_per_class`` and ``test_per_class`` (None: the set's own), ``held_out_per_class`` (of 20
    classes in ``extra``). ``seed`` names the drawing.
    """
    chosen = _SETS[name]
    sizes = {
        "train": chosen.train if train_per_class is None else train_per_class,
        "test": chosen.test if test_per_class is None else test_per_class,
        "held_out": held_out_per_class,
    }
    if any(not 1 <= size <= 10_000 for size in sizes.values()):
        raise InputError(f"images per class must lie in [1, 10000], got {sizes}")
    characters, superclass = classes(name)
    look = Look()

    def make() -> dict[str, torch.Tensor]:
        parts = {"train": characters, "test": characters, "held_out": HELD_OUT}
        return {
            part: torch.from_numpy(draw(text, sizes[part], generator(VERSION, name, part, seed), look))
            for part, text in parts.items()
        }

    images = cache.cached(
        root,
        name,
        {"version": VERSION, "characters": characters + HELD_OUT, "seed": seed, **sizes, **asdict(look)},
        make,
    )
    train = images["train"].unsqueeze(1)
    mean, std = channel_statistics(train)
    labels = {
        part: torch.arange(len(HELD_OUT) if part == "held_out" else len(characters)).repeat_interleave(size)
        for part, size in sizes.items()
    }
    return Dataset(
        name=name,
        train_images=train,
        train_labels=labels["train"],
        test_images=images["test"].unsqueeze(1),
        test_labels=labels["test"],
        num_classes=len(characters),
        class_names=tuple(characters),
        mean=mean,
        std=std,
        superclass=torch.tensor(superclass),
        extra={"held_out_images": images["held_out"].unsqueeze(1), "held_out_labels": labels["held_out"]},
        source=f"generated characters, 16x16, {len(characters)} classes, {sizes['train']} training and {sizes['test']} test images each",
    )


def status(name: str, root: Path) -> DataStatus:
    """Always ready: drawn on first use."""
    chosen = _SETS[name]
    count = 5 * len(chosen.groups)
    return DataStatus(
        name, True, f"generated characters, 16x16, {count} classes in {len(chosen.groups)} super-classes",
        where=root / "cache", size=f"{count * (chosen.train + chosen.test):,} images, drawn in seconds on first use",
    )  # fmt: skip
