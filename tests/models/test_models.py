"""The networks themselves: sizes against hand counts and the papers, options, initial weights, errors."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from losslab import models
from losslab.errors import InputError
from losslab.models.layers import ChannelPad, SeededDropout


def count(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def conv(inputs: int, outputs: int, size: int = 3, bias: bool = True) -> int:
    return inputs * outputs * size**2 + bias * outputs


def dense(inputs: int, outputs: int, bias: bool = True) -> int:
    return inputs * outputs + bias * outputs


def norm(features: int) -> int:
    return 2 * features


def thin(depth: int, classes: int, imae: bool = False) -> int:
    """Weights of a ResNet of 6 * depth + 2 layers with widths 16, 32, 64."""
    total = conv(3, 16, bias=imae) + norm(16) + dense(64, classes)
    previous = 16
    for width in (16, 32, 64):
        total += (
            conv(previous, width, bias=imae) + (2 * depth - 1) * conv(width, width, bias=imae) + 2 * depth * norm(width)
        )
        if imae and width != previous:
            total += conv(previous, width, 1) + norm(width)
        previous = width
    return total


def preact(depth: int, classes: int) -> int:
    """The same for SCE's pre-activation network, whose convolutions and projections have biases."""
    total = conv(3, 16) + norm(16) - norm(16) + norm(64) + dense(64, classes)  # the first block has no norm of its own
    previous = 16
    for width in (16, 32, 64):
        for _ in range(depth):
            total += norm(previous) + conv(previous, width) + norm(width) + conv(width, width)
            total += conv(previous, width, 1) if width != previous else 0
            previous = width
    return total


CNN8 = sum(conv(a, b) + norm(b) for a, b in [(3, 64), (64, 64), (64, 128), (128, 128), (128, 196), (196, 196)])
VGG = [64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512]

# Counted by hand, except the wide ResNets: those are torchvision's and the reference implementations' published sizes.
PARAMETERS = {
    "mlp": dense(64, 128) + dense(128, 128) + dense(128, 10),
    "mlp_bn": dense(256, 256) * 3 + norm(256) * 3 + dense(256, 100),
    "cnn_small": conv(1, 16) + norm(16) + conv(16, 32) + norm(32) + dense(128, 256) + norm(256) + dense(256, 10),
    "cnn4": 422_090,
    "cnn8": 1_639_794,
    "sce_cnn4": 422_090,
    "sce_cnn8": CNN8 + dense(3136, 256) + norm(256) + dense(256, 10),
    "dmi_cnn": conv(1, 16, 5) + conv(16, 32, 5) + dense(512, 2),
    "vgg16_bn": sum(conv(a, b) + norm(b) for a, b in zip([3, *VGG], VGG, strict=False)) + dense(8192, 2),
    "resnet18": 11_173_962,
    "resnet34": 21_282_122 + 90 * 513,  # the 10-class network with 100 classes
    "resnet50_cifar": 23_705_252,
    "resnet50": 25_557_032 - dense(2048, 1000) + dense(2048, 50),
    "resnet20": thin(3, 10),
    "resnet32": thin(5, 10),
    "resnet44": thin(7, 100),
    "resnet56": thin(9, 10),
    "resnet44_preact": preact(7, 100),
    "dncnn": conv(1, 64) + 15 * (conv(64, 64, bias=False) + norm(64)) + conv(64, 1, bias=False),
    "text_cnn": 50_000 * 128 + sum(dense(128 * w, 100) for w in (3, 4, 5)) + dense(300, 2),
}  # fmt: skip


@pytest.mark.parametrize("name", models.names())
def test_parameter_counts(name: str) -> None:
    card = models.describe(name)
    assert card.parameters == PARAMETERS[name]
    assert card.name == name
    assert card.summary
    assert card.source


def test_known_sizes_of_thin_resnets() -> None:
    assert [thin(depth, 10) for depth in (3, 5, 9)] == [269_722, 464_154, 853_018]
    imae = models.build("resnet44", (3, 32, 32), 100, flavour="imae")
    assert count(imae) == thin(7, 100, imae=True)


