"""The workflow, the hooks and the image call what there is."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
COMMANDS = [step["run"] for job in WORKFLOW["jobs"].values() for step in job["steps"] if "run" in step]


def targets(text: str) -> set[str]:
    return set(re.findall(r"^\s*(?:RUN )?make ([a-z]+)", text, re.MULTILINE))


@pytest.mark.parametrize("text", ["\n".join(COMMANDS), (ROOT / "Dockerfile").read_text()], ids=["workflow", "image"])
def test_every_make_target_exists(text: str) -> None:
    named = targets(text)
    assert named
    shown = subprocess.run(["make", "-pRrq", "-f", "Makefile", "help"], cwd=ROOT, capture_output=True, text=True).stdout
    known = set(re.findall(r"^([a-z]+):", shown, re.MULTILINE))
    assert named <= known


def test_the_workflow_does_everything_on_every_python() -> None:
    assert {"setup", "lint", "test", "repro", "build", "site"} <= targets("\n".join(COMMANDS))
    for job in ("test", "pipeline"):
        assert WORKFLOW["jobs"][job]["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13"]
    assert set(WORKFLOW["jobs"]["publish"]["needs"]) == set(WORKFLOW["jobs"]) - {"publish"}


def test_scale_can_be_edited_as_the_workflow_does() -> None:
    assert len(re.findall(r"^scale:.*", (ROOT / "params.yaml").read_text(), re.MULTILINE)) == 1


def test_hooks_call_files_that_exist() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"][0]["hooks"]
    for hook in hooks:
        for word in hook["entry"].split():
            assert not word.startswith("tests/") or (ROOT / word).exists(), word


def test_the_image_leaves_out_what_is_large_or_private() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {".git", ".venv", ".losslab", "data/*"} <= set(ignored)
