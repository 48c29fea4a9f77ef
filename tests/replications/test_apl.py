"""The APL folder: its files agree with each other, its published numbers are the known ones, its theory holds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.papers import results
from losslab.report import items, published
from losslab.runs import Store
from losslab.training import train

SLUG = "apl"
NINE = ("CE", "FL", "GCE", "SCE", "NLNL", "NFL+MAE", "NFL+RCE", "NCE+MAE", "NCE+RCE")


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(keys_of(paper, scale)) > 50


def test_tables_2_and_3_are_whole_at_paper_scale(paper: papers.Paper) -> None:
    assert len(paper.cells("paper", only="table-2", check=False)) == 3 * 9 * 5 * 3  # data sets, methods, rates, seeds
    assert len(paper.cells("paper", only="table-3", check=False)) == 3 * 9 * 4 * 3
    assert len(paper.cells("paper", only="figure-3", check=False)) == 1 + 5 + 5 + 6 + 6
    assert len(paper.cells("paper", only="figure-5", check=False)) == 12


def test_quick_scale_has_every_method_and_data_set_of_the_tables(paper: papers.Paper) -> None:
    for item in ("table-2", "table-3"):
        cells = paper.cells("quick", only=item, check=False)
        assert {(c.keys["dataset"], c.keys["method"]) for c in cells} == {
            (block, method) for block in ("mnist", "cifar10", "cifar100") for method in NINE
        }
        assert {c.run.seed for c in cells} == {0, 1, 2}


def test_paper_scale_follows_the_job_scripts(paper: papers.Paper) -> None:
    cells = paper.cells("paper", check=False)
    chosen = {
        (c.keys["experiment"], c.keys["dataset"], c.keys["noise_type"], c.keys["method"]): c.run
        for c in cells
        if c.keys["experiment"].startswith(("symmetric", "asymmetric"))
    }
    run = chosen["asymmetric-cifar100", "cifar100", "asym", "NCE+RCE"]
    assert run.loss.params == {"alpha": 5, "beta": 0.1}
    assert run.noise.options == {"superclass": "blocks"} and run.noise.draw == "multinomial"
    run = chosen["asymmetric-cifar10", "cifar10", "asym", "SCE"]
    assert run.loss.params == {"alpha": 0.1, "beta": 5} and run.noise.options == {"sequential": True}
    assert chosen["symmetric", "mnist", "sym", "NLNL"].recipe.epochs == 720
    assert chosen["symmetric-hundred", "cifar100", "sym", "NLNL"].loss.params == {"negatives": 110}
    assert all(c.run.data.validation == 0 for c in cells)
    assert {c.run.recipe.weight_decay for c in cells if c.keys["experiment"] == "alpha-beta"} == {0.0}


def test_every_item_has_an_experiment_or_is_computed(paper: papers.Paper) -> None:
    computed = {"table-1", "extra-theory", "extra-directions"}
    for item in paper.items:
        assert bool(item.experiment) != (item.id in computed), item.id
    wanted = {f"table-{i}" for i in range(1, 5)} | {f"figure-{i}" for i in range(1, 6)}
    assert wanted <= {item.id for item in paper.items}


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    found: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        place = tuple(v for k, v in cell.keys.items() if k not in ("method", "setting"))
        if cell.keys["experiment"] != "weight-decay":
            found.setdefault(place, set()).add(cell.run.recipe.model_dump_json())
    assert all(len(recipes) == 1 for recipes in found.values())


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
                key = (side.experiment, side.dataset, side.noise_type, side.noise_rate, side.setting or "", side.method)
                for scale in set(cells) & set(claim.scales or cells):
                    assert key in cells[scale], (claim.id, scale, key)


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"C{i}" for i in range(1, 13)} | {"T1", "T2", "T3"} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            if comparison.fact is not None:
                stem = "above_bound_" if comparison.fact.startswith("above_bound_") else f'"{comparison.fact}"'
                assert stem in text, comparison.fact


# The published numbers


def test_every_file_is_valid() -> None:
    sizes = {path.name: len(published.read(path)) for path in (folder(SLUG) / "published").glob("*.csv")}
    assert sizes["table-2.csv"] == 135 and sizes["table-3.csv"] == 108 and sizes["table-4.csv"] == 5
    assert sizes["figure-3.csv"] == 23 and sizes["figure-4.csv"] == 16 and sizes["figure-5.csv"] == 12


def test_known_cells(paper: papers.Paper) -> None:
    table = items.numbers(paper, "table-2")
    keys = {"dataset": "cifar10", "noise_type": "sym", "noise_rate": 0.2, "method": "NCE+RCE"}
    found = published.lookup(table, keys)
    assert found is not None and (found.mean, found.std) == (89.22, 0.27)
    web = items.numbers(paper, "table-4").set_index("method")["mean"]
    assert web["NCE+RCE"] == 62.64 and web[["CE", "GCE", "SCE"]].isna().all()


def test_published_methods_are_the_papers(paper: papers.Paper) -> None:
    for item in paper.items:
        if item.published:
            cells = paper.cells("paper", only=item.id, check=False)
            trained = {(c.keys["method"], c.keys["setting"]) for c in cells}
            for row in items.numbers(paper, item.id).to_dict("records"):
                setting = "" if str(row["setting"]).startswith("epoch=") else row["setting"]
                assert (row["method"], setting) in trained, (item.id, row["method"], setting)


# The theory


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_class_sums(own: dict[str, ModuleType], classes: int) -> None:
    theory = own["theory"]
    for name, given in theory.NORMALISED.items():
        assert np.allclose(theory.class_sums(name, classes, **given), 1, atol=1e-12), name
    assert np.allclose(theory.class_sums("nmae", classes, variant="official"), 0.5, atol=1e-12)
    factor = -theory.A_DEFAULT * (classes - 1) ** 2 / 4
    assert np.allclose(theory.class_sums("nrce", classes, variant="official"), factor, rtol=1e-12)
    assert theory.largest_gap("nmae", "nrce", classes) < 1e-12


def test_gradients_and_risks(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert max(theory.gradient_errors().values()) < 1e-12
    assert theory.noisy_risk_error("nce", 10, 0.6) < 1e-12 < theory.noisy_risk_error("ce", 10, 0.6)
    assert theory.same_minimiser("nfl", 10, 0.6, problems=50) == 1 > theory.same_minimiser("ce", 10, 0.6, problems=50)


def test_active_and_passive(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    kinds = theory.parts_table()["kind"]
    assert (
        kinds["SCE"] == kinds["NCE+RCE"] == "active + passive"
        and kinds["MAE"] == "passive"
        and kinds["NGCE"] == "active"
    )
    table = theory.directions()
    same = table["smallest cosine with CE"] > 1 - 1e-9
    assert set(table.index[same]) == {"CE", "FL", "GCE", "MAE", "NMAE", "RCE", "NRCE"}


def test_nce_has_empty_minimisers(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    gone = theory.escape(10, (0, 1000))
    assert gone.loc[1000, "NCE"] < 0.003 and gone.loc[1000, "p_y"] == pytest.approx(1 / 9)
    assert gone.loc[1000, "NCE+RCE"] > 0.9 * gone.loc[0, "NCE+RCE"]
    above = theory.bound_violations()["above the bound, %"]
    assert (above[["NCE", "NFL", "NGCE"]] > 10).all() and (above[["NMAE", "NRCE"]] == 0).all()


def test_flips_in_place(own: dict[str, ModuleType]) -> None:
    table = own["theory"].flips()
    assert table.loc["at once", "all"] == pytest.approx(20) and table.loc["in place", "all"] == pytest.approx(
        18.4, abs=0.1
    )
    assert table.loc["in place", "cats called dogs"] == pytest.approx(24, abs=1)
    assert table.loc["in place", "dogs called cats"] == pytest.approx(40, abs=1)


# A sliver, from specification to figure


def test_a_sliver_from_training_to_figure(paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path) -> None:
    cells = paper.cells("smoke", only="figure-1")
    store = Store(tmp_path)
    train([cell.run for cell in cells], store, device="cpu", workers=1)
    frame = results.frame(cells, store)
    assert (frame["status"] == "done").all() and len(frame) == 8
    rows = items.select(paper, "figure-1", frame)
    figure = own["plots"].pairs(rows, items.numbers(paper, "figure-1"), paper.titles(), 120)
    assert [axis.get_title(loc="left") for axis in figure.axes] == ["CE / NCE", "FL / NFL", "MAE / NMAE", "RCE / NRCE"]
    assert items.table(paper, "extra-normalisation", frame).data() is not None


# The notebook


def test_notebook_form() -> None:
    code = [cell for cell in notebook(SLUG).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
