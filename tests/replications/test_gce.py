"""The GCE folder: its files agree with each other, its published numbers are the known ones, its theory holds."""

from __future__ import annotations

import math
from types import ModuleType

import numpy as np
import pytest
import torch
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.papers import expand
from losslab.report import published

SLUG = "gce"


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(keys_of(paper, scale)) > 20


def test_table_1_is_the_whole_grid(paper: papers.Paper) -> None:
    cells = paper.cells("quick", only="table-1", check=False)
    assert len(cells) == 3 * 6 * 8 * 3  # data sets, methods, settings, seeds
    assert len(paper.cells("paper", only="table-1", check=False)) == 720


def test_every_item_has_an_experiment_or_is_computed(paper: papers.Paper) -> None:
    computed = {"algorithm-1", "extra-losses", "extra-bounds", "extra-weights"}
    for item in paper.items:
        assert bool(item.experiment) != (item.id in computed), item.id
    assert {"figure-1", "figure-2", "table-1", "table-2", "algorithm-1"} <= {item.id for item in paper.items}


def test_questions_are_answered_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for question in paper.questions:
        assert f"## {question.answered_in}" in text, question.id
        assert f"**A{question.id[1:]}." in text, question.id


def test_quick_scale_trains_three_seeds_of_everything(paper: papers.Paper) -> None:
    assert all(experiment.seeds.quick == 3 for experiment in paper.experiments.values())


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    recipes: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        plain = cell.run.recipe.model_copy(
            update={"refresh_start": None, "refresh_every": 10, "refresh_from": "best_val"}
        )
        recipes.setdefault(tuple(v for k, v in cell.keys.items() if k != "method"), set()).add(plain.model_dump_json())
    assert all(len(found) == 1 for found in recipes.values())


def test_paper_scale_has_the_papers_schedule(paper: papers.Paper) -> None:
    cells = [c for c in paper.cells("paper", only="table-1", check=False) if c.keys["method"] == "Trunc Lq"]
    first = {cell.keys["dataset"]: (cell.run.recipe.refresh_start, cell.run.recipe.refresh_every) for cell in cells}
    assert first == {"fashion_mnist": (40, 10), "cifar10": (40, 10), "cifar100": (80, 10)}
    assert all(cell.run.data.validation == 0.1 and cell.run.noise.draw == "multinomial" for cell in cells)


# The claims


def test_claims_name_existing_cells(paper: papers.Paper) -> None:
    quick, full = keys_of(paper, "quick"), keys_of(paper, "paper")
    for claim in paper.claims:
        for comparison in claim.comparisons():
            for side in (comparison.left, comparison.right):
                if side is None:
                    continue
                wanted = (
                    side.experiment,
                    side.dataset,
                    side.noise_type,
                    side.noise_rate,
                    side.setting or "",
                    side.method,
                )
                assert wanted in full, (claim.id, wanted)
                assert wanted in quick, (claim.id, wanted)


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"C{i}" for i in range(1, 15)} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            if comparison.fact is not None:
                stem = comparison.fact.split("_q")[0].split("_0.")[0]
                assert f'"{comparison.fact}"' in text or f'f"{stem}_{{' in text, comparison.fact


# The published numbers


def test_table_1_holds_the_known_third() -> None:
    table = published.read(folder(SLUG) / "published" / "table-1.csv")
    assert len(table) == 48 and table["mean"].notna().all()
    assert set(table["method"]) == {"CCE", "Forward T_hat", "Lq (q=0.7)"}
    keys = {"dataset": "cifar10", "noise_type": "uniform", "noise_rate": 0.2, "method": "Lq (q=0.7)"}
    found = published.lookup(table, keys)
    assert found is not None and (found.mean, found.std) == (89.83, 0.20)


def test_table_2_waits_for_numbers() -> None:
    assert published.read(folder(SLUG) / "published" / "table-2.csv")["mean"].isna().all()


def test_figure_2_points_lie_on_twelve_curves() -> None:
    points = published.curves(published.read(folder(SLUG) / "published" / "figure-2.csv"))
    assert points.groupby(["noise_rate", "method"]).ngroups == 12
    assert points["mean"].between(20, 95).all() and points["epoch"].between(1, 500).all()


def test_published_methods_are_the_papers(paper: papers.Paper) -> None:
    for name in ("table-1", "table-2", "figure-2"):
        table = published.read(folder(SLUG) / "published" / f"{name}.csv")
        trained = {
            row.name for exp in paper.item(name).experiment for row in paper.chosen(paper.experiments[exp].methods)
        }
        assert set(table["method"]) <= trained, name


# The theory


def test_loss_limits(own: dict[str, ModuleType]) -> None:
    p = np.linspace(0.05, 1, 50)
    theory = own["theory"]
    assert np.abs(theory.loss_values(p, 1e-6) + np.log(p)).max() < 1e-5
    assert np.allclose(theory.loss_values(p, 1.0), 1 - p, atol=1e-12)
    assert np.allclose(theory.mae_values(p), 2 * theory.loss_values(p, 1.0), atol=1e-12)
    assert theory.gradient_identity() < 1e-12


