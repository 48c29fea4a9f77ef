"""Data sets that only their owners give out, over the layouts in which they are distributed: lists of files, decoded lazily.

`index` reads the lists; `FileIndex.decode` reads images, a batch at a time or all of them; `load` decodes everything at a
given size into a `Dataset` for the sets that fit into memory at that size.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from losslab.data import cache
from losslab.data.dataset import Dataset, DataStatus
from losslab.data.folder import check_size, decode_all, listing_digest
from losslab.data.normalisation import CONSTANTS
from losslab.errors import InputError, near


@dataclass(frozen=True, eq=False)
class Split:
    """Image files and labels ``(n,)`` int64; ``extra`` holds further values per image, such as cameras."""

    files: tuple[Path, ...]
    labels: torch.Tensor
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class FileIndex:
    """A data set as lists of files. ``pairs`` (LFW): ``(n, 2)`` positions in the split "test", ``same`` ``(n,)``, ``folds`` ``(n,)``."""

    name: str
    folder: Path
    splits: Mapping[str, Split]
    num_classes: int
    class_names: tuple[str, ...]
    source: str
    extra: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def decode(
        self, split: str, size: Any, indices: Sequence[int] | None = None, threads: int | None = None
    ) -> torch.Tensor:
        """Images ``(n, 3, H, W)`` uint8 of a split, or of some of its positions; ``size``: a side or (height, width)."""
        if split not in self.splits:
            raise InputError(near(f"split of {self.name}", split, self.splits))
        files = self.splits[split].files
        return decode_all(files if indices is None else [files[i] for i in indices], check_size(size), threads=threads)


def _need(path: Path, name: str) -> Path:
    if not path.exists():
        chosen = _SETS[name]
        raise InputError(
            f"{chosen.title}: {path} is missing. Get {chosen.get}; put it as {chosen.layout.format(folder=chosen.folder)}"
        )
    return path


def _pairs(path: Path, name: str) -> list[tuple[str, int]]:
    """Lines "file label" of a list; file names may hold spaces."""
    entries = []
    for number, line in enumerate(_need(path, name).read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            file, _, label = line.strip().rpartition(" ")
            if not file or not label.isdigit():
                raise InputError(f"{path}, line {number}: expected 'file label', got {line!r}")
            entries.append((file, int(label)))
    return entries


def _split(base: Path, entries: Sequence[tuple[str, int]], name: str, **extra: Sequence[int]) -> Split:
    if not entries:
        raise InputError(f"{_SETS[name].title}: a list in {base} names no image")
    _need(base / entries[0][0], name)
    values = {key: torch.tensor(v, dtype=torch.int64) for key, v in extra.items()}
    return Split(tuple(base / f for f, _ in entries), torch.tensor([i for _, i in entries], dtype=torch.int64), values)


def _webvision(folder: Path, name: str) -> FileIndex:
    """The first 50 classes of the Google part, and of the validation images; ILSVRC12's where ``ilsvrc12/val`` is there."""
    count = 50
    info = folder / "info"
    train = [e for e in _pairs(info / "train_filelist_google.txt", name) if e[1] < count]
    test = [(f"val_images_256/{f}", i) for f, i in _pairs(info / "val_filelist.txt", name) if i < count]
    splits = {"train": _split(folder, train, name), "test": _split(folder, test, name)}
    synsets, names = [], []
    for line in _need(info / "synsets.txt", name).read_text(encoding="utf-8").splitlines()[:count]:
        synset, _, words = line.strip().partition(" ")
        synsets.append(synset)
        names.append(words.split(",")[0] or synset)
    if (other := folder / "ilsvrc12" / "val").is_dir():
        files = [
            (str(f.relative_to(folder)), i)
            for i, s in enumerate(synsets)
            for f in sorted((other / s).glob("*"))
            if f.is_file()
        ]
        splits["ilsvrc12"] = _split(folder, files, name)
    return FileIndex(name, folder, splits, len(names), tuple(names), "WebVision-mini (Google, first 50 classes)")


