"""A training that writes down, epoch by epoch, how far the outputs are from one-hot vectors. Five small networks on the digits, side by side."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import torch
from torch import Tensor, nn

from losslab import data, models, noise
from losslab.losses.regularisers import sharpen, sparse
from losslab.papers import recipes
from losslab.runs.spec import Recipe
from losslab.seeding import generator, torch_seed
from sparse_regularization.theory import CLAMP, one_hot_distance

# Label -> tau, lambda_0, factor by which lambda grows over the training, in how many stages, logits of length 1 or not, outputs clamped or
# not. CE, p = 0.1.
WAYS: dict[str, tuple[float, float, float, int, bool, bool]] = {
    "CE": (1.0, 0.0, 1.0, 1, False, True),
    "CE, normalised": (0.5, 0.0, 1.0, 1, True, True),
    "CE+SR as on MNIST": (0.1, 4.0, 512.0, 10, False, True),
    "... not clamped": (0.1, 4.0, 512.0, 10, False, False),
    "CE+SR as on CIFAR-10": (0.5, 1.2, 33.7, 120, True, True),
}


class Side(nn.Module):
    """Copies of one multi-layer perceptron that share nothing but their start: `(n, d)` -> `(M, n, K)`."""

    def __init__(self, network: nn.Module, copies: int) -> None:
        super().__init__()
        layers = [m for m in network.modules() if isinstance(m, nn.Linear)]
        self.weights = nn.ParameterList([m.weight.detach().mT.repeat(copies, 1, 1) for m in layers])
        self.biases = nn.ParameterList([m.bias.detach().repeat(copies, 1, 1) for m in layers])

    def forward(self, x: Tensor) -> Tensor:
        """Logits of every copy."""
        out = x.flatten(1).expand(len(self.weights[0]), -1, -1)
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            out = torch.baddbmm(bias, out, weight)
            out = torch.relu(out) if number < len(self.weights) - 1 else out
        return out


def log_outputs(logits: Tensor, tau: Tensor, unit: Tensor) -> Tensor:
    """log u of `(M, n, K)` logits: normalised where `unit` says so, sharpened with tau."""
    scaled = torch.where(unit, sharpen(logits, tau=1.0, scaling="l2"), logits)
    return torch.log_softmax(scaled / tau, -1)


def distances(rate: float = 0.4, seed: int = 0, recipe: str = "digits-mlp") -> pd.DataFrame:
    """By way and epoch: mean `min_k ||u - e_k||_2` of the training samples' outputs as the loss sees them, mean penalty, test accuracy.

    The digits with symmetric noise, the network and the recipe of the stand-in. Gradients are clipped network by network.
    """
    plan, digits = recipes.get(recipe), data.load("digits")
    stats = data.statistics(digits, "mean_std")
    x, x_test = (data.standardise(images, stats) for images in (digits.train_images, digits.test_images))
    y = noise.corrupt(digits.train_labels, "symmetric", rate, seed, num_classes=10, draw="multinomial")
    tau, lam, growth, stages, unit, clamped = (
        torch.tensor(column)[:, None, None] for column in zip(*WAYS.values(), strict=True)
    )
    floor = torch.where(clamped, math.log(CLAMP), -torch.inf)
    torch.manual_seed(torch_seed("sparse_regularization/distances", seed))
    side = Side(models.build("mlp", digits.in_shape, 10), len(WAYS))
    speeds = [torch.zeros_like(p) for p in side.parameters()]
    rows: list[dict[str, Any]] = []
    for epoch in range(plan.epochs):
        share = torch.floor(stages * epoch / plan.epochs) / (stages - 1).clamp(min=1)
        weight = (lam * growth**share).squeeze(-1)
        order = torch.from_numpy(generator("sparse_regularization/order", seed, epoch).permutation(len(y)))
        for index in order.split(plan.batch_size):
            log_u = log_outputs(side(x[index]), tau, unit)
            own = -log_u.gather(-1, y[index].expand(len(WAYS), -1)[..., None]).squeeze(-1)
            loss = own + weight * sparse(torch.maximum(log_u, floor), p=0.1)
            side.zero_grad()
            loss.mean(1).sum().backward()
            _step(side, speeds, plan, 0.5 * plan.lr * (1 + math.cos(math.pi * epoch / plan.epochs)))
        rows += _measured(epoch + 1, side, x, x_test, digits.test_labels, tau, unit)
    return pd.DataFrame(rows)


@torch.no_grad()
def _step(side: Side, speeds: list[Tensor], plan: Recipe, rate: float) -> None:
    """One step of SGD with momentum and weight decay; every network's gradient is cut to the recipe's norm."""
    grads = [p.grad for p in side.parameters() if p.grad is not None]
    norm = torch.stack([g.flatten(1).square().sum(1) for g in grads]).sum(0).sqrt()
    factor = ((plan.clip_norm or math.inf) / (norm + 1e-6)).clamp(max=1.0)[:, None, None]
    for weight, grad, speed in zip(side.parameters(), grads, speeds, strict=True):
        speed.mul_(plan.momentum).add_(grad * factor + plan.weight_decay * weight)
        weight.sub_(rate * speed)


@torch.no_grad()
def _measured(
    epoch: int, side: Side, x: Tensor, x_test: Tensor, y_test: Tensor, tau: Tensor, unit: Tensor
) -> list[dict[str, Any]]:
    log_u = log_outputs(side(x), tau, unit)
    distance = one_hot_distance(log_u.exp()).mean(1)
    penalty = sparse(log_u, p=0.1).mean(1)
    correct = 100 * (side(x_test).argmax(-1) == y_test).double().mean(1)
    values = zip(WAYS, distance.tolist(), penalty.tolist(), correct.tolist(), strict=True)
    return [{"way": w, "epoch": epoch, "distance": d, "penalty": s, "test accuracy": a} for w, d, s, a in values]
