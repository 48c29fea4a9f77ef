"""Small runs for the engine's tests, and short ways to train them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from losslab import losses
from losslab.runs import DataPart, NamedPart, NoisePart, Recipe, Run, Schedule
from losslab.training.cohort import Cohort, Options, Outcome

DIGITS = DataPart(name="digits", validation=0.1)
FEW_DIGITS = DataPart(name="digits", imbalance="long_tailed", imbalance_ratio=40.0, validation=0.1)
BLOBS = DataPart(name="toy-blobs", options={"train": 150, "test": 90}, validation=0.2)
SMALL_MLP = NamedPart(name="mlp")
NOISY = NoisePart(kind="symmetric", rate=0.4)


def recipe(**changes: Any) -> Recipe:
    """Three epochs of the digits protocol in float64, with a last batch that is not full."""
    return Recipe(
        **{
            "epochs": 3,
            "batch_size": 100,
            "lr": 0.02,
            "momentum": 0.9,
            "weight_decay": 1e-4,
            "clip_norm": 5.0,
            "precision": "float64",
            **changes,
        }
    )


def run(loss: str = "ce", params: dict[str, Any] | None = None, **changes: Any) -> Run:
    """A run of that loss; ``changes`` are fields of `Run`, and ``recipe`` may be a dictionary of changes."""
    wanted: dict[str, Any] = {"data": DIGITS, "noise": NOISY, "model": SMALL_MLP, "seed": 1, **changes}
    if losses.spec(loss).input == "cosines" and "head" not in wanted:
        wanted["head"] = NamedPart(name="cosine")
    given = wanted.get("recipe", {})
    wanted["recipe"] = recipe(**given) if isinstance(given, dict) else given
    return Run(loss=NamedPart(name=loss, params=params or {}), **wanted)


def train_cohort(runs: Sequence[Run], **options: Any) -> dict[str, Outcome]:
    """Outcomes by run hash of one cohort that trains in this process."""
    cohort = Cohort(runs, Options(torch.device("cpu"), **options))
    for _ in cohort.work():
        pass
    return {outcome.run.hash: outcome for outcome in cohort.outcomes()}


def weights_of(outcome: Outcome) -> dict[str, torch.Tensor]:
    """Final weights and statistics, without torch's count of batches, which has no effect."""
    return {name: value for name, value in outcome.weights.items() if not name.endswith("num_batches_tracked")}


__all__ = [
    "BLOBS",
    "DIGITS",
    "FEW_DIGITS",
    "NOISY",
    "SMALL_MLP",
    "Schedule",
    "recipe",
    "run",
    "train_cohort",
    "weights_of",
]
