"""Experiments E1 to E4: networks whose outputs are kept during training, and what the joint matrices of outputs and labels say.

Cross-entropy first; then half of the networks go on with it and half with L_DMI. All networks are trained together as stacked
matrices; each has its own initial weights, noise and batch order, drawn from its seed alone.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from l_dmi import theory
from losslab import data, noise
from losslab.analysis import information
from losslab.analysis.stacked_mlp import clip_scale, initial, logits, one_thread, order, pixels
from losslab.losses.cross_entropy import ce
from losslab.losses.dmi import dmi as l_dmi
from losslab.seeding import generator, torch_seed

Array = NDArray[np.float64]
WIDTHS = (64, 128, 128, 10)
CLASSES = 10
FRESH = 20  # realisations of the noise on the held-out labels


@dataclass(frozen=True)
class Member:
    """One network: the loss of its second stage, the noise rate, the seed."""

    loss: str  # ce, dmi
    rate: float
    seed: int


@dataclass
class Flock:
    """Networks that were trained together, and their outputs (probabilities) at some epochs."""

    members: list[Member]
    true: Tensor  # (n,)
    given: Tensor  # (M, n)
    test_images: Tensor
    test_true: Tensor  # (t,)
    switch: int  # epochs of the first stage
    train: dict[int, Tensor] = field(default_factory=dict)  # epoch -> (M, n, K)
    held: dict[int, Tensor] = field(default_factory=dict)  # epoch -> (M, t, K)


def train(seeds: int, rates: tuple[float, ...], *, first: int = 20, second: int = 30, every: int = 5) -> Flock:
    """`first` epochs of cross-entropy, then `second` epochs of cross-entropy or L_DMI; outputs after two epochs and then every `every`."""
    who = [Member(loss, rate, seed) for loss in ("ce", "dmi") for rate in rates for seed in range(seeds)]
    digits = data.load("digits")
    x, test = (pixels(images, digits) for images in (digits.train_images, digits.test_images))
    true = digits.train_labels
    given = torch.stack([_flipped(true, m.rate, m.seed) for m in who])
    flock = Flock(who, true, given, digits.test_images, digits.test_labels, first)
    with one_thread():
        _run(flock, x, test, first, second, every)
    return flock


def _flipped(labels: Tensor, rate: float, seed: int) -> Tensor:
    return noise.corrupt(
        labels, "class_dependent", rate, seed, num_classes=CLASSES, matrix="l_dmi_cifar10", draw="multinomial"
    )


def _run(flock: Flock, x: Tensor, test: Tensor, first: int, second: int, every: int) -> None:
    who, n = flock.members, len(x)
    half = sum(m.loss == "ce" for m in who)
    # Up to the switch both halves are the same networks.
    seeds = [torch_seed("l_dmi", "samples", m.seed) for m in who[:half]]
    weights = initial(WIDTHS, seeds)
    optimiser = torch.optim.SGD(weights, lr=1.0, momentum=0.9, weight_decay=0.0)
    for epoch in range(first + second):
        warm = epoch < first
        if epoch == first:
            weights = [torch.cat([w.detach(), w.detach()]).requires_grad_() for w in weights]
            optimiser = torch.optim.SGD(weights, lr=1.0, momentum=0.9, weight_decay=0.0)
        # The gradient of L_DMI is about K times that of cross-entropy, so that 0.003 and 0.03 are steps of like size.
        rate = 0.02 * (1 + np.cos(np.pi * epoch / first))
        rates = torch.cat([torch.full((half,), rate if warm else 0.03), torch.full((0 if warm else half,), 0.003)])
        now = len(rates)
        batches = order(n, [generator("l_dmi", "order", m.seed, epoch) for m in who[:now]])
        for batch in batches.split(128, dim=1):
            log_probs, given = logits(weights, x[batch]).log_softmax(-1), flock.given[:now].gather(1, batch)
            losses = ce(log_probs[:half], given[:half]).mean(1).sum()
            if not warm:
                losses = losses + l_dmi(log_probs[half:], given[half:]).sum()
            _step(weights, torch.autograd.grad(losses, weights), rates)
            optimiser.step()
        if (epoch + 1) % every == 0 or epoch + 1 in (2, first):
            with torch.no_grad():
                for kept, images in ((flock.train, x), (flock.held, test)):
                    made = logits(weights, images.expand(now, -1, -1)).log_softmax(-1).exp()
                    kept[epoch + 1] = torch.cat([made, made]) if warm else made


def _step(weights: list[Tensor], gradients: tuple[Tensor, ...], rates: Tensor, limit: float = 5.0) -> None:
    """Gradients with each network's norm held below the limit, times each network's rate."""
    scale = clip_scale(gradients, limit) * rates.view(-1, 1, 1)
    for w, g in zip(weights, gradients, strict=True):
        w.grad = g * scale.to(g.dtype)


# E1 and E2


def ratios(flock: Flock) -> pd.DataFrame:
    """rho by epoch: on the training sample with its own noise, and on held-out images with fresh noise (mean over draws)."""
    rows = []
    held_true = flock.test_true.numpy()
    fresh = {
        rate: [_flipped(flock.test_true, rate, 1000 + draw).numpy() for draw in range(FRESH)]
        for rate in {m.rate for m in flock.members}
    }
    for epoch in flock.train:
        for i, m in enumerate(flock.members):
            p, q = flock.train[epoch][i].numpy(), flock.held[epoch][i].numpy()
            found = np.array([_rho(q, held_true, labels) for labels in fresh[m.rate]])
            seen = flock.given[i].numpy()
            wrong = seen != flock.true.numpy()
            rows.append({
                "loss": m.loss, "rate": m.rate, "seed": m.seed, "epoch": epoch,
                "training": _rho(p, flock.true.numpy(), seen), "held out": float(found.mean()), "spread": float(found.std()),
                "memorised": float((p.argmax(1) == seen)[wrong].mean()), "test": 100 * float((q.argmax(1) == held_true).mean()),
            })  # fmt: skip
    return pd.DataFrame(rows)


def _rho(outputs: NDArray[np.float32], true: NDArray[np.int64], given: NDArray[np.int64]) -> float:
    t = theory.realised(true, given, CLASSES)
    return information.invariance_ratio(
        information.joint(outputs, given, CLASSES), information.joint(outputs, true, CLASSES), t
    )


def lookup_tables(rates: tuple[float, ...] = (0.2, 0.4, 0.6, 0.8)) -> pd.DataFrame:
    """E2: a table that repeats the given labels of the digits' training set, and the same table met with fresh labels."""
    labels = data.load("digits").train_labels
    rows = []
    for rate in rates:
        given, fresh = _flipped(labels, rate, 0).numpy(), _flipped(labels, rate, 1000).numpy()
        true = labels.numpy()
        found = theory.lookup_ratio(true, given, CLASSES)
        table = np.eye(CLASSES)[given]
        rows.append({"rate": rate, **found, "fresh": _rho(table, true, fresh)})
    return pd.DataFrame(rows).set_index("rate")