def _clothing1m(folder: Path, name: str) -> FileIndex:
    """One million noisy training images; clean training, validation and test images."""
    lists = folder / "annotations" if (folder / "annotations").is_dir() else folder
    noisy, clean = (dict(_pairs(lists / f"{kind}_label_kv.txt", name)) for kind in ("noisy", "clean"))

    def part(keys: str, labels: dict[str, int]) -> Split:
        names = [
            k for k in _need(lists / f"{keys}_key_list.txt", name).read_text(encoding="utf-8").split("\n") if k.strip()
        ]
        if missing := next((k for k in names if k.strip() not in labels), None):
            raise InputError(f"Clothing1M: {missing} of {keys}_key_list.txt has no label")
        return _split(folder, [(k.strip(), labels[k.strip()]) for k in names], name)

    splits = {
        "train": part("noisy_train", noisy),
        "train_clean": part("clean_train", clean),
        "val": part("clean_val", clean),
        "test": part("clean_test", clean),
    }
    titles = _need(lists / "category_names_eng.txt", name).read_text(encoding="utf-8").split("\n")
    classes = tuple(t.strip() for t in titles if t.strip())
    return FileIndex(name, folder, splits, len(classes), classes, "Clothing1M")


def _imagenet_lt(folder: Path, name: str) -> FileIndex:
    """The published lists over ImageNet's train and val folders."""
    splits = {p: _split(folder, _pairs(folder / f"ImageNet_LT_{p}.txt", name), name) for p in ("train", "val", "test")}
    count = int(splits["train"].labels.max()) + 1
    synsets = {
        int(label): file.parent.name for file, label in zip(splits["train"].files, splits["train"].labels, strict=True)
    }
    return FileIndex(name, folder, splits, count, tuple(synsets.get(i, str(i)) for i in range(count)), "ImageNet-LT")


def _inaturalist(folder: Path, name: str) -> FileIndex:
    """The published annotations ``train2018.json`` and ``val2018.json`` over ``train_val2018``."""
    splits: dict[str, Split] = {}
    names: dict[int, str] = {}
    for part, file in (("train", "train2018.json"), ("test", "val2018.json")):
        content = json.loads(_need(folder / file, name).read_text(encoding="utf-8"))
        files = {image["id"]: image["file_name"] for image in content["images"]}
        entries = [(files[a["image_id"]], int(a["category_id"])) for a in content["annotations"]]
        splits[part] = _split(folder, entries, name)
        names.update({int(c["id"]): str(c["name"]) for c in content["categories"]})
    count = max(names) + 1
    return FileIndex(name, folder, splits, count, tuple(names.get(i, str(i)) for i in range(count)), "iNaturalist 2018")


_PERSON = re.compile(r"^(-?\d+)_c(\d+)")


def _market1501(folder: Path, name: str) -> FileIndex:
    """Training identities numbered from 0; query and gallery keep their person numbers (0: distractor) and cameras.

    Junk boxes (person -1) are left out, as the benchmark's evaluation does.
    """
    splits: dict[str, Split] = {}
    names: tuple[str, ...] = ()
    for part, sub in (("train", "bounding_box_train"), ("query", "query"), ("gallery", "bounding_box_test")):
        found = [(f, m) for f in sorted(_need(folder / sub, name).glob("*.jpg")) if (m := _PERSON.match(f.name))]
        people = [(f"{sub}/{f.name}", int(m[1]), int(m[2])) for f, m in found if m[1] != "-1"]
        number = {p: p for _, p, _ in people}
        if part == "train":
            number = {p: i for i, p in enumerate(sorted(number))}
            names = tuple(f"person {p}" for p in sorted(number))
        splits[part] = _split(folder, [(f, number[p]) for f, p, _ in people], name, cameras=[c for _, _, c in people])
    return FileIndex(name, folder, splits, len(names), names, "Market-1501")


