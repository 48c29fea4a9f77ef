"""`kill -9` in the middle of a sweep: what was finished stays, the rest is trained by the same command."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clones import Clone

from losslab.runs import Store

pytestmark = pytest.mark.pipeline
COMMAND = ("train", "gce", "--scale", "smoke", "--only", "figure-2", "--workers", "1")


def test_kill_then_resume(tmp_path: Path, working_tree: Callable[[Path], Path]) -> None:
    clone = Clone(working_tree(tmp_path / "clone"), LOSSLAB_STORE=str(tmp_path / "store"))
    records = lambda: list((tmp_path / "store" / "records").glob("??/*.json"))  # noqa: E731
    process = subprocess.Popen(
        [sys.executable, "-m", "losslab", *COMMAND],
        cwd=clone.folder,
        env=clone.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 200
        while not records() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = len(records())
    assert kept > 0
    assert Store(tmp_path / "store").check() == (kept, [])
    shown = clone.losslab(*COMMAND)
    trained, there = (int(part.split()[0]) for part in shown.splitlines()[-1].split("; ")[0].split(", ")[:2])
    assert there == kept, "what was finished is not trained again"
    assert trained > 0 and len(records()) == trained + there


def test_an_edited_loss_makes_only_its_own_runs_stale(
    tmp_path: Path, working_tree: Callable[[Path], Path], smoke_store: Callable[[str], Path]
) -> None:
    clone = Clone(working_tree(tmp_path / "clone"), LOSSLAB_STORE=str(smoke_store("gce")))
    ask = ("train", "gce", "--scale", "smoke", "--dry-run")
    assert " 0 to train" in clone.losslab(*ask)
    source = clone.folder / "shared/losslab/losses/gce.py"
    text = source.read_text()
    source.write_text(f"# a remark\n{text}")
    assert " 0 to train" in clone.losslab(*ask), "a comment changes no number"
    source.write_text(f"{text}\nUNUSED = 1\n")
    shown = clone.losslab(*ask)
    assert " 0 to train" not in shown
    losses = {line.split()[2] for line in shown.splitlines() if line.strip().startswith(("digits", "glyphs"))}
    assert losses == {"gce", "truncated_gce"}
