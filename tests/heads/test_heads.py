"""Last layers: what they compute, what they learn, what they take over from a trained model."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from losslab import heads
from losslab.errors import InputError
from losslab.heads.prototypes import min_angle

N, D, K = 7, 6, 4


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


def learned(head: nn.Module) -> list[str]:
    return [name for name, parameter in head.named_parameters() if parameter.requires_grad]


@pytest.mark.parametrize("name", heads.names())
def test_every_head_has_prototypes_and_leading_axes(name: str) -> None:
    head = heads.build(name, D, K)
    assert head.leading_axes is True
    assert head.prototypes.shape == (K, D)  # type: ignore[union-attr]
    assert head(torch.randn(N, D)).shape == (N, K)
    assert head(torch.randn(3, N, D)).shape == (3, N, K)


def test_linear() -> None:
    head = heads.build("linear", D, K)
    features = torch.randn(N, D)
    torch.testing.assert_close(head(features), F.linear(features, head.weight, head.bias))
    assert learned(heads.build("linear", D, K, bias=False)) == ["weight"]
    assert list(head.state_dict()) == list(nn.Linear(D, K).state_dict())


@pytest.mark.parametrize("normalise", ["both", "features", "prototypes"])
def test_cosine(normalise: str) -> None:
    head = heads.build("cosine", D, K, scale=3.0, normalise=normalise)
    features = 5 * torch.randn(N, D)
    z = features if normalise == "prototypes" else F.normalize(features, dim=1)
    w = head.weight if normalise == "features" else F.normalize(head.weight, dim=1)
    torch.testing.assert_close(head(features), 3 * z @ w.T)
    if normalise == "both":
        assert head(features).abs().max() <= 3 + 1e-6


def test_anchored_prototypes_stay() -> None:
    head = heads.build("anchored", D, K)
    assert learned(head) == []
    features = torch.randn(N, D)
    torch.testing.assert_close(head(features), features @ head.prototypes.T)
    assert min_angle(head.prototypes) == pytest.approx(109.4712, abs=1e-2)
    # Anchored prototypes that sum to zero make -w_y . z symmetric.
    torch.testing.assert_close(head(features).sum(1), torch.zeros(N), rtol=0, atol=1e-5)
    again = heads.build("anchored", D, K)
    assert torch.equal(head.prototypes, again.prototypes)
    assert not torch.equal(head.prototypes, heads.build("anchored", D, K, seed=1).prototypes)


@pytest.mark.parametrize(
    ("placement", "dim", "classes"),
    [("simplex", 6, 4), ("polygon", 2, 9), ("orthogonal", 3, 5), ("optimised", 3, 9), ("random", 3, 9)],
)
def test_placements(placement: str, dim: int, classes: int) -> None:
    head = heads.build("anchored", dim, classes, placement=placement)
    torch.testing.assert_close(head.prototypes.norm(dim=1), torch.ones(classes))


def test_fnpal_ignores_the_features_length() -> None:
    head = heads.build("fnpal", D, K, scale=5.0)
    features = torch.randn(N, D)
    torch.testing.assert_close(head(features), head(10 * features))
    torch.testing.assert_close(head(head.prototypes).diagonal(), torch.full((K,), 5.0))
    assert head(torch.zeros(1, D)).isfinite().all()


def test_lws_learns_scales_of_trained_logits() -> None:
    trained = heads.build("linear", D, K)
    head = heads.build("lws", D, K)
    head.load_state_dict(trained.state_dict())
    features = torch.randn(N, D)
    torch.testing.assert_close(head(features), trained(features))
    assert learned(head) == ["scales"]
    with torch.no_grad():
        head.scales.copy_(torch.arange(1.0, K + 1))
    torch.testing.assert_close(head(features), trained(features) * torch.arange(1.0, K + 1))
    copied = heads.build("lws", D, K)
    copied.load_state_dict(head.state_dict())
    torch.testing.assert_close(copied(features), head(features))


@pytest.mark.parametrize("name", ["lws", "tau_norm"])
@pytest.mark.parametrize("parent", ["anchored", "fnpal"])
def test_anchored_models_can_be_decoupled(name: str, parent: str) -> None:
    trained = heads.build(parent, D, K)
    whole = nn.Sequential(heads.build(name, D, K))
    whole.load_state_dict(nn.Sequential(trained).state_dict())
    features = F.normalize(torch.randn(N, D), dim=1)
    assert torch.equal(whole(features).argmax(1), trained(features).argmax(1))


@pytest.mark.parametrize("tau", [0.0, 0.5, 1.0])
def test_tau_norm(tau: float) -> None:
    trained = heads.build("linear", D, K)
    head = heads.build("tau_norm", D, K, tau=tau)
    head.load_state_dict(trained.state_dict())
    features = torch.randn(N, D)
    weight = trained.weight / trained.weight.norm(dim=1, keepdim=True) ** tau
    torch.testing.assert_close(head(features), features @ weight.T)
    assert learned(head) == []


def test_ncm() -> None:
    head = heads.build("ncm", D, K)
    labels = torch.arange(40) % (K - 1)  # the last class has no samples
    features = torch.randn(40, D)
    head.fit(features, labels)
    for k in range(K - 1):
        torch.testing.assert_close(head.means[k], features[labels == k].mean(0))
    logits = head(features)
    torch.testing.assert_close(logits[:, 0], F.cosine_similarity(features, head.means[0], dim=1))
    assert logits[:, -1].abs().max() == 0


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("softmax", {}, "no head is called 'softmax'; there are linear, cosine"),
        ("linear", {"scale": 2.0}, "head linear has no option scale; it has bias"),
        ("cosine", {"scale": 0.0}, "scale is 0.0; it must be above 0"),
        ("cosine", {"normalise": "all"}, "normalise is 'all'; it can be both, features, prototypes"),
        ("anchored", {"placement": "grid"}, "placement is 'grid'; it can be auto"),
        ("anchored", {"placement": "polygon"}, "needs features of 2 dimensions, got 6"),
        ("tau_norm", {"tau": 2.0}, "tau is 2.0"),
    ],
)
def test_errors(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        heads.build(name, D, K, **options)


def test_sizes_are_checked() -> None:
    with pytest.raises(InputError, match="must be 1 or more, got 0 and 4"):
        heads.build("linear", 0, 4)
