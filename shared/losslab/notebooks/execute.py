"""Running a notebook with parameters, so that the same results give the same file."""

from __future__ import annotations

import ast
import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import nbformat

from losslab import paths
from losslab.errors import InputError
from losslab.notebooks.normalise import clean, dumps, normalise, without_pictures

KERNEL = "python3"


class NotebookFailed(Exception):
    """A cell raised; the message names cell, error and the notebook that was kept."""


def execute(
    source: Path, output: Path, parameters: Mapping[str, Any] | None = None, *, results: Path | None = None
) -> Path:
    """Run `source` in its own folder with `parameters` and write the normalised result to `output`.

    Unknown parameter names, values of another type and a parameters cell that holds more than literals are refused. `results` is
    where tables and figures go (default: the output's folder). If a cell fails, the notebook is kept as `<output>.failed.ipynb`
    and `NotebookFailed` is raised; an older output stays as it was.
    """
    source, output = source.resolve(), output.resolve()
    notebook = read(source)
    check_parameters(notebook, parameters or {}, paths.show(source))
    results = (results or output.parent).resolve()
    output.parent.mkdir(parents=True, exist_ok=True)
    failed = output.with_suffix(".failed.ipynb")
    with tempfile.TemporaryDirectory(prefix="losslab-") as folder, _environment({paths.RESULTS_VARIABLE: str(results)}):
        start, end = Path(folder, "in.ipynb"), Path(folder, "out.ipynb")
        start.write_text(dumps(clean(notebook)), encoding="utf-8")
        try:
            _run(start, end, dict(parameters or {}), source.parent)
        except Exception as problem:
            if end.is_file():
                _keep(end, failed)
            raise NotebookFailed(_message(problem, source, failed)) from problem
        _keep(end, output)
    failed.unlink(missing_ok=True)
    return output


def refresh(source: Path) -> bool:
    """Run a source notebook with its own defaults and write the outputs into it, but for pictures; whether the file changed."""
    before = source.read_bytes()
    results = Path(tempfile.mkdtemp(prefix="losslab-"))
    try:
        execute(source, source, results=results)
        source.write_text(dumps(without_pictures(read(source))), encoding="utf-8")
    finally:
        shutil.rmtree(results, ignore_errors=True)
    return source.read_bytes() != before


def read(file: Path) -> nbformat.NotebookNode:
    """A notebook of format 4, brought to the newest minor version."""
    try:
        notebook = nbformat.reads(file.read_text(encoding="utf-8"), as_version=4)
    except FileNotFoundError:
        raise InputError(f"no notebook {paths.show(file)}") from None
    except (nbformat.reader.NotJSONError, UnicodeDecodeError, nbformat.ValidationError):
        raise InputError(f"{paths.show(file)} is not a notebook") from None
    if (notebook.nbformat, notebook.nbformat_minor) < (4, 5):
        notebook = nbformat.v4.upgrade(notebook)
    return notebook


def defaults(notebook: nbformat.NotebookNode, name: str = "the notebook") -> dict[str, Any]:
    """Names and values of the cell tagged `parameters`; empty where there is none."""
    cells = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", [])]
    if not cells:
        return {}
    if len(cells) > 1:
        raise InputError(f"{name}: {len(cells)} cells are tagged 'parameters', one is allowed")
    found: dict[str, Any] = {}
    for statement in ast.parse(cells[0].source).body:
        target = statement.targets[0] if isinstance(statement, ast.Assign) and len(statement.targets) == 1 else None
        try:
            if not isinstance(statement, ast.Assign) or not isinstance(target, ast.Name):
                raise ValueError
            found[target.id] = ast.literal_eval(statement.value)
        except ValueError:
            line = ast.unparse(statement)
            raise InputError(
                f"{name}: the parameters cell holds plain `name = literal` lines only, not `{line}`"
            ) from None
    return found


def check_parameters(notebook: nbformat.NotebookNode, parameters: Mapping[str, Any], name: str) -> None:
    """Refuse names that the parameters cell does not have, and values of another type."""
    known = defaults(notebook, name)
    for key, value in parameters.items():
        if key not in known:
            raise InputError(f"{name} has no parameter {key!r}; known: {', '.join(known) or 'none'}")
        usual = known[key]
        number = isinstance(usual, int | float) and not isinstance(usual, bool)
        fits = (
            isinstance(value, int | float) and not isinstance(value, bool) if number else isinstance(value, type(usual))
        )
        if usual is not None and value is not None and not fits:
            raise InputError(f"{name}: parameter {key!r} is of type {type(usual).__name__} ({usual!r}), not {value!r}")


def _run(start: Path, end: Path, parameters: dict[str, Any], folder: Path) -> None:
    """papermill with what makes it repeatable; one more try where the kernel did not come up (its ports are drawn by chance)."""
    import papermill

    def once() -> None:
        papermill.execute_notebook(
            str(start).replace("{", "{{").replace("}", "}}"),
            str(end).replace("{", "{{").replace("}", "}}"),
            parameters,
            kernel_name=KERNEL,
            progress_bar=False,
            record_timing=False,
            start_timeout=120,
            cwd=str(folder),
            **_transport(start.parent),
        )

    try:
        once()
    except RuntimeError as problem:
        if "ernel died" not in str(problem) and "ernel didn't respond" not in str(problem):
            raise
        once()


def _transport(folder: Path) -> dict[str, Any]:
    """Sockets in a private folder instead of TCP ports: nobody else can listen, and no two kernels can want the same port."""
    if os.name == "nt" or len(str(folder)) > 80:  # the system bounds the length of a socket's name
        return {}
    from traitlets.config import Config

    return {"config": Config({"KernelManager": {"transport": "ipc", "connection_file": str(folder / "kernel.json")}})}


def _keep(made: Path, target: Path) -> None:
    """Normalise what was made and put it in place in one step."""
    text = dumps(normalise(read(made)))
    part = target.with_name(f".{target.name}.part")
    part.write_text(text, encoding="utf-8", newline="\n")
    os.replace(part, target)


def _message(problem: Exception, source: Path, failed: Path) -> str:
    kept = f"; kept as {paths.show(failed)}" if failed.is_file() else ""
    name = getattr(problem, "ename", type(problem).__name__)
    said = getattr(problem, "evalue", str(problem)).strip().splitlines() or [""]
    count = getattr(problem, "exec_count", None)
    where = f"code cell {count} of {paths.show(source)}" if count else paths.show(source)
    return f"{where} failed: {name}: {said[0]}{kept}"


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    """Environment variables for the kernel, for the time of the block; the kernel of this environment comes before the user's own."""
    values = {"JUPYTER_PREFER_ENV_PATH": "1", "PYDEVD_DISABLE_FILE_VALIDATION": "1", **values}
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
