"""Numbers of trained networks that the run store does not have: margins, retrieval, verification, detection of strangers.

They are added to the results frame as `final.class_margin`, `final.sample_margin` and so on, so that tables and claims can name them.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab import paths
from losslab.analysis import margins, retrieval
from losslab.papers import Paper, results
from losslab.runs import Store
from losslab.seeding import generator
from losslab.training.inspect import Trained, trained

FARS = (1e-1, 1e-2, 1e-3)
PAIRS = 6000  # as many pairs as LFW has, half of them of one class


def prototypes(network: Trained) -> Tensor:
    """The rows of the last layer `(K, d)`, as they are."""
    return cast(Tensor, network.network.head.prototypes).detach()


def network_numbers(network: Trained) -> dict[str, float]:
    """Class margin in degrees; sample margins of unit vectors (mean and smallest, test and training samples); the prototypes' centroid."""
    w = prototypes(network)
    found: dict[str, float] = {
        "class_margin": margins.class_margin(w), "centroid": margins.centroid_norm(w), "etf_distance": margins.etf_distance(w)
    }  # fmt: skip
    labels = {"test": network.dataset.test_labels, "train": torch.from_numpy(network.samples.true)}
    for part, suffix in (("test", ""), ("train", "_train")):
        gamma = margins.sample_margins(network.features(part), w, labels[part])
        found[f"sample_margin{suffix}"] = float(gamma.mean())
        found[f"gamma_min{suffix}"] = float(gamma.min())
        if part == "train":
            each = margins.minimal_margins(gamma, labels[part], len(w))
            each = each[torch.isfinite(each)]
            found["bound_terms"] = float((1 / each).mean()) if bool((each > 0).all()) else math.nan
    return found


