"""Trainings in which every sample's gradient is looked at, which the run store does not keep.

A small network on the digits with 40 % wrong labels, one for each of four losses and each seed. All networks are trained together: one
leading axis, no connection between them. Every loss here is cross-entropy times a factor of the sample's probability, so that the
gradient at the logits is `factor * (p - e_y)` and everything else follows from outer products.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from losslab import data, noise
from losslab.analysis.gradients import rank_correlation, reversals, variation
from losslab.losses.imae import imae_grad
from losslab.papers import recipes
from losslab.seeding import generator, torch_seed

WIDTHS = (64, 128, 128, 10)
LOSSES = {"CCE": "ce", "MAE": "mae", "IMAE": "imae", "IMAE, plain mean": "imae"}  # -> key of its look
PROBES = (0.02, 0.05, 0.1, 0.25, 0.5, 0.75, 1.0)  # shares of the training
NORMS = ("logits, L1", "logits, L2", "features, L1", "last layer, L1", "last layer, L2")


def short(loss: str) -> str:
    """Name of a loss in facts."""
    return {"CCE": "cce", "MAE": "mae", "IMAE": "imae", "IMAE, plain mean": "imae_plain"}[loss]


@dataclass
class Flock:
    """Networks that were trained together, and what was seen on the way."""

    members: list[tuple[str, int]]  # loss, seed
    x: Tensor  # (n, 64)
    y: Tensor  # (M, n) given labels
    wrong: Tensor  # (M, n)
    probe_x: Tensor
    probe_y: Tensor
    looks: list[pd.DataFrame] = field(default_factory=list)
    effects: list[pd.DataFrame] = field(default_factory=list)
    steps: list[pd.DataFrame] = field(default_factory=list)  # samples of one network: norm and effect

    @property
    def table(self) -> pd.DataFrame:
        """One row per network, epoch and group of samples."""
        return pd.concat(self.looks, ignore_index=True)

    @property
    def effect(self) -> pd.DataFrame:
        """One row per network and epoch: what single steps do."""
        return pd.concat(self.effects, ignore_index=True)


def train(seeds: int, recipe: str, rate: float = 0.4) -> Flock:
    """Train with a shared recipe; look at the gradients after the shares `PROBES` of the training."""
    digits = data.load("digits")
    stats = data.statistics(digits, "mean_std")
    x, test = (data.standardise(part, stats).flatten(1) for part in (digits.train_images, digits.test_images))
    members = [(loss, seed) for loss in LOSSES for seed in range(seeds)]
    true = digits.train_labels
    y = torch.stack([noise.corrupt(true, "symmetric", rate, s, num_classes=10, draw="multinomial") for _, s in members])
    flock = Flock(members, x, y, y != true, test[:128], digits.test_labels[:128])
    with _one_thread():
        _run(flock, recipes.get(recipe))
    return flock


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _weights(members: list[tuple[str, int]]) -> list[Tensor]:
    """Weights `(M, in, out)` and biases `(M, 1, out)` of all layers, drawn as torch draws them for one network, from the seed alone."""
    nets = []
    for _, seed in members:
        torch.manual_seed(torch_seed("imae", "samples", seed))
        nets.append([torch.nn.Linear(a, b) for a, b in zip(WIDTHS, WIDTHS[1:], strict=False)])
    stacked: list[Tensor] = []
    for layers in zip(*nets, strict=True):
        stacked.append(torch.stack([layer.weight.detach().T for layer in layers]))
        stacked.append(torch.stack([layer.bias.detach() for layer in layers]).unsqueeze(1))
    return [w.requires_grad_() for w in stacked]


def _forward(weights: list[Tensor], x: Tensor) -> list[Tensor]:
    """Input, hidden layers and logits, `(M, n, width)` each."""
    outputs = [x]
    for i in range(0, len(weights), 2):
        h = torch.baddbmm(weights[i + 1], outputs[-1], weights[i])
        outputs.append(h.relu() if i + 2 < len(weights) else h)
    return outputs


def factors(members: list[tuple[str, int]], logits: Tensor, y: Tensor) -> Tensor:
    """What each loss multiplies cross-entropy's gradient with, `(M, n)`; for the released IMAE the samples of a row are the batch."""
    log_probs = logits.detach().log_softmax(-1)
    p = log_probs.gather(-1, y.unsqueeze(-1)).squeeze(-1).exp()
    parts, start = [], 0
    for loss in dict.fromkeys(name for name, _ in members):  # members come sorted by loss
        stop = start + sum(name == loss for name, _ in members)
        mine, q = log_probs[start:stop], p[start:stop]
        if loss in ("CCE", "MAE"):
            parts.append(torch.ones_like(q) if loss == "CCE" else 2 * q)
        else:
            parts.append(-imae_grad(mine, y[start:stop], T=8.0, variant="paper" if "plain" in loss else "official")[0])
        start = stop
    return torch.cat(parts)


