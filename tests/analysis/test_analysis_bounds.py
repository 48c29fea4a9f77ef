"""Class sums, risk bounds and noise tolerance."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from losslab.analysis import bounds, scalar, tolerance
from losslab.analysis.probing import probe, symmetric_noise
from losslab.errors import InputError


def test_width_of_gce() -> None:
    assert bounds.gce_sum(10, 0.7).width == pytest.approx(1.4218, abs=5e-5)
    assert bounds.gce_sum(100, 0.7).width == pytest.approx(4.2587, abs=5e-5)
    assert bounds.gce_sum(10, 1.0).width == 0
    assert bounds.gce_sum(10, 1e-4).width > 9  # towards log K times K, without bound from above


@pytest.mark.parametrize(("num_classes", "q"), [(2, 0.3), (5, 0.7), (10, 0.7), (10, 0.95)])
def test_gce_bounds_are_attained_and_hold(num_classes: int, q: float) -> None:
    exact, found = bounds.gce_sum(num_classes, q), bounds.loss_sum("gce", num_classes, q=q)
    assert (found.low, found.high) == pytest.approx((exact.low, exact.high), abs=1e-6)


@pytest.mark.parametrize(("num_classes", "q", "k"), [(10, 0.7, 0.5), (5, 0.3, 0.3), (10, 0.9, 0.2), (3, 0.5, 0.4)])
def test_truncated_bounds_hold(num_classes: int, q: float, k: float) -> None:
    exact = bounds.truncated_gce_sum(num_classes, q, k)
    found = bounds.loss_sum("truncated_gce", num_classes, q=q, k=k, variant="direct")
    assert exact.low - 1e-9 <= found.low and found.high <= exact.high + 1e-9
    draw = torch.Generator().manual_seed(0)
    p = torch.rand(20000, num_classes, generator=draw, dtype=torch.float64) ** 3
    loss = probe("truncated_gce", num_classes, q=q, k=k, variant="direct")
    sums = loss.class_sums(loss.from_probabilities(p / p.sum(1, keepdim=True)))
    assert exact.low - 1e-9 <= float(sums.min()) and float(sums.max()) <= exact.high + 1e-9


def test_truncated_width() -> None:
    assert bounds.truncated_gce_sum(10, 0.7, 0.5).width == pytest.approx(0.549, abs=5e-4)
    assert bounds.truncated_gce_sum(100, 0.7, 0.5).width == pytest.approx(0.549, abs=5e-4)


@pytest.mark.parametrize(
    ("num_classes", "k", "threshold"),
    [(2, 0.3, 0.48), (3, 0.3, 0.62), (5, 0.3, 0.72), (10, 0.3, 0.79), (10, 0.5, 0.84)],
)
def test_truncation_does_not_always_tighten(num_classes: int, k: float, threshold: float) -> None:
    """The width falls below that of L_q for small q only; the thresholds lie within 0.01 of these."""
    tighter = [
        bounds.truncated_gce_sum(num_classes, q, k).width < bounds.gce_sum(num_classes, q).width
        for q in (threshold - 0.01, threshold + 0.01)
    ]
    assert tighter == [True, False]


def test_risk_bounds() -> None:
    found = bounds.uniform_noise(bounds.gce_sum(10, 0.7).width, 0.4, 10)
    assert found.noisy == pytest.approx((0.0, 0.0632), abs=5e-5)
    assert found.clean == pytest.approx((-0.1137, 0.0), abs=5e-5)
    assert bounds.class_dependent_noise(1.4218, 0.8)[1] == pytest.approx(1.13744)
    assert bounds.excess_factor(0.6, 10) * 3.33 == pytest.approx(0.67, abs=5e-3)
    assert found.clean[0] == pytest.approx(-bounds.excess_factor(0.4, 10) * bounds.gce_sum(10, 0.7).width)


def test_risk_bounds_hold_on_random_problems() -> None:
    """The noisy minimiser over a finite class of classifiers stays within the bound on the clean risk."""
    draw = np.random.default_rng(0)
    for _ in range(200):
        k = int(draw.integers(3, 7))
        rate = float(draw.uniform(0.05, 0.9 * (1 - 1 / k)))
        p = draw.dirichlet(np.full(k, 0.4), size=(12, 6))  # 12 classifiers on 6 inputs
        y = draw.integers(0, k, 6)
        loss = probe("gce", k, q=0.7)
        values = loss.all_labels(loss.from_probabilities(torch.from_numpy(p.reshape(-1, k)))).numpy().reshape(12, 6, k)
        clean = values[:, np.arange(6), y].mean(1)
        noisy = (values @ symmetric_noise(k, rate).numpy()[:, y])[:, np.arange(6), np.arange(6)].mean(1)
        sums = values.sum(2).mean(1)
        assert noisy == pytest.approx((1 - rate * k / (k - 1)) * clean + rate / (k - 1) * sums)
        excess = clean[noisy.argmin()] - clean.min()
        assert excess <= bounds.excess_factor(rate, k) * (sums.max() - sums.min()) + 1e-12


def test_symmetric_losses_under_uniform_noise() -> None:
    assert bounds.uniform_noise_risk(0.5, 18.0, 0.4, 10) == pytest.approx((1 - 4 / 9) * 0.5 + 0.8)
    assert bounds.tolerates_uniform(0.89, 10) and not bounds.tolerates_uniform(0.9, 10)
    assert bounds.tolerates_class_dependent(symmetric_noise(10, 0.8))
    assert not bounds.tolerates_class_dependent(symmetric_noise(2, 0.5))


@pytest.mark.parametrize(
    ("s", "delta_10", "floor_10", "delta_100", "floor_100"),
    [
        (1, 0.743, 1.3769, 0.721, 3.6124),
        (2, 3.781, 0.6807, 4.315, 2.6483),
        (4, 17.98, 0.1005, 40.33, 1.0085),
        (8, 56.99, 0.0012, 342.5, 0.0302),
        (16, 137.0, 1e-7, 1139.0, 1e-5),
    ],
)
def test_anchored_range_and_floor(
    s: float, delta_10: float, floor_10: float, delta_100: float, floor_100: float
) -> None:
    assert bounds.anchored_delta(10, s) == pytest.approx(delta_10, rel=1e-3)
    assert bounds.anchored_delta(100, s) == pytest.approx(delta_100, rel=1e-3)
    assert bounds.cross_entropy_floor(10, s) == pytest.approx(floor_10, abs=5e-5)
    assert bounds.cross_entropy_floor(100, s) == pytest.approx(floor_100, abs=5e-5)


def test_worst_prototypes() -> None:
    assert bounds.worst_delta(10, 4) == pytest.approx(49.0, abs=0.05)
    assert bounds.anchored_delta(10, 0.05) == pytest.approx(0.05**2 / 2 * 10 / 9, rel=0.2)


@pytest.mark.parametrize(("num_classes", "width"), [(10, 3.33), (100, 4.25)])
def test_class_sum_of_normalised_logits(num_classes: int, width: float) -> None:
    """Outputs of unit logits at temperature 1/2: cross entropy is nearly symmetric there."""
    assert bounds.sum_on_ball("ce", num_classes, radius=2.0).width == pytest.approx(width, abs=5e-3)


def test_minimisers_in_closed_form() -> None:
    draw = torch.Generator().manual_seed(1)
    w = torch.rand(5, generator=draw, dtype=torch.float64)
    w = w / w.sum()
    assert torch.allclose(tolerance.minimise("ce", w).p, w, atol=1e-6)
    power = w ** (1 / 0.3)
    assert torch.allclose(tolerance.minimise("gce", w, q=0.7).p, power / power.sum(), atol=1e-6)
    for name in ("mae", "rce", "nce+rce"):
        found = tolerance.minimise(name, w)
        assert found.vertex and found.label == int(w.argmax())
    mse = tolerance.minimise("mse", w)
    assert torch.allclose(mse.p, w, atol=1e-5)


@pytest.mark.parametrize(
    ("name", "given"), [("agce", {"a": 0.6, "q": 0.6}), ("aul", {"a": 5.5, "p": 3.0}), ("ael", {"a": 2.5}), ("mae", {})]
)
def test_minimisers_against_a_grid(name: str, given: dict) -> None:
    """No point of a fine grid on the simplex of three classes is better."""
    w = torch.tensor([0.5, 0.36, 0.14], dtype=torch.float64)
    ticks = torch.arange(101, dtype=torch.float64) / 100
    p = torch.cartesian_prod(ticks, ticks)
    p = torch.cat([p, 1 - p.sum(1, keepdim=True)], 1)
    p = p[p[:, 2] > -1e-9].clamp(0, 1)
    loss = probe(name, 3, **given)
    grid = (loss.all_labels(loss.from_probabilities(p)) @ w).min()
    found = tolerance.minimise(name, w, **given)
    assert found.value <= float(grid) + 1e-12
    assert found.value == pytest.approx(float(grid), abs=1e-3)


@pytest.mark.parametrize(
    ("name", "given", "ratio"),
    [("agce", {"a": 0.6, "q": 0.6}, 1.480), ("aul", {"a": 5.5, "p": 3.0}, 1.494), ("ael", {"a": 2.5}, 1.492)],
)
def test_switch_points(name: str, given: dict, ratio: float) -> None:
    found = tolerance.switch_ratio(name, **given)
    assert found == pytest.approx(ratio, abs=1e-3)
    assert found == pytest.approx(scalar.asymmetry(probe(name, 3, **given)).switch, rel=1e-3)


def test_leaving_rates() -> None:
    """Where the minimiser leaves the vertex of the clean class is where the asymmetry ratio says; L_q and CE leave at once."""
    agce = {"a": 0.6, "q": 0.6}
    assert tolerance.leaving_rate("agce", "pair", **agce) == pytest.approx(0.403, abs=1e-3)
    assert tolerance.leaving_rate("agce", "symmetric", **agce) == pytest.approx(0.859, abs=1e-3)
    assert tolerance.leaving_rate("nce+agce", "pair", tol=1e-3, **agce) == pytest.approx(0.403, abs=2e-3)
    assert tolerance.leaving_rate("nce+rce", "pair", tol=1e-3) == 0.5
    assert tolerance.leaving_rate("nce+rce", "symmetric", tol=1e-3) == 0.9
    assert tolerance.leaving_rate("mae", "symmetric", tol=1e-3) == 0.9
    for name in ("ce", "gce"):
        assert tolerance.leaving_rate(name, "symmetric", tol=1e-3) < 4e-3
    assert tolerance.leaving_rate("ce", "symmetric", "class", tol=1e-2) == 0.9
    assert tolerance.leaving_rate("gce", "pair", "class", tol=1e-2) == 0.5


def test_errors() -> None:
    with pytest.raises(InputError, match="noise rate"):
        bounds.uniform_noise(1.0, 0.9, 10)
    with pytest.raises(InputError, match="q is"):
        bounds.gce_sum(10, 0.0)
    with pytest.raises(InputError, match="distribution"):
        tolerance.minimise("ce", torch.tensor([0.5, 0.2]))
    with pytest.raises(InputError, match="kind"):
        tolerance.noisy_weights("open", 0.1)
    with pytest.raises(InputError, match="event"):
        tolerance.leaving_rate("ce", event="never")
    with pytest.raises(InputError, match="cosines"):
        tolerance.minimise("normface", torch.tensor([0.5, 0.5]))
    assert math.isinf(bounds.loss_sum("ce").high)


# --- outputs near the permutations of one vector ---------------------------------------------------------------------------------------


def test_relaxed_bounds_by_hand() -> None:
    assert bounds.relaxed_uniform(0.3, 0.4, 10) == pytest.approx(2 * 0.3 * 0.4 / 5)  # c = 0.4 / (0.6 * 10 - 1)
    assert bounds.relaxed_uniform(0.0, 0.8, 10) == 0.0
    t = torch.tensor([[0.7, 0.2, 0.1], [0.0, 0.6, 0.4], [0.3, 0.2, 0.5]], dtype=torch.float64)
    # c = (0.7 + 0.6 + 0.5) / 3 = 0.6; a = min(0.7 - 0.2, 0.6 - 0.4, 0.5 - 0.3) = 0.2
    assert bounds.relaxed_class_dependent(0.1, t) == pytest.approx(0.2 + 2 * 0.6 * 0.1 / 0.2)
    prior = torch.tensor([3.0, 1.0, 0.0], dtype=torch.float64)  # c = (3 * 0.7 + 0.6) / 4
    assert bounds.relaxed_class_dependent(0.1, t, prior) == pytest.approx(0.2 + 2 * 0.675 * 0.1 / 0.2)
    with pytest.raises(InputError, match="off the diagonal"):
        bounds.relaxed_class_dependent(0.1, t[[1, 0, 2]])
    with pytest.raises(InputError, match="noise rate"):
        bounds.relaxed_uniform(0.1, 0.9, 10)
    with pytest.raises(InputError, match="negative"):
        bounds.relaxed_uniform(-0.1, 0.2, 10)


@pytest.mark.parametrize("seed", range(40))
def test_relaxed_uniform_holds_on_finite_problems(seed: int) -> None:
    """A few inputs, a few outputs to choose from: the noisy minimiser's clean risk is within the bound of the least one."""
    draw = torch.Generator().manual_seed(seed)
    k = 3 + seed % 3
    outputs = torch.softmax(3 * torch.randn(12, k, generator=draw, dtype=torch.float64), 1)
    rate = 0.9 * (1 - 1 / k) * float(torch.rand((), generator=draw))
    loss = probe("gce", k, q=0.7)
    values = loss.all_labels(loss.from_probabilities(outputs))  # (outputs, labels)
    delta = float(values.sum(1).max() - values.sum(1).min())
    clean_labels = torch.rand(k, generator=draw, dtype=torch.float64)
    clean_labels = clean_labels / clean_labels.sum()
    noisy_labels = clean_labels * (1 - rate) + (1 - clean_labels) * rate / (k - 1)
    clean, noisy = values @ clean_labels, values @ noisy_labels
    excess = float(clean[noisy.argmin()] - clean.min())
    assert 0 <= excess <= bounds.relaxed_uniform(delta, rate, k) + 1e-12


