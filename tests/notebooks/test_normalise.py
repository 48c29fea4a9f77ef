"""Executed notebooks as files: equal results give equal bytes."""

from __future__ import annotations

import copy

import nbformat
import pytest

from losslab import paths
from losslab.notebooks.normalise import clean, dumps, leaks, normalise

v4 = nbformat.v4


def executed(seed: int) -> nbformat.NotebookNode:
    """A notebook as papermill leaves it; what `seed` decides must not matter."""
    outputs = [
        v4.new_output("stream", name="stdout", text="a\n"),
        v4.new_output("stream", name="stderr", text="w\n"),
        v4.new_output("stream", name="stdout", text="b\n"),
        v4.new_output("display_data", {"application/vnd.jupyter.widget-view+json": {"model_id": f"{seed}"}}),
        v4.new_output("execute_result", {"text/plain": "1", "image/png": "aGVsbG8="}, execution_count=7 + seed),
    ]
    if seed % 2:  # cut differently, and the streams mixed differently
        outputs[0:3] = [
            v4.new_output("stream", name="stderr", text="w\n"),
            v4.new_output("stream", name="stdout", text="a"),
            v4.new_output("stream", name="stdout", text="\nb\n"),
        ]
    cell = v4.new_code_cell("1", execution_count=7 + seed, outputs=outputs)
    cell.metadata.update(
        tags=["keep"],
        execution={"shell.execute_reply": f"2026-01-0{seed}"},
        papermill={"duration": seed},
        collapsed=False,
    )
    book = v4.new_notebook(cells=[v4.new_markdown_cell("# title"), cell, v4.new_code_cell("not run")])
    book.metadata.update(
        papermill={"start_time": seed},
        widgets={"state": seed},
        kernelspec={"name": f"mine{seed}", "display_name": "Mine", "language": "python"},
        language_info={"name": "python", "version": f"3.{seed}"},
    )
    return book


def test_what_changes_from_run_to_run_is_gone() -> None:
    assert dumps(normalise(executed(1))) == dumps(normalise(executed(2)))


def test_normalising_twice_changes_nothing() -> None:
    once = dumps(normalise(executed(1)))
    assert dumps(normalise(nbformat.reads(once, as_version=4))) == once


def test_the_result_is_a_valid_notebook_that_keeps_outputs_and_tags() -> None:
    book = normalise(executed(1))
    nbformat.validate(book)
    cell = book.cells[1]
    assert cell.metadata == {"tags": ["keep"]}
    assert [output.output_type for output in cell.outputs] == ["stream", "stream", "execute_result"]
    assert cell.outputs[0].text == "a\nb\n"
    assert cell.execution_count == cell.outputs[-1].execution_count == 1
    assert book.cells[2].execution_count is None
    assert book.metadata.kernelspec.name == "python3"


def test_cleaning_leaves_the_source_alone() -> None:
    book = clean(executed(1))
    assert book.cells[1].outputs == [] and book.cells[1].execution_count is None
    assert [cell.source for cell in book.cells] == ["# title", "1", "not run"]


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("<Thing object at 0x7f8a1c2d3e4f>", "memory address"),
        ("saved to /home/someone/results", "absolute path"),
        (f"saved to {paths.home()}/results", "path of this clone"),
        (" 40%|████      | 4/10", "progress bar"),
        ("done at 2026-01-02 13:45", "time of day"),
    ],
)
def test_outputs_that_tell_of_the_machine_are_found(text: str, what: str) -> None:
    book = copy.deepcopy(executed(1))
    assert leaks(book) == []
    book.cells[1].outputs.append(v4.new_output("stream", name="stdout", text=text))
    assert any(what in line for line in leaks(book))
