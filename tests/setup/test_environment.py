"""pyproject.toml, requirements.lock and environment.yml say the same; nothing in them is tied to one place."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("environment_file", Path(__file__).with_name("environment_file.py"))
assert spec and spec.loader
environment_file = importlib.util.module_from_spec(spec)
spec.loader.exec_module(environment_file)


def version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", text))


def test_environment_file_is_what_make_lock_writes() -> None:
    assert (ROOT / "environment.yml").read_text() == environment_file.content(), "run make lock"


def test_conda_environment_holds_every_direct_dependency_at_the_locked_version() -> None:
    listed = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"]
    pins = dict(entry.split("=", 1) for entry in listed if isinstance(entry, str) and "=" in entry)
    from_pip = next(entry["pip"] for entry in listed if isinstance(entry, dict))
    pins |= dict(entry.split("==") for entry in from_pip if "==" in entry)
    locked = environment_file.locked()
    for name in environment_file.direct():
        assert pins[environment_file.CONDA_NAMES.get(name, name)] == locked[name]
    assert pins["pytorch"] == "2.14.1"
    assert pins["torchvision"] == "0.29.2"


def test_lock_pins_every_dependency_within_what_pyproject_asks_for() -> None:
    for python in ("3.11", "3.12", "3.13"):
        locked = environment_file.locked(python)
        for name, minimum in environment_file.direct().items():
            assert name in locked, f"{name} is not in requirements.lock: run make lock"
            assert not minimum or version(locked[name]) >= version(minimum), name


def test_python_versions_agree() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["requires-python"] == ">=3.11,<3.14"
    assert "3.11, 3.12 or 3.13" in (ROOT / "Makefile").read_text()
    assert f"python={environment_file.PYTHON}" in (ROOT / "environment.yml").read_text()


def test_lock_holds_exact_pins_and_no_addresses() -> None:
    text = (ROOT / "requirements.lock").read_text()
    assert "://" not in text
    for line in text.splitlines():
        if line and not line.startswith((" ", "#")):
            assert re.match(r"^[A-Za-z0-9._-]+==[^\s;]+( ; .+)?$", line), line


def test_installed_versions_are_the_locked_ones() -> None:
    from importlib.metadata import PackageNotFoundError
    from importlib.metadata import version as installed

    locked = environment_file.locked(f"{sys.version_info.major}.{sys.version_info.minor}")
    for name in environment_file.direct():
        try:
            found = installed(name)
        except PackageNotFoundError:
            pytest.fail(f"{name} is not installed: rm .venv/.ready && make setup")
        assert found.partition("+")[0] == locked[name], f"{name} {found} is installed, {locked[name]} is locked"


def test_make_help_names_every_target() -> None:
    shown = subprocess.run(
        ["make", "--no-print-directory", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    for target in ("repro", "test", "lab", "lint", "lock", "notebooks", "site", "build"):
        assert f"make {target} " in shown


def test_a_finished_setup_is_not_done_again(tmp_path: Path) -> None:
    """With a stamp that is newer than its sources, make has nothing to do for the environment."""
    for name in ("Makefile", "requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / ".ready").touch()
    done = subprocess.run(["make", "setup"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "setting up" not in done.stdout
    (tmp_path / "requirements.lock").write_text("changed")
    dry = subprocess.run(["make", "--dry-run", "setup"], cwd=tmp_path, capture_output=True, text=True)
    assert "pip install" in dry.stdout


def test_continuous_integration_runs_make_test() -> None:
    text = (ROOT / ".ci" / "run").read_text()
    assert "make test" in text
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
