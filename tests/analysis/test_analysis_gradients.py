"""Gradient weights, their moments, and per-sample norms against explicit computation."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn

from losslab import losses
from losslab.analysis import curves, gradients, scalar
from losslab.analysis.probing import probe
from losslab.errors import InputError

# mean and variance of the L1 norm at the logits over uniform p: published for CE, MAE and IMAE with T = 8
MOMENTS = [
    ("ce", {}, 1.0, 1 / 3),
    ("mae", {}, 2 / 3, 4 / 45),
    ("imae", {"T": 1.0}, 1.1846, 0.00743),
    ("imae", {"T": 2.0}, 1.4107, 0.04004),
    ("imae", {"T": 4.0}, 2.0301, 0.29850),
    ("imae", {"T": 6.0}, 2.9730, 1.29168),
    ("imae", {"T": 8.0}, 4.4197, 4.54609),
    ("imae", {"T": 10.0}, 6.6552, 14.437),
    ("imae", {"T": 12.0}, 10.130, 43.266),
    ("imae", {"T": 16.0}, 24.080, 354.11),
]


@pytest.mark.parametrize(("name", "given", "mean", "variance"), MOMENTS)
def test_moments_of_the_weight(name: str, given: dict, mean: float, variance: float) -> None:
    found = gradients.moments(name, **given)
    assert found.mean == pytest.approx(mean, rel=5e-5)
    assert found.variance == pytest.approx(variance, rel=7e-4)


def test_small_temperatures_have_less_variance_than_mae() -> None:
    spread = [gradients.moments("imae", T=t).variance for t in (2.6, 2.8)]
    assert spread[0] < 4 / 45 < spread[1]


def test_moments_agree_with_adaptive_quadrature() -> None:
    from scipy.integrate import quad

    q = 0.3
    mean = quad(lambda p: 2 * p**q * (1 - p), 0, 1)[0]
    square = quad(lambda p: (2 * p**q * (1 - p)) ** 2, 0, 1)[0]
    found = gradients.moments("gce", q=q)
    assert (found.mean, found.variance) == pytest.approx((mean, square - mean**2), rel=1e-8)


def test_the_integral_of_imae_diverges() -> None:
    """From p = 0.5 up to 1 - 1e-2, 1e-3, 1e-4 it grows by log(10) / 2 per decade; at p = 1 the gradient does not vanish."""
    form = scalar.scalar(probe("imae", T=8.0))
    ends = 1 - np.array([1e-2, 1e-3, 1e-4])
    assert form.value(np.array([0.5])) - form.value(ends) == pytest.approx([6.758, 7.951, 9.106], abs=1e-3)
    assert curves.curve("imae", [1e-9, 1 - 1e-9], T=8.0).toward_label == pytest.approx([-0.5, -0.5], abs=1e-6)


def test_weights_in_closed_form() -> None:
    p = np.linspace(0.01, 0.99, 33)
    assert gradients.weight("ce", p) == pytest.approx(2 * (1 - p))
    assert gradients.weight("mae", p) == pytest.approx(4 * p * (1 - p))
    assert gradients.weight("gce", p, q=0.7) == pytest.approx(2 * p**0.7 * (1 - p))
    assert gradients.weight("imae", p, T=8.0) == pytest.approx(np.exp(8 * p * (1 - p)))
    assert gradients.weight("agce", p, a=0.6, q=0.6) == pytest.approx(2 * p * (1 - p) * (0.6 + p) ** -0.4)
    rest = (1 - p) / 9
    assert gradients.weight("ce", p, norm=2) == pytest.approx(np.sqrt((1 - p) ** 2 + 9 * rest**2))


@pytest.mark.parametrize(
    ("name", "given", "mode"),
    [
        ("ce", {}, 0.0),
        ("mae", {}, 0.5),
        ("mse", {}, 1 / 3),
        ("gce", {"q": 0.7}, 0.7 / 1.7),
        ("gce", {"q": 0.2}, 0.2 / 1.2),
        ("imae", {"T": 8.0}, 0.5),
    ],
)
def test_emphasis_mode(name: str, given: dict, mode: float) -> None:
    assert gradients.emphasis(name, **given) == pytest.approx(mode, abs=1e-6)


def test_largest_weight_of_gce() -> None:
    assert gradients.weight("gce", [0.7 / 1.7], q=0.7)[0] == pytest.approx(0.632, abs=5e-4)


def test_weight_at_the_start_of_training() -> None:
    """p about 1 / K: close to 2, 4 / K and 1; why MAE hardly moves with a hundred classes."""
    start = [1 / 100]
    assert gradients.weight("ce", start, num_classes=100)[0] == pytest.approx(1.98)
    assert gradients.weight("mae", start, num_classes=100)[0] == pytest.approx(0.0396)
    assert gradients.weight("imae", start, num_classes=100, T=8.0)[0] == pytest.approx(1.0824, abs=1e-3)


@pytest.mark.parametrize("name", [*losses.names(), "nce+rce"])
def test_every_loss_has_a_curve(name: str) -> None:
    found = curves.curve(name, num_classes=4)
    for array in (found.value, found.slope, found.weight_l1, found.weight_l2):
        assert array.shape == found.x.shape and np.isfinite(array).all()
    assert (found.weight_l1 >= found.weight_l2 - 1e-12).all()


@pytest.mark.parametrize("name", ["ce", "nce", "squentropy", "normface", "dmi", "nce+agce"])
def test_slopes_are_derivatives_of_values(name: str) -> None:
    x = np.linspace(0.3, 0.9, 9)
    low, high, middle = (curves.curve(name, x + step, num_classes=4) for step in (-1e-5, 1e-5, 0.0))
    assert middle.slope == pytest.approx((high.value - low.value) / 2e-5, rel=1e-4, abs=1e-6)


def _problem() -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.BatchNorm1d(7), nn.ReLU(), nn.Linear(7, 4, bias=False)).double()
    model(torch.randn(64, 5, dtype=torch.float64))  # statistics that are not trivial
    x, y = torch.randn(30, 5, dtype=torch.float64), torch.randint(0, 4, (30,))
    return model, x, y, torch.rand(30) < 0.4


@pytest.mark.parametrize("norm", [1, 2])
@pytest.mark.parametrize("name", ["ce", "mae", "gce", "imae", "nce+rce"])
def test_per_sample_norms_against_loops(name: str, norm: int) -> None:
    model, x, y, _ = _problem()
    model.train()
    loss = losses.build(name, 4)
    whole = gradients.network_norms(model, loss, x, y, norm, chunk=7)
    assert model.training
    model.eval()
    features = model[:3](x).detach()
    last = gradients.last_layer_norms(loss, features, model(x), y, norm)
    for i in range(0, 30, 5):
        model.zero_grad()
        loss(model(x[i : i + 1]), y[i : i + 1]).backward()
        grads = [parameter.grad.flatten() for parameter in model.parameters()]
        assert float(whole[i]) == pytest.approx(float(torch.cat(grads).norm(p=norm)), rel=1e-9)
        assert float(last[i]) == pytest.approx(float(grads[-1].norm(p=norm)), rel=1e-9)


def test_last_layer_with_bias() -> None:
    torch.manual_seed(1)
    layer, loss = nn.Linear(6, 3).double(), losses.build("gce", 3)
    features, y = torch.randn(4, 6, dtype=torch.float64), torch.tensor([0, 1, 2, 0])
    found = gradients.last_layer_norms(loss, features, layer(features), y, bias=True)
    loss(layer(features[:1]), y[:1]).backward()
    expected = torch.cat([layer.weight.grad.flatten(), layer.bias.grad]).norm()
    assert float(found[0]) == pytest.approx(float(expected))


def test_influence_and_shares() -> None:
    model, x, y, noisy = _problem()
    model.eval()
    loss = losses.build("ce", 4)
    found = gradients.influence(loss, model[:3](x).detach(), model(x).detach(), y, model=model, inputs=x)
    assert torch.allclose(found.last_layer, found.logit * found.feature)
    assert found.network is not None and bool((found.network >= found.last_layer - 1e-12).all())
    spread = gradients.shares(found.logit, noisy)
    assert spread.noisy_share == pytest.approx(float(found.logit[noisy].sum() / found.logit.sum()))
    assert spread.noisy_fraction == pytest.approx(float(noisy.double().mean()))
    assert gradients.shares(torch.ones(30), noisy).variation == 0
    assert -1 <= gradients.direction_cosine(model, loss, x, y, noisy) <= 1
    assert math.isnan(gradients.direction_cosine(model, loss, x, y, torch.zeros(30)))


def test_ranks() -> None:
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert gradients.rank_correlation(a, a**3) == pytest.approx(1.0)
    assert gradients.rank_correlation(a, -a) == pytest.approx(-1.0)
    assert gradients.rank_correlation(a, torch.tensor([1.0, 3.0, 2.0, 4.0])) == pytest.approx(0.8)
    assert math.isnan(gradients.rank_correlation(a, torch.ones(4)))
    assert gradients.reversals(a, torch.tensor([1.0, 3.0, 2.0, 4.0])) == pytest.approx(1 / 6)


def test_errors() -> None:
    with pytest.raises(InputError, match="norm"):
        gradients.weight("ce", [0.5], norm=3)
    with pytest.raises(InputError, match="inside"):
        curves.curve("ce", [0.0, 0.5])
    with pytest.raises(InputError, match="whole batch"):
        gradients.logit_gradients(losses.build("dmi", 3), torch.zeros(4, 3), torch.zeros(4, dtype=torch.int64))
    with pytest.raises(InputError, match="same length"):
        gradients.shares(torch.ones(3), torch.ones(4))
    with pytest.raises(InputError, match="both"):
        gradients.influence(
            losses.build("ce", 3), torch.zeros(2, 5), torch.zeros(2, 3), torch.tensor([0, 1]), model=nn.Identity()
        )
