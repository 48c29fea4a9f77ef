"""The engine computes what a plain single-network loop computes: in float64, to 1e-9, after three epochs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from small import BLOBS, DIGITS, FEW_DIGITS, run, train_cohort, weights_of

from losslab import losses
from losslab.runs import DataPart, NamedPart, NoisePart, Run, Schedule
from losslab.training.cohort import Outcome
from reference import Alone, train_alone

WEIGHTS = 1e-9
CURVES = 2e-6  # the engine keeps its curves in float32


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def assert_equal(found: Outcome, expected: Alone) -> None:
    """Weights, statistics, curves and final scores agree."""
    mine = weights_of(found)
    assert mine.keys() == expected.weights.keys()
    for name, value in expected.weights.items():
        torch.testing.assert_close(mine[name].reshape(value.shape), value, rtol=WEIGHTS, atol=WEIGHTS, msg=name)
    missing = {name for name in expected.curves if name not in found.curves}
    assert not missing
    for where, theirs in ((found.curves, expected.curves), (found.final, expected.final)):
        for name, values in theirs.items():
            here, there = torch.tensor(where[name]), torch.tensor(values)
            torch.testing.assert_close(here, there, rtol=CURVES, atol=CURVES, equal_nan=True, msg=name)


def check(one: Run) -> Outcome:
    """Trains a run both ways and compares."""
    found = train_cohort([one])[one.hash]
    assert found.diverged_at is None
    assert_equal(found, train_alone(one))
    return found


@pytest.mark.parametrize("loss", [*losses.names(), "nce+rce", "gce+agce", "elr+mae", "nlnl+ce"])
def test_every_loss(loss: str) -> None:
    steep = {"backward": 0.002, "dmi": 0.002, "nlnl": 0.01}
    one = run(loss, data=BLOBS if loss == "dmi" else DIGITS, recipe={"lr": steep.get(loss, 0.02)})
    check(one)


@pytest.mark.parametrize(
    ("model", "params"),
    [
        ("mlp", {}),
        ("mlp_bn", {}),
        ("cnn_small", {}),
        ("cnn4", {}),
        ("cnn4", {"conv_bias": False, "final_relu": False, "feature_dim": 3}),
    ],
)
def test_every_small_network(model: str, params: dict[str, Any]) -> None:
    part = DataPart(name="digits", validation=0.1, imbalance="none")
    one = run("gce", data=part, model=NamedPart(name=model, params=params), recipe={"epochs": 2, "batch_size": 256})
    check(one)


OPTIMISERS: dict[str, dict[str, Any]] = {
    "plain": {"momentum": 0.0, "weight_decay": 0.0, "clip_norm": None},
    "momentum": {"weight_decay": 0.0, "clip_norm": None},
    "decay": {"clip_norm": None, "weight_decay": 1e-2},
    "clip": {"clip_norm": 0.1, "weight_decay": 0.0},
    "nesterov": {"nesterov": True, "lr": 0.05},
    "adam": {"optimizer": "adam", "lr": 0.001, "momentum": 0.0, "weight_decay": 0.0, "clip_norm": None},
    "adam, decay, clip": {"optimizer": "adam", "lr": 0.001, "momentum": 0.0, "weight_decay": 1e-2, "clip_norm": 0.5},
}


@pytest.mark.parametrize("case", OPTIMISERS)
def test_every_optimiser(case: str) -> None:
    check(run("gce", data=BLOBS, recipe={"batch_size": 32, **OPTIMISERS[case]}))


SCHEDULES = {
    "cosine": Schedule(),
    "cosine to a floor": Schedule(floor=0.005),
    "constant": Schedule(kind="constant"),
    "steps": Schedule(kind="steps", milestones=(1, 2), factor=0.1),
    "exponential": Schedule(kind="exponential", factor=0.8),
    "keras": Schedule(kind="keras", milestones=(2,), decay=0.05),
    "warm-up": Schedule(kind="steps", milestones=(3,), warmup=2),
}


@pytest.mark.parametrize("case", SCHEDULES)
def test_every_schedule(case: str) -> None:
    check(run("ce", data=BLOBS, recipe={"batch_size": 32, "epochs": 5, "schedule": SCHEDULES[case]}))


@pytest.mark.parametrize(
    ("part", "batch"),
    [
        (DataPart(name="toy-blobs", options={"train": 96, "test": 64}), 32),
        (DataPart(name="toy-blobs", options={"train": 97, "test": 64}), 32),
        (DataPart(name="toy-blobs", options={"train": 120, "test": 64}, validation=0.3, split_seed=4), 50),
        (DataPart(name="toy-blobs", options={"train": 60, "test": 64}), 100),
        (DataPart(name="digits", validation=0.5, statistics="per_pixel"), 128),
    ],
    ids=["full batches", "one sample left", "another split", "one batch", "per-pixel mean"],
)
def test_batches_and_splits(part: DataPart, batch: int) -> None:
    check(run("gce", data=part, recipe={"batch_size": batch}))


@pytest.mark.parametrize(
    "noise",
    [
        NoisePart(),
        NoisePart(kind="symmetric", rate=0.6, draw="multinomial"),
        NoisePart(kind="asymmetric", rate=0.3, flip_map="ring", seed=7),
    ],
    ids=["clean", "multinomial", "asymmetric, own seed"],
)
def test_noise(noise: NoisePart) -> None:
    found = check(run("forward", data=BLOBS, noise=noise, recipe={"batch_size": 32}))
    assert math.isnan(found.final["fit_noisy"]) == (noise.kind == "none")


@pytest.mark.parametrize("policy", ["crop_flip", "crop_flip_rotate15", "shift_flip"])
def test_augmentation(policy: str) -> None:
    plain = run("ce", data=DIGITS, recipe={"epochs": 2})
    moved = run("ce", data=DIGITS.model_copy(update={"augment": policy}), recipe={"epochs": 2})
    found, still = check(moved), train_cohort([plain])[plain.hash]
    assert found.curves["train_loss"] != still.curves["train_loss"]


@pytest.mark.parametrize("sampler", ["shuffle", "class_aware", "class_balanced"])
def test_samplers(sampler: str) -> None:
    one = run("gce", data=FEW_DIGITS.model_copy(update={"imbalance": "none"}), recipe={"sampler": sampler})
    check(one)


@pytest.mark.parametrize("source", ["current", "best_val"])
@pytest.mark.parametrize("variant", ["paper", "official"])
def test_truncated_gce_prunes(source: str, variant: str) -> None:
    schedule = {
        "epochs": 6,
        "refresh_start": 2,
        "refresh_every": 2,
        "refresh_from": source,
        "batch_size": 32,
        "lr": 0.1,
    }
    one = run("truncated_gce", {"k": 0.35, "variant": variant}, data=BLOBS, recipe=schedule)
    found, expected = train_cohort([one])[one.hash], train_alone(one)
    assert_equal(found, expected)
    assert len(expected.pruned) == 2
    assert 0 < expected.pruned[-1] < 1
    assert found.final["prune_share"] == pytest.approx(expected.pruned, abs=1e-6)
    assert found.final["prune_epoch"] == [2, 4]


REGULARISERS: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "sparse": ("ce", "sparse", {}, "linear"),
    "sparse, gce": ("gce", "sparse", {"tau": 0.7, "p": 0.2, "lam": 0.3, "rho": 1.5, "every": 2}, "linear"),
    "sparse, normalised": ("ce", "sparse", {"scaling": "l2"}, "linear"),
    "sample margin": ("normface", "sample_margin", {}, "cosine"),
    "sample margin, plain logits": ("ce", "sample_margin", {"lam": 0.5}, "linear"),
    "zero centroid": ("lm_softmax", "zero_centroid", {}, "cosine"),
}


@pytest.mark.parametrize("case", REGULARISERS)
def test_regularisers(case: str) -> None:
    loss, name, params, head = REGULARISERS[case]
    check(run(loss, data=BLOBS, regulariser=NamedPart(name=name, params=params), head=NamedPart(name=head)))


@pytest.mark.parametrize(
    ("head", "params"), [("cosine", {"scale": 8.0}), ("fnpal", {}), ("anchored", {}), ("linear", {"bias": False})]
)
def test_heads(head: str, params: dict[str, Any]) -> None:
    check(run("ce", head=NamedPart(name=head, params=params), recipe={"batch_size": 256}))


@pytest.mark.parametrize(("gives", "loss"), [("transition", "forward"), ("weights", "dmi"), ("backbone", "gce")])
def test_runs_that_start_from_another(gives: str, loss: str) -> None:
    parent = run("ce", data=BLOBS, recipe={"batch_size": 32})
    one = run(loss, data=BLOBS, parent=parent, parent_gives=gives, recipe={"batch_size": 32, "lr": 0.005})
    weights = train_cohort([parent])[parent.hash].weights
    assert_equal(train_cohort([one], parents={parent.hash: weights})[one.hash], train_alone(one))


def test_diverging_run_is_told_with_its_epoch() -> None:
    wild = run("mse", data=BLOBS, recipe={"lr": 1e160, "clip_norm": None, "weight_decay": 0.5})
    tame = run("mse", data=BLOBS, recipe={"clip_norm": None})
    found = train_cohort([wild, tame])
    assert found[wild.hash].diverged_at == 0
    assert found[tame.hash].diverged_at is None
    assert_equal(found[tame.hash], train_alone(tame))
