"""Records without training, for the tests of the store."""

from __future__ import annotations

from typing import Any

import torch

from losslab.runs import DataPart, NamedPart, NoisePart, Recipe, Record, Run, fingerprint


def some_run(loss: str | NamedPart = "ce", seed: int = 0, **changes: Any) -> Run:
    """A run that nobody trains."""
    fields: dict[str, Any] = {
        "data": DataPart(name="digits"),
        "noise": NoisePart(kind="symmetric", rate=0.4),
        "model": NamedPart(name="mlp"),
        "loss": NamedPart(name=loss) if isinstance(loss, str) else loss,
        "recipe": Recipe(epochs=2, lr=0.1 / 3),
        "seed": seed,
        **changes,
    }
    return Run(**fields)


def some_record(run: Run, accuracy: float = 0.5, **changes: Any) -> Record:
    """A record of two epochs."""
    fields: dict[str, Any] = {
        "run": run,
        "fingerprint": fingerprint(run),
        "status": "done",
        "curves": {"test_acc": [0.25, accuracy], "test_acc_per_class": [[0.0, 0.5], [accuracy, accuracy]]},
        "final": {"fit_noisy": float("nan"), "fit_clean": 0.75},
        "cost": {"seconds": 1.25, "device": "none"},
        "provenance": {"torch": torch.__version__},
        "digests": {"labels": "00", "split": "11"},
        **changes,
    }
    return Record(**fields)


def some_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """A state dict."""
    draw = torch.Generator().manual_seed(seed)
    return {"head.weight": torch.randn(3, 4, generator=draw), "head.steps": torch.tensor(7)}
