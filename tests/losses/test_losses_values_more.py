"""Numbers, identities and gradients: L_DMI, margin losses, corrections, the rest."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from losslab import losses
from losslab.losses import functional as F
from losslab.losses.bootstrap import d2l_alpha, local_intrinsic_dimensionality
from losslab.losses.label_aware import smoothing
from losslab.losses.regularisers import sample_margin

F64 = torch.float64


# --- L_DMI --------------------------------------------------------------------------------------------------------------------------


def _dmi_of_joint(joint: list[list[float]], noise: Tensor | None = None) -> float:
    """L_DMI of a batch of deterministic predictions that realises a joint matrix of multiples of 1/100."""
    rows, labels = [], []
    matrix = torch.tensor(joint, dtype=F64)
    if noise is not None:
        matrix = matrix @ noise
    for c in range(matrix.shape[0]):
        for j in range(matrix.shape[1]):
            count = round(float(matrix[c, j]) * 100)
            rows += [[60.0 if k == c else 0.0 for k in range(matrix.shape[0])]] * count
            labels += [j] * count
    return float(F.dmi(torch.tensor(rows, dtype=F64), torch.tensor(labels)))


def test_dmi_counter_example() -> None:
    """Two classifiers with DMI 0.05 > 0.04 on clean labels, 0.020 > 0.016 on noisy ones: the ratio is det T = 0.4."""
    noise = torch.tensor([[0.8, 0.2], [0.4, 0.6]], dtype=F64)
    better, worse = [[0.1, 0.4], [0.2, 0.3]], [[0.2, 0.6], [0.1, 0.1]]
    for joint, clean, noisy in ((better, 0.05, 0.020), (worse, 0.04, 0.016)):
        assert math.exp(-_dmi_of_joint(joint)) == pytest.approx(clean, rel=1e-6)
        assert math.exp(-_dmi_of_joint(joint, noise)) == pytest.approx(noisy, rel=1e-6)


def test_dmi_gradient() -> None:
    """dL/dz_i = p_i * (v_i - <p_i, v_i>) with v_i[c] = -(1/N) (U^-1)[y_i, c]; and sum O dL/dO = -K."""
    size, num_classes = 40, 4
    logits, targets = torch.randn(size, num_classes, dtype=F64).requires_grad_(), torch.arange(size) % num_classes
    gradient = torch.autograd.grad(F.dmi(logits, targets, eps=1e-9), logits)[0]
    p = torch.softmax(logits.detach(), -1)
    joint = p.T @ torch.nn.functional.one_hot(targets, num_classes).double() / size
    v = -torch.linalg.inv(joint)[targets] / size
    torch.testing.assert_close(gradient, p * (v - (p * v).sum(-1, keepdim=True)), rtol=1e-7, atol=1e-10)
    assert float((p * v).sum()) == pytest.approx(-num_classes)


def test_dmi_variants_differ_by_a_constant() -> None:
    logits, targets = 3 * torch.randn(60, 4, dtype=F64), torch.arange(60) % 4
    paper, official = F.dmi(logits, targets, eps=1e-9), F.dmi(logits, targets, eps=1e-9, variant="official")
    assert float(paper - official) == pytest.approx(4 * math.log(60))


def test_dmi_gradient_is_damped_by_eps() -> None:
    """The official gradient is the paper's times |det M| / (|det M| + eps)."""
    logits, targets = torch.randn(40, 3, dtype=F64).requires_grad_(), torch.arange(40) % 3
    paper = torch.autograd.grad(F.dmi(logits, targets, eps=1e-9), logits)[0]
    official = torch.autograd.grad(F.dmi(logits, targets, eps=50.0, variant="official"), logits)[0]
    det = math.exp(-float(F.dmi(logits.detach(), targets, eps=1e-12, variant="official")))
    torch.testing.assert_close(official, paper * det / (det + 50.0), rtol=1e-6, atol=1e-10)


def test_dmi_does_not_care_about_permutations() -> None:
    logits, targets = torch.randn(40, 4, dtype=F64), torch.arange(40) % 4
    order = torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(F.dmi(logits[:, order], targets), F.dmi(logits, targets))
    torch.testing.assert_close(F.dmi(logits, order[targets]), F.dmi(logits, targets))


