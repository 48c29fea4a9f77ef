"""Executed notebooks as files that depend on their content alone.

Two executions with the same results give the same bytes: what changes from run to run (times, durations, random ids, widget
state, how text was cut into chunks) and what changes from machine to machine (kernel and Python versions) is dropped.
"""

from __future__ import annotations

import re
from typing import Any

import nbformat

from losslab import paths

KEPT_CELL_METADATA = ("jupyter", "slideshow", "tags")
WIDGET = "application/vnd.jupyter.widget-view+json"
KERNELSPEC = {"display_name": "Python 3", "language": "python", "name": "python3"}

# What no output of a committed notebook may hold, and what it is called in messages.
LEAKS = {
    "memory address": re.compile(r"\bat 0x[0-9a-fA-F]{6,}"),
    "absolute path": re.compile(r"(?<![\w.:/])/(?:home|root|Users|tmp|var|opt|mnt)/[\w.-]+"),
    "progress bar": re.compile(r"\d+%\|[█▏▎▍▌▋▊▉ #]*\|"),
    "time of day": re.compile(r"\b20\d\d-\d\d-\d\d[ T]\d\d:\d\d"),
}


def normalise(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The notebook with stable metadata, ids, counts and outputs; in place, and returned."""
    notebook.metadata = nbformat.from_dict({"kernelspec": KERNELSPEC, "language_info": {"name": "python"}})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    count = 0
    for number, cell in enumerate(notebook.cells, start=1):
        cell.id = f"cell-{number:03d}"
        cell.metadata = nbformat.from_dict({k: cell.metadata[k] for k in KEPT_CELL_METADATA if cell.metadata.get(k)})
        if cell.cell_type != "code":
            continue
        if cell.execution_count is not None:
            count += 1
            cell.execution_count = count
        cell.outputs = [
            _stable(output, cell.execution_count) for output in _joined(cell.outputs) if not _is_widget(output)
        ]
    return notebook


def clean(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """The source alone: no outputs, no counts; in place, and returned."""
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs, cell.execution_count = [], None
    return normalise(notebook)


def without_pictures(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """PNG data taken out where a text stands beside it, which keeps sources small; in place, and returned."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            if "text/plain" in output.get("data", {}):
                output["data"].pop("image/png", None)
    return notebook


def dumps(notebook: nbformat.NotebookNode) -> str:
    """The notebook as text: sorted keys, one newline at the end."""
    return str(nbformat.writes(notebook, version=nbformat.NO_CONVERT)).rstrip("\n") + "\n"


def leaks(notebook: nbformat.NotebookNode) -> list[str]:
    """Outputs that would change from run to run or tell of the machine, one line each."""
    found = []
    patterns = {**LEAKS, "path of this clone": re.compile(re.escape(str(paths.home())) + r"\b")}
    for number, cell in enumerate(notebook.cells, start=1):
        for output in cell.get("outputs", []):
            for what, pattern in patterns.items():
                hit = pattern.search(_text(output))
                if hit:
                    found.append(f"cell {number}: {what}: {hit.group()!r}")
    return found


def _joined(outputs: list[Any]) -> list[Any]:
    """Text of one stream in one piece: the kernel cuts it, and mixes the two streams, as timing has it."""
    result: list[Any] = []
    run: dict[str, Any] = {}
    for output in [*outputs, None]:
        if output is not None and output.output_type == "stream":
            if output.name in run:
                run[output.name].text += output.text
            else:
                run[output.name] = output
            continue
        result += [run[name] for name in ("stdout", "stderr") if name in run]
        run = {}
        if output is not None:
            result.append(output)
    return result


def _is_widget(output: Any) -> bool:
    return WIDGET in output.get("data", {})


def _stable(output: Any, count: int | None) -> Any:
    output.pop("transient", None)
    if output.output_type == "execute_result":
        output.execution_count = count
    return output


def _text(output: Any) -> str:
    parts = [output.get("text", "")]
    parts += [
        value for kind, value in output.get("data", {}).items() if kind.startswith("text/") or kind == "image/svg+xml"
    ]
    return "\n".join(part if isinstance(part, str) else "".join(part) for part in parts)
