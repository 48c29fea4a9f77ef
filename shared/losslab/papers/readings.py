"""Names of the readings of a curve, and what each one takes."""

from __future__ import annotations

import re

from losslab.errors import InputError

ALLOWED = "last, best, best_val, best_val_clean, mean_last_<n>, epoch_<n>"
GUIDES = {
    "best": "test_acc",
    "best_val": "val_acc",
    "best_val_clean": "val_clean_acc",
}  # reading -> the curve whose best epoch it takes
_NUMBERED = re.compile(r"(mean_last|epoch)_([1-9]\d*)")


def parse_reading(reading: str, where: str = "") -> tuple[str, int]:
    """Kind and number: ``("last", 0)``, ``("mean_last", 10)``, ``("epoch", 20)``. Raises InputError."""
    if reading == "last" or reading in GUIDES:
        return reading, 0
    match = _NUMBERED.fullmatch(reading)
    if match:
        return match.group(1), int(match.group(2))
    raise InputError(f"{where + ': ' if where else ''}unknown reading {reading!r}; allowed: {ALLOWED}")


def check_reading(reading: str, where: str) -> None:
    """Raise InputError unless the reading exists."""
    parse_reading(reading, where)
