"""The command line, called in this process."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from losslab.cli import main

ROOT = Path(__file__).resolve().parents[2]
Call = Callable[..., tuple[int, str, str]]


@pytest.fixture
def call(capfd: pytest.CaptureFixture[str]) -> Call:
    """`call("train", "gce")` gives exit code, standard output and standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        code = main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return code, out, err

    return run


@pytest.fixture
def refused(call: Call) -> Callable[..., str]:
    """The one line with which a command refuses its input; anything else fails."""

    def run(*arguments: object) -> str:
        code, out, err = call(*arguments)
        assert code == 2, f"exit code {code}: {out}{err}"
        lines = err.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("error: "), err
        return lines[0]

    return run


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small repository with the gce paper that may be changed; the commands work on it."""
    root = tmp_path / "repository"
    shutil.copytree(
        ROOT / "replications" / "gce",
        root / "replications" / "gce",
        ignore=shutil.ignore_patterns("results", "__pycache__", "*.ipynb"),
    )
    shutil.copy(ROOT / "params.yaml", root)
    shutil.copytree(ROOT / "benchmarks" / "results", root / "benchmarks" / "results")
    monkeypatch.setenv("LOSSLAB_ROOT", str(root))
    monkeypatch.setenv("LOSSLAB_STORE", str(tmp_path / "store"))
    monkeypatch.delenv("DVC_ROOT", raising=False)
    return root
