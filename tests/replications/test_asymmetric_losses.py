"""The folder of the asymmetric losses: its files agree with each other, its published numbers are the known ones, its theory holds."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.papers import results
from losslab.report import items, published
from losslab.runs import Store
from losslab.training import train

SLUG = "asymmetric_losses"
ALL = 18  # methods of Tables 1 and 2
COMPUTED = {"table-denoising", "figure-4", "figure-denoising", "extra-ratios", "extra-tolerance"}


# The specification


def test_tables_1_and_2_are_whole_at_paper_scale(paper: papers.Paper) -> None:
    for item, rates in (("table-1", 5), ("table-2", 4)):
        cells = paper.cells("paper", only=item, check=False)
        assert len(cells) == 3 * (ALL - 1) * rates * 3  # NLNL is shown and not trained
        assert all(cell.run.data.validation == 0 for cell in cells)
    mnist = paper.cells("paper", only="table-1/mnist", check=False)
    assert {cell.run.model.name for cell in mnist} == {"cnn4"} and {cell.run.data.name for cell in mnist} == {"mnist"}
    assert {cell.run.noise.draw for cell in mnist if cell.keys["noise_type"] == "sym"} == {"multinomial"}


def test_paper_scale_follows_the_released_configuration(paper: papers.Paper) -> None:
    chosen = {
        (c.keys["dataset"], c.keys["method"]): c.run.loss.params
        for c in paper.cells("paper", only="table-2", check=False)
        if c.keys["noise_rate"] == 0.4
    }
    assert chosen["mnist", "NCE+AUL"] == {"alpha": 0, "beta": 1, "a": 3, "p": 0.1}
    assert chosen["cifar10", "NCE+AEL"] == {"alpha": 1, "beta": 4, "a": 5}
    assert chosen["cifar100", "NCE+AUL"] == {"alpha": 10, "beta": 0.015, "a": 6, "p": 3}
    assert chosen["cifar100", "AGCE"] == {"a": 0.6, "q": 0.6}
    human = paper.cells("paper", only="table-cifar-n", check=False)
    assert {c.run.noise.kind for c in human} == {"human"} and len({str(c.run.noise.options) for c in human}) == 5


def test_quick_scale_shares_its_baselines(paper: papers.Paper) -> None:
    """What has no parameters of this paper is trained once for all papers."""
    other = {cell.run.hash for slug in ("gce", "apl") for cell in papers.load(slug).cells("quick", check=False)}
    own = {cell.run.hash: cell.keys["method"] for cell in paper.cells("quick", check=False)}
    assert sum(hash_ in other for hash_ in own) > 250
    assert not {m for h, m in own.items() if h not in other} & {"CE", "FL", "MAE", "SCE", "NCE", "NCE+MAE", "NCE+RCE"}


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    found: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        place = tuple(v for k, v in cell.keys.items() if k not in ("method", "setting"))
        if cell.keys["experiment"] != "clipping":
            found.setdefault(place, set()).add(cell.run.recipe.model_dump_json())
    assert all(len(recipes) == 1 for recipes in found.values())


def test_every_item_has_an_experiment_or_is_computed(paper: papers.Paper) -> None:
    for item in paper.items:
        assert bool(item.experiment) != (item.id in COMPUTED), item.id


def test_notebook_makes_every_item_and_answers_every_question(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for item in paper.items:
        assert f'"{item.id}"' in text, item.id
    for question in paper.questions:
        assert f"## {question.answered_in}" in text and f"**A{question.id[1:]}." in text, question.id


def test_claims_name_existing_cells_and_facts(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    cells = {scale: keys_of(paper, scale) for scale in ("quick", "paper")}
    for claim in paper.claims:
        assert claim.source
        for comparison in claim.comparisons():
            if comparison.fact is not None:
                stem = comparison.fact.split("_0.")[0]
                assert f'"{stem}' in text or stem.startswith("gain_"), comparison.fact
            for side in (comparison.left, comparison.right):
                if side is not None:
                    key = (
                        side.experiment,
                        side.dataset,
                        side.noise_type,
                        side.noise_rate,
                        side.setting or "",
                        side.method,
                    )
                    for scale in set(cells) & set(claim.scales or cells):
                        assert key in cells[scale], (claim.id, scale, key)
    assert {claim.id.split("-")[0] for claim in paper.claims} >= {f"C{i}" for i in range(1, 13)}


# The published numbers


def test_every_file_is_valid() -> None:
    tables = {path.name: published.read(path) for path in (folder(SLUG) / "published").glob("*.csv")}
    known = {name: int(table["mean"].notna().sum()) for name, table in tables.items()}
    assert known["table-1.csv"] == 30 and known["table-2.csv"] == 24 and known["table-3.csv"] == 0
    assert known["figure-denoising.csv"] == 72 and known["table-denoising.csv"] == 0 and known["table-cifar-n.csv"] == 5
    assert known["other-epsilon-softmax.csv"] == 204


def test_known_cells(paper: papers.Paper) -> None:
    keys = {"dataset": "cifar100", "noise_type": "sym", "noise_rate": 0.6, "method": "NCE+AUL"}
    found = published.lookup(items.numbers(paper, "table-1"), keys)
    assert found is not None and (found.mean, found.std) == (46.34, 0.21)


def test_published_methods_are_the_papers(paper: papers.Paper) -> None:
    for item in paper.items:
        if item.published and item.experiment:
            methods = {cell.keys["method"] for cell in paper.cells("paper", only=item.id, check=False)} | {"NLNL"}
            assert set(items.numbers(paper, item.id)["method"]) <= methods, item.id


# The theory


def test_ratios(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert theory.inverse_ratio("agce", 0.6, 0.6) == pytest.approx(1.480, abs=1e-3)
    assert theory.inverse_ratio("aul", 5.5, 3) == pytest.approx(1.494, abs=1e-3)
    assert theory.inverse_ratio("ael", 2.5) == pytest.approx(1.492, abs=1e-3)
    assert theory.limits(theory.inverse_ratio("ael", 3.5), 10) == pytest.approx((0.429, 0.871), abs=1e-3)
    table = theory.ratio_table().sort_index().drop("WebVision")
    assert np.allclose(table["1/r"], table["1/r, scan"], rtol=2e-3)
    assert np.allclose(table["1/r"], table["switch, minimised"], rtol=2e-3)


def test_conditions_decide(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    found = theory.random_conditions(100)
    assert found["agreement"] == 1 and 0.2 < found["inside"] < 0.9
    assert theory.norm_condition(60) > 0.96
    assert (theory.combinations(10)["minimiser at the vertex"] == 1).all()


def test_gradients_and_special_cases(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert theory.gradient_error() < 1e-12
    gaps = theory.special_cases()["largest difference"]
    assert gaps.iloc[:2].max() < 1e-12 and gaps.max() < 1e-3


def test_risk_bound_holds_for_two_classes_and_clean_labels(own: dict[str, ModuleType]) -> None:
    bound = own["theory"].risk_bound(500)
    assert bound.filter(like="clean").to_numpy().max() < 1e-9 and bound["noisy, 2 classes"].max() < 1e-9
    assert bound.loc["MAE / 2", "noisy, 3 classes"] > 0.05


def test_free_logits_leave_where_predicted(own: dict[str, ModuleType]) -> None:
    theory, toy = own["theory"], own["toy"]
    table = toy.tolerance_curve("ael", [0.31, 0.38], 1.5)  # predicted: 0.339
    assert table["p"][0] > 0.99 and table["p"][1] < 0.97
    assert theory.wrong_minimum_rate("agce", 1.8, 3.0) == pytest.approx(0.292, abs=1e-3)
    ends = toy.wrong_ends("agce", [0.28, 0.36], 1.8, 3.0)["wrong"]
    assert ends[0] == 0 < ends[1]


# Denoising


def test_metrics(own: dict[str, ModuleType]) -> None:
    denoise = own["denoise"]
    clean = torch.rand(1, 1, 20, 20, generator=torch.Generator().manual_seed(0))
    assert denoise.psnr(clean + 0.0, clean * 0 + clean.mean()) > 0
    assert denoise.psnr((clean * 0) + 0.5, clean * 0 + 0.4) == pytest.approx(20, abs=1e-4)
    assert denoise.ssim(clean, clean) == pytest.approx(1)
    flat, other = torch.full((1, 1, 9, 9), 0.2), torch.full((1, 1, 9, 9), 0.6)
    assert denoise.ssim(flat, other) == pytest.approx((2 * 0.12 + 1e-4) / (0.04 + 0.36 + 1e-4), rel=1e-4)
    noisy = (clean + 0.2).clamp(0, 1)
    assert denoise.ssim(noisy, clean, 2.0) > denoise.ssim(noisy, clean, 1.0)


def test_noise_and_targets(own: dict[str, ModuleType]) -> None:
    denoise = own["denoise"]
    draw = np.random.default_rng(0)
    grey = torch.full((1, 1, 100, 100), 0.5)
    assert (denoise.corrupt(grey, "bernoulli", 0.3, draw) == 0).double().mean().item() == pytest.approx(0.3, abs=0.02)
    peppered = denoise.corrupt(grey, "salt-pepper", 0.3, draw)
    assert (peppered == 0.5).double().mean().item() == pytest.approx(0.4, abs=0.02)
    assert (denoise.corrupt(grey, "impulse", 0.3, draw) != 0.5).double().mean().item() == pytest.approx(0.3, abs=0.02)
    with pytest.raises(ValueError, match="gaussian"):
        denoise.corrupt(grey, "speckle", 0.3, draw)
    table = denoise.pointwise_minimisers()
    assert table.loc["bernoulli", "l2"] == pytest.approx(0.42, abs=1e-3)
    assert abs(table.loc[["bernoulli", "impulse"], ["l_heat", "l_poisson"]] - 0.6).max().max() < 0.01
    assert denoise.gaussian_powers().abs().max() < 1e-3


def test_kernels_learn_from_dropped_pixels(own: dict[str, ModuleType]) -> None:
    scores, shown = own["denoise"].study(1, 60, ("bernoulli",), ("noise2noise",))
    psnr = scores.set_index("loss")["psnr"]
    assert psnr["l_heat"] > psnr["l2"] + 3 and len(shown) == 5


# A sliver, from specification to figure


def test_a_sliver_from_training_to_figure(paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path) -> None:
    cells = paper.cells("smoke", only="figure-1")
    store = Store(tmp_path)
    train([cell.run for cell in cells], store, device="cpu", workers=1)
    frame = results.frame(cells, store)
    assert (frame["status"] == "done").all() and len(frame) == 6
    rows = items.select(paper, "figure-1", frame)
    figure = own["plots"].parameters(rows, paper.titles())
    assert [axis.get_title(loc="left").split(",")[0] for axis in figure.axes] == ["AGCE", "AUL", "AEL"]
    table = own["plots"].ratio_table(rows)
    assert len(table) == 6 and 0 <= own["plots"].concordance(table, "r") <= 1
    assert own["answers"].ratio_answer(table)


# The notebook


def test_notebook_form() -> None:
    code = [cell for cell in notebook(SLUG).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
