"""Every mistake in paper.yaml and claims.yaml is one clear line."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from losslab import papers
from losslab.errors import InputError

Edit = Callable[[Any], Any]


def put(*path: Any, value: Any) -> Edit:
    """An edit that sets one value."""

    def edit(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        content[path[-1]] = value

    return edit


def drop(*path: Any) -> Edit:
    """An edit that removes one key."""

    def edit(content: Any) -> None:
        for step in path[:-1]:
            content = content[step]
        del content[path[-1]]

    return edit


PAPER_CASES: dict[str, tuple[Edit, str]] = {
    "unknown key": (put("yeer", value=2020), "paper.yaml: yeer: unknown key 'yeer'; did you mean 'year'?"),
    "unknown key inside": (
        put("methods", "CE", "parms", value={}),
        "methods.CE.parms: unknown key 'parms'; did you mean 'params'?",
    ),
    "unknown key in a recipe": (
        put("methods", "CE", "recipe", value={"epoch": 3}),
        "methods.CE.recipe.epoch: unknown key 'epoch'; did you mean 'epochs'?",
    ),
    "missing key": (drop("title"), "paper.yaml: title: this key is missing"),
    "wrong type": (put("year", value="soon"), "paper.yaml: year: input should be a valid integer, .*not 'soon'"),
    "wrong value": (
        put("items", 0, "kind", value="tabel"),
        "items.0.kind: input should be 'table', 'figure', 'algorithm' or 'text', not 'tabel'",
    ),
    "recipe value": (
        put("methods", "CE", "recipe", value={"lr": -1}),
        "methods.CE.recipe.lr: input should be greater than 0, not -1",
    ),
    "rate": (
        put("experiments", "closed", "noise", 1, "rates", value=[1.4]),
        "noise.1.rates.0: input should be less than or equal to 1, not 1.4",
    ),
    "recipe name": (
        put("methods", "CE", "recipe", value="digits-mpl"),
        "methods.CE.recipe: unknown recipe 'digits-mpl'; did you mean 'digits-mlp'",
    ),
    "block recipe": (
        put("blocks", "ten", "paper", "recipe", value="apl-cifar"),
        "blocks.ten.paper.recipe: unknown recipe 'apl-cifar'",
    ),
    "stand-in": (put("blocks", "ten", "quick", "use", value="digit"), "blocks.ten.quick.use: unknown stand-in 'digit'"),
    "no data": (drop("blocks", "ten", "paper", "data"), "blocks.ten.paper.data: this key is missing"),
    "block of an experiment": (
        put("experiments", "closed", "blocks", value=["tenn"]),
        "experiments.closed.blocks: unknown block 'tenn'; did you mean 'ten'?",
    ),
    "method of an experiment": (
        put("experiments", "closed", "methods", value=["GCEE"]),
        "experiments.closed.methods: unknown method 'GCEE'; did you mean 'GCE'",
    ),
    "twice": (
        put("experiments", "nets", "methods", value=["CE", "CE"]),
        "experiments.nets.methods: the id 'CE' is given twice",
    ),
    "rate of a scale": (
        put("experiments", "closed", "smoke", "rates", value=[0.5]),
        "experiments.closed.smoke.rates: unknown rate '0.5'",
    ),
    "setting of a scale": (
        put("experiments", "tail", "smoke", "settings", value=["step"]),
        "unknown setting 'step'; did you mean 'step 100'",
    ),
    "parent": (
        put("methods", "Forward T_hat", "parent", value="CEE"),
        "methods.Forward T_hat.parent: unknown method 'CEE'; did you mean 'CE'",
    ),
    "parent of many": (
        put("methods", "Forward T_hat", "parent", value="NCE+RCE"),
        "'NCE\\+RCE' is the name of 6 rows; a parent must be one",
    ),
    "parent gives": (drop("methods", "Forward T_hat", "parent_gives"), "`parent` and `parent_gives` go together"),
    "endless parents": (
        put("methods", "CE", value={"loss": "ce", "parent": "Decoupled", "parent_gives": "weights"}),
        "never ends",
    ),
    "both transitions": (
        put("methods", "Forward T_hat", "transition", value=True),
        "`transition: true` is the true matrix",
    ),
    "no loss": (
        put("methods", "CE", value={"key": "ce"}),
        "methods.CE: a method has a `loss`, or says in `published_only`",
    ),
    "grid name": (
        put("methods", "GCE q", "name", value="{p}"),
        r"methods.GCE q.name: '\{p\}' cannot be filled \('p'\); allowed: \{q\}",
    ),
    "grid rows": (put("methods", "GCE q", "name", value="GCE q"), "two rows with name 'GCE q' and setting ''"),
    "empty grid": (put("methods", "GCE q", "grid", value={"q": []}), "`grid` holds an empty list"),
    "when scale": (
        put("methods", "Trunc", "when", 0, "scale", value="papr"),
        "methods.Trunc.when.0: unknown scale 'papr'; did you mean 'paper'",
    ),
    "when block": (
        put("methods", "Trunc", "when", 0, "dataset", value="hundert"),
        "methods.Trunc.when.0: unknown block 'hundert'",
    ),
    "noise without kind": (
        put("experiments", "closed", "noise", 1, "kind", value="none"),
        "kind 'none' has the rate 0 only",
    ),
    "item experiment": (
        put("items", 0, "experiment", value="closd"),
        "items.table-1.experiment: unknown experiment 'closd'; did you mean 'closed'",
    ),
    "item reading": (
        put("items", 0, "reading", value="bst"),
        "items.table-1.reading: unknown reading 'bst'; allowed: last, best",
    ),
    "item file": (put("items", 0, "published", value="table-7.csv"), "items.table-1: no file published/table-7.csv"),
    "others": (put("items", 0, "others", value="table-1.csv"), "other people's numbers are kept in files named other-"),
    "item axes": (put("items", 0, "rows", value=["noise_rate"]), "noise_rate cannot be in rows and in columns"),
    "item where": (
        put("items", 5, "where", value={"dataset": "tten"}),
        "items.figure-2.where.dataset: unknown block 'tten'",
    ),
    "item method": (
        put("items", 7, "where", "method", value="CEE"),
        "items.extra-cost.where.method: unknown method 'CEE'; did you mean 'CE'",
    ),
    "when rate": (
        put("methods", "Trunc", "when", 1, "noise_rate", value=[0.7]),
        "methods.Trunc.when.1: unknown rate '0.7'",
    ),
    "when noise": (put("methods", "Trunc", "when", 1, "noise_type", value="symm"), "unknown noise type 'symm'"),
    "block noise": (
        put("blocks", "ten", "quick", "noise", value={"rael": {"kind": "instance"}}),
        "blocks.ten.quick.noise: unknown noise type 'rael'; did you mean 'real'",
    ),
    "item id": (put("items", 0, "id", value="a/b"), "'a/b' cannot be an id"),
    "item twice": (put("items", 0, "id", value="table-2"), "items: the id 'table-2' is given twice"),
    "slug": (put("slug", value="toys"), "slug: 'toys' must be the name of its folder, 'toy'"),
}
CLAIM_CASES: dict[str, tuple[Edit, str]] = {
    "method": (
        put(0, "all", 0, "right", "method", value="CEE"),
        "toy/claims.yaml: C1: method: unknown method 'CEE'; did you mean 'CE'",
    ),
    "rate": (put(0, "for_each", "noise_rate", value=[0.5]), "C1: noise_rate: unknown rate '0.5'"),
    "block": (put(0, "for_each", "dataset", value=["one"]), "C1: dataset: unknown block 'one'"),
    "experiment": (drop(1, "experiment"), "C2: experiment: this key is missing; allowed: closed"),
    "no method": (drop(3, "any", 0, "left", "method"), "C4: method: this key is missing; allowed: CE, MAE"),
    "reading": (put(0, "reading", value="late"), "C1: reading: unknown reading 'late'"),
    "op": (put(0, "all", 0, "op", value="="), "claims.0.all.0.op: input should be"),
    "two sides": (put(0, "all", 0, "value", value=1.0), "a comparison has `right` or `value`, one of the two"),
    "no sides": (drop(1, "all"), "a claim has `all` or `any`"),
    "fact": (put(2, "all", 0, "left", value={"method": "CE"}), "a comparison has `left` or `fact`, one of the two"),
    "margin": (drop(5, "all", 0, "margin"), "`~` asks for agreement within a `margin` above 0"),
    "twice": (put(1, "id", value="C1"), "claims.yaml: the id 'C1' is given twice"),
    "unknown key": (put(1, "evidnce", value="seen"), "unknown key 'evidnce'; did you mean 'evidence'"),
}


@pytest.mark.parametrize("case", PAPER_CASES)
def test_paper_mistakes(case: str, changed: Callable[..., Path]) -> None:
    edit, words = PAPER_CASES[case]
    _fails(changed(edit), words)


@pytest.mark.parametrize("case", CLAIM_CASES)
def test_claim_mistakes(case: str, changed: Callable[..., Path]) -> None:
    edit, words = CLAIM_CASES[case]
    _fails(changed(edit, "claims.yaml"), words)


def _fails(folder: Path, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        papers.load(folder)
    assert "\n" not in str(caught.value) and str(folder.parent) not in str(caught.value)


def test_files(tmp_path: Path) -> None:
    folder = tmp_path / "toy"
    with pytest.raises(InputError, match="toy/paper.yaml: no such file"):
        papers.load(folder)
    folder.mkdir()
    for text, words in (
        ("slug: [", "toy/paper.yaml: line 1: "),
        ("- a\n", "toy/paper.yaml: the top level must be a mapping"),
        ("slug: toy\nslug: toy\n", "toy/paper.yaml: line 2: the key 'slug' is given twice"),
        ("a: &x {b: 1}\nc: {<<: *x, b: 2}\n", "paper.yaml: slug: this key is missing"),
    ):
        (folder / "paper.yaml").write_text(text)
        with pytest.raises(InputError, match=words):
            papers.load(folder)
    (folder / "paper.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        papers.load(folder)


def test_claims_file_must_be_a_list(changed: Callable[..., Path]) -> None:
    folder = changed(lambda content: None)
    (folder / "claims.yaml").write_text("a: 1\n")
    with pytest.raises(InputError, match="toy/claims.yaml: the top level must be a list of claims"):
        papers.load(folder)
    (folder / "claims.yaml").unlink()
    assert papers.load(folder).claims == ()


def test_parts(toy: papers.Paper) -> None:
    assert toy.slug == "toy" and toy.titles() == {"ten": "Ten", "hundred": "Hundred"}
    assert toy.item("table-2").seen == "yes" and toy.item("table-1").seen == "partly"
    assert toy.published_path("table-1.csv").is_file() and toy.results_path().name == "results"
    assert [claim.id for claim in toy.claims] == ["C1", "C2", "C3", "C4", "C5", "C6"]
    first = list(toy.claims[0].comparisons())
    assert len(first) == 4 and first[0].left is not None and first[0].right is not None
    assert first[0].right.given() == {**first[0].left.given(), "method": "CE"}


def test_unknown_paper() -> None:
    with pytest.raises(InputError, match="unknown paper 'gec'"):
        papers.load("gec")


@pytest.mark.parametrize("slug", papers.slugs())
def test_papers_of_the_repository(slug: str) -> None:
    paper = papers.load(slug)
    for scale in papers.SCALES:
        assert paper.cells(scale, seeds=1, check=False)
