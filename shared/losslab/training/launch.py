"""Whether this process is one of several that `torchrun` started to share every training (see `losslab.training.ddp`)."""

from __future__ import annotations

import os


def launched() -> bool:
    """Whether there are other processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1 and "RANK" in os.environ


def leader() -> bool:
    """Whether this process writes and reports: the first of them, or the only one."""
    return not launched() or os.environ["RANK"] == "0"
