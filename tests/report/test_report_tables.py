"""Tables beside published numbers, in every text form."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losslab import papers
from losslab.errors import InputError
from losslab.papers import results
from losslab.papers.spec import Value
from losslab.report import items, published, rank, stats, table


@pytest.fixture(scope="module")
def first(toy: papers.Paper, frame: pd.DataFrame) -> table.Table:
    return items.table(toy, "table-1", frame)


def cell(made: table.Table, **keys: object) -> pd.Series:
    part = made.data()
    for key, value in keys.items():
        part = part[part[key] == value]
    assert len(part) == 1, keys
    return part.iloc[0]


def test_numbers_against_a_plain_computation(first: table.Table, frame: pd.DataFrame) -> None:
    part = frame[
        (frame["experiment"] == "closed")
        & (frame["dataset"] == "ten")
        & (frame["noise_type"] == "sym")
        & (frame["noise_rate"] == 0.4)
    ]
    best = np.array([100 * max(curve) for curve in part.loc[part["method"] == "GCE", "test_acc"]])
    row = cell(first, dataset="ten", noise_type="sym", noise_rate=0.4, method="GCE")
    assert row["n"] == 3 and row["mean"] == pytest.approx(best.mean()) and row["std"] == pytest.approx(best.std(ddof=1))
    assert row["high"] - row["mean"] == pytest.approx(4.302653 * best.std(ddof=1) / np.sqrt(3), rel=1e-6)
    assert row["published"] == 88.0 and row["difference"] == pytest.approx(best.mean() - 88.0)


def test_states(first: table.Table) -> None:
    diverged = cell(first, dataset="ten", noise_rate=0.8, method="MAE")
    assert (diverged["n"], diverged["diverged"], diverged["runs"], diverged["status"]) == (2, 1, 3, "done")
    partly = cell(first, dataset="hundred", noise_rate=0.4, method="Forward T")
    assert (partly["n"], partly["missing"]) == (1, 2)
    assert cell(first, dataset="ten", noise_rate=0.4, noise_type="sym", method="Copied")["status"] == "not run"
    only_published = cell(first, dataset="hundred", noise_rate=0.6, method="CE")
    assert only_published["status"] == "not run" and only_published["published"] == 30.0
    assert np.isnan(cell(first, dataset="ten", noise_rate=0.8, method="GCE")["published"])  # the file says: not legible


def test_text_of_the_states(first: table.Table) -> None:
    text = first.markdown()
    for part in (
        "diverged (1 of 3)",
        "missing (2 of 3)",
        "not run",
        "not available",
        "70.00 ± 0.30",
        "Ten (stand-in: digits 8x8)",
    ):
        assert part in text, part
    assert "Replicated: mean ± standard deviation over 3 seeds (number in brackets where it differs)" in text
    assert "Stand-ins: Ten: digits 8x8; Hundred: glyphs-100." in text
    assert re.search(r"\| Copied \| published \|.*80\.00.*\|\n\|  \|  \| replicated \| not run", text)


def test_all_runs_missing_or_diverged(toy: papers.Paper, frame: pd.DataFrame) -> None:
    part = frame.copy()
    part.loc[(part["method"] == "CE"), "status"] = "missing"
    part.loc[(part["method"] == "MAE"), "status"] = "diverged"
    text = items.table(toy, "table-1", part).markdown()
    assert "| missing |" in text and "diverged (3 of 3)" in text


def test_best_is_bold_per_column(first: table.Table) -> None:
    data = first.data()
    groups = data[(data["n"] > 0) & data["mean"].notna()].groupby(["dataset", "noise_type", "noise_rate"])
    for _, group in groups:
        winners = group[group["best"]]
        assert (winners["mean"].round(2) == group["mean"].round(2).max()).all() and len(winners) >= 1
    assert cell(first, dataset="ten", noise_type="none", method="CE")["best_published"]
    assert (
        re.search(r"\*\*95\.00\*\* ± 0\.10", first.markdown())
        and "<strong>95.00</strong>" in first.html()
        and r"\textbf{95.00}" in first.latex()
    )


def test_lower_is_better(toy: papers.Paper, frame: pd.DataFrame) -> None:
    made = items.table(toy, "table-1", frame, metric="test_loss", reading="last", published=None)
    group = made.data().query("dataset == 'ten' and noise_rate == 0.4 and noise_type == 'sym' and n > 0")
    assert group.loc[group["mean"].idxmin(), "best"]


def test_order_is_the_papers(first: table.Table, toy: papers.Paper) -> None:
    wide = first.wide()
    methods = list(dict.fromkeys(wide.index.get_level_values(1)))
    assert methods == list(toy.experiments["closed"].methods)
    assert list(dict.fromkeys(wide.columns.get_level_values(0))) == ["none", "sym", "asym"]
    assert [c[1] for c in wide.columns] == ["0", "0.4", "0.6", "0.8", "0.2", "0.4"]


def test_several_numbers_per_cell(toy: papers.Paper, frame: pd.DataFrame) -> None:
    made = items.table(toy, "table-2", frame)
    row = cell(made, setting="ResNet20", method="CE", value="last")
    assert row["published"] == 60.0 and cell(made, setting="ResNet20", method="CE", value="best")["published"] == 80.0
    margin = cell(made, setting="ResNet56", method="GCE", value="class margin")
    assert margin["mean"] == pytest.approx(94.0) and margin["unit"] == "degrees"
    assert "**94.0** ± 0.0" in made.markdown() and "last" in made.wide().columns.get_level_values(1)
    with pytest.raises(InputError, match="share the label 'a'"):
        table.build(frame, rows=["method"], columns=[], values=[Value(label="a"), Value(label="a", reading="best")])


def test_narrow_tables_put_numbers_side_by_side(toy: papers.Paper, frame: pd.DataFrame) -> None:
    wide = items.table(toy, "table-4", frame).wide()
    assert [column[-1] for column in wide.columns] == ["published", "replicated", "95 % interval", "difference"]
    rows = items.table(toy, "table-4", frame).wide("rows")
    assert list(dict.fromkeys(rows.index.get_level_values(-1))) == [
        "published",
        "replicated",
        "95 % interval",
        "difference",
    ]
    with pytest.raises(InputError, match="unknown layout 'row'; did you mean 'rows'"):
        items.table(toy, "table-4", frame).wide("row")


def test_tables_of_ones_own_have_no_place_for_published_numbers(toy: papers.Paper, frame: pd.DataFrame) -> None:
    own, unknown = (items.table(toy, name, frame).markdown() for name in ("extra-cost", "table-3"))
    assert "ublished" not in own and "not available" not in own
    assert "| not available |" in unknown and "The paper's numbers are not available." in unknown


def test_noise_without_a_rate(toy: papers.Paper, frame: pd.DataFrame) -> None:
    made = items.table(toy, "table-4", frame, columns=("noise_type", "noise_rate"))
    assert made.data()["noise_rate"].isna().all() and made.data()["published"].tolist() == [68.9, 69.8]
    assert "real · published" in made.markdown()


def test_a_cell_never_mixes_runs(toy: papers.Paper, frame: pd.DataFrame) -> None:
    with pytest.raises(InputError, match="several runs per seed: put setting into the rows or columns"):
        items.table(toy, "table-3", frame, rows=("method",), columns=("noise_type",))
    with pytest.raises(InputError, match="unknown key 'methods'; did you mean 'method'"):
        table.build(frame, rows=["methods"], columns=[])


def test_the_same_run_in_two_experiments_counts_once(frame: pd.DataFrame) -> None:
    part = results.choose(
        frame, {"experiment": "closed", "method": "CE", "dataset": "ten", "noise_type": "sym", "noise_rate": 0.4}
    )
    twice = pd.concat([part, part.assign(experiment="again")], ignore_index=True)
    made = table.build(twice, rows=["method"], columns=["noise_rate"])
    assert made.data()["n"].tolist() == [3]


class Tags(HTMLParser):
    """Tags and attributes of a text."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.depth: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.depth.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.depth.pop() == tag


