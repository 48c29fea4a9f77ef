"""Networks trained together by hand: each is what torch would make of it alone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from losslab import data
from losslab.analysis import stacked_mlp
from losslab.errors import InputError
from losslab.seeding import generator

WIDTHS = (6, 5, 4, 3)


def alone(seed: int) -> nn.Sequential:
    torch.manual_seed(seed)
    first, second, third = nn.Linear(6, 5), nn.Linear(5, 4), nn.Linear(4, 3)
    return nn.Sequential(first, nn.ReLU(), second, nn.ReLU(), third)


def test_every_network_is_torchs_own() -> None:
    weights = stacked_mlp.initial(WIDTHS, [3, 8])
    assert [tuple(w.shape) for w in weights] == [(2, 6, 5), (2, 1, 5), (2, 5, 4), (2, 1, 4), (2, 4, 3), (2, 1, 3)]
    x = torch.randn(2, 7, 6)
    outputs = stacked_mlp.layers(weights, x)
    assert len(outputs) == 4 and outputs[0] is x
    for m, seed in enumerate((3, 8)):
        net = alone(seed)
        torch.testing.assert_close(outputs[1][m], net[:2](x[m]))
        torch.testing.assert_close(outputs[2][m], net[:4](x[m]))
        torch.testing.assert_close(stacked_mlp.logits(weights, x)[m], net(x[m]))


def test_a_step_of_one_network_does_not_depend_on_the_others() -> None:
    x, y = torch.randn(2, 7, 6), torch.randint(3, (2, 7))

    def gradients(rows: slice, seeds: list[int]) -> list[torch.Tensor]:
        weights = stacked_mlp.initial(WIDTHS, seeds)
        values = nn.functional.cross_entropy(stacked_mlp.logits(weights, x[rows]).mT, y[rows], reduction="none")
        found = torch.autograd.grad(values.mean(1).sum(), weights)
        scale = stacked_mlp.clip_scale(found, 0.1)
        return [g * scale for g in found]

    both, second = gradients(slice(0, 2), [3, 8]), gradients(slice(1, 2), [8])
    for one, other in zip(both, second, strict=True):
        torch.testing.assert_close(one[1], other[0])


def test_clip_scale_is_torchs_clipping_per_network() -> None:
    gradients = [torch.randn(3, 4, 5), torch.randn(3, 1, 5)]
    gradients[0][1] *= 1e-3
    gradients[1][1] *= 1e-3
    scale = stacked_mlp.clip_scale(gradients, 0.5)
    assert scale.shape == (3, 1, 1) and float(scale[1]) == 1.0
    for m in range(3):
        leaves = [nn.Parameter(torch.zeros_like(g[m])) for g in gradients]
        for leaf, g in zip(leaves, gradients, strict=True):
            leaf.grad = g[m].clone()
        nn.utils.clip_grad_norm_(leaves, 0.5)
        for leaf, g in zip(leaves, gradients, strict=True):
            torch.testing.assert_close(leaf.grad, g[m] * scale[m])
    assert bool((stacked_mlp.clip_scale(gradients, None) == 1).all())


def test_order_pixels_and_threads() -> None:
    found = stacked_mlp.order(9, [generator("test", "order", seed) for seed in (1, 2)])
    assert found.shape == (2, 9) and found.dtype == torch.int64
    assert found.sort(1).values.equal(torch.arange(9).expand(2, 9)) and not found[0].equal(found[1])
    assert found[1].tolist() == generator("test", "order", 2).permutation(9).tolist()
    digits = data.load("digits")
    rows = stacked_mlp.pixels(digits.train_images, digits)
    assert rows.shape == (len(digits.train_labels), 64) and abs(float(rows.mean())) < 0.05
    before = torch.get_num_threads()
    with stacked_mlp.one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_wrong_input() -> None:
    digits = data.load("digits")
    with pytest.raises(InputError, match="expected"):
        stacked_mlp.pixels(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), digits)
    with pytest.raises(InputError, match="at least two widths"):
        stacked_mlp.initial((4,), [1])
    with pytest.raises(InputError, match="one seed"):
        stacked_mlp.initial((4, 2), [])
