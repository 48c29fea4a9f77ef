"""Leases: which process trains which run, so that two processes on one store never train the same one.

A lease is a file that its owner touches from time to time. It is free again when its owner is seen to be dead, which a process on the same
machine can tell at once; elsewhere, when nobody touched it for `EXPIRY` seconds. All changes happen under one lock, which dies with its holder.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from filelock import FileLock

EXPIRY = 180.0


class Leases:
    """Leases below a store's folder, held by this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "leases"
        self.held: set[str] = set()
        self.touched = 0.0
        self._quiet: threading.Event | None = None  # ends the heartbeat

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _lock(self) -> FileLock:
        self.folder.mkdir(parents=True, exist_ok=True)
        return FileLock(self.folder / ".lock")

    def take(self, names: Iterable[str]) -> set[str]:
        """Takes what is free of ``names``; returns what it got."""
        with self._lock():
            got = {name for name in names if self._dead(self._path(name))}
            for name in got:
                self._path(name).write_text(_owner())
        self.held |= got
        if self.held and self._quiet is None:
            self._quiet = threading.Event()
            threading.Thread(target=self._beat, args=(self._quiet,), name="leases", daemon=True).start()
        return got

    def _beat(self, quiet: threading.Event) -> None:
        """Touches the leases from a thread of its own, because one epoch of a large network may take longer than a lease lasts."""
        while not quiet.wait(EXPIRY / 6):
            self.touch()

    def _dead(self, path: Path) -> bool:
        """Whether nobody holds the lease: no file, an owner that is gone, or one that was not heard of for long."""
        try:
            where, pid, born = path.read_text().split()
            age = time.time() - path.stat().st_mtime
        except FileNotFoundError:
            return True
        except ValueError:  # being written, or damaged
            with contextlib.suppress(FileNotFoundError):
                return time.time() - path.stat().st_mtime > EXPIRY
            return True
        if where == _machine() and pid.isdecimal():
            return _born(int(pid)) != born
        return age > EXPIRY

    def free(self, names: Iterable[str]) -> set[str]:
        """Which of ``names`` nobody holds."""
        return {name for name in names if self._dead(self._path(name))}

    def touch(self) -> None:
        """Says that this process is alive; cheap enough to call at every turn."""
        if time.monotonic() - self.touched < EXPIRY / 6:
            return
        self.touched = time.monotonic()
        for name in tuple(self.held):
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path(name))

    def release(self, names: Iterable[str]) -> None:
        """Gives leases back; one that another process took over meanwhile stays with it."""
        mine = [name for name in names if name in self.held]
        if not mine:
            return
        with self._lock():
            for name in mine:
                self.held.discard(name)
                with contextlib.suppress(FileNotFoundError):
                    if self._path(name).read_text() == _owner():
                        self._path(name).unlink()
        if not self.held and self._quiet is not None:
            self._quiet.set()
            self._quiet = None


@cache
def _machine() -> str:
    """Host name and, where there are such things, the space in which process numbers mean something: containers may share a host name."""
    try:
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        space = "-"
    return f"{socket.gethostname()}/{space}".replace(" ", "_")


def _owner() -> str:
    return f"{_machine()} {os.getpid()} {_born(os.getpid())}\n"


def _born(pid: int) -> str:
    """When a process began, as a text that tells it from a later one with its number; empty if it is gone or only waits to be buried."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return "" if fields[0] in "ZX" else fields[19]
    except (FileNotFoundError, ProcessLookupError, IndexError):
        pass
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "alive"
