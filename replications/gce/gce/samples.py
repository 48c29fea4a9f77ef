"""Trainings that keep every sample's gradient and every pruning decision, which the run store does not.

A small network on the digits (the stand-in of the ten-class tables, without its test set's role in anything but the final accuracy).
All networks are trained together: one leading axis, no connection between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import reduce

import numpy as np
import pandas as pd
import torch
from scipy.stats import spearmanr
from torch import Tensor

from losslab import data, noise
from losslab.analysis.stacked_mlp import clip_scale, initial, one_thread, order, pixels
from losslab.analysis.stacked_mlp import layers as _forward
from losslab.losses.cross_entropy import ce, mae
from losslab.losses.gce import gce
from losslab.papers import recipes
from losslab.runs.spec import Recipe
from losslab.seeding import generator, torch_seed

WIDTHS = (64, 128, 128, 10)
LEVELS = 5  # quantiles of difficulty


@dataclass(frozen=True)
class Member:
    """One network: its loss, its labels, and which samples it may learn from."""

    loss: str  # ce, gce, mae
    rate: float
    seed: int
    strategy: str = "all"  # all | direct | direct after warm-up | pruning | fold 0 | fold 1
    clean: bool = False  # train on the true labels


@dataclass
class Flock:
    """Networks that were trained together, and what was written down on the way."""

    members: list[Member]
    wrong: Tensor  # (M, n): the given label is not the true one
    true: Tensor  # (n,)
    gradients: pd.DataFrame = field(default_factory=pd.DataFrame)
    prunings: list[tuple[int, Tensor]] = field(default_factory=list)  # epoch, kept (M, n)
    active: Tensor = field(default_factory=lambda: torch.empty(0))  # (M, n): gets a gradient at the end
    test_acc: Tensor = field(default_factory=lambda: torch.empty(0))  # (M, epochs), per cent
    fold_loss: Tensor = field(default_factory=lambda: torch.empty(0))  # (M, n): CCE of the true label at the end

    def rows(self, **wanted: object) -> list[int]:
        """Members whose fields have these values."""
        return [i for i, m in enumerate(self.members) if all(getattr(m, key) == value for key, value in wanted.items())]


def members(seeds: int, rates: tuple[float, ...]) -> list[Member]:
    """Who is trained for the four questions."""
    strategies = ("all", "direct", "direct after warm-up", "pruning")
    return [
        *(Member("gce", rate, s, strategy) for rate in rates for strategy in strategies for s in range(seeds)),
        *(Member(loss, rates[0], s) for loss in ("ce", "mae") for s in range(seeds)),
        *(Member("ce", rates[0], s, f"fold {half}", clean=True) for half in (0, 1) for s in range(seeds)),
    ]


def train(
    who: list[Member],
    *,
    recipe: str,
    first_pruning: float = 1 / 3,
    q: float = 0.7,
    k: float = 0.5,
    probes: tuple[float, ...] = (0.02, 0.1, 0.3, 1.0),
) -> Flock:
    """Train with a shared recipe; prune, or start to truncate, after `first_pruning` of the epochs; look at gradients after the shares `probes`."""
    who = sorted(who, key=lambda m: m.loss)  # one slice per loss
    plan, digits = recipes.get(recipe), data.load("digits")
    x, true, held = _split(digits)
    given = torch.stack(
        [
            true if m.clean else noise.corrupt(true, "symmetric", m.rate, m.seed, num_classes=10, draw="multinomial")
            for m in who
        ]
    )
    flock = Flock(who, given[:, ~held] != true[~held], true[~held])
    val_x, val_y, x, y = x[held], given[:, held], x[~held], given[:, ~held]
    with one_thread():
        _run(
            flock,
            plan,
            (x, y, val_x, val_y),
            pixels(digits.test_images, digits),
            digits.test_labels,
            first_pruning,
            q,
            k,
            probes,
        )
    return flock


def _weights(who: list[Member]) -> list[Tensor]:
    return initial(WIDTHS, [torch_seed("gce", "samples", m.seed) for m in who])


def _split(digits: data.Dataset) -> tuple[Tensor, Tensor, Tensor]:
    held = torch.zeros(len(digits.train_labels), dtype=torch.bool)
    held[torch.from_numpy(generator("gce", "samples", "split").permutation(len(held))[: len(held) // 10])] = True
    return pixels(digits.train_images, digits), digits.train_labels, held


def _values(who: list[Member], logits: Tensor, y: Tensor, q: float) -> Tensor:
    """Loss per network and sample, `(M, n)`; the members come sorted by loss."""
    log_probs = logits.log_softmax(-1)
    kinds = {"ce": ce, "mae": mae, "gce": lambda a, b: gce(a, b, q=q)}
    parts, start = [], 0
    while start < len(who):
        stop = next((i for i in range(start, len(who)) if who[i].loss != who[start].loss), len(who))
        parts.append(kinds[who[start].loss](log_probs[start:stop], y[start:stop]))
        start = stop
    return torch.cat(parts)


def _label_probability(logits: Tensor, y: Tensor) -> Tensor:
    return logits.softmax(-1).gather(-1, y.unsqueeze(-1)).squeeze(-1)


def _run(
    flock: Flock,
    plan: Recipe,
    parts: tuple[Tensor, Tensor, Tensor, Tensor],
    test_x: Tensor,
    test_y: Tensor,
    first: float,
    q: float,
    k: float,
    probes: tuple[float, ...],
) -> None:
    who, (x, y, val_x, val_y) = flock.members, parts
    count, n, start, every = len(who), len(x), round(first * plan.epochs), max(1, plan.epochs // 12)
    weights = _weights(who)
    optimiser = torch.optim.SGD(weights, lr=plan.lr, momentum=plan.momentum, weight_decay=plan.weight_decay)
    allowed = torch.ones(count, n)
    for half in (0, 1):
        for m in flock.rows(strategy=f"fold {half}"):
            allowed[m, torch.arange(n) % 2 == half] = 0
    direct = torch.tensor(
        [{"direct": 0, "direct after warm-up": start}.get(m.strategy, plan.epochs + 1) for m in who]
    ).unsqueeze(1)
    pruning = torch.tensor([m.strategy == "pruning" for m in who])
    best_acc, best, accuracy, tables = torch.full((count,), -1.0), [w.detach().clone() for w in weights], [], []
    looks = {max(1, round(share * plan.epochs)) for share in probes}
    wide = lambda images: images.expand(count, -1, -1)  # noqa: E731
    for epoch in range(plan.epochs):
        if epoch >= start and (epoch - start) % every == 0:
            with torch.no_grad():
                kept = _label_probability(_forward(best, wide(x))[-1], y) >= k
            allowed = torch.where(pruning.unsqueeze(1), kept.float(), allowed)
            flock.prunings.append((epoch, kept))
        for group in optimiser.param_groups:
            group["lr"] = plan.lr * 0.5 * (1 + np.cos(np.pi * epoch / plan.epochs))
        batches = order(n, [generator("gce", "samples", "order", m.seed, epoch) for m in who])
        for batch in batches.split(plan.batch_size, dim=1):
            given = y.gather(1, batch)
            logits = _forward(weights, x[batch])[-1]
            use = allowed.gather(1, batch) * torch.where(
                direct <= epoch, _label_probability(logits.detach(), given) > k, True
            )
            loss = (_values(who, logits, given, q) * use).sum(1) / use.sum(1).clamp_min(1)
            optimiser.zero_grad()
            loss.sum().backward()
            if plan.clip_norm is not None:
                scale = clip_scale([w.grad for w in weights if w.grad is not None], plan.clip_norm)
                for w in weights:
                    assert w.grad is not None
                    w.grad.mul_(scale)
            optimiser.step()
        with torch.no_grad():
            accuracy.append((_forward(weights, wide(test_x))[-1].argmax(-1) == test_y).float().mean(1))
            now = (_forward(weights, wide(val_x))[-1].argmax(-1) == val_y).float().mean(1)
            better = now > best_acc
            best_acc = torch.where(better, now, best_acc)
            for old, new in zip(best, weights, strict=True):
                old[better] = new.detach()[better]
        if epoch + 1 in looks:
            tables.append(_look(flock, weights, wide(x), y, q).assign(epoch=epoch + 1))
    flock.gradients, flock.test_acc = pd.concat(tables, ignore_index=True), 100 * torch.stack(accuracy, 1)
    with torch.no_grad():
        logits = _forward(weights, wide(x))[-1]
        flock.active = (allowed > 0) & torch.where(direct < plan.epochs, _label_probability(logits, y) > k, True)
        flock.fold_loss = ce(logits.log_softmax(-1), flock.true.expand(count, -1))


# Every sample's gradient


def sample_norms(weights: list[Tensor], outputs: list[Tensor], by_logits: Tensor) -> dict[str, Tensor]:
    """Norms of every sample's own gradient, `(M, n)`: in the logits (L1), the last layer and all parameters (L2).

    For a linear layer the gradient of one sample is an outer product, so its norm is that of the error times that of the input with a 1.
    """
    squares, error = [], by_logits
    for i in range(len(weights) - 2, -1, -2):
        entering = outputs[i // 2]
        squares.append(error.square().sum(-1) * (entering.square().sum(-1) + 1))
        if i:
            error = (error @ weights[i].mT) * (entering > 0)
    return {
        "logits": by_logits.abs().sum(-1),
        "last layer": squares[0].sqrt(),
        "all parameters": reduce(torch.add, squares).sqrt(),
        "feature": outputs[-2].norm(dim=-1),
    }


def _look(flock: Flock, weights: list[Tensor], x: Tensor, y: Tensor, q: float) -> pd.DataFrame:
    """One row per network and group of samples: what the gradient norms do."""
    weights = [w.detach() for w in weights]
    outputs = _forward(weights, x)
    leaf = outputs[-1].clone().requires_grad_()
    (by_logits,) = torch.autograd.grad(_values(flock.members, leaf, y, q).sum(), leaf)
    norms, p = sample_norms(weights, outputs, by_logits), _label_probability(outputs[-1], y)
    rows = []
    for i, m in enumerate(flock.members):
        if m.strategy != "all":
            continue
        power = {"ce": -1.0, "gce": q - 1, "mae": 0.0}[m.loss]
        total = norms["all parameters"][i]
        for group, chosen in (
            ("all", torch.ones_like(p[i], dtype=torch.bool)),
            ("right", ~flock.wrong[i]),
            ("wrong", flock.wrong[i]),
        ):
            size = total[chosen]
            rows.append({
                "loss": m.loss, "rate": m.rate, "seed": m.seed, "labels": group,
                "weight on p": _rank(p[i][chosen] ** power, size), "logit norm": _rank(norms["logits"][i][chosen], size),
                "logit norm x feature norm": _rank((norms["logits"] * norms["feature"])[i][chosen], size),
                "last layer": _rank(norms["last layer"][i][chosen], size),
                "share": float(size.sum() / total.sum()), "variation": float(size.std() / size.mean()), "mean p": float(p[i][chosen].mean()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _rank(a: Tensor, b: Tensor) -> float:
    """Spearman's rank correlation; missing where one side does not vary."""
    if float(a.max() - a.min()) < 1e-12 or float(b.max() - b.min()) < 1e-12:
        return float("nan")
    return float(spearmanr(a.numpy(), b.numpy()).statistic)


