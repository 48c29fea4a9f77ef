"""Retrieval and verification with embeddings: mean average precision, CMC, ROC, true acceptance at a false-acceptance rate.

Embeddings `(N, d)` are compared by cosine. Ties count against the method: among equal similarities wrong matches come first.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from losslab.errors import InputError

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Ranking:
    """Results over the queries that have a match in the gallery.

    mean_ap: mean average precision. cmc: share of queries with a match among the first k, `cmc[k - 1]`. average_precision: per query.
    queries: how many counted.
    """

    mean_ap: float
    cmc: Array
    average_precision: Array
    queries: int

    def at(self, k: int) -> float:
        """CMC-k (rank-k accuracy)."""
        if not 1 <= k <= len(self.cmc):
            raise InputError(f"k is {k}; it must lie in [1, {len(self.cmc)}]")
        return float(self.cmc[k - 1])


def similarities(first: Tensor, second: Tensor) -> Tensor:
    """Cosines `(N, M)` of embeddings `(N, d)` and `(M, d)`."""
    if first.ndim != 2 or second.ndim != 2 or first.shape[1] != second.shape[1]:
        raise InputError(f"expected embeddings (N, d) and (M, d), got {tuple(first.shape)} and {tuple(second.shape)}")
    return normalize(first.detach().cpu().double(), dim=1) @ normalize(second.detach().cpu().double(), dim=1).T


def rank(
    query: Tensor,
    query_labels: Tensor,
    gallery: Tensor | None = None,
    gallery_labels: Tensor | None = None,
    query_cameras: Tensor | None = None,
    gallery_cameras: Tensor | None = None,
    top: int = 50,
) -> Ranking:
    """Rank the gallery for every query. Without a gallery each sample is searched among all others.

    With cameras, gallery images of the query's label *and* camera are left out (re-identification).
    """
    alone = gallery is None
    g = query if gallery is None else gallery
    g_labels = query_labels if gallery_labels is None else gallery_labels
    scores = similarities(query, g).numpy()
    match = (query_labels.unsqueeze(1) == g_labels.unsqueeze(0)).cpu().numpy()
    if match.shape != scores.shape:
        raise InputError(f"labels do not fit the embeddings: {match.shape} against {scores.shape}")
    junk = np.eye(len(scores), dtype=bool) if alone else np.zeros_like(match)
    if query_cameras is not None and gallery_cameras is not None:
        junk |= match & (query_cameras.unsqueeze(1) == gallery_cameras.unsqueeze(0)).cpu().numpy()
    precision, first = [], []
    for score, hit, bad in zip(scores, match, junk, strict=True):
        score, hit = score[~bad], hit[~bad]
        if not hit.any():
            continue
        found = hit[np.lexsort((hit, -score))]
        places = np.flatnonzero(found)
        precision.append(((np.arange(len(places)) + 1) / (places + 1)).mean())
        first.append(places[0])
    if not precision:
        raise InputError("no query has a match in the gallery")
    top = min(top, scores.shape[1])
    reached = np.bincount(np.minimum(first, top), minlength=top + 1)[:top]
    return Ranking(float(np.mean(precision)), np.cumsum(reached) / len(first), np.asarray(precision), len(first))


@dataclass(frozen=True, eq=False)
class Roc:
    """Receiver operating characteristic: at each threshold `(n,)`, falling, the share of wrong pairs accepted (far) and of right pairs (tar)."""

    thresholds: Array
    far: Array
    tar: Array

    @property
    def area(self) -> float:
        """Area under the curve."""
        far, tar = np.concatenate([[0.0], self.far]), np.concatenate([[0.0], self.tar])
        return float(np.trapezoid(tar, far))

    @property
    def equal_error_rate(self) -> float:
        """Where false acceptances and false rejections are equally frequent."""
        far, miss = np.concatenate([[0.0], self.far]), np.concatenate([[1.0], 1 - self.tar])
        index = int(np.argmin(np.abs(far - miss)))
        return float((far[index] + miss[index]) / 2)

    def tar_at(self, far: float) -> float:
        """The largest TAR at a threshold whose FAR does not exceed `far`."""
        if not 0 <= far <= 1:
            raise InputError(f"far is {far}; it must lie in [0, 1]")
        allowed = self.tar[self.far <= far]
        return float(allowed.max()) if allowed.size else 0.0


def roc(scores: Tensor, same: Tensor) -> Roc:
    """ROC of pair similarities `(n,)`, with whether each pair is of one identity `(n,)`."""
    score, right = _pairs(scores, same)
    order = np.argsort(-score, kind="stable")
    score, right = score[order], right[order]
    last = np.append(np.flatnonzero(np.diff(score)), len(score) - 1)
    accepted, hits = last + 1, np.cumsum(right)[last]
    return Roc(score[last], (accepted - hits) / (~right).sum(), hits / right.sum())


def pairs(embeddings: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """All pairs of different samples: cosines `(n,)` and whether the labels agree `(n,)`."""
    scores = similarities(embeddings, embeddings)
    upper = torch.triu_indices(len(scores), len(scores), 1)
    same = labels.cpu()[upper]
    return scores[upper[0], upper[1]], same[0] == same[1]


def verification_accuracy(scores: Tensor, same: Tensor, folds: int = 10) -> tuple[float, float]:
    """Mean and standard deviation over folds of the accuracy at the threshold that is best on the other folds.

    Folds are consecutive pairs, as in lists of pairs that come in folds.
    """
    score, right = _pairs(scores, same)
    if not 2 <= folds <= len(score):
        raise InputError(f"folds is {folds}; it must lie in [2, {len(score)}]")
    found = []
    for part in np.array_split(np.arange(len(score)), folds):
        train = np.ones(len(score), dtype=bool)
        train[part] = False
        threshold = _best_threshold(score[train], right[train])
        found.append(((score[part] >= threshold) == right[part]).mean())
    return float(np.mean(found)), float(np.std(found))


def _best_threshold(score: Array, right: NDArray[np.bool_]) -> float:
    order = np.argsort(-score, kind="stable")
    score, right = score[order], right[order]
    correct = np.concatenate([[0], np.cumsum(np.where(right, 1, -1))])
    ends = np.append(np.flatnonzero(np.diff(score)) + 1, len(score))
    choices = np.concatenate([[0], ends])
    best = int(choices[np.argmax(correct[choices])])
    if best == 0:
        return float(np.nextafter(score[0], np.inf))
    return float(score[-1]) if best == len(score) else float((score[best - 1] + score[best]) / 2)


def _pairs(scores: Tensor, same: Tensor) -> tuple[Array, NDArray[np.bool_]]:
    score = np.asarray(scores.detach().cpu().double().numpy())
    right = np.asarray(same.cpu().numpy()).astype(bool)
    if score.ndim != 1 or score.shape != right.shape:
        raise InputError(f"expected two axes of the same length, got {score.shape} and {right.shape}")
    if right.all() or not right.any():
        raise InputError("verification needs pairs of one identity and of two")
    return score, right
