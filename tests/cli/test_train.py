"""`losslab train`: dry runs, budgets, export, and what a damaged store does."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from losslab.cli.selection import chosen

Call = Callable[..., tuple[int, str, str]]
ONLY = ("--scale", "smoke", "--only", "table-2", "--device", "cpu", "--workers", "1")


def records(folder: Path) -> list[Path]:
    return sorted((folder / "store" / "records").glob("??/*.json"))


@pytest.mark.usefixtures("repository")
def test_a_dry_run_trains_nothing_and_says_what_would_run(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("train", "gce", "--dry-run", *ONLY)
    assert code == 0
    assert "to train on cpu" in out and "about " in out and "ce" in out
    assert re.search(r"time of \d+ runs: [\d,]+ core-seconds", out)
    assert re.search(r"memory: about [\d.]+ [MG]B per process; disk: about [\d.]+ [KM]B", out)
    assert not records(tmp_path)


def test_what_nobody_measured_is_not_guessed(call: Call, repository: Path) -> None:
    shutil.rmtree(repository / "benchmarks")
    code, out, _ = call("train", "gce", "--dry-run", *ONLY)
    assert code == 0
    assert "core-seconds" not in out
    assert "no estimate for some runs: no run of mlp and no benchmark was measured on cpu yet" in out


@pytest.mark.usefixtures("repository")
def test_where_leaves_a_part_of_a_table(call: Call, tmp_path: Path) -> None:
    some = ("--where", "method=Lq (q=0.7),mae", "--where", "seed=0", "--where", "noise_rate=.4")
    code, out, _ = call("train", "gce", *ONLY, *some, "--dry-run")
    assert code == 0 and "2 cells, 0 runs in the store, 2 to train" in out
    code, out, _ = call("train", "gce", *ONLY, *some)
    assert code == 0 and "2 trained" in out
    assert len(records(tmp_path)) == 2
    assert {json.loads(file.read_text())["run"]["loss"]["name"] for file in records(tmp_path)} == {"gce", "mae"}
    code, out, _ = call("train", "gce", *ONLY)
    assert code == 0 and "2 were there" in out


@pytest.mark.parametrize(
    ("method", "count"),
    [
        ("Trunc Lq, mean over the batch", 1),
        ("trunc lq,mean over the batch,CCE", 2),
        ("CCE,Trunc Lq, direct,Trunc Lq", 3),
    ],
)
def test_methods_may_hold_commas(method: str, count: int) -> None:
    from losslab import papers

    cells = papers.load("gce").cells("quick")
    left = chosen(cells, [f"method={method}"])
    assert len({cell.keys["method"] for cell in left}) == count
    assert chosen(cells, []) == cells


@pytest.mark.usefixtures("repository")
def test_budget_then_resume_then_damage(call: Call, tmp_path: Path) -> None:
    code, out, _ = call("train", "gce", *ONLY, "--budget", "0.05s")
    assert code == 3, out
    assert "stopped by the budget; the same command goes on from here" in out
    output = tmp_path / "runs.parquet"
    code, out, _ = call("train", "gce", *ONLY, "--output", output)
    assert code == 0 and "0 left" not in out
    files = records(tmp_path)
    assert files and output.is_file()
    before = output.read_bytes()
    code, out, _ = call("train", "gce", *ONLY, "--output", output)
    assert code == 0 and "0 trained" in out
    assert output.read_bytes() == before, "the same store gives the same file"

    damaged = files[0]
    damaged.write_bytes(damaged.read_bytes()[:-40])
    code, out, _ = call("runs", "check")
    assert code == 1 and damaged.name in out and "1 damaged" in out
    code, out, _ = call("train", "gce", *ONLY)
    assert code == 0 and "1 trained" in out
    assert call("runs", "check")[0] == 0

    damaged.write_text("{}")
    code, out, _ = call("runs", "check", "--remove")
    assert code == 0 and not damaged.exists()


def test_runs_are_listed_shown_exported_and_imported(
    call: Call, smoke_store: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = smoke_store("gce")
    count = len(list(store.glob("records/??/*.json")))
    code, out, _ = call("runs", "list", "--paper", "gce", "--scale", "smoke", "--loss", "gce", "--limit", "0")
    assert code == 0 and "gce, seed 0" in out and "mae" not in out
    name = next(line for line in out.splitlines() if "gce, seed 0" in line).split()[0]
    code, out, _ = call("runs", "show", name)
    assert code == 0 and "test_acc" in out and "provenance" in out
    archives = [tmp_path / "one.zip", tmp_path / "two.zip"]
    for archive in archives:
        code, out, _ = call("runs", "export", archive)
        assert code == 0 and f"{count} runs" in out
    assert archives[0].read_bytes() == archives[1].read_bytes()
    monkeypatch.setenv("LOSSLAB_STORE", str(tmp_path / "copy"))
    code, out, _ = call("runs", "import", archives[0])
    assert code == 0 and f"{count} runs added" in out
    assert call("runs", "check")[1].startswith(f"{count} sound, 0 damaged")
    code, out, _ = call("runs", "import", archives[1])
    assert code == 0 and "0 runs added" in out and f"{count} were there" in out
    code, out, _ = call("train", "gce", "--scale", "smoke", "--device", "cpu")
    assert code == 0 and "0 trained" in out


def test_a_cut_archive_is_refused(call: Call, smoke_store: Callable[[str], Path], tmp_path: Path) -> None:
    smoke_store("gce")
    archive = tmp_path / "runs.zip"
    assert call("runs", "export", archive)[0] == 0
    archive.write_bytes(archive.read_bytes()[: archive.stat().st_size // 2])
    code, _, err = call("runs", "import", archive)
    assert code == 2 and "is not an archive of runs" in err


def test_doctor_and_losses_answer(call: Call) -> None:
    code, out, _ = call("doctor")
    assert code == 0
    for text in ("torch ", "processor cores", "digits", "cifar10", "scale quick: yes"):
        assert text in out
    code, out, _ = call("losses")
    assert code == 0 and "truncated_gce" in out and "q=0.7" in out
    code, out, _ = call("losses", "gce")
    assert code == 0 and "q" in out and "Zhang" in out
