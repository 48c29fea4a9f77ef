"""A temporary clone of the working tree, and commands that run in it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


class Clone:
    """A copy of the repository at smoke scale; its commands use the copy's own code."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(folder / "shared"),
            "DVC_SITE_CACHE_DIR": str(folder.parent / "dvc-site"),
            "LOSSLAB_DEVICE": "cpu",
            **variables,
        }
        for name in ("LOSSLAB_ROOT", "LOSSLAB_RESULTS", "DVC_ROOT"):
            self.environment.pop(name, None)

    def run(self, *command: str, ok: bool = True) -> str:
        """Standard output and error of a command, which has to succeed."""
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=800,
        )
        assert (done.returncode == 0) == ok, f"{command}: exit code {done.returncode}\n{done.stdout}"
        return done.stdout

    def losslab(self, *arguments: str, ok: bool = True) -> str:
        return self.run(sys.executable, "-m", "losslab", *arguments, ok=ok)

    def dvc(self, *arguments: str) -> str:
        return self.run(sys.executable, "-m", "dvc", *arguments)

    def stages(self) -> list[str]:
        """Runs the pipeline up to the scorecard; the names of the stages that had something to do."""
        shown = self.dvc("repro", "scorecard")
        return [line.split("'")[1] for line in shown.splitlines() if line.startswith("Running stage")]

    def changed(self) -> set[str]:
        """Files that git sees as changed or new."""
        listed = self.run("git", "status", "--porcelain", "--untracked-files=all")
        return {line[3:] for line in listed.splitlines()}

    def commit(self) -> None:
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "change", "--allow-empty")


def set_parameters(folder: Path, **values: str) -> None:
    """Edit params.yaml as a user would."""
    file = folder / "params.yaml"
    lines = file.read_text().splitlines()
    for name, value in values.items():
        assert any(line.startswith(f"{name}:") for line in lines), name
        lines = [f"{name}: {value}" if line.startswith(f"{name}:") else line for line in lines]
    file.write_text("\n".join(lines) + "\n")