@pytest.mark.parametrize("size, num_classes", [(3, 10), (64, 100), (16, 4)])
def test_dmi_survives_missing_classes(size: int, num_classes: int) -> None:
    """Fewer samples than classes, or a class without samples: finite, and the other directions still learn."""
    logits = torch.randn(size, num_classes, requires_grad=True)
    targets = torch.arange(size) % min(size, num_classes - 1)
    found = F.dmi(logits, targets)
    gradient = torch.autograd.grad(found, logits)[0]
    assert torch.isfinite(found) and torch.isfinite(gradient).all() and gradient.abs().max() > 1e-4
    z = logits.detach().clone().requires_grad_()
    official = F.dmi(z, targets, variant="official")
    gone = torch.autograd.grad(official, z)[0]
    assert torch.isfinite(official) and torch.isfinite(gone).all() and gone.abs().max() < 1e-6


# --- margin losses ------------------------------------------------------------------------------------------------------------------

MARGIN_VALUES = [  # cosines (0.9, 0.1, -0.2), label 0
    ("lm_softmax", {"s": 1.0}, -0.2456448),
    ("lm_softmax", {"s": 5.0}, -0.7597173),
    ("lm_softmax", {"s": 10.0}, -0.7951413),
    ("lm_softmax", {"s": 64.0}, -0.8000000),
    ("normface", {"s": 10.0}, 3.521023e-4),
    ("cosface", {"s": 10.0, "m": 0.1}, 9.568239e-4),
    ("arcface", {"s": 10.0, "m": 0.1}, 5.690337e-4),
]


@pytest.mark.parametrize("dtype", [torch.float32, F64])
@pytest.mark.parametrize("name, hyper, expected", MARGIN_VALUES)
def test_margin_values(name: str, hyper: dict[str, float], expected: float, dtype: torch.dtype) -> None:
    cosines = torch.tensor([[0.9, 0.1, -0.2]], dtype=dtype)
    found = losses.functional.loss(name, cosines, torch.tensor([0]), **hyper)
    assert float(found) == pytest.approx(expected, rel=2e-6 if dtype == F64 else 1e-5)


def test_gm_softmax_special_cases() -> None:
    cosines, targets = 0.9 * torch.tanh(torch.randn(12, 5, dtype=F64)), torch.arange(12) % 5
    gm = F.gm_softmax
    torch.testing.assert_close(gm(cosines, targets), F.normface(cosines, targets))
    torch.testing.assert_close(gm(cosines, targets, beta1=-0.2, beta2=-0.2), F.cosface(cosines, targets, m=0.2))
    low = gm(cosines, targets, beta2=-100.0)
    torch.testing.assert_close(low, F.lm_softmax(cosines, targets, variant="unscaled"))
    torch.testing.assert_close(F.lm_softmax(cosines, targets, variant="unscaled"), 10 * F.lm_softmax(cosines, targets))
    torch.testing.assert_close(F.sphereface(cosines, targets, m=1.0), F.normface(cosines, targets))
    torch.testing.assert_close(F.arcface(cosines, targets, m=0.0), F.normface(cosines, targets))


