"""A run's numbers do not depend on who trains beside it, in which order, or on how many processes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from small import BLOBS, FEW_DIGITS, run, train_cohort

from losslab import losses, training
from losslab.runs import NamedPart, NoisePart, Record, Run, Schedule, Store
from losslab.training.plan import shape_key

Weights = dict[str, torch.Tensor]
MEMBERS = ("ce", "gce", "truncated_gce", "elr", "nce+rce")


def mixed(**changes: Any) -> list[Run]:
    """Five runs of one shape that differ in everything else."""
    noises = [NoisePart(), *(NoisePart(kind="symmetric", rate=rate) for rate in (0.2, 0.4, 0.6, 0.8))]
    made = []
    for i, (loss, noise) in enumerate(zip(MEMBERS, noises, strict=True)):
        own: dict[str, Any] = {
            "lr": 0.01 * (i + 1),
            "momentum": 0.1 * i,
            "weight_decay": 1e-4 * i,
            "clip_norm": None if i == 3 else 5.0,
        }
        if loss == "truncated_gce":
            own |= {"refresh_start": 1, "refresh_every": 1}
        if i == 1:
            own["schedule"] = Schedule(kind="steps", milestones=(1,))
        fields = {**changes, "recipe": {**own, **changes.get("recipe", {})}}
        made.append(run(loss, {"k": 0.2} if loss == "truncated_gce" else None, noise=noise, seed=i, **fields))
    assert len({shape_key(one) for one in made}) == 1
    return made


def compare(one: Weights, other: Weights, tolerance: float) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        if tolerance:
            torch.testing.assert_close(other[name], value, rtol=tolerance, atol=tolerance, msg=name)
        else:
            assert torch.equal(other[name], value), name


def check_alone(runs: Sequence[Run], tolerance: float, smallest: int = 1) -> None:
    """Trains ``runs`` together, in the other order, and in small groups; weights and curves must agree."""
    together, turned = train_cohort(runs), train_cohort(list(reversed(runs)))
    for i, one in enumerate(runs):
        group = [one, *(runs[(i + j) % len(runs)] for j in range(1, smallest))]
        alone = train_cohort(group)[one.hash]
        for found in (together[one.hash], turned[one.hash]):
            compare(alone.weights, found.weights, tolerance)
            for where, theirs in ((alone.curves, found.curves), (alone.final, found.final)):
                assert where.keys() == theirs.keys()
                for name, values in where.items():
                    mine, other = torch.tensor(values), torch.tensor(theirs[name])
                    torch.testing.assert_close(mine, other, rtol=2e-6, atol=2e-6, equal_nan=True, msg=name)


@pytest.mark.parametrize("kind", ["log_probs and logits", "cosines"])
def test_every_loss_in_one_cohort(kind: str) -> None:
    names = [name for name in losses.names() if (losses.spec(name).input == "cosines") == (kind == "cosines")]
    runs = [run(name, data=BLOBS, recipe={"batch_size": 32, "lr": 0.005}) for name in names]
    together = train_cohort(runs)
    for one in runs:
        compare(train_cohort([one])[one.hash].weights, together[one.hash].weights, 1e-9)


@pytest.mark.parametrize("model", ["mlp", "mlp_bn", "cnn_small"])
def test_mixed_cohort_in_float64(model: str) -> None:
    check_alone(mixed(data=FEW_DIGITS, model=NamedPart(name=model)), 1e-9)


def test_mixed_cohort_of_cnn4_in_float64() -> None:
    check_alone(mixed(data=FEW_DIGITS, model=NamedPart(name="cnn4"), recipe={"epochs": 2})[:3], 1e-9)


@pytest.mark.parametrize("model", ["mlp", "mlp_bn"])
def test_single_precision_is_bitwise_the_same_for_an_mlp(model: str) -> None:
    runs = mixed(data=FEW_DIGITS, model=NamedPart(name=model), recipe={"precision": "float32"})
    check_alone(runs, 0.0)
    repeated = train_cohort(runs[:2])
    compare(repeated[runs[0].hash].weights, train_cohort(runs)[runs[0].hash].weights, 0.0)


def test_single_precision_is_bitwise_the_same_for_groups_of_convolutions() -> None:
    runs = mixed(data=FEW_DIGITS, model=NamedPart(name="cnn_small"), recipe={"precision": "float32"})
    check_alone(runs, 0.0, smallest=2)


def test_adam_and_regularised_runs_keep_to_themselves() -> None:
    adam = {"optimizer": "adam", "lr": 0.002, "momentum": 0.0}
    runs = [run(loss, data=BLOBS, seed=i, recipe=adam) for i, loss in enumerate(("ce", "agce", "mse"))]
    check_alone(runs, 1e-9)
    part = NamedPart(name="sparse", params={"lam": 0.5})
    heavier = NamedPart(name="sparse", params={"lam": 2.0, "tau": 0.3})
    runs = [run("ce", data=BLOBS), run("ce", data=BLOBS, regulariser=part), run("gce", data=BLOBS, regulariser=heavier)]
    check_alone(runs, 1e-9)


def body(record: Record) -> str:
    """All of a record that must not depend on how it was made."""
    content = json.loads(record.to_json())
    return json.dumps({k: v for k, v in content.items() if k not in ("cost", "provenance", "checksum")}, sort_keys=True)


def test_records_are_the_same_whatever_the_number_of_processes(tmp_path: Path) -> None:
    single = {"precision": "float32"}
    runs = [
        *(run(loss, recipe=single) for loss in ("ce", "mae", "gce", "elr", "nlnl", "dmi", "forward", "sce")),
        *mixed(data=FEW_DIGITS, model=NamedPart(name="cnn_small"), recipe={**single, "epochs": 2}),
        run("forward", parent=run("ce", recipe=single), parent_gives="transition", recipe=single),
    ]
    one, two, parts = (Store(tmp_path / name) for name in ("one", "two", "parts"))
    assert training.train(runs, one, device="cpu", workers=1).complete
    assert training.train(list(reversed(runs)), two, device="cpu", workers=2).complete
    for i in (0, 7, 3, 10, 12):  # a few alone, and the rest in whatever groups remain
        assert training.train([runs[i]], parts, device="cpu", workers=1).complete
    assert training.train(runs, parts, device="cpu", workers=1).complete
    for each in runs:
        texts = []
        for store in (one, two, parts):
            record = store.get(each)
            assert record is not None
            texts.append(body(record))
        assert texts[0] == texts[1] == texts[2], each.label()
    parent = runs[0]
    kept = [store.weights(parent) for store in (one, two, parts)]
    assert kept[0] is not None and kept[1] is not None and kept[2] is not None
    compare(kept[0], kept[1], 0.0)
    compare(kept[0], kept[2], 0.0)
