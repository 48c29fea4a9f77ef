"""Instance-dependent noise, human labels, imbalance, open-set noise."""

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from losslab import noise
from losslab.errors import InputError


@pytest.fixture(scope="module")
def digits() -> tuple[np.ndarray, np.ndarray]:
    images, labels = load_digits(return_X_y=True)
    return images, labels.astype(np.int64)


def test_confusable_by_hand() -> None:
    other, score = noise.confusable(np.array([0, 0, 1, 2]), np.array([[0.0], [2.0], [4.0], [100.0]]), 4)
    assert other.tolist() == [1, 1, 0, 1]
    assert score.tolist() == [1 - 4, 1 - 2, 0 - 3, 0 - 96]


@pytest.mark.parametrize("draw", ["exact", "multinomial"])
@pytest.mark.parametrize("rate", [0.0, 0.4, 1.0])
def test_instance_rate_and_targets(digits: tuple[np.ndarray, np.ndarray], rate: float, draw: str) -> None:
    images, labels = digits
    noisy = noise.corrupt(labels, "instance", rate, 0, num_classes=10, features=images, draw=draw)
    wrong = noisy != labels
    assert wrong.sum() == int(rate * len(labels)) if draw == "exact" else abs(wrong.mean() - rate) < 0.03
    other, score = noise.confusable(labels, images, 10)
    assert (noisy[wrong] == other[wrong]).all()
    if rate == 0.4:
        assert score[wrong].mean() > score[~wrong].mean() + 0.5 * score.std()


def test_instance_without_dependence(digits: tuple[np.ndarray, np.ndarray]) -> None:
    images, labels = digits
    noisy = noise.corrupt(labels, "instance", 0.4, 0, num_classes=10, features=torch.from_numpy(images), sharpness=0)
    _, score = noise.confusable(labels, images, 10)
    wrong = noisy != labels
    assert abs(score[wrong].mean() - score[~wrong].mean()) < 0.2 * score.std()
    assert noise.digest(noise.corrupt(labels, "instance", 0.4, 5, num_classes=10, features=images))[:8] == "87516b14"


def test_instance_bad_input() -> None:
    with pytest.raises(InputError, match="3 rows of features for 2 labels"):
        noise.corrupt(np.array([0, 1]), "instance", 0.5, 0, num_classes=2, features=np.zeros((3, 1)))
    with pytest.raises(InputError, match="sharpness"):
        noise.corrupt(np.array([0, 1]), "instance", 0.5, 0, num_classes=2, features=np.zeros((2, 1)), sharpness=-1)


def test_human_files(tmp_path: Path) -> None:
    worse, clean = np.array([1, 0, 2, 9]), np.array([1, 0, 3, 8])
    torch.save({"clean_label": clean, "worse_label": worse}, tmp_path / "CIFAR-10_human.pt")
    np.save(tmp_path / "labels.npy", worse)
    (tmp_path / "labels.csv").write_text("clean_label,worse_label\n1,1\n0,0\n3,2\n8,9\n")
    for file, column in (("CIFAR-10_human.pt", "worse_label"), ("labels.npy", None), ("labels.csv", "worse_label")):
        read = noise.read_human_labels(tmp_path / file, column)
        assert read.dtype == np.int64 and read.tolist() == worse.tolist()
    noisy = noise.corrupt(torch.from_numpy(clean), "human", None, 0, num_classes=10, human=worse)
    assert noisy.tolist() == worse.tolist()


def test_human_file_of_an_older_numpy(tmp_path: Path) -> None:
    """The published files were written by numpy 1, whose arrays name another module."""
    torch.save({"worse_label": np.array([3, 1])}, tmp_path / "new.pt", _use_new_zipfile_serialization=False)
    content = (tmp_path / "new.pt").read_bytes()
    old = content.replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")
    assert old != content
    (tmp_path / "old.pt").write_bytes(old)
    assert noise.read_human_labels(tmp_path / "old.pt", "worse_label").tolist() == [3, 1]


