"""The IMAE folder: its files agree with each other, its published numbers are the known ones, its theory holds."""

from __future__ import annotations

import json
import math
from functools import cache
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
import torch
from folders import folder, notebook

from losslab import losses, papers
from losslab.report import items, published

SLUG = "imae"


@cache
def keys_at(scale: str) -> frozenset[tuple[object, ...]]:
    return frozenset(tuple(cell.keys.values()) for cell in papers.load("imae").cells(scale, check=False))


# The specification


@pytest.mark.parametrize("scale", ["smoke", "quick", "paper"])
def test_every_scale_expands(scale: str) -> None:
    assert len(keys_at(scale)) > 20


def test_table_6_is_the_whole_grid(paper: papers.Paper) -> None:
    for scale in ("quick", "paper"):
        assert len(paper.cells(scale, only="table-6", check=False)) == 2 * 3 * 3 * 3  # networks, rates, losses, seeds
    assert {cell.run.model.name for cell in paper.cells("paper", only="table-6", check=False)} == {
        "resnet20",
        "resnet56",
    }


def test_table_3_has_the_released_values_of_T(paper: papers.Paper) -> None:
    found = {
        cell.keys["noise_rate"]: cell.run.loss.params["T"]
        for cell in paper.cells("paper", only="table-3", check=False)
        if cell.keys["method"] == "IMAE"
    }
    assert found == {0.0: 6, 0.2: 8, 0.4: 8, 0.6: 2}


def test_generations_have_their_own_noise_and_length(paper: papers.Paper) -> None:
    new, old = (paper.cells("paper", only=item, check=False) for item in ("table-6", "table-old-2"))
    assert {cell.run.recipe.epochs for cell in new} == {256} and {cell.run.recipe.epochs for cell in old} == {164}
    assert {cell.run.noise.kind for cell in new} == {"none", "symmetric"}
    assert {cell.run.noise.kind for cell in old} == {"symmetric_inclusive"}
    generation = {item.id: item for item in paper.items}
    assert not set(generation["table-6"].experiment) & set(generation["table-old-2"].experiment)


def test_released_forms_at_paper_scale(paper: papers.Paper) -> None:
    cells = paper.cells("paper", only="table-3", check=False)
    variants = {cell.keys["method"]: cell.run.loss.params.get("variant") for cell in cells}
    assert variants["MAE"] == variants["IMAE"] == "official"
    assert {cell.run.recipe.sampler for cell in cells} == {"class_balanced"}
    assert {cell.run.data.validation for cell in cells} == {0.0}


def test_the_same_recipe_for_every_method_of_a_cell(paper: papers.Paper) -> None:
    found: dict[tuple[object, ...], set[str]] = {}
    for cell in paper.cells("quick", check=False):
        if "rate x" not in str(cell.keys["method"]):
            place = tuple(v for k, v in cell.keys.items() if k != "method")
            found.setdefault(place, set()).add(cell.run.recipe.model_dump_json())
    assert all(len(recipes) == 1 for recipes in found.values())


def test_retrieval_shares_the_runs_of_table_3(paper: papers.Paper) -> None:
    sets = {c.run.hash for c in paper.cells("quick", only="old-mars", check=False) if c.keys["method"] != "GCE"}
    assert sets <= {cell.run.hash for cell in paper.cells("quick", only="table-3", check=False)}


def test_items_have_experiments_or_are_computed(paper: papers.Paper) -> None:
    computed = {
        "figure-1", "figure-2", "table-2", "figure-3", "figure-old-5", "extra-integral", "extra-influence", "extra-shares",
    }  # fmt: skip
    for item in paper.items:
        assert bool(item.experiment) != (item.id in computed), item.id
    new = {f"table-{i}" for i in range(1, 7)} | {f"figure-{i}" for i in range(1, 5)}
    old = {"table-old-2", "table-old-3", "table-rebuttal-a", *(f"figure-old-{i}" for i in (3, 4, 5, 6, 7))}
    assert {item.id for item in paper.items if not item.id.startswith("extra")} == new | old


def test_questions_are_answered_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for question in paper.questions:
        assert f"## {question.answered_in}" in text, question.id
        assert f"**A{question.id[1:]}." in text, question.id


# The claims


def test_claims_name_existing_cells(paper: papers.Paper) -> None:
    for claim in paper.claims:
        for scale in claim.scales:
            there = keys_at(scale)
            for comparison in claim.comparisons():
                for side in (comparison.left, comparison.right):
                    if side is not None and scale != "smoke":
                        setting = side.setting or ""
                        wanted = (side.experiment, side.dataset, side.noise_type, side.noise_rate, setting, side.method)
                        assert wanted in there, (claim.id, scale, wanted)


def test_every_claim_of_the_inventory_is_there(paper: papers.Paper) -> None:
    ids = {claim.id.split("-")[0] for claim in paper.claims}
    assert {f"C{i}" for i in range(1, 17)} | {f"T{i}" for i in range(1, 6)} | {"Q5", "Q6"} <= ids
    assert all(claim.source for claim in paper.claims)


