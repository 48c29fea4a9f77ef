"""`kill -9` in the middle of a sweep: what was finished stays, the rest is trained by the same command."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from clones import Clone, set_parameters

from losslab.runs import Store

pytestmark = [pytest.mark.pipeline, pytest.mark.timeout(900)]


def test_kill_then_resume(tmp_path: Path, working_tree: Callable[[Path], Path]) -> None:
    clone = Clone(working_tree(tmp_path / "clone"), LOSSLAB_STORE=str(tmp_path / "store"), LOSSLAB_WORKERS="1")
    set_parameters(clone.folder, scale="smoke", papers="[gce]")
    records = lambda: list((tmp_path / "store" / "records").glob("??/*.json"))  # noqa: E731
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "train@gce"],
        cwd=clone.folder,
        env=clone.environment,
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        limit = time.monotonic() + 300
        while not records() and process.poll() is None and time.monotonic() < limit:
            time.sleep(0.02)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    kept = len(records())
    assert kept > 0
    assert Store(tmp_path / "store").check() == (kept, [])
    shown = clone.dvc("repro", "train@gce")
    assert "'data' didn't change" in shown
    counts = re.search(r"(\d+) trained, (\d+) were there", shown)
    assert counts, shown
    trained, there = (int(count) for count in counts.groups())
    assert trained > 0 and there >= kept, "what was finished is not trained again"
    assert len(records()) == trained + there
    assert (
        "didn't change" in clone.dvc("repro", "train@gce")
        and (clone.folder / "replications/gce/results/runs.parquet").is_file()
    )


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
