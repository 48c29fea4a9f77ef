"""What nbval is there for: a wrong number, an exception and an output that the code no longer gives each make it fail."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from losslab.notebooks.execute import refresh

ROOT = Path(__file__).resolve().parents[2]
SOUND = (
    "import sys\nrate = 0.3",
    "print([[round(1 - rate if i == j else rate / 3, 3) for j in range(4)] for i in range(2)])",
    "print('took 3.2 seconds on 2026-01-02 with Python', sys.version.split()[0])",
    "{'accuracy': round(97.25 - 0.125, 3)}",
)
Book = nbformat.NotebookNode


def later(book: Book) -> None:
    """As if it had been written on another machine, another day."""
    text = book.cells[2].outputs[0].text
    book.cells[2].outputs[0].text = re.sub(r"Python [\d.]+", "Python 3.99.1", text.replace("3.2 s", "71 s")).replace(
        "2026", "2031"
    )


def wrong_numbers(book: Book) -> None:
    """One that was printed, one that was returned."""
    book.cells[1].outputs[0].text = book.cells[1].outputs[0].text.replace("0.7", "0.71", 1)
    data = book.cells[3].outputs[0].data
    data["text/plain"] = data["text/plain"].replace("97.125", "97.124")


def exception(book: Book) -> None:
    """Also where outputs are not compared."""
    book.cells[1].source = "raise ArithmeticError('planted')"
    book.cells[1].outputs = []
    book.cells[1].metadata["tags"] = ["nbval-ignore-output"]


def stale(book: Book) -> None:
    """The code was edited, the outputs were not refreshed: another number in the second cell, nothing printed by the third."""
    book.cells[0].source = book.cells[0].source.replace("0.3", "0.6")
    book.cells[2].source = "pass"


PLANTED: dict[str, Callable[[Book], None]] = {each.__name__: each for each in (later, wrong_numbers, exception, stale)}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> tuple[int, str]:
    """Exit code and output of one nbval over copies of a sound notebook."""
    folder = tmp_path_factory.mktemp("planted")
    sound = folder / "sound.ipynb"
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in SOUND]), sound)
    refresh(sound)
    for name, spoil in PLANTED.items():
        book = nbformat.read(sound, as_version=4)
        before = nbformat.writes(book)
        spoil(book)
        assert nbformat.writes(book) != before, name
        nbformat.write(book, folder / f"{name}.ipynb")
    sound.unlink()
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(ROOT / "nbval-sanitize.cfg")]
        + ["-p", "no:cacheprovider", "-p", "no:xdist", "-rA", "--rootdir", str(folder), "-c", os.devnull, str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
    )  # fmt: skip
    return done.returncode, re.sub(r"\x1b\[[\d;]*m", "", done.stdout)


def cells(text: str, name: str) -> str:
    """The outcomes of a notebook's cells: `P` passed, `F` failed."""
    found = re.findall(rf"^([PF])\w+ {name}\.ipynb::Cell (\d+)", text, re.MULTILINE)
    return "".join(outcome for outcome, _ in sorted(found, key=lambda each: int(each[1])))


@pytest.mark.parametrize(
    ("name", "expected"), [("later", "PPPP"), ("wrong_numbers", "PFPF"), ("stale", "PFFP"), ("exception", "PFPP")]
)
def test_what_is_wrong_fails_and_nothing_else(outcome: tuple[int, str], name: str, expected: str) -> None:
    assert cells(outcome[1], name) == expected, outcome[1]


def test_the_run_fails_and_says_why(outcome: tuple[int, str]) -> None:
    code, text = outcome
    assert code == 1
    assert "ArithmeticError: planted" in text and "97.124" in text
