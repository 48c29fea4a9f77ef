"""Transition matrices against hand-written ones."""

import numpy as np
import pytest
import torch

from losslab import noise
from losslab.errors import InputError


def test_symmetric() -> None:
    expected = [[0.7, 0.15, 0.15], [0.15, 0.7, 0.15], [0.15, 0.15, 0.7]]
    np.testing.assert_allclose(noise.transition_matrix("symmetric", 3, 0.3), expected)
    expected = [[0.8, 0.1, 0.1], [0.1, 0.8, 0.1], [0.1, 0.1, 0.8]]
    np.testing.assert_allclose(noise.transition_matrix("symmetric_inclusive", 3, 0.3), expected)


def test_pair_and_flip_map() -> None:
    expected = [[0.6, 0.4, 0], [0, 0.6, 0.4], [0.4, 0, 0.6]]
    np.testing.assert_allclose(noise.transition_matrix("pair", 3, 0.4), expected)
    np.testing.assert_allclose(noise.transition_matrix("asymmetric", 3, 0.4, "ring"), expected)
    expected = [[0.75, 0, 0.25], [0, 1, 0], [0.25, 0, 0.75]]
    np.testing.assert_allclose(noise.transition_matrix("asymmetric", 3, 0.25, {0: 2, 2: 0}), expected)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("cifar10", {9: 1, 2: 0, 3: 5, 5: 3, 4: 7}),
        ("mnist", {7: 1, 2: 7, 5: 6, 6: 5, 3: 8}),
        ("fashion_mnist", {9: 7, 7: 5, 2: 6, 4: 3, 3: 4}),
    ],
)
def test_flip_maps(name: str, expected: dict[int, int]) -> None:
    assert noise.flip_map(name) == expected
    matrix = noise.transition_matrix("asymmetric", 10, 0.4, name)
    by_hand = np.eye(10)
    for source, target in expected.items():
        by_hand[source, source], by_hand[source, target] = 0.6, 0.4
    np.testing.assert_allclose(matrix, by_hand)


def test_flip_map_is_a_copy() -> None:
    noise.flip_map("mnist").clear()
    assert noise.flip_map("mnist")


def test_sequential_cats_and_dogs() -> None:
    """Cats that became dogs can become cats again: 0.4 - 0.4^2 of them end up wrong, 0.4 of the dogs, 18.4 % in all."""
    matrix = noise.transition_matrix("asymmetric", 10, 0.4, "cifar10", sequential=True)
    assert matrix[3, 5] == pytest.approx(0.24)
    assert matrix[5, 3] == pytest.approx(0.4)
    assert 1 - np.diag(matrix).mean() == pytest.approx(0.184)


def test_superclasses() -> None:
    blocks = noise.transition_matrix("superclass_ring", 10, 0.2, superclass="blocks")
    assert [int(blocks[i].argsort()[-2]) for i in range(10)] == [1, 2, 3, 4, 0, 6, 7, 8, 9, 5]
    groups = [0, 1, 0, 1, 0, 1]
    ring = noise.transition_matrix("superclass_ring", 6, 1.0, superclass=torch.tensor(groups))
    assert ring.argmax(axis=1).tolist() == [2, 3, 4, 5, 0, 1]
    uniform = noise.transition_matrix("superclass_uniform", 6, 0.5, superclass=groups)
    np.testing.assert_allclose(uniform[0], [0.5, 0, 0.25, 0, 0.25, 0])


def test_superclass_pair() -> None:
    matrix = noise.transition_matrix("superclass_pair", 100, 0.4, superclass="cifar100", seed=3)
    noisy = np.flatnonzero(np.diag(matrix) < 1)
    groups = np.array(noise.CIFAR100_SUPERCLASS)
    assert len(noisy) == 40 and sorted(groups[noisy].tolist()) == sorted([*range(20), *range(20)])
    np.testing.assert_allclose(matrix, matrix.T)
    assert 1 - np.diag(matrix).mean() == pytest.approx(0.4 * 0.4)  # the published rate is not the real one
    other = noise.transition_matrix("superclass_pair", 100, 0.4, superclass="cifar100", seed=4)
    assert (matrix != other).any()


def test_cifar100_superclasses() -> None:
    groups = np.array(noise.CIFAR100_SUPERCLASS)
    assert np.bincount(groups).tolist() == [5] * 20
    assert np.flatnonzero(groups == 0).tolist() == [4, 30, 55, 72, 95]  # beaver, dolphin, otter, seal, whale
    assert np.flatnonzero(groups == 14).tolist() == [2, 11, 35, 46, 98]  # baby, boy, girl, man, woman
    assert (noise.superclasses("blocks", 100) != groups).mean() > 0.9


