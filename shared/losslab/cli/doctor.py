"""`losslab doctor`: what this machine can run."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from rich.console import Console

from losslab import paths
from losslab.cli.console import console
from losslab.cli.data import FETCHED
from losslab.cli.settings import settle

GIB = 1024**3
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "matplotlib", "papermill", "dvc", "dask")


def doctor(data_root: Path | None) -> int:
    """Print versions, devices, memory, data sets, the store's size, and what follows for the three scales."""
    chosen = settle(data_root=data_root)
    out = console()
    out.print(f"Python {platform.python_version()} on {platform.system()} {platform.machine()}", markup=False)
    out.print("  " + ", ".join(f"{name} {_version(name)}" for name in PACKAGES), markup=False)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = _memory()
    size = f", {memory / GIB:.1f} GiB of memory" if memory else ""
    out.print(f"{cores} processor cores{size}", markup=False)
    gpu = _devices(out)
    _data(out, chosen.data_root)
    records = len(list((paths.store() / "records").glob("??/*.json")))
    out.print(f"run store {paths.show(paths.store())}: {records} runs", markup=False)
    out.print(f"papers: {', '.join(paths.replications()) or 'none'}", markup=False)
    out.print("scale smoke: yes\nscale quick: yes", markup=False)
    out.print(
        "scale paper: " + ("yes, with the data sets above" if gpu else "possible, but slow: no GPU that torch can use"),
        markup=False,
    )
    return 0


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return None


def _devices(out: Console) -> bool:
    import torch

    for index in range(torch.cuda.device_count()):
        facts = torch.cuda.get_device_properties(index)
        out.print(f"cuda:{index}: {facts.name}, {facts.total_memory / GIB:.0f} GiB", markup=False)
    if torch.cuda.device_count():
        return True
    if torch.version.cuda is None:
        out.print("no GPU: this is a CPU build of torch", markup=False)
    else:
        out.print("no GPU that torch can use", markup=False)
    return False


def _data(out: Console, root: Path) -> None:
    from losslab import data

    out.print(f"data sets in {paths.show(root)}:", markup=False)
    for status in data.available(root):
        out.print(f"  {status.name:<16} {'there' if status.ready else 'missing':<8} {status.about}", markup=False)
        if not status.ready:
            fetch = f"losslab data {status.name}" if status.name in FETCHED else status.get
            out.print(f"{'':<18} get: {fetch}{f' ({status.size})' if status.size else ''}", markup=False)
