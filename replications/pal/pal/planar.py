"""The trained networks with 2-D features behind Figure 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

import pandas as pd
import torch
from torch import Tensor

from losslab import paths
from losslab.analysis import margins
from losslab.errors import InputError
from losslab.papers import Paper
from losslab.runs import Run, Store
from losslab.training.build import build_network
from losslab.training.cohort import Cohort, Options
from losslab.training.inspect import Trained, trained
from losslab.training.problem import prepare

PANELS = {
    ("planar-balanced", "CE, no bias"): "balanced, CE",
    ("planar", "CE, no bias"): "long-tailed, CE",
    ("planar", "CE, both normalised"): "long-tailed, features and prototypes normalised",
    ("planar", "CE+PAL"): "long-tailed, anchored prototypes",
}


@dataclass(frozen=True)
class Plane:
    """One network: training features `(n, 2)`, their labels, prototypes `(K, 2)`, test accuracy of head and tail classes in per cent."""

    panel: str
    seed: int
    features: Tensor
    labels: Tensor
    prototypes: Tensor
    head: float
    tail: float


def _network(run: Run, store: Store) -> Trained:
    """The finished network of the store; trained anew where the store holds no weights (a results file without its store)."""
    try:
        return trained(run, store)
    except InputError:
        cohort = Cohort([run], Options(torch.device("cpu")))
        for _ in cohort.work():
            pass
        dataset, samples = prepare(run, None)
        network = build_network(run, dataset.in_shape, dataset.num_classes)
        network.load_state_dict(cohort.network.unstack(0))
        return Trained(run, network.eval(), dataset, samples)


def planes(paper: Paper, scale: str, seeds: int | None = None) -> list[Plane]:
    """All networks of Figure 1, in the order of its panels."""
    store, found = Store(paths.store()), []
    for cell in paper.cells(scale, only="figure-1", seeds=seeds):
        network = _network(cell.run, store)
        z = network.features("train").double()
        head = network.network.head
        weights = cast(Tensor, head.prototypes if hasattr(head, "prototypes") else head.weight)
        hits = network.logits("test").argmax(1) == network.dataset.test_labels
        shares = [
            float(hits[network.dataset.test_labels == k].double().mean()) for k in range(network.dataset.num_classes)
        ]
        found.append(
            Plane(
                PANELS[cell.keys["experiment"], cell.keys["method"]], cell.run.seed, z, torch.from_numpy(network.samples.given),
                weights.detach().double(), 100 * sum(shares[:4]) / 4, 100 * sum(shares[7:]) / 3,
            )
        )  # fmt: skip
    return found


def geometry(found: list[Plane]) -> pd.DataFrame:
    """Head (classes 0 to 3) against tail (7 to 9), mean over the seeds: prototypes, decision regions, features, test accuracy."""
    rows = []
    for plane in found:
        w, z = plane.prototypes, plane.features
        norms, gaps, area = w.norm(dim=1), margins.nearest_angles(w), regions(w)
        lengths = torch.stack([z[plane.labels == k].norm(dim=1).mean() for k in range(10)])
        rows.append({
            "panel": plane.panel, "norm, head": float(norms[:4].mean()), "norm, tail": float(norms[7:].mean()),
            "angle, head": float(gaps[:4].mean()), "angle, tail": float(gaps[7:].mean()), "class margin": float(gaps.min()),
            "feature length, head": float(lengths[:4].mean()), "feature length, tail": float(lengths[7:].mean()),
            "accuracy, head": plane.head, "accuracy, tail": plane.tail,
            "region, head": float(area[:4].mean()), "region, tail": float(area[7:].mean()),
        })  # fmt: skip
    return pd.DataFrame(rows).groupby("panel", sort=False).mean()


def regions(w: Tensor) -> Tensor:
    """The angle in degrees of each class's decision region, `(K,)`; without bias the regions are sectors."""
    angle = torch.arange(7200, dtype=torch.float64) * (2 * torch.pi / 7200)
    winners = (torch.stack([angle.cos(), angle.sin()], 1) @ w.T).argmax(1)
    return torch.bincount(winners, minlength=len(w)) * (360 / 7200)
