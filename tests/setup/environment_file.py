"""What environment.yml has to say: the direct dependencies of pyproject.toml under conda-forge's names, at the lock's versions.

`make lock` runs this file, which writes environment.yml; the tests compare.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
PYTHON = "3.12"
CONDA_NAMES = {"torch": "pytorch", "build": "python-build"}
FROM_PIP = ("mkdocs-glightbox", "sphinx-mathjax-offline")  # not relied on to be on conda-forge
HEAD = """\
# The conda-forge route: conda env create -f environment.yml && conda activate losslab
# Written by `make lock` from pyproject.toml and requirements.lock; do not edit.
name: losslab
channels:
  - conda-forge
  - nodefaults
dependencies:
"""


def normal(name: str) -> str:
    """A project name as PEP 503 compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(python: str = PYTHON) -> dict[str, str]:
    """Name -> version of the pins in requirements.lock that hold on Linux for a Python version."""
    facts = {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }
    pins = {}
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith((" ", "#")):
            entry = Requirement(line)
            if entry.marker is None or entry.marker.evaluate(facts):
                pins[normal(entry.name)] = str(entry.specifier).removeprefix("==")
    return pins


def direct() -> dict[str, str]:
    """Name -> minimal version asked for, of the direct dependencies, those of the extras included."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = [*project["dependencies"], *(line for group in project["optional-dependencies"].values() for line in group)]
    found = {}
    for line in lines:
        match = re.fullmatch(r"([A-Za-z0-9._-]+)(?:\[[^]]*\])?(?:>=([^,;\s]+))?", line)
        assert match, f"a dependency of another form: {line}"
        if normal(match[1]) != project["name"]:
            found[normal(match[1])] = match[2] or ""
    return found


def content() -> str:
    """The text of environment.yml."""
    pins = locked()
    lines = [f"  - python={PYTHON}"]
    for name in sorted(set(direct()) - set(FROM_PIP)):
        lines.append(f"  - {CONDA_NAMES.get(name, name)}={pins[name]}")
        if name == "dask":
            lines.append(f"  - distributed={pins['distributed']}")
    lines += ["  - pip", "  - pip:", *(f"      - {name}=={pins[name]}" for name in FROM_PIP), "      - -e ."]
    return HEAD + "\n".join(lines) + "\n"


if __name__ == "__main__":
    (ROOT / "environment.yml").write_text(content(), encoding="utf-8")