def test_resnet50_is_named_as_in_torchvision() -> None:
    expected = {"conv1.weight", *norm_names("bn1")}
    for layer, depth in enumerate([3, 4, 6, 3], start=1):
        for block in range(depth):
            path = f"layer{layer}.{block}"
            for index in (1, 2, 3):
                expected |= {f"{path}.conv{index}.weight", *norm_names(f"{path}.bn{index}")}
            if block == 0:
                expected |= {f"{path}.downsample.0.weight", *norm_names(f"{path}.downsample.1")}
    assert set(models.build("resnet50", (3, 32, 32), 5, width=2).backbone.state_dict()) == expected


def norm_names(path: str) -> set[str]:
    return {f"{path}.{name}" for name in ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")}


def test_networks_are_layers_and_head() -> None:
    net = models.build("cnn4", (1, 28, 28), 10)
    images = torch.randn(3, 1, 28, 28)
    net.eval()
    features = net.features(images)
    assert features.shape == (3, net.feature_dim) == (3, 128)
    assert torch.equal(net(images), net.head(features))
    assert net.num_classes == 10
    assert isinstance(net.head, nn.Linear)


@pytest.mark.parametrize(
    ("name", "in_shape", "options"),
    [
        ("mlp", (1, 8, 8), {}),
        ("cnn4", (1, 8, 8), {}),
        ("cnn_small", (1, 8, 8), {}),
        ("resnet18", (3, 8, 8), {"width": 4}),
        ("resnet32", (3, 8, 8), {}),
    ],
)
def test_final_relu_decides_the_sign_of_features(name: str, in_shape: tuple[int, ...], options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    images = torch.randn(16, *in_shape)
    assert models.build(name, in_shape, 5, **options).features(images).min() >= 0
    assert models.build(name, in_shape, 5, final_relu=False, **options).features(images).min() < -0.1


def test_options() -> None:
    assert models.build("cnn4", (1, 8, 8), 4, feature_dim=3).feature_dim == 3
    assert models.build("mlp", (2,), 3, hidden=[16], feature_dim=2).feature_dim == 2
    assert not any(
        "bias" in name for name, _ in models.build("cnn4", (1, 8, 8), 4, conv_bias=False).backbone[0].named_parameters()
    )
    head = nn.Linear(128, 7, bias=False)
    assert models.build("cnn4", (1, 8, 8), 7, head=head).head is head
    built = models.build("cnn4", (1, 8, 8), 7, head=lambda d, k: nn.Linear(d, k, bias=False))
    assert built.head.weight.shape == (7, 128)


def test_the_seed_decides_the_weights() -> None:
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        states.append(models.build("sce_cnn4", (1, 8, 8), 3).state_dict())
    assert all(torch.equal(states[0][key], states[1][key]) for key in states[0])
    assert not torch.equal(states[0]["head.weight"], states[2]["head.weight"])


def test_initial_weights() -> None:
    torch.manual_seed(0)
    apl = models.build("cnn8", (3, 32, 32), 10)
    weight = apl.backbone[3].weight  # 64 to 64 channels: a block is convolution, norm, (pool,) ReLU
    bound = (6 / (64 * 9)) ** 0.5
    assert bound * 0.99 < weight.abs().max() <= bound
    bound = (6 / (256 + 10)) ** 0.5
    assert bound * 0.97 < apl.head.weight.abs().max() <= bound
    keras = models.build("sce_cnn8", (3, 32, 32), 10)
    weight = keras.backbone[3].weight
    deviation = (2 / (64 * 9)) ** 0.5
    assert weight.std().item() == pytest.approx(deviation, rel=0.02)
    assert weight.abs().max() <= 2 * deviation / 0.879
    assert keras.backbone[3].bias.abs().max() == 0 == keras.head.bias.abs().max()
    assert (keras.backbone[1].eps, keras.backbone[1].momentum) == (1e-3, 0.01)
    ldam = models.build("resnet32", (3, 32, 32), 10)
    assert ldam.backbone.layer3[1].conv1.weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)
    net = models.build("dncnn", (1, 8, 8), 1, depth=4)
    rows = net.backbone.noise[2].weight.detach().flatten(1)
    torch.testing.assert_close(rows @ rows.mT, torch.eye(64), rtol=0, atol=1e-5)


def test_padded_channels_change_nothing() -> None:
    torch.manual_seed(3)
    plain = models.build("cnn8", (3, 8, 8), 4, feature_dim=8).double()
    torch.manual_seed(3)
    padded = models.build("cnn8", (3, 8, 8), 4, feature_dim=8, pad_to=8).double()
    optimisers = [
        torch.optim.SGD(net.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-2) for net in (plain, padded)
    ]
    for _ in range(3):
        images, labels = torch.randn(6, 3, 8, 8).double(), torch.randint(4, (6,))
        outputs = [net(images) for net in (plain, padded)]
        torch.testing.assert_close(outputs[0], outputs[1], rtol=1e-9, atol=1e-9)
        for out, optimiser in zip(outputs, optimisers, strict=True):
            optimiser.zero_grad()
            F.cross_entropy(out, labels).backward()
            optimiser.step()
    wide = [layer for layer in padded.backbone if isinstance(layer, nn.Conv2d)][-1]
    assert wide.weight.shape == (200, 200, 3, 3)
    assert wide.weight[196:].abs().max() == 0 == wide.weight[:, 196:].abs().max()


def test_pad_shortcut() -> None:
    shortcut = ChannelPad(1, 2)
    out = shortcut(torch.arange(18.0).view(1, 2, 3, 3))
    assert out.shape == (1, 5, 2, 2)
    assert out[0, 1].tolist() == [[0, 2], [6, 8]]
    assert out[0, [0, 3, 4]].abs().max() == 0


def test_seeded_dropout() -> None:
    torch.manual_seed(0)
    layer = SeededDropout(0.3)
    x = torch.ones(200, 100)
    first, second = layer(x), layer(x)
    assert (first == 0).double().mean() == pytest.approx(0.3, abs=0.01)
    assert first.mean() == pytest.approx(1, abs=0.02)
    # Independent from step to step and along rows and columns.
    a, b = (first == 0).double() - 0.3, (second == 0).double() - 0.3
    for correlation in ((a * b).mean(), (a[1:] * a[:-1]).mean(), (a[:, 1:] * a[:, :-1]).mean()):
        assert abs(float(correlation)) < 0.01
    assert torch.equal(layer.eval()(x), x)


def test_words_are_embedded_and_pooled() -> None:
    net = models.build("text_cnn", (12,), 2, vocabulary=50, embedding=8, filters=4).eval()
    words = torch.randint(50, (3, 12))
    assert net(words).shape == (3, 2)
    assert net.feature_dim == 12


@pytest.mark.parametrize(
    ("name", "in_shape", "classes", "options", "message"),
    [
        ("cnn9", (1, 8, 8), 10, {}, "no network is called 'cnn9'.*cnn8"),
        ("mlp", (1, 8, 8), 10, {"widths": (3,)}, "mlp has no option widths; it has hidden"),
        ("mlp", (1, 8, 8), 0, {}, "num_classes is 0"),
        ("mlp", (1, 0, 8), 10, {}, "in_shape is"),
        ("mlp", (1, 8, 8), 10, {"hidden": ()}, "hidden is"),
        ("cnn8", (3, 7, 8), 10, {}, "at least 8x8, got 7x8"),
        ("cnn4", (64,), 10, {}, r"in_shape = \(channels, height, width\), got \(64,\)"),
        ("dmi_cnn", (1, 12, 12), 2, {}, "at least 16x16"),
        ("resnet34", (3, 8, 8), 10, {"init": "magic", "width": 2}, "init is 'magic'; it can be default"),
        ("resnet32", (3, 8, 8), 10, {"flavour": "vanilla"}, "flavour is 'vanilla'; it can be ldam, imae"),
        ("resnet50", (3, 32, 32), 10, {"weights": "mine", "width": 2}, "weights is 'mine'"),
        ("text_cnn", (3,), 2, {}, "at least 5 words"),
    ],
)
def test_errors(name: str, in_shape: tuple[int, ...], classes: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        models.build(name, in_shape, classes, **options)


def test_a_denoiser_takes_no_head() -> None:
    with pytest.raises(InputError, match="takes no head"):
        models.build("dncnn", (1, 8, 8), 1, head=nn.Linear(2, 2))
    images = torch.randn(2, 1, 8, 8)
    assert models.build("dncnn", (1, 8, 8), 1, depth=3, width=4)(images).shape == images.shape
