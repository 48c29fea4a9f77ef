"""What losses want from free features: the theorems on largest margins, with and without imbalance."""

from __future__ import annotations

import math

import pytest
import torch

from losslab.analysis import bounds, free_features, margins
from losslab.errors import InputError
from losslab.heads.prototypes import polygon, simplex_etf

COUNTS = torch.tensor([5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50])
"""Long-tailed CIFAR-10 with ratio 100."""


@pytest.mark.parametrize(("num_classes", "dim"), [(2, 2), (3, 2), (4, 3), (5, 8), (10, 16)])
def test_largest_minimal_margin_is_a_simplex(num_classes: int, dim: int) -> None:
    found = free_features.optimise(num_classes, dim, "margin")
    assert found.best_gamma_min == pytest.approx(num_classes / (num_classes - 1))
    assert found.gamma_min == pytest.approx(found.best_gamma_min, abs=1e-5)
    assert found.class_margin == pytest.approx(found.best_class_margin, abs=0.05)
    assert found.alignment == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize(
    ("num_classes", "dim", "angle", "starts"),
    [(4, 2, 90, 2), (6, 2, 60, 2), (10, 2, 36, 2), (5, 3, 90, 2), (6, 3, 90, 2), (7, 3, 77.8695, 4), (8, 3, 74.8585, 2),
     (10, 3, 66.1468, 6), (12, 3, 63.4349, 2)],
)  # fmt: skip
def test_largest_minimal_margin_is_the_best_packing(num_classes: int, dim: int, angle: float, starts: int) -> None:
    found = free_features.optimise(num_classes, dim, "margin", starts=starts)
    assert found.class_margin == pytest.approx(angle, abs=0.01)
    assert found.gamma_min == pytest.approx(1 - math.cos(math.radians(angle)), abs=2e-4)
    assert found.alignment == pytest.approx(1.0, abs=1e-4)
    assert found.best_gamma_min is None


@pytest.mark.parametrize(
    ("loss", "given"),
    [
        ("normface", {"s": 5.0}),
        ("cosface", {"s": 5.0, "m": 0.1}),
        ("arcface", {"s": 5.0, "m": 0.1}),
        ("lm_softmax", {"s": 5.0}),
        ("gm_softmax", {"s": 5.0, "alpha1": 0.5, "alpha2": 0.5}),
        ("gm_softmax", {"s": 5.0, "alpha1": 0.45, "alpha2": 0.45}),
        ("gm_softmax", {"s": 5.0, "alpha1": 0.8, "alpha2": 0.2}),
        ("ce", {"scale": 4.0}),
        ("gce", {"scale": 4.0, "q": 0.7}),
    ],
)
def test_balanced_losses_share_one_optimum(loss: str, given: dict) -> None:
    found = free_features.optimise(10, 16, loss, **given)
    assert found.class_margin == pytest.approx(96.3794, abs=0.05)
    assert found.gamma_min == pytest.approx(1.111111, abs=1e-3)


def test_floors() -> None:
    assert free_features.lm_floor(10, 5) == pytest.approx(-0.67167, abs=5e-6)
    assert free_features.lm_floor(10, 10) == pytest.approx(-0.89139, abs=5e-6)
    assert free_features.lm_floor(100, 10) == pytest.approx(-0.55059, abs=5e-6)
    assert bounds.cross_entropy_floor(100, 5) == pytest.approx(0.491, abs=5e-4)
    assert bounds.cross_entropy_floor(100, 10) == pytest.approx(0.0041, abs=5e-5)
    assert free_features.gm_floor(10, 5) == pytest.approx(bounds.cross_entropy_floor(10, 5))
    found = free_features.optimise(10, 16, "lm_softmax", s=5.0)
    assert found.objective == pytest.approx(free_features.lm_floor(10, 5), abs=1e-8)
    found = free_features.optimise(10, 16, "cosface", s=5.0, m=0.2)
    assert found.objective == pytest.approx(free_features.gm_floor(10, 5, beta=-0.2), abs=1e-8)


@pytest.mark.parametrize(
    ("alpha1", "alpha2", "angle"), [(0.3, 0.3, 0.0), (0.1, 0.1, 0.0), (1.0, 1.5, 60.4), (0.5, 2.0, 43.8)]
)
def test_margin_parameters_outside_the_condition(alpha1: float, alpha2: float, angle: float) -> None:
    found = free_features.optimise(10, 16, "gm_softmax", s=5.0, alpha1=alpha1, alpha2=alpha2)
    assert found.class_margin == pytest.approx(angle, abs=0.1)
    assert alpha1 < free_features.gm_threshold(10) or alpha2 > alpha1


@pytest.mark.parametrize(
    ("loss", "given", "angles"),
    [
        ("normface", {"s": 5.0}, {0: 62.7, 1: 93.7, 5: 95.8, 20: 96.2}),
        ("lm_softmax", {"s": 5.0, "variant": "unscaled"}, {0: 18.9, 1: 40.0, 5: 78.8, 20: 92.1}),
        ("lm_softmax", {"s": 16.0, "variant": "unscaled"}, {0: 33.1, 1: 40.4, 5: 63.1, 20: 85.5}),
    ],
)
def test_imbalance_and_zero_centroid(loss: str, given: dict, angles: dict[int, float]) -> None:
    for weight, angle in angles.items():
        found = free_features.optimise(10, 16, loss, sizes=COUNTS, centroid=weight, **given)
        assert found.class_margin == pytest.approx(angle, abs=0.1)


