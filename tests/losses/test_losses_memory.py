"""Losses that remember samples: pruning, running targets, temperatures, complementary labels."""

from __future__ import annotations

import copy
import math
import pickle

import pytest
import torch
from torch import Tensor

from losslab import losses
from losslab.errors import InputError
from losslab.losses import functional as F
from losslab.losses.nlnl import draw_complementary

F64 = torch.float64


def two_class(p: list[float]) -> Tensor:
    """Logits with softmax p at class 0."""
    column = torch.tensor(p, dtype=F64)
    return torch.stack([column.log(), (1 - column).log()], -1)


# --- truncated L_q --------------------------------------------------------------------------------------------------------------


def test_pruning_keeps_at_least_k_and_pruned_samples_come_back() -> None:
    loss = losses.build("truncated_gce", 2, k=0.5, num_samples=4)
    targets = torch.zeros(4, dtype=torch.int64)
    assert loss.state["weight"].tolist() == [1, 1, 1, 1]
    loss.refresh(torch.log_softmax(two_class([0.2, 0.49, 0.51, 0.9]), -1), targets)
    assert loss.state["weight"].tolist() == [0, 0, 1, 1]
    loss.refresh(torch.log_softmax(two_class([0.8, 0.1, 0.51, 0.3]), -1), targets)
    assert loss.state["weight"].tolist() == [1, 0, 1, 0]
    exactly = losses.spec("truncated_gce").state
    assert exactly is not None and exactly.refresh is not None
    log_half = torch.full((1, 1, 2), math.log(0.5), dtype=F64)
    kept = exactly.refresh(
        {"weight": torch.zeros(1, 1, dtype=F64)}, log_half, torch.zeros(1, 1, dtype=torch.int64), k=0.5
    )
    assert kept["weight"].tolist() == [[1.0]]  # p = k is kept, as L_q(p) <= L_q(k) says


def test_weights_stay_frozen_between_prunings() -> None:
    """A kept sample that falls below k still gives its full L_q gradient; a pruned one gives none."""
    loss = losses.build("truncated_gce", 2, q=0.7, k=0.5, variant="official", reduction="sum", num_samples=2)
    targets = torch.zeros(2, dtype=torch.int64)
    loss.refresh(torch.log_softmax(two_class([0.9, 0.1]), -1), targets)
    logits = two_class([0.2, 0.9]).requires_grad_()
    gradient = torch.autograd.grad(loss(logits, targets, index=torch.tensor([0, 1])), logits)[0]
    plain = torch.autograd.grad(F.gce(logits, targets, q=0.7, reduction="sum"), logits)[0]
    torch.testing.assert_close(gradient[0], plain[0])
    assert gradient[1].abs().max() == 0


def test_mean_over_kept_or_over_the_batch() -> None:
    logits, targets = torch.randn(8, 3, dtype=F64), torch.arange(8) % 3
    weight = torch.tensor([1, 1, 0, 0, 0, 1, 0, 0], dtype=F64)
    terms = F.gce(logits, targets, reduction="none") - (1 - 0.5**0.7) / 0.7
    over_kept = F.truncated_gce(logits, targets, state={"weight": weight})
    over_batch = F.truncated_gce(logits, targets, state={"weight": weight}, variant="official")
    torch.testing.assert_close(over_kept, (terms * weight).sum() / 3)
    torch.testing.assert_close(over_batch, (terms * weight).sum() / 8)
    nothing = F.truncated_gce(logits, targets, state={"weight": torch.zeros(8, dtype=F64)})
    assert float(nothing) == 0.0  # a batch without kept samples is finite


def test_alternating_value_is_the_weighted_objective() -> None:
    """sum over samples of w L_q - L_q(k) w, the objective with w fixed."""
    logits, targets = torch.randn(6, 3, dtype=F64), torch.arange(6) % 3
    weight = torch.tensor([1, 0, 1, 1, 0, 1], dtype=F64)
    limit = (1 - 0.5**0.7) / 0.7
    expected = (weight * F.gce(logits, targets, reduction="none")).sum() - limit * weight.sum()
    found = F.truncated_gce(logits, targets, state={"weight": weight}, variant="official", reduction="sum")
    torch.testing.assert_close(found, expected)


def test_memory_is_left_alone_in_evaluation() -> None:
    """Validation samples never meet the weights of training samples."""
    loss = losses.build("truncated_gce", 2, variant="official", num_samples=2)
    targets = torch.zeros(2, dtype=torch.int64)
    logits = two_class([0.1, 0.2])
    loss.refresh(torch.log_softmax(logits, -1), targets)
    assert float(loss(logits, targets, index=torch.tensor([0, 1]))) == 0.0
    loss.eval()
    torch.testing.assert_close(loss(logits, targets), F.truncated_gce(logits, targets, variant="official"))


