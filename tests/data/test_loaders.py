"""torchvision's sets, image trees, the registry: on tiny data that the tests write in the true layouts."""

import gzip
import hashlib
import json
import pickle
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from losslab import data, noise
from losslab.data import normalisation
from losslab.errors import InputError


def write_image(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (6, 5)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def write_idx(path: Path, values: np.ndarray, compress: bool = False) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    content = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape) + values.tobytes()
    path.write_bytes(gzip.compress(content) if compress else content)


def write_mnist(root: Path, folder: str = "MNIST") -> np.ndarray:
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (30, 28, 28), dtype=np.uint8)
    labels = (np.arange(30) % 10).astype(np.uint8)
    for part in ("train", "t10k"):
        write_idx(root / folder / "raw" / f"{part}-images-idx3-ubyte", images)
        write_idx(root / folder / "raw" / f"{part}-labels-idx1-ubyte", labels)
    return images


@pytest.mark.parametrize(("name", "folder"), [("mnist", "MNIST"), ("fashion_mnist", "FashionMNIST")])
def test_mnist(tmp_path: Path, name: str, folder: str) -> None:
    images = write_mnist(tmp_path, folder)
    loaded = data.load(name, tmp_path)
    assert loaded.in_shape == (1, 28, 28) and loaded.num_classes == 10 and len(loaded.class_names) == 10
    assert (loaded.train_images[:, 0].numpy() == images).all()
    assert loaded.test_labels.tolist() == [i % 10 for i in range(30)]
    assert data.flip_map_for(loaded) == name


