"""The truth that the engine is held to: one network, trained by a plain loop with torch's own parts.

It shares with the engine the library's models, losses, noise and data, and the names of the random streams; nothing of `losslab.training`.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from losslab import data, heads, losses, models, noise
from losslab.data import augment
from losslab.losses import regularisers
from losslab.losses.transition import estimate_transition
from losslab.runs import Run
from losslab.seeding import generator, torch_seed

CURVES = ("test_acc", "test_loss", "test_acc_per_class", "val_acc", "val_loss", "val_clean_acc", "train_loss")
FITS = ("fit_clean", "fit_noisy", "true_noisy", "prob_clean", "prob_noisy")


@dataclass
class Samples:
    """Standardised images and labels of one run: training part, held-out part, test set."""

    images: Tensor
    given: Tensor
    true: Tensor
    val_images: Tensor
    val_given: Tensor
    val_true: Tensor
    test_images: Tensor
    test_labels: Tensor
    num_classes: int


@dataclass
class Alone:
    """What a plain training leaves."""

    weights: dict[str, Tensor]
    curves: dict[str, list[Any]] = field(default_factory=dict)
    final: dict[str, float] = field(default_factory=dict)
    log_probs: Tensor = field(default_factory=lambda: torch.empty(0))  # on the training samples, after the last epoch
    pruned: list[float] = field(default_factory=list)  # share of the samples without weight after each refresh


def samples_of(run: Run, dtype: torch.dtype) -> Samples:
    """Split, noise and normalisation of a run."""
    dataset = data.load(run.data.name, **run.data.options)  # type: ignore[arg-type]
    labels = dataset.train_labels.numpy()
    seed = run.seed if run.noise.seed is None else run.noise.seed
    given = noise.corrupt(
        labels,
        run.noise.kind,
        run.noise.rate,
        seed,
        num_classes=dataset.num_classes,
        flip_map=run.noise.flip_map,
        draw=run.noise.draw,
    )
    held = np.zeros(len(labels), dtype=bool)
    if run.data.validation:
        draw = generator("split", run.data.name, run.data.split_seed)
        for k in range(dataset.num_classes):
            members = draw.permutation(np.flatnonzero(labels == k))
            held[members[: round(run.data.validation * len(members))]] = True
    stats = data.statistics(dataset, run.data.statistics)

    def standard(images: Tensor) -> Tensor:
        return (images.to(dtype) / 255 - stats.mean.to(dtype)) / stats.std.to(dtype)

    keep, out = torch.from_numpy(~held), torch.from_numpy(held)
    noisy, clean = torch.from_numpy(given).long(), dataset.train_labels
    images = standard(dataset.train_images)
    return Samples(
        images[keep],
        noisy[keep],
        clean[keep],
        images[out],
        noisy[out],
        clean[out],
        standard(dataset.test_images),
        dataset.test_labels,
        dataset.num_classes,
    )


def network_of(run: Run, in_shape: tuple[int, ...], num_classes: int, dtype: torch.dtype) -> nn.Module:
    """A fresh network from the run's own stream."""

    def head(feature_dim: int, classes: int) -> nn.Module:
        return heads.build(run.head.name, feature_dim, classes, **run.head.params)

    made = None if run.head == type(run.head)(name="linear") else head
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(torch_seed("init", run.model.name, run.head.name, run.seed))
        return models.build(run.model.name, in_shape, num_classes, head=made, **run.model.params).to(dtype)


def rate_at(run: Run, epoch: int, iteration: int) -> float:
    """Learning rate of a step, from the formulas of the papers' protocols."""
    recipe, schedule = run.recipe, run.recipe.schedule
    lr = recipe.lr
    if epoch < schedule.warmup:
        lr = lr / schedule.warmup * (1 + epoch)
    elif schedule.kind == "cosine":
        share = epoch / recipe.epochs
        lr = schedule.floor + (lr - schedule.floor) * math.cos(math.pi * share / 2) ** 2
    elif schedule.kind == "exponential":
        for _ in range(epoch):
            lr *= schedule.factor
    elif schedule.kind in ("steps", "keras"):
        for milestone in schedule.milestones:
            lr *= schedule.factor if milestone <= epoch else 1.0
    return lr / (1 + schedule.decay * iteration) if schedule.kind == "keras" else lr


