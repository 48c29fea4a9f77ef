"""The claims of the cards, checked by computation on random and extreme predictions."""

from __future__ import annotations

import math

import pytest
import torch
from loss_cases import CASES, Case, ids
from torch import Tensor

from losslab import losses

CHECKED = [case for case in CASES if case.spec.level == "sample"]


def predictions(num_classes: int, kind: str) -> Tensor:
    """Log-probabilities (or logits, or cosines) `(n, K)`: random at many sharpness levels, uniform, near vertices."""
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(400, num_classes, generator=generator, dtype=torch.float64)
    scale = torch.logspace(-2, 1.3, 400, dtype=torch.float64).unsqueeze(-1)
    vertices = 40.0 * torch.eye(num_classes, dtype=torch.float64)
    far = 5000 * vertices if kind == "log_probs" else vertices
    level = torch.zeros(1, num_classes, dtype=torch.float64)
    logits = torch.cat([noise * scale, vertices / 4, vertices, far, -far, level])
    if kind == "cosines":
        return torch.cat([torch.tanh(logits), 2 * torch.eye(num_classes, dtype=torch.float64) - 1])
    return torch.log_softmax(logits, -1) if kind == "log_probs" else logits


def all_labels(case: Case, num_classes: int) -> Tensor:
    """Values of the loss for every prediction and every label, `(n, K)`."""
    inputs = predictions(num_classes, case.spec.input)
    if case.name == "nsl":
        inputs = inputs - inputs.mean(-1, keepdim=True)
    labels = torch.arange(num_classes).expand(len(inputs), num_classes)
    wide = inputs.unsqueeze(1).expand(-1, num_classes, -1)
    given = case.tensors(num_classes=num_classes)
    if case.name == "nlnl":
        given = {}
    return case.spec.core(wide, labels, **case.resolved, **given)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("case", CHECKED, ids=ids(CHECKED))
def test_bounds_and_class_sums(case: Case, num_classes: int) -> None:
    found, h = losses.describe(case.name).properties, case.resolved
    values = all_labels(case, num_classes)
    sums = values.sum(-1)
    size = 1e-9 * max(1.0, float(sums.abs().max()))
    assert torch.isfinite(values).all()
    for bound, numbers, sign in (
        (found.low, values, 1),
        (found.high, values, -1),
        (found.class_sum_low, sums, 1),
        (found.class_sum_high, sums, -1),
    ):
        if bound is not None and not (case.name == "nsl" and bound in (found.low, found.high)):
            assert bool((sign * (numbers - bound(num_classes, h)) >= -size).all()), bound.text
    if found.symmetric:
        assert float(sums.max() - sums.min()) <= size
        assert found.class_sum_low is not None or "+" in case.name


@pytest.mark.parametrize(
    "case", [c for c in CHECKED if c.spec.input == "log_probs" and c.name != "imae"], ids=lambda c: c.id
)
def test_bounds_are_attained(case: Case) -> None:
    """Bounds of the value and of the sum over labels are not only safe but sharp (K = 3)."""
    found, h = losses.describe(case.name).properties, case.resolved
    values = all_labels(case, 3)
    sums = values.sum(-1)
    checked = 0
    for bound, number in (
        (found.low, values.min()),
        (found.high, values.max()),
        (found.class_sum_low, sums.min()),
        (found.class_sum_high, sums.max()),
    ):
        if bound is not None and math.isfinite(bound(3, h)) and not _loose(case, bound.text):
            assert float(number) == pytest.approx(bound(3, h), rel=2e-2, abs=2e-2), bound.text
            checked += 1
    assert checked or found.low is None or _loose(case, found.low.text)


def _loose(case: Case, text: str) -> bool:
    """Claims that are safe, but not sharp for these hyper-parameters."""
    name = case.name
    return (
        "+" in name  # the bounds of two parts need not be attained at the same prediction
        or name in ("bootstrap_soft", "bootstrap_hard", "d2l", "forward")
    )


@pytest.mark.parametrize(
    "case", [c for c in CHECKED if losses.describe(c.name).properties.kind in ("active", "passive")], ids=lambda c: c.id
)
def test_losses_of_the_label_alone_fall_with_its_probability(case: Case) -> None:
    """Both kinds reward the label: raising p_y with the others in proportion never raises the loss."""
    p = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)
    rows = torch.stack([p, 0.7 * (1 - p), 0.3 * (1 - p)], -1).log()
    values = case.spec.core(rows, torch.zeros(99, dtype=torch.int64), **case.resolved)
    assert bool((values.diff() <= 1e-12).all())


def test_symmetric_losses_are_those_of_the_theory() -> None:
    symmetric = {name for name in losses.names() if losses.describe(name).properties.symmetric}
    assert symmetric == {"mae", "rce", "nce", "nfl", "ngce", "nmae", "nrce", "nsl"}
    assert losses.describe("nce+rce").properties.symmetric and not losses.describe("ce+rce").properties.symmetric


@pytest.mark.parametrize("name", [n for n in losses.names() if losses.describe(n).properties.symmetric and n != "nsl"])
@pytest.mark.parametrize("eta", [0.2, 0.6])
def test_noisy_risk_of_symmetric_losses(name: str, eta: float) -> None:
    """Symmetric noise: noisy risk = (1 - eta K / (K - 1)) clean risk + C eta / (K - 1), with C the sum over labels."""
    num_classes = 10
    spec, found = losses.spec(name), losses.describe(name).properties
    h = spec.resolve()
    log_probs = torch.log_softmax(3 * torch.randn(50, num_classes, dtype=torch.float64), -1)
    every = spec.core(
        log_probs.unsqueeze(1).expand(-1, num_classes, -1), torch.arange(num_classes).expand(50, num_classes), **h
    )
    clean = every[:, 0]
    noisy = (1 - eta) * clean + eta / (num_classes - 1) * (every.sum(-1) - clean)
    assert found.class_sum_low is not None
    expected = (1 - eta * num_classes / (num_classes - 1)) * clean + found.class_sum_low(num_classes, h) * eta / (
        num_classes - 1
    )
    torch.testing.assert_close(noisy, expected)


@pytest.mark.parametrize("p", [0.1, 0.9])
def test_every_loss_of_this_form_is_symmetric_on_permutations_of_one_vector(p: float) -> None:
    """Outputs that are permutations of one vector: the sum over labels is constant for CE, FL, GCE and MAE (K = 10)."""
    row = torch.tensor([p, *[(1 - p) * w / 45 for w in range(1, 10)]], dtype=torch.float64)
    rows = torch.stack([row[torch.randperm(10)] for _ in range(20)]).log().unsqueeze(1).expand(20, 10, 10)
    for name in ("ce", "focal", "gce", "mae"):
        spec = losses.spec(name)
        sums = spec.core(rows, torch.arange(10).expand(20, 10), **spec.resolve()).sum(-1)
        assert float(sums.max() - sums.min()) < 1e-12