@pytest.mark.parametrize(
    ("name", "expected", "determinant"),
    [
        ("l_dmi_fashion_1", [[0.7, 0.3], [0.3, 0.7]], 0.4),
        ("l_dmi_fashion_2", [[0.4, 0.6], [0, 1]], 0.4),
        ("l_dmi_fashion_3", [[1, 0], [0.6, 0.4]], 0.4),
        ("l_dmi_dogs_cats", [[1, 0], [0.6, 0.4]], 0.4),
        ("l_dmi_mr", [[1, 0], [0.6, 0.4]], 0.4),
    ],
)
def test_l_dmi(name: str, expected: list[list[float]], determinant: float) -> None:
    np.testing.assert_allclose(noise.named_matrix(name, 0.6), expected)
    np.testing.assert_allclose(noise.transition_matrix("class_dependent", 2, 0.6, matrix=name), expected)
    assert np.linalg.det(noise.named_matrix(name, 0.6)) == pytest.approx(determinant)


def test_l_dmi_cifar10() -> None:
    matrix = noise.named_matrix("l_dmi_cifar10", 0.3)
    assert [(int(i), int(matrix[i].argsort()[-2])) for i in np.flatnonzero(np.diag(matrix) < 1)] == [
        (2, 0),
        (3, 5),
        (4, 7),
        (9, 1),
    ]
    assert np.linalg.det(matrix) == pytest.approx(0.7**4)
    inclusive = noise.transition_matrix("symmetric_inclusive", 10, 0.3)
    assert np.linalg.det(inclusive) == pytest.approx(0.7**9)


@pytest.mark.parametrize("rate", [0.0, 0.17, 1.0])
def test_every_matrix_is_stochastic(rate: float) -> None:
    for kind in noise.kinds():
        if kind in ("none", "instance", "human", "open_set"):
            continue
        matrix = noise.transition_matrix(kind, 10, rate, "cifar10", matrix="l_dmi_cifar10", superclass="blocks", seed=0)
        assert matrix.shape == (10, 10) and matrix.dtype == np.float64 and (matrix >= 0).all()
        np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-12)
        if rate == 0:
            np.testing.assert_array_equal(matrix, np.eye(10))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("symetric", 10, 0.2), {}, "unknown noise kind .*'symetric'.*Did you mean 'symmetric'"),
        (("symmetric", 10, 1.2), {}, r"rate must be a number in \[0, 1\], not 1.2"),
        (("symmetric", 10, float("nan")), {}, "not nan"),
        (("symmetric", 1, 0.2), {}, "num_classes must be at least 2"),
        (("asymmetric", 10, 0.2), {}, "needs flip_map"),
        (("asymmetric", 10, 0.2, "cifar"), {}, "unknown flip map 'cifar'.*Did you mean 'cifar10'"),
        (("asymmetric", 5, 0.2, "cifar10"), {}, "9 -> 1 is not possible"),
        (("symmetric", 10, 0.2), {"sequential": True}, "sequential=True is for asymmetric"),
        (("superclass_ring", 10, 0.2), {}, "needs superclass"),
        (("superclass_ring", 12, 0.2), {"superclass": "blocks"}, "divisible by 5"),
        (("superclass_ring", 4, 0.2), {"superclass": [0, 0, 0, 1]}, "class 3 is alone"),
        (("superclass_ring", 4, 0.2), {"superclass": [0, 0]}, "4 integers"),
        (("superclass_pair", 10, 0.2), {"superclass": "blocks"}, "needs a seed"),
        (("class_dependent", 2, 0.2), {}, "needs matrix"),
        (("class_dependent", 2, 0.2), {"matrix": "l_dmi_fashon_1"}, "Did you mean 'l_dmi_fashion_1'"),
        (("class_dependent", 2, None), {"matrix": [[0.5, 0.4], [0, 1]]}, "row 0 sums to 0.9"),
        (("class_dependent", 2, None), {"matrix": [[1.5, -0.5], [0, 1]]}, "at least 0"),
        (("class_dependent", 3, None), {"matrix": np.eye(2)}, r"shape \(3, 3\), not \(2, 2\)"),
        (("instance", 10, 0.2), {}, "no transition matrix"),
    ],
)
def test_bad_input(arguments: tuple, options: dict, message: str) -> None:
    with pytest.raises(InputError, match=message):
        noise.transition_matrix(*arguments, **options)
