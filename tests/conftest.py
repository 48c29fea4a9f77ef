"""What all tests share: quiet threads, a store of their own, and copies of the working tree."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported: two test processes share the machine
os.environ["DVC_NO_ANALYTICS"] = "1"

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from filelock import FileLock

ROOT = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long ones first, so that no worker is left alone with them at the end."""
    items.sort(key=lambda item: item.get_closest_marker("pipeline") is None)


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all test processes of this session."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if os.environ.get("PYTEST_XDIST_WORKER") else base) / "shared"
    folder.mkdir(exist_ok=True)
    return folder


@pytest.fixture(scope="session", autouse=True)
def _own_store(shared_folder: Path) -> Iterator[None]:
    """Tests never read or write the user's run store, data, scratch results or results folder."""
    places = {"LOSSLAB_STORE": "store", "LOSSLAB_SCRATCH": "scratch", "LOSSLAB_DATA": "data"}
    names = {name: str(shared_folder / folder) for name, folder in places.items()}
    (shared_folder / "data").mkdir(exist_ok=True)
    before = {name: os.environ.get(name) for name in (*names, "LOSSLAB_RESULTS")}
    os.environ.update(names)
    os.environ.pop("LOSSLAB_RESULTS", None)
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@pytest.fixture(scope="session")
def smoke_store(shared_folder: Path) -> Callable[[str], Path]:
    """`smoke_store("gce")` trains that paper's smoke runs once per session; returns the store's folder."""

    def trained(slug: str) -> Path:
        from losslab.cli import main

        with FileLock(shared_folder / f"{slug}.lock"):
            assert main(["train", slug, "--scale", "smoke", "--device", "cpu", "--workers", "1"]) == 0
        return Path(os.environ["LOSSLAB_STORE"])

    return trained


@pytest.fixture(scope="session")
def working_tree() -> Callable[[Path], Path]:
    """`working_tree(folder)` copies what git tracks or would track into a new repository there, and commits it."""

    def copied(folder: Path) -> Path:
        if not (ROOT / ".git").exists() or shutil.which("git") is None:
            pytest.skip("needs git and a checkout")
        folder.mkdir(parents=True)
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, check=True
        ).stdout
        for name in filter(None, listed.decode().split("\0")):
            source, target = ROOT / name, folder / name
            if source.is_file():
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source, target)
        git(folder, "init", "-q", "-b", "main")
        git(folder, "config", "user.name", "test")
        git(folder, "config", "user.email", "test@localhost")
        git(folder, "config", "commit.gpgsign", "false")
        git(folder, "add", "-A")
        git(folder, "commit", "-qm", "working tree")
        return folder

    return copied


def git(folder: Path, *arguments: str) -> str:
    """Output of a git command in a folder."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout
