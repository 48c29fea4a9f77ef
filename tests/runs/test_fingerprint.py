"""Which edits of the source make a stored record stale."""

from __future__ import annotations

import ast
import importlib
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from stored import some_run

import losslab
from losslab import losses
from losslab.runs import NamedPart, fingerprint

code = importlib.import_module("losslab.runs.fingerprint")  # the package has a function of that name
Edit = Callable[[str, Callable[[str], str]], dict[str, bool]]
LOSSES = ("ce", "gce", "truncated_gce", "nce", "nrce", "nce+rce", "agce", "elr", "dmi", "forward")


def _forget() -> None:
    code.module_hash.cache_clear()
    code._together.cache_clear()


@pytest.fixture
def edit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Edit]:
    """``edit(module, change)`` changes a module's source in a copy; returns per loss whether its fingerprint moved."""
    root = tmp_path / "losslab"
    shutil.copytree(Path(losslab.__path__[0]), root, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(code, "_root", lambda: root)

    def prints() -> dict[str, str]:
        _forget()
        return {name: fingerprint(some_run(loss=name)) for name in LOSSES}

    def change(module: str, how: Callable[[str], str]) -> dict[str, bool]:
        before = prints()
        (path,) = code.module_files(module)
        text = path.read_text()
        assert how(text) != text
        ast.parse(how(text))
        path.write_text(how(text))
        after = prints()
        path.write_text(text)
        return {name: before[name] != after[name] for name in LOSSES}

    _forget()
    yield change
    _forget()


def moved(result: dict[str, bool]) -> set[str]:
    return {name for name, changed in result.items() if changed}


def test_editing_a_loss_touches_its_own_runs(edit: Edit) -> None:
    def longer(text: str) -> str:
        return text + "\n\ndef more() -> int:\n    return 1\n"

    assert moved(edit("losslab.losses.gce", longer)) == {"gce", "truncated_gce"}
    assert moved(edit("losslab.losses.asymmetric", longer)) == {"agce"}
    assert moved(edit("losslab.losses.elr", longer)) == {"elr"}
    assert moved(edit("losslab.losses.symmetric", longer)) == {"nrce", "nce+rce"}
    assert moved(edit("losslab.losses.sums", longer)) == {"nce+rce"}
    assert moved(edit("losslab.losses.numerics", longer)) == set(LOSSES)
    assert moved(edit("losslab.losses.module", longer)) == set()


def test_a_number_counts_and_words_about_it_do_not(edit: Edit) -> None:
    module = "losslab.losses.gce"

    def comments(text: str) -> str:
        lines = text.replace('"""', '"""Other words. ', 1).splitlines()
        at = next(i for i, line in enumerate(lines) if line.startswith("def "))
        return "\n".join(
            [*lines[:at], "# a remark", "", "", *(f"{line}  # so" if line == "" else line for line in lines[at:])]
        )

    def number(text: str) -> str:
        assert "0.7" in text
        return text.replace("0.7", "0.75")

    assert moved(edit(module, comments)) == set()
    assert moved(edit(module, lambda text: ast.unparse(ast.parse(text)))) == set()
    assert moved(edit(module, number)) == {"gce", "truncated_gce"}


@pytest.mark.parametrize(
    "module",
    [
        "losslab.seeding",
        "losslab.training.cohort",
        "losslab.training.order",
        "losslab.training.regularisation",
        "losslab.noise.corruption",
        "losslab.data.digits",
        "losslab.models.mlp",
        "losslab.heads.modules",
    ],
)
def test_the_engine_touches_all(edit: Edit, module: str) -> None:
    assert moved(edit(module, lambda text: text + "\nTHING = 1\n")) == set(LOSSES)


@pytest.mark.parametrize(
    "module",
    ["losslab.cli.app", "losslab.report.table", "losslab.training.pool", "losslab.runs.store", "losslab.paths"],
)
def test_what_cannot_change_numbers_touches_none(edit: Edit, module: str) -> None:
    assert moved(edit(module, lambda text: text + "\nTHING = 1\n")) == set()


def test_parents_and_regularisers_count() -> None:
    plain = some_run(loss="gce")
    child = some_run(loss="gce", parent=some_run(loss="agce"), parent_gives="weights")
    sparse = some_run(loss="gce", regulariser=NamedPart(name="sparse"))
    assert {"losslab.losses.asymmetric", "losslab.losses.transition"} <= set(code.modules_of(child))
    assert "losslab.losses.regularisers" in code.modules_of(sparse)
    assert "losslab.losses.regularisers" not in code.modules_of(plain)
    assert len({fingerprint(run) for run in (plain, child, sparse)}) == 3


def test_every_loss_names_modules_that_exist() -> None:
    for name in losses.names():
        for module in code.modules_of(some_run(loss=name)):
            assert code.module_files(module)


# Modules of the training package that decide how, when and where a run is trained, but none of its numbers.
HARMLESS = {
    *(
        "__init__",
        "allocator",
        "check",
        "checkpoint",
        "cluster",
        "cost",
        "engine",
        "graphs",
        "plan",
        "pool",
        "provenance",
    ),
    *("ddp", "forecast", "inspect", "launch", "snapshot", "work"),
}


def test_no_module_that_changes_numbers_is_forgotten() -> None:
    folder = Path(losslab.__path__[0]) / "training"
    there = {path.stem for path in folder.glob("*.py")} - HARMLESS
    named = {module.rpartition(".")[2] for module in code.ENGINE if module.startswith("losslab.training.")}
    assert there == named


def test_a_process_keeps_to_the_code_that_it_loaded(edit: Edit, tmp_path: Path) -> None:
    before = fingerprint(some_run(loss="gce"))
    path = tmp_path / "losslab" / "losses" / "gce.py"
    path.write_text(path.read_text() + "\nTHING = 1\n")
    assert fingerprint(some_run(loss="gce")) == before
    _forget()
    assert fingerprint(some_run(loss="gce")) != before