# What pruning throws away


def pruning_table(flock: Flock, rate: float) -> pd.DataFrame:
    """One row per pruning and seed: share pruned, precision and recall of 'pruned = wrong', right labels lost, how many of those return next time."""
    rows = []
    for i in flock.rows(strategy="pruning", rate=rate):
        wrong = flock.wrong[i]
        for step, (epoch, kept) in enumerate(flock.prunings):
            gone = ~kept[i]
            lost = gone & ~wrong
            later = flock.prunings[step + 1][1][i] if step + 1 < len(flock.prunings) else None
            rows.append({
                "seed": flock.members[i].seed, "epoch": epoch, "pruned": float(gone.float().mean()),
                "precision": float((gone & wrong).sum() / gone.sum().clamp_min(1)), "recall": float((gone & wrong).sum() / wrong.sum().clamp_min(1)),
                "clean pruned": float(lost.sum() / (~wrong).sum()),
                "back next time": float(later[lost].float().mean()) if later is not None and lost.any() else float("nan"),
            })  # fmt: skip
    return pd.DataFrame(rows)


def difficulty(flock: Flock, seed: int) -> Tensor:
    """Quantile 0 (easy) to 4 (hard) of every sample: its CCE under a network that learnt the true labels of the other half only."""
    losses = torch.empty(len(flock.true))
    for half in (0, 1):
        (i,) = flock.rows(strategy=f"fold {half}", seed=seed)
        out = torch.arange(len(losses)) % 2 == half
        losses[out] = flock.fold_loss[i][out]
    return losses.argsort().argsort() * LEVELS // len(losses)