def _lfw(folder: Path, name: str) -> FileIndex:
    """All images by person (split "test"), and the verification pairs of ``pairs.txt``."""
    base = next(
        (folder / sub for sub in ("lfw", "lfw_funneled", "lfw-deepfunneled") if (folder / sub).is_dir()), folder / "lfw"
    )
    _need(base, name)
    people = sorted(d.name for d in base.iterdir() if d.is_dir())
    entries = [(f"{p}/{f.name}", i) for i, p in enumerate(people) for f in sorted((base / p).glob("*.jpg"))]
    split = _split(base, entries, name)
    place = {file: i for i, (file, _) in enumerate(entries)}
    lines = [
        line.split()
        for line in _need(folder / "pairs.txt", name).read_text(encoding="utf-8").splitlines()
        if line.strip()
    ]
    folds, each = (int(lines[0][0]), int(lines[0][1])) if len(lines[0]) == 2 else (1, 0)
    pairs, same = [], []
    for number, words in enumerate(lines[1:], 2):
        if len(words) not in (3, 4):
            raise InputError(f"{folder / 'pairs.txt'}, line {number}: expected 'name n1 n2' or 'name1 n1 name2 n2'")
        first, second = (words[0], words[1]), (words[-2] if len(words) == 4 else words[0], words[-1])
        ends = [f"{person}/{person}_{int(image):04d}.jpg" for person, image in (first, second)]
        if missing := next((e for e in ends if e not in place), None):
            raise InputError(f"LFW: {base / missing} of pairs.txt, line {number}, is missing")
        pairs.append([place[e] for e in ends])
        same.append(int(len(words) == 3))
    if len(pairs) != 2 * folds * each:
        raise InputError(
            f"{folder / 'pairs.txt'} announces {folds} folds of {each} + {each} pairs, but holds {len(pairs)} pairs"
        )
    extra = {
        "pairs": torch.tensor(pairs, dtype=torch.int64),
        "same": torch.tensor(same, dtype=torch.int64),
        "folds": torch.arange(len(pairs)) // (2 * each),
    }
    return FileIndex(name, folder, {"test": split}, len(people), tuple(people), "Labeled Faces in the Wild", extra)


class _Set(NamedTuple):
    title: str
    folder: str
    build: Callable[[Path, str], FileIndex]
    about: str
    get: str
    layout: str
    size: str


_SETS: dict[str, _Set] = {
    "webvision-mini": _Set(
        "WebVision-mini", "webvision", _webvision, "66,000 web images of 50 ImageNet classes, wrong labels as found",
        "info.tar, google_resized_256.tar and val_images_256.tar of WebVision 1.0 (data.vision.ee.ethz.ch/cvl/webvision/dataset2017.html), "
        "and for the second test set ILSVRC12's validation images sorted by synset",
        "{folder}/info/*.txt, {folder}/google/q0001/*.jpg, {folder}/val_images_256/*.jpg, {folder}/ilsvrc12/val/<synset>/* (optional)",
        "17 GB",
    ),
    "clothing1m": _Set(
        "Clothing1M", "clothing1m", _clothing1m, "1,000,000 clothing images of 14 classes with the sellers' labels, and clean parts",
        "the archives that the authors send on request (github.com/Cysu/noisy_label)",
        "{folder}/images/0/00/*.jpg and the lists ({folder}/noisy_label_kv.txt, ...) in {folder} or {folder}/annotations",
        "about 40 GB",
    ),
    "imagenet-lt": _Set(
        "ImageNet-LT", "imagenet-lt", _imagenet_lt, "a long-tailed choice of 115,846 ImageNet images, 1,000 classes",
        "ILSVRC12 (image-net.org, after registration) and the lists ImageNet_LT_{train,val,test}.txt of OLTR (github.com/zhmiao)",
        "{folder}/ImageNet_LT_train.txt (and _val, _test), {folder}/train/<synset>/*.JPEG, {folder}/val/*.JPEG (links will do)",
        "145 GB with all of ILSVRC12",
    ),
    "inaturalist2018": _Set(
        "iNaturalist 2018", "inaturalist2018", _inaturalist, "437,513 + 24,426 photographs of 8,142 species, long-tailed",
        "train_val2018.tar.gz, train2018.json and val2018.json (github.com/visipedia/inat_comp, 2018)",
        "{folder}/train2018.json, {folder}/val2018.json, {folder}/train_val2018/<group>/<category>/*.jpg",
        "120 GB",
    ),
    "market1501": _Set(
        "Market-1501", "Market-1501-v15.09.15", _market1501, "person re-identification: 751 training and 750 test identities, six cameras",
        "Market-1501-v15.09.15.zip (zheng-lab.cecs.anu.edu.au/Project/project_reid.html)",
        "{folder}/bounding_box_train, {folder}/query, {folder}/bounding_box_test",
        "150 MB",
    ),
    "lfw": _Set(
        "LFW", "lfw", _lfw, "face verification: 13,233 images of 5,749 people, 6,000 pairs in ten folds",
        "lfw.tgz (or the funneled or deep-funneled images) and pairs.txt (vis-www.cs.umass.edu/lfw)",
        "{folder}/lfw/<name>/*.jpg (or lfw_funneled, lfw-deepfunneled) and {folder}/pairs.txt",
        "190 MB",
    ),
}  # fmt: skip


