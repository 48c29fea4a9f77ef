"""A stack computes what its models compute one by one: outputs, gradients, statistics and weights after training."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from losslab import heads, models
from losslab.errors import InputError
from losslab.models.network import Network
from losslab.training.stacking import StackedNetwork, stack

K, BATCH = 5, 8

CASES: dict[str, tuple[str, tuple[int, ...], dict[str, Any]]] = {
    "mlp": ("mlp", (1, 4, 4), {"hidden": (7, 6)}),
    "mlp-2d": ("mlp", (2,), {"hidden": (7,), "feature_dim": 2, "final_relu": False}),
    "mlp_bn": ("mlp_bn", (1, 4, 4), {"hidden": (7, 6)}),
    "cnn_small": ("cnn_small", (1, 8, 8), {}),
    "cnn4": ("cnn4", (1, 8, 8), {}),
    "cnn4-sphere": ("cnn4", (1, 9, 8), {"feature_dim": 3, "final_relu": False, "conv_bias": False}),
    "cnn8": ("cnn8", (3, 8, 8), {"feature_dim": 16}),
    "cnn8-padded": ("cnn8", (3, 8, 8), {"feature_dim": 16, "pad_to": 8}),
    "sce_cnn4": ("sce_cnn4", (1, 8, 8), {}),
    "sce_cnn8": ("sce_cnn8", (3, 8, 8), {}),
    "dmi_cnn": ("dmi_cnn", (1, 16, 16), {}),
    "vgg16_bn": ("vgg16_bn", (3, 32, 32), {"width": 3}),
    "resnet18": ("resnet18", (3, 8, 8), {"width": 4}),
    "resnet34": ("resnet34", (3, 9, 9), {"width": 3, "final_relu": False, "init": "apl"}),
    "resnet50_cifar": ("resnet50_cifar", (3, 16, 16), {"width": 3}),
    "resnet50": ("resnet50", (3, 65, 65), {"width": 3}),
    "resnet20": ("resnet20", (3, 8, 8), {}),
    "resnet20-imae": ("resnet20", (3, 8, 8), {"flavour": "imae"}),
    "resnet32": ("resnet32", (3, 9, 9), {"final_relu": False}),
    "resnet44": ("resnet44", (3, 8, 8), {"flavour": "imae"}),
    "resnet56": ("resnet56", (3, 8, 8), {}),
    "resnet44_preact": ("resnet44_preact", (3, 8, 8), {}),
    "dncnn": ("dncnn", (1, 7, 6), {"depth": 4, "width": 5}),
    "text_cnn": ("text_cnn", (9,), {"vocabulary": 20, "embedding": 4, "filters": 3}),
}

HEADS: dict[str, tuple[str, dict[str, Any]]] = {
    "linear": ("linear", {}),
    "linear-no-bias": ("linear", {"bias": False}),
    "cosine": ("cosine", {}),
    "cosine-features": ("cosine", {"scale": 4.0, "normalise": "features"}),
    "cosine-prototypes": ("cosine", {"normalise": "prototypes"}),
    "anchored": ("anchored", {}),
    "fnpal": ("fnpal", {"scale": 5.0}),
    "lws": ("lws", {}),
    "tau_norm": ("tau_norm", {"tau": 0.7}),
    "ncm": ("ncm", {}),
}


@pytest.fixture(autouse=True)
def _double() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    torch.manual_seed(0)
    yield
    torch.set_default_dtype(torch.float32)


def make(case: str, copies: int, head: Any = None) -> list[Network]:
    name, shape, options = CASES[case]
    return [models.build(name, shape, K, head=head, **options) for _ in range(copies)]


def inputs(case: str, *leading: int) -> Tensor:
    shape = CASES[case][1]
    return torch.randint(20, (*leading, *shape)) if case == "text_cnn" else torch.randn(*leading, *shape)


def objective(outputs: Tensor, labels: Tensor) -> Tensor:
    if outputs.dim() > 2:
        return outputs.square().mean()
    return F.cross_entropy(outputs, labels)


def close(a: Tensor, b: Tensor) -> None:
    torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def counted(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def test_every_network_and_head_is_covered() -> None:
    assert {name for name, _, _ in CASES.values()} == set(models.names())
    assert {name for name, _ in HEADS.values()} == set(heads.names())


def check_training(singles: list[Network], stacked: StackedNetwork, batches: list[tuple[Tensor, Tensor]]) -> None:
    """Trains both ways on `(images (M, B, ...), labels (M, B))` and compares everything on the way."""
    options = {"lr": 0.001, "momentum": 0.9, "weight_decay": 1e-3}
    trainable = [[p for p in net.parameters() if p.requires_grad] for net in singles]
    learned = [parameter for _, parameter, _ in stacked.stacked_parameters()]
    optimisers = [torch.optim.SGD(p, **options) for p in [*trainable, learned] if p]
    for images, labels in batches:
        outputs = [net(x) for net, x in zip(singles, images, strict=True)]
        together = stacked(images)
        close(together, torch.stack(outputs))
        if not learned:
            continue
        for optimiser in optimisers:
            optimiser.zero_grad()
        losses = [objective(out, y) for out, y in zip(outputs, labels, strict=True)]
        torch.stack(losses).sum().backward()
        torch.stack([objective(out, y) for out, y in zip(together, labels, strict=True)]).sum().backward()
        for m, parameters in enumerate(trainable):
            own = torch.cat([stacked.per_model(parameter.grad)[m] for parameter in learned])
            expected = torch.cat([parameter.grad.flatten() for parameter in parameters])
            close(own.norm(), expected.norm())
            close(own.sum(), expected.sum())
        for optimiser in optimisers:
            optimiser.step()
    for m, net in enumerate(singles):
        state = stacked.unstack(m)
        assert state.keys() == net.state_dict().keys()
        for key, value in counted(net.state_dict()).items():
            close(state[key], value)


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("case", CASES)
def test_trains_as_single_models_do(case: str, copies: int) -> None:
    singles = make(case, copies)
    stacked = stack(singles)
    batches = [(inputs(case, copies, BATCH), torch.randint(K, (copies, BATCH))) for _ in range(3)]
    check_training(singles, stacked, batches)
    stacked.eval()
    images = inputs(case, 2)
    together = stacked(images, shared=True)
    close(together, stacked(images.expand(copies, *images.shape)))
    close(together, torch.stack([net.eval()(images) for net in singles]))


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("case", HEADS)
def test_heads_train_as_single_ones_do(case: str, copies: int) -> None:
    name, options = HEADS[case]

    def head(feature_dim: int, num_classes: int) -> nn.Module:
        made = heads.build(name, feature_dim, num_classes, **options)
        if name == "ncm":
            made.fit(torch.randn(40, feature_dim), torch.arange(40) % num_classes)  # type: ignore[operator]
        return made

    singles = make("mlp", copies, head)
    stacked = stack(singles)
    batches = [(inputs("mlp", copies, BATCH), torch.randint(K, (copies, BATCH))) for _ in range(3)]
    check_training(singles, stacked, batches)
    images = inputs("mlp", BATCH)
    close(stacked(images, shared=True), torch.stack([net(images) for net in singles]))


def test_stacked_heads_keep_their_own_scale() -> None:
    singles = [make("mlp", 1, lambda d, k, s=s: heads.build("fnpal", d, k, scale=s))[0] for s in (1.0, 4.0)]
    images = inputs("mlp", BATCH)
    close(stack(singles)(images, shared=True), torch.stack([net(images) for net in singles]))


@pytest.mark.parametrize("case", ["mlp_bn", "cnn_small", "resnet20", "text_cnn"])
def test_shared_images_in_training(case: str) -> None:
    shared, expanded = stack(make(case, 3)), stack(make(case, 3))
    for m in range(3):
        expanded.load(m, shared.unstack(m))
    images = inputs(case, BATCH)
    a, b = shared(images, shared=True), expanded(images.expand(3, *images.shape))
    close(a, b)
    a.square().sum().backward()
    b.square().sum().backward()
    for (name, p, _), (_, q, _) in zip(shared.stacked_parameters(), expanded.stacked_parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-9, atol=1e-9, msg=name)


@pytest.mark.parametrize("case", ["mlp_bn", "cnn4", "resnet20", "dmi_cnn", "text_cnn"])
def test_unstack_and_load(case: str) -> None:
    singles = make(case, 3)
    stacked = stack(singles)
    other = make(case, 1)[0]
    stacked.load(1, other.state_dict())
    for m, expected in enumerate([singles[0], other, singles[2]]):
        for key, value in expected.state_dict().items():
            assert torch.equal(stacked.unstack(m)[key], value)
    fresh = make(case, 1)[0]
    fresh.load_state_dict(stacked.unstack(1))
    images = inputs(case, 2)
    close(fresh.eval()(images), other.eval()(images))


def test_the_models_given_are_left_alone() -> None:
    singles = make("cnn_small", 2)
    before = {key: value.clone() for key, value in singles[0].state_dict().items()}
    stacked = stack(singles)
    stacked(inputs("cnn_small", 2, BATCH)).sum().backward()
    with torch.no_grad():
        for _, parameter, _ in stacked.stacked_parameters():
            parameter.add_(1)
    assert all(torch.equal(before[key], value) for key, value in singles[0].state_dict().items())
    assert all(parameter.grad is None for parameter in singles[0].parameters())


def test_stacked_parameters() -> None:
    singles = make("cnn_small", 3)
    stacked = stack(singles)
    named = {name: (parameter, decay) for name, parameter, decay in stacked.stacked_parameters()}
    assert list(named) == [name for name, _ in singles[0].named_parameters()]
    for name, single in singles[0].named_parameters():
        parameter, decay = named[name]
        assert parameter.is_contiguous()
        assert parameter.shape[0] in (3, 3 * single.shape[0])
        assert stacked.per_model(parameter).shape == (3, single.numel())
        assert decay == (single.dim() > 1)
    assert stacked.convolutional
    assert not stack(make("mlp", 2)).convolutional


def test_frozen_parameters_are_not_offered() -> None:
    singles = make("mlp", 2)
    for net in singles:
        net.backbone.requires_grad_(False)
    assert [name for name, _, _ in stack(singles).stacked_parameters()] == ["head.weight", "head.bias"]


@pytest.mark.parametrize("case", ["mlp_bn", "cnn_small", "resnet20"])
def test_neighbours_do_not_change_a_single_bit(case: str) -> None:
    """In float32 on one thread, in any company of two or more (one convolutional model alone takes another kernel)."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.set_default_dtype(torch.float32)
    try:
        singles = make(case, 5)
        images, labels = inputs(case, 3, 5, BATCH), torch.randint(K, (3, 5, BATCH))
        found = []
        for members in ([0, 1], [2, 3, 0], [4, 0, 1, 2, 3]):
            stacked = stack([singles[m] for m in members])
            optimiser = torch.optim.SGD(stacked.parameters(), lr=0.1, momentum=0.9)
            for x, y in zip(images[:, members], labels[:, members], strict=True):
                optimiser.zero_grad()
                (-stacked(x).log_softmax(-1).gather(-1, y.unsqueeze(-1)).sum() / BATCH).backward()
                optimiser.step()
            found.append(stacked.unstack(members.index(0)))
        assert all(torch.equal(found[0][key], other[key]) for other in found[1:] for key in other)
    finally:
        torch.set_num_threads(threads)


