"""The sparse regularization folder: its files agree with each other, its empty published cells are whole, its theory holds."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.noise import transition_matrix
from losslab.papers import results
from losslab.report import items, published
from losslab.runs import Store
from losslab.training import train

SLUG = "sparse_regularization"
TRAINED = ("CE", "FL", "GCE", "SCE", "NLNL", "NCE+MAE", "NCE+RCE", "NFL+RCE", "CE+SR", "FL+SR", "GCE+SR")


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(keys_of(paper, scale)) > 20


def test_the_table_is_whole_at_paper_scale(paper: papers.Paper) -> None:
    cells = paper.cells("paper", only="table-noise", check=False)
    assert len(cells) == 3 * 11 * 9 * 3  # data sets, methods, settings, seeds
    assert {c.keys["method"] for c in cells} == set(TRAINED)
    assert len(paper.cells("paper", only="table-noise/mnist", check=False)) == 11 * 9 * 3
    assert len(paper.cells("paper", only="table-imbalance", check=False)) == 2 * 2 * 4 * 3


def _terms(paper: papers.Paper, scale: str) -> dict[tuple[str, str, str], dict[str, object]]:
    return {
        (c.keys["dataset"], c.keys["noise_type"], c.keys["method"]): dict(c.run.regulariser.params)
        for c in paper.cells(scale, only="table-noise", check=False)
        if c.run.regulariser is not None
    }


def test_paper_scale_follows_the_code(paper: papers.Paper) -> None:
    terms = _terms(paper, "paper")
    wanted = {
        ("mnist", "sym", "CE+SR"): (0.1, 0.1, 4, 2, 5, "none"),
        ("mnist", "asym", "FL+SR"): (0.1, 0.1, 4, 2, 5, "none"),
        ("mnist", "sym", "GCE+SR"): (0.5, 0.1, 3, 2, 5, "none"),
        ("cifar10", "asym", "CE+SR"): (0.5, 0.1, 1.2, 1.03, 1, "l2"),
        ("cifar100", "sym", "CE+SR"): (0.5, 0.01, 4, 1.02, 1, "l2"),
        ("cifar100", "clean", "GCE+SR"): (0.5, 0.01, 4, 1.02, 1, "l2"),
        ("cifar100", "asym", "GCE+SR"): (0.5, 0.01, 10, 1.02, 1, "l2"),
    }
    for key, values in wanted.items():
        assert tuple(terms[key][n] for n in ("tau", "p", "lam", "rho", "every", "scaling")) == values, key
    runs = {
        (c.keys["dataset"], c.keys["noise_type"], c.keys["method"]): c.run
        for c in paper.cells("paper", only="table-noise", check=False)
    }
    assert runs["cifar100", "sym", "GCE+SR"].loss.params == {"q": 0.001}
    assert runs["mnist", "sym", "SCE"].loss.params == {"alpha": 1, "beta": 1}
    assert runs["mnist", "asym", "NCE+RCE"].loss.params == {"alpha": 1, "beta": 100}
    assert runs["cifar100", "sym", "NCE+MAE"].loss.params == {"alpha": 10, "beta": 1, "variant": "paper"}
    assert runs["cifar10", "asym", "CE"].noise.options == {"sequential": True}
    assert {d: runs[d, "sym", "CE"].recipe.epochs for d in ("mnist", "cifar10", "cifar100")} == {
        "mnist": 50,
        "cifar10": 120,
        "cifar100": 200,
    }
    imbalanced = {
        c.keys["dataset"]: c.run
        for c in paper.cells("paper", only="table-imbalance", check=False)
        if c.keys["method"] == "CE+SR"
    }
    assert all(run.recipe.clip_norm is None for run in imbalanced.values())
    scaling = {name: run.regulariser.params["scaling"] for name, run in imbalanced.items() if run.regulariser}
    assert scaling == {"cifar10": "none", "cifar100": "l2"}


def test_the_weight_ends_where_the_papers_ends(paper: papers.Paper) -> None:
    ends = {"mnist": (512, 60), "cifar10": (1.03**119, 60), "cifar100": (1.02**199, 15)}
    for (dataset, _, method), term in _terms(paper, "quick").items():
        growth, epochs = ends[dataset]
        found = float(term["rho"]) ** ((epochs - 1) // int(term["every"]))  # type: ignore[arg-type]
        assert found == pytest.approx(growth, rel=0.01), (dataset, method)


def test_every_item_has_an_experiment_or_is_computed(paper: papers.Paper) -> None:
    computed = {"extra-theory", "extra-bounds", "extra-regime", "extra-distance"}
    for item in paper.items:
        assert bool(item.experiment) != (item.id in computed), item.id


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    found: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        place = tuple(v for k, v in cell.keys.items() if k != "method")
        found.setdefault(place, set()).add(cell.run.recipe.model_dump_json())
        assert cell.run.seed in (0, 1, 2)
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
    assert {f"S{i}" for i in range(1, 9)} | {"R1", "R2", "R3"} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            if comparison.fact is not None:
                stem = "silhouette_gain_" if comparison.fact.startswith("silhouette") else f'"{comparison.fact}"'
                assert stem in text, comparison.fact


# The published numbers


def test_every_file_is_valid() -> None:
    found = {path.name: published.read(path) for path in (folder(SLUG) / "published").glob("*.csv")}
    assert {name: len(table) for name, table in found.items()} == {
        "table-noise.csv": 297,
        "table-webvision.csv": 5,
        "table-imbalance.csv": 16,
        "other-author-log.csv": 90,
        "other-eps-softmax.csv": 196,
        "other-isic.csv": 30,
    }
    for name, table in found.items():
        assert table["mean"].isna().all() == name.startswith("table-"), name


def test_empty_cells_are_those_that_are_trained(paper: papers.Paper) -> None:
    for name in ("table-noise", "table-webvision", "table-imbalance"):
        keys = ["dataset", "noise_type", "noise_rate", "setting", "method"]
        waiting = items.numbers(paper, name).fillna({"noise_rate": -1.0})
        trained = {
            tuple(-1.0 if c.keys[k] is None else c.keys[k] for k in keys) for c in paper.cells("paper", only=name)
        }
        assert set(map(tuple, waiting[keys].to_numpy().tolist())) == trained, name


# The theory


def test_permutation_sets(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    spread = theory.sum_spread(10, 100)
    assert (spread["one permutation set"] < 1e-12).all()
    assert spread.loc["CE", "any output"] > 1 > 1e-12 > spread.loc["MAE", "any output"]
    assert (
        theory.kept_minimisers("ce", 0.6, problems=30) == 1 > theory.kept_minimisers("ce", 0.6, problems=30, free=True)
    )


def test_risk_bounds(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert theory.excess_factor(0.6, 10) == pytest.approx(0.2) and math.isinf(theory.excess_factor(0.9, 10))
    assert theory.symmetric_bound(0.6, 10, 3.334) / 2 == pytest.approx(0.667, abs=1e-3)
    assert theory.check_symmetric(80)["violation"] <= 0
    found = theory.check_asymmetric(80)
    assert found["violation"] <= 0 < found["ratio"]
    matrix, labels = transition_matrix("pair", 3, 0.3), np.array([0, 1, 2])
    assert theory.asymmetric_bound(matrix, labels, 0.1) == pytest.approx(0.2 + 2 * 0.7 * 0.1 / 0.4)
    assert math.isinf(theory.asymmetric_bound(transition_matrix("pair", 3, 0.6), labels, 0.1))


def test_penalty(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    errors = theory.gradient_errors()
    assert max(errors["plain"], errors["normalised"]) < 1e-12 and errors["one-hot step"] == 0
    assert theory.lp_range(10, 0.1, clamped=True)[0] == pytest.approx(2.80, abs=0.01)
    assert theory.lp_range(100, 0.01, clamped=True)[0] == pytest.approx(85.3, abs=0.05)
    assert theory.passive_identity() < 1e-12 and theory.gce_to_ce(0.01) < 0.015
    corners = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    assert theory.one_hot_distance(corners).tolist() == pytest.approx([0, math.sqrt(0.5)])


def test_unit_logits(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    table = theory.regime_table()
    assert table.loc["CIFAR-10", "largest probability"] == pytest.approx(0.4778, abs=1e-4)
    assert table.loc["CIFAR-100", "largest probability"] == pytest.approx(0.0701, abs=1e-4)
    assert table.loc["WebVision-mini", "least CE"] == pytest.approx(2.0147, abs=1e-4)
    assert table.loc["CIFAR-10", "penalty, sharpest"] == pytest.approx(7.6991, abs=1e-4)
    draw = torch.randn(2000, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    top = torch.softmax(draw / draw.norm(dim=1, keepdim=True) / 0.5, 1).max()
    assert float(top) <= table.loc["CIFAR-10", "largest probability"] + 1e-12
    assert theory.small_p_reading(10, 0.5, 0.1)["cosine"] > 0.996


def test_the_authors_log_lies_in_the_normalised_regime(paper: papers.Paper, own: dict[str, ModuleType]) -> None:
    logged = own["theory"].logged_penalty(items.numbers(paper, "extra-log", others=True))
    assert len(logged) == 6
    assert (logged["least"] < logged["loss / weight"]).all() and (logged["loss / weight"] < logged["most"]).all()


def test_schedules_noise_and_class_sizes(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    weights = theory.weights()["last"]
    assert weights["MNIST, CE and FL"] == 2048 and weights["MNIST, GCE"] == 1536
    assert weights["CIFAR-10"] == pytest.approx(40.4, abs=0.1)
    assert weights["CIFAR-100, asymmetric"] == pytest.approx(515, abs=1)
    rates = theory.realised_rates((0.4,))
    assert rates.loc[(0.4, "in place"), "cats"] == pytest.approx(24, abs=1)
    assert rates.loc[(0.4, "at once"), "all"] == pytest.approx(20)
    counts = theory.class_counts()
    assert (
        counts.loc["exponential, 0.01"].tolist() == [12406, 10847] and counts.loc["step, 0.1"].tolist() == [27500] * 2
    )


# A sliver, from specification to figure


def test_a_sliver_from_training_to_figure(paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path) -> None:
    cells = paper.cells("smoke", only="figure-parameters")
    store = Store(tmp_path)
    train([cell.run for cell in cells], store, device="cpu", workers=1)
    frame = results.frame(cells, store)
    assert (frame["status"] == "done").all()
    table = own["plots"].studied(items.select(paper, "figure-parameters", frame))
    assert {"lambda0", "rho"} <= set(table["parameter"]) and table["mean"].between(0, 100).all()
    assert own["plots"].parameters(frame, paper.titles()).axes
    assert items.table(paper, "extra-parameters", frame).data() is not None


def test_watched_runs_are_those_of_the_tables(paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path) -> None:
    samples, theory = own["samples"], own["theory"]
    runs = samples.watched(paper)
    assert list(runs) == list(samples.WAYS)
    assert {run.hash for run in runs.values()} <= {cell.run.hash for cell in paper.cells("quick")}
    short = {label: runs[label] for label in ("CE", "CE+SR as on CIFAR-10")}
    course = samples.distances(short, until=2)
    assert course["epoch"].tolist() == [1, 1, 2, 2] and course["test accuracy"].between(0, 100).all()
    floor = float(theory.one_hot_distance(theory.sharpest(10, 0.5)[1]))
    assert (course.loc[course["way"] != "CE", "distance"] >= floor - 1e-4).all()
    cut = {k: r.model_copy(update={"recipe": r.recipe.model_copy(update={"epochs": 3})}) for k, r in short.items()}
    store = Store(tmp_path)
    train(list(cut.values()), store, device="cpu", workers=1)
    last = samples.distances(cut).query("epoch == 3").set_index("way")["test accuracy"]
    for label, run in cut.items():
        assert last[label] == pytest.approx(100 * store.get(run).curves["test_acc"][-1], abs=1e-4)


# The notebook


def test_notebook_form() -> None:
    code = [cell for cell in notebook(SLUG).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