class _Harmful:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> tuple:
        return (Path.touch, (self.file,))


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_human_files_run_no_code(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"worse_label": _Harmful(trace)}, tmp_path / "bad.pt")
    np.save(tmp_path / "bad.npy", np.array([_Harmful(trace)], dtype=object), allow_pickle=True)
    (tmp_path / "plain.pt").write_bytes(pickle.dumps({"worse_label": _Harmful(trace)}))
    for file in ("bad.pt", "bad.npy", "plain.pt"):
        with pytest.raises(InputError):
            noise.read_human_labels(tmp_path / file, "worse_label")
    assert not trace.exists()


def test_human_bad_input(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="noisylabels.com"):
        noise.read_human_labels(tmp_path / "missing.pt", "worse_label")
    torch.save({"worse_label": np.zeros((2, 2), dtype=int), "aggre_label": np.zeros(2)}, tmp_path / "a.pt")
    with pytest.raises(InputError, match="Did you mean 'worse_label'"):
        noise.read_human_labels(tmp_path / "a.pt", "worst_label")
    for column in ("worse_label", "aggre_label"):
        with pytest.raises(InputError, match="one integer per image"):
            noise.read_human_labels(tmp_path / "a.pt", column)
    (tmp_path / "a.csv").write_text("x\none\n")
    with pytest.raises(InputError, match="must hold integers"):
        noise.read_human_labels(tmp_path / "a.csv")
    (tmp_path / "a.txt").write_text("1\n")
    with pytest.raises(InputError, match=r"end in .pt, .csv or .npy"):
        noise.read_human_labels(tmp_path / "a.txt")


def test_long_tailed_counts() -> None:
    ten, hundred = [5000] * 10, [500] * 100
    assert noise.imbalance.long_tailed(ten, 100).tolist() == [5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50]
    totals = [
        noise.imbalance.long_tailed(c, r).sum() for c, r in ((ten, 100), (ten, 10), (hundred, 100), (hundred, 10))
    ]
    assert totals == [12406, 20431, 10847, 19573]
    assert noise.imbalance.step(ten, 100).tolist() == [5000] * 5 + [50] * 5
    assert [noise.imbalance.step(c, r).sum() for c in (ten, hundred) for r in (100, 10)] == [25250, 27500] * 2
    assert noise.imbalance.long_tailed(ten, 1).tolist() == ten
    assert noise.imbalance.long_tailed([3, 9, 9], 2).tolist() == [3, 4, 3]  # never more than there are
    for bad in (0.01, 0, float("nan")):
        with pytest.raises(InputError, match="at least 1"):
            noise.imbalance.long_tailed(ten, bad)
    with pytest.raises(InputError, match="every class"):
        noise.imbalance.step([5, 0], 10)


def test_subsample() -> None:
    labels = torch.arange(10).repeat_interleave(50)
    kept = noise.imbalance.subsample(labels, noise.imbalance.long_tailed([50] * 10, 10), 0)
    assert labels[kept].bincount().tolist() == noise.imbalance.long_tailed([50] * 10, 10).tolist()
    assert (np.diff(kept) > 0).all()
    fewer = noise.imbalance.subsample(labels, [5] * 10, 0)
    assert set(fewer) <= set(noise.imbalance.subsample(labels, [9] * 10, 0))
    assert set(fewer) != set(noise.imbalance.subsample(labels, [5] * 10, 1))
    with pytest.raises(InputError, match="class 0 has 50 samples, 51"):
        noise.imbalance.subsample(labels, [51] + [5] * 9, 0)


def test_open_set() -> None:
    labels = torch.arange(4).repeat(25)
    images = torch.zeros(100, 1, 2, 2, dtype=torch.uint8)
    strangers = torch.arange(1, 61, dtype=torch.uint8).view(60, 1, 1, 1).expand(60, 1, 2, 2)
    mixed, replaced = noise.open_set(images, labels, strangers, 0.4, 0)
    assert labels[replaced].bincount().tolist() == [10] * 4 and images.sum() == 0
    used = mixed[replaced, 0, 0, 0].tolist()
    assert len(set(used)) == 40 and min(used) >= 1
    assert mixed.sum() == mixed[replaced].sum()
    assert set(noise.open_set_indices(labels, 0.2, 0)) <= set(replaced)
    with pytest.raises(InputError, match="needs 80 images of other classes, got 60"):
        noise.open_set(images, labels, strangers, 0.8, 0)
    with pytest.raises(InputError, match="must be like the images"):
        noise.open_set(images, labels, strangers[:, :, :1], 0.4, 0)