def test_html_needs_no_scripts_or_styles(toy: papers.Paper, frame: pd.DataFrame, first: table.Table) -> None:
    for made in (first, items.table(toy, "table-2", frame), items.table(toy, "table-4", frame)):
        parser = Tags()
        parser.feed(made.html())
        assert parser.depth == [] and parser.tags <= {"p", "table", "thead", "tbody", "tr", "th", "td", "strong"}
        assert parser.attributes <= {"align", "valign", "rowspan", "colspan"}
    assert first._repr_html_() == first.html()


def test_html_is_escaped(frame: pd.DataFrame) -> None:
    part = frame[frame["experiment"] == "closed"].copy()
    part["method"] = part["method"].replace({"CE": "<b>CE & co</b>"})
    text = table.build(
        part, rows=["dataset", "method"], columns=["noise_type", "noise_rate"], titles={"ten": "T<e>n"}
    ).html()
    assert "<b>" not in text and "&lt;b&gt;CE &amp; co&lt;/b&gt;" in text and "T&lt;e&gt;n (stand-in" in text


def test_markdown_is_a_table(first: table.Table) -> None:
    lines = [line for line in first.markdown().splitlines() if line.startswith("|")]
    assert len({line.count("|") for line in lines}) == 1 and re.fullmatch(r"[| :-]+", lines[1])


