"""What the tests of all replication folders share."""

from __future__ import annotations

from pathlib import Path

import nbformat

from losslab import papers


def folder(slug: str) -> Path:
    """A paper's folder."""
    return Path(__file__).resolve().parents[2] / "replications" / slug


def notebook(slug: str) -> nbformat.NotebookNode:
    """A paper's source notebook."""
    return nbformat.read(folder(slug) / "notebook.ipynb", as_version=4)


def keys_of(paper: papers.Paper, scale: str) -> set[tuple[object, ...]]:
    """The keys of all cells of one scale, without reading any data."""
    return {tuple(cell.keys.values()) for cell in paper.cells(scale, check=False)}