def write_cifar(root: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> np.ndarray:
    """A tiny CIFAR in the true layout; the checksums that torchvision holds are replaced by those of the tiny files."""
    from torchvision import datasets

    fine = name == "cifar100"
    kind = datasets.CIFAR100 if fine else datasets.CIFAR10
    folder = root / ("cifar-100-python" if fine else "cifar-10-batches-py")
    folder.mkdir(parents=True)
    images = np.random.default_rng(0).integers(0, 256, (20, 3 * 32 * 32), dtype=np.uint8)
    key, k = ("fine_labels", 100) if fine else ("labels", 10)

    def dump(file: str, content: dict) -> list[str]:
        (folder / file).write_bytes(pickle.dumps(content))
        return [file, hashlib.md5((folder / file).read_bytes()).hexdigest()]

    parts = ["train"] if fine else [f"data_batch_{i}" for i in range(1, 6)]
    train = [dump(p, {"data": images, key: [(i * 7) % k for i in range(20)]}) for p in parts]
    test = [dump("test" if fine else "test_batch", {"data": images, key: [i % k for i in range(20)]})]
    meta_key = "fine_label_names" if fine else "label_names"
    meta = dump("meta" if fine else "batches.meta", {meta_key: [f"name {i}" for i in range(k)]})
    monkeypatch.setattr(kind, "train_list", train)
    monkeypatch.setattr(kind, "test_list", test)
    monkeypatch.setattr(kind, "meta", {"filename": meta[0], "key": meta_key, "md5": meta[1]})
    return images.reshape(-1, 3, 32, 32)


@pytest.mark.parametrize("name", ["cifar10", "cifar100"])
def test_cifar(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_cifar(tmp_path, name, monkeypatch)
    loaded = data.load(name, tmp_path)
    assert loaded.in_shape == (3, 32, 32) and len(loaded.train_images) == (20 if name == "cifar100" else 100)
    assert (loaded.train_images[:20].numpy() == images).all() and (loaded.test_images.numpy() == images).all()
    assert loaded.mean == normalisation.CONSTANTS[name][0]
    if name == "cifar100":
        assert loaded.superclass is not None and loaded.superclass.tolist() == list(noise.CIFAR100_SUPERCLASS)
    else:
        assert loaded.superclass is None and data.flip_map_for(loaded) == "cifar10"


def test_cifar10n(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_cifar(tmp_path, "cifar10", monkeypatch)
    clean = np.array([(i * 7) % 10 for i in range(20)] * 5)
    columns = ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3")
    content = {"clean_label": clean, **{c: (clean + i) % 10 for i, c in enumerate(columns)}}
    torch.save(content, tmp_path / "CIFAR-10_human.pt")
    loaded = data.load("cifar10n", tmp_path)
    assert sorted(loaded.extra) == sorted(f"human_{c}" for c in columns)
    noisy = noise.corrupt(
        loaded.train_labels, "human", None, 0, num_classes=10, human=loaded.extra["human_worse_label"]
    )
    assert noisy.tolist() == ((clean + 1) % 10).tolist()
    torch.save({**content, "clean_label": clean[::-1].copy()}, tmp_path / "CIFAR-10_human.pt")
    with pytest.raises(InputError, match="another order"):
        data.load("cifar10n", tmp_path)
    torch.save({k: v[1:] for k, v in content.items()}, tmp_path / "short.pt")
    with pytest.raises(InputError, match="99 labels for 100 images"):
        data.load("cifar10n", tmp_path, human_file=tmp_path / "short.pt")
    (tmp_path / "CIFAR-10_human.pt").unlink()
    with pytest.raises(InputError, match="noisylabels.com"):
        data.load("cifar10n", tmp_path)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "cifar10", "cifar100", "cifar10n", "cifar100n"])
def test_missing_files_say_what_to_do(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"is not complete in .*download=True\) fetches it"):
        data.load(name, tmp_path)


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for part, count in (("train", 3), ("val", 1)):
        for c, name in enumerate(("bee", "ant", "cow")):
            for i in range(count):
                write_image(tmp_path / "tree" / part / name / f"{i}.png", (80 * c, 10 * i, 255))
    (tmp_path / "tree" / "train" / "bee" / "notes.txt").write_text("not an image")
    return tmp_path / "tree"


def test_image_tree(tree: Path, tmp_path: Path) -> None:
    loaded = data.load(f"imagefolder:{tree}", tmp_path)
    assert loaded.class_names == ("ant", "bee", "cow") and loaded.in_shape == (3, 5, 6)
    assert loaded.train_labels.tolist() == [0, 0, 0, 1, 1, 1, 2, 2, 2] and loaded.test_labels.tolist() == [0, 1, 2]
    assert loaded.train_images[4, :, 0, 0].tolist() == [0, 10, 255]
    values = loaded.train_images.double() / 255
    torch.testing.assert_close(torch.tensor(loaded.mean).double(), values.mean(dim=(0, 2, 3)), atol=1e-6, rtol=0)
    deviation = values.std(dim=(0, 2, 3), unbiased=False).clamp(min=1e-6)
    torch.testing.assert_close(torch.tensor(loaded.std).double(), deviation, atol=1e-6, rtol=0)


def test_image_tree_cache_follows_the_files(tree: Path, tmp_path: Path) -> None:
    first = data.load(f"imagefolder:{tree}", tmp_path, size=4)
    assert first.in_shape == (3, 4, 4) and len(list((tmp_path / "cache").iterdir())) == 1
    assert torch.equal(data.load(f"imagefolder:{tree}", tmp_path, size=4).train_images, first.train_images)
    assert data.load(f"imagefolder:{tree}", tmp_path, size=(3, 4), grey=True).in_shape == (1, 3, 4)
    write_image(tree / "train" / "ant" / "9.png", (1, 2, 3))
    assert len(data.load(f"imagefolder:{tree}", tmp_path, size=4).train_images) == 10
    assert len(list((tmp_path / "cache").iterdir())) == 3


def test_image_tree_bad_input(tree: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="train/<class>"):
        data.load(f"imagefolder:{tmp_path / 'nothing'}", tmp_path)
    with pytest.raises(InputError, match="is not an image tree"):
        data.load(f"imagefolder:{tree / 'train'}", tmp_path)
    with pytest.raises(InputError, match="size must be"):
        data.load(f"imagefolder:{tree}", tmp_path, size="big")
    write_image(tree / "train" / "ant" / "odd.png", (0, 0, 0), (9, 9))
    with pytest.raises(InputError, match="give size="):
        data.load(f"imagefolder:{tree}", tmp_path)
    (tree / "train" / "ant" / "odd.png").write_bytes(b"no image")
    with pytest.raises(InputError, match="odd.png is not a readable image"):
        data.load(f"imagefolder:{tree}", tmp_path, size=4)
    (tree / "train" / "ant" / "odd.png").unlink()
    write_image(tree / "val" / "dog" / "0.png", (0, 0, 0))
    with pytest.raises(InputError, match="lacks: dog"):
        data.load(f"imagefolder:{tree}", tmp_path)
    (tree / "train" / "empty").mkdir()
    with pytest.raises(InputError, match="class 'empty' has no training image"):
        data.load(f"imagefolder:{tree}", tmp_path)


def test_available(tmp_path: Path) -> None:
    write_mnist(tmp_path)
    found = {status.name: status for status in data.available(tmp_path)}
    assert set(found) == set(data.names())
    ready = {name for name, status in found.items() if status.ready}
    assert ready == {"digits", "glyphs-10", "glyphs-20", "glyphs-100", "toy-blobs", "toy-circle", "mnist"}
    for status in found.values():
        assert status.about and status.size
        assert status.ready or (status.get and status.where is not None and tmp_path in status.where.parents)


def test_data_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSLAB_DATA", str(tmp_path))
    assert data.data_root() == tmp_path
    assert data.data_root("elsewhere") == Path("elsewhere")


def test_unknown_names_and_options(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown data set 'cifar-10'.*Did you mean 'cifar10'"):
        data.load("cifar-10", tmp_path)
    with pytest.raises(InputError, match="unknown option of data set 'digits' 'split_sed'.*Did you mean 'split_seed'"):
        data.load("digits", tmp_path, split_sed=1)
    with pytest.raises(InputError, match="stands in for"):
        data.flip_map_for("digits")
    assert data.flip_map_for("cifar10n") == "cifar10"


def test_normalisation(tmp_path: Path) -> None:
    digits = data.load("digits", tmp_path)
    pixels = digits.train_images.double() / 255
    for name, expected in (
        ("none", pixels),
        ("mean_std", (pixels - pixels.mean()) / pixels.std(unbiased=False)),
        ("per_pixel", pixels - pixels.mean(dim=0)),
        ("mnist", (pixels - 0.1307) / 0.3081),
    ):
        result = data.standardise(digits.train_images, data.statistics(digits, name))
        assert result.dtype == torch.float32
        torch.testing.assert_close(result.double(), expected, atol=1e-5, rtol=1e-5)
        again = data.standardise(digits.train_images.double() / 255, data.statistics(digits, name))
        torch.testing.assert_close(again, expected, atol=1e-5, rtol=1e-5)
    assert digits.train_images.dtype == torch.uint8
    with pytest.raises(InputError, match="is for 3 channels"):
        data.statistics(digits, "imagenet")
    with pytest.raises(InputError, match="Did you mean 'mean_std'"):
        data.statistics(digits, "meanstd")
    with pytest.raises(InputError, match="uint8"):
        data.standardise(digits.train_images.int(), data.statistics(digits))


def test_dataset_refuses_what_does_not_fit(tmp_path: Path) -> None:
    from dataclasses import replace

    digits = data.load("digits", tmp_path)
    for change in (
        {"train_images": digits.train_images.float()},
        {"train_labels": digits.train_labels[1:]},
        {"test_labels": digits.test_labels + 1},
        {"class_names": ("a",)},
        {"mean": (0.1, 0.2)},
        {"test_images": digits.test_images[:, :, 1:]},
    ):
        with pytest.raises(InputError, match="digits"):
            replace(digits, **change)
    assert json.dumps(digits.mean)  # plain numbers


def test_held_out_images_of_another_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """CIFAR-10 with CIFAR-100's images as strangers, on tiny sets in torchvision's place."""
    from torchvision import datasets

    from losslab.data import load

    class Tiny:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            shade = 7 if type(self) is Stranger else 0
            self.data = np.full((6, 32, 32, 3), shade, dtype=np.uint8)
            self.classes = [str(i) for i in range(100 if type(self) is Stranger else 10)]
            self.targets = list(range(6))

    class Stranger(Tiny):
        pass

    monkeypatch.setattr(datasets, "CIFAR10", Tiny)
    monkeypatch.setattr(datasets, "CIFAR100", Stranger)
    dataset = load("cifar10", tmp_path, held_out="cifar100")
    assert dataset.num_classes == 10
    assert dataset.extra["held_out_images"].shape == (6, 3, 32, 32)
    assert int(dataset.extra["held_out_images"].max()) == 7
    with pytest.raises(InputError, match="held_out"):
        load("cifar10", tmp_path, held_out="cifar10")
