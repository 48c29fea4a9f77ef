"""Five runs of the tables, trained once more by the engine inside the notebook, because their outputs are watched epoch by epoch."""

from __future__ import annotations

import pandas as pd
import torch
from torch import Tensor

from losslab.losses.regularisers import sparse
from losslab.papers import Paper
from losslab.runs import Run
from losslab.training.cohort import Cohort, Options
from losslab.training.evaluation import evaluating, logits_of
from sparse_regularization.networks import seen_outputs
from sparse_regularization.theory import one_hot_distance

# Label -> experiment and method of a run on ten classes with 40 % symmetric noise.
WAYS: dict[str, tuple[str, str]] = {
    "CE": ("normalisation", "CE"),
    "CE, normalised": ("normalisation", "CE, normalised"),
    "CE+SR as on MNIST": ("mnist-switches", "CE+SR"),
    "... not clamped": ("mnist-switches", "CE+SR, not clamped"),
    "CE+SR as on CIFAR-10": ("normalisation", "CE+SR"),
}


def watched(paper: Paper, seed: int = 0) -> dict[str, Run]:
    """The runs by label, as they are trained on the stand-in at quick scale."""
    cells = {
        (str(cell.keys["experiment"]), str(cell.keys["method"])): cell.run
        for name in ("normalisation", "mnist-switches")
        for cell in paper.cells("quick", only=name)
        if cell.run.seed == seed and cell.keys["noise_rate"] == 0.4
    }
    return {label: cells[place] for label, place in WAYS.items()}


def distances(runs: dict[str, Run], until: int | None = None) -> pd.DataFrame:
    """By way and epoch: mean `min_k ||u - e_k||_2` of the training samples' outputs as the loss sees them, mean penalty (p = 0.1, not
    clamped), test accuracy in per cent. All runs have one shape; `until`: the last epoch that is trained.
    """
    cohort, rows = Cohort(list(runs.values()), Options(torch.device("cpu"))), []
    for epoch in cohort.work():
        measured = _measured(cohort)
        for label, run in runs.items():
            place = next(m for m, member in enumerate(cohort.runs) if member.hash == run.hash)
            distance, penalty, accuracy = (float(values[place]) for values in measured)
            rows.append((label, epoch, distance, penalty, accuracy))
        if epoch == until:
            break
    return pd.DataFrame(rows, columns=["way", "epoch", "distance", "penalty", "test accuracy"])


def _measured(cohort: Cohort) -> tuple[Tensor, Tensor, Tensor]:
    """Distance, penalty and test accuracy of every network."""
    with evaluating(cohort.network):
        slices = logits_of(cohort.network, cohort.pool, cohort.rows, cohort.autocast, 2048)
        logits = torch.cat([z for _, z in slices], 1)
        tests = torch.cat([z for _, z in logits_of(cohort.network, cohort.test, None, cohort.autocast, 2048)], 1)
    outputs = torch.stack([seen_outputs(run, z) for run, z in zip(cohort.runs, logits, strict=True)])
    correct = 100 * (tests.argmax(-1) == cohort.test_labels).double().mean(1)
    return one_hot_distance(outputs).mean(1), sparse(outputs.log(), p=0.1).mean(1), correct
