"""Drawn labels: counts, frequencies, reproducibility, types."""

import numpy as np
import pytest
import torch
from scipy import stats

from losslab import noise
from losslab.errors import InputError

BALANCED = np.repeat(np.arange(10), 500)
SKEWED = np.repeat(np.arange(10), [592, 674, 596, 613, 584, 542, 592, 627, 585, 595])


def given(
    labels: np.ndarray, kind: str, rate: float | None, seed: int = 0, k: int = 10, **options: object
) -> np.ndarray:
    return noise.corrupt(labels, kind, rate, seed, num_classes=k, **options)


def test_exact_counts_per_class() -> None:
    noisy = given(SKEWED, "symmetric", 0.3)
    wrong = np.bincount(SKEWED[noisy != SKEWED], minlength=10)
    assert wrong.tolist() == [int(0.3 * n) for n in np.bincount(SKEWED)]
    noisy = given(SKEWED, "asymmetric", 0.4, flip_map="mnist")
    matrix, _ = noise.realised(SKEWED, noisy, 10)
    counts = matrix * np.bincount(SKEWED)[:, None]
    assert {(i, j): round(counts[i, j]) for i in range(10) for j in range(10) if i != j and counts[i, j]} == {
        (7, 1): 250,
        (2, 7): 238,
        (5, 6): 216,
        (6, 5): 236,
        (3, 8): 245,
    }


def test_exact_equal_counts() -> None:
    """Official symmetric noise flips int(int(rate n) / K) samples of every class, whatever its size."""
    noisy = given(SKEWED, "symmetric", 0.8, draw="exact_equal")
    assert np.bincount(SKEWED[noisy != SKEWED], minlength=10).tolist() == [480] * 10
    with pytest.raises(InputError, match="600 flips in class 0"):
        given(SKEWED, "symmetric", 1.0, draw="exact_equal")


@pytest.mark.parametrize("rate", [i / 10 for i in range(11)])
def test_no_rounding_of_the_rate(rate: float) -> None:
    labels = np.repeat(np.arange(10), 5000)
    assert (given(labels, "symmetric", rate) != labels).sum() == round(rate * 50000)


def test_symmetric_targets_are_uniform() -> None:
    labels = np.zeros(20000, dtype=np.int64)
    noisy = given(labels, "symmetric", 1.0)
    counts = np.bincount(noisy, minlength=10)
    assert counts[0] == 0
    assert stats.chisquare(counts[1:]).pvalue > 0.01
    inclusive = np.bincount(given(labels, "symmetric_inclusive", 1.0), minlength=10)
    assert stats.chisquare(inclusive).pvalue > 0.01


@pytest.mark.parametrize("kind", ["symmetric", "symmetric_inclusive", "pair", "superclass_uniform", "class_dependent"])
def test_multinomial_frequencies(kind: str) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.dirichlet(np.ones(10), size=10)
    options = {"matrix": matrix} if kind == "class_dependent" else {}
    if kind == "superclass_uniform":
        options = {"superclass": "blocks"}
    labels = np.repeat(np.arange(10), 4000)
    noisy = given(labels, kind, 0.4, draw="multinomial", **options)
    expected = noise.transition_matrix(kind, 10, 0.4, **options)
    for i in range(10):
        counts = np.bincount(noisy[labels == i], minlength=10)
        possible = expected[i] > 0
        assert counts[~possible].sum() == 0
        assert stats.chisquare(counts[possible], 4000 * expected[i, possible]).pvalue > 1e-3


def test_sequential_flips() -> None:
    labels = np.repeat(np.arange(10), 5000)
    noisy = given(labels, "asymmetric", 0.4, flip_map="cifar10", sequential=True)
    matrix, rate = noise.realised(labels, noisy, 10)
    assert matrix[3, 5] == pytest.approx(0.24, abs=0.01)
    assert matrix[5, 3] == pytest.approx(0.4, abs=0.01)
    assert matrix[9, 1] == matrix[2, 0] == matrix[4, 7] == 0.4
    assert rate == pytest.approx(0.184, abs=0.003)
    plain, plain_rate = noise.realised(labels, given(labels, "asymmetric", 0.4, flip_map="cifar10"), 10)
    assert plain[3, 5] == plain[5, 3] == 0.4 and plain_rate == pytest.approx(0.2)


def test_rates_are_nested() -> None:
    low, high = given(BALANCED, "symmetric", 0.2), given(BALANCED, "symmetric", 0.6)
    flipped = low != BALANCED
    assert (high[flipped] == low[flipped]).all()