def test_dropout_does_not_depend_on_the_neighbours() -> None:
    singles = make("dmi_cnn", 3)
    images = inputs("dmi_cnn", 3, BATCH)
    all_three, last = stack(singles), stack(singles[2:])
    close(all_three(images)[2:], last(images[2:]))
    features = all_three.features(images)
    dropped = (features == 0).double().mean()
    assert 0.35 < dropped < 0.9
    assert not torch.equal(features, all_three.features(images))


@pytest.mark.parametrize("case", ["mlp_bn", "cnn_small", "resnet20"])
def test_bf16_autocast(case: str) -> None:
    torch.set_default_dtype(torch.float32)
    stacked = stack(make(case, 2))
    images = inputs(case, 2, BATCH)
    with torch.autocast("cpu", torch.bfloat16):
        out = stacked(images)
    assert out.dtype == torch.bfloat16
    out.float().square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for _, p, _ in stacked.stacked_parameters())
    torch.testing.assert_close(out.float(), stacked(images), rtol=0.2, atol=0.2)


def test_bad_stacks_are_refused() -> None:
    with pytest.raises(InputError, match="at least one"):
        stack([])
    with pytest.raises(InputError, match="got Linear"):
        stack([nn.Linear(2, 2)])  # type: ignore[list-item]
    narrow = models.build("mlp", (1, 4, 4), K, hidden=(7, 5))
    with pytest.raises(InputError, match=r"backbone\.3\.weight of network 0"):
        stack([*make("mlp", 1), narrow])
    with pytest.raises(InputError, match="one architecture"):
        stack([*make("resnet20", 1), models.build("resnet20", (3, 8, 8), K, final_relu=False)])
    with pytest.raises(InputError, match="cannot stack PReLU"):
        stack([Network(nn.Sequential(nn.Flatten(), nn.PReLU()), nn.Linear(4, 2), 4, 2)])


def test_bad_states_are_refused() -> None:
    stacked = stack(make("mlp", 2))
    state = stacked.unstack(0)
    with pytest.raises(InputError, match="no model 2"):
        stacked.unstack(2)
    with pytest.raises(InputError, match=r"lacks head\.bias"):
        stacked.load(0, {key: value for key, value in state.items() if key != "head.bias"})
    with pytest.raises(InputError, match="unknown entries extra"):
        stacked.load(0, {**state, "extra": torch.zeros(1)})
    with pytest.raises(InputError, match=r"head\.bias has shape"):
        stacked.load(0, {**state, "head.bias": torch.zeros(1)})
