"""Numbers that this paper's tables need and the run store does not have: they follow from what it has, or from the trained networks.

* accuracy over the whole training set by the given and by the true labels (tables of 2019), and over training and test set together (2020);
* retrieval of sets of images of classes that the network has not seen (MARS).
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab import paths
from losslab.analysis import retrieval
from losslab.papers import Cell, Paper, results
from losslab.runs import Run, Store
from losslab.seeding import generator
from losslab.training.inspect import Trained, trained
from losslab.training.problem import prepare

SET_SIZE = 4  # images in a set, the stand-in's tracklet


def extended(paper: Paper, scale: str, frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with `train_acc` and `intact_acc` as curves and in `final`, `hybrid_acc`, `mean_average_precision` and `cmc_1` in `final`."""
    count = int(frame["seed"].max()) + 1
    cells = {cell.run.hash: cell for cell in paper.cells(scale, seeds=count)}
    shares = {name: _wrong_share(cells[name].run) for name in frame.loc[frame["status"] == "done", "run"].unique()}
    found = _retrieval(cells[name] for name in dict.fromkeys(frame.loc[frame["experiment"] == "old-mars", "run"]))
    rows = []
    for row in results.records(frame):
        if row["status"] == "done":
            wrong, train, test = shares[row["run"]]
            final = json.loads(row["final"])
            last = {name: final.get(name) for name in ("fit_clean", "fit_noisy", "true_noisy")}
            final["train_acc"] = _mixed(last["fit_clean"], last["fit_noisy"], wrong)
            final["intact_acc"] = _mixed(last["fit_clean"], last["true_noisy"], wrong)
            final["hybrid_acc"] = (train * final["intact_acc"] + test * row["test_acc"][-1]) / (train + test)
            final |= found.get(row["run"], {}) if row["experiment"] == "old-mars" else {}
            row["final"] = json.dumps(final, sort_keys=True)
            for name, other in (("train_acc", "fit_noisy"), ("intact_acc", "true_noisy")):
                pairs = zip(row["fit_clean"], row[other], strict=True)
                row[name] = [_mixed(clean, noisy, wrong) for clean, noisy in pairs]
        rows.append(row)
    return pd.DataFrame(rows).astype({name: frame[name].dtype for name in frame.columns})


def _mixed(clean: float | None, noisy: float | None, wrong: float) -> float:
    """Mean over all training samples of a share that is known for the correctly and for the wrongly labelled ones."""
    left = math.nan if clean is None else float(clean)
    return left if wrong == 0 else (1 - wrong) * left + wrong * float(math.nan if noisy is None else noisy)


def _wrong_share(run: Run) -> tuple[float, int, int]:
    """Share of wrong labels among the training samples, and the sizes of training and test set."""
    dataset, samples = prepare(run, None)
    return float((samples.given != samples.true).mean()), len(samples.given), len(dataset.test_labels)


# Sets of images of unseen classes


def set_features(features: Tensor, labels: Tensor, size: int = SET_SIZE) -> tuple[Tensor, Tensor]:
    """Sets of `size` images of one class: means of the unit features, and the classes. Which images come together is drawn once for all networks."""
    means, classes = [], []
    for label in labels.unique().tolist():
        mine = torch.nonzero(labels == label).squeeze(1)
        order = generator("imae", "sets", int(label)).permutation(len(mine))
        for chosen in np.array_split(order, len(mine) // size):
            means.append(normalize(features[mine[torch.from_numpy(chosen)]], dim=1).mean(0))
            classes.append(label)
    return torch.stack(means), torch.tensor(classes)


def retrieval_of(network: Trained, size: int = SET_SIZE) -> dict[str, float]:
    """mAP and CMC-1 in per cent: every set is searched among all others. With a query and a gallery in the data set, image by image."""
    extra = network.dataset.extra
    if "held_out_images" in extra:
        found = retrieval.rank(*set_features(network.features("held_out_images"), extra["held_out_labels"], size))
    else:
        found = retrieval.rank(
            network.features("query_images"), extra["query_labels"], network.features("gallery_images"), extra["gallery_labels"],
            extra.get("query_cameras"), extra.get("gallery_cameras"),
        )  # fmt: skip
    return {"mean_average_precision": 100 * found.mean_ap, "cmc_1": 100 * found.at(1)}


def _retrieval(cells: Iterable[Cell]) -> dict[str, dict[str, float]]:
    store = Store(paths.store())
    return {cell.run.hash: retrieval_of(trained(cell.run, store)) for cell in cells}


def untrained(paper: Paper, scale: str, size: int = SET_SIZE) -> dict[str, float]:
    """The same retrieval by the pixels: what a network has to beat."""
    run = paper.cells(scale, only="old-mars", seeds=1)[0].run
    dataset, _ = prepare(run, None)
    pixels = dataset.extra["held_out_images"].flatten(1).float() / 255
    found = retrieval.rank(*set_features(pixels - pixels.mean(0), dataset.extra["held_out_labels"], size))
    return {"mean_average_precision": 100 * found.mean_ap, "cmc_1": 100 * found.at(1)}


# Speed


def epochs_until(frame: pd.DataFrame, accuracies: tuple[float, ...] = (0.5, 0.6, 0.7, 0.8)) -> pd.DataFrame:
    """Mean over the seeds of the first epoch with a test accuracy; missing where a seed never gets there."""
    rows = {}
    for (setting, rate, method), part in frame.groupby(["setting", "noise_rate", "method"], sort=False):
        curves = part["test_acc"].tolist()
        rows[setting, rate, method] = {
            f"{100 * goal:.0f} %": float(np.mean([_first(curve, goal) for curve in curves])) for goal in accuracies
        }
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(["network", "noise rate", "method"])


def _first(curve: Iterable[float], goal: float) -> float:
    return float(next((epoch for epoch, value in enumerate(curve, 1) if value >= goal), math.nan))


def late_change(frame: pd.DataFrame, curve: str, start: float = 0.5) -> float:
    """Mean over the seeds of last value minus the value after a share of the training, in points."""
    return float(np.mean([100 * (values[-1] - values[int(start * len(values)) - 1]) for values in frame[curve]]))