def test_every_fact_is_computed_in_the_notebook(paper: papers.Paper) -> None:
    text = "\n".join(cell.source for cell in notebook(SLUG).cells)
    for claim in paper.claims:
        for comparison in claim.all + claim.any:
            fact = comparison.fact
            if fact is not None and not fact.startswith(("late_rise", "variance_T")):
                assert f'"{fact}"' in text, fact


# The published numbers


def test_files_are_complete() -> None:
    sizes = {
        "table-1": 9, "table-3": 64, "table-4": 30, "table-5": 11, "table-6": 84, "table-old-2": 72, "table-old-3": 8,
        "table-rebuttal-a": 8, "figure-1": 3, "figure-old-6": 14, "figure-old-7": 14, "other-log-cifar100": 360,
    }  # fmt: skip
    for name, rows in sizes.items():
        table = published.read(folder(SLUG) / "published" / f"{name}.csv")
        assert len(table) == rows and table["mean"].notna().all() and table["std"].isna().all(), name


def test_table_1_is_part_of_table_6() -> None:
    small, large = (published.read(folder(SLUG) / "published" / f"table-{i}.csv") for i in (1, 6))
    for row in small.to_dict("records"):
        keys = {key: row[key] for key in published.KEYS}
        found = published.lookup(large, keys, str(row["metric"]))
        assert found is not None and found.mean == row["mean"]


def test_table_3_holds_the_best_checkpoint_of_the_logs() -> None:
    table, log = (
        published.read(folder(SLUG) / "published" / f"{name}.csv") for name in ("table-3", "other-log-cifar100")
    )
    for (rate, method), curve in log.groupby(["noise_rate", "method"]):
        number = published.lookup(table, {"noise_rate": rate, "method": method})
        exception = (rate, method) == (0.0, "CCE")
        assert number is not None
        assert number.mean == pytest.approx((curve["mean"].iloc[-1] if exception else curve["mean"].max()), abs=0.051)


def test_published_numbers_belong_to_cells(paper: papers.Paper) -> None:
    full = keys_at("paper")
    known = {(key[1], key[2], None if key[3] != key[3] else key[3]) for key in full}
    for item in paper.items:
        if item.published and item.experiment:
            rows = items.numbers(paper, item.id)
            assert len(rows) > 0, item.id
            names = {row.name for exp in item.experiment for row in paper.chosen(paper.experiments[exp].methods)}
            assert set(rows["method"]) <= names, item.id
            for row in rows.to_dict("records"):
                rate = None if row["noise_rate"] != row["noise_rate"] else row["noise_rate"]
                assert (row["dataset"], row["noise_type"], rate) in known, (item.id, row)