# E3


def _scores(outputs: Array, labels: NDArray[np.int64], weights: Array | None = None) -> dict[str, float]:
    """DMI, Shannon's information, cross-entropy and accuracy of outputs; `weights[i, j]`: how much label j counts at sample i."""
    share = np.eye(CLASSES)[labels] if weights is None else weights
    u = outputs.T @ share / len(outputs)
    hard = np.eye(CLASSES)[outputs.argmax(1)]
    v = hard.T @ share / len(outputs)
    return {
        "DMI": information.log_dmi(u),
        "Shannon": information.mutual_information(u),
        "cross-entropy": float((share * np.log(np.maximum(outputs, 1e-30))).sum() / len(outputs)),
        "accuracy": float(np.trace(v)),
    }


def rankings(flock: Flock) -> pd.DataFrame:
    """E3: share of pairs of networks that noisy labels put into another order than clean ones; one row per measure, rate and labels."""
    rows = []
    true = flock.test_true.numpy()
    for rate in sorted({m.rate for m in flock.members}):
        t = theory.case_matrix("CIFAR-10", rate)
        fresh = _flipped(flock.test_true, rate, 1000).numpy()
        made: dict[str, list[dict[str, float]]] = {name: [] for name in ("clean", "expected", "fresh", "training")}
        for epoch, (i, m) in itertools.product(flock.held, enumerate(flock.members)):
            if m.rate != rate or (epoch <= flock.switch and m.loss == "dmi"):
                continue  # before the switch the two halves are the same networks
            outputs = flock.held[epoch][i].double().numpy()
            made["clean"].append(_scores(outputs, true))
            made["expected"].append(_scores(outputs, true, t[true]))
            made["fresh"].append(_scores(outputs, fresh))
            made["training"].append(_scores(flock.train[epoch][i].double().numpy(), flock.given[i].numpy()))
        clean = pd.DataFrame(made["clean"])
        for labels in ("expected", "fresh", "training"):
            noisy = pd.DataFrame(made[labels])
            rows += [
                {"rate": rate, "labels": labels, "measure": name, "turned": _turned(clean[name], noisy[name])}
                for name in clean
            ]
    return pd.DataFrame(rows)


def _turned(clean: pd.Series, noisy: pd.Series) -> float:
    """Share of pairs in another order; ties count for neither."""
    a, b = (np.sign(np.round(np.subtract.outer(v.to_numpy(), v.to_numpy()), 12)) for v in (clean, noisy))
    pairs = np.triu(a != 0, 1) & (b != 0)
    return float((a != b)[pairs].mean())


# E4


def instance_ratios(flock: Flock, rate: float = 0.3, sharpness: tuple[float, ...] = (0.0, 1.0, 2.0)) -> pd.DataFrame:
    """E4: rho on held-out images with noise that follows the image, and with noise of the same matrix that does not."""
    true = flock.test_true.numpy()
    rows = []
    for sharp in sharpness:
        noisy = [
            noise.corrupt(true, "instance", rate, 1000 + d, num_classes=CLASSES, draw="multinomial",
                          features=flock.test_images.numpy(), sharpness=sharp)
            for d in range(FRESH)
        ]  # fmt: skip
        control = [
            noise.corrupt(true, "class_dependent", None, 2000 + d, num_classes=CLASSES, draw="multinomial",
                          matrix=theory.realised(true, given, CLASSES))
            for d, given in enumerate(noisy)
        ]  # fmt: skip
        for epoch, (i, m) in itertools.product(flock.held, enumerate(flock.members)):
            if m.loss != "ce" or m.rate != min(w.rate for w in flock.members):
                continue
            outputs = flock.held[epoch][i].numpy()
            for kind, labels in (("follows the image", noisy), ("same matrix, independent", control)):
                found = np.array([_rho(outputs, true, given) for given in labels])
                rows.append({
                    "sharpness": sharp, "noise": kind, "epoch": epoch, "seed": m.seed, "rho": float(found.mean()),
                    "spread": float(found.std()), "test": 100 * float((outputs.argmax(1) == true).mean()),
                })  # fmt: skip
    return pd.DataFrame(rows)
