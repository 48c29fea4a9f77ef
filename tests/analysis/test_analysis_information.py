"""Determinant-based mutual information: invariance, monotonicity, Shannon's counter-example, many classes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from losslab import losses
from losslab.analysis import information
from losslab.errors import InputError


def _random_joint(draw: np.random.Generator, size: int) -> np.ndarray:
    q = draw.random((size, size)) + 2 * np.eye(size) * draw.random()
    return q / q.sum()


def test_counter_example() -> None:
    found = information.counter_example()
    assert found.shannon[0] == pytest.approx((0.0241573, 0.0223668), abs=5e-8)
    assert found.shannon[1] == pytest.approx((0.00320858, 0.00322689), abs=5e-9)
    assert found.determinant[0] == pytest.approx((0.05, 0.04))
    assert found.determinant[1] == pytest.approx((0.020, 0.016))
    assert found.shannon[0][0] > found.shannon[0][1] and found.shannon[1][0] < found.shannon[1][1]
    assert found.determinant[1][0] > found.determinant[1][1]
    assert np.linalg.det(found.transition) == pytest.approx(0.4)


@pytest.mark.parametrize("size", [2, 3, 10])
def test_relative_invariance(size: int) -> None:
    draw = np.random.default_rng(size)
    for _ in range(50):
        q, t = _random_joint(draw, size), draw.dirichlet(np.ones(size), size)
        found = information.invariance(q, t)
        assert found.gap <= 1e-15 + 1e-12 * abs(found.noisy)
        assert found.loss_shift >= 0
        assert -information.log_dmi(q @ t) == pytest.approx(-information.log_dmi(q) + found.loss_shift, abs=1e-9)
        assert information.monotone(q, t) and information.monotone(q, t, side="prediction")


def test_signs_are_kept() -> None:
    """Flipping more than half of the labels turns the sign of det T; the absolute value is what the loss sees."""
    t = np.array([[0.2, 0.8], [0.9, 0.1]])
    found = information.invariance(np.diag([0.5, 0.5]), t)
    assert found.transition == pytest.approx(-0.7) and found.noisy == pytest.approx(-0.175)
    swap = information.invariance(np.diag([0.5, 0.5]), np.array([[0.0, 1.0], [1.0, 0.0]]))
    assert swap.transition == -1 and swap.loss_shift == 0


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_determinants_of_the_noise_models(rate: float) -> None:
    def det(t: np.ndarray) -> float:
        return information.invariance(np.eye(len(t)) / len(t), t).transition

    two = {
        "both ways": np.array([[1 - rate / 2, rate / 2], [rate / 2, 1 - rate / 2]]),
        "first to second": np.array([[1 - rate, rate], [0, 1]]),
        "second to first": np.array([[1, 0], [rate, 1 - rate]]),
    }
    for t in two.values():
        assert det(t) == pytest.approx(1 - rate)
    cifar = np.eye(10)
    for source, target in ((9, 1), (2, 0), (4, 7), (3, 5)):
        cifar[source, source], cifar[source, target] = 1 - rate, rate
    assert det(cifar) == pytest.approx((1 - rate) ** 4)
    resampled = (1 - rate) * np.eye(10) + rate / 10
    assert det(resampled) == pytest.approx((1 - rate) ** 9)
    others = np.full((10, 10), rate / 9)
    np.fill_diagonal(others, 1 - rate)
    assert det(others) == pytest.approx((1 - 10 * rate / 9) ** 9, abs=1e-12)


def test_constant_classifier() -> None:
    """It has the lower 0-1 loss on noisy labels, 0.01 against 0.09, but no information."""
    t = np.array([[0.1, 0.9], [0.0, 1.0]])
    true, constant = np.diag([0.1, 0.9]), np.array([[0.0, 0.0], [0.1, 0.9]])
    errors = [1 - np.trace(q @ t) for q in (true, constant)]
    assert errors == pytest.approx([0.09, 0.01])
    assert information.dmi(constant @ t) == 0 and information.dmi(true @ t) == pytest.approx(0.009)


@pytest.mark.parametrize("size", [2, 10, 100])
def test_normalised_determinant(size: int) -> None:
    draw = np.random.default_rng(1)
    prior = draw.dirichlet(np.full(size, 5.0))
    perfect = np.diag(prior)
    assert information.normalised_dmi(perfect) == pytest.approx(1.0)
    assert information.normalised_dmi(perfect[::-1]) == pytest.approx(1.0)
    noise = 0.9 * np.eye(size) + 0.1 / size
    assert information.normalised_dmi(noise.T @ perfect) == pytest.approx(0.9 ** (size - 1), rel=1e-6)
    assert information.normalised_dmi(np.outer(np.eye(size)[0], prior)) == 0


def test_prior_bound() -> None:
    q = np.eye(10) / 10
    assert information.prior_bound(q) == pytest.approx(1e-10)
    assert information.dmi(q) == pytest.approx(1e-10)
    draw = np.random.default_rng(2)
    for _ in range(20):
        q = _random_joint(draw, 4)
        assert information.dmi(q) <= information.prior_bound(q) + 1e-15
        assert information.prior_bound(q) <= 4.0**-4


def test_joint_of_samples_and_the_loss() -> None:
    torch.manual_seed(0)
    logits, y = torch.randn(300, 4, dtype=torch.float64), torch.randint(0, 4, (300,))
    u = information.joint(torch.softmax(logits, 1), y)
    assert u.sum() == pytest.approx(1.0)
    expected = float(losses.build("dmi", 4, eps=1e-9)(logits, y))
    assert -information.log_dmi(u) == pytest.approx(expected, rel=1e-6)
    hard = information.joint([0, 1, 1], [0, 1, 0])
    assert hard == pytest.approx(np.array([[1, 0], [1, 1]]) / 3)


def test_gradient_identities_of_the_loss() -> None:
    """With v_i[c] = -(1/N) (U^-1)[y_i, c]: dL/dz = p (v - <p, v>), and sum over p dL/dp is -C."""
    torch.manual_seed(1)
    logits, y = torch.randn(60, 3, dtype=torch.float64, requires_grad=True), torch.arange(60) % 3
    p = torch.softmax(logits, 1)
    u = torch.from_numpy(information.joint(p.detach().numpy(), y.numpy()))
    v = -torch.linalg.inv(u)[y] / 60
    expected = p.detach() * (v - (p.detach() * v).sum(1, keepdim=True))
    (found,) = torch.autograd.grad(losses.build("dmi", 3, eps=1e-9)(logits, y), logits)
    assert torch.allclose(found, expected, atol=1e-9)
    assert float((p.detach() * v).sum()) == pytest.approx(-3.0)


def test_memorised_noise_shows() -> None:
    """A fixed classifier on fresh labels has a ratio near 1; one that repeats the noisy labels has about 1 / det(T)^2."""
    draw = np.random.default_rng(3)
    t = np.array([[0.8, 0.2], [0.3, 0.7]])
    y = draw.integers(0, 2, 200000)
    noisy = (draw.random(len(y)) > t[y, 0]).astype(int)
    fixed = np.where(draw.random(len(y)) < 0.85, y, 1 - y)
    ratio = information.invariance_ratio(information.joint(fixed, noisy), information.joint(fixed, y), t)
    assert ratio == pytest.approx(1.0, abs=0.03)
    copied = information.invariance_ratio(information.joint(noisy, noisy), information.joint(noisy, y), t)
    assert copied == pytest.approx(0.55 * 0.45 / (0.5 * 0.5 * 0.5**2), rel=0.02)


def test_batch_estimate() -> None:
    """The batch estimate of the loss is biased, less so for larger batches; small ones may be singular."""
    q = np.array([[0.3, 0.1], [0.2, 0.4]])
    small, large = (information.batch_estimate(q, size, draws=4000) for size in (16, 1024))
    assert abs(large.loss_mean - large.loss) < 0.02 < abs(small.loss_mean - small.loss)
    assert large.determinant_mean == pytest.approx(large.determinant, abs=0.005)
    assert small.singular > 0 == large.singular
    assert information.batch_estimate(np.eye(10) / 10, 5).singular == 1.0
    assert math.isinf(information.batch_estimate(np.eye(10) / 10, 5).loss_mean)


def test_errors() -> None:
    with pytest.raises(InputError, match="square"):
        information.dmi(np.ones((2, 3)))
    with pytest.raises(InputError, match="rows"):
        information.invariance(np.eye(2), np.eye(2) * 2)
    with pytest.raises(InputError, match="side"):
        information.monotone(np.eye(2), np.eye(2), side="both")
    with pytest.raises(InputError, match="labels"):
        information.joint(np.ones((3, 2)), [0, 1])
