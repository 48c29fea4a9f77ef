"""What a run is, and when two are the same."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from stored import some_run

from losslab.runs import DataPart, NamedPart, NoisePart, Recipe, Run, Schedule


def test_defaults_are_left_out_of_the_hash() -> None:
    short = some_run()
    spelled = some_run(
        head=NamedPart(name="linear", params={}),
        noise=NoisePart(kind="symmetric", rate=0.4, flip_map=None, draw="exact", options={}, seed=None),
        recipe=Recipe(epochs=2, lr=0.1 / 3, momentum=0.9, clip_norm=None, schedule=Schedule(kind="cosine", floor=0.0)),
        parent=None,
        parent_gives="nothing",
    )
    assert short == spelled
    assert short.hash == spelled.hash
    assert "head" not in short.content()
    assert "schedule" not in short.content()["recipe"]


def test_a_new_field_with_a_neutral_default_keeps_old_hashes() -> None:
    class Wider(Run):
        label_smoothing: float = 0.0

    old = some_run()
    assert Wider(**dict(old)).hash == old.hash
    assert Wider(**dict(old), label_smoothing=0.1).hash != old.hash


def test_the_order_of_fields_and_parameters_is_irrelevant() -> None:
    content = some_run(
        loss="sce", model=NamedPart(name="cnn4", params={"feature_dim": 3, "final_relu": False})
    ).content()
    content["loss"]["params"] = {"beta": 0.5, "alpha": 2.0}
    turned = json.loads(json.dumps(content), object_pairs_hook=lambda pairs: dict(reversed(pairs)))
    assert list(turned) != list(content)
    assert Run.model_validate(turned).hash == Run.model_validate(content).hash


def test_whole_numbers_may_be_written_either_way() -> None:
    one, other = (some_run(loss="gce", model=NamedPart(name="cnn4", params={"feature_dim": d})) for d in (3, 3.0))
    assert one.hash == other.hash
    lists = [some_run(model=NamedPart(name="mlp", params={"hidden": widths})) for widths in ((8, 9), (8.0, 9.0))]
    assert lists[0].hash == lists[1].hash
    assert all(isinstance(width, int) for width in lists[1].model.params["hidden"])  # type: ignore[union-attr]
    assert isinstance(other.model.params["feature_dim"], int)
    flags = NamedPart(name="cnn4", params={"conv_bias": False, "variant": "paper", "dropout": 0.5})
    assert flags.params == {"conv_bias": False, "variant": "paper", "dropout": 0.5}
    assert flags.params["conv_bias"] is False
    assert json.dumps(flags.content()["params"]) == '{"conv_bias": false, "variant": "paper", "dropout": 0.5}'


CHANGES: dict[str, dict[str, Any]] = {
    "data": {"data": DataPart(name="digits", validation=0.1)},
    "noise seed": {"noise": NoisePart(kind="symmetric", rate=0.4, seed=0)},
    "rate": {"noise": NoisePart(kind="symmetric", rate=0.5)},
    "model": {"model": NamedPart(name="mlp_bn")},
    "head": {"head": NamedPart(name="cosine")},
    "parameter": {"loss": NamedPart(name="ce", params={"x": 0.5})},
    "regulariser": {"regulariser": NamedPart(name="sparse")},
    "epochs": {"recipe": Recipe(epochs=3, lr=0.1 / 3)},
    "precision": {"recipe": Recipe(epochs=2, lr=0.1 / 3, precision="bf16")},
    "schedule": {"recipe": Recipe(epochs=2, lr=0.1 / 3, schedule=Schedule(warmup=1))},
    "seed": {"seed": 1},
    "parent": {"parent": some_run(seed=9), "parent_gives": "weights"},
}


def test_everything_else_changes_the_hash() -> None:
    hashes = {some_run().hash, *(some_run(**change).hash for change in CHANGES.values())}
    assert len(hashes) == len(CHANGES) + 1
    assert all(len(key) == 20 and int(key, 16) >= 0 for key in hashes)


@pytest.mark.parametrize("change", CHANGES)
def test_content_is_the_whole_run(change: str) -> None:
    run = some_run(**CHANGES[change])
    again = Run.model_validate(json.loads(json.dumps(run.content())))
    assert again == run
    assert again.hash == run.hash


@pytest.mark.parametrize(
    "change",
    [
        {"noise": {"kind": "none", "rate": 0.1}},
        {"noise": {"kind": "symmetric", "rate": 1.5}},
        {"recipe": {"epochs": 0}},
        {"recipe": {"epochs": 2, "momentum": 1.0}},
        {"recipe": {"epochs": 2, "learning_rate": 0.1}},
        {"parent_gives": "weights"},
        {"seed": -1},
        {"colour": "red"},
    ],
)
def test_bad_descriptions_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Run.model_validate({**some_run().content(), **change})


def test_a_run_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        some_run().seed = 3  # type: ignore[misc]