def loss_of(run: Run, samples: Samples, transition: Tensor | None, dtype: torch.dtype) -> losses.Loss:
    """The run's loss module."""
    spec = losses.spec(run.loss.name)
    extra: dict[str, Any] = {}
    if spec.matrix:
        extra["transition"] = transition
    if "class_counts" in (*spec.tensors, *spec.optional):
        extra["class_counts"] = torch.bincount(samples.given, minlength=samples.num_classes).to(dtype)
    if spec.state is not None and spec.state.update is not None:
        extra["num_samples"] = len(samples.given)
    return losses.build(run.loss.name, samples.num_classes, **run.loss.params, **extra).to(dtype)


def penalty_of(
    run: Run, network: nn.Module
) -> tuple[Callable[[Tensor], Tensor], Callable[[int, Tensor, Tensor], Tensor]]:
    """What the regulariser does to the logits, and its term as a function of (epoch, changed logits, labels)."""
    if run.regulariser is None:
        return lambda z: z, lambda epoch, z, y: z.new_zeros(())
    spec = regularisers.spec(run.regulariser.name)
    given = spec.resolve(run.regulariser.params)
    if spec.name == "sparse":
        scaled = (lambda z: z / z.norm(dim=-1, keepdim=True)) if given["scaling"] == "l2" else (lambda z: z)

        def term(epoch: int, z: Tensor, y: Tensor) -> Tensor:
            weight = given["lam"] * given["rho"] ** (epoch // given["every"])
            return weight * z.softmax(-1).pow(given["p"]).sum(-1).mean()

        return lambda z: scaled(z) / given["tau"], term
    if spec.name == "sample_margin":
        seen: list[Tensor] = []
        if run.head.name == "linear":  # its outputs are no cosines
            network.head.register_forward_pre_hook(lambda module, inputs: seen.__setitem__(slice(None), inputs))  # type: ignore[union-attr]

        def margin(epoch: int, z: Tensor, y: Tensor) -> Tensor:
            if seen:
                z = F.normalize(seen[0], dim=-1) @ F.normalize(network.head.weight, dim=-1).T  # type: ignore[union-attr, arg-type]
            own = z[torch.arange(len(y)), y]
            others = torch.stack(
                [torch.cat([row[:k], row[k + 1 :]]).max() for row, k in zip(z, y.tolist(), strict=True)]
            )
            return given["lam"] * (others - own).mean()

        return lambda z: z, margin
    assert spec.name == "zero_centroid"

    def centroid(epoch: int, z: Tensor, y: Tensor) -> Tensor:
        return given["lam"] * F.normalize(network.head.weight, dim=-1).mean(0).pow(2).sum()  # type: ignore[union-attr, arg-type]

    return lambda z: z, centroid


def train_alone(run: Run) -> Alone:
    """Trains one network as a paper's code would, and records what the engine records."""
    recipe = run.recipe
    dtype = torch.float64 if recipe.precision == "float64" else torch.float32
    samples = samples_of(run, dtype)
    n = len(samples.given)
    network = network_of(run, samples.images.shape[1:], samples.num_classes, dtype)
    transition = _from_parent(run, samples, network)
    criterion = loss_of(run, samples, transition, dtype)
    change, term = penalty_of(run, network)
    trained = [p for p in network.parameters() if p.requires_grad]
    if recipe.optimizer == "adam":
        optimiser: torch.optim.Optimizer = torch.optim.Adam(trained, lr=recipe.lr, weight_decay=recipe.weight_decay)
    else:
        optimiser = torch.optim.SGD(
            trained, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.nesterov, weight_decay=recipe.weight_decay
        )
    result, iteration = Alone({}), 0
    best, best_weights = -1.0, {k: v.clone() for k, v in network.state_dict().items()}
    for epoch in range(recipe.epochs):
        since = -1 if recipe.refresh_start is None else epoch - recipe.refresh_start
        if since >= 0 and since % recipe.refresh_every == 0:
            _refresh(run, network, best_weights, criterion, samples, result)
        drawn = _drawn(run, criterion, samples, epoch)
        order = order_of(run, samples.given, epoch)
        moved = _moved(run, samples, order, epoch)
        seen: dict[str, list[Tensor]] = {"loss": [], "class": [], "prob": []}
        network.train()
        criterion.train()
        for place in torch.arange(n).split(recipe.batch_size):
            index = order[place]
            y = samples.given[index]
            for group in optimiser.param_groups:
                group["lr"] = rate_at(run, epoch, iteration)
            logits = network(moved[place])
            changed = change(logits)
            extra = {criterion.spec.draw_name: drawn[index]} if drawn is not None else {}
            loss = criterion(changed, y, index=index, **extra) + term(epoch, changed, y)
            optimiser.zero_grad()
            loss.backward()
            if recipe.clip_norm is not None:
                nn.utils.clip_grad_norm_(trained, recipe.clip_norm)
            optimiser.step()
            iteration += 1
            seen["loss"].append(loss.detach() * len(index))
            seen["class"].append(logits.detach().argmax(-1))
            seen["prob"].append(logits.detach().softmax(-1)[torch.arange(len(y)), y])
        scores = _fits(torch.cat(seen["class"]), torch.cat(seen["prob"]), samples.given[order], samples.true[order])
        scores |= {"train_loss": float(torch.stack(seen["loss"]).sum() / n)}
        scores |= _evaluate(network, criterion, change, samples)
        for name, value in scores.items():
            result.curves.setdefault(name, []).append(value)
        if "val_acc" in scores and scores["val_acc"] > best:
            best, best_weights = scores["val_acc"], {k: v.clone() for k, v in network.state_dict().items()}
    network.eval()
    with torch.no_grad():
        result.log_probs = network(samples.images).log_softmax(-1)
    own = result.log_probs[torch.arange(n), samples.given].exp()
    result.final = _fits(result.log_probs.argmax(-1), own, samples.given, samples.true)
    result.weights = {k: v for k, v in network.state_dict().items() if not k.endswith("num_batches_tracked")}
    return result


def order_of(run: Run, given: Tensor, epoch: int) -> Tensor:
    """Which sample comes at each place of an epoch, one by one."""
    sampler, n = run.recipe.sampler, len(given)
    draw = generator("order", sampler, run.data.name, run.seed, epoch)
    if sampler == "shuffle":
        return torch.from_numpy(draw.permutation(n))
    labels = given.numpy()
    classes, block = sorted(set(labels.tolist())), 8 if sampler == "class_balanced" else 1
    order: list[int] = []
    while len(order) < n:
        for k in draw.permutation(len(classes)):
            of_class = [i for i in range(n) if labels[i] == classes[k]]
            order += draw.choice(of_class, block, replace=len(of_class) < block).tolist()
    return torch.tensor(order[:n])


def _moved(run: Run, samples: Samples, order: Tensor, epoch: int) -> Tensor:
    """The images of an epoch in their order, each augmented alone."""
    images = samples.images[order]
    if run.data.augment == "none":
        return images
    policy = augment.policy(run.data.augment)
    stream = torch.Generator().manual_seed(torch_seed("augment", run.data.name, run.seed, epoch))
    draws = policy.draw(len(order), stream)
    stats = data.statistics(data.load(run.data.name, **run.data.options), run.data.statistics)
    black = (-stats.mean / stats.std).reshape(-1).to(images.dtype)
    alone = [policy.apply(images[None, i : i + 1], {k: d[None, i : i + 1] for k, d in draws.items()}, black)
             for i in range(len(order))]  # fmt: skip
    return torch.cat(alone, 1)[0]


def _from_parent(run: Run, samples: Samples, network: nn.Module) -> Tensor | None:
    """Takes over what the parent gives; returns the transition matrix that the loss needs."""
    if run.parent is not None:
        parent = train_alone(run.parent)
        if run.parent_gives == "transition":
            return estimate_transition(parent.log_probs.exp())
        own = network.state_dict()
        for name, value in parent.weights.items():
            if run.parent_gives == "weights" or name.startswith("backbone."):
                own[name].copy_(value)
        if run.parent_gives == "backbone":
            network.backbone.requires_grad_(False)  # type: ignore[union-attr]
    if not losses.spec(run.loss.name).matrix:
        return None
    if run.noise.kind == "none":
        return torch.eye(samples.num_classes)
    kind, rate = run.noise.kind, run.noise.rate
    return torch.from_numpy(noise.transition_matrix(kind, samples.num_classes, rate, run.noise.flip_map))


def _drawn(run: Run, criterion: losses.Loss, samples: Samples, epoch: int) -> Tensor | None:
    """Labels that the loss draws for the samples of an epoch."""
    if criterion.spec.draw is None:
        return None
    stream = torch.Generator().manual_seed(torch_seed("loss", run.loss.name, run.seed, epoch))
    return criterion.spec.draw(stream, samples.given, samples.num_classes, **criterion.hyperparameters)


def _refresh(
    run: Run,
    network: nn.Module,
    best: dict[str, Tensor],
    criterion: losses.Loss,
    samples: Samples,
    result: Alone,
) -> None:
    """Prunes with the current network, or with the one that was best on the noisy validation set."""
    kept = {k: v.clone() for k, v in network.state_dict().items()}
    if run.recipe.refresh_from == "best_val" and len(samples.val_given):
        network.load_state_dict(best)
    network.eval()
    with torch.no_grad():
        criterion.refresh(network(samples.images).log_softmax(-1), samples.given)
    network.load_state_dict(kept)
    if "weight" in criterion.state:
        result.pruned.append(float((criterion.state["weight"] == 0).double().mean()))


def _evaluate(
    network: nn.Module, criterion: losses.Loss, change: Callable[[Tensor], Tensor], samples: Samples
) -> dict[str, Any]:
    network.eval()
    criterion.eval()
    with torch.no_grad():
        logits = network(samples.test_images)
        right = logits.argmax(-1) == samples.test_labels
        scores: dict[str, Any] = {
            "test_acc": float(right.double().mean()),
            "test_loss": float(F.cross_entropy(logits, samples.test_labels)),
            "test_acc_per_class": [
                float(right[samples.test_labels == k].double().mean()) for k in range(samples.num_classes)
            ],
        }
        if len(samples.val_given):
            held = network(samples.val_images)
            scores["val_acc"] = float((held.argmax(-1) == samples.val_given).double().mean())
            scores["val_clean_acc"] = float((held.argmax(-1) == samples.val_true).double().mean())
            if criterion.spec.draw is None and criterion.spec.level == "sample":
                scores["val_loss"] = float(criterion(change(held), samples.val_given))
    return scores


def _fits(predicted: Tensor, probability: Tensor, given: Tensor, true: Tensor) -> dict[str, Any]:
    wrong = given != true
    means = {
        "fit_clean": (predicted == given)[~wrong],
        "fit_noisy": (predicted == given)[wrong],
        "true_noisy": (predicted == true)[wrong],
        "prob_clean": probability[~wrong],
        "prob_noisy": probability[wrong],
    }
    return {name: float(values.double().mean()) for name, values in means.items()}
