"""Trainings that a results frame cannot hold: R_sample beside cross-entropy, and prototypes followed through the training.

Both are the library's own cohort with a little added, so that data, splits, initial weights, batch orders and optimiser are those of the other runs.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from lm_softmax.readings import Networks
from losslab.analysis import margins
from losslab.losses.regularisers import sample_margin
from losslab.papers import Paper, results
from losslab.runs import Run
from losslab.training.build import build_network
from losslab.training.cohort import Cohort, Options, Outcome
from losslab.training.inspect import Trained
from losslab.training.problem import prepare

PLAIN, ADDED = "CE", "CE + 0.5 R_sample"


class Watched(Cohort):
    """A cohort with `weight` times R_sample of normalised features and prototypes added to every loss, and prototypes kept by epoch."""

    def __init__(self, runs: Sequence[Run], weight: float = 0.0) -> None:
        super().__init__(runs, Options(torch.device("cpu")))
        self.added = weight
        self.prototypes: list[Tensor] = [self._prototypes().clone()]
        self._features = self._labels = torch.empty(0)
        self.network.head.register_forward_hook(self._keep)

    def _keep(self, module: nn.Module, inputs: tuple[Any, ...], output: Tensor) -> None:
        self._features = inputs[0]

    def _prototypes(self) -> Tensor:
        weights: Tensor = self.network.head.weight.detach()  # type: ignore[assignment,operator]
        return weights

    def step(self, where: Tensor | slice) -> None:
        index = self.order[:, where] if isinstance(where, slice) else self.order.index_select(1, where)
        self._labels = self.given.gather(1, index)
        super().step(where)

    def _update(self, logits: Tensor, grad: Tensor, penalty: Tensor | None) -> None:
        if self.added:
            w: Tensor = self.network.head.weight  # type: ignore[assignment]
            cosines = normalize(self._features, dim=-1) @ normalize(w, dim=-1).mT
            own = self.added * sample_margin(cosines, self._labels).mean(-1)
            penalty = own if penalty is None else penalty + own
        super()._update(logits, grad, penalty)

    def end_epoch(self) -> None:
        super().end_epoch()
        self.prototypes.append(self._prototypes().clone())


def with_sample_margin(
    paper: Paper, scale: str, frame: pd.DataFrame, networks: Networks, weight: float = 0.5
) -> pd.DataFrame:
    """The frame with rows for `CE + 0.5 R_sample`, trained now, wherever the experiments of Tables 1, 4 and 5 have `CE`.

    Nothing happens where the frame has them already, at paper scale, and in experiments without `CE`.
    """
    plain = frame[(frame["method"] == PLAIN) & frame["experiment"].isin(["balanced", "transfer"])]
    if scale == "paper" or plain.empty or (frame["method"] == ADDED).any():
        return frame
    made: dict[str, Outcome] = {}
    unique = {name: networks.cells[name].run for name in dict.fromkeys(plain["run"])}
    for group in _alike(list(unique.values())):
        cohort = Watched(group, weight)
        for _ in cohort.work():
            pass
        made |= {outcome.run.hash: outcome for outcome in cohort.outcomes()}
    for name, outcome in made.items():
        networks.add(f"{name}+", _opened(unique[name], outcome))
    rows = []
    for row in results.records(frame):
        rows.append(row)
        if row["run"] in made and row["experiment"] in ("balanced", "transfer") and row["method"] == PLAIN:
            outcome = made[row["run"]]
            curves = {name: outcome.curves.get(name, row[name]) for name in results.curve_names(frame)}
            new = {
                "method": ADDED,
                "key": "ce+rsm",
                "run": f"{row['run']}+",
                "final": json.dumps(outcome.final, sort_keys=True),
            }
            rows.append({**row, **curves, **new})
    return pd.DataFrame(rows, columns=list(frame.columns)).astype({name: frame[name].dtype for name in frame.columns})


def _alike(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs of one data set, network and recipe together."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        groups.setdefault(repr((run.data, run.model, run.head, run.recipe)), []).append(run)
    return list(groups.values())


def _opened(run: Run, outcome: Outcome) -> Trained:
    dataset, samples = prepare(run, None)
    network = build_network(run, dataset.in_shape, dataset.num_classes)
    network.load_state_dict(outcome.weights)
    return Trained(run, network.eval(), dataset, samples)


# Prototypes through the training


@dataclass(frozen=True)
class Path:
    """Prototypes of one training by epoch: class margin in degrees and distance from the simplex."""

    method: str
    key: str
    seed: int
    class_margin: list[float]
    etf_distance: list[float]


def paths_of(paper: Paper, scale: str, methods: Sequence[str], seeds: int, times: int) -> list[Path]:
    """The methods on the block cifar10, with `times` as many epochs as usual."""
    cells = [c for c in paper.cells(scale, only="balanced/cifar10", seeds=seeds) if c.keys["method"] in methods]
    longer = {}
    for cell in cells:
        recipe = cell.run.recipe.model_copy(update={"epochs": times * cell.run.recipe.epochs})
        longer[cell.run.model_copy(update={"recipe": recipe}).hash] = (
            cell,
            cell.run.model_copy(update={"recipe": recipe}),
        )
    cohort = Watched([run for _, run in longer.values()])
    for _ in cohort.work():
        pass
    found = []
    for place, run in enumerate(cohort.runs):
        cell = longer[run.hash][0]
        own = [stacked[place] for stacked in cohort.prototypes]
        found.append(
            Path(
                cell.keys["method"], cell.key, run.seed, [margins.class_margin(w) for w in own], [margins.etf_distance(w) for w in own]
            )
        )  # fmt: skip
    return found
