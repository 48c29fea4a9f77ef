"""Trained networks looked into: t-SNE of the features of the test images."""

from __future__ import annotations

import numpy as np

from losslab import paths
from losslab.errors import InputError
from losslab.papers import Paper
from losslab.runs import Store
from losslab.training.inspect import trained

Array = np.ndarray


def embeddings(
    paper: Paper, scale: str, points: int, steps: int
) -> dict[tuple[str, float], tuple[Array, Array, float]]:
    """By method and noise rate: t-SNE of the features of the first `points` test images `(points, 2)`, their classes, the accuracy on them (%).

    PCA start and random state 123, as in the released script. Empty where the run store holds no weights.
    """
    from sklearn.manifold import TSNE

    store, found = Store(paths.store()), {}
    for cell in paper.cells(scale, only="features"):
        try:
            network = trained(cell.run, store)
        except InputError:
            return {}
        features, labels = network.features("test")[:points], network.dataset.test_labels[:points]
        right = network.logits("test")[:points].argmax(1) == labels
        plane = TSNE(init="pca", random_state=123, max_iter=steps, perplexity=20).fit_transform(
            features.double().numpy()
        )
        found[str(cell.keys["method"]), float(cell.keys["noise_rate"])] = (
            plane,
            labels.numpy(),
            100 * float(right.double().mean()),
        )
    return found
