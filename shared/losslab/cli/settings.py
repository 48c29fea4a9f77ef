"""What a command's options and params.yaml come to together."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from losslab import params, paths
from losslab.errors import InputError

if TYPE_CHECKING:
    from losslab.papers import Paper


@dataclass(frozen=True)
class Settings:
    """params.yaml with the options that were given put over it."""

    scale: params.Scale
    seeds: int | None
    device: str
    workers: int | None
    data_root: Path
    papers: tuple[str, ...]


def settle(
    *,
    scale: str | None = None,
    seeds: int | None = None,
    device: str | None = None,
    workers: int | None = None,
    data_root: Path | None = None,
    make: bool = False,
) -> Settings:
    """Check the options, fill in the rest from params.yaml, and let every process below see the data folder.

    A data folder that was named has to be there, unless `make` allows to create it.
    """
    base = params.load()
    for name, value in (("--seeds", seeds), ("--workers", workers)):
        if value is not None and value < 1:
            raise InputError(f"{name} is {value}, but must be 1 or more")
    folder = paths.data(data_root.resolve() if data_root is not None else base.data_root)
    if data_root is not None and not make and not folder.is_dir():
        raise InputError(f"--data-root: no folder {folder}")
    os.environ["LOSSLAB_DATA"] = str(folder)
    return Settings(
        scale=params.check_scale(scale) if scale is not None else base.scale,
        seeds=seeds if seeds is not None else base.seeds,
        device=params.check_device(device) if device is not None else base.device,
        workers=workers if workers is not None else base.workers,
        data_root=folder,
        papers=base.papers,
    )


def open_paper(slug: str) -> Paper:
    """The specification of a paper, by its folder name."""
    paths.replication(slug)
    from losslab import papers

    return papers.load(slug)


def seconds(text: str) -> float:
    """`25m`, `90s`, `1h30m` or a plain number of seconds."""
    found = re.fullmatch(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s?)?", text.strip().lower())
    parts = [float(part) if part else 0.0 for part in found.groups()] if found else []
    total = parts[0] * 3600 + parts[1] * 60 + parts[2] if parts else 0.0
    if total <= 0:
        raise InputError(f"--budget {text!r} is no time; write it like 25m, 90s or 1h30m")
    return total