def test_refresh_makes_the_memory_where_the_size_was_not_given() -> None:
    loss = losses.build("truncated_gce", 2)
    targets = torch.zeros(3, dtype=torch.int64)
    assert torch.isfinite(loss(two_class([0.4, 0.5, 0.6]), targets))  # before the first pruning no index is needed
    loss.refresh(torch.log_softmax(two_class([0.1, 0.9, 0.9]), -1), targets)
    assert loss.state["weight"].tolist() == [0, 1, 1]
    with pytest.raises(InputError, match="index"):
        loss(two_class([0.4, 0.5, 0.6]), targets)


def test_stacked_pruning_uses_each_models_k() -> None:
    memory = losses.spec("truncated_gce").state
    assert memory is not None and memory.refresh is not None
    targets = torch.zeros(2, 3, dtype=torch.int64)
    log_probs = torch.log_softmax(two_class([0.2, 0.5, 0.8]), -1).expand(2, 3, 2)
    start = memory.init(2, 3, 2, targets)
    fresh = memory.refresh(start, log_probs, targets, k=torch.tensor([[0.3], [0.7]], dtype=F64))
    assert fresh["weight"].tolist() == [[0, 1, 1], [0, 0, 1]]


# --- ELR ------------------------------------------------------------------------------------------------------------------------


def test_elr_moves_its_average_and_uses_it() -> None:
    loss = losses.build("elr", 2, lam=3.0, beta=0.7, num_samples=5, reduction="none").double()
    p, index = [0.9, 0.4], torch.tensor([3, 1])
    targets = torch.tensor([0, 0])
    found = loss(two_class(p), targets, index=index)
    average = loss.state["average"]
    assert average[[0, 2, 4]].abs().max() == 0
    torch.testing.assert_close(average[3], torch.tensor([0.27, 0.03], dtype=F64))  # 0.7 * 0 + 0.3 * p
    expected = [-math.log(v) + 3 * math.log(1 - 0.3 * (v * v + (1 - v) ** 2)) for v in p]
    torch.testing.assert_close(found, torch.tensor(expected, dtype=F64))
    loss(two_class([0.5, 0.5]), targets, index=index)
    torch.testing.assert_close(
        loss.state["average"][3], torch.tensor([0.7 * 0.27 + 0.15, 0.7 * 0.03 + 0.15], dtype=F64)
    )


def test_elr_average_is_constant_for_the_gradient() -> None:
    logits = torch.randn(4, 3, dtype=F64, requires_grad=True)
    state = {"average": torch.softmax(torch.randn(4, 3, dtype=F64), -1)}
    targets = torch.tensor([0, 1, 2, 0])
    gradient = torch.autograd.grad(F.elr(logits, targets, state=state, reduction="sum"), logits)[0]
    p = torch.softmax(logits, -1)
    moved = (0.7 * state["average"] + 0.3 * p).detach()
    by_hand = (-p.log()[torch.arange(4), targets] + 3 * (1 - (p * moved).sum(-1)).log()).sum()
    torch.testing.assert_close(gradient, torch.autograd.grad(by_hand, logits)[0])


def test_elr_needs_a_size_and_an_index() -> None:
    targets = torch.tensor([0, 1])
    with pytest.raises(InputError, match="num_samples"):
        losses.build("elr", 2)(torch.zeros(2, 2), targets)
    loss = losses.build("elr", 2, num_samples=3)
    with pytest.raises(InputError, match="index"):
        loss(torch.zeros(2, 2), targets)
    with pytest.raises(InputError, match="index lie in"):
        loss(torch.zeros(2, 2), targets, index=torch.tensor([0, 3]))
    with pytest.raises(InputError, match="index"):
        loss(torch.zeros(2, 2), targets, index=torch.tensor([0]))


# --- ALDR ------------------------------------------------------------------------------------------------------------------------


def test_aldr_temperatures() -> None:
    """An unsure sample keeps lam, a certain one goes towards lam (1 - 1 / alpha)."""
    loss = losses.build("aldr_kl", 4, lam=2.0, alpha=4.0, num_samples=2).double()
    logits = torch.tensor([[0.0, 0, 0, 0], [300.0, 0, 0, 0]], dtype=F64)
    loss(logits, torch.tensor([0, 0]), index=torch.tensor([0, 1]))
    torch.testing.assert_close(2.0 * loss.state["ratio"], torch.tensor([2.0, 1.5], dtype=F64))


def test_aldr_at_lam_is_ldr() -> None:
    logits, targets = torch.randn(5, 4, dtype=F64), torch.arange(5) % 4
    torch.testing.assert_close(F.aldr_kl(logits, targets, lam=1.5, c=0.5), F.ldr_kl(logits, targets, lam=1.5, c=0.5))


# --- NLNL ------------------------------------------------------------------------------------------------------------------------


