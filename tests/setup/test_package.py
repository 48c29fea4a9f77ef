"""The wheel and the source archive hold what the library reads at run time, say that it is typed, and install."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "shared" / "losslab"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with both archives, made by the build backend that pyproject.toml names."""
    pytest.importorskip("build", reason="needs the extra `dev`")
    pytest.importorskip("hatchling", reason="needs hatchling, or make build, which fetches it")
    folder = tmp_path_factory.mktemp("dist")
    done = subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder), str(ROOT)],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_the_archives_hold_every_file_of_the_package(built: Path) -> None:
    files = {
        file.relative_to(PACKAGE.parent).as_posix()
        for file in PACKAGE.rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert {"losslab/py.typed", "losslab/papers/recipes.yaml", "losslab/cli/scaffold/templates/notebook.ipynb"} <= files
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        assert files <= set(wheel.namelist())
        assert any(name.endswith("entry_points.txt") for name in wheel.namelist())
    with tarfile.open(next(built.glob("*.tar.gz"))) as source:
        names = {name.partition("/")[2] for name in source.getnames()}
        assert {f"shared/{file}" for file in files} | {"LICENSE", "README.md", "pyproject.toml"} <= names


def test_the_wheel_works_without_the_checkout(built: Path, tmp_path: Path) -> None:
    """Unpacked beside the dependencies: losses and recipes are read from it, and what needs a checkout says so."""
    with zipfile.ZipFile(next(built.glob("*.whl"))) as wheel:
        wheel.extractall(tmp_path / "installed")
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("LOSSLAB_", "DVC_"))}
    variables["PYTHONPATH"] = str(tmp_path / "installed")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([sys.executable, *arguments], cwd=tmp_path, env=variables, capture_output=True, text=True)

    code = "import losslab; from losslab.papers import recipes; print(losslab.__file__); print(recipes.get('digits-mlp').epochs)"
    shown = run("-c", code)
    assert shown.returncode == 0, shown.stderr
    assert str(tmp_path) in shown.stdout and shown.stdout.split()[-1] == "60"
    assert "(0, 1]" in run("-m", "losslab", "losses", "gce").stdout
    refused = run("-m", "losslab", "train", "gce")
    assert refused.returncode == 2 and "LOSSLAB_ROOT" in refused.stderr
