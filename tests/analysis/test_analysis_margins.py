"""Margins, neural collapse, calibration."""

from __future__ import annotations

import math

import pytest
import torch

from losslab.analysis import calibration, margins
from losslab.errors import InputError
from losslab.heads.prototypes import polygon, random_prototypes, simplex_etf


@pytest.mark.parametrize(
    ("num_classes", "angle"),
    [(2, 180.0), (3, 120.0), (4, 109.4712), (10, 96.3794), (100, 90.5788), (751, 90.0764), (702, 90.0817)],
)
def test_simplex_angles(num_classes: int, angle: float) -> None:
    assert margins.etf_angle(num_classes) == pytest.approx(angle, abs=5e-5)
    if num_classes <= 100:
        w = simplex_etf(num_classes, num_classes)
        assert margins.class_margin(3.0 * w) == pytest.approx(angle, abs=5e-5)
        assert margins.etf_distance(w) < 1e-12 and margins.centroid_norm(w) < 1e-12
        assert margins.nearest_angles(w).tolist() == pytest.approx([angle] * num_classes, abs=1e-4)


def test_largest_sample_margins() -> None:
    assert margins.max_sample_margin(10) == pytest.approx(1.111111, abs=5e-7)
    assert margins.max_sample_margin(100) == pytest.approx(1.010101, abs=5e-7)
    assert margins.max_sample_margin(10, non_negative=True) == pytest.approx(1.054093, abs=5e-7)
    assert margins.max_sample_margin(100, non_negative=True) == pytest.approx(1.005038, abs=5e-7)
    w = simplex_etf(10, 16)
    gamma = margins.sample_margins(7 * w, w, torch.arange(10))
    assert gamma.tolist() == pytest.approx([10 / 9] * 10)


def test_non_negative_features_reach_their_bound() -> None:
    """Orthonormal features along the axes, prototypes a simplex over the same axes."""
    k = 10
    w = torch.eye(k, dtype=torch.float64) - 1 / k
    gamma = margins.sample_margins(torch.eye(k, dtype=torch.float64), w, torch.arange(k))
    assert gamma.tolist() == pytest.approx([math.sqrt(k / (k - 1))] * k)
    assert margins.class_margin(w) == pytest.approx(margins.etf_angle(k))


def test_sample_margins_by_hand() -> None:
    w = torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
    z = torch.tensor([[3.0, 4.0], [-2.0, 0.0]])
    assert margins.sample_margins(z, w, torch.tensor([0, 1])).tolist() == pytest.approx([0.6 - 0.8, 0.0 - 1.0])
    assert margins.sample_margins(z, w, torch.tensor([0, 2]), unit=False).tolist() == pytest.approx([-1.0, 2.0])


def test_minimal_margins_and_summary() -> None:
    gamma, y = torch.tensor([0.3, -0.1, 0.5], dtype=torch.float64), torch.tensor([0, 0, 2])
    assert margins.minimal_margins(gamma, y, 3).tolist() == [-0.1, math.inf, 0.5]
    w = polygon(10)
    found = margins.summary(w, w, torch.arange(10))
    assert found.class_margin == pytest.approx(36.0)
    assert found.minimal_margin == pytest.approx(found.mean_margin)
    assert found.minimal_margin == pytest.approx(0.19098, abs=5e-6)
    assert found.etf_distance > 0.5


@pytest.mark.parametrize(
    ("num_classes", "dim", "mean", "std"), [(10, 128, 78.8, 2.2), (10, 512, 84.3, 1.2), (100, 512, 80.7, 0.8)]
)
def test_random_prototypes_are_a_strong_baseline(num_classes: int, dim: int, mean: float, std: float) -> None:
    found = margins.random_class_margin(num_classes, dim, draws=100)
    assert found == (pytest.approx(mean, abs=0.5), pytest.approx(std, abs=0.35))


