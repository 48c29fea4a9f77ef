"""The PAL folder: its files agree with each other, no number is invented, its theory holds, its second stages are what they say."""

from __future__ import annotations

import math
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from folders import folder, keys_of, notebook

from losslab import papers
from losslab.heads import prototypes
from losslab.papers import results
from losslab.report import items, published
from losslab.runs import Store
from losslab.training import train

SLUG = "pal"


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(paper: papers.Paper, scale: str) -> None:
    assert len(keys_of(paper, scale)) > 25


def test_paper_scale_has_the_whole_proposed_grid(paper: papers.Paper) -> None:
    noise = paper.cells("paper", only="table-noise", check=False)
    assert len(noise) == 3 * 15 * (5 + 4) * 3  # data sets, methods, rates, seeds
    assert {c.run.model.name for c in paper.cells("paper", only="table-noise/mnist", check=False)} == {"cnn4"}
    unequal = paper.cells("paper", only="table-imbalance", check=False)
    assert len(unequal) == 2 * 21 * 4 * 3
    assert {c.run.data.imbalance_ratio for c in unequal} == {10.0, 100.0}


def test_every_item_has_an_experiment_or_is_computed(paper: papers.Paper) -> None:
    computed = {"anchors", "gallery", "optima", "delta", "delta-trained", "rotation", "why", "narrow"}
    for item in paper.items:
        assert bool(item.experiment) != (item.id.removeprefix("extra-") in computed), item.id
    wanted = {"figure-1", "table-noise", "table-imbalance", "table-real-world", "figure-margins", "figure-scale"}
    assert wanted <= {item.id for item in paper.items}


def test_anchored_methods_have_anchored_heads(paper: papers.Paper) -> None:
    for cell in [c for scale in ("quick", "paper") for c in paper.cells(scale, check=False)]:
        name, head = cell.keys["method"], cell.run.head
        if "FNPAL" in name:
            assert head.name == "fnpal"
        elif cell.run.parent is not None:
            assert (cell.run.parent.head.name == "anchored") == ("PAL" in name), name
            assert cell.run.parent_gives == "backbone"
        elif name.startswith("NSL") or name.endswith("PAL"):
            assert head.name == "anchored", name
        else:
            assert head.name in ("linear", "cosine"), name
    cells = [c for c in paper.cells("paper", only="table-noise", check=False) if c.keys["method"] == "CE+FNPAL"]
    wide = {(c.run.data.name == "cifar100", c.run.head.params["scale"]) for c in cells}
    assert wide == {(False, 8), (True, 12)}


def test_the_same_recipe_for_every_one_stage_method_of_a_cell(paper: papers.Paper) -> None:
    found: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        if cell.run.parent is None:
            plain = cell.run.recipe.model_copy(update={"class_weights": "none", "class_weights_from": 0})
            place = tuple(v for k, v in cell.keys.items() if k != "method")
            found.setdefault(place, set()).add(plain.model_dump_json())
    assert all(len(recipes) == 1 for recipes in found.values())


def test_questions_are_answered_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for question in paper.questions:
        assert f"## {question.answered_in}" in text, question.id
        assert f"**Q{question.id[1:]}." in text and f"**A{question.id[1:]}." in text, question.id


# The claims


def test_claims_name_existing_cells(paper: papers.Paper) -> None:
    cells = {scale: keys_of(paper, scale) for scale in ("quick", "paper")}
    for claim in paper.claims:
        for comparison in claim.comparisons():
            for side in (comparison.left, comparison.right):
                if side is None:
                    continue
                key = (side.experiment, side.dataset, side.noise_type, side.noise_rate, side.setting or "", side.method)
                for scale in cells:
                    assert key in cells[scale], (claim.id, scale, key)


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"P{i}" for i in range(1, 11)} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            if comparison.fact is not None:
                stem = comparison.fact.rpartition("_")[0]
                forms = (f'"{comparison.fact}"', f'f"{stem}_{{', 'f"optimum_gap_{', 'f"anchored_gap_{')
                assert any(form in text for form in forms[: 4 if "_gap_" in comparison.fact else 2]), comparison.fact


# The published numbers