def test_implied_numbers(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    noise = theory.implied_noise(published.read(folder(SLUG) / "published" / "table-old-2.csv"))
    assert noise["implied"].between(0.8 * noise["noise_rate"], 0.9 * noise["noise_rate"]).all()
    hybrid = theory.implied_correction(published.read(folder(SLUG) / "published" / "table-6.csv"))
    assert hybrid["left over at rate 0"].abs().max() < 0.06
    assert hybrid.loc[("ResNet20", 0.4, "IMAE"), "true class"] == pytest.approx(81.6)


# The theory


def test_variances(own: dict[str, ModuleType]) -> None:
    table = own["theory"].moments()
    found, means = table["variance"], table["mean"]
    known = {
        "CCE": 1 / 3,
        "MAE": 4 / 45,
        "IMAE T=1": 0.00743,
        "IMAE T=2": 0.04004,
        "IMAE T=4": 0.29850,
        "IMAE T=6": 1.29168,
    }
    known |= {"IMAE T=8": 4.54609, "IMAE T=10": 14.437, "IMAE T=12": 43.266, "IMAE T=16": 354.11, "IMAE T=0": 0.0}
    for name, value in known.items():
        assert found[name] == pytest.approx(value, rel=2e-4, abs=6e-6), name
    assert means["IMAE T=8"] == pytest.approx(4.4197, abs=1e-4) and means["IMAE T=16"] == pytest.approx(
        24.080, abs=1e-3
    )
    assert own["theory"].smallest_T() == pytest.approx(2.684, abs=1e-3)
    assert own["theory"].quadrature("exp(T p) (1 - p)") == pytest.approx(2182.5, abs=0.1)


def test_gradients(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    checks = theory.gradient_checks()
    assert checks["norm"] < 1e-12 and checks["direction"] < 1e-12
    assert checks["fitted IMAE"] == pytest.approx(-0.5, abs=1e-5) and abs(checks["fitted CCE"]) < 1e-5
    assert theory.product_error() < 1e-12
    sums = theory.batch_norms()
    assert np.allclose(sums.loc["IMAE T=8, released", ["untrained", "half fitted"]].astype(float), 1, atol=1e-4)
    assert sums.loc["IMAE T=8, plain mean", "half fitted"] > 2


def test_the_integral_diverges(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    for cut, value in ((1e-2, 6.758), (1e-3, 7.951), (1e-4, 9.106)):
        assert theory.integral(0.5, cut) == pytest.approx(value, abs=1e-3)
    assert theory.integral(0.5, 1e-9) - theory.integral(0.5, 1e-8) == pytest.approx(math.log(10) / 2, abs=1e-5)
    assert theory.potential([2.0], T=0.0)[0] == pytest.approx(-1.0)  # T = 0: a straight line of slope -1/2
    by_sum = np.linspace(0.3, 0.7, 200_001)
    plain = np.trapezoid(np.exp(8 * by_sum * (1 - by_sum)) / (2 * by_sum * (1 - by_sum)), by_sum)
    assert theory.integral(0.3, 0.3) == pytest.approx(plain, rel=1e-6)


def test_symmetric_for_two_classes_only(own: dict[str, ModuleType]) -> None:
    theory = own["theory"]
    two, ten = ([theory.class_sum(p, classes) for p in (0.2, 0.5, 0.9, 0.99)] for classes in (2, 10))
    assert max(two) - min(two) < 1e-9 and max(ten) - min(ten) > 1


# Readings and samples


def test_sets_of_images(own: dict[str, ModuleType]) -> None:
    readings = own["readings"]
    labels = torch.arange(3).repeat_interleave(10)
    features = torch.eye(3)[labels] + 0.01
    means, classes = readings.set_features(features, labels, size=4)
    assert means.shape == (6, 3) and classes.tolist() == [0, 0, 1, 1, 2, 2]


def test_readings_of_a_frame(own: dict[str, ModuleType]) -> None:
    readings = own["readings"]
    assert readings._mixed(1.0, 0.25, 0.4) == pytest.approx(0.7) and readings._mixed(0.9, None, 0.0) == 0.9
    frame = pd.DataFrame(
        {"setting": "a", "noise_rate": 0.4, "method": "m", "test_acc": [[0.3, 0.55, 0.9], [0.6, 0.7, 0.8]]}
    )
    found = readings.epochs_until(frame, (0.5, 0.9))
    assert found.iloc[0].tolist()[0] == 1.5 and math.isnan(found.iloc[0].tolist()[1])
    assert readings.late_change(frame, "test_acc", start=0.34) == pytest.approx(40.0)


def test_sample_gradients_are_those_of_autograd(own: dict[str, ModuleType]) -> None:
    samples = own["samples"]
    members = [("CCE", 0), ("MAE", 0), ("IMAE", 0), ("IMAE, plain mean", 0)]
    forms = [("ce", {}), ("mae", {}), ("imae", {"T": 8, "variant": "official"}), ("imae", {"T": 8, "variant": "paper"})]
    weights = [w.detach().double() for w in samples._weights(members)]
    torch.manual_seed(0)
    x, y = torch.randn(5, 64, dtype=torch.float64), torch.tensor([[1, 2, 3, 4, 5]] * 4)
    outputs = samples._forward(weights, x.expand(4, -1, -1))
    p = outputs[-1].softmax(-1)
    error = samples.factors(members, outputs[-1], y).unsqueeze(-1) * (p - torch.nn.functional.one_hot(y, 10))
    norms = samples.sample_norms(samples.sample_gradients(weights, outputs, error))
    for i, (name, given) in enumerate(forms):
        loss = losses.build(name, 10, reduction="none", **given)
        for k in range(5):
            leaves = [w[i].clone().requires_grad_() for w in weights]
            logits = samples._forward([w.unsqueeze(0) for w in leaves], x.unsqueeze(0))[-1][0]
            grads = torch.autograd.grad(loss(logits, y[i])[k], leaves)
            size = math.sqrt(sum(float(g.square().sum()) for g in grads))
            assert float(norms["network, L2"][i, k]) == pytest.approx(size, rel=1e-9), (name, k)


def test_small_flock(own: dict[str, ModuleType]) -> None:
    flock = own["samples"].train(1, "digits-mlp-smoke")
    table = flock.table
    assert set(table["loss"]) == set(own["samples"].LOSSES) and table["share, logits"].between(0, 1).all()
    last = table[(table["epoch"] == table["epoch"].max()) & (table["labels"] == "right")]
    assert (last.set_index("loss")["mean p"] > 0.3).all()  # all four have learnt something


# The notebook


def test_notebook_form() -> None:
    cells = notebook(SLUG).cells
    code = [cell for cell in cells if cell.cell_type == "code"]
    assert code[0].metadata.tags == ["parameters"] and "open_paper" in code[1].source
    assert all(len(cell.source.splitlines()) <= 25 for cell in code)
    assert "TEXT" not in json.dumps([cell.source for cell in cells])
    compile("\n".join(cell.source for cell in code), "notebook", "exec")