def test_superclass_pair_flips_between_the_matrix_pairs() -> None:
    labels = np.repeat(np.arange(100), 40)
    for draw in ("exact", "multinomial"):
        noisy = given(labels, "superclass_pair", 0.5, 7, 100, superclass="cifar100", draw=draw)
        possible = noise.transition_matrix("superclass_pair", 100, 0.5, superclass="cifar100", seed=7) > 0
        assert possible[labels, noisy].all() and (noisy != labels).mean() == pytest.approx(0.2, abs=0.02)


def test_seeds_and_repeats() -> None:
    first = given(BALANCED, "symmetric", 0.4, 1)
    assert (first == given(BALANCED, "symmetric", 0.4, 1)).all()
    assert 0.3 < (first != given(BALANCED, "symmetric", 0.4, 2)).mean() < 0.9


@pytest.mark.parametrize(
    ("kind", "options", "expected"),
    [
        ("symmetric", {}, "b3ad5181"),
        ("symmetric", {"draw": "multinomial"}, "3a7c252b"),
        ("symmetric_inclusive", {}, "8aa44031"),
        ("asymmetric", {"flip_map": "cifar10"}, "92945209"),
        ("asymmetric", {"flip_map": "cifar10", "sequential": True}, "5438417e"),
        ("pair", {}, "d7d7d6d2"),
        ("superclass_ring", {"superclass": "blocks"}, "841a25da"),
        ("superclass_pair", {"superclass": "blocks"}, "865fc46d"),
        ("class_dependent", {"matrix": "l_dmi_cifar10"}, "70703561"),
    ],
)
def test_literal_digests(kind: str, options: dict, expected: str) -> None:
    assert noise.digest(given(BALANCED, kind, 0.4, 5, **options))[:8] == expected


@pytest.mark.parametrize("dtype", [torch.int64, torch.int32, torch.uint8])
def test_type_shape_and_no_change_in_place(dtype: torch.dtype) -> None:
    labels = torch.from_numpy(BALANCED).to(dtype)
    before = labels.clone()
    noisy = noise.corrupt(labels, "symmetric", 0.5, 0, num_classes=10)
    assert isinstance(noisy, torch.Tensor) and noisy.dtype == dtype and noisy.shape == labels.shape
    assert torch.equal(labels, before) and not torch.equal(noisy, labels)
    array = labels.numpy()
    from_array = noise.corrupt(array, "symmetric", 0.5, 0, num_classes=10)
    assert isinstance(from_array, np.ndarray) and from_array.dtype == array.dtype
    assert (from_array == noisy.numpy()).all()
    untouched = noise.corrupt(labels, "none", None, 0, num_classes=10)
    assert torch.equal(untouched, labels) and untouched.data_ptr() != labels.data_ptr()


def test_summary() -> None:
    matrix, rate = noise.realised([0, 0, 1, 1], torch.tensor([0, 1, 1, 1]), 3)
    np.testing.assert_array_equal(matrix, [[0.5, 0.5, 0], [0, 1, 0], [np.nan] * 3])
    assert rate == 0.25
    assert noise.digest([0, 1]) == noise.digest(torch.tensor([0, 1], dtype=torch.uint8)) != noise.digest([1, 0])


@pytest.mark.parametrize(
    ("labels", "kind", "rate", "options", "message"),
    [
        (BALANCED, "uniform", 0.2, {}, "unknown noise kind 'uniform'"),
        (BALANCED, "symmetric", -0.1, {}, "not -0.1"),
        (BALANCED, "symmetric", "0.2", {}, "not '0.2'"),
        (BALANCED, "symmetric", 0.2, {"draw": "exactly"}, "Did you mean 'exact'"),
        (BALANCED + 1, "symmetric", 0.2, {}, r"lie in \[0, 10\), but range from 1 to 10"),
        (BALANCED * 1.0, "symmetric", 0.2, {}, "must be integers, not float64"),
        (BALANCED.reshape(10, -1), "symmetric", 0.2, {}, "one axis"),
        (BALANCED, "human", None, {}, "needs human"),
        (BALANCED, "human", None, {"human": BALANCED[1:]}, "4999 human labels for 5000"),
        (BALANCED, "instance", 0.2, {}, "needs features"),
        (BALANCED, "open_set", 0.2, {}, "open_set_indices"),
        (BALANCED, "class_dependent", 0.2, {"matrix": np.eye(10), "draw": "exact_equal"}, "one rate for all"),
    ],
)
def test_bad_input(labels: np.ndarray, kind: str, rate: float, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        given(labels, kind, rate, **options)


def test_kinds_describe_themselves() -> None:
    assert {"none", "symmetric", "asymmetric", "human", "open_set", "instance"} <= set(noise.kinds())
    assert all(noise.kinds().values()) and set(noise.draws()) == {"exact", "exact_equal", "multinomial"}