def test_logit_gradient_peaks_where_the_formula_says(own: dict[str, ModuleType]) -> None:
    p = np.linspace(0.001, 1, 100_000)
    norm = own["theory"].logit_norm(p, 0.7)
    assert p[norm.argmax()] == pytest.approx(0.7 / 1.7, abs=1e-4)
    assert norm.max() == pytest.approx(0.632, abs=1e-3)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("q", [0.1, 0.7, 1.0])
def test_sums_stay_within_their_bounds(own: dict[str, ModuleType], classes: int, q: float) -> None:
    theory, points = own["theory"], own["theory"].simplex_points(classes, 400)
    plain = (1 - points**q).sum(1) / q  # written out, not through the library
    assert np.allclose(theory.class_sums(points, q), plain, atol=1e-9)
    assert theory.violation(plain, theory.sum_bounds(classes, q)) < 1e-9
    cut = np.minimum((1 - points**q) / q, (1 - 0.5**q) / q).sum(1)
    assert np.allclose(theory.class_sums(points, q, 0.5), cut, atol=1e-9)
    assert theory.violation(cut, theory.truncated_bounds(classes, q, 0.5)) < 1e-9


def test_widths(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert theory.width(10, 0.7) == pytest.approx(1.4218, abs=1e-4)
    assert theory.width(100, 0.7) == pytest.approx(4.2587, abs=1e-4)
    assert float(theory.truncated_width(0.7, 0.5)) == pytest.approx(0.5492, abs=1e-4)
    low, high = theory.truncated_bounds(10, 0.4, 0.2)
    assert high - low == pytest.approx(float(theory.truncated_width(0.4, 0.2)))
    assert float(theory.truncated_width(0.99, 0.3)) > theory.width(1000, 0.99)  # the statement that fails for q near 1


def test_risk_bounds_and_pruning(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    found = theory.uniform_risks(10, 0.7, 0.4, problems=30)
    assert found["violation"] < 1e-9 and found["bound"] == pytest.approx(0.0632, abs=1e-4)
    assert found["clean_bound"] == pytest.approx(-0.1137, abs=1e-4)
    assert theory.class_dependent_risks(10, 0.7, problems=30)["violation"] < 1e-9
    step = theory.pruning_step(trials=50)
    assert step["violation"] < 1e-9 and step["rewriting_error"] < 1e-9 and 0.1 < step["kept"] < 0.9


# The per-sample experiments


def test_sample_norms_are_those_of_autograd(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    who = [samples.Member("ce", 0.4, 0), samples.Member("gce", 0.4, 1)]
    weights = [w.detach().double().requires_grad_() for w in samples._weights(who)]
    torch.manual_seed(0)
    x, y = torch.randn(2, 3, 64, dtype=torch.float64), torch.tensor([[1, 2, 3], [4, 5, 6]])
    outputs = samples._forward(weights, x)
    leaf = outputs[-1].detach().requires_grad_()
    (by_logits,) = torch.autograd.grad(samples._values(who, leaf, y, 0.7).sum(), leaf)
    norms = samples.sample_norms(weights, outputs, by_logits)
    for m in range(2):
        for i in range(3):
            value = samples._values(who, samples._forward(weights, x)[-1], y, 0.7)[m, i]
            grads = torch.autograd.grad(value, weights)
            size = math.sqrt(sum(float(g[m].detach().square().sum()) for g in grads))
            last = math.sqrt(sum(float(g[m].square().sum()) for g in grads[-2:]))
            assert float(norms["all parameters"][m, i].detach()) == pytest.approx(size, rel=1e-9)
            assert float(norms["last layer"][m, i].detach()) == pytest.approx(last, rel=1e-9)


def test_networks_do_not_depend_on_their_company(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    who = [
        samples.Member("gce", 0.4, 0, "pruning"),
        samples.Member("ce", 0.4, 0),
        samples.Member("gce", 0.4, 0, "direct"),
    ]
    together = samples.train(who, recipe="digits-mlp-smoke", probes=(1.0,))
    alone = samples.train(who[:1], recipe="digits-mlp-smoke", probes=(1.0,))
    (mine,) = together.rows(strategy="pruning")
    assert torch.allclose(together.test_acc[mine], alone.test_acc[0], atol=1.5)
    (stuck,) = together.rows(strategy="direct")
    assert not together.active[stuck].any() and float(together.test_acc[stuck].max()) < 30


def test_expansion_names_what_the_stand_ins_stand_for(paper: papers.Paper) -> None:
    cells: list[expand.Cell] = paper.cells("quick", check=False)
    assert {cell.stand_in for cell in cells} == {"digits 8x8", "glyphs-100", "glyphs-10"}


# The notebook


def test_notebook_form() -> None:
    cells = notebook(SLUG).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