def strangers(network: Trained, block: str) -> tuple[Tensor, Tensor]:
    """Features and labels of the held-out characters that stand in for a block: the first ten, the other ten, or all twenty."""
    labels = network.dataset.extra["held_out_labels"]
    order = labels.unique()
    chosen = {"market": order[: len(order) // 2], "duke": order[len(order) // 2 :]}.get(block, order)
    mask = torch.isin(labels, chosen)
    return network.features("held_out_images")[mask], labels[mask]


def search_numbers(features: Tensor, labels: Tensor) -> dict[str, float]:
    """mAP, Rank-1 and Rank-5 in per cent: every image is searched among all others."""
    found = retrieval.rank(features, labels)
    return {"mean_average_precision": 100 * found.mean_ap, "rank_1": 100 * found.at(1), "rank_5": 100 * found.at(5)}


def pair_numbers(features: Tensor, labels: Tensor) -> dict[str, float]:
    """Accuracy over 6,000 drawn pairs in ten folds, and TAR at FAR over all pairs, in per cent."""
    scores, same = retrieval.pairs(features, labels)
    draw = generator("lm_softmax", "pairs")
    chosen = [draw.permutation(np.flatnonzero(same.numpy() == kind))[: PAIRS // 2] for kind in (True, False)]
    mixed = torch.from_numpy(np.stack(chosen, axis=1).reshape(-1))
    curve = retrieval.roc(scores, same)
    rates = {f"tar_1e{round(math.log10(far))}": 100 * curve.tar_at(far) for far in FARS}
    return {
        "pairs_right": 100 * retrieval.verification_accuracy(scores[mixed], same[mixed])[0],
        "auc": 100 * curve.area,
        **rates,
    }


def stranger_auroc(network: Trained) -> dict[str, float]:
    """Area under the ROC, in per cent, of known test images against strangers by the largest cosine and by the largest softmax."""
    found = {}
    w = normalize(prototypes(network), dim=1)
    for name in ("cosine", "softmax"):
        values = []
        for part in ("test", "held_out_images"):
            scores = (
                normalize(network.features(part), dim=1) @ w.T if name == "cosine" else _sharp(network, part).softmax(1)
            )
            values.append(scores.amax(1).double())
        known = torch.cat([torch.ones(len(values[0]), dtype=torch.bool), torch.zeros(len(values[1]), dtype=torch.bool)])
        found[f"auroc_{name}"] = 100 * retrieval.roc(torch.cat(values), known).area
    return found


def _sharp(network: Trained, part: str) -> Tensor:
    """Logits as the loss sees them: cosines times its s."""
    s = network.run.loss.params.get("s", 1.0) if network.run.head.name == "cosine" else 1.0
    return float(s) * network.logits(part)  # type: ignore[arg-type]


def block_numbers(network: Trained, block: str) -> dict[str, float]:
    """Search, verification or detection of strangers, as the block's tables show."""
    found: dict[str, float] = {}
    if "held_out_images" in network.dataset.extra:
        if block in ("market", "duke"):
            found |= search_numbers(*strangers(network, block))
        elif block == "face":
            found |= pair_numbers(*strangers(network, block))
        elif block == "cifar100":
            found |= stranger_auroc(network)
    elif "query_images" in network.dataset.extra:
        extra = network.dataset.extra
        ranking = retrieval.rank(
            network.features("query_images"), extra["query_labels"], network.features("gallery_images"), extra["gallery_labels"],
            extra.get("query_cameras"), extra.get("gallery_cameras"),
        )  # fmt: skip
        found |= {
            "mean_average_precision": 100 * ranking.mean_ap,
            "rank_1": 100 * ranking.at(1),
            "rank_5": 100 * ranking.at(5),
        }
    return found


@dataclass(frozen=True)
class Opened(Trained):
    """A finished network that shares its images with all networks of the same data and keeps its features."""

    shared: dict[tuple[str, str], Tensor] = field(default_factory=dict, repr=False)
    kept: dict[str, Tensor] = field(default_factory=dict, repr=False)

    def images(self, part: str) -> Tensor:
        place = (repr(self.run.data), part)
        if place not in self.shared:
            self.shared[place] = super().images(part)
        return self.shared[place]

    def features(self, part: str = "test") -> Tensor:
        if part not in self.kept:
            self.kept[part] = super().features(part)
        return self.kept[part]


class Networks:
    """The trained networks of the paper's runs, opened once."""

    def __init__(self, paper: Paper, scale: str, seeds: int) -> None:
        self.cells = {cell.run.hash: cell for cell in paper.cells(scale, seeds=seeds) if "weights" in cell.probes}
        self.store = Store(paths.store())
        self._images: dict[tuple[str, str], Tensor] = {}
        self._open: dict[str, Opened] = {}

    def __getitem__(self, run: str) -> Opened:
        if run not in self._open:
            found = trained(self.cells[run].run, self.store)
            self._open[run] = Opened(found.run, found.network, found.dataset, found.samples, self._images)
        return self._open[run]


def extended(frame: pd.DataFrame, networks: Networks) -> pd.DataFrame:
    """The frame with the numbers of every finished network in `final`."""
    alike: dict[str, dict[str, float]] = {}  # what does not depend on the block
    own: dict[tuple[str, str], dict[str, float]] = {}
    rows = []
    for row in results.records(frame):
        if row["status"] == "done":
            run, place = row["run"], (row["run"], row["dataset"])
            if run not in alike:
                alike[run] = network_numbers(networks[run])
            if place not in own:
                own[place] = block_numbers(networks[run], row["dataset"])
            row["final"] = json.dumps({**json.loads(row["final"]), **alike[run], **own[place]}, sort_keys=True)
        rows.append(row)
    return pd.DataFrame(rows, columns=list(frame.columns)).astype({name: frame[name].dtype for name in frame.columns})


def pixel_baseline(networks: Networks, run: str) -> pd.DataFrame:
    """The same search and verification by the pixels of the images, without any network."""
    network = networks[run]
    images = network.dataset.extra["held_out_images"].flatten(1).double() / 255
    labels = network.dataset.extra["held_out_labels"]
    centred, order = images - images.mean(0), labels.unique()
    found: dict[str, dict[str, float]] = {}
    for name, chosen in (("Market-1501", order[:10]), ("DukeMTMC-reID", order[10:])):
        mask = torch.isin(labels, chosen)
        found[name] = search_numbers(centred[mask], labels[mask])
    found["Faces"] = pair_numbers(centred, labels)
    return pd.DataFrame(found).T


def finals(frame: pd.DataFrame, names: Iterable[str]) -> pd.DataFrame:
    """Columns `names` out of `final`, beside the keys; what a row lacks is missing."""
    parsed = [json.loads(text) for text in frame["final"]]
    taken = {name: [float(row.get(name, math.nan)) for row in parsed] for name in names}
    return (
        frame[["experiment", "dataset", "setting", "method", "key", "seed", "run"]]
        .assign(**taken)
        .reset_index(drop=True)
    )