def lost_by(flock: Flock, rate: float, what: str) -> pd.DataFrame:
    """Share of the correctly labelled samples that the last pruning throws away, by class or by difficulty; one row per seed."""
    rows = {}
    for i in flock.rows(strategy="pruning", rate=rate):
        seed = flock.members[i].seed
        groups = flock.true if what == "class" else difficulty(flock, seed)
        lost, right = ~flock.prunings[-1][1][i] & ~flock.wrong[i], ~flock.wrong[i]
        rows[seed] = {
            int(g): float(lost[groups == g].sum() / right[groups == g].sum().clamp_min(1)) for g in groups.unique()
        }
    return pd.DataFrame(rows).T.sort_index(axis=1)


# Is the alternating search needed?


def strategies_table(flock: Flock) -> pd.DataFrame:
    """One row per strategy, rate and seed: accuracy, share of samples with a gradient, and how many of these are rightly labelled."""
    rows = []
    for i, m in enumerate(flock.members):
        if m.loss != "gce":
            continue
        (partner,) = flock.rows(strategy="pruning", rate=m.rate, seed=m.seed)
        mine, right, theirs = flock.active[i], ~flock.wrong[i], flock.active[partner]
        rows.append({
            "rate": m.rate, "strategy": m.strategy, "seed": m.seed,
            "last": float(flock.test_acc[i, -1]), "best": float(flock.test_acc[i].max()),
            "active": 100 * float(mine.float().mean()), "right among active": 100 * float((mine & right).sum() / mine.sum().clamp_min(1)),
            "overlap with pruning": float((mine & theirs).sum() / (mine | theirs).sum().clamp_min(1)),
        })  # fmt: skip
    return pd.DataFrame(rows)