def test_margins_do_not_change_under_rotation_and_scale() -> None:
    torch.manual_seed(0)
    w, z, y = torch.randn(6, 5).double(), torch.randn(40, 5).double(), torch.randint(0, 6, (40,))
    turn = torch.linalg.qr(torch.randn(5, 5).double())[0]
    first, second = margins.summary(z, w, y), margins.summary(2 * z @ turn, 0.3 * w @ turn, y)
    assert first.class_margin == pytest.approx(second.class_margin)
    assert first.minimal_margins == pytest.approx(second.minimal_margins)


def _collapsed(noise: float, k: int = 5, per_class: int = 30) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(1)
    w = simplex_etf(k, 8)
    y = torch.arange(k * per_class) % k
    z = 4 * w[y] + 1.5 + noise * torch.randn(len(y), 8, generator=draw, dtype=torch.float64)
    return z, y, w


def test_full_collapse_is_zero() -> None:
    z, y, w = _collapsed(0.0)
    found = margins.collapse(z, y, w, bias=-w @ torch.full((8,), 1.5, dtype=torch.float64))
    for value in (found.nc1, found.cdnv, found.nc2_norms, found.nc2_angles, found.nc3, found.nc4):
        assert value == pytest.approx(0.0, abs=1e-9)


def test_collapse_measures_grow_with_noise() -> None:
    found = [margins.collapse(*_collapsed(noise)[:2], prototypes=random_prototypes(5, 8)) for noise in (0.1, 1.0)]
    assert found[0].nc1 < found[1].nc1 and found[0].cdnv < found[1].cdnv
    assert found[0].nc2_angles < found[1].nc2_angles
    assert found[0].nc3 is not None and found[0].nc3 > 0.5 and found[0].nc4 is not None and found[0].nc4 > 0.3


def test_nc1_by_hand() -> None:
    """Two classes on a line at +-2 with spread +-1: within 1, between 4, so tr / K = 1/8; cdnv = 2 / (2 * 16)."""
    z = torch.tensor([[1.0], [3.0], [-1.0], [-3.0]], dtype=torch.float64)
    found = margins.collapse(z, torch.tensor([0, 0, 1, 1]))
    assert found.nc1 == pytest.approx(1 / 8) and found.cdnv == pytest.approx(1 / 16)
    assert found.nc3 is None


def test_calibration_by_hand() -> None:
    p = torch.tensor([[0.85, 0.15], [0.85, 0.15], [0.55, 0.45], [0.25, 0.75]])
    found = calibration.reliability(p, torch.tensor([0, 1, 0, 1]), bins=10)
    assert found.counts.tolist() == [0, 0, 0, 0, 0, 1, 0, 1, 2, 0]
    assert found.ece == pytest.approx((2 * 0.35 + 0.45 + 0.25) / 4, abs=1e-6)
    assert found.mce == pytest.approx(0.45, abs=1e-6)
    assert found.overconfidence == pytest.approx(0.75 - 0.75, abs=1e-6)


def test_calibrated_outputs() -> None:
    draw = torch.Generator().manual_seed(0)
    p = torch.softmax(torch.randn(20000, 4, generator=draw, dtype=torch.float64), 1)
    y = torch.multinomial(p, 1, generator=draw).squeeze(1)
    assert calibration.ece(p, y) < 0.02
    sharp = torch.softmax(3 * p.log(), 1)
    assert calibration.ece(sharp, y) > 0.1 and calibration.reliability(sharp, y).overconfidence > 0.1


def test_errors() -> None:
    with pytest.raises(InputError, match="two classes"):
        margins.class_margin(torch.ones(1, 3))
    with pytest.raises(InputError, match="features"):
        margins.sample_margins(torch.ones(4, 2), torch.ones(3, 3), torch.zeros(4))
    with pytest.raises(InputError, match="sample of each"):
        margins.collapse(torch.ones(4, 2), torch.tensor([0, 0, 2, 2]))
    with pytest.raises(InputError, match="softmax"):
        calibration.ece(torch.randn(3, 4), torch.tensor([0, 1, 2]))
    with pytest.raises(InputError, match="labels"):
        calibration.ece(torch.full((3, 2), 0.5), torch.tensor([0, 1]))
