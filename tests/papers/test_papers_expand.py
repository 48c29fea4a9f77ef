"""What a paper asks for: cells, their runs and their keys."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from losslab import papers
from losslab.errors import InputError
from losslab.papers import expand, recipes, registry


def cells(paper: papers.Paper, scale: str = "quick", **options: Any) -> list[papers.Cell]:
    return paper.cells(scale, check=False, **options)


def one(found: list[papers.Cell], **keys: Any) -> papers.Cell:
    hits = [cell for cell in found if all(cell.keys[key] == value for key, value in keys.items())]
    assert len(hits) == 1, (len(hits), keys)
    return hits[0]


def test_counts(toy: papers.Paper) -> None:
    # closed: 6 methods x (ten: 5 places, hundred: 3) x 3 seeds; grid 6 x 2; study 3 x 2 x 3; nets 2 x 2 x 3; tail 3 x 2 x 3; real 2 x 3
    assert len(cells(toy)) == 6 * 8 * 3 + 12 + 18 + 12 + 18 + 6
    assert len(cells(toy, "smoke", only="closed")) == 2 * 2  # ten alone has the scale
    assert len(cells(toy, only="closed", seeds=1)) == 48
    assert len({cell.run.seed for cell in cells(toy, "paper", only="closed")}) == 2


def test_every_scale_gives_distinct_cells(toy: papers.Paper) -> None:
    for scale in papers.SCALES:
        keys = [(*cell.keys.values(), cell.run.seed) for cell in cells(toy, scale)]
        assert len(keys) == len(set(keys)) > 0


def test_only_selects_items_and_blocks(toy: papers.Paper) -> None:
    assert {cell.keys["dataset"] for cell in cells(toy, only="table-1/hundred")} == {"hundred"}
    narrow = cells(toy, only="extra-cost", seeds=1)
    assert {cell.keys["method"] for cell in narrow} == {"CE", "GCE"} and {
        cell.keys["noise_rate"] for cell in narrow
    } == {0.4}
    assert {cell.keys["experiment"] for cell in cells(toy, only="figure-2")} == {"study", "closed"}
    assert cells(toy, only="algorithm-1") == []


def test_noise_follows_the_block(toy: papers.Paper) -> None:
    found = cells(toy, seeds=1, only="closed")
    asymmetric = one(found, noise_type="asym", noise_rate=0.4, method="CE").run.noise
    assert (asymmetric.kind, asymmetric.flip_map, asymmetric.draw) == ("asymmetric", "cifar10", "exact")
    symmetric = one(found, dataset="ten", noise_type="sym", noise_rate=0.4, method="CE").run.noise
    assert (symmetric.flip_map, symmetric.draw) == (None, "multinomial")
    clean = one(found, dataset="ten", noise_type="none", method="CE").run
    study = one(cells(toy, seeds=1, only="study"), noise_rate=0.0, method="GCE q (q=0.5)").run
    assert clean.noise == study.noise and clean.noise.kind == "none"  # a rate of 0 is clean, so that runs are shared


def test_noise_of_its_own(toy: papers.Paper) -> None:
    quick, paper = (cells(toy, scale, only="real", seeds=1)[0] for scale in ("quick", "paper"))
    assert quick.keys["noise_rate"] is None
    assert (quick.run.noise.kind, quick.run.noise.rate, quick.run.noise.options) == ("instance", 0.35, {})
    assert (paper.run.noise.kind, paper.run.noise.rate, paper.run.noise.options) == ("human", 0.0, {"labels": "worst"})


def test_stand_ins_and_recipes(toy: papers.Paper) -> None:
    cell = one(cells(toy, seeds=1, only="closed"), dataset="ten", noise_type="none", method="CE")
    assert cell.stand_in == "digits 8x8" and cell.probes == ("prune",)
    assert cell.run.recipe == recipes.get("digits-mlp").model_copy(update={"epochs": 40})
    real = one(cells(toy, "paper", seeds=1, only="closed"), dataset="ten", noise_type="none", method="CE")
    assert real.stand_in == "" and real.run.recipe.epochs == 100 and real.run.recipe.clip_norm == 5.0


def test_methods_depend_on_the_cell(toy: papers.Paper) -> None:
    quick = cells(toy, seeds=1, only="closed")
    assert one(quick, dataset="ten", noise_type="sym", noise_rate=0.8, method="Trunc").run.loss.params == {
        "q": 0.5,
        "k": 0.5,
    }
    assert one(quick, dataset="ten", noise_type="sym", noise_rate=0.4, method="Trunc").run.recipe.refresh_start == 20
    paper = cells(toy, "paper", seeds=1, only="closed")
    assert one(paper, dataset="hundred", noise_type="none", method="Trunc").run.recipe.refresh_start == 80


def test_parents_share_the_cell(toy: papers.Paper) -> None:
    found = cells(toy, seeds=2, only="closed")
    for cell in found:
        if cell.keys["method"] == "Forward T_hat":
            mother = next(c for c in found if c.keys == {**cell.keys, "method": "CE"} and c.run.seed == cell.run.seed)
            assert cell.run.parent == mother.run and cell.run.parent_gives == "transition"
        else:
            assert cell.run.parent is None
    tail = one(cells(toy, seeds=1, only="tail"), method="Decoupled", setting="step 100")
    assert tail.run.recipe.sampler == "class_aware" and tail.run.parent is not None
    assert tail.run.parent.data.imbalance == "step" and tail.run.parent.recipe == recipes.get("digits-mlp")


def test_grids(toy: papers.Paper) -> None:
    found = cells(toy, seeds=1, only="grid")
    assert {cell.keys["method"] for cell in found} == {"NCE+RCE"}
    cell = one(found, setting="alpha=0.1,beta=10.0")
    assert (
        cell.run.loss.params == {"nce.scale": 1.0, "alpha": 0.1, "beta": 10.0} and cell.run.recipe.weight_decay == 0.0
    )
    assert [cell.keys["method"] for cell in cells(toy, seeds=1, only="study")][:3] == [
        f"GCE q (q={q})" for q in ("0.0", "0.5", "1.0")
    ]
    assert len(cells(toy, "smoke", only="study")) == 2  # one value of q at two rates


def test_grids_reach_into_parts(changed: Callable[..., Path]) -> None:
    def edit(paper: dict[str, Any]) -> None:
        paper["methods"]["GCE q"] = {
            "loss": "gce",
            "grid": {
                "recipe.lr": [0.1, 0.2], "head.s": [5], "regulariser.lambda": [1.0], "model.width": [8], "data.split_seed": [3], "agce.q": [0.5],
            },
            "name": "GCE", "setting": "lr={lr}, q={agce_q}, s={head_s}", "head": "cosine", "regulariser": "sparse",
        }  # fmt: skip
        del paper["experiments"]["study"]["smoke"]
        paper["experiments"]["study"]["methods"] = ["GCE q"]

    run = cells(papers.load(changed(edit)), only="study", seeds=1)[1]
    assert run.keys["setting"] == "lr=0.2, q=0.5, s=5"
    assert run.run.recipe.lr == 0.2 and run.run.head.params == {"s": 5} and run.run.data.split_seed == 3
    assert run.run.loss.params == {"agce.q": 0.5} and run.run.model.params == {"width": 8}
    assert run.run.regulariser is not None and run.run.regulariser.params == {"lambda": 1.0}


def test_variants(toy: papers.Paper) -> None:
    paper = cells(toy, "paper", seeds=1, only="nets")
    assert one(paper, setting="ResNet56", method="CE").run.model.name == "resnet56"
    quick = cells(toy, seeds=1, only="nets")
    assert one(quick, setting="ResNet20", method="CE").run.model.params == {}
    assert one(quick, setting="ResNet56", method="CE").run.model.params == {"width": 256}
    cosine = one(cells(toy, seeds=1, only="tail"), setting="long-tailed 10", method="Cosine").run
    assert (cosine.data.imbalance_ratio, cosine.head.name) == (10.0, "cosine") and cosine.regulariser is not None
    assert {cell.keys["setting"] for cell in cells(toy, "smoke", only="tail")} == {"step 100"}


def test_runs_do_not_depend_on_the_order_of_yaml(toy: papers.Paper, changed: Callable[..., Path]) -> None:
    def edit(paper: dict[str, Any]) -> None:
        paper["methods"] = dict(reversed(paper["methods"].items()))

    hashes = [cell.run.hash for cell in cells(papers.load(changed(edit)))]
    assert hashes == [cell.run.hash for cell in cells(toy)]


def test_bad_requests(toy: papers.Paper) -> None:
    for options, words in (
        ({"scale": "fast"}, "toy: unknown scale 'fast'; allowed: smoke, quick, paper"),
        ({"only": "table1"}, "unknown item or experiment 'table1'; did you mean 'table-1'"),
        ({"only": "table-1/tne"}, "unknown block 'tne'; did you mean 'ten'?"),
        ({"seeds": 0}, "seeds must be at least 1"),
    ):
        with pytest.raises(InputError, match=words):
            cells(toy, **options)
    with pytest.raises(InputError, match="unknown item 'table-9'"):
        toy.item("table-9")


def test_missing_flip_map_and_bad_values_name_the_cell(changed: Callable[..., Path]) -> None:
    def no_map(paper: dict[str, Any]) -> None:
        del paper["blocks"]["ten"]["quick"]["flip_map"]

    paper = papers.load(changed(no_map))
    with pytest.raises(
        InputError,
        match=r"experiments.closed at scale quick, block ten, method CE: noise kind 'asymmetric' needs a `flip_map`",
    ):
        cells(paper)

    def no_epochs(paper: dict[str, Any]) -> None:
        paper["blocks"]["ten"]["quick"]["recipe"] = {"base": None, "lr": 0.1}
        del paper["blocks"]["ten"]["quick"]["use"]
        paper["blocks"]["ten"]["quick"] |= {"data": {"name": "digits"}, "model": "mlp"}
        del paper["experiments"]["closed"]["quick"]

    with pytest.raises(InputError, match=r"block ten, method CE: recipe.epochs: field required"):
        cells(papers.load(changed(no_epochs)))


def test_names_are_checked_against_the_library(toy: papers.Paper, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = SimpleNamespace(
        names=lambda: ("ce", "mae", "forward", "gce", "truncated_gce", "nce", "rce", "lm_softmax"),
        spec=lambda name: SimpleNamespace(params={"q": 0, "k": 0, "alpha": 0, "beta": 0, "nce.scale": 0, "s": 0}),
    )
    data = SimpleNamespace(names=lambda: ("digits", "glyphs-100"))
    modules = {"losslab.losses": losses, "losslab.data": data}
    monkeypatch.setattr(registry, "_module", lambda name: modules.get(name))
    registry.known.cache_clear()
    registry.loss_spec.cache_clear()
    try:
        runs = [cell.run for cell in cells(toy, seeds=1)]
        registry.check(runs, "paper.yaml")
        data.names = lambda: ("digit",)
        registry.known.cache_clear()
        with pytest.raises(InputError, match="paper.yaml: unknown data set 'digits'; did you mean 'digit'?"):
            registry.check(runs, "paper.yaml")
        data.names = lambda: ("digits", "glyphs-100")
        losses.spec = lambda name: SimpleNamespace(params={"Q": 0, "k": 0})
        registry.known.cache_clear()
        registry.loss_spec.cache_clear()
        with pytest.raises(InputError, match="hyper-parameter"):
            registry.check(runs, "paper.yaml")
    finally:
        registry.known.cache_clear()
        registry.loss_spec.cache_clear()


def test_recipes() -> None:
    for name in recipes.names():
        assert recipes.get(name).epochs >= 1 and recipes.about(name)
    mlp = recipes.get("digits-mlp")
    assert (mlp.batch_size, mlp.weight_decay, mlp.clip_norm, mlp.schedule.kind) == (64, 1e-4, 5.0, "cosine")
    smoke = recipes.get("digits-mlp-smoke")
    assert smoke == mlp.model_copy(update={"epochs": smoke.epochs, "lr": smoke.lr})
    assert (
        recipes.get("gce-cifar100").schedule.milestones == (80, 120)
        and recipes.get("gce-cifar100").schedule.factor == 0.1
    )
    assert recipes.get("apl-mnist").schedule.floor == 0.001 and recipes.get("alf-mnist").schedule.floor == 0.0
    with pytest.raises(InputError, match="unknown recipe 'digits-mpl'; did you mean 'digits-mlp'"):
        recipes.get("digits-mpl")
    for name in recipes.stand_ins():
        assert recipes.stand_in(name).recipe["base"] in recipes.names()


def test_merging_parts_starts_afresh_with_another_name() -> None:
    assert expand.merged({"name": "mlp", "params": {"width": 8}}, {"params": {"depth": 2}}) == {
        "name": "mlp",
        "params": {"width": 8, "depth": 2},
    }
    assert expand.merged({"name": "mlp", "params": {"width": 8}}, {"name": "cnn"}) == {"name": "cnn"}


def test_import_is_light() -> None:
    heavy = ("pandas", "matplotlib", "seaborn", "scipy", "typer", "losslab.losses")
    script = f"import sys, losslab.papers; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_rates_that_are_missing_stay_missing(toy: papers.Paper) -> None:
    assert all(rate is None or math.isfinite(rate) for rate in (cell.keys["noise_rate"] for cell in cells(toy)))
