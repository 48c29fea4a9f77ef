"""Numbers, identities and gradients that the papers, or derivations from them, give: functions of p_y, normalised losses, IMAE."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from losslab import losses
from losslab.losses import functional as F
from losslab.losses.imae import imae_weight

F64 = torch.float64


def row_with(p: float, num_classes: int = 3) -> Tensor:
    """One row of logits whose softmax is p at class 0 and equal elsewhere."""
    rest = (1 - p) / (num_classes - 1)
    return torch.tensor([[p, *[rest] * (num_classes - 1)]], dtype=F64).log()


def value(name: str, p: float, num_classes: int = 3, **hyper: object) -> float:
    return float(losses.functional.loss(name, row_with(p, num_classes), torch.tensor([0]), **hyper))


# --- generalised cross entropy ------------------------------------------------------------------------------------------------


def test_gce_numbers() -> None:
    assert value("gce", 1e-30, q=0.7) == pytest.approx(1 / 0.7, abs=1e-9)  # upper bound 1.4286
    assert value("gce", 0.5, q=0.7) == pytest.approx(0.5492, abs=5e-5)  # L_q(k) of the usual q and k
    assert value("gce", 0.3, q=1.0) == pytest.approx(value("mae", 0.3) / 2)  # q = 1 is half of MAE
    assert value("gce", 0.3, q=1e-7) == pytest.approx(value("ce", 0.3), rel=1e-6)


@pytest.mark.parametrize("num_classes, width", [(10, 1.4218), (100, 4.2587)])
def test_gce_width_of_the_sum_over_labels(num_classes: int, width: float) -> None:
    found = losses.describe("gce").properties
    assert found.class_sum_high and found.class_sum_low
    h = {"q": 0.7}
    assert found.class_sum_high(num_classes, h) - found.class_sum_low(num_classes, h) == pytest.approx(width, abs=5e-5)


def test_gce_gradient_size_peaks_at_q_over_one_plus_q() -> None:
    p = torch.linspace(0.001, 0.999, 9991, dtype=F64)
    logits = torch.stack([p.log(), (1 - p).log()], -1).requires_grad_()
    F.gce(logits, torch.zeros(len(p), dtype=torch.int64), q=0.7, reduction="sum").backward()
    assert logits.grad is not None
    size = logits.grad.abs().sum(-1)
    torch.testing.assert_close(size, 2 * p**0.7 * (1 - p))
    assert float(p[size.argmax()]) == pytest.approx(0.4118, abs=1e-3)
    assert float(size.max()) == pytest.approx(0.632, abs=1e-3)


def test_truncated_sum_width() -> None:
    found = losses.describe("truncated_gce").properties
    h = {"q": 0.7, "k": 0.5, "variant": "direct"}
    assert found.class_sum_high and found.class_sum_low
    assert found.class_sum_high(10, h) - found.class_sum_low(10, h) == pytest.approx(0.549, abs=5e-4)


def test_gce_risk_bounds_under_uniform_noise() -> None:
    """K = 10, q = 0.7, eta = 0.4, W the width of the sum over labels: eta W / (K - 1), and that over 1 - eta K / (K - 1)."""
    found = losses.describe("gce").properties
    assert found.class_sum_high and found.class_sum_low
    width = found.class_sum_high(10, {"q": 0.7}) - found.class_sum_low(10, {"q": 0.7})
    assert 0.4 * width / 9 == pytest.approx(0.0632, abs=5e-5)
    assert 0.4 * width / 9 / (1 - 0.4 * 10 / 9) == pytest.approx(0.1137, abs=6e-5)


@pytest.mark.parametrize("p", [0.08, 0.3, 0.9])
def test_gce_with_small_q_is_nearly_cross_entropy(p: float) -> None:
    """q = 0.01 differs by less than 1.5 % above p = 0.07: GCE inside sparse regularisation is cross entropy in disguise."""
    assert abs(value("gce", p, q=0.01) / value("ce", p) - 1) < 0.015


def test_direct_truncation_has_no_gradient_below_k() -> None:
    logits = torch.cat([row_with(0.49), row_with(0.51)]).requires_grad_()
    F.truncated_gce(logits, torch.tensor([0, 0]), variant="direct", reduction="sum").backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().max() == 0 and logits.grad[1].abs().max() > 0.1


@pytest.mark.parametrize("p", [0.01, 0.3, 0.9])
def test_comp_sum_family(p: float) -> None:
    u = 1 / p - 1
    assert value("comp_sum", p, tau=0.0) == pytest.approx(u)
    assert value("comp_sum", p, tau=1.0) == pytest.approx(value("ce", p))
    assert value("comp_sum", p, tau=1.7) == pytest.approx(value("gce", p, q=0.7))
    assert value("comp_sum", p, tau=2.0) == pytest.approx(1 - p)


# --- mean absolute error, reverse and symmetric cross entropy ------------------------------------------------------------------


def test_mae_variants_differ_by_two() -> None:
    assert value("mae", 0.3) == pytest.approx(1.4)
    assert value("mae", 0.3, variant="official") == pytest.approx(0.7)


def test_poly1_is_ce_plus_half_mae() -> None:
    assert value("poly1", 0.3, eps=2.0) == pytest.approx(value("ce", 0.3) + value("mae", 0.3))


def test_rce_is_mae_for_a_of_minus_two() -> None:
    assert value("rce", 0.3, A=-2.0) == pytest.approx(value("mae", 0.3))
    assert losses.spec("rce").params["A"].default == pytest.approx(-9.2103, abs=5e-5)


def test_rce_sum_over_seven_labels() -> None:
    """K = 7, A = -6: 36."""
    logits = torch.randn(1, 7, dtype=F64).expand(7, 7)
    assert float(F.rce(logits, torch.arange(7), A=-6.0, reduction="sum")) == pytest.approx(36.0)


@pytest.mark.parametrize("seed", range(3))
def test_rce_equals_the_clamped_code_up_to_its_clamp(seed: int) -> None:
    """The released codes clamp p at 1e-7 and the one-hot label at 1e-4; that changes less than 1e-6 per class."""
    logits = 8 * torch.randn(50, 10, dtype=F64, generator=torch.Generator().manual_seed(seed))
    targets = torch.arange(50) % 10
    p = torch.softmax(logits, -1).clamp(1e-7, 1.0)
    code = -(p * torch.nn.functional.one_hot(targets, 10).double().clamp_min(1e-4).log()).sum(-1)
    assert (F.rce(logits, targets, reduction="none") - code).abs().max() < 1e-5


def test_all_simple_gradients_are_multiples_of_p_minus_onehot() -> None:
    """Factors of p - e_y: CE 1, MAE 2p, RCE -A p, GCE p^q, SCE alpha - beta A p."""
    logits, targets = torch.randn(5, 4, dtype=F64), torch.tensor([0, 1, 2, 3, 0])
    p = torch.softmax(logits, -1)
    hit = torch.nn.functional.one_hot(targets, 4).double()
    own = (p * hit).sum(-1, keepdim=True)
    factors = {
        "ce": torch.ones_like(own),
        "mae": 2 * own,
        "rce": 9.210340371976182 * own,
        "gce": own**0.7,
        "sce": 0.1 + 9.210340371976182 * own,
        "agce": own * (0.6 + own) ** -0.4,
        "aul": own * (5.5 - own) ** 2,
        "ael": own * torch.exp(-own / 2.5) / 2.5,
    }
    for name, factor in factors.items():
        z = logits.clone().requires_grad_()
        losses.functional.loss(name, z, targets, reduction="sum").backward()
        assert z.grad is not None
        torch.testing.assert_close(z.grad, factor * (p - hit), msg=name)


# --- focal loss with a constant factor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("gamma", [0.5, 2.0])
def test_official_focal_gradient_is_a_multiple_of_cross_entropy(gamma: float) -> None:
    logits, targets = torch.randn(4, 3, dtype=F64).requires_grad_(), torch.tensor([0, 1, 2, 1])
    gradient = torch.autograd.grad(F.focal(logits, targets, gamma=gamma, variant="official", reduction="sum"), logits)[
        0
    ]
    p = torch.softmax(logits.detach(), -1)
    hit = torch.nn.functional.one_hot(targets, 3).double()
    factor = (1 - (p * hit).sum(-1, keepdim=True)) ** gamma
    torch.testing.assert_close(gradient, factor * (p - hit))


def test_official_normalised_focal_gradient() -> None:
    """With w_k = (1 - p_k)^gamma constant, T = sum w_k l_k, W = sum w_k: (w_y (p_j - d_jy) T - w_y l_y (W p_j - w_j)) / T^2."""
    logits, targets = torch.randn(4, 3, dtype=F64).requires_grad_(), torch.tensor([0, 1, 2, 1])
    gradient = torch.autograd.grad(F.nfl(logits, targets, variant="official", reduction="sum"), logits)[0]
    for i, y in enumerate(targets.tolist()):
        p = torch.softmax(logits[i].detach(), -1).tolist()
        ell = [-math.log(v) for v in p]
        w = [(1 - v) ** 0.5 for v in p]
        total, weight = sum(a * b for a, b in zip(w, ell, strict=True)), sum(w)
        for j in range(3):
            expected = (w[y] * (p[j] - (j == y)) * total - w[y] * ell[y] * (weight * p[j] - w[j])) / total**2
            assert float(gradient[i, j]) == pytest.approx(expected, rel=1e-9)


# --- normalised losses ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nce", "nfl", "ngce", "nmae", "nrce"])
def test_normalised_losses_sum_to_one(name: str) -> None:
    logits = 5 * torch.randn(20, 1, 7, dtype=F64).expand(20, 7, 7)
    spec = losses.spec(name)
    values = spec.core(torch.log_softmax(logits, -1), torch.arange(7).expand(20, 7), **spec.resolve())
    torch.testing.assert_close(values.sum(-1), torch.ones(20, dtype=F64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_classes, total, ratio", [(10, 186.5, 373.0), (100, 22568.0, 45135.0)])
def test_official_nrce_is_far_too_large(num_classes: int, total: float, ratio: float) -> None:
    logits = torch.randn(1, num_classes, dtype=F64).expand(num_classes, num_classes)
    labels = torch.arange(num_classes)
    nrce = F.nrce(logits, labels, variant="official", reduction="none")
    nmae = F.nmae(logits, labels, variant="official", reduction="none")
    assert float(nrce.sum()) == pytest.approx(total, rel=2e-4)
    assert float(nmae.sum()) == pytest.approx(0.5)
    assert float((nrce / nmae).mean()) == pytest.approx(ratio, rel=1e-4)


def test_nmae_and_nrce_are_the_same_function() -> None:
    logits, targets = torch.randn(8, 6, dtype=F64), torch.arange(8) % 6
    torch.testing.assert_close(F.nmae(logits, targets), F.nrce(logits, targets, A=-3.0))


def test_nce_at_uniform_and_its_other_way_down() -> None:
    assert value("nce", 1 / 5, num_classes=5) == pytest.approx(1 / 5)
    skewed = torch.tensor([[0.2, 0.7, 0.05, 0.03, 0.02]], dtype=F64).log()  # same p_y, the others far from uniform
    assert float(F.nce(skewed, torch.tensor([0]))) < value("nce", 1 / 5, num_classes=5)


def test_sum_of_nce_and_rce_over_labels() -> None:
    """alpha - beta A (K - 1)."""
    logits = torch.randn(1, 10, dtype=F64).expand(10, 10)
    total = losses.functional.loss("nce+rce", logits, torch.arange(10), alpha=10.0, beta=0.1, A=-4.0, reduction="sum")
    assert float(total) == pytest.approx(10 + 0.1 * 4 * 9)


# --- asymmetric losses ------------------------------------------------------------------------------------------------------------

RATIOS = [  # data set table of the paper's settings: loss, hyper-parameters, 1/r
    ("agce", {"a": 4.0, "q": 0.2}, 1.195),
    ("agce", {"a": 0.6, "q": 0.6}, 1.480),
    ("agce", {"a": 6.0, "q": 1.5}, 1.0),
    ("agce", {"a": 1e-5, "q": 0.5}, 316.0),
    ("aul", {"a": 3.0, "p": 0.1}, 1.0),
    ("aul", {"a": 5.5, "p": 3.0}, 1.494),
    ("aul", {"a": 6.3, "p": 1.5}, 1.090),
    ("aul", {"a": 6.0, "p": 3.0}, 1.440),
    ("ael", {"a": 3.5}, 1.331),
    ("ael", {"a": 2.5}, 1.492),
    ("ael", {"a": 5.0}, 1.221),
    ("ael", {"a": 1.5}, 1.948),
]


@pytest.mark.parametrize("name, hyper, expected", RATIOS)
def test_asymmetry_ratio(name: str, hyper: dict[str, float], expected: float) -> None:
    ratio = losses.describe(name).properties.ratio
    assert ratio is not None and ratio(10, hyper) == pytest.approx(expected, rel=2e-3)


@pytest.mark.parametrize("name, hyper, expected", [r for r in RATIOS if 1.0 < r[2] < 3])
def test_minimiser_switches_at_the_ratio(name: str, hyper: dict[str, float], expected: float) -> None:
    """On the 3-class simplex the weighted loss is smallest at the dominant vertex exactly above the ratio."""
    steps = 60
    grid = [(i / steps, j / steps, (steps - i - j) / steps) for i in range(steps + 1) for j in range(steps + 1 - i)]
    log_p = torch.tensor(grid, dtype=F64).clamp_min(1e-300).log()
    core = losses.spec(name).core
    columns = torch.stack([core(log_p, torch.full((len(grid),), k), **hyper) for k in range(3)], -1)
    for factor, at_vertex in ((1.01, True), (0.97, False)):
        weights = torch.tensor([expected * factor, 1.0, 0.0], dtype=F64)
        best = grid[int((columns @ weights).argmin())]
        assert (best == (1.0, 0.0, 0.0)) is at_vertex


@pytest.mark.parametrize("p", [0.05, 0.4, 0.95])
def test_asymmetric_limits(p: float) -> None:
    assert value("agce", p, a=1e-9, q=0.7) == pytest.approx(value("gce", p, q=0.7), rel=1e-6)
    assert value("agce", p, a=2.0, q=1.0) == pytest.approx(1 - p)
    assert float(F.aul(row_with(p), torch.tensor([0]), a=4.0, p=1.0)) == pytest.approx(1 - p)
    assert value("ael", p, a=1e4) == pytest.approx(1 - p / 1e4, abs=1e-8)


# --- IMAE ---------------------------------------------------------------------------------------------------------------------------

IMAE_TABLE = [  # T, mean and variance of the weight for uniform p, by quadrature
    (1.0, 1.1846, 0.00743),
    (2.0, 1.4107, 0.04004),
    (4.0, 2.0301, 0.29850),
    (6.0, 2.9730, 1.29168),
    (8.0, 4.4197, 4.54609),
    (10.0, 6.6552, 14.437),
    (12.0, 10.130, 43.266),
    (16.0, 24.080, 354.11),
]


@pytest.mark.parametrize("T, mean, variance", IMAE_TABLE)
def test_imae_weight_moments(T: float, mean: float, variance: float) -> None:
    p = torch.linspace(0, 1, 20001, dtype=F64)
    weight = imae_weight(p, T)
    first, second = float(torch.trapezoid(weight, p)), float(torch.trapezoid(weight**2, p))
    assert first == pytest.approx(mean, rel=1e-4)
    assert second - first**2 == pytest.approx(variance, rel=2e-3)


@pytest.mark.parametrize("name, mean, variance", [("ce", 1.0, 0.33333), ("mae", 0.66667, 0.08889)])
def test_weights_of_ce_and_mae(name: str, mean: float, variance: float) -> None:
    """The same moments of the L1 norm of the gradient at the logits, by autograd."""
    p = torch.linspace(0.0005, 0.9995, 1000, dtype=F64)
    logits = torch.stack([p.log(), (1 - p).log()], -1).requires_grad_()
    losses.functional.loss(name, logits, torch.zeros(1000, dtype=torch.int64), reduction="sum").backward()
    assert logits.grad is not None
    weight = logits.grad.abs().sum(-1)
    assert float(weight.mean()) == pytest.approx(mean, rel=1e-4)
    assert float((weight**2).mean() - weight.mean() ** 2) == pytest.approx(variance, rel=1e-3)


@pytest.mark.parametrize("T", [2.0, 8.0])
def test_imae_gradient_is_parallel_to_that_of_ce_with_norm_w(T: float) -> None:
    logits, targets = 3 * torch.randn(30, 5, dtype=F64), torch.arange(30) % 5
    z = logits.clone().requires_grad_()
    gradient = torch.autograd.grad(F.imae(z, targets, T=T, reduction="sum"), z)[0]
    reference = torch.autograd.grad(F.ce(z, targets, reduction="sum"), z)[0]
    torch.testing.assert_close(torch.cosine_similarity(gradient, reference, dim=-1), torch.ones(30, dtype=F64))
    p = torch.softmax(logits, -1)[torch.arange(30), targets]
    torch.testing.assert_close(gradient.abs().sum(-1), imae_weight(p, T))


def test_imae_gradient_does_not_vanish_for_fitted_samples() -> None:
    logits = torch.tensor([[12.0, 0.0, 0.0]], dtype=F64, requires_grad=True)
    gradient = torch.autograd.grad(F.imae(logits, torch.tensor([0]), reduction="sum"), logits)[0]
    assert float(gradient[0, 0]) == pytest.approx(-0.5, abs=1e-3)


@pytest.mark.parametrize("cut, expected", [(1e-2, 6.758), (1e-3, 7.951), (1e-4, 9.106)])
def test_integral_of_the_imae_gradient_diverges(cut: float, expected: float) -> None:
    """T = 8, from p = 0.5 to 1 - cut: it grows by log(10) / 2 per decade, so no value of the loss follows from it."""
    step = torch.linspace(math.log(0.5), math.log(cut), 20001, dtype=F64)
    u = 1 - step.exp()
    density = imae_weight(u, 8.0) / (2 * u * (1 - u)) * (1 - u)  # times du / dstep
    assert -float(torch.trapezoid(density, step)) == pytest.approx(expected, abs=2e-3)


def test_official_imae_norms_sum_to_one() -> None:
    logits, targets = torch.randn(64, 10, dtype=F64).requires_grad_(), torch.arange(64) % 10
    gradient = torch.autograd.grad(F.imae(logits, targets, variant="official"), logits)[0]
    assert float(gradient.abs().sum()) == pytest.approx(1.0, abs=1e-5)
