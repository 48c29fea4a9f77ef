"""Digits, glyphs, toy sets: shapes, splits, byte-identical generation."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from losslab import data
from losslab.data import glyph_outlines, glyphs, toy
from losslab.errors import InputError


def sha(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()[:16]


def test_digits(tmp_path: Path) -> None:
    digits = data.load("digits", tmp_path)
    assert digits.in_shape == (1, 8, 8)
    assert (len(digits.train_images), len(digits.test_images)) == (1280, 517)
    shares = digits.train_labels.bincount() / torch.cat([digits.train_labels, digits.test_labels]).bincount()
    assert (shares - 1280 / 1797).abs().max() < 0.006
    pixels = load_digits().images
    everything = torch.cat([digits.train_images, digits.test_images]).view(-1, 64).numpy()
    ours = sorted(row.tobytes() for row in everything)
    theirs = sorted(row.tobytes() for row in np.round(pixels.reshape(-1, 64) * 255 / 16).astype(np.uint8))
    assert ours == theirs
    assert sha(digits.train_labels) == "b0c38cd759bc23b6"
    other = data.load("digits", tmp_path, split_seed=1)
    assert not torch.equal(other.train_labels, digits.train_labels)


@pytest.mark.parametrize(
    ("name", "classes", "train", "test", "expected"),
    [
        ("glyphs-10", 10, 1280, 500, "a26a913374aba3f1"),
        ("glyphs-20", 20, 1600, 600, "46daee2be035cd5e"),
        ("glyphs-100", 100, 6400, 2000, "e4bc8f5d837e0899"),
    ],
)
def test_glyphs(tmp_path: Path, name: str, classes: int, train: int, test: int, expected: str) -> None:
    drawn = data.load(name, tmp_path)
    assert drawn.num_classes == classes and drawn.in_shape == (1, 16, 16)
    assert (len(drawn.train_images), len(drawn.test_images)) == (train, test)
    assert drawn.train_labels.bincount().unique().numel() == drawn.test_labels.bincount().unique().numel() == 1
    assert drawn.superclass is not None and drawn.superclass.bincount().tolist() == [5] * (classes // 5)
    assert len(drawn.extra["held_out_images"]) == len(drawn.extra["held_out_labels"]) == 800
    assert sha(drawn.train_images) == expected
    again = data.load(name, tmp_path)  # from the cache
    assert torch.equal(again.train_images, drawn.train_images)
    assert torch.equal(again.extra["held_out_images"], drawn.extra["held_out_images"])


def test_glyph_classes() -> None:
    everything = "".join(glyphs.GROUPS) + glyphs.HELD_OUT
    assert len(set(everything)) == len(everything) == 120
    characters, superclass = glyphs.classes("glyphs-100")
    assert list(characters) == sorted(characters) and characters.startswith("0123456789")
    assert superclass[:10] == (0, 1, 1, 0, 1, 1, 0, 1, 0, 0)
    blocks = np.arange(100) // 5
    same = np.equal.outer(superclass, superclass) != np.equal.outer(blocks, blocks)
    assert same.any()  # blocks of ids are not the super-classes


def test_glyph_options(tmp_path: Path) -> None:
    small = data.load("glyphs-10", tmp_path, train_per_class=3, test_per_class=2, held_out_per_class=1, seed=4)
    assert (len(small.train_images), len(small.test_images), len(small.extra["held_out_images"])) == (30, 20, 20)
    other = data.load("glyphs-10", tmp_path, train_per_class=3, test_per_class=2, held_out_per_class=1, seed=5)
    assert not torch.equal(small.train_images, other.train_images)
    assert len(list((tmp_path / "cache").iterdir())) == 2
    with pytest.raises(InputError, match="images per class"):
        data.load("glyphs-10", tmp_path, train_per_class=0)


def test_damaged_cache_is_made_again(tmp_path: Path) -> None:
    options = {"train_per_class": 1, "test_per_class": 1, "held_out_per_class": 1}
    good = data.load("glyphs-10", tmp_path, **options)
    (file,) = (tmp_path / "cache").iterdir()
    content = bytearray(file.read_bytes())
    for damaged in (content[:-1] + bytes([content[-1] ^ 1]), content[: len(content) // 2], b""):
        file.write_bytes(bytes(damaged))
        with pytest.warns(UserWarning, match="making it again"):
            again = data.load("glyphs-10", tmp_path, **options)
        assert torch.equal(good.train_images, again.train_images)
        assert file.read_bytes() == bytes(content)


def test_unwritable_root_still_works(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    with pytest.warns(UserWarning, match="cannot be written"):
        drawn = data.load("glyphs-10", tmp_path, train_per_class=1, test_per_class=1, held_out_per_class=1)
    assert len(drawn.train_images) == 10


def test_fill() -> None:
    """A square and a ring, whose areas are known."""
    square = np.array([[2.0, 2], [6, 2], [6, 5], [2, 5]])
    ink = glyph_outlines.fill([square], 8)
    assert ink.sum() == 12 and ink[3:6, 2:6].min() == 1  # row 0 is the top
    hole = np.array([[3.0, 3], [3, 4], [4, 4], [4, 3]])  # the other way round
    assert glyph_outlines.fill([square, hole], 8).sum() == 11
    half = glyph_outlines.fill([np.array([[0.0, 0], [8, 0], [8, 8]])], 8)
    assert half.sum() == pytest.approx(32, abs=1)


@pytest.mark.parametrize("character", "R8Ж≤")
def test_masks_agree_with_matplotlibs_rasteriser(character: str) -> None:
    from matplotlib import ft2font, get_data_path

    ours = glyph_outlines.masks(character, ("DejaVuSans",))[0, 0]
    font = ft2font.FT2Font(str(Path(get_data_path()) / "fonts/ttf/DejaVuSans.ttf"))
    font.set_size(glyph_outlines.EM, 72)
    font.set_text(character, flags=ft2font.LoadFlags.NO_HINTING if hasattr(ft2font, "LoadFlags") else 2)
    font.draw_glyphs_to_bitmap()
    theirs = np.asarray(font.get_image()) / 255
    assert ours.sum() == pytest.approx(theirs.sum(), rel=0.02)
    rows, columns = np.flatnonzero(ours.any(1)), np.flatnonzero(ours.any(0))
    inked = np.flatnonzero(theirs.any(1)), np.flatnonzero(theirs.any(0))
    assert abs(np.ptp(rows) - np.ptp(inked[0])) <= 1 and abs(np.ptp(columns) - np.ptp(inked[1])) <= 1


def test_toy(tmp_path: Path) -> None:
    blobs = data.load("toy-blobs", tmp_path, num_classes=3, spread=0.01)
    assert blobs.in_shape == (2, 1, 1) and blobs.num_classes == 3
    points = toy.points(blobs.train_images)
    centres = torch.stack([points[blobs.train_labels == i].mean(0) for i in range(3)])
    assert torch.allclose(centres.norm(dim=1), torch.full((3,), 0.6), atol=0.01)
    circle = data.load("toy-circle", tmp_path)
    radius = toy.points(circle.train_images).norm(dim=1)
    assert radius[circle.train_labels == 1].mean() > radius[circle.train_labels == 0].mean() + 0.3
    with pytest.raises(InputError, match="2 to 64 classes"):
        data.load("toy-blobs", tmp_path, num_classes=1)


def test_two_classes_out_of_ten() -> None:
    """The chosen ids become class 0, all the others class 1; the images stay."""
    whole, pair = data.load("digits"), data.load("digits", two_classes=(3, 8))
    assert pair.num_classes == 2
    assert torch.equal(pair.train_images, whole.train_images)
    chosen = (whole.train_labels == 3) | (whole.train_labels == 8)
    assert torch.equal(pair.train_labels, (~chosen).long())
    assert pair.class_names == ("3 8", "the rest")
    with pytest.raises(InputError, match="two_classes"):
        data.load("digits", two_classes=(10,))