def _cross_entropy(logits: Tensor, y: Tensor) -> Tensor:
    return -logits.log_softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)


def _run(flock: Flock, plan: recipes.Recipe) -> None:
    members, n = flock.members, len(flock.x)
    weights = _weights(members)
    speed = [torch.zeros_like(w) for w in weights]
    looks = {max(1, round(share * plan.epochs)) for share in PROBES}
    for epoch in range(plan.epochs):
        rate = plan.lr * 0.5 * (1 + np.cos(np.pi * epoch / plan.epochs))
        order = torch.from_numpy(
            np.stack([generator("imae", "samples", "order", s, epoch).permutation(n) for _, s in members])
        )
        for batch in order.split(plan.batch_size, dim=1):
            given = flock.y.gather(1, batch)
            logits = _forward(weights, flock.x[batch])[-1]
            total = (factors(members, logits, given) * _cross_entropy(logits, given)).mean(1).sum()
            slopes = _clipped(list(torch.autograd.grad(total, weights)), plan.clip_norm)
            with torch.no_grad():  # SGD written out: importing torch's optimisers takes seconds
                for w, v, slope in zip(weights, speed, slopes, strict=True):
                    v.mul_(plan.momentum).add_(slope.add_(w, alpha=plan.weight_decay))
                    w.sub_(v, alpha=rate)
        if epoch + 1 in looks:
            flock.looks.append(_look(flock, weights).assign(epoch=epoch + 1))
        if epoch + 1 in (max(1, plan.epochs // 10), plan.epochs):
            table, steps = _effects(flock, weights)
            flock.effects.append(table.assign(epoch=epoch + 1))
            flock.steps.append(steps.assign(epoch=epoch + 1))


def _clipped(slopes: list[Tensor], limit: float | None) -> list[Tensor]:
    """Gradients of every network, `(M, ...)` each, scaled down where a network's norm is above the limit."""
    if limit is None:
        return slopes
    norm = torch.stack([part.flatten(1).square().sum(1) for part in slopes]).sum(0).sqrt()
    return [part * (limit / (norm + 1e-6)).clamp(max=1).view(-1, 1, 1) for part in slopes]


# Every sample's gradient


def sample_gradients(weights: list[Tensor], outputs: list[Tensor], at_logits: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Error and input of every linear layer, last layer first, `(M, n, out)` and `(M, n, in)`: a sample's gradient is their outer product."""
    layers, error = [], at_logits
    for i in range(len(weights) - 2, -1, -2):
        entering = outputs[i // 2]
        layers.append((error, entering))
        if i:
            error = (error @ weights[i].mT) * (entering > 0)
    return layers


def sample_norms(layers: list[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
    """Norms of every sample's own gradient, `(M, n)`. Biases count: the input carries a 1."""
    error, feature = layers[0]
    squares = [e.square().sum(-1) * (x.square().sum(-1) + 1) for e, x in layers]
    return {
        "logits, L1": error.abs().sum(-1), "logits, L2": error.norm(dim=-1), "features, L1": feature.abs().sum(-1),
        "last layer, L1": error.abs().sum(-1) * (feature.abs().sum(-1) + 1), "last layer, L2": squares[0].sqrt(),
        "network, L2": torch.stack(squares).sum(0).sqrt(),
    }  # fmt: skip


def _state(flock: Flock, weights: list[Tensor]) -> tuple[list[Tensor], list[tuple[Tensor, Tensor]], Tensor, Tensor]:
    """Weights without a graph, every sample's gradient in every layer, the probability of its given label, the range of its logits."""
    frozen = [w.detach() for w in weights]
    outputs = _forward(frozen, flock.x.expand(len(flock.members), -1, -1))
    probabilities = outputs[-1].softmax(-1)
    at_logits = factors(flock.members, outputs[-1], flock.y).unsqueeze(-1) * (probabilities - one_hot(flock.y, 10))
    p = probabilities.gather(-1, flock.y.unsqueeze(-1)).squeeze(-1)
    span = outputs[-1].amax(-1) - outputs[-1].amin(-1)
    return frozen, sample_gradients(frozen, outputs, at_logits), p, span


def _look(flock: Flock, weights: list[Tensor]) -> pd.DataFrame:
    """What the gradient norms do: one row per network and group of samples."""
    _, layers, p, span = _state(flock, weights)
    norms = sample_norms(layers)
    rows = []
    for i, (loss, seed) in enumerate(flock.members):
        wrong, whole = flock.wrong[i], norms["network, L2"][i]
        turn = _cosine(layers, i, wrong)
        size, some = norms["logits, L1"][i], torch.arange(len(wrong)) % 3 == 0  # pairs of a third of the samples
        for group, chosen in (("all", torch.ones_like(wrong)), ("right", ~wrong), ("wrong", wrong)):
            row = {name: rank_correlation(norms[name][i][chosen], whole[chosen]) for name in NORMS}
            rows.append({
                "loss": loss, "seed": seed, "labels": group, **row, "reversals": reversals(size[chosen & some], whole[chosen & some]),
                "share, logits": float(size[chosen].sum() / size.sum()), "share, network": float(whole[chosen].sum() / whole.sum()),
                "variation": variation(size[chosen].numpy()), "mean p": float(p[i][chosen].mean()), "cosine": turn,
                "logit range": float(span[i][chosen].mean()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _cosine(layers: list[tuple[Tensor, Tensor]], i: int, wrong: Tensor) -> float:
    """Cosine between the mean gradients of the wrongly and of the correctly labelled samples."""
    sides = []
    for rows in (wrong, ~wrong):
        parts = []
        for error, entering in layers:
            e, x = error[i][rows], entering[i][rows]
            parts += [(x.T @ e / len(e)).flatten(), e.mean(0)]
        sides.append(torch.cat(parts))
    return float(torch.nn.functional.cosine_similarity(sides[0], sides[1], dim=0))


# Influence by effect


def _effects(
    flock: Flock, weights: list[Tensor], count: int = 96, rate: float = 1e-3
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """One step on one sample, `count` times from the same network: how far the outputs on clean probe images move, and what their loss does."""
    frozen, layers, *_ = _state(flock, weights)
    norms = sample_norms(layers)
    chosen = torch.from_numpy(generator("imae", "steps").permutation(len(flock.x))[:count])
    rows, samples = [], []
    for i, (loss, seed) in enumerate(flock.members):
        moved = [w[i : i + 1].expand(count, -1, -1).clone() for w in frozen]
        for place, (error, entering) in enumerate(reversed(layers)):
            e, x = error[i][chosen], entering[i][chosen]
            moved[2 * place] -= rate * x.unsqueeze(2) * e.unsqueeze(1)
            moved[2 * place + 1] -= rate * e.unsqueeze(1)
        before = _forward([w[i : i + 1] for w in frozen], flock.probe_x.unsqueeze(0))[-1]
        after = _forward(moved, flock.probe_x.expand(count, -1, -1))[-1]
        distance = (after.softmax(-1) - before.softmax(-1)).abs().sum(-1).mean(1)
        target = flock.probe_y.expand(count, -1)
        change = _cross_entropy(after, target).mean(1) - _cross_entropy(before, target[:1]).mean(1)
        w, whole, wrong = norms["logits, L1"][i][chosen], norms["network, L2"][i][chosen], flock.wrong[i][chosen]
        rows.append({
            "loss": loss, "seed": seed, "outputs moved": rank_correlation(w, distance), "loss changed": rank_correlation(w, change.abs()),
            "outputs moved, by network norm": rank_correlation(whole, distance),
            "change, right": float(change[~wrong].mean()), "change, wrong": float(change[wrong].mean()),
        })  # fmt: skip
        if seed == 0:
            found = {"loss": loss, "weight": w.numpy(), "moved": distance.numpy(), "wrong": wrong.numpy()}
            samples.append(pd.DataFrame(found))
    return pd.DataFrame(rows), pd.concat(samples, ignore_index=True)
