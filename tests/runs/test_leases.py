"""Two processes never hold the lease of one run; a dead process's leases are free."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from losslab.runs import leases as module
from losslab.runs.leases import EXPIRY, Leases

NAMES = ["aa", "bb", "cc"]


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """Another process that lives until the test ends."""
    process = subprocess.Popen([sys.executable, "-S", "-c", "import time; time.sleep(600)"])
    yield process
    process.kill()
    process.wait()


def owned_by(folder: Path, name: str, process: subprocess.Popen[bytes]) -> Path:
    """A lease as that process would have written it."""
    path = folder / "leases" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"{module._machine()} {process.pid} {module._born(process.pid)}\n")
    return path


def aged(path: Path, seconds: float) -> None:
    then = time.time() - seconds
    os.utime(path, (then, then))


def test_a_lease_is_taken_once_and_given_back(tmp_path: Path) -> None:
    first, second = Leases(tmp_path), Leases(tmp_path)
    assert first.take(NAMES) == set(NAMES)
    assert second.take([*NAMES, "dd"]) == {"dd"}
    assert second.free([*NAMES, "dd", "ee"]) == {"ee"}
    second.release(NAMES)  # not its own
    assert second.take(NAMES) == set()
    first.release(["aa"])
    assert second.take(NAMES) == {"aa"}
    first.release(NAMES)
    second.release([*NAMES, "dd"])
    assert Leases(tmp_path).free(NAMES) == set(NAMES)
    assert [path.name for path in (tmp_path / "leases").iterdir()] in ([], [".lock"])


def test_a_living_process_keeps_its_lease_however_long_an_epoch_takes(
    tmp_path: Path, sleeper: subprocess.Popen[bytes]
) -> None:
    path = owned_by(tmp_path, "aa", sleeper)
    aged(path, 100 * EXPIRY)
    assert Leases(tmp_path).take(["aa"]) == set()
    sleeper.kill()
    sleeper.wait()
    assert Leases(tmp_path).take(["aa"]) == {"aa"}


def test_a_process_that_waits_to_be_buried_is_dead(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    owned_by(tmp_path, "aa", sleeper)
    sleeper.kill()
    os.waitid(os.P_PID, sleeper.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and nobody has asked how
    assert Leases(tmp_path).take(["aa"]) == {"aa"}


def test_a_later_process_with_the_same_number_is_another_one(tmp_path: Path) -> None:
    path = tmp_path / "leases" / "aa"
    path.parent.mkdir()
    path.write_text(f"{module._machine()} {os.getpid()} 1\n")
    assert Leases(tmp_path).take(["aa"]) == {"aa"}


def test_leases_of_another_machine_expire(tmp_path: Path) -> None:
    path = tmp_path / "leases" / "aa"
    path.parent.mkdir()
    path.write_text("elsewhere/pid:[1] 1 1\n")
    assert Leases(tmp_path).take(["aa"]) == set()
    aged(path, EXPIRY + 60)
    assert Leases(tmp_path).free(["aa"]) == {"aa"}
    assert Leases(tmp_path).take(["aa"]) == {"aa"}


@pytest.mark.parametrize("text", ["", "half a", "a b c d"])
def test_a_damaged_lease_expires(tmp_path: Path, text: str) -> None:
    path = tmp_path / "leases" / "aa"
    path.parent.mkdir()
    path.write_text(text)
    assert Leases(tmp_path).take(["aa"]) == set()
    aged(path, EXPIRY + 60)
    assert Leases(tmp_path).take(["aa"]) == {"aa"}


def test_leases_are_kept_alive_in_the_background(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "EXPIRY", 0.06)
    leases = Leases(tmp_path)
    leases.take(["aa"])
    path = tmp_path / "leases" / "aa"
    aged(path, 1000)
    for _ in range(500):
        if time.time() - path.stat().st_mtime < 500:
            break
        time.sleep(0.02)
    else:
        pytest.fail("nobody touched the lease")
    leases.release(["aa"])
    assert leases._quiet is None


def test_what_another_process_took_over_stays_with_it(tmp_path: Path, sleeper: subprocess.Popen[bytes]) -> None:
    leases = Leases(tmp_path)
    leases.take(["aa"])
    path = owned_by(tmp_path, "aa", sleeper)
    leases.release(["aa"])
    assert path.exists()


def _race(folder: Path, result: int, start: int, names: list[str]) -> None:
    """A child process: waits for the start, takes what it can, and tells."""
    os.read(start, 1)
    got = Leases(folder).take(names)
    os.write(result, (" ".join(sorted(got)) + "\n").encode())


def test_many_processes_at_once_share_dead_leases_without_overlap(tmp_path: Path) -> None:
    names = [f"{i:02}" for i in range(40)]
    path = tmp_path / "leases"
    path.mkdir()
    for name in names[:30]:  # as a dead process left them
        (path / name).write_text(f"{module._machine()} {os.getpid()} 1\n")
    result_end, result = os.pipe()
    start, start_end = os.pipe()
    children = []
    for _ in range(6):
        child = os.fork()
        if child == 0:
            os.close(start_end)
            os.close(result_end)
            code = 1
            try:
                _race(tmp_path, result, start, names)
                time.sleep(600)  # holds what it has: a dead winner's leases would be free again
                code = 0
            finally:
                os._exit(code)
        children.append(child)
    try:
        os.close(result)
        os.write(start_end, b"x" * 6)
        with os.fdopen(result_end) as lines:
            taken = [lines.readline().split() for _ in children]
    finally:
        for child in children:
            os.kill(child, 9)
            os.waitpid(child, 0)
        os.close(start)
        os.close(start_end)
    assert sorted(name for part in taken for name in part) == names
    assert Leases(tmp_path).free(names) == set(names)
