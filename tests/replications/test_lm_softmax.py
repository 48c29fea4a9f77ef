"""The LM-Softmax folder: its files agree with each other, no published number is invented, its theory holds."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import pytest
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.analysis import margins
from losslab.papers import results
from losslab.report import published
from losslab.runs import Store
from losslab.training import train

SLUG = "lm_softmax"
LOSSES = ("CE", "NormFace", "CosFace", "ArcFace", "LM-Softmax")
COMPUTED = {
    "extra-packings",
    "extra-losses-on-the-sphere",
    "extra-conditions",
    "extra-imbalance",
    "extra-speed",
}


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(keys_of(paper, scale)) > 15


def test_tables_at_paper_scale(paper: papers.Paper) -> None:
    cells = paper.cells("paper", only="table-1", check=False)
    assert {c.keys["dataset"] for c in cells} == {"mnist", "cifar10", "cifar100"} and len(cells) == 3 * 10 * 3
    assert len(paper.cells("paper", only="table-2", check=False)) == 4 * 12 * 3
    assert len(paper.cells("paper", only="table-3", check=False)) == 4 * 14 * 3
    wide = {c.keys["dataset"]: c.run.model for c in cells}
    assert wide["cifar10"].name == "resnet18" and wide["cifar10"].params["final_relu"] is False
    assert wide["mnist"].name == "cnn4" and "final_relu" not in wide["mnist"].params
    assert {c.run.recipe.epochs for c in cells if c.keys["dataset"] == "cifar100"} == {250}
    tail = paper.cells("paper", only="imbalanced", check=False)
    assert {c.run.data.imbalance_ratio for c in tail} == {100} and {c.run.recipe.schedule.warmup for c in tail} == {5}


def test_plain_cross_entropy_has_no_bias(paper: papers.Paper) -> None:
    for scale in ("smoke", "quick", "paper"):
        for cell in paper.cells(scale, check=False):
            if cell.run.head.name == "linear":
                assert cell.run.head.params == {"bias": False}


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    found: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        if cell.keys["experiment"] != "normalisation":
            place = tuple(v for k, v in cell.keys.items() if k not in ("method", "setting"))
            found.setdefault(place, set()).add(cell.run.recipe.model_dump_json())
    assert all(len(recipes) == 1 for recipes in found.values())


def test_transfer_shares_the_networks_of_table_1(paper: papers.Paper) -> None:
    known = {c.run.hash for c in paper.cells("quick", only="balanced/cifar100", check=False)}
    assert {c.run.hash for c in paper.cells("quick", only="transfer", check=False)} == known


def test_every_item_has_an_experiment_or_is_computed(paper: papers.Paper) -> None:
    for item in paper.items:
        assert bool(item.experiment) != (item.id in COMPUTED), item.id
    wanted = {f"table-{i}" for i in range(1, 6)} | {"figure-1", "figure-2", "figure-3", "figure-appendix"}
    assert wanted <= {item.id for item in paper.items}


def test_questions_are_answered_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for question in paper.questions:
        assert f"## {question.answered_in}" in text, question.id
        assert f"**A{question.id[1:]}.**" in text, question.id


# The claims


def test_claims_name_existing_cells(paper: papers.Paper) -> None:
    for scale in ("quick", "paper"):
        cells = keys_of(paper, scale)
        for claim in paper.claims:
            for comparison in claim.comparisons() if scale in claim.scales else ():
                for side in (comparison.left, comparison.right):
                    if side is None:
                        continue
                    wanted = (
                        side.experiment,
                        side.dataset,
                        side.noise_type,
                        side.noise_rate,
                        side.setting,
                        side.method,
                    )
                    fits = [
                        cell
                        for cell in cells
                        if all(w is None or w == have for w, have in zip(wanted, cell, strict=True))
                    ]
                    assert len(fits) == 1, (claim.id, scale, wanted, len(fits))


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"C{i}" for i in range(1, 10)} | {"T1", "T3", "T4", "T5", "T6", "Q1", "Q3", "Q4", "Q5"} <= ids
    assert all(claim.source for claim in paper.claims) and not any(claim.evidence == "seen" for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            assert comparison.fact is None or f'"{comparison.fact}"' in text, comparison.fact


# The published numbers


def test_no_published_number_is_invented() -> None:
    for path in sorted((folder(SLUG) / "published").glob("*.csv")):
        table = published.read(path)
        assert len(table) > 0
        if path.name.startswith("table-"):
            assert table["mean"].isna().all(), path.name
        else:
            assert path.name.startswith("other-") and table["mean"].notna().all()


# The theory


def test_losses_by_hand(own: dict[str, ModuleType]) -> None:
    found = own["theory"].worked_example()
    assert found["LM-Softmax, s=5"] == pytest.approx(-0.7597173, abs=1e-7)
    assert found["ArcFace, s=10, m=0.1"] == pytest.approx(5.690337e-4, rel=1e-6)
    assert own["theory"].special_cases().max() < 1e-9


def test_sandwich_pull_and_overflow(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    gaps = theory.sandwich()
    assert gaps["least"].min() > -1e-9 and (gaps["largest"] <= gaps["log(K - 1) / s"] + 1e-9).all()
    assert theory.pulls()["lm_error"] < 1e-9
    naive, safe = theory.overflow()
    assert math.isinf(naive) and safe == pytest.approx(2.0, abs=1e-4)


def test_packings(own: dict[str, ModuleType]) -> None:
    table, _ = own["theory"].packings({(4, 3): 109.4712, (6, 3): 90.0, (6, 2): 60.0}, starts=2)
    assert (table["class margin"] - table["largest known"]).abs().max() < 0.05
    assert table["gamma_min - (1 - cos)"].max() < 1e-3 and table["cosine of z and w"].min() > 0.999


def test_condition_on_the_slope(own: dict[str, ModuleType]) -> None:
    low, high = own["theory"].slopes(10, (0.3, 0.5))
    assert low < 1 and high == pytest.approx(margins.etf_angle(10), abs=0.01)


def test_unequal_classes(own: dict[str, ModuleType]) -> None:
    table = own["theory"].imbalance_table((0.0, 20.0), ("exp",)).droplevel("sizes")
    assert table.loc["NormFace, s=5", 0.0] == pytest.approx(62.7, abs=0.5)
    assert table.loc["NormFace, s=5", 20.0] > 96 and table.loc["LM, s=5", 0.0] < 25
    assert own["theory"].witnesses((10.0,))["cross-entropy"].max() < 1e-6


def test_floors(own: dict[str, ModuleType]) -> None:
    table = own["theory"].floors(((10, 5.0), (100, 5.0)))
    assert table["error"].max() < 1e-9 and table.loc[(100, 5.0), "NormFace"] == pytest.approx(0.491, abs=1e-3)
    assert table.loc[(10, 5.0), "LM-Softmax"] == pytest.approx(-0.67167, abs=1e-5)


# A sliver, from specification to figure


def test_a_sliver_from_training_to_figure(
    paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSLAB_STORE", str(tmp_path))
    wanted = {"CE", "CE + 0.5 R_sample", "NormFace", "LM-Softmax"}
    cells = [c for c in paper.cells("smoke", only="balanced") if c.keys["method"] in wanted]
    cells += paper.cells("smoke", only="drawn-sphere")
    store = Store(tmp_path)
    train(
        [c.run for c in cells], store, device="cpu", workers=1, probes={c.run.hash: frozenset(c.probes) for c in cells}
    )
    frame = results.frame(cells, store)
    readings = own["readings"]
    networks = readings.Networks(paper, "smoke", 1)
    frame = readings.extended(frame, networks)
    table = readings.finals(
        frame[frame["experiment"] == "balanced"], ["class_margin", "sample_margin_train"]
    ).set_index("method")
    assert set(table.index) == wanted
    assert table["sample_margin_train"].max() <= margins.max_sample_margin(10)
    assert table.loc["CE + 0.5 R_sample", "sample_margin_train"] > table.loc["CE", "sample_margin_train"]
    sphere = frame[frame["experiment"] == "drawn-sphere"]
    figure = own["spheres"].drawn([(row["method"], networks[row["run"]]) for _, row in sphere.iterrows()], columns=2)
    assert len(figure.axes) == 2


def test_followed_prototypes_are_those_of_the_run(
    paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path
) -> None:
    cell = next(c for c in paper.cells("smoke", only="balanced") if c.keys["method"] == "LM-Softmax")
    (path,) = own["samples"].paths_of(paper, "smoke", ["LM-Softmax"], 1)
    store = Store(tmp_path)
    train([cell.run], store, device="cpu", workers=1, probes={cell.run.hash: frozenset({"weights"})})
    weights = store.weights(cell.run)
    assert weights is not None and len(path.class_margin) == cell.run.recipe.epochs + 1
    assert path.class_margin[-1] == pytest.approx(margins.class_margin(weights["head.weight"]), abs=1e-3)


# The notebook


def test_notebook_form() -> None:
    code = [cell for cell in notebook(SLUG).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
