"""The SCE folder: its files agree with each other, its published numbers are the known ones, its theory holds."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pytest
import torch
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.losses.bootstrap import d2l
from losslab.losses.symmetric import sce
from losslab.report import published

SLUG = "sce"
COMPUTED = {"extra-losses", "extra-placement", "extra-gradients", "extra-d2l"}


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(keys_of(paper, scale)) > 20


def test_paper_scale_is_the_whole_table(paper: papers.Paper) -> None:
    cells = paper.cells("paper", only="table-1", check=False)
    assert len(cells) == 3 * 7 * 8 * 5
    settings = {c.keys["dataset"]: c.run.loss.params for c in cells if c.keys["method"] == "SL"}
    assert settings == {
        "mnist": {"alpha": 0.01, "beta": 1},
        "cifar10": {"alpha": 0.1, "beta": 1},
        "cifar100": {"alpha": 6, "beta": 0.1},
    }


def test_paper_scale_has_the_official_recipe(paper: papers.Paper) -> None:
    runs = {c.keys["dataset"]: c.run for c in paper.cells("paper", only="table-1", check=False)}
    assert {name: (run.recipe.epochs, run.recipe.lr) for name, run in runs.items()} == {
        "mnist": (50, 0.1),
        "cifar10": (120, 0.01),
        "cifar100": (150, 0.1),
    }
    for run in runs.values():
        assert run.recipe.schedule.kind == "keras" and run.recipe.schedule.decay in (1e-4, 5e-3)
        assert run.data.validation == 0 and run.recipe.batch_size == 128
    assert runs["cifar100"].recipe.weight_decay == 0.02
    assert {run.model.name for run in runs.values()} == {"sce_cnn4", "sce_cnn8", "resnet44_preact"}


def test_noise_is_the_official_one(paper: papers.Paper) -> None:
    noise = {
        (c.keys["dataset"], c.keys["noise_type"]): c.run.noise
        for c in paper.cells("paper", only="table-1", check=False)
    }
    assert noise["cifar100", "asymmetric"].kind == "superclass_pair"
    assert noise["cifar100", "asymmetric"].options == {"superclass": "blocks"}
    assert noise["mnist", "symmetric"].draw == "exact_equal" and noise["cifar10", "asymmetric"].draw == "exact"
    assert noise["mnist", "asymmetric"].flip_map == "mnist" and noise["cifar10", "asymmetric"].flip_map == "cifar10"


def test_quick_decay_is_the_papers(paper: papers.Paper) -> None:
    """Learning-rate decay x iterations: 390 or 391 steps an epoch on CIFAR-10, 18 on the stand-in."""
    for setting, decay in (("learning-rate decay (code)", 1e-4), ("50 times the decay (code before Sep 2019)", 5e-3)):
        run = next(c.run for c in paper.cells("quick", only="extra-decay", check=False) if c.keys["setting"] == setting)
        assert run.recipe.schedule.decay * run.recipe.epochs * 18 == pytest.approx(decay * 120 * 391, rel=0.02)


def test_items_have_experiments_or_are_computed(paper: papers.Paper) -> None:
    for item in paper.items:
        assert bool(item.experiment) != (item.id in COMPUTED), item.id
    wanted = {f"figure-{i}" for i in range(1, 7)} | {f"table-{i}" for i in range(1, 4)}
    assert wanted <= {item.id for item in paper.items}


def test_every_item_is_made_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells if cell.cell_type == "code")
    assert [item.id for item in paper.items if f'"{item.id}"' not in text] == []


def test_questions_are_answered_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for question in paper.questions:
        assert f"## {question.answered_in}" in text, question.id
        assert f"**A{question.id[1:]}." in text, question.id


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    recipes: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        place = tuple(v for k, v in cell.keys.items() if k != "method")
        recipes.setdefault(place, set()).add(cell.run.recipe.model_dump_json())
    assert all(len(found) == 1 for found in recipes.values())


# The claims


def test_claims_name_existing_cells(paper: papers.Paper) -> None:
    cells = {scale: keys_of(paper, scale) for scale in ("smoke", "quick", "paper")}
    for claim in paper.claims:
        for comparison in claim.comparisons():
            for side in (comparison.left, comparison.right):
                if side is None:
                    continue
                at = (side.experiment, side.dataset, side.noise_type, side.noise_rate, side.setting or "", side.method)
                assert at in cells["paper"], (claim.id, at)
                thinned = claim.id == "C4-d2l" and side.noise_rate in (0.2, 0.3)
                if "quick" in claim.scales and not thinned:
                    assert at in cells["quick"], (claim.id, at)


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"C{i}" for i in range(1, 15)} | {f"T{i}" for i in range(1, 11)} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    facts = {c.fact for claim in paper.claims for c in (*claim.all, *claim.any) if c.fact}
    assert [fact for fact in facts if f'"{fact}"' not in text] == []


# The published numbers


def test_table_1_holds_the_known_part() -> None:
    table = published.read(folder(SLUG) / "published" / "table-1.csv")
    assert len(table) == 46 and table["mean"].notna().all() and set(table["dataset"]) == {"cifar100"}
    keys = {"dataset": "cifar100", "noise_type": "symmetric", "noise_rate": 0.6, "method": "SL"}
    found = published.lookup(table, keys)
    assert found is not None and (found.mean, found.std) == (41.47, 0.04)


def test_other_tables() -> None:
    assert published.read(folder(SLUG) / "published" / "table-2.csv")["mean"].isna().all()
    clothing = published.read(folder(SLUG) / "published" / "table-3.csv").set_index("method")["mean"]
    assert clothing.to_dict() == {
        "CE": 68.80,
        "Bootstrap": 68.94,
        "Forward": 69.84,
        "D2L": 69.47,
        "GCE": 69.75,
        "SL": 71.02,
    }
    assert len(published.read(folder(SLUG) / "published" / "other-reproductions.csv")) == 72
    assert len(published.read(folder(SLUG) / "published" / "other-class-wise.csv")) == 130


def test_published_methods_are_the_papers(paper: papers.Paper) -> None:
    for name in ("table-1", "table-3"):
        known = set(paper.methods) | {"Forward"}
        assert set(published.read(folder(SLUG) / "published" / f"{name}.csv")["method"]) <= known


# The theory


def test_loss_and_gradient(own: dict[str, ModuleType]) -> None:
    theory, p = own["theory"], np.linspace(0.01, 0.99, 99)
    assert np.allclose(theory.loss_values(p, 0.3, 0.7, -6.0), -0.3 * np.log(p) + 0.7 * 6 * (1 - p))
    assert np.allclose(theory.label_gradient(p, 0.3, 0.7, -6.0), (0.3 + 4.2 * p) * (1 - p))
    assert max(theory.gradient_errors().values()) < 1e-9
    assert p[theory.label_gradient(p, 0.0, 1.0).argmax()] == pytest.approx(0.5)


@pytest.mark.parametrize("classes", [2, 7, 100])
def test_class_sums_are_constant(own: dict[str, ModuleType], classes: int) -> None:
    points = own["theory"].outputs(classes)
    assert np.allclose(own["theory"].class_sums(points, 0.0, 1.0, -6.0), 6 * (classes - 1))
    assert np.ptp(own["theory"].class_sums(points, 1.0, 0.0)) > 1


def test_noise_tolerance(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    reverse = theory.uniform_noise(10, 0.4, 0.0, 1.0, problems=40)
    assert reverse["error"] < 1e-9 and reverse["moved"] == 0
    assert theory.uniform_noise(10, 0.4, 1.0, 0.0, problems=40)["moved"] > 0.5
    assert theory.class_dependent_noise(10, 0.0, 1.0, problems=40) == 0


def test_optimum_is_the_minimum(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert theory.optimum(0.4, 1.0, 0.0) == pytest.approx(0.6)
    best, t = theory.optimum(0.4, 0.5, 0.2), np.full(10, 0.4 / 9)
    t[0] = 0.6
    grid = np.linspace(0.61, 0.999, 2000)
    rest = (1 - grid) / 9
    risk = -0.5 * (t[0] * np.log(grid) + 0.4 * np.log(rest)) - 0.2 * -theory.A_CODE * (t[0] * grid + 0.4 * rest)
    assert grid[risk.argmin()] == pytest.approx(best, abs=1e-3)
    assert theory.reverse_share(np.array([1.0]), 6.0, 0.1)[0] == pytest.approx(0.133, abs=1e-3)


def test_directions_are_one(own: dict[str, ModuleType]) -> None:
    for row in own["theory"].directions().values():
        assert row["residual"] < 1e-9 and row["error"] < 1e-9 and row["negative"] == 1


# The trainings beside the engine


def test_values_are_the_librarys(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    logits, y = torch.randn(2, 5, 10), torch.tensor([[1, 2, 3, 4, 5], [9, 8, 7, 6, 5]])
    who = [samples.Member("SL", 0.4, 0), samples.Member("CE", 0.4, 0)]
    alpha, reverse = (torch.tensor([m.weights[i] for m in who]).unsqueeze(1) for i in (0, 1))
    ours = samples.values(logits, y, alpha, reverse, torch.ones(2, 1))
    log_probs = logits.log_softmax(-1)
    assert torch.allclose(ours[0], sce(log_probs[0], y[0], alpha=0.1, beta=1.0), atol=1e-5)
    mixed = samples.values(logits, y, alpha, reverse, torch.full((2, 1), 0.3))
    assert torch.allclose(mixed[1], d2l(log_probs[1], y[1], alpha=0.3), atol=1e-5)


def test_small_training_writes_down_what_the_questions_need(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    flock = samples.train(samples.gradient_members(1, (0.4,)), recipe="digits-mlp-smoke")
    assert flock.test_acc.shape == (3, 12, 10) and float(flock.test_acc[0, -1].mean()) > 60
    assert len(samples.class_gains(flock, 0.4)) == 10
    assert np.allclose(flock.wrong[["silent", "undecided", "believed"]].sum(axis=1), 1)
    (cross,) = flock.rows(loss="CE")
    assert (flock.terms.loc[flock.terms["loss"] == "CE", "RCE"] == 0).all() and flock.members[cross].weights == (
        1.0,
        0.0,
    )


def test_decay_sits_where_it_should(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    who = [samples.Member("CE", 0.4, 0, place=place) for place in ("", *samples.PLACES)]
    table = [
        column.flatten().tolist()
        for column in samples._decays(who, samples.recipes.get("digits-mlp"), samples._weights(who))
    ]
    assert [row[1] for row in table] == [0.0] * 6 and table[0][0] == pytest.approx(1e-4)
    assert [round(row[2], 3) for row in table] == [0, 0, 0.02, 0.02, 0, 0]
    assert all(round(row[3], 3) == 0.02 for row in table)


# The notebook


def test_notebook_form() -> None:
    code = [cell for cell in notebook(SLUG).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
