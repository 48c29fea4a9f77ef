"""Leases: which process trains which run, so that two processes on one store never train the same one.

A lease is a file that its owner touches from time to time. A lease that nobody touched for `EXPIRY` seconds belongs to a dead process and is free.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path

EXPIRY = 180.0


class Leases:
    """Leases below a store's folder, held by this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "leases"
        self.held: set[str] = set()
        self.touched = 0.0

    def _path(self, name: str) -> Path:
        return self.folder / name

    def take(self, names: Iterable[str]) -> set[str]:
        """Takes what is free of ``names``; returns what it got."""
        self.folder.mkdir(parents=True, exist_ok=True)
        got = {name for name in names if self._take(name)}
        self.held |= got
        return got

    def _take(self, name: str) -> bool:
        path = self._path(name)
        for _ in range(2):
            try:
                handle = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
            except FileExistsError:
                if not self._dead(path):
                    return False
                with contextlib.suppress(FileNotFoundError):
                    # Whoever renames a dead lease away owns the right to replace it; a plain unlink could hit a fresh one.
                    grave = path.with_name(f"{name}.{os.getpid()}.dead")
                    path.rename(grave)
                    grave.unlink()
                continue
            with os.fdopen(handle, "w") as file:
                file.write(f"{socket.gethostname()} {os.getpid()}\n")
            return True
        return False

    def _dead(self, path: Path) -> bool:
        try:
            host, pid = path.read_text().split()
            age = time.time() - path.stat().st_mtime
        except (FileNotFoundError, ValueError):
            with contextlib.suppress(FileNotFoundError):
                return time.time() - path.stat().st_mtime > EXPIRY
            return True
        if host == socket.gethostname() and not _alive(int(pid)):
            return True
        return age > EXPIRY

    def free(self, names: Iterable[str]) -> set[str]:
        """Which of ``names`` nobody holds."""
        return {name for name in names if not self._path(name).exists() or self._dead(self._path(name))}

    def touch(self) -> None:
        """Says that this process is alive; cheap enough to call after every epoch."""
        if time.monotonic() - self.touched < EXPIRY / 6:
            return
        self.touched = time.monotonic()
        for name in self.held:
            with contextlib.suppress(FileNotFoundError):
                os.utime(self._path(name))

    def release(self, names: Iterable[str]) -> None:
        """Gives leases back."""
        for name in list(names):
            if name in self.held:
                self.held.discard(name)
                self._path(name).unlink(missing_ok=True)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
