"""Training on an existing Dask cluster: the same work as on local processes, sent to workers that see the store's folder.

On a Slurm site, start the cluster with dask-jobqueue and pass its scheduler's address; the store must lie on a file system that all nodes share.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.errors import InputError
from losslab.training.plan import Work
from losslab.training.work import Report, Settings

if TYPE_CHECKING:
    from distributed import Client

TIMEOUT = "20s"  # how long to wait for the scheduler's answer


def remote(work: Work, settings: Settings, width: int) -> Report:
    """One cohort on a cluster's worker, one thread."""
    import torch

    from losslab.training.allocator import keep_memory
    from losslab.training.work import do

    if not Path(settings.store).is_dir():
        raise FileNotFoundError(
            f"the worker does not see the run store {settings.store}; it must lie on a shared file system"
        )
    torch.set_num_threads(1)
    keep_memory()
    return do(work, settings, lambda share: None, lambda: False, width)


def connect(address: str) -> Client:
    """A client of the cluster at ``address``. Raises InputError if dask is not installed or nobody answers."""
    try:
        from distributed import Client
    except ImportError as error:
        raise InputError("--dask needs dask.distributed: install the extra 'cluster'") from error
    try:
        return Client(address, timeout=TIMEOUT, set_as_default=False)
    except (OSError, ValueError) as error:
        raise InputError(f"no Dask scheduler answers at {address!r}: {error}") from error


def run_cluster(
    works: Sequence[Work],
    settings: Settings,
    address: str,
    tick: Callable[[float], None],
    done: Callable[[Report], None],
    stop: Callable[[], bool],
    width: int = 16,
) -> None:
    """Trains works on the cluster; a worker that dies has its cohort sent to another one.

    Raises InputError for a bad address, RuntimeError if a cohort fails.
    """
    from distributed import as_completed

    absolute = Settings(**{**settings.__dict__, "store": str(Path(settings.store).resolve())})
    Path(absolute.store).mkdir(parents=True, exist_ok=True)
    with connect(address) as client, client.as_current():
        futures: dict[Any, Work] = {}
        for i, work in enumerate(works):
            key = f"losslab-{work.runs[0].hash}-{len(work.runs)}-{time.time_ns()}-{i}"
            futures[client.submit(remote, work, absolute, width, key=key, pure=False, retries=2)] = work
        for future in as_completed(list(futures)):
            if stop() or (settings.deadline is not None and time.time() > settings.deadline):
                client.cancel(list(futures))
                return
            work = futures[future]
            error = future.exception()
            if error is not None:
                raise RuntimeError(
                    f"training failed on the cluster for a cohort like {work.runs[0].label()}: {error!r}"
                )
            tick(work.units)
            done(future.result())