def test_no_number_of_the_paper_is_known(paper: papers.Paper) -> None:
    for item in paper.items:
        for name in item.published:
            table = published.read(folder(SLUG) / "published" / name)
            assert len(table) > 0 and table["mean"].isna().all(), name


def test_published_lines_are_the_paper_scales_cells(paper: papers.Paper) -> None:
    for item in paper.items:
        if item.published:
            cells = {
                (c.keys["dataset"], c.keys["setting"], c.keys["method"])
                for c in paper.cells("paper", only=item.id, check=False)
            }
            rows = items.numbers(paper, item.id)[["dataset", "setting", "method"]].fillna("")
            assert set(zip(rows["dataset"], rows["setting"], rows["method"], strict=True)) == cells, item.id


def test_other_peoples_numbers_are_kept_apart() -> None:
    others = published.read(folder(SLUG) / "published" / "other-decoupling-baselines.csv")
    assert len(others) == 56 and others["mean"].notna().all()
    keys = {"dataset": "CIFAR-10-LT", "setting": "ResNet-32; imbalance factor 100", "method": "stage-2 MiSLAS"}
    found = published.lookup(others, keys, metric="test_acc")
    assert found is not None and found.mean == 82.5


# The theory


def test_anchors(own: dict[str, ModuleType]) -> None:
    table = own["theory"].anchors()
    known = table[table["bound"].notna()]
    assert np.allclose(known["gamma_min"], known["bound"], atol=1e-9) and (table["sum"] < 1e-9).all()
    circle = table[(table["k"] == 10) & (table["d"] == 2)].iloc[0]
    assert circle["gamma_min"] == pytest.approx(1 - math.cos(math.pi / 5)) and circle["class margin"] == pytest.approx(
        36
    )
    assert own["theory"].largest_margin(4, 3) == pytest.approx(4 / 3, abs=1e-6)


def test_optima(own: dict[str, ModuleType]) -> None:
    table = own["theory"].optima().set_index(["classes", "prototypes"])
    assert table.loc[("balanced", "learned"), "gamma_min"] == pytest.approx(10 / 9, abs=1e-4)
    assert table.loc[("long-tailed 100", "learned"), "highest cosine"] == pytest.approx(0.569, abs=2e-3)
    assert table.loc[("step 100", "learned"), "mean w"] == pytest.approx(0.380, abs=2e-3)
    assert (table.xs("anchored", level=1)["gamma_min"] > 1.11).all()


