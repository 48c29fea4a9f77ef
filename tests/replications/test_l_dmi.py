"""The L_DMI folder: its files agree with each other, its published numbers are the known ones, its theory holds."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.report import published

SLUG = "l_dmi"


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(paper.cells(scale)) > 20


def test_the_whole_inventory_is_there(paper: papers.Paper) -> None:
    ids = {item.id for item in paper.items}
    assert {f"figure-{i}" for i in range(1, 5)} | {f"table-{i}" for i in range(1, 6)} <= ids
    assert {"algorithm-1", "claim-b2", "appendix-c"} <= ids


def test_second_stage_starts_from_the_cell_s_cross_entropy(paper: papers.Paper) -> None:
    for cell in paper.cells("quick", check=False):
        if cell.keys["method"] in ("DMI", "GCE"):
            parent = cell.run.parent
            assert parent is not None and parent.loss.name == "ce" and cell.run.parent_gives == "weights"
            assert (parent.data, parent.noise, parent.seed) == (cell.run.data, cell.run.noise, cell.run.seed)


def test_one_recipe_per_stage_at_quick_scale(paper: papers.Paper) -> None:
    stages: dict[str, set[str]] = {}
    for name in ("fashion", "fashion-baselines", "class-dependent", "class-independent", "real-noise"):
        for cell in paper.cells("quick", only=name, check=False):
            stages.setdefault(str(cell.keys["method"]), set()).add(cell.run.recipe.model_dump_json())
    assert all(len(recipes) == 1 for recipes in stages.values())
    assert stages["CE"] == stages["FW"]


def test_noise_has_the_paper_s_matrices(paper: papers.Paper) -> None:
    for cell in paper.cells("paper", seeds=1, check=False):
        run = cell.run
        if cell.keys["noise_type"] == "class-independent" and run.noise.rate:
            assert run.noise.kind == "symmetric_inclusive"
        assert run.noise.kind == "none" or run.noise.draw == "multinomial"
    dogs = next(c.run for c in paper.cells("paper", seeds=1, check=False) if c.keys["dataset"] == "dogs_cats")
    assert dogs.data.options["two_classes"] == (1,)  # folders come as cat, dog; the paper's class 0 is the dog


def test_paper_scale_has_the_code_s_settings(paper: papers.Paper) -> None:
    cells = paper.cells("paper", seeds=1, check=False)
    found = {
        (cell.keys["dataset"], cell.keys["method"]): (
            cell.run.recipe.epochs,
            cell.run.recipe.lr,
            cell.run.recipe.batch_size,
        )
        for cell in cells
        if cell.keys["experiment"] in ("fashion", "class-dependent", "real-noise", "learning-rate")
    }
    assert found["fashion_mnist", "DMI"] == (20, 1e-4, 128)
    assert found["cifar10", "CE"] == (120, 0.1, 256)
    assert found["cifar10", "GCE"] == (120, 0.01, 256)
    assert found["cifar10", "DMI"] == (100, 1e-6, 256)
    assert found["cifar10", "DMI, settings of the text"] == (100, 1e-5, 128)
    assert found["dogs_cats", "DMI"] == (50, 1e-5, 128)
    assert found["clothing1m", "DMI"] == (10, 1e-6, 256)
    assert not any(dataset == "mr" for dataset, _ in found)


def test_constants_of_the_normalised_form(paper: papers.Paper) -> None:
    for scale in ("quick", "paper"):
        for cell in paper.cells(scale, only="determinant", check=False):
            if cell.keys["method"] == "DMI, normalised + 0.001":
                classes = 2 if cell.keys["dataset"] == "fashion_mnist" else 10
                wanted = 1e-3 * float(cell.run.recipe.batch_size) ** classes
                assert cell.run.loss.params["eps"] == pytest.approx(wanted)


def test_questions_are_answered_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for question in paper.questions:
        assert f"## {question.answered_in}" in text, question.id
        assert f"**A{question.id[1:]}." in text, question.id


# The claims


def test_claims_name_existing_cells(paper: papers.Paper) -> None:
    cells = {scale: keys_of(paper, scale) for scale in ("quick", "paper")}
    for claim in paper.claims:
        for comparison in claim.comparisons():
            for side in (comparison.left, comparison.right):
                if side is None:
                    continue
                rate = None if side.dataset == "clothing1m" else side.noise_rate
                wanted = (side.experiment, side.dataset, side.noise_type, rate, side.setting or "", side.method)
                for scale in set(claim.scales) & {"quick", "paper"}:
                    if not (scale == "paper" and side.dataset == "mr"):
                        assert wanted in cells[scale], (claim.id, scale, wanted)


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"C{i}" for i in range(1, 13)} | {f"E{i}" for i in range(1, 5)} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            if comparison.fact is not None:
                assert f'"{comparison.fact}"' in text, comparison.fact


# The published numbers


@pytest.mark.parametrize(("name", "count"), [("1", 5), ("2", 70), ("3", 70), ("4", 60), ("5", 7)])
def test_tables_are_complete(name: str, count: int) -> None:
    table = published.read(folder(SLUG) / "published" / f"table-{name}.csv")
    assert len(table) == count and table["mean"].notna().all()


def test_known_cells() -> None:
    table = published.read(folder(SLUG) / "published" / "table-2.csv")
    keys = {"dataset": "cifar10", "noise_type": "class-dependent", "noise_rate": 0.9}
    found = {m: published.lookup(table, {**keys, "method": m}) for m in ("CE", "DMI")}
    assert [round(n.mean, 2) for n in found.values() if n is not None] == [57.46, 85.94]


def test_published_methods_and_noise_are_the_papers(paper: papers.Paper) -> None:
    kinds = {noise.noise_type for experiment in paper.experiments.values() for noise in experiment.noise}
    for item in paper.items:
        for name in item.published:
            if name == "claim-b2.csv":
                continue
            table = published.read(folder(SLUG) / "published" / name)
            assert set(table["dataset"]) <= set(paper.blocks) and set(table["noise_type"]) <= kinds
            assert set(table["method"]) <= set(paper.methods)


# The theory


def test_invariance_and_signs(own: dict[str, ModuleType]) -> None:
    found = own["theory"].invariance_checks(60)
    assert found["gap"] < 1e-6 and found["turned"] == 0 and found["printed_sign_share"] == 0
    assert found["smallest_shift"] >= 0 and found["largest_log_det_t"] <= 1e-12
    assert own["theory"].less_informative(100) <= 1e-9


def test_gradient(own: dict[str, ModuleType]) -> None:
    found = own["theory"].gradient_checks()
    assert found["closed_form"] < 1e-12 and found["library"] < 1e-6 and abs(found["euler"]) < 1e-9
    assert found["expected_labels"] < 1e-12 and found["permuted_outputs"] < 1e-9 and found["permuted_labels"] < 1e-9


@pytest.mark.parametrize("rate", [0.0, 0.3, 0.9])
def test_determinants_of_the_noise_cases(own: dict[str, ModuleType], rate: float) -> None:
    theory = own["theory"]
    for name, (_, classes) in theory.CASES.items():
        expected = (1 - rate) if classes == 2 else (1 - rate) ** 4
        assert np.linalg.det(theory.case_matrix(name, rate)) == pytest.approx(expected)
    assert np.linalg.det(theory.independent_matrix(10, rate)) == pytest.approx((1 - rate) ** 9)
    others = np.linalg.det(theory.independent_matrix(10, rate, others_only=True))
    assert others == pytest.approx((1 - 10 * rate / 9) ** 9, abs=1e-12)


def test_two_classes_are_youden_s_index(own: dict[str, ModuleType]) -> None:
    det, formula = own["theory"].youden(np.array([[0.7, 0.2], [0.3, 0.8]]), 0.1)
    assert det == pytest.approx(formula) and formula == pytest.approx(0.09 * 0.5)


def test_constants_inside_the_logarithm(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert theory.gradient_factor(10, None) < 1e-6 < 0.99 < theory.gradient_factor(10, 128)
    assert theory.gradient_factor(2, None) > 0.95
    assert theory.loss_forms(10, 0.9)["divided by N, + 0.001"] == pytest.approx(-np.log(1e-3), abs=1e-6)


def test_lookup_table(own: dict[str, ModuleType]) -> None:
    table = own["samples"].lookup_tables((0.4,))
    assert table["rho"].iloc[0] == pytest.approx(table["formula"].iloc[0])
    assert table["rho"].iloc[0] > 2 * table["one_over_det"].iloc[0]


# The experiments


def test_experiments_on_a_short_training(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    flock = samples.train(1, (0.4,), first=4, second=2, every=2)
    assert sorted(flock.train) == [2, 4, 6] and flock.train[6].shape == (2, 1280, 10)
    assert torch.equal(flock.train[4][0], flock.train[4][1])  # one network until the switch
    assert not torch.equal(flock.train[6][0], flock.train[6][1])
    found = samples.ratios(flock)
    assert found["held out"].between(0.7, 1.4).all() and (found["training"] > 0.9).all()
    turned = samples.rankings(flock)
    expected = turned[(turned["labels"] == "expected") & (turned["measure"] == "DMI")]
    assert (expected["turned"] == 0).all()


def test_the_epoch_of_dmi_goes_by_its_loss(own: dict[str, ModuleType]) -> None:
    frame = pd.DataFrame({
        "key": ["ce", "dmi"], "val_acc": [[0.1, 0.9], [0.1, 0.9]], "val_loss": [[2.0, 1.0], [1.0, 2.0]],
    })  # fmt: skip
    chosen = own["plots"].as_authors_select(frame)["val_acc"]
    assert chosen[0] == [0.1, 0.9] and chosen[1] == [-1.0, -2.0]


# The notebook


def test_notebook_form() -> None:
    cells = notebook(SLUG).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