def test_complementary_labels_are_uniform_over_the_other_classes() -> None:
    targets = torch.arange(5).repeat(2000)
    drawn = draw_complementary(torch.Generator().manual_seed(3), targets, 5, negatives=4)
    assert drawn is not None and drawn.shape == (10000, 4)
    assert not bool((drawn == targets.unsqueeze(-1)).any())
    for y in range(5):
        share = torch.bincount(drawn[targets == y].flatten(), minlength=5) / 8000
        assert share[y] == 0 and bool(((share[torch.arange(5) != y] - 0.25).abs() < 0.02).all())


def test_nlnl_expectation_is_the_mean_over_draws() -> None:
    logits, targets = torch.randn(3, 4, dtype=F64), torch.tensor([0, 1, 2])
    drawn = draw_complementary(torch.Generator().manual_seed(0), targets, 4, negatives=60000)
    many = F.nlnl(logits, targets, complementary=drawn, reduction="none")
    torch.testing.assert_close(many, F.nlnl(logits, targets, reduction="none"), rtol=0.02, atol=0.01)


def test_nlnl_module_draws_by_its_own_seed() -> None:
    logits, targets = torch.randn(50, 6, dtype=F64), torch.arange(50) % 6
    first, again, other = (losses.build("nlnl", 6, seed=seed) for seed in (1, 1, 2))
    before = torch.get_rng_state()
    values = [float(loss(logits, targets)) for loss in (first, again, other)]
    assert torch.equal(before, torch.get_rng_state())  # the global generator is left alone
    assert values[0] == values[1] != values[2]
    assert float(first(logits, targets)) != values[0]  # a new draw per batch
    given = torch.full((50, 1), 5) - (targets == 5).long().unsqueeze(-1)
    p = torch.softmax(logits, -1).gather(-1, given).squeeze(-1)
    torch.testing.assert_close(first(logits, targets, complementary=given), -(1 - p).log().mean())


def test_nlnl_class_weights() -> None:
    """Rare noisy labels weigh n_max / n_y."""
    logits, targets = torch.randn(2, 2, dtype=F64), torch.tensor([0, 1])
    counts = torch.tensor([30.0, 10.0])
    weighted = F.nlnl(logits, targets, class_counts=counts, reduction="none")
    plain = F.nlnl(logits, targets, reduction="none")
    torch.testing.assert_close(weighted / plain, torch.tensor([1.0, 3.0], dtype=F64))


# --- memory of modules --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [n for n in losses.names() if losses.spec(n).state is not None])
def test_memory_survives_copying_and_saving(name: str) -> None:
    loss = losses.build(name, 3, num_samples=4)
    logits, targets, index = torch.randn(4, 3), torch.tensor([0, 1, 2, 0]), torch.arange(4)
    loss(logits, targets, index=index)
    if losses.spec(name).state.refresh is not None:  # type: ignore[union-attr]
        loss.refresh(torch.log_softmax(logits, -1), targets)
    copies = [copy.deepcopy(loss), pickle.loads(pickle.dumps(loss)), losses.build(name, 3, num_samples=4)]
    copies[2].load_state_dict(loss.state_dict())
    expected = copy.deepcopy(loss)(logits, targets, index=index)
    for other in copies:
        assert other.spec is loss.spec
        torch.testing.assert_close(other(logits, targets, index=index), expected)


def test_sum_keeps_the_memory_of_its_parts() -> None:
    loss = losses.build("truncated_gce+elr", 2, num_samples=3, **{"truncated_gce.k": 0.5, "lam": 2.0}).double()
    assert set(loss.state) == {"truncated_gce.weight", "elr.average"}
    targets, index = torch.zeros(3, dtype=torch.int64), torch.arange(3)
    logits = two_class([0.2, 0.6, 0.9])
    loss.refresh(torch.log_softmax(logits, -1), targets)
    assert loss.state["truncated_gce.weight"].tolist() == [0, 1, 1]
    found = loss(logits, targets, index=index)
    weights, averages = {"weight": torch.tensor([0.0, 1, 1], dtype=F64)}, {"average": torch.zeros(3, 2, dtype=F64)}
    parts = F.truncated_gce(logits, targets, state=weights) + F.elr(logits, targets, lam=2.0, state=averages)
    torch.testing.assert_close(found, parts)
    assert bool((loss.state["elr.average"].sum(-1) > 0.29).all())


def test_losses_without_memory_ignore_the_index() -> None:
    logits, targets = torch.randn(4, 3), torch.tensor([0, 1, 2, 0])
    loss = losses.build("gce", 3)
    torch.testing.assert_close(loss(logits, targets, index=torch.arange(4)), loss(logits, targets))
    torch.testing.assert_close(F.gce(logits, targets, index=torch.arange(4)), loss(logits, targets))
    with pytest.raises(InputError, match="nothing to refresh"):
        loss.refresh(torch.log_softmax(logits, -1), targets)
    with pytest.raises(InputError, match="num_samples"):
        losses.build("gce", 3, num_samples=4)
