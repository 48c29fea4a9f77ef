"""What a pruning step threw away."""

from __future__ import annotations

from typing import Any

from torch import Tensor


def note_pruning(history: dict[str, list[Any]], epoch: int, pruned: Tensor, given: Tensor, true: Tensor) -> None:
    """Compares the pruned samples of one network with the truly wrong ones, and appends to its ``history``.

    ``pruned`` ``(n,)`` bool, ``given`` and ``true`` labels ``(n,)``. Keys, one value per pruning: ``prune_epoch``,
    ``prune_share`` of all samples, ``prune_precision`` (share of the pruned that are wrong), ``prune_recall`` (share of the
    wrong that are pruned), ``prune_clean`` (share of the correct that are pruned) and the same per given class,
    ``prune_clean_per_class``. None where a share has no samples.
    """
    clean = given == true

    def share(part: Tensor, of: Tensor) -> float | None:
        return float((part & of).sum() / of.sum()) if bool(of.any()) else None

    classes = range(int(given.max()) + 1)
    note = {
        "prune_epoch": epoch,
        "prune_share": float(pruned.float().mean()),
        "prune_precision": share(~clean, pruned),
        "prune_recall": share(pruned, ~clean),
        "prune_clean": share(pruned, clean),
        "prune_clean_per_class": [share(pruned, clean & (given == k)) for k in classes],
    }
    for name, value in note.items():
        history.setdefault(name, []).append(value)
