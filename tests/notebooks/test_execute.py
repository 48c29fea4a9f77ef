"""Running notebooks: parameters are checked, results are stable, failures are kept."""

from __future__ import annotations

import base64
from pathlib import Path

import nbformat
import pytest

from losslab.errors import InputError
from losslab.notebooks.execute import NotebookFailed, check_parameters, defaults, execute, read, refresh

v4 = nbformat.v4


def notebook(folder: Path, *cells: str, parameters: str | None = "scale = 'smoke'\nseeds = None\nrate = 0.5") -> Path:
    book = v4.new_notebook()
    if parameters is not None:
        book.cells.append(v4.new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    book.cells += [v4.new_code_cell(source) for source in cells]
    path = folder / "source.ipynb"
    nbformat.write(book, path)
    return path


def test_two_executions_give_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = notebook(
        tmp_path,
        "import os, sys, pathlib\nprint(scale, pathlib.Path.cwd() == pathlib.Path(os.environ['LOSSLAB_RESULTS']).parent)",
        "print('out', flush=True); print('err', file=sys.stderr, flush=True); print('out')",
        "import matplotlib.pyplot as plt\nfig, ax = plt.subplots()\nax.plot([1, 2]);",
    )
    monkeypatch.chdir("/")  # the caller's folder does not matter
    made = [execute(source, tmp_path / name / "executed.ipynb", {"scale": "quick"}) for name in ("one", "two")]
    assert made[0].read_bytes() == made[1].read_bytes()
    book = nbformat.read(made[0], as_version=4)
    assert book.cells[2].outputs[0].text == "quick True\n"
    assert "image/png" in book.cells[4].outputs[0].data


def test_a_failing_cell_is_reported_and_the_notebook_kept(tmp_path: Path) -> None:
    source = notebook(tmp_path, "print('before')", "raise ValueError('the reason')", "print('after')")
    output = tmp_path / "executed.ipynb"
    output.write_text("older result")
    with pytest.raises(NotebookFailed, match=r"code cell 3 .*ValueError: the reason; kept as .*executed.failed.ipynb"):
        execute(source, output)
    assert output.read_text() == "older result"
    kept = nbformat.read(tmp_path / "executed.failed.ipynb", as_version=4)
    assert any(out.output_type == "error" for cell in kept.cells for out in cell.get("outputs", []))
    execute(notebook(tmp_path, "print('mended')"), output)
    assert not (tmp_path / "executed.failed.ipynb").exists()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scael": "quick"}, "no parameter 'scael'; known: scale, seeds, rate"),
        ({"scale": 3}, "'scale' is of type str"),
        ({"rate": "high"}, "'rate' is of type float"),
        ({"rate": True}, "'rate' is of type float"),
    ],
)
def test_unknown_and_ill_typed_parameters_are_refused(tmp_path: Path, given: dict[str, object], message: str) -> None:
    source = notebook(tmp_path, "1")
    with pytest.raises(InputError, match=message):
        execute(source, tmp_path / "out.ipynb", given)
    assert not (tmp_path / "out.ipynb").exists()


def test_parameters_that_fit_are_taken(tmp_path: Path) -> None:
    check_parameters(read(notebook(tmp_path)), {"rate": 1, "seeds": 3, "scale": "quick"}, "it")


@pytest.mark.parametrize("source", ["scale = 'a' + 'b'", "import os", "a = b = 1", "x: int = 1", "n = len('abc')"])
def test_a_parameters_cell_holds_literals_only(tmp_path: Path, source: str) -> None:
    with pytest.raises(InputError, match="plain `name = literal` lines only"):
        defaults(read(notebook(tmp_path, parameters=source)))


def test_a_notebook_without_parameters_takes_none(tmp_path: Path) -> None:
    book = read(notebook(tmp_path, "1", parameters=None))
    assert defaults(book) == {}
    with pytest.raises(InputError, match="known: none"):
        check_parameters(book, {"scale": "quick"}, "it")


def test_what_is_no_notebook_is_refused(tmp_path: Path) -> None:
    (tmp_path / "text.ipynb").write_text("not json")
    for name, message in (("absent.ipynb", "no notebook"), ("text.ipynb", "is not a notebook")):
        with pytest.raises(InputError, match=message):
            read(tmp_path / name)


def test_refreshing_writes_the_outputs_into_the_source(tmp_path: Path) -> None:
    source = notebook(tmp_path, "print(scale)")
    assert refresh(source)
    assert nbformat.read(source, as_version=4).cells[1].outputs[0].text == "smoke\n"
    assert not refresh(source)


def test_figures_are_pictures_in_the_executed_notebook_and_names_in_the_source(tmp_path: Path) -> None:
    source = notebook(tmp_path, "from losslab.report import style\nfigure, _ = style.grid(1)\nfigure")
    executed = nbformat.read(execute(source, tmp_path / "made" / "executed.ipynb"), as_version=4)
    (shown,) = executed.cells[-1].outputs
    picture = base64.b64decode(shown.data["image/png"])
    assert picture.startswith(b"\x89PNG") and shown.data["text/plain"].startswith("<Figure")
    assert refresh(source)
    (shown,) = nbformat.read(source, as_version=4).cells[-1].outputs
    assert "image/png" not in shown.data and shown.data["text/plain"].startswith("<Figure")
