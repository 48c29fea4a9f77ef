"""Local worker processes, one thread each. A worker that dies takes only its unfinished cohort with it."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any

from losslab.training.plan import Work
from losslab.training.work import Report, Settings


def _serve(pipe: Connection, settings: Settings, stop: Any, parent: int, widths: int) -> None:
    """A worker's life: receive a cohort, train it, report; ends when the pipe closes or the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: setattr(stop, "value", 1))
    import torch

    from losslab.training.allocator import keep_memory
    from losslab.training.work import do, parent_alive

    torch.set_num_threads(1)
    keep_memory()
    last = 0.0

    while True:
        try:
            work: Work | None = pipe.recv()
        except (EOFError, OSError):
            return
        if work is None:
            return
        pending = 0.0

        def tick(share: float, work: Work = work) -> None:
            nonlocal last, pending
            pending += share * work.units
            if time.monotonic() - last > 0.2:
                pipe.send(("tick", pending))
                last, pending = time.monotonic(), 0.0

        try:
            report = do(work, settings, tick, lambda: bool(stop.value) or not parent_alive(parent), widths)
            pipe.send(("tick", pending))
            pipe.send(("done", report))
        except (BrokenPipeError, ConnectionResetError):
            return
        except BaseException as error:  # noqa: BLE001 - everything is told to the parent, which raises it
            pipe.send(("failed", f"{type(error).__name__}: {error}\n{traceback.format_exc()}"))


class WorkerDied(RuntimeError):
    """A worker process ended without saying why (killed, or out of memory)."""


def run_pool(
    works: Sequence[Work],
    settings: Settings,
    workers: int,
    tick: Callable[[float], None],
    done: Callable[[Report], None],
    stop: Callable[[], bool],
    width: int = 16,
) -> list[Work]:
    """Trains all works on ``workers`` processes; returns what was not begun because ``stop`` said so or the deadline passed.

    Raises RuntimeError with the worker's traceback if a cohort fails, `WorkerDied` if one died twice on the same cohort.
    """
    context = multiprocessing.get_context("spawn")
    flag = context.RawValue("b", 0)  # no lock, which a killed worker or a signal handler could hold for ever
    queue = list(works)
    losses: dict[int, int] = {}  # how often a worker died on a work, by its id: runs cannot be hashed
    pipes: dict[Connection, tuple[BaseProcess, Work | None]] = {}

    def start() -> None:
        mine, theirs = context.Pipe()
        process = context.Process(target=_serve, args=(theirs, settings, flag, os.getpid(), width), daemon=True)
        process.start()
        theirs.close()
        pipes[mine] = (process, None)
        feed(mine)

    def over() -> bool:
        return stop() or (settings.deadline is not None and time.time() > settings.deadline)

    def feed(pipe: Connection) -> None:
        process, _ = pipes[pipe]
        work = queue.pop(0) if queue and not over() else None
        pipes[pipe] = (process, work)
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            pipe.send(work)  # if it is dead already, reading will tell
        if work is None:
            pipe.close()
            del pipes[pipe]
            process.join(timeout=60)

    try:
        for _ in range(min(workers, len(works))):
            start()
        while pipes:
            if stop():
                flag.value = 1
            for pipe in wait(list(pipes), timeout=0.5):
                assert isinstance(pipe, Connection)
                process, work = pipes[pipe]
                try:
                    kind, value = pipe.recv()
                except (EOFError, OSError):
                    del pipes[pipe]
                    process.join(timeout=10)
                    if work is not None:
                        losses[id(work)] = losses.get(id(work), 0) + 1
                        if losses[id(work)] > 1:
                            raise WorkerDied(
                                f"a worker died twice (exit code {process.exitcode}) on {len(work.runs)} runs of {work.runs[0].label()}"
                            ) from None
                        queue.insert(0, work)
                        start()
                    continue
                if kind == "tick":
                    tick(value)
                elif kind == "failed":
                    raise RuntimeError(
                        f"training failed for a cohort like {work.runs[0].label() if work else '?'}: {value}"
                    )
                else:
                    done(value)
                    feed(pipe)
        return queue
    except KeyboardInterrupt:  # a second Ctrl-C or SIGTERM: at once, not at the end of an epoch
        for process, _ in pipes.values():
            process.kill()
        raise
    finally:
        flag.value = 1
        for pipe, (process, _) in list(pipes.items()):
            pipe.close()
            process.terminate()
