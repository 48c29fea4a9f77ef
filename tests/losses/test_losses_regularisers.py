"""Sparse regularisation, margins, centroid, neural collapse; and the estimate of a transition matrix."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab import losses
from losslab.errors import InputError
from losslab.losses import regularisers as R
from losslab.losses.transition import estimate_transition

F64 = torch.float64


def simplex(num_classes: int, dim: int | None = None) -> Tensor:
    """Unit vectors with pairwise cosine -1 / (K - 1)."""
    flat = torch.eye(num_classes, dtype=F64) - 1 / num_classes
    flat = normalize(flat, dim=-1)
    return flat if dim is None else torch.nn.functional.pad(flat, (0, dim - num_classes))


SPARSE = [  # K, tau, p with logits of norm 1: largest probability, smallest CE, official penalty at the sharpest and at uniform
    (10, 0.5, 0.1, 0.4778, 0.7387, 7.6991, 7.9433),
    (100, 0.5, 0.01, 0.0701, 2.6577, 95.4588, 95.4993),
    (50, 0.5, 0.01, 0.1334, 2.0147, 48.0423, 48.0818),
    (10, 0.1, 0.1, 0.9998, 2e-4, 4.14, 7.94),
]


@pytest.mark.parametrize("num_classes, tau, p, top, ce, sharp, uniform", SPARSE)
def test_sparse_values_of_normalised_logits(
    num_classes: int, tau: float, p: float, top: float, ce: float, sharp: float, uniform: float
) -> None:
    logits = torch.stack([simplex(num_classes)[0] * 7.0, torch.zeros(num_classes, dtype=F64)])
    log_probs = torch.log_softmax(R.sharpen(logits, tau=tau, scaling="l2"), -1)
    assert float(log_probs[0, 0].exp()) == pytest.approx(top, abs=1e-4)
    assert -float(log_probs[0, 0]) == pytest.approx(ce, abs=1e-4)
    values = R.sparse(log_probs, p=p, variant="official")
    assert values.tolist() == [pytest.approx(sharp, abs=5e-3), pytest.approx(uniform, abs=5e-3)]


@pytest.mark.parametrize("num_classes, p, smallest", [(10, 0.1, 2.80), (100, 0.01, 85.3)])
def test_clamp_raises_the_smallest_penalty(num_classes: int, p: float, smallest: float) -> None:
    log_probs = torch.log_softmax(1e5 * torch.eye(num_classes, dtype=F64)[:1], -1)
    assert float(R.sparse(log_probs, p=p, variant="official")) == pytest.approx(smallest, rel=2e-3)
    assert float(R.sparse(log_probs, p=p)) == pytest.approx(1.0)
    assert float(R.sparse(torch.log_softmax(torch.zeros(1, num_classes, dtype=F64), -1), p=p)) == pytest.approx(
        num_classes ** (1 - p)
    )


def test_sparse_gradient() -> None:
    """d / dz_j = (p / tau)(u_j^p - u_j sum_k u_k^p); on normalised logits times (I - zh zh^T) / ||z||."""
    logits, tau, p = torch.randn(6, dtype=F64, requires_grad=True), 0.5, 0.1
    for scaling in ("none", "l2"):
        sharpened = R.sharpen(logits.unsqueeze(0), tau=tau, scaling=scaling)
        found = torch.autograd.grad(R.sparse(torch.log_softmax(sharpened, -1), p=p).sum(), logits)[0]
        u = torch.softmax(sharpened[0].detach(), -1)
        expected = p / tau * (u**p - u * (u**p).sum())
        if scaling == "l2":
            z = logits.detach()
            unit = z / z.norm()
            expected = (expected - unit * (unit @ expected)) / z.norm()
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize(
    "start, rho, every, epochs, last",
    [(4.0, 2.0, 5, 50, 2048.0), (1.2, 1.03, 1, 120, 40.4), (10.0, 1.02, 1, 200, 515.0)],
)
def test_growing_weight_at_the_last_epoch(start: float, rho: float, every: int, epochs: int, last: float) -> None:
    assert R.growing_weight(epochs - 1, lam=start, rho=rho, every=every) == pytest.approx(last, rel=2e-3)
    assert R.growing_weight(every - 1, lam=start, rho=rho, every=every) == start


def test_sparse_loss_module() -> None:
    logits, targets = torch.randn(6, 4, dtype=F64), torch.arange(6) % 4
    module = R.SparseLoss(losses.build("ce", 4), tau=0.5, p=0.1, lam=1.2, rho=1.5, scaling="l2")
    module.set_epoch(2)
    sharpened = normalize(logits, dim=-1) / 0.5
    penalty = (torch.softmax(sharpened, -1) ** 0.1).sum(-1).mean()
    expected = torch.nn.functional.cross_entropy(sharpened, targets) + 1.2 * 1.5**2 * penalty
    torch.testing.assert_close(module(logits, targets), expected)
    for loss in (losses.build("cosface", 4), losses.build("dmi", 4), losses.build("ce", 4, reduction="none")):
        with pytest.raises(InputError, match="SparseLoss"):
            R.SparseLoss(loss)
    with pytest.raises(InputError, match="no hyper-parameter 'temperature'"):
        R.SparseLoss(losses.build("ce", 4), temperature=0.5)
    with pytest.raises(InputError, match="outside its range"):
        R.SparseLoss(losses.build("ce", 4), tau=0.0)


@pytest.mark.parametrize("size", [0.0, 1e4])
def test_sparse_terms_are_finite_at_the_extremes(size: float) -> None:
    logits = (size * torch.tensor([[1.0, -1.0, 0.5]])).requires_grad_()
    for scaling in ("none", "l2"):
        for variant in ("paper", "official"):
            value = R.sparse(
                torch.log_softmax(R.sharpen(logits, tau=0.1, scaling=scaling), -1), p=0.01, variant=variant
            ).sum()
            gradient = torch.autograd.grad(value, logits)[0]
            assert torch.isfinite(value) and torch.isfinite(gradient).all()


def test_sample_margin() -> None:
    cosines = torch.tensor([[0.9, 0.1, -0.2], [0.9, 0.1, -0.2], [-1.0, -1.0, -1.0]], dtype=F64)
    assert R.sample_margin(cosines, torch.tensor([0, 1, 2])).tolist() == [pytest.approx(-0.8), pytest.approx(0.8), 0.0]


@pytest.mark.parametrize("num_classes, bound", [(10, 1.111111), (100, 1.010101)])
def test_sample_margin_of_the_simplex_is_the_largest(num_classes: int, bound: float) -> None:
    w = simplex(num_classes)
    assert -R.sample_margin(w @ w.T, torch.arange(num_classes)).tolist()[0] == pytest.approx(bound, abs=1e-6)


def test_zero_centroid() -> None:
    w = torch.randn(3, 5, 4, dtype=F64)
    unit = w / w.norm(dim=-1, keepdim=True)
    torch.testing.assert_close(R.zero_centroid(w), unit.mean(-2).norm(dim=-1) ** 2)
    torch.testing.assert_close(R.zero_centroid(w, variant="official"), 25 * R.zero_centroid(w))
    assert float(R.zero_centroid(simplex(10))) == pytest.approx(0.0, abs=1e-12)


def test_nc1_by_loops() -> None:
    features, means = torch.randn(7, 4, dtype=F64), torch.randn(3, 4, dtype=F64)
    targets = torch.tensor([0, 0, 1, 1, 1, 1, 0])  # class 2 is not in the batch
    total = 0.0
    for k in range(3):
        own = [features[i] for i in range(7) if int(targets[i]) == k]
        total += sum(float(((h - means[k]) ** 2).sum()) for h in own) / max(len(own), 1)
    assert float(R.nc1(features, targets, means)) == pytest.approx(total / 3)
    stacked = R.nc1(features.expand(2, 7, 4), targets.expand(2, 7), means.expand(2, 3, 4))
    assert stacked.tolist() == [pytest.approx(total / 3)] * 2


@pytest.mark.parametrize("num_classes, degrees", [(2, 180.0), (3, 120.0), (4, 109.4712), (10, 96.3794), (100, 90.5788)])
def test_nc2_at_the_simplex(num_classes: int, degrees: float) -> None:
    means = 3.0 * simplex(num_classes) + 5.0  # a common shift does not matter
    for variant in ("average", "minimum"):
        assert -math.degrees(float(R.nc2(means, variant=variant))) == pytest.approx(
            degrees, abs=0.3 if num_classes == 2 else 1e-3
        )
    assert float(R.nc2(means, variant="etf")) == pytest.approx(0.0, abs=1e-9)


def test_nc2_average_and_minimum_differ() -> None:
    means = torch.randn(2, 5, 3, dtype=F64)
    average, minimum, distance = (R.nc2(means, variant=v) for v in ("average", "minimum", "etf"))
    assert average.shape == (2,) and bool((average < minimum).all()) and bool((distance > 0.1).all())


@pytest.mark.parametrize("name", R.names())
def test_specs_compute_the_weighted_term(name: str) -> None:
    spec = R.spec(name)
    inputs = {
        "log_probs": torch.log_softmax(torch.randn(6, 4, dtype=F64), -1),
        "cosines": torch.tanh(torch.randn(6, 4, dtype=F64)),
        "targets": torch.arange(6) % 4,
        "prototypes": torch.randn(4, 3, dtype=F64),
        "features": torch.randn(6, 3, dtype=F64),
        "means": torch.randn(4, 3, dtype=F64),
    }
    params = spec.resolve({"lam": 2.0})
    chosen = [inputs[key] for key in spec.inputs]
    value = spec.core(*chosen, **{key: params[key] for key in spec.core_params})
    assert value.shape == ((6,) if spec.level == "sample" else ())
    torch.testing.assert_close(spec.term(*chosen, epoch=0, **params), 2.0 * value.mean())
    stacked = [x.expand(3, *x.shape) for x in chosen]
    weights = {**params, "lam": torch.tensor([[1.0], [2.0], [3.0]], dtype=F64)}
    torch.testing.assert_close(
        spec.term(*stacked, epoch=0, **weights), torch.tensor([1.0, 2.0, 3.0], dtype=F64) * value.mean()
    )
    real = [x.requires_grad_() for x in chosen if x.is_floating_point()]
    assert torch.autograd.gradcheck(
        lambda *_: spec.core(*chosen, **{key: params[key] for key in spec.core_params}), real
    )
    assert spec.meaning and all(param.meaning for param in spec.params.values())


def test_unknown_regulariser() -> None:
    with pytest.raises(InputError, match="known: sparse"):
        R.spec("sparsity")
    with pytest.raises(InputError, match="no hyper-parameter"):
        R.spec("nc1").resolve({"mu": 1.0})


# --- transition matrices ----------------------------------------------------------------------------------------------------------


def test_transition_from_anchors() -> None:
    """Predictions that are rows of T for clean anchors give T back."""
    truth = torch.tensor([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.05, 0.25, 0.7]], dtype=F64)
    mixed = torch.softmax(0.1 * torch.randn(50, 3, dtype=F64), -1)
    found = estimate_transition(torch.cat([mixed, truth]))
    torch.testing.assert_close(found, truth)
    assert found.dtype == F64
    torch.testing.assert_close(estimate_transition(torch.cat([mixed, truth]).numpy()), truth)  # arrays too


def test_transition_with_the_percentile_rule() -> None:
    """By numpy, as the rule is stated: values at or above the percentile are set aside, then the largest is taken."""
    p = torch.softmax(2 * torch.randn(500, 4, dtype=F64), -1)
    table = p.numpy()
    expected = np.empty((4, 4))
    for i in range(4):
        column = table[:, i].copy()
        column[column >= np.percentile(column, 97, method="higher")] = 0.0
        expected[i] = table[column.argmax()]
    found = estimate_transition(p, percentile=97)
    np.testing.assert_allclose(found.numpy(), expected)
    assert not torch.equal(found, estimate_transition(p))


def test_transition_of_constant_predictions() -> None:
    constant = torch.full((10, 4), 0.25)
    for percentile in (None, 97):
        torch.testing.assert_close(estimate_transition(constant, percentile), torch.full((4, 4), 0.25, dtype=F64))


@pytest.mark.parametrize(
    "table, percentile",
    [
        (torch.rand(5), None),
        (torch.ones(5, 3), None),
        (torch.zeros(0, 3), None),
        (torch.eye(3).long(), None),
        (torch.eye(3), 0),
        (torch.eye(3), 101),
        (torch.eye(3) * torch.nan, None),
    ],
)
def test_transition_refuses_other_input(table: Tensor, percentile: float | None) -> None:
    with pytest.raises(InputError):
        estimate_transition(table, percentile)