def test_step_imbalance() -> None:
    sizes = free_features.class_sizes(10, "step")
    found = free_features.optimise(10, 16, "normface", sizes=sizes, s=5.0)
    assert found.class_margin == pytest.approx(51.09, abs=0.05)
    found = free_features.optimise(10, 16, "lm_softmax", sizes=sizes, s=5.0, variant="unscaled")
    assert found.class_margin == pytest.approx(7.25, abs=0.05)
    assert found.mean_margin > 10 / 9 > found.gamma_min


def test_zero_centroid_as_in_code() -> None:
    """|sum w|^2 with LM-Softmax divided by s: a small weight is enough."""
    found = [
        free_features.optimise(
            10, 64, loss, sizes=COUNTS, s=5.0, centroid=weight, centroid_variant="official"
        ).class_margin
        for loss, weight in (("lm_softmax", 0.05), ("normface", 0.05), ("lm_softmax", 1.0))
    ]
    assert found == pytest.approx([92.97, 95.8, 96.22], abs=0.05)


@pytest.mark.parametrize(
    ("kind", "gamma", "low", "high", "centroid"),
    [
        ("balanced", 1.1111, -0.111, -0.111, 0.0),
        ("exp", 0.646, -0.343, 0.569, 0.294),
        ("step", 0.484, -0.224, 0.770, 0.380),
    ],
)
def test_anchored_prototypes_keep_the_margin(kind: str, gamma: float, low: float, high: float, centroid: float) -> None:
    sizes = free_features.class_sizes(10, kind)
    found = free_features.optimise(10, 16, "ce", scale=4.0, sizes=sizes)
    off = (found.prototypes @ found.prototypes.T)[~torch.eye(10, dtype=torch.bool)]
    assert found.gamma_min == pytest.approx(gamma, abs=1e-3)
    assert (float(off.min()), float(off.max())) == pytest.approx((low, high), abs=1e-3)
    assert found.centroid == pytest.approx(centroid, abs=1e-3)
    anchored = free_features.optimise(10, 16, "ce", scale=4.0, sizes=sizes, prototypes=simplex_etf(10, 16))
    assert anchored.gamma_min == pytest.approx(10 / 9, abs=1e-4)


def test_sample_margin_regularisation() -> None:
    """It pulls apart prototypes that a bad loss leaves together; weighted by class sizes it does not help rare classes."""
    bad = {"s": 5.0, "alpha1": 0.3, "alpha2": 0.3}
    found = [free_features.optimise(10, 16, "gm_softmax", margin=weight, **bad).gamma_min for weight in (0.0, 0.5)]
    assert found[0] == pytest.approx(0.0, abs=1e-6) and found[1] > 0.2
    rare = [
        free_features.optimise(10, 16, "normface", sizes=COUNTS, s=5.0, margin=weight).gamma_min
        for weight in (0.0, 0.5)
    ]
    assert rare[1] < rare[0]


def test_non_negative_features() -> None:
    found = free_features.optimise(10, 10, "margin", non_negative=True)
    assert found.gamma_min == pytest.approx(margins.max_sample_margin(10, non_negative=True), abs=1e-3)
    assert bool((found.features >= 0).all())


@pytest.mark.parametrize("degrees", [1.0, 20.0, 96.0])
def test_without_normalisation_any_margin_will_do(degrees: float) -> None:
    found = free_features.unnormalised_witness(10, degrees)
    assert found.objective < 1e-6
    assert found.class_margin == pytest.approx(min(degrees, margins.etf_angle(10)), abs=1e-6)


def test_weight_decay_brings_the_simplex_back() -> None:
    found = free_features.optimise(10, 16, "ce", normalised=False, decay=1e-3)
    assert found.class_margin == pytest.approx(96.3794, abs=0.05)


def test_nsl_decides_like_bayes_on_a_simplex_only() -> None:
    draw = torch.Generator().manual_seed(0)
    for _ in range(50):
        p = torch.rand(10, generator=draw, dtype=torch.float64)
        assert free_features.nsl_prediction(simplex_etf(10, 12), p / p.sum()) == int(p.argmax())
    p = torch.full((10,), 0.02625)
    p[0], p[2] = 0.40, 0.39
    assert free_features.nsl_prediction(polygon(10), p) == 1


def test_seeds_and_errors() -> None:
    first, again = (free_features.optimise(4, 3, "normface", seed=2, s=5.0) for _ in range(2))
    assert torch.equal(first.prototypes, again.prototypes)
    with pytest.raises(InputError, match="positive"):
        free_features.optimise(3, 2, sizes=torch.tensor([1.0, 0.0, 1.0]))
    with pytest.raises(InputError, match="shape"):
        free_features.optimise(3, 2, prototypes=torch.ones(3, 4))
    with pytest.raises(InputError, match="whole batch"):
        free_features.optimise(3, 2, "dmi")
    with pytest.raises(InputError, match="kind"):
        free_features.class_sizes(3, "flat")
    with pytest.raises(InputError, match="degrees"):
        free_features.unnormalised_witness(10, 120.0)
