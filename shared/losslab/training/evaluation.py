"""Accuracy, loss and confidence of M networks on a set of samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor

from losslab.training.problem import FOREIGN, Pixels
from losslab.training.stacking import StackedNetwork

Autocast = Callable[[], AbstractContextManager[object]]


def log_softmax(logits: Tensor) -> Tensor:
    """Log-probabilities of logits ``(M, B, K)``, as a view of ``(M, K, B)``.

    With few classes the softmax of torch is many times faster over an axis that is not the innermost one, and so is what comes after it.
    """
    return logits.mT.log_softmax(1).mT


@contextmanager
def evaluating(network: StackedNetwork) -> Iterator[None]:
    """Evaluation mode and no gradients, then training mode again."""
    network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        network.train()


def logits_of(
    network: StackedNetwork, pixels: Pixels, rows: Tensor | None, autocast: Autocast, batch: int
) -> Iterator[tuple[slice, Tensor]]:
    """Logits ``(M, b, K)`` slice by slice: of all of ``pixels`` (``rows`` None), of rows ``(n,)`` that all models share, or of ``(M, n)``."""
    total = len(pixels) if rows is None else rows.shape[-1]
    for start in range(0, total, batch):
        part = slice(start, min(start + batch, total))
        images = pixels.slice(part.start, part.stop) if rows is None else pixels.take(rows[..., part])
        with autocast():
            logits = network(images, shared=rows is None or rows.dim() == 1)
        yield part, logits if logits.dtype == torch.float64 else logits.float()


def test_scores(
    network: StackedNetwork, pixels: Pixels, labels: Tensor, autocast: Autocast, batch: int
) -> dict[str, Tensor]:
    """``test_acc`` and ``test_loss`` ``(M,)``, ``test_acc_per_class`` ``(M, K)``; the loss is cross-entropy."""
    models, classes = network.copies, network.num_classes
    loss = torch.zeros(models, device=labels.device)
    hits = torch.zeros(models, classes, device=labels.device)
    with evaluating(network):
        for part, logits in logits_of(network, pixels, None, autocast, batch):
            y = labels[part]
            at = y.expand(models, -1).unsqueeze(-1)
            loss -= log_softmax(logits).gather(-1, at).squeeze(-1).sum(1)
            hits.index_add_(1, y, (logits.max(-1).indices == y).to(hits.dtype))
    counts = torch.zeros(classes, device=labels.device).index_add_(0, labels, torch.ones_like(labels, dtype=hits.dtype))
    return {
        "test_acc": hits.sum(1) / len(labels),
        "test_loss": loss / len(labels),
        "test_acc_per_class": hits / counts.clamp(min=1),
    }


def fit_scores(predicted: Tensor, probability: Tensor, given: Tensor, true: Tensor) -> dict[str, Tensor]:
    """How the networks stand to correct and wrong labels: the curves ``fit_clean``, ``fit_noisy``, ``true_noisy``, ``prob_clean``, ``prob_noisy``.

    All arguments ``(M, n)``: predicted class, softmax of the given label, given label, true label (`FOREIGN` for images of no class).
    A network without wrong labels has NaN in the ``*_noisy`` curves.
    """
    clean = given == true
    noisy = ~clean
    named = noisy & (true != FOREIGN)

    def share(values: Tensor, mask: Tensor) -> Tensor:
        return (values * mask).sum(1) / mask.sum(1)

    fits, is_true = (predicted == given).float(), (predicted == true).float()
    return {
        "fit_clean": share(fits, clean),
        "fit_noisy": share(fits, noisy),
        "true_noisy": share(is_true, named),
        "prob_clean": share(probability.float(), clean),
        "prob_noisy": share(probability.float(), noisy),
    }
