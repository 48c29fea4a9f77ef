"""The made-up paper of tests/papers with made-up records."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from losslab import papers
from losslab.papers import results
from losslab.runs import Record, Run
from losslab.seeding import generator

# Highest accuracy, and how much of the wrong labels is memorised.
KINDS = {
    "ce": (0.97, 1.0),
    "mae": (0.80, 0.05),
    "forward": (0.96, 0.4),
    "gce": (0.96, 0.12),
    "truncated_gce": (0.96, 0.1),
    "nce+rce": (0.9, 0.1),
    "lm_softmax": (0.9, 0.5),
}
EPOCHS = 40


def record(run: Run) -> Record:
    """A record that looks like one: losses that memorise fall after their best epoch."""
    draw = generator("fake", run.hash)
    top, memory = KINDS[run.loss.name]
    top -= 0.1 * abs(np.log10(float(run.loss.params.get("alpha", 1.0)))) + 0.05 * abs(
        np.log10(float(run.loss.params.get("beta", 1.0)))
    )
    time = np.linspace(0, 1, EPOCHS)
    rate = run.noise.rate
    accuracy = top * (1 - np.exp(-9 * time)) * (1 - 0.2 * rate) - memory * rate * 0.7 * np.clip(time - 0.25, 0, 1)
    accuracy = np.clip(accuracy + draw.normal(0, 0.004, EPOCHS) + draw.normal(0, 0.004), 0.05, 0.999)
    noisy = np.clip(0.1 + memory * np.clip(time - 0.1, 0, 1) * 0.9, 0, 1)
    curves = {
        "test_acc": accuracy, "test_loss": -np.log(accuracy), "val_acc": accuracy * (1 - rate), "val_clean_acc": accuracy, "val_loss": 1 - accuracy,
        "train_loss": 1 - time, "fit_clean": np.clip(accuracy + 0.02, 0, 1), "fit_noisy": noisy, "prob_clean": accuracy, "prob_noisy": noisy,
        "test_acc_per_class": np.clip(accuracy[:, None] + draw.normal(0, 0.03, 12 if run.data.name == "glyphs-100" else 10), 0, 1),
    }  # fmt: skip
    diverged = run.loss.name == "mae" and run.noise.rate == 0.8 and run.seed == 1
    if run.data.validation == 0:
        curves = {name: curve for name, curve in curves.items() if not name.startswith("val")}
    return Record(
        run, "fingerprint", "diverged" if diverged else "done", {name: curve.tolist() for name, curve in curves.items()},
        {"test_acc": float(accuracy[-1]), "class_margin": 90.0 + 10 * rate, "confusion": [[1, 2], [3, 4]]}, {"seconds": 0.25, "device": "cpu"},
    )  # fmt: skip


@pytest.fixture(scope="session")
def toy() -> papers.Paper:
    """The made-up paper."""
    return papers.load(Path(__file__).parents[1] / "papers" / "toy")


@pytest.fixture(scope="session")
def records(toy: papers.Paper) -> dict[str, Record]:
    """Records of the quick scale but those of one cell."""
    cells = toy.cells("quick", check=False)
    return {cell.run.hash: record(cell.run) for cell in cells if not _left_out(cell)}


def _left_out(cell: papers.Cell) -> bool:
    return (cell.keys["dataset"], cell.keys["noise_type"], cell.keys["method"]) == (
        "hundred",
        "sym",
        "Forward T",
    ) and cell.run.seed > 0


@pytest.fixture(scope="session")
def frame(toy: papers.Paper, records: dict[str, Record]) -> pd.DataFrame:
    """Results frame of the quick scale."""
    return results.frame(toy.cells("quick", check=False), records)
