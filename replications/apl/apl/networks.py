"""Trained networks looked into: how the outputs of the test images are spread over the classes that are not the label."""

from __future__ import annotations

import pandas as pd

from losslab import paths
from losslab.errors import InputError
from losslab.papers import Paper
from losslab.runs import Store
from losslab.training.inspect import trained


def spread(paper: Paper, scale: str) -> pd.DataFrame:
    """One row per network of the experiment `inside`; an empty frame where the run store holds no weights.

    `p_y`: mean softmax of the true class. `one other class`: mean share of the least likely other class in the sum of all other classes'
    -log p, times K - 1: 1 for level outputs, K - 1 if a single class carries the sum. `length`: mean spread (standard deviation) of the logits.
    """
    store, rows = Store(paths.store()), []
    for cell in paper.cells(scale, only="inside"):
        try:
            network = trained(cell.run, store)
        except InputError:
            return pd.DataFrame()
        logits, labels = network.logits("test").double(), network.dataset.test_labels
        log_p = logits.log_softmax(-1)
        of_label = log_p.gather(1, labels.unsqueeze(1)).squeeze(1)
        others = (-log_p).scatter(1, labels.unsqueeze(1), 0.0)
        share = others.max(1).values / others.sum(1) * (logits.shape[1] - 1)
        rows.append({
            "dataset": cell.keys["dataset"], "method": cell.keys["method"], "seed": cell.run.seed, "p_y": float(of_label.exp().mean()),
            "one other class": float(share.mean()), "length": float(logits.std(1).mean()),
            "accuracy": 100 * float((logits.argmax(1) == labels).double().mean()),
        })  # fmt: skip
    return pd.DataFrame(rows)