@pytest.mark.parametrize("s", [1.0, 10.0, 64.0])
def test_lm_softmax_sandwich_and_gradient(s: float) -> None:
    cosines, targets = torch.tanh(torch.randn(20, 6, dtype=F64)).requires_grad_(), torch.arange(20) % 6
    values = F.lm_softmax(cosines, targets, s=s, reduction="none")
    margin = -sample_margin(cosines.detach(), targets)
    assert bool((values >= -margin - 1e-12).all()) and bool((values <= -margin + math.log(5) / s + 1e-12).all())
    gradient = torch.autograd.grad(values.sum(), cosines)[0]
    torch.testing.assert_close(gradient[torch.arange(20), targets], -torch.ones(20, dtype=F64))
    torch.testing.assert_close(gradient.sum(-1), torch.zeros(20, dtype=F64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("num_classes, s, expected", [(10, 5.0, -0.67167), (10, 10.0, -0.89139), (100, 10.0, -0.55059)])
def test_lm_softmax_minimum_at_the_simplex(num_classes: int, s: float, expected: float) -> None:
    cosines = torch.full((1, num_classes), -1 / (num_classes - 1), dtype=F64)
    cosines[0, 0] = 1.0
    assert float(F.lm_softmax(cosines, torch.tensor([0]), s=s)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "num_classes, s, expected", [(100, 5.0, 0.491), (100, 10.0, 0.0041), (10, 4.0, 0.1005), (100, 4.0, 1.0085)]
)
def test_normface_minimum_at_the_simplex(num_classes: int, s: float, expected: float) -> None:
    cosines = torch.full((1, num_classes), -1 / (num_classes - 1), dtype=F64)
    cosines[0, 0] = 1.0
    assert float(F.normface(cosines, torch.tensor([0]), s=s)) == pytest.approx(expected, rel=2e-2)


def test_lm_softmax_does_not_overflow_at_large_scales() -> None:
    cosines = torch.tensor([[-1.0, 1.0, 0.0]], requires_grad=True)
    found = F.lm_softmax(cosines, torch.tensor([0]), s=64.0)
    assert float(found.detach()) == pytest.approx(2.0, abs=1e-4)
    assert torch.isfinite(torch.autograd.grad(found, cosines)[0]).all()


def test_ldam_margins() -> None:
    """Counts 5000 and 50: the rarest class has the whole margin, the other (1/100)^(1/4) of it."""
    cosines = torch.zeros(2, 2, dtype=F64)
    counts = torch.tensor([5000.0, 50.0], dtype=F64)
    values = F.ldam(cosines, torch.tensor([0, 1]), class_counts=counts, reduction="none")
    expected = [math.log(1 + math.exp(30 * 0.5 * 100**-0.25)), math.log(1 + math.exp(30 * 0.5))]
    torch.testing.assert_close(values, torch.tensor(expected, dtype=F64))


def test_nsl_is_symmetric_for_prototypes_that_sum_to_zero() -> None:
    prototypes = torch.randn(6, 3, dtype=F64)
    prototypes = prototypes - prototypes.mean(0)
    cosines = (torch.randn(1, 3, dtype=F64) @ prototypes.T).expand(6, 6)
    assert float(F.nsl(cosines, torch.arange(6), reduction="sum")) == pytest.approx(0.0, abs=1e-12)


# --- corrections, bootstrapping, the rest ---------------------------------------------------------------------------------------------


def test_corrections_with_the_identity_are_cross_entropy() -> None:
    logits, targets, identity = torch.randn(6, 4, dtype=F64), torch.arange(6) % 4, torch.eye(4, dtype=F64)
    for name in ("forward", "backward"):
        found = losses.functional.loss(name, logits, targets, transition=identity)
        torch.testing.assert_close(found, F.ce(logits, targets))


def test_backward_is_unbiased() -> None:
    """The expectation over noisy labels of the corrected loss is the cross entropy of the true label."""
    transition = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.0, 0.3, 0.7]], dtype=F64)
    logits = torch.randn(1, 3, dtype=F64).expand(3, 3)
    by_label = F.backward(logits, torch.arange(3), transition=transition, reduction="none")
    torch.testing.assert_close(transition @ by_label, F.ce(logits, torch.arange(3), reduction="none"))


def test_forward_with_a_label_that_cannot_occur_is_finite() -> None:
    transition = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    logits = torch.zeros(1, 2, requires_grad=True)
    found = F.forward(logits, torch.tensor([1]), transition=transition)
    assert torch.isfinite(found) and float(found.detach()) > 1e6
    assert torch.isfinite(torch.autograd.grad(found, logits)[0]).all()


def test_bootstrapping_without_own_prediction_is_cross_entropy() -> None:
    logits, targets = torch.randn(6, 4, dtype=F64), torch.arange(6) % 4
    for name, key in (("bootstrap_soft", "beta"), ("bootstrap_hard", "beta"), ("d2l", "alpha")):
        torch.testing.assert_close(losses.functional.loss(name, logits, targets, **{key: 1.0}), F.ce(logits, targets))


def test_local_intrinsic_dimensionality_finds_the_dimension() -> None:
    flat = torch.rand(400, 2, dtype=F64, generator=torch.Generator().manual_seed(1)) @ torch.randn(2, 10, dtype=F64)
    line = torch.rand(400, 1, dtype=F64, generator=torch.Generator().manual_seed(1)) @ torch.randn(1, 10, dtype=F64)
    both = local_intrinsic_dimensionality(torch.stack([flat, line]), k=20)
    assert both.tolist() == [pytest.approx(2.0, abs=0.5), pytest.approx(1.0, abs=0.3)]
    assert d2l_alpha(0, 10, 3.0, 2.0) == 1.0
    assert d2l_alpha(10, 10, 3.0, 2.0) == pytest.approx(math.exp(-1.5))


def test_ldr_limits() -> None:
    logits, targets = torch.randn(6, 5, dtype=F64), torch.arange(6) % 5
    torch.testing.assert_close(F.ldr_kl(logits, targets, lam=1.0, c=0.0), F.ce(logits, targets) - math.log(5))
    gaps = logits - logits[torch.arange(6), targets].unsqueeze(-1) + 2.0
    gaps[torch.arange(6), targets] = 0.0
    torch.testing.assert_close(F.ldr_kl(logits, targets, lam=1e-5, c=2.0), gaps.amax(-1).mean(), rtol=0, atol=1e-4)


