"""Every command explains itself, and starts fast."""

from __future__ import annotations

import subprocess
import sys

import pytest

from losslab.cli import main

COMMANDS = (
    ("train",), ("execute",), ("refresh",), ("new-paper",), ("verify",), ("summary",), ("doctor",), ("data",), ("losses",),
    ("runs", "list"), ("runs", "show"), ("runs", "check"), ("runs", "export"), ("runs", "import"),
)  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(command: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: losslab" in shown
    assert f"losslab {' '.join(command)}" in shown.partition("Examples:")[2]


def test_the_help_lists_all_commands_and_the_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    for command in {words[0] for words in COMMANDS}:
        assert f"│ {command} " in shown
    assert "3 stopped by the budget" in shown


def test_help_loads_neither_torch_nor_pandas() -> None:
    code = "import sys; from losslab.cli import main; main(['--help']); print({'torch', 'pandas', 'matplotlib'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")


def test_the_installed_command_answers() -> None:
    done = subprocess.run([sys.executable, "-m", "losslab", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "Usage: losslab" in done.stdout


def test_what_a_notebook_starts_from_does_not_load_what_runs_notebooks() -> None:
    code = "import sys; from losslab.notebooks import open_paper, scorecard; print({'nbformat', 'papermill', 'typer'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("set()")