# --- margins in a bound of the error -----------------------------------------------------------------------------------------------------


def test_margin_term_by_hand() -> None:
    margins, counts = torch.tensor([0.5, 1.0]), torch.tensor([100, 25])
    assert bounds.margin_term(margins, counts) == pytest.approx((1 / (0.5 * 10) + 1 / (1.0 * 5)) / 2)
    assert bounds.margin_term(2 * margins, counts) == pytest.approx(0.1)
    with pytest.raises(InputError, match="separated"):
        bounds.margin_term(torch.tensor([0.5, -0.1]), counts)
    with pytest.raises(InputError, match="both be"):
        bounds.margin_term(margins, torch.tensor([1, 2, 3]))


def test_best_margins_are_those_of_ldam() -> None:
    counts = torch.tensor([1.0, 16.0, 81.0])
    best = bounds.best_margins(counts, total=11.0)  # 1 : 1/2 : 1/3
    torch.testing.assert_close(best, torch.tensor([6.0, 3.0, 2.0], dtype=torch.float64))
    least = bounds.margin_term(best, counts)
    for shift in ([0.1, -0.1, 0.0], [-0.1, 0.0, 0.1], [0.0, 0.1, -0.1]):
        assert bounds.margin_term(best + torch.tensor(shift), counts) > least