def test_latex_is_balanced(first: table.Table) -> None:
    text = first.latex()
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == 1 and text.count("{") == text.count("}")
    body = text.split(r"\midrule")[1].split(r"\bottomrule")[0]
    columns = re.search(r"begin\{tabular\}\{(\w+)\}", text)
    assert columns is not None
    assert {line.count("&") for line in body.splitlines() if "&" in line} == {len(columns.group(1)) - 1}
    assert r"Forward T\_hat" in text and r"95 \% interval" in text and "±" not in text


def test_files_are_stable_and_hold_no_paths(
    first: table.Table, toy: papers.Paper, frame: pd.DataFrame, tmp_path: Path
) -> None:
    written = first.save(tmp_path / "tables", "table-1")
    before = [path.read_bytes() for path in written]
    assert [path.name for path in written] == ["table-1.csv", "table-1.md", "table-1.tex"]
    assert [
        path.read_bytes() for path in items.table(toy, "table-1", frame).save(tmp_path / "tables", "table-1")
    ] == before
    assert all(str(tmp_path).encode() not in text for text in before)
    back = pd.read_csv(StringIO(first.csv()))
    assert len(back) == len(first.data()) and set(table.NUMBERS) <= set(back.columns)
    assert repr(first).startswith("Table(")


def test_cost(frame: pd.DataFrame) -> None:
    cost = table.cost(frame)
    row = cost[(cost["dataset"] == "ten") & (cost["method"] == "Trunc")].iloc[0]
    assert row["runs"] == 15 and row["seconds"] == 3.75 and row["seconds_per_run"] == 0.25 and row["device"] == "cpu"


def test_smoke_frame_gives_a_table_too(toy: papers.Paper, records: dict[str, object]) -> None:
    smoke = results.frame(toy.cells("smoke", check=False), {})
    text = items.table(toy, "table-1", smoke).markdown()
    assert "missing" in text and "not run" in text and "seeds" not in text


def test_rank(first: table.Table, toy: papers.Paper, frame: pd.DataFrame) -> None:
    ranks = rank.kendall(first)
    at = ranks[(ranks["dataset"] == "ten") & (ranks["noise_type"] == "sym") & (ranks["noise_rate"] == 0.4)].iloc[0]
    data = first.data()
    part = data[(data["dataset"] == "ten") & (data["noise_type"] == "sym") & (data["noise_rate"] == 0.4)].dropna(
        subset=["mean", "published"]
    )
    pairs = [np.sign((a - b) * (c - d)) for i, (a, c) in enumerate(zip(part["mean"], part["published"], strict=True))
             for b, d in list(zip(part["mean"], part["published"], strict=True))[i + 1 :]]  # fmt: skip
    assert at["n"] == 3 and at["tau"] == pytest.approx(np.mean(pairs))
    assert ranks.iloc[-1]["dataset"] == "overall" and -1 <= rank.overall(ranks) <= 1
    assert rank.sentence(ranks).startswith("Kendall's tau-b")
    assert "no ranking to compare" in rank.sentence(rank.kendall(items.table(toy, "table-3", frame)))
    with pytest.raises(InputError, match="nothing to rank"):
        rank.kendall(
            table.build(frame[frame["experiment"] == "nets"].query("method == 'CE'"), rows=["setting"], columns=[])
        )


