"""Gated sets: tiny trees in the layouts in which the real ones are distributed."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from losslab import data
from losslab.data import gated
from losslab.errors import InputError


def image(path: Path, level: int, size: tuple[int, int] = (12, 10)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)
    return str(path)


def test_webvision(tmp_path: Path) -> None:
    base = tmp_path / "webvision"
    train = [("google/q0001/a.jpg", 0), ("google/q0002/b c.jpg", 1), ("google/q0003/d.jpg", 700)]
    val = [("val1.jpg", 1), ("val2.jpg", 999)]
    for i, (file, _) in enumerate(train):
        image(base / file, 10 * i)
    for file, _ in val:
        image(base / "val_images_256" / file, 50)
    for i, synset in enumerate(("n01", "n02")):
        image(base / "ilsvrc12" / "val" / synset / "x.JPEG", 90 + i)
    (base / "info").mkdir()
    (base / "info" / "train_filelist_google.txt").write_text("".join(f"{f} {c}\n" for f, c in train))
    (base / "info" / "val_filelist.txt").write_text("".join(f"{f} {c}\n" for f, c in val))
    (base / "info" / "synsets.txt").write_text("n01 tench, Tinca tinca\nn02 goldfish\n" + "n03 x\n" * 998)
    index = gated.index("webvision-mini", tmp_path)
    assert index.num_classes == 50 and index.class_names[:2] == ("tench", "goldfish")
    assert [f.name for f in index.splits["train"].files] == ["a.jpg", "b c.jpg"]
    assert index.splits["test"].labels.tolist() == [1] and index.splits["ilsvrc12"].labels.tolist() == [0, 1]
    loaded = data.load("webvision-mini", tmp_path, size=8)
    assert loaded.train_images.shape == (2, 3, 8, 8) and loaded.extra["ilsvrc12_labels"].tolist() == [0, 1]
    assert loaded.train_images[1].float().mean() == pytest.approx(10, abs=2)
    (base / "val_images_256" / "val1.jpg").unlink()
    with pytest.raises(InputError, match=r"val1.jpg is missing. Get info.tar"):
        gated.index("webvision-mini", tmp_path)


@pytest.mark.parametrize("lists", ["", "annotations"])
def test_clothing1m(tmp_path: Path, lists: str) -> None:
    base, notes = tmp_path / "clothing1m", tmp_path / "clothing1m" / lists
    keys = {
        part: f"images/{i}/0{i}/{part},{i}.jpg"
        for i, part in enumerate(("noisy_train", "clean_train", "clean_val", "clean_test"))
    }
    for i, file in enumerate(keys.values()):
        image(base / file, 40 * i)
    notes.mkdir(exist_ok=True)
    for part, file in keys.items():
        (notes / f"{part}_key_list.txt").write_text(f"{file}\n")
    (notes / "noisy_label_kv.txt").write_text(f"{keys['noisy_train']} 13\n")
    (notes / "clean_label_kv.txt").write_text(
        "".join(f"{f} {i}\n" for i, (p, f) in enumerate(keys.items()) if p != "noisy_train")
    )
    (notes / "category_names_eng.txt").write_text("\n".join(f"kind {i}" for i in range(14)) + "\n")
    index = gated.index("clothing1m", tmp_path)
    assert index.num_classes == 14
    assert {name: split.labels.tolist() for name, split in index.splits.items()} == {
        "train": [13],
        "train_clean": [1],
        "val": [2],
        "test": [3],
    }
    assert index.decode("test", (8, 6)).shape == (1, 3, 8, 6)
    loaded = data.load("clothing1m", tmp_path, size=8)
    assert loaded.extra["val_images"].shape == (1, 3, 8, 8) and loaded.test_labels.tolist() == [3]
    (notes / "noisy_label_kv.txt").write_text("images/other.jpg 1\n")
    with pytest.raises(InputError, match="has no label"):
        gated.index("clothing1m", tmp_path)
    (notes / "noisy_label_kv.txt").write_text("images/other.jpg\n")
    with pytest.raises(InputError, match="line 1: expected 'file label'"):
        gated.index("clothing1m", tmp_path)


def test_imagenet_lt(tmp_path: Path) -> None:
    base = tmp_path / "imagenet-lt"
    train = [("train/n01/a.JPEG", 0), ("train/n01/b.JPEG", 0), ("train/n02/c.JPEG", 1)]
    for file, _ in train:
        image(base / file, 20)
    image(base / "val" / "v.JPEG", 30)
    (base / "ImageNet_LT_train.txt").write_text("".join(f"{f} {c}\n" for f, c in train))
    (base / "ImageNet_LT_val.txt").write_text("train/n01/a.JPEG 0\n")
    (base / "ImageNet_LT_test.txt").write_text("val/v.JPEG 1\n")
    loaded = data.load("imagenet-lt", tmp_path, size=4)
    assert loaded.train_labels.tolist() == [0, 0, 1] and loaded.test_labels.tolist() == [1]
    assert loaded.class_names == ("n01", "n02") and loaded.extra["val_labels"].tolist() == [0]


def test_inaturalist(tmp_path: Path) -> None:
    base = tmp_path / "inaturalist2018"
    categories = [{"id": i, "name": f"species {i}"} for i in range(3)]
    for part, ids in (("train", (5, 6)), ("val", (7,))):
        images = [{"id": i, "file_name": f"train_val2018/Aves/{i}/x.jpg"} for i in ids]
        notes = [{"image_id": i, "category_id": i % 3} for i in reversed(ids)]
        (base).mkdir(exist_ok=True)
        (base / f"{part}2018.json").write_text(
            json.dumps({"images": images, "annotations": notes, "categories": categories})
        )
        for i in ids:
            image(base / f"train_val2018/Aves/{i}/x.jpg", i)
    index = gated.index("inaturalist2018", tmp_path)
    assert index.splits["train"].labels.tolist() == [0, 2] and index.splits["test"].labels.tolist() == [1]
    assert index.splits["train"].files[0].parent.name == "6" and index.class_names == (
        "species 0",
        "species 1",
        "species 2",
    )


def test_market1501(tmp_path: Path) -> None:
    base = tmp_path / "Market-1501-v15.09.15"
    for name in ("0007_c1s1_000151_01", "0002_c1s1_000451_03", "0002_c3s1_000551_02"):
        image(base / "bounding_box_train" / f"{name}.jpg", 9)
    image(base / "query" / "0001_c2s1_000301_00.jpg", 9)
    for name in ("-1_c1s1_000401_03", "0000_c5s1_000401_03", "0001_c6s1_009601_02"):
        image(base / "bounding_box_test" / f"{name}.jpg", 9)
    (base / "query" / "Thumbs.db").write_text("")
    index = gated.index("market1501", tmp_path)
    assert index.num_classes == 2 and index.class_names == ("person 2", "person 7")
    assert index.splits["train"].labels.tolist() == [0, 0, 1]
    assert index.splits["train"].extra["cameras"].tolist() == [1, 3, 1]
    assert index.splits["gallery"].labels.tolist() == [0, 1]  # a distractor and a match; junk is left out
    loaded = data.load("market1501", tmp_path, size=(16, 8))
    assert loaded.in_shape == (3, 16, 8) and len(loaded.test_images) == 0
    assert loaded.extra["query_labels"].tolist() == [1] and loaded.extra["gallery_cameras"].tolist() == [5, 6]


def test_lfw(tmp_path: Path) -> None:
    base = tmp_path / "lfw"
    for person, count in (("Ann_Lee", 2), ("Bo_Ray", 1), ("Cy_Orr", 3)):
        for i in range(1, count + 1):
            image(base / "lfw_funneled" / person / f"{person}_{i:04d}.jpg", 30 * i)
    lines = ["2\t1", "Ann_Lee\t1\t2", "Ann_Lee\t1\tBo_Ray\t1", "Cy_Orr\t1\t3", "Bo_Ray\t1\tCy_Orr\t2"]
    (base / "pairs.txt").write_text("\n".join(lines) + "\n")
    index = gated.index("lfw", tmp_path)
    assert index.splits["test"].labels.tolist() == [0, 0, 1, 2, 2, 2]
    assert index.extra["pairs"].tolist() == [[0, 1], [0, 2], [3, 5], [2, 4]]
    assert index.extra["same"].tolist() == [1, 0, 1, 0] and index.extra["folds"].tolist() == [0, 0, 1, 1]
    assert index.decode("test", 8, indices=[5])[0, 0, 0, 0] == pytest.approx(90, abs=2)
    with pytest.raises(InputError, match="no classes to train on"):
        data.load("lfw", tmp_path, size=8)
    (base / "pairs.txt").write_text("\n".join(lines[:-1]) + "\n")
    with pytest.raises(InputError, match="announces 2 folds of 1"):
        gated.index("lfw", tmp_path)
    (base / "pairs.txt").write_text("2\t1\nAnn_Lee\t1\t7\n")
    with pytest.raises(InputError, match="Ann_Lee_0007.jpg of pairs.txt, line 2, is missing"):
        gated.index("lfw", tmp_path)


def test_missing_sets_say_what_to_get(tmp_path: Path) -> None:
    for name in ("webvision-mini", "clothing1m", "imagenet-lt", "inaturalist2018", "market1501", "lfw"):
        with pytest.raises(InputError, match=r"is missing. Get .*; put it as"):
            gated.index(name, tmp_path)
    with pytest.raises(InputError, match="Did you mean 'lfw'"):
        gated.index("lfv", tmp_path)


def test_size_and_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    base = tmp_path / "imagenet-lt"
    image(base / "train/n01/a.JPEG", 1)
    for part in ("train", "val", "test"):
        (base / f"ImageNet_LT_{part}.txt").write_text("train/n01/a.JPEG 0\n")
    with pytest.raises(InputError, match="give size="):
        data.load("imagenet-lt", tmp_path)
    monkeypatch.setattr("losslab.data.folder.LIMIT", 10)
    with pytest.raises(InputError, match="decode batch by batch"):
        data.load("imagenet-lt", tmp_path, size=4)
    index = gated.index("imagenet-lt", tmp_path)
    with pytest.raises(InputError, match="unknown split of imagenet-lt 'dev'"):
        index.decode("dev", 4)
    assert torch.is_tensor(index.splits["train"].labels)
