"""`losslab new-paper`: what it drafts passes its own test, lint, and the smoke pipeline; what it cannot draft it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from losslab.cli import main

SLUG = "drafted_paper"


def run(folder: Path, *command: str) -> str:
    """A command in a copy of the repository, with the copy's code and a store of its own; it has to succeed."""
    dropped = ("LOSSLAB_ROOT", "LOSSLAB_RESULTS", "DVC_ROOT")
    variables = {name: value for name, value in os.environ.items() if name not in dropped}
    variables |= {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{variables['PATH']}",
        "PYTHONPATH": str(folder / "shared"),
        "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"),
        "LOSSLAB_STORE": str(folder.parent / "store"),
        "LOSSLAB_DEVICE": "cpu",
        "LOSSLAB_WORKERS": "1",
    }
    done = subprocess.run([sys.executable, "-m", *command], cwd=folder, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.pipeline
@pytest.mark.timeout(900)
def test_a_drafted_paper_passes_its_test_and_its_smoke_pipeline(
    tmp_path: Path, working_tree: Callable[[Path], Path]
) -> None:
    tree = working_tree(tmp_path / "clone")
    shown = run(tree, "losslab", "new-paper", SLUG, "--title", 'A "Loss"', "--authors", "A. Author", "--year", "2020")
    assert f"replications/{SLUG}/paper.yaml" in shown
    draft = tree / "replications" / SLUG
    assert yaml.safe_load((draft / "paper.yaml").read_text())["title"] == 'A "Loss"'
    assert not [file for file in draft.rglob("*") if file.is_file() and "<<" in file.read_text()]

    params = tree / "params.yaml"
    text = params.read_text()
    listed = yaml.safe_load(text)["papers"]
    assert listed[-1] == SLUG and len(listed) > 1, "the other papers stay"
    project = tomllib.loads((tree / "pyproject.toml").read_text())["tool"]["mypy"]
    assert SLUG in project["packages"] and f"replications/{SLUG}" in project["mypy_path"].split(":")

    params.write_text(text.replace("scale: quick", "scale: smoke"))
    run(tree, "losslab", "refresh", f"replications/{SLUG}/notebook.ipynb")
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", f"tests/replications/test_{SLUG}.py")
    run(tree, "pytest", "-q", "-p", "no:cacheprovider", "tests/notebooks/test_sources.py", "-k", SLUG)
    run(tree, "ruff", "check", str(draft), f"tests/replications/test_{SLUG}.py")
    run(tree, "ruff", "format", "--check", str(draft), f"tests/replications/test_{SLUG}.py")

    run(tree, "dvc", "repro", f"notebook@{SLUG}")
    run(tree, "dvc", "repro", "--single-item", "scorecard")
    metrics = json.loads((draft / "results" / "metrics.json").read_text())
    assert metrics["scale"] == "smoke" and metrics["runs"]["missing"] == 0
    for name in (
        "tables/table-1.csv",
        "tables/table-1.md",
        "tables/table-1.tex",
        "figures/figure-1.png",
        "executed.ipynb",
    ):
        assert (draft / "results" / name).is_file(), name
    verdicts = {claim["id"]: claim["verdict"] for claim in json.loads((draft / "results" / "claims.json").read_text())}
    assert verdicts["C2"] == "replicated" and set(verdicts) == {"C1", "C2"}
    assert 'A "Loss"' in (tree / "notebooks" / "executed" / "scorecard.ipynb").read_text().replace('\\"', '"')


@pytest.fixture
def small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The least that new-paper works on."""
    root = Path(__file__).resolve().parents[2]
    for name in ("params.yaml", "dvc.yaml", "pyproject.toml"):
        (tmp_path / name).write_bytes((root / name).read_bytes())
    (tmp_path / "replications" / "gce").mkdir(parents=True)
    monkeypatch.setenv("LOSSLAB_ROOT", str(tmp_path))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return tmp_path


@pytest.mark.parametrize(
    ("slug", "message"),
    [
        ("gce", "replications/gce is there already"),
        ("My-Loss", "cannot be the name of a package"),
        ("class", "cannot be the name of a package"),
        ("torch", "is the name of an installed package"),
    ],
)
def test_a_name_that_cannot_be_is_refused(
    small: Path, capsys: pytest.CaptureFixture[str], slug: str, message: str
) -> None:
    before = sorted(small.rglob("*"))
    assert main(["new-paper", slug]) == 2
    assert message in capsys.readouterr().err
    assert sorted(small.rglob("*")) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [("params.yaml", "papers:\n  - gce\n"), ("dvc.yaml", "stages: {}\n"), ("pyproject.toml", "[tool.mypy]\n")],
)
def test_a_list_in_another_form_is_left_alone(
    small: Path, capsys: pytest.CaptureFixture[str], name: str, text: str
) -> None:
    (small / name).write_text(text)
    assert main(["new-paper", SLUG]) == 2
    assert name in capsys.readouterr().err
    assert (small / name).read_text() == text and not (small / "replications" / SLUG).exists()
