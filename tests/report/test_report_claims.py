"""Verdicts, and results against results."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from losslab import papers
from losslab.errors import InputError
from losslab.papers import results
from losslab.papers.claimspec import Claim
from losslab.report import claims, inventory, items, rank, style, summary, verify

BASE = {"experiment": "closed", "dataset": "ten", "noise_type": "sym", "noise_rate": 0.8}


def frame_of(left: list[float], right: list[float], **states: str) -> pd.DataFrame:
    """Two methods, A and B, one row per seed; ``A1="diverged"`` sets a state."""
    rows = []
    for method, numbers in (("A", left), ("B", right)):
        for seed, number in enumerate(numbers):
            status = states.get(f"{method}{seed}", "done")
            rows.append(
                {
                    **BASE,
                    "setting": "",
                    "method": method,
                    "seed": seed,
                    "run": f"{method}{seed}",
                    "status": status,
                    "final": "{}",
                    "test_acc": [number / 100],
                }
            )
    return pd.DataFrame(rows)


def verdict(
    frame: pd.DataFrame, scale: str = "quick", facts: dict[str, float] | None = None, **form: Any
) -> claims.Verdict:
    base = {"id": "C", "text": "a claim", **form}
    return claims.evaluate([Claim.model_validate(base)], frame, scale, facts)[0]


def compare(op: str, frame: pd.DataFrame, **more: Any) -> claims.Verdict:
    return verdict(frame, all=[{"left": {**BASE, "method": "A"}, "op": op, "right": {"method": "B"}, **more}])


@pytest.mark.parametrize(
    ("op", "left", "right", "more", "expected"),
    [
        (">", [90, 91, 92], [80, 81, 82.5], {}, "replicated"),
        (">", [80, 81, 82], [90, 91, 92.5], {}, "contradicted"),
        (">", [80, 91, 82], [85, 81, 86], {}, "inconclusive"),
        (">", [90, 91, 92], [80, 81, 82.5], {"margin": 11}, "contradicted"),
        (">", [90, 91, 92], [80, 81, 82.5], {"margin": 9.8}, "inconclusive"),
        ("<", [80, 81, 82], [90, 91, 92.5], {}, "replicated"),
        ("<", [80, 81, 82], [90, 91, 92.5], {"margin": 12}, "contradicted"),
        (">", [90, 90, 90], [90, 90, 90], {}, "contradicted"),
        (">=", [90, 90, 90], [90, 90, 90], {}, "replicated"),
        ("<=", [90, 90, 90], [90, 90, 90], {}, "replicated"),
        ("~", [90, 90.2, 90.1], [90.1, 90.1, 90.2], {"margin": 1}, "replicated"),
        ("~", [90, 90.2, 90.1], [80.1, 80.1, 80.2], {"margin": 1}, "contradicted"),
        ("~", [90, 95, 86], [90, 90, 91], {"margin": 1}, "inconclusive"),
        (">", [90], [80], {}, "inconclusive"),
        (">", [], [80], {}, "not run"),
    ],
)
def test_comparisons(op: str, left: list[float], right: list[float], more: dict[str, Any], expected: str) -> None:
    assert compare(op, frame_of(left, right), **more).verdict == expected


def test_pairs_are_by_seed() -> None:
    found = compare(">", frame_of([50, 70, 90], [48, 68.1, 87.9]))
    assert found.verdict == "replicated"  # the seeds differ much, the pairs little
    check = found.checks[0]
    assert check.n == 3 and check.estimate == pytest.approx(2.0) and check.low is not None and 1.7 < check.low < 2.0
    lost = compare(">", frame_of([50, 70, 90], [48, 68.1, 87.9], A0="missing"))
    assert lost.checks[0].n == 2


def test_single_seed_still_says_the_sign() -> None:
    assert "one seed; it agrees" in compare(">", frame_of([90], [80])).checks[0].note
    assert "one seed; it disagrees" in compare(">", frame_of([70], [80])).checks[0].note


@pytest.mark.parametrize(
    ("left", "right", "lost", "expected"),
    [
        ([90, 91, 92, 93], [80, 81, 82, 83.5], "A0", "inconclusive"),  # the better side diverged once
        ([90, 91, 92, 93], [80, 81, 82, 83.5], "B0", "replicated"),
        ([80, 81, 82, 83], [90, 91, 92, 93.5], "B0", "inconclusive"),
        ([80, 81, 82, 83], [90, 91, 92, 93.5], "A0", "contradicted"),
    ],
)
def test_diverged_runs_flatter_nobody(left: list[float], right: list[float], lost: str, expected: str) -> None:
    found = compare(">", frame_of(left, right, **{lost: "diverged"}))
    assert found.verdict == expected and found.checks[0].note == "1 run diverged"
    mirrored = verdict(
        frame_of(right, left, **{{"A0": "B0", "B0": "A0"}[lost]: "diverged"}),
        all=[{"left": {**BASE, "method": "A"}, "op": "<", "right": {"method": "B"}}],
    )
    assert mirrored.verdict == expected


def test_all_diverged() -> None:
    assert compare(">", frame_of([90, 91], [80, 81], A0="diverged", A1="diverged")).verdict == "inconclusive"


def test_values_and_facts() -> None:
    frame = frame_of([30, 31, 32], [0, 0, 0])
    assert verdict(frame, all=[{"left": {**BASE, "method": "A"}, "op": "<", "value": 35.0}]).verdict == "replicated"
    assert verdict(frame, all=[{"left": {**BASE, "method": "A"}, "op": "<", "value": 25.0}]).verdict == "contradicted"
    fact = [{"fact": "gap", "op": "<=", "value": 1e-9}]
    assert verdict(frame, all=fact, facts={"gap": 1e-10}).verdict == "replicated"
    assert verdict(frame, all=fact, facts={"gap": 1e-8}).verdict == "contradicted"
    assert verdict(frame, all=fact, facts={"gap": float("nan")}).verdict == "inconclusive"
    assert verdict(frame, all=fact).verdict == "not run"
    exact = [{"fact": "n", "op": "==", "value": 3}]
    assert (
        verdict(frame, all=exact, facts={"n": 3}).verdict == "replicated"
        and verdict(frame, all=exact, facts={"n": 4}).verdict == "contradicted"
    )


def test_all_and_any() -> None:
    frame = frame_of([90, 91, 92], [80, 81, 82.5])
    yes, no = ({"left": {**BASE, "method": "A"}, "op": op, "right": {"method": "B"}} for op in (">", "<"))
    absent = {"left": {**BASE, "noise_rate": 0.2, "method": "A"}, "op": ">", "right": {"method": "B"}}
    for form, expected in (
        ({"all": [yes, yes]}, "replicated"),
        ({"all": [yes, no]}, "contradicted"),
        ({"any": [yes, no]}, "replicated"),
        ({"any": [no, no]}, "contradicted"),
        ({"all": [yes, absent]}, "inconclusive"),
        ({"all": [no, absent]}, "contradicted"),
        ({"all": [absent]}, "not run"),
    ):
        assert verdict(frame, **form).verdict == expected, form
    assert verdict(frame, all=[yes, absent]).note == "1 of 2 comparisons not run"


def test_minus_and_readings() -> None:
    frame = frame_of([0, 0, 0], [0, 0, 0])
    frame["test_acc"] = [[0.9, 0.5], [0.92, 0.5], [0.91, 0.52], [0.8, 0.79], [0.8, 0.78], [0.81, 0.8]]
    drop = {
        "left": {**BASE, "method": "A", "reading": "best", "minus": {"reading": "last"}},
        "op": ">",
        "right": {"method": "B", "minus": {"reading": "last"}},
    }
    found = verdict(frame, all=[drop])
    assert found.verdict == "replicated"
    assert found.checks[0].left_mean == pytest.approx(40.3333, abs=1e-3) and found.checks[
        0
    ].right_mean == pytest.approx(1.3333, abs=1e-3)
    assert "minus last" in found.checks[0].left


def test_the_paper(toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    found = claims.evaluate(toy.claims, frame, "quick", {"bound": 0.5})
    assert {v.id: v.verdict for v in found} == {
        "C1": "replicated",
        "C2": "replicated",
        "C3": "replicated",
        "C4": "replicated",
        "C5": "replicated",
        "C6": "replicated",
    }
    assert len(found[0].checks) == 4
    made = claims.table(found)
    assert "| C1 | GCE beats CE under symmetric noise | replicated | 4 replicated; closest:" in made.markdown()
    assert (
        "<strong>replicated</strong>" in made.html()
        and made.counts()["replicated"] == 6
        and repr(made).startswith("Claims(6 replicated")
    )
    assert len(made.data()) == sum(len(v.checks) for v in found)
    path = tmp_path / "claims.json"
    claims.write(found, path)
    assert claims.read(path) == found
    first = path.read_bytes()
    claims.write(claims.read(path), path)
    assert path.read_bytes() == first
    smoke = claims.evaluate(toy.claims, results.frame(toy.cells("smoke", check=False), {}), "smoke")
    assert {v.verdict for v in smoke} == {"not run"} and "not meant for the scale smoke" in smoke[4].note


def test_bad_claims(frame: pd.DataFrame, tmp_path: Path) -> None:
    loose = {"all": [{"left": {"experiment": "closed", "method": "CE"}, "op": ">", "value": 1.0}]}
    with pytest.raises(
        InputError, match="claim C: CE fits several cells: say which dataset and noise_type and noise_rate"
    ):
        verdict(frame, **loose)
    with pytest.raises(InputError, match="claims.json: no such file"):
        claims.read(tmp_path / "claims.json")
    (tmp_path / "claims.json").write_text("{}x")
    with pytest.raises(InputError, match="not a file of verdicts"):
        claims.read(tmp_path / "claims.json")


def regenerate(toy: papers.Paper, frame: pd.DataFrame, folder: Path) -> Path:
    """A small results folder."""
    made = items.table(toy, "table-1", frame)
    made.save(folder / "tables", "table-1")
    claims.write(claims.evaluate(toy.claims, frame, "quick", {"bound": 0.5}), folder / "claims.json")
    found = inventory.build(toy, folder)
    summary.write(
        summary.metrics(toy, frame, "quick", claims.read(folder / "claims.json"), {"table-1": made}, found),
        folder / "metrics.json",
    )
    return folder


def test_inventory_and_summary(toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    folder = regenerate(toy, frame, tmp_path / "results")
    found = inventory.build(toy, folder)
    assert (
        found.set_index("id").loc["table-1", "regenerated"] and not found.set_index("id").loc["figure-1", "regenerated"]
    )
    assert inventory.summary(found) == (
        "1 of the paper's 7 tables, figures and algorithms regenerated "
        "(not: table-2, table-3, table-4, figure-1, figure-2, algorithm-1), and 1 that the paper does not have."
    )
    content = json.loads((folder / "metrics.json").read_text())
    assert content["runs"] == {"done": len(frame) - 6, "diverged": 2, "missing": 4} and content["items"] == {
        "regenerated": 1,
        "of": 7,
        "extra": 0,
    }
    assert content["claims"]["replicated"] == 6 and -1 <= content["kendall_tau"]["table-1"] <= 1
    assert 0 < content["mean"]["closed"]["CE"] < 100 and "seconds" not in json.dumps(content)


def test_curves_for_plots(toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    part = results.choose(frame, {"experiment": "closed", "dataset": "ten", "noise_type": "sym", "noise_rate": 0.4})
    summary.curves_csv(part, tmp_path / "curves.csv")
    table = pd.read_csv(tmp_path / "curves.csv")
    assert (
        list(table.columns) == ["epoch", "CE", "MAE", "Forward T", "Forward T_hat", "GCE", "Trunc"] and len(table) == 40
    )
    expected = 100 * part.loc[part["method"] == "CE", "test_acc"].map(lambda curve: curve[-1]).mean()
    assert table["CE"].iloc[-1] == pytest.approx(expected, abs=1e-3)
    summary.curves_csv(part.iloc[:0], tmp_path / "empty.csv")


def test_verify(toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path) -> None:
    new, old = regenerate(toy, frame, tmp_path / "new"), regenerate(toy, frame, tmp_path / "old")
    same = verify.folders(new, old)
    assert same.agrees() and same.total > 100 and "identical" in same.sentence()
    assert same.table()["numbers"].tolist() == [same.total] * len(verify.TOLERANCES)
    text = (old / "tables" / "table-1.csv").read_text().replace("done", "missing", 1)
    (old / "tables" / "table-1.csv").write_text(text)
    shifted = pd.read_csv(old / "tables" / "table-1.csv")
    shifted.loc[0, "mean"] += 0.3
    shifted.iloc[:-1].to_csv(old / "tables" / "table-1.csv", index=False)
    other = verify.folders(new, old)
    assert not other.agrees(1.0) and other.within(0.1) == other.total - 1
    assert other.largest[1] == pytest.approx(0.3, abs=1e-4) and other.largest[0].startswith("table-1: ten, none, 0, CE")
    assert other.texts[0][1:] == ("done", "missing") and len(other.only_new) > 0
    assert "largest difference 0.3" in other.sentence()
    with pytest.raises(InputError, match="no such folder"):
        verify.folders(new, tmp_path / "nowhere")
    (old / "claims.json").write_text("x")
    with pytest.raises(InputError, match="claims.json: not JSON"):
        verify.folders(new, old)


def test_verify_frames(frame: pd.DataFrame) -> None:
    assert verify.frames(frame, frame).agrees()
    changed = frame.copy()
    changed["test_acc"] = [None if curve is None else [*curve[:-1], curve[-1] + 0.01] for curve in changed["test_acc"]]
    found = verify.frames(changed, frame)
    assert (
        not found.agrees(0.5) and found.largest[1] == pytest.approx(1.0) and found.largest[0].endswith("test_acc last")
    )
    assert verify.frames(frame, frame.iloc[:0]).sentence().startswith("nothing to compare")


@pytest.mark.parametrize("slug", papers.slugs())
def test_keys_of_the_repositorys_papers_have_a_look(slug: str) -> None:
    for name, method in papers.load(slug).methods.items():
        assert style.of(method.look).colour, name


def test_rank_word() -> None:
    assert rank.OVERALL == "overall"