def test_encouraging_loss_is_log_u() -> None:
    logits, targets = torch.randn(6, 5, dtype=F64), torch.arange(6) % 5
    rest = logits.masked_fill(torch.nn.functional.one_hot(targets, 5).bool(), -math.inf)
    log_u = torch.logsumexp(rest, -1) - logits[torch.arange(6), targets]
    torch.testing.assert_close(F.encouraging(logits, targets, le=1.0, reduction="none"), log_u)
    torch.testing.assert_close(F.lm_softmax(logits, targets, s=1.0, reduction="none"), log_u)


def test_encouraging_loss_is_smooth_at_its_bend() -> None:
    log_p = torch.tensor([0.75 - 1e-7, 0.75 + 1e-7], dtype=F64).log()
    below, above = F.encouraging(
        torch.stack([log_p, torch.log1p(-log_p.exp())], -1), torch.tensor([0, 0]), reduction="none"
    ).tolist()
    assert below == pytest.approx(above, abs=1e-5) and below > above


def test_squentropy_of_zero_logits() -> None:
    assert float(F.squentropy(torch.zeros(1, 4, dtype=F64), torch.tensor([0]))) == pytest.approx(math.log(4))


def test_label_smoothing_targets_of_the_released_code() -> None:
    """K = 10, eps = 0.1: 0.9 and 0.01, which sum to 0.99."""
    logits = torch.randn(1, 10, dtype=F64)
    log_p = torch.log_softmax(logits, -1)[0]
    expected = -(0.9 * log_p[3] + 0.01 * (log_p.sum() - log_p[3]))
    assert float(F.label_smoothing(logits, torch.tensor([3]), variant="official")) == pytest.approx(float(expected))
    paper = torch.nn.functional.cross_entropy(logits, torch.tensor([3]), label_smoothing=0.1)
    assert float(F.label_smoothing(logits, torch.tensor([3]))) == pytest.approx(float(paper))


def test_losses_equal_torch_where_torch_has_them() -> None:
    logits, targets = torch.randn(6, 5, dtype=F64), torch.arange(6) % 5
    torch.testing.assert_close(F.ce(logits, targets), torch.nn.functional.cross_entropy(logits, targets))
    soft = torch.softmax(torch.randn(6, 5, dtype=F64), -1)
    torch.testing.assert_close(F.ce(logits, soft), torch.nn.functional.cross_entropy(logits, soft))


# --- label-aware smoothing --------------------------------------------------------------------------------------------------------------

SHAPES = [("concave", math.sin(math.pi / 4)), ("linear", 0.5), ("convex", 1 - math.cos(math.pi / 4)), ("power", 0.25)]


@pytest.mark.parametrize("shape, middle", SHAPES)
def test_label_aware_smoothing_of_the_middle_class(shape: str, middle: float) -> None:
    """Counts 100, 60, 20: the middle class stands at r = 1/2, the ends at head and tail whatever the shape."""
    counts = torch.tensor([100.0, 60.0, 20.0], dtype=F64)
    eps = smoothing(counts, 0.4, 0.1, shape)
    torch.testing.assert_close(eps, torch.tensor([0.4, 0.1 + 0.3 * middle, 0.1], dtype=F64))
    log_p = torch.tensor([0.7, 0.2, 0.1], dtype=F64).log()
    found = F.label_aware_smoothing(
        log_p.expand(3, 3), torch.arange(3), class_counts=counts, head=0.4, tail=0.1, shape=shape, reduction="none"
    )
    for y in range(3):
        rest = sum(float(log_p[j]) for j in range(3) if j != y)
        expected = -(1 - float(eps[y])) * float(log_p[y]) - float(eps[y]) / 2 * rest
        assert float(found[y]) == pytest.approx(expected)


def test_label_aware_smoothing_of_balanced_classes_is_label_smoothing() -> None:
    logits, targets = torch.randn(6, 4, dtype=F64), torch.arange(6) % 4
    given = {"class_counts": torch.full((4,), 50.0, dtype=F64), "head": 0.3, "variant": "official"}
    torch.testing.assert_close(F.label_aware_smoothing(logits, targets, tail=0.0, **given), F.ce(logits, targets))
    expected = F.label_smoothing(logits, targets, eps=0.2)
    torch.testing.assert_close(F.label_aware_smoothing(logits, targets, tail=0.2, **given), expected)