def index(name: str, root: Path) -> FileIndex:
    """The lists of a gated set; its files are looked for in ``root``. Raises InputError with what to get if they are missing."""
    if name not in _SETS:
        raise InputError(near("gated data set", name, _SETS))
    chosen = _SETS[name]
    folder = root / chosen.folder
    _need(folder, name)
    return chosen.build(folder, name)


def load(name: str, root: Path, size: Any = None) -> Dataset:
    """Everything decoded at ``size`` (a side or (height, width)) into memory, kept in ``root/cache``.

    "train" and "test" become the data set's own; every other split goes to ``extra`` as ``<split>_images``, ``<split>_labels``
    (and ``<split>_cameras``). Market-1501 has no test set of its training classes: its test part is empty. LFW has no
    classes to train on: use `index`.
    """
    files = index(name, root)
    if name == "lfw":
        raise InputError("lfw holds pairs to verify, no classes to train on; use losslab.data.gated.index('lfw', root)")
    if (shape := check_size(size)) is None:
        raise InputError(f"{name} holds images of many sizes: give size=, for example size=64 or size=(256, 128)")

    def make() -> dict[str, torch.Tensor]:
        return {split: files.decode(split, shape) for split in files.splits}

    listing = {split: listing_digest(part.files, files.folder) for split, part in files.splits.items()}
    images = cache.cached(root, name, {"version": 1, "files": listing, "size": shape}, make)
    extra: dict[str, torch.Tensor] = {}
    for split, part in files.splits.items():
        if split not in ("train", "test"):
            extra[f"{split}_images"], extra[f"{split}_labels"] = images[split], part.labels
        extra.update({f"{split}_{key}": values for key, values in part.extra.items()})
    mean, std = CONSTANTS["imagenet"]
    empty = (torch.zeros((0, 3, *shape), dtype=torch.uint8), torch.zeros(0, dtype=torch.int64))
    test = (images["test"], files.splits["test"].labels) if "test" in files.splits else empty
    return Dataset(
        name=name,
        train_images=images["train"],
        train_labels=files.splits["train"].labels,
        test_images=test[0],
        test_labels=test[1],
        num_classes=files.num_classes,
        class_names=files.class_names,
        mean=mean,
        std=std,
        extra=extra,
        source=f"{files.source}, {shape[0]}x{shape[1]}",
    )


def status(name: str, root: Path) -> DataStatus:
    """Ready if the set's folder is there; its lists are checked when they are read."""
    chosen = _SETS[name]
    ready = (root / chosen.folder).is_dir()
    layout = chosen.layout.format(folder=chosen.folder)
    return DataStatus(
        name,
        ready,
        chosen.about,
        root / chosen.folder,
        "" if ready else f"{chosen.get}; put it as {layout}",
        chosen.size,
    )
