"""An executed notebook as a Markdown page with its pictures."""

from __future__ import annotations

import re
from pathlib import Path

import nbformat
from nbconvert import MarkdownExporter

LANGUAGE = re.compile(r"^```(?:ipython3?|python3)$", re.MULTILINE)
STYLE = re.compile(r"<style\b.*?</style>\s*", re.DOTALL)
SAVED = re.compile(r"""["']([A-Za-z0-9_-]+)["']""")
TABLE = re.compile(r"(?:<div>\s*)?<table\b[^>]*>(.*?)</table>(?:\s*</div>)?", re.DOTALL)


def page(path: Path, name: str) -> tuple[str, dict[str, bytes]]:
    """Markdown text, and file name -> bytes of the pictures it shows. ``name``: what their names begin with."""
    book = nbformat.read(path, as_version=4)
    for cell in book.cells:
        for output in cell.get("outputs", []):
            _show_saved(cell.source, output, path.parent / "figures")
    exporter = MarkdownExporter(exclude_input_prompt=True, exclude_output_prompt=True)
    text, resources = exporter.from_notebook_node(book, {"unique_key": name, "output_files_dir": ""})
    text = LANGUAGE.sub("```python", STYLE.sub("", text))
    return TABLE.sub(_table, text), {Path(file).name: content for file, content in resources["outputs"].items()}


def _show_saved(source: str, output: nbformat.NotebookNode, figures: Path) -> None:
    """A figure of which the notebook keeps only its size is shown from the file that the cell saved it in."""
    data = output.get("data", {})
    if set(data) == {"text/plain"} and data["text/plain"].startswith("<Figure size"):
        saved = [name for name in SAVED.findall(source) if (figures / f"{name}.png").is_file()]
        if saved:
            output["data"] = nbformat.from_dict({"text/markdown": f"![{saved[-1]}](figures/{saved[-1]}.png)"})


def _table(found: re.Match[str]) -> str:
    """A frame's table as the theme draws tables; an empty line inside would end it."""
    body = re.sub(r"\n\s*\n", "\n", found[1]).strip()
    return f"\n<table>\n{body}\n</table>\n"
