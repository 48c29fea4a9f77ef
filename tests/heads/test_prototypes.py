"""Fixed prototypes: unit length, zero sum, and angles as wide as known optima."""

from __future__ import annotations

import math

import pytest
import torch

from losslab.errors import InputError
from losslab.heads import prototypes
from losslab.heads.prototypes import min_angle

CASES = [(2, 1), (2, 5), (3, 2), (10, 9), (10, 16), (10, 2), (5, 3), (6, 3), (7, 4), (100, 64), (10, 3), (20, 6)]


@pytest.mark.parametrize(("classes", "dim"), CASES)
def test_anchors_are_unit_vectors_that_sum_to_zero(classes: int, dim: int) -> None:
    w = prototypes.anchors(classes, dim)
    assert w.shape == (classes, dim)
    assert w.dtype == torch.float64
    torch.testing.assert_close(w.norm(dim=1), torch.ones(classes).double(), rtol=0, atol=1e-12)
    assert w.sum(0).abs().max() < 1e-12


@pytest.mark.parametrize(("classes", "dim"), [(2, 1), (3, 2), (4, 3), (10, 16), (100, 128)])
def test_simplex_geometry(classes: int, dim: int) -> None:
    w = prototypes.simplex_etf(classes, dim)
    expected = torch.full((classes, classes), -1 / (classes - 1), dtype=torch.float64).fill_diagonal_(1.0)
    torch.testing.assert_close(w @ w.mT, expected, rtol=0, atol=1e-12)
    # The sample margin of a feature on its prototype is K / (K - 1), the largest possible.
    assert 1 - (w @ w.mT)[0, 1] == pytest.approx(classes / (classes - 1))


@pytest.mark.parametrize(
    ("classes", "dim", "degrees", "tolerance"),
    [
        (10, 2, 36.0, 1e-6),  # polygon
        (5, 3, 90.0, 1e-6),
        (6, 3, 90.0, 1e-6),  # octahedron
        (8, 3, 74.8585, 0.05),  # best packings in space (Tammes)
        (9, 3, 70.5288, 0.05),
        (10, 3, 66.1468, 0.7),  # the best packing of ten points does not sum to zero
        (12, 3, 63.4349, 0.01),  # icosahedron
        (100, 64, 90.0, 1e-6),
        (10, 16, math.degrees(math.acos(-1 / 9)), 1e-6),
    ],
)
def test_angles_reach_known_optima(classes: int, dim: int, degrees: float, tolerance: float) -> None:
    assert min_angle(prototypes.anchors(classes, dim)) == pytest.approx(degrees, abs=tolerance)


def test_optimised_finds_the_simplex_too() -> None:
    assert min_angle(prototypes.optimised(4, 3)) == pytest.approx(109.4712, abs=0.01)


def test_polygon_keeps_the_class_order() -> None:
    w = prototypes.polygon(10)
    angle = torch.atan2(w[:, 1], w[:, 0])
    assert math.degrees(angle[0]) == pytest.approx(-80)
    steps = torch.remainder(angle.roll(-1) - angle, 2 * math.pi)
    torch.testing.assert_close(steps, torch.full((10,), math.pi / 5).double())


def test_seeds() -> None:
    for make in (prototypes.simplex_etf, prototypes.random_prototypes):
        assert torch.equal(make(6, 8, seed=3), make(6, 8, seed=3))
        assert not torch.equal(make(6, 8, seed=3), make(6, 8, seed=4))
    state = torch.get_rng_state()
    prototypes.anchors(9, 3)
    assert torch.equal(torch.get_rng_state(), state)
    prototypes.optimised(9, 3).zero_()
    assert prototypes.optimised(9, 3).norm() == pytest.approx(3)


def test_random_prototypes_are_much_closer() -> None:
    assert 70 < min_angle(prototypes.random_prototypes(10, 128)) < 88
    assert min_angle(torch.tensor([[3.0, 0.0], [0.0, 0.1]])) == pytest.approx(90)


def test_errors() -> None:
    with pytest.raises(InputError, match="needs 4 dimensions or more, got 3"):
        prototypes.simplex_etf(5, 3)
    with pytest.raises(InputError, match="4 to 6 classes, got 8"):
        prototypes.orthogonal_simplices(8, 3)
    with pytest.raises(InputError, match="2 classes"):
        prototypes.anchors(1, 3)
    with pytest.raises(InputError, match="2 dimensions or more, got 1"):
        prototypes.optimised(3, 1)
