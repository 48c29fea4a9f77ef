"""Where things lie. Every path hangs on the repository root, never on the working directory."""

from __future__ import annotations

import os
from pathlib import Path

from losslab.errors import InputError

RESULTS_VARIABLE = "LOSSLAB_RESULTS"  # how `losslab execute` tells a notebook where its tables and figures go


def home() -> Path:
    """The clone that holds this package's `shared/`, or `LOSSLAB_ROOT` where the package is installed elsewhere."""
    named = os.environ.get("LOSSLAB_ROOT")
    folder = Path(named).expanduser().resolve() if named else Path(__file__).resolve().parents[2]
    if not (folder / "replications").is_dir():
        hint = "LOSSLAB_ROOT names no such repository" if named else "set LOSSLAB_ROOT to a clone of the repository"
        raise InputError(f"{folder} has no folder replications/: {hint}")
    return folder


def root() -> Path:
    """The repository that is worked on: in a pipeline stage the one that DVC runs (its experiments may run in a copy), else `home`."""
    running = os.environ.get("DVC_ROOT")
    if running and (Path(running) / "replications").is_dir() and (Path(running) / "params.yaml").is_file():
        return Path(running).resolve()
    return home()


def replication(slug: str) -> Path:
    """The folder of one paper."""
    known = replications()
    if slug not in known:
        raise InputError(f"unknown paper {slug!r}; known: {', '.join(known) or 'none'}")
    return root() / "replications" / slug


def replications() -> tuple[str, ...]:
    """Slugs of the papers that are there: folders of replications/ with a paper.yaml."""
    return tuple(sorted(path.parent.name for path in (root() / "replications").glob("*/paper.yaml")))


def results(slug: str) -> Path:
    """The committed results of a paper; the pipeline writes here."""
    return replication(slug) / "results"


def named_results() -> Path | None:
    """The folder that `losslab execute` named for the notebook's results; None in a notebook that is run by hand or by a test."""
    named = os.environ.get(RESULTS_VARIABLE)
    return Path(named) if named else None


def work() -> Path:
    """Git-ignored working folder: run store, checkpoints, scratch results. Experiments in a copy share it."""
    return home() / ".losslab"


def store() -> Path:
    """The run store, shared by all papers (`LOSSLAB_STORE` moves it)."""
    named = os.environ.get("LOSSLAB_STORE")
    return Path(named).expanduser().resolve() if named else work() / "store"


def scratch(slug: str, scale: str) -> Path:
    """Where results go that no output folder was named for."""
    named = os.environ.get("LOSSLAB_SCRATCH")
    base = Path(named).expanduser().resolve() if named else work() / "results"
    return base / slug / scale


def data(named: str | Path | None = None) -> Path:
    """The data folder: the given one, else `LOSSLAB_DATA`, else data/."""
    chosen = named or os.environ.get("LOSSLAB_DATA")
    if chosen is None:
        return home() / "data"
    folder = Path(chosen).expanduser()
    return folder if folder.is_absolute() else home() / folder


def show(path: Path) -> str:
    """A path as a reader sees it: relative to the repository where it lies inside."""
    try:
        return str(path.resolve().relative_to(root()))
    except ValueError:
        return str(path)
