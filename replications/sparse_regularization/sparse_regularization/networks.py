"""Trained networks looked into: features of the test images, how well classes are separated, how far outputs are from one-hot vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score

from losslab import paths
from losslab.errors import InputError
from losslab.losses.regularisers import sharpen
from losslab.papers import Paper
from losslab.runs import Run, Store
from losslab.training.inspect import trained
from sparse_regularization.theory import one_hot_distance

Array = NDArray[np.float64]
LIMIT = 10_000  # images that t-SNE is given at most


@dataclass(frozen=True)
class Look:
    """One network on the test images."""

    method: str
    seed: int
    features: Array  # (n, d)
    labels: NDArray[np.int64]
    outputs: torch.Tensor  # (n, K), as the loss sees them: normalised and sharpened where the method does so
    accuracy: float  # per cent


def seen_outputs(run: Run, logits: torch.Tensor) -> torch.Tensor:
    """The softmax that the run's loss sees."""
    given = run.regulariser.params if run.regulariser is not None else {}
    scaled = sharpen(logits, tau=float(given.get("tau", 1.0)), scaling=str(given.get("scaling", "none")))  # type: ignore[arg-type]
    return torch.softmax(scaled.double(), -1)


def looks(paper: Paper, scale: str, experiment: str) -> list[Look]:
    """All networks of an experiment with the probe `weights`; an empty list where the run store holds none."""
    store, found = Store(paths.store()), []
    for cell in paper.cells(scale, only=experiment):
        try:
            network = trained(cell.run, store)
        except InputError:
            return []
        logits, labels = network.logits("test"), network.dataset.test_labels
        found.append(
            Look(
                method=str(cell.keys["method"]),
                seed=cell.run.seed,
                features=network.features("test").double().numpy()[:LIMIT],
                labels=labels.numpy()[:LIMIT],
                outputs=seen_outputs(cell.run, logits),
                accuracy=100 * float((logits.argmax(1) == labels).double().mean()),
            )
        )
    return found


def plane(look: Look, steps: int = 1000) -> Array:
    """t-SNE of the features as in the group's script: two dimensions, PCA start, random state 123, scaled to the unit square."""
    made = TSNE(n_components=2, init="pca", random_state=123, perplexity=30.0, max_iter=steps).fit_transform(
        look.features
    )
    span = made.max(0) - made.min(0)
    return np.asarray((made - made.min(0)) / np.where(span > 0, span, 1), dtype=np.float64)


def separation(found: list[Look], planes: dict[tuple[str, int], Array]) -> pd.DataFrame:
    """Silhouette of the true classes in the features and, where drawn, in the plane; accuracy; mean distance of the outputs from one-hot."""
    rows = []
    for look in found:
        flat = planes.get((look.method, look.seed))
        dead = float(np.ptp(look.features)) == 0.0
        rows.append(
            {
                "method": look.method,
                "seed": look.seed,
                "accuracy": look.accuracy,
                "silhouette, features": 0.0 if dead else float(silhouette_score(look.features, look.labels)),
                "silhouette, plane": float("nan") if flat is None else float(silhouette_score(flat, look.labels)),
                "distance from one-hot": float(one_hot_distance(look.outputs).mean()),
            }
        )
    names = ["method", "seed", "accuracy", "silhouette, features", "silhouette, plane", "distance from one-hot"]
    return pd.DataFrame(rows, columns=names)