def test_intervals() -> None:
    summary = stats.summarise([1.0, 2.0, 3.0, float("nan")])
    assert (summary.n, summary.mean, summary.std) == (3, 2.0, 1.0) and summary.high == pytest.approx(
        2 + 4.302653 / np.sqrt(3), rel=1e-6
    )
    assert stats.summarise([]).n == 0 and np.isnan(stats.summarise([1.0]).low)
    mean, low, _ = stats.band([[1.0, 2.0], [3.0]])
    assert mean.tolist() == [2.0, 2.0] and np.isnan(low[1])


def test_published_numbers(toy: papers.Paper) -> None:
    numbers = items.numbers(toy, "table-1")
    assert set(numbers["dataset"]) == {"ten", "hundred"}
    found = published.lookup(numbers, {"dataset": "ten", "noise_type": "sym", "noise_rate": 0.4, "method": "CE"})
    assert found is not None and (found.mean, found.std, found.source) == (70.0, 0.3, "made up")
    assert published.lookup(numbers, {"dataset": "ten", "method": "GCE", "noise_rate": 0.8}) is None
    assert published.lookup(numbers, {"dataset": "ten", "method": "LSR"}) is None
    real = items.numbers(toy, "table-4")
    assert (
        published.lookup(real, {"dataset": "ten", "noise_type": "real", "noise_rate": 0.35, "method": "CE"}) is not None
    )  # empty matches everything
    with pytest.raises(
        InputError,
        match=r"several published numbers for dataset 'ten', method 'CE' in table-1.csv: .*\(noise_type, noise_rate\)",
    ):
        published.lookup(numbers, {"dataset": "ten", "method": "CE"})
    grid = items.numbers(toy, "figure-1")
    assert grid["mean"].tolist() == [55.0, 65.0, 35.0]  # shares in per cent
    curve = published.curves(grid)
    assert curve["epoch"].tolist() == [10.0] and curve["setting"].tolist() == ["alpha=1.0,beta=10.0"]
    assert len(items.numbers(toy, "table-3")) == 0 and items.numbers(toy, "table-1", others=True)["mean"].tolist() == [
        71.0
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "not a table of published numbers"),
        ("table,dataset\n1,2\n", "column 'noise_type' is missing"),
        ("HEAD,extra\n", "unknown column 'extra'"),
        ("HEAD\n1,a,n,0.4,,CE,acc,high,,s\n", "row 2: mean must be a number or empty, not 'high'"),
        (
            "HEAD\n1,a,n,aggregate,,CE,acc,1,,s\n",
            "row 2: noise_rate must be a number or empty, not 'aggregate'; names such as",
        ),
        ("HEAD\n1,a,n,0.4,,CE,acc,1,,\n", "row 2: source is empty"),
        ("HEAD\n1,a,n,0.4,,CE,acc,1,,s\n1,a,n,0.4,,CE,acc,2,,s\n", "row 3: the same cell is given twice .dataset 'a'"),
    ],
)
def test_bad_published_files(text: str, words: str, tmp_path: Path) -> None:
    path = tmp_path / "published" / "table-1.csv"
    with pytest.raises(InputError, match="published/table-1.csv: no such file"):
        published.read(path)
    path.parent.mkdir()
    path.write_text(text.replace("HEAD", ",".join(published.COLUMNS)))
    with pytest.raises(InputError, match=words):
        published.read(path)


def test_alias_of_nothing(toy: papers.Paper) -> None:
    with pytest.raises(InputError, match="alias of dataset: unknown published name 'TEM'; did you mean 'TEN'"):
        published.rename(published.read(toy.published_path("table-1.csv")), {"dataset": {"TEM": "ten"}})
