"""Extra recordings that a run can be asked for. They do not change its numbers and are no part of its description.

* ``weights``: the network's final weights, beside the record.
* ``confusion``: per epoch, in evaluation mode, four (K, K) tables whose rows are the true classes. ``softmax_test`` and ``softmax_train``: mean
  softmax of the test samples, and of the training samples whose given label is right. ``predicted_test`` and ``predicted_train``: share of the
  class's samples (all of them) that are predicted as each class.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from losslab.errors import InputError, near

CURVES: dict[str, tuple[str, ...]] = {
    "weights": (),
    "confusion": ("softmax_test", "softmax_train", "predicted_test", "predicted_train"),
}
Wanted = Mapping[str, frozenset[str]]  # run hash -> names of probes


def check_probes(names: frozenset[str]) -> None:
    """Raises InputError for an unknown probe."""
    for name in names:
        if name not in CURVES:
            raise InputError(near("probe", name, CURVES))


def probe_curves(names: frozenset[str]) -> frozenset[str]:
    """The curves that a record must have to satisfy these probes."""
    return frozenset(curve for name in names for curve in CURVES[name])


def class_tables(logits: Tensor, labels: Tensor, chosen: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Mean softmax of the ``chosen`` samples and shares of predicted classes of all, by class: two ``(M, K, K)``.

    logits ``(M, n, K)``; labels ``(M, n)`` true classes, negative for none; chosen ``(M, n)`` bool.
    """
    member = torch.nn.functional.one_hot(labels.clamp(min=0), num_classes).to(logits.dtype)
    member = member * (labels >= 0).unsqueeze(-1)
    predicted = torch.nn.functional.one_hot(logits.argmax(-1), num_classes).to(logits.dtype)
    kept = member * chosen.unsqueeze(-1)
    mean = kept.mT @ logits.softmax(-1) / kept.sum(1).clamp(min=1).unsqueeze(-1)
    share = member.mT @ predicted / member.sum(1).clamp(min=1).unsqueeze(-1)
    return mean, share
