"""The source notebooks: in order, at smoke scale, and with outputs that are still what the code gives (nbval)."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import nbformat
import pytest

from losslab.notebooks.execute import defaults, read
from losslab.notebooks.normalise import dumps, leaks, normalise

ROOT = Path(__file__).resolve().parents[2]
SOURCES = [*sorted((ROOT / "replications").glob("*/notebook.ipynb")), *sorted((ROOT / "notebooks").glob("*.ipynb"))]
IDS = [path.relative_to(ROOT).as_posix() for path in SOURCES]
IGNORED = "nbval-ignore-output"
each = pytest.mark.parametrize("source", SOURCES, ids=IDS)


def nbval(notebook: Path) -> subprocess.CompletedProcess[str]:
    """Runs a notebook and compares every output that is not tagged; the run store and scratch folder are those of the tests."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-sanitize-with", str(ROOT / "nbval-sanitize.cfg")]
        + ["-p", "no:cacheprovider", "-p", "no:xdist", "-q", "--rootdir", str(notebook.parent), "-c", os.devnull, str(notebook)],
        cwd=notebook.parent,
        env={**os.environ, "PYTHONPATH": str(ROOT / "shared")},
        capture_output=True,
        text=True,
    )  # fmt: skip


@each
def test_form(source: Path) -> None:
    """Normalised, executed top to bottom, defaults at smoke scale, nothing of the machine in the outputs."""
    text = source.read_text(encoding="utf-8")
    book = nbformat.reads(text, as_version=4)
    assert dumps(normalise(nbformat.reads(text, as_version=4))) == text, "run make notebooks"
    counts = [cell.execution_count for cell in book.cells if cell.cell_type == "code"]
    assert counts == list(range(1, len(counts) + 1)), "run make notebooks"
    assert leaks(book) == []
    known = defaults(read(source))
    if (source.parent / "paper.yaml").is_file():
        assert known.get("scale") == "smoke" and known.get("seeds", 0) is None


@each
def test_sources_give_their_outputs_again(source: Path, smoke_store: Callable[[str], Path]) -> None:
    if (source.parent / "paper.yaml").is_file():
        smoke_store(source.parent.name)
    done = nbval(source)
    assert done.returncode == 0, done.stdout[-6000:]


def test_a_wrong_number_is_found(tmp_path: Path, smoke_store: Callable[[str], Path]) -> None:
    """The first printed number of the GCE notebook, changed: nbval has to fail."""
    smoke_store("gce")
    folder = tmp_path / "gce"
    folder.mkdir()
    for file in (ROOT / "replications" / "gce").glob("*.py"):
        shutil.copy(file, folder)
    book = nbformat.read(ROOT / "replications" / "gce" / "notebook.ipynb", as_version=4)
    number = next(number for number, cell in enumerate(book.cells) if plant(cell))
    book.cells = book.cells[: number + 1]
    nbformat.write(book, folder / "notebook.ipynb")
    done = nbval(folder / "notebook.ipynb")
    assert done.returncode == 1, done.stdout[-3000:]
    assert "1 failed" in done.stdout


def plant(cell: nbformat.NotebookNode) -> bool:
    """Change the last digit of a compared text output; False where there is none."""
    if cell.cell_type != "code" or IGNORED in cell.metadata.get("tags", []):
        return False
    for output in cell.outputs:
        if output.output_type == "stream" and re.search(r"\d", output.text):
            last = list(re.finditer(r"\d", output.text))[-1]
            output.text = output.text[: last.start()] + str((int(last.group()) + 1) % 10) + output.text[last.end() :]
            return True
    return False
