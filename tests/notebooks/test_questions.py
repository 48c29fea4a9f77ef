"""Questions and answers are taken from the executed notebooks as they stand there."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest

from losslab import papers, params, paths
from losslab.notebooks import questions


@pytest.fixture
def executed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An executed notebook of GCE with the answers that a test writes; GCE is the only paper."""
    settings = params.load()
    monkeypatch.setattr(params, "load", lambda: settings.model_copy(update={"papers": ["gce"]}))
    monkeypatch.setattr(paths, "results", lambda slug: tmp_path)
    return tmp_path / "executed.ipynb"


def write(file: Path, *cells: str) -> None:
    book = nbformat.v4.new_notebook()
    book.cells = [nbformat.v4.new_markdown_cell(cell) for cell in cells]
    nbformat.write(book, file)


def test_answers_end_at_the_next_question_or_heading(executed: Path) -> None:
    ids = [question.id for question in papers.load("gce").questions]
    cells = [f"Text.\n\n**A{i[1:]}. Yes, {i}.** By 3 points.\n\n*Limits: few seeds.*\n\n**Q9. Next**" for i in ids[:-1]]
    write(executed, *cells, f"**A{ids[-1][1:]}. No.** Reasons.\n\n## Next section\n\nMore.")
    found = questions.collect()
    assert [a.id for a in found] == ids
    assert found[0].headline == f"Yes, {ids[0]}." and found[0].text.endswith("*Limits: few seeds.*")
    assert found[-1].text == f"**A{ids[-1][1:]}. No.** Reasons."
    page = questions.markdown(found, up="../../")
    assert "../../replications/gce/results/executed.ipynb" in page and "By 3 points." in page
    assert list(questions.table(found)["in short"])[-1] == "No."


def test_a_missing_answer_is_empty(executed: Path) -> None:
    write(executed, "**A1. Yes.** It does.")
    found = questions.collect()
    assert found[0].text and not any(answer.text for answer in found[1:])


def test_a_paper_that_was_not_executed_says_so(executed: Path) -> None:
    assert all(not answer.text for answer in questions.collect())
    assert "No answer yet." in questions.markdown(questions.collect())
