"""Class weights, D2L's schedule, and runs that start from a parent's network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from losslab.runs import DataPart, NamedPart, NoisePart, Recipe, Run, Store
from losslab.training import train
from losslab.training.classweights import class_weights
from losslab.training.dimension import label_weight, turning_point
from losslab.training.inspect import trained


def run(epochs: int = 2, **changes: object) -> Run:
    """A small long-tailed training on digits."""
    base = Run(
        data=DataPart(name="digits", imbalance="long_tailed", imbalance_ratio=20.0),
        model=NamedPart(name="mlp", params={"hidden": (16,)}),
        loss=NamedPart(name="ce"),
        recipe=Recipe(epochs=epochs, batch_size=64, lr=0.05),
    )
    return base.model_copy(update=changes)


def test_class_weights_have_mean_one_over_the_classes_that_are_there() -> None:
    counts = torch.tensor([100.0, 10.0, 0.0])
    inverse = class_weights(counts, "inverse", 0.99)
    assert inverse[2] == 0
    assert inverse[:2].mean() == pytest.approx(1.0)
    assert inverse[1] / inverse[0] == pytest.approx(10.0)
    effective = class_weights(counts, "effective", 0.99)
    assert effective[1] / effective[0] == pytest.approx((1 - 0.99**100) / (1 - 0.99**10))
    assert class_weights(counts, "none", 0.5).tolist() == [1, 1, 1]


def test_deferred_weights_change_nothing_before_their_epoch(tmp_path: Path) -> None:
    plain, store = run(epochs=4), Store(tmp_path)
    deferred = run(
        epochs=4, recipe=plain.recipe.model_copy(update={"class_weights": "inverse", "class_weights_from": 2})
    )
    train([plain, deferred], store, device="cpu", workers=1)
    first, second = (store.get(r) for r in (plain, deferred))
    assert first is not None and second is not None
    assert first.curves["train_loss"][:2] == second.curves["train_loss"][:2]
    assert first.curves["train_loss"][2:] != second.curves["train_loss"][2:]


def test_the_label_weight_falls_after_the_turning_point() -> None:
    falling = [5.0, 4.0, 3.5, 3.2, 3.1, 3.05, 3.0]
    assert turning_point(falling) is None
    assert label_weight(falling, 20) == 1.0
    rising = [*falling, 6.0]
    assert turning_point(rising) == 7
    assert label_weight(rising, 20) == pytest.approx(torch.tensor(-(8 / 20) * 6.0 / 3.0).exp().item())


def test_d2l_records_the_dimensionality(tmp_path: Path) -> None:
    d2l = run(epochs=3, loss=NamedPart(name="d2l"), noise=NoisePart(kind="symmetric", rate=0.4))
    store = Store(tmp_path)
    train([d2l], store, device="cpu", workers=1)
    record = store.get(d2l)
    assert record is not None
    assert len(record.final["dimensionality"]) == 3
    assert all(value > 0 for value in record.final["dimensionality"])


def test_a_second_stage_keeps_the_backbone_and_moves_the_head(tmp_path: Path) -> None:
    parent, store = run(), Store(tmp_path)
    child = run(
        parent=parent, parent_gives="backbone", recipe=parent.recipe.model_copy(update={"sampler": "class_aware"})
    )
    train([child], store, device="cpu", workers=1, probes={child.hash: frozenset({"weights"})})
    before, after = store.weights(parent), store.weights(child)
    assert before is not None and after is not None
    for name in before:
        if name.startswith("backbone."):
            assert torch.equal(before[name], after[name]), name
    assert not torch.equal(before["head.weight"], after["head.weight"])


def test_nearest_class_mean_is_computed_from_the_parents_features(tmp_path: Path) -> None:
    parent, store = run(epochs=3), Store(tmp_path)
    ncm = run(
        epochs=1,
        parent=parent,
        parent_gives="backbone",
        head=NamedPart(name="ncm"),
        recipe=Recipe(epochs=1, batch_size=64),
    )
    wanted = {parent.hash: frozenset({"weights"}), ncm.hash: frozenset({"weights"})}
    train([parent, ncm], store, device="cpu", workers=1, probes=wanted)
    network = trained(parent, store)
    features, labels = network.features("train"), torch.from_numpy(network.samples.given)
    means = torch.stack([features[labels == k].mean(0) for k in range(10)])
    means, tests = (torch.nn.functional.normalize(t, dim=1) for t in (means, network.features("test")))
    expected = ((tests @ means.T).argmax(1) == network.dataset.test_labels).float().mean()
    record = store.get(ncm)
    assert record is not None
    assert record.curves["test_acc"][-1] == pytest.approx(float(expected), abs=0.005)
