"""Results at paper scale that are kept with a paper: read from archives, matched to its cells, shown beside smaller scales."""

from __future__ import annotations

from pathlib import Path

import pytest

from losslab import papers
from losslab.errors import InputError
from losslab.report import items, reference
from losslab.runs import Record, Run, Store


def record(run: Run, accuracy: float) -> Record:
    return Record(
        run=run,
        fingerprint="of an earlier version",
        status="done",
        curves={"test_acc": [0.1, accuracy]},
        final={},
        cost={"seconds": 500.0, "device": "a processor"},
        provenance={"torch": "2.11.0", "commit": "0123456789abcdef"},
        digests={},
    )


def in_bf16(run: Run) -> Run:
    return run.model_copy(update={"recipe": run.recipe.model_copy(update={"precision": "bf16"})})


@pytest.fixture
def paper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> papers.Paper:
    """APL with an archive of three trainings of Table 2's MNIST block at 80 % noise, one of them in two precisions."""
    made = papers.load("apl")
    cells = [
        cell
        for cell in made.cells("paper", only="table-2/mnist", check=False)
        if cell.keys["noise_rate"] == 0.8 and cell.keys["method"] in ("CE", "NCE+RCE")
    ]
    store = Store(tmp_path / "store")
    runs = {(cell.keys["method"], cell.run.seed): cell.run for cell in cells}
    store.put(record(in_bf16(runs["CE", 0]), 0.9))
    store.put(record(runs["CE", 0], 0.2))
    store.put(record(in_bf16(runs["CE", 1]), 0.4))
    store.put(record(runs["NCE+RCE", 0], 0.95))
    monkeypatch.setattr(reference, "folder", lambda slug: tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    store.export(tmp_path / "kept" / "mnist.zip")
    return made


def test_records_are_matched_whatever_their_precision(paper: papers.Paper) -> None:
    rows = reference.frame(paper)
    assert rows is not None and set(rows["status"]) == {"done"}
    found = rows[rows["experiment"] == paper.item("table-2").experiment[0]]
    assert sorted(zip(found["method"], found["seed"], strict=True)) == [("CE", 0), ("CE", 1), ("NCE+RCE", 0)]


def test_comparison_with_the_published_numbers(paper: papers.Paper) -> None:
    table = reference.compare(paper, "table-2").set_index("method")
    assert table.loc["CE", "ours"] == pytest.approx(30.0) and table.loc["CE", "n"] == 2  # float32 goes first
    published = items.numbers(paper, "table-2")
    published = published[(published["dataset"] == "mnist") & (published["noise_rate"] == 0.8)].set_index("method")
    for method in ("CE", "NCE+RCE"):
        number = published.loc[method, "mean"]
        assert table.loc[method, "published"] == number
        assert table.loc[method, "difference"] == pytest.approx(table.loc[method, "ours"] - number)


def test_tables_have_a_line_for_them(paper: papers.Paper) -> None:
    rows = reference.frame(paper)
    assert rows is not None
    shown = items.table(paper, "table-2", items.select(paper, "table-2", rows), reference=rows)
    text = shown.markdown()
    assert "paper scale" in text and "30.00 ± 14.14 (2)" in text and "95.00 (1)" in text
    cells = shown.data().query("dataset == 'mnist' and noise_rate == 0.8").set_index("method")
    assert cells.loc["CE", "reference_n"] == 2 and cells.loc["GCE", "reference_n"] == 0
    assert "paper scale" not in items.table(paper, "table-2", items.select(paper, "table-2", rows)).markdown()


def test_provenance_names_device_precision_and_commit(paper: papers.Paper) -> None:
    table = reference.provenance("apl")
    assert list(table["precision"]) == ["bf16", "float32"] and set(table["trainings"]) == {2}
    assert set(table["seconds"]) == {1000.0} and set(table["commit"]) == {"0123456789ab"}


def test_a_damaged_archive_is_named(paper: papers.Paper) -> None:
    file = reference.folder("apl") / "mnist.zip"
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(bytes(data))
    with pytest.raises(InputError, match=r"mnist\.zip"):
        reference.records("apl")


def test_without_archives_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "folder", lambda slug: tmp_path)
    made = papers.load("apl")
    assert reference.frame(made) is None and reference.compare(made, "table-2").empty
    assert reference.provenance("apl").empty
