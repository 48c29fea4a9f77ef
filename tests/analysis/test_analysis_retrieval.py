"""Ranking and verification against scikit-learn and small cases by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from losslab.analysis import retrieval
from losslab.errors import InputError


def _embeddings(size: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    centres = torch.randn(6, 8, generator=draw)
    labels = torch.arange(size) % 6
    return centres[labels] + 0.8 * torch.randn(size, 8, generator=draw), labels


def test_ranking_by_hand() -> None:
    query = torch.tensor([[1.0, 0.0]])
    angles = torch.deg2rad(torch.tensor([10.0, 20.0, 30.0, 40.0]))
    gallery = torch.stack([angles.cos(), angles.sin()], 1)
    found = retrieval.rank(query, torch.tensor([7]), gallery, torch.tensor([1, 7, 2, 7]))
    assert found.mean_ap == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert found.cmc.tolist() == [0.0, 1.0, 1.0, 1.0]
    assert found.at(2) == 1.0 and found.queries == 1


def test_cameras_and_queries_without_a_match() -> None:
    query, gallery = torch.eye(2), torch.eye(2).repeat(2, 1)
    labels, cameras = torch.tensor([0, 1]), torch.tensor([0, 0])
    found = retrieval.rank(query, labels, gallery, torch.tensor([0, 1, 0, 5]), cameras, torch.tensor([0, 0, 1, 1]))
    assert found.queries == 1  # class 1 was only seen by the query's own camera
    assert found.mean_ap == 1.0


def test_average_precision_against_scikit_learn() -> None:
    from sklearn.metrics import average_precision_score

    z, y = _embeddings()
    found = retrieval.rank(z, y)
    scores = retrieval.similarities(z, z).numpy()
    for i in range(len(z)):
        others = np.arange(len(z)) != i
        expected = average_precision_score((y[others] == y[i]).numpy(), scores[i, others])
        assert found.average_precision[i] == pytest.approx(expected, abs=1e-9)
    assert np.all(np.diff(found.cmc) >= 0) and found.cmc[-1] <= 1


def test_ties_count_against_the_method() -> None:
    same = torch.ones(4, 3)
    found = retrieval.rank(same[:1], torch.tensor([0]), same, torch.tensor([0, 1, 1, 1]))
    assert found.mean_ap == pytest.approx(1 / 4)


def test_roc_against_scikit_learn() -> None:
    from sklearn.metrics import roc_auc_score, roc_curve

    scores, same = retrieval.pairs(*_embeddings())
    assert len(scores) == 60 * 59 // 2
    found = retrieval.roc(scores, same)
    assert found.area == pytest.approx(roc_auc_score(same.numpy(), scores.numpy()))
    far, tar, _ = roc_curve(same.numpy(), scores.numpy(), drop_intermediate=False)
    assert found.far == pytest.approx(far[1:]) and found.tar == pytest.approx(tar[1:])
    assert found.tar_at(1.0) == 1.0
    assert found.tar_at(0.01) <= found.tar_at(0.1)
    assert 0 < found.equal_error_rate < 0.5


def test_tar_at_far_by_hand() -> None:
    scores = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5])
    same = torch.tensor([True, False, True, True, False])
    found = retrieval.roc(scores, same)
    assert found.tar_at(0.0) == pytest.approx(1 / 3)
    assert found.tar_at(0.5) == pytest.approx(1.0)


def test_verification_accuracy() -> None:
    scores = torch.cat([torch.linspace(0.6, 0.9, 50), torch.linspace(0.0, 0.4, 50)])
    same = torch.arange(100) < 50
    order = torch.randperm(100, generator=torch.Generator().manual_seed(0))
    assert retrieval.verification_accuracy(scores[order], same[order]) == (1.0, 0.0)
    random = torch.rand(1000, generator=torch.Generator().manual_seed(1))
    assert retrieval.verification_accuracy(random, torch.arange(1000) % 2 == 0)[0] == pytest.approx(0.5, abs=0.06)


def test_errors() -> None:
    with pytest.raises(InputError, match="no query"):
        retrieval.rank(torch.eye(2), torch.tensor([0, 1]))
    with pytest.raises(InputError, match="embeddings"):
        retrieval.similarities(torch.ones(2, 3), torch.ones(2, 4))
    with pytest.raises(InputError, match="of two"):
        retrieval.roc(torch.ones(3), torch.ones(3))
    with pytest.raises(InputError, match="folds"):
        retrieval.verification_accuracy(torch.rand(4), torch.tensor([1, 0, 1, 0]), folds=9)
    found = retrieval.rank(*_embeddings())
    with pytest.raises(InputError, match="k is"):
        found.at(0)
    with pytest.raises(InputError, match="far is"):
        retrieval.roc(torch.rand(3), torch.tensor([1, 0, 1])).tar_at(2.0)