def test_negative_similarity(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    assert (
        theory.class_sum_error(prototypes.simplex_etf(10, 16))
        < 1e-9
        < theory.class_sum_error(prototypes.random_prototypes(10, 16))
    )
    assert theory.noisy_risk_error(rate=0.8) < 1e-12
    assert theory.agreement(prototypes.simplex_etf(10, 12)) == 100 > theory.agreement(prototypes.polygon(10))
    p, predicted = theory.counter_example()
    assert float(p.sum()) == pytest.approx(1) and (int(p.argmax()), predicted) == (0, 1)
    assert theory.offset_gradient("ce") < 1e-12


def test_delta(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    table = theory.delta_table().set_index(["s", "k"])
    assert table.loc[(4, 10), "Delta"] == pytest.approx(17.98, abs=5e-3) and table.loc[
        (4, 10), "Delta, worst W"
    ] == pytest.approx(49.0, abs=5e-2)
    assert table.loc[(8, 100), "floor"] == pytest.approx(0.0302, abs=5e-5)
    assert theory.delta(prototypes.simplex_etf(10, 16, seed=3) + 5, 4.0) == pytest.approx(table.loc[(4, 10), "Delta"])
    # an independent search over the sphere
    w, draw = prototypes.random_prototypes(5, 3), torch.Generator().manual_seed(0)
    z = 2 * torch.nn.functional.normalize(torch.randn(20000, 3, dtype=torch.float64, generator=draw), dim=1)
    sums = 5 * torch.logsumexp(z @ w.T, 1) - (z @ w.T).sum(1)
    assert theory.delta(w, 2.0) == pytest.approx(float(sums.max()) - 5 * math.log(5), abs=5e-3)
    violation, used = theory.risk_bound(4.0, 0.4, problems=50)
    assert violation < 1e-9 and 0 < used < 1


def test_relu(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    aligned = theory.aligned(10, 12)
    assert torch.allclose(aligned @ aligned.T, prototypes.simplex_etf(10, 12) @ prototypes.simplex_etf(10, 12).T)
    assert theory.relu_margin(aligned) == pytest.approx(math.sqrt(10 / 9), abs=1e-9)
    # by brute force: the best of many directions without negative entries comes close from below, where a margin is positive
    draw = torch.Generator().manual_seed(0)
    z = torch.randn(100000, 3, dtype=torch.float64, generator=draw)  # zero entries included, where the optima lie
    z = torch.nn.functional.normalize(z.clamp(min=0)[(z > 0).any(1)], dim=1)
    found = []
    for seed in range(8):
        w = prototypes.simplex_etf(3, 3, seed)
        scores = z @ w.T
        best = min(float((scores[:, y] - scores[:, [j for j in range(3) if j != y]].amax(1)).max()) for y in range(3))
        found.append(theory.relu_margin(w))
        assert found[-1] == pytest.approx(max(best, 0.0), abs=5e-3)
    assert min(found) == 0.0 < max(found)


# A sliver, from specification to figure


def test_a_common_shift_of_the_prototypes_changes_nothing(own: dict[str, ModuleType]) -> None:
    samples, w = own["samples"], prototypes.simplex_etf(10, 128)
    members = [
        samples.Member(name, samples.digits(0, "smoke", head=samples.ANCHORED, imbalance="step", ratio=10.0), moved)
        for name, moved in (("simplex", w), ("moved", w + 0.1), ("random", prototypes.random_prototypes(10, 128)))
    ]
    frame = samples.train(members).set_index("name")
    assert frame.loc["simplex", "accuracy"] == pytest.approx(frame.loc["moved", "accuracy"], abs=0.5)
    assert frame.loc["simplex", "class margin"] == pytest.approx(96.38, abs=0.01)


def test_second_stages_start_from_the_parents_classifier(paper: papers.Paper, tmp_path: Path) -> None:
    """LWS scales the classifier that was trained, not another one."""
    cells = [
        c
        for c in paper.cells("smoke", only="table-imbalance", check=False)
        if c.keys["method"] in ("CE", "CE+PAL", "LWS", "LWS+PAL")
    ]
    runs = {c.keys["method"]: c.run for c in cells}
    store = Store(tmp_path)
    train(
        list(runs.values()),
        store,
        device="cpu",
        workers=1,
        probes={r.hash: frozenset({"weights"}) for r in runs.values()},
    )
    weights = {name: store.weights(run) for name, run in runs.items()}
    plain, scaled, anchored, after = (weights[name] for name in ("CE", "LWS", "CE+PAL", "LWS+PAL"))
    assert plain is not None and scaled is not None and anchored is not None and after is not None
    assert torch.equal(plain["head.weight"], scaled["head.weight"]) and torch.equal(
        plain["head.bias"], scaled["head.bias"]
    )
    assert torch.equal(anchored["head.prototypes"], after["head.weight"])
    assert not torch.equal(scaled["head.scales"], torch.ones(10))
    assert all(torch.equal(plain[name], scaled[name]) for name in plain if name.startswith("backbone."))


def test_figure_1(
    paper: papers.Paper, own: dict[str, ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSLAB_STORE", str(tmp_path))
    cells = paper.cells("smoke", only="figure-1", check=False)
    train(
        [c.run for c in cells],
        Store(tmp_path),
        device="cpu",
        workers=1,
        probes={c.run.hash: frozenset(c.probes) for c in cells},
    )
    assert (results.frame(cells, Store(tmp_path))["status"] == "done").all()
    found = own["planar"].planes(paper, "smoke")
    assert [plane.panel for plane in found] == list(own["planar"].PANELS.values())
    assert torch.allclose(found[3].prototypes, prototypes.polygon(10), atol=1e-6)
    figure = own["plots"].figure_1(found, "digits")
    assert len(figure.axes) == 4
    table = own["planar"].geometry(found)
    assert table.loc["long-tailed, anchored prototypes", "class margin"] == pytest.approx(36, abs=1e-3)


# The notebook


def test_notebook_form() -> None:
    code = [cell for cell in notebook(SLUG).cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
