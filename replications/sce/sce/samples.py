"""Trainings that keep every sample's two gradient terms, place the L2 penalty by layer, or follow the features' dimensionality (D2L).

The engine's run store keeps none of this. A small network on the digits, the stand-in of the ten-class tables; all networks are trained
together: one leading axis, no connection between them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from losslab import data, noise
from losslab.analysis.stacked_mlp import clip_scale, initial, layers, one_thread, order, pixels
from losslab.analysis.stacked_mlp import logits as logits_of
from losslab.losses.bootstrap import d2l_alpha, local_intrinsic_dimensionality
from losslab.papers import Paper, recipes
from losslab.papers.spec import Value
from losslab.runs.spec import Recipe
from losslab.seeding import generator, torch_seed

WIDTHS = (64, 128, 128, 10)
A_CODE = float(np.log(1e-4))
LOSSES = {"CE": (1.0, 0.0), "RCE": (0.0, 1.0), "SL": (0.1, 1.0)}  # alpha, beta
PLACES = ("none", "dense layer before the last", "every layer")
KERAS_L2 = 0.02  # Keras' l2(0.01) adds 0.01 ||w||^2, whose gradient is 0.02 w
WINDOW, SIGMAS, NEIGHBOURS, LOOKED_AT = (
    5,
    2.0,
    20,
    256,
)  # D2L: turning point, neighbours, samples whose dimensionality is measured


@dataclass(frozen=True)
class Member:
    """One network: weights of CE and RCE, noise, where the L2 penalty sits, whether labels are mixed as in D2L."""

    loss: str
    rate: float
    seed: int
    place: str = ""  # empty: weight decay as the recipe says
    d2l: bool = False

    @property
    def weights(self) -> tuple[float, float]:
        """alpha, and beta |A|."""
        alpha, beta = LOSSES[self.loss]
        return alpha, -A_CODE * beta


@dataclass
class Flock:
    """Networks that were trained together, and what was written down after every epoch."""

    members: list[Member]
    true: Tensor  # (n,)
    given: Tensor  # (M, n)
    test_acc: Tensor = field(default_factory=lambda: torch.empty(0))  # (M, epochs, K), per cent
    terms: pd.DataFrame = field(default_factory=pd.DataFrame)  # correctly labelled samples, by class
    wrong: pd.DataFrame = field(default_factory=pd.DataFrame)  # wrongly labelled samples
    turned: dict[int, int] = field(default_factory=dict)  # member -> epoch of D2L's turning point
    mixing: Tensor = field(default_factory=lambda: torch.empty(0))  # (M, epochs): weight of the given label

    def rows(self, **wanted: object) -> list[int]:
        """Members whose fields have these values."""
        return [i for i, m in enumerate(self.members) if all(getattr(m, key) == value for key, value in wanted.items())]

    def accuracy(self) -> pd.DataFrame:
        """One row per network: test accuracy at the last and at the best epoch, per cent."""
        total = self.test_acc.mean(-1)
        columns = {"last": total[:, -1].tolist(), "best": total.max(1).values.tolist()}
        keys = [{"loss": m.loss, "rate": m.rate, "seed": m.seed, "place": m.place, "d2l": m.d2l} for m in self.members]
        return pd.concat([pd.DataFrame(keys), pd.DataFrame(columns)], axis=1)


def gradient_members(seeds: int, rates: tuple[float, ...]) -> list[Member]:
    """Networks for the questions about gradients."""
    return [Member(loss, rate, s) for rate in rates for loss in LOSSES for s in range(seeds)]


def placement_members(seeds: int, rate: float = 0.4) -> list[Member]:
    """Networks whose L2 penalty sits nowhere, on one layer, on all."""
    return [Member(loss, rate, s, place=place) for loss in ("CE", "SL") for place in PLACES for s in range(seeds)]


def d2l_members(seeds: int, rates: tuple[float, ...]) -> list[Member]:
    """D2L, and D2L with RCE; CE and SL without it are among `gradient_members`."""
    return [Member(loss, rate, s, d2l=True) for rate in rates for loss in ("CE", "SL") for s in range(seeds)]


def train(who: list[Member], *, recipe: str) -> Flock:
    """Train with a shared recipe."""
    plan, digits = recipes.get(recipe), data.load("digits")
    held = torch.zeros(len(digits.train_labels), dtype=torch.bool)
    held[torch.from_numpy(generator("sce", "samples", "split").permutation(len(held))[: len(held) // 10])] = True
    true = digits.train_labels[~held]
    given = torch.stack(
        [noise.corrupt(true, "symmetric", m.rate, m.seed, num_classes=10, draw="multinomial") for m in who]
    )
    flock = Flock(who, true, given)
    with one_thread():
        _run(
            flock,
            plan,
            pixels(digits.train_images, digits)[~held],
            pixels(digits.test_images, digits),
            digits.test_labels,
        )
    return flock


def _weights(who: list[Member]) -> list[Tensor]:
    return initial(WIDTHS, [torch_seed("sce", "samples", m.seed) for m in who])


def values(logits: Tensor, y: Tensor, alpha: Tensor, reverse: Tensor, mix: Tensor) -> Tensor:
    """`alpha CE + beta RCE` `(M, n)` on the label `mix e_y + (1 - mix) e_predicted`; `reverse` is beta |A|."""
    log_probs = logits.log_softmax(-1)
    own = log_probs.gather(-1, y.unsqueeze(-1)).squeeze(-1)
    top = log_probs.amax(-1)
    cross = -(mix * own + (1 - mix) * top)
    return alpha * cross + reverse * (1 - mix * own.exp() - (1 - mix) * top.exp())


def _decays(who: list[Member], plan: Recipe, weights: list[Tensor]) -> list[Tensor]:
    """Weight decay per parameter tensor and network."""
    last_hidden = (len(weights) - 4, len(weights) - 3)
    table = []
    for i in range(len(weights)):
        column = []
        for m in who:
            sits = m.place == "every layer" or (m.place == PLACES[1] and i in last_hidden)
            column.append(plan.weight_decay if m.place == "" else KERAS_L2 * sits)
        table.append(torch.tensor(column).view(-1, 1, 1))
    return table


def _run(flock: Flock, plan: Recipe, x: Tensor, test_x: Tensor, test_y: Tensor) -> None:
    who, y, (count, n) = flock.members, flock.given, flock.given.shape
    weights = _weights(who)
    decays, momenta = _decays(who, plan, weights), [torch.zeros_like(w) for w in weights]
    alpha, reverse = (torch.tensor([m.weights[i] for m in who]).unsqueeze(1) for i in (0, 1))
    mix, dimensions, before = torch.ones(count, 1), [], [w.detach().clone() for w in weights]
    spots = torch.from_numpy(generator("sce", "samples", "dimension").permutation(n)[:LOOKED_AT])
    accuracy, mixing = [], []
    terms: list[dict[str, object]] = []
    wrong: list[dict[str, object]] = []
    for epoch in range(plan.epochs):
        lr = plan.lr * 0.5 * (1 + np.cos(np.pi * epoch / plan.epochs))
        batches = order(n, [generator("sce", "samples", "order", m.seed, epoch) for m in who])
        mixing.append(mix.squeeze(1).clone())
        for batch in batches.split(plan.batch_size, dim=1):
            loss = values(logits_of(weights, x[batch]), y.gather(1, batch), alpha, reverse, mix).mean(1)
            gradients = torch.autograd.grad(loss.sum(), weights)
            with torch.no_grad():
                scale = clip_scale(gradients, plan.clip_norm)
                for w, g, v, d in zip(weights, gradients, momenta, decays, strict=True):
                    v.mul_(plan.momentum).add_(g * scale + d * w)
                    w.sub_(lr * v)
        with torch.no_grad():
            hits = (logits_of(weights, test_x.expand(count, -1, -1)).argmax(-1) == test_y).float()
            accuracy.append(100 * torch.stack([hits[:, test_y == k].mean(1) for k in range(10)], -1))
            *_, features, logits = layers(weights, x.expand(count, -1, -1))
            _look(flock, logits.softmax(-1), epoch + 1, terms, wrong)
            if any(m.d2l for m in who):
                dimensions.append(torch.stack([local_intrinsic_dimensionality(f[spots], NEIGHBOURS) for f in features]))
                _turn(flock, dimensions, epoch, plan.epochs, mix, weights, before)
                for old, new in zip(before, weights, strict=True):
                    old.copy_(new)
    flock.test_acc, flock.mixing = torch.stack(accuracy, 1), torch.stack(mixing, 1)
    flock.terms, flock.wrong = pd.DataFrame(terms), pd.DataFrame(wrong)


def _turn(
    flock: Flock,
    dimensions: list[Tensor],
    epoch: int,
    epochs: int,
    mix: Tensor,
    weights: list[Tensor],
    before: list[Tensor],
) -> None:
    """D2L: the turning point is where the dimensionality exceeds the last epochs' mean by two standard deviations; from there labels are mixed."""
    if len(dimensions) <= WINDOW:
        return
    history = torch.stack(dimensions)
    recent, now = history[-1 - WINDOW : -1], history[-1]
    rises = now > recent.mean(0) + SIGMAS * recent.std(0)
    for i, m in enumerate(flock.members):
        if m.d2l and i not in flock.turned and bool(rises[i]):
            flock.turned[i] = epoch + 1
            for w, old in zip(weights, before, strict=True):  # training goes on from the network before the rise
                w[i].copy_(old[i])
        if i in flock.turned:
            mix[i] = d2l_alpha(epoch + 1, epochs, float(now[i]), float(history[:-1, i].min()))


def _look(flock: Flock, p: Tensor, epoch: int, terms: list[dict[str, object]], wrong: list[dict[str, object]]) -> None:
    """Mean sizes of the gradient in the label's logit on correct labels, by class; gradients on the given and the true logit on wrong ones."""
    given = p.gather(-1, flock.given.unsqueeze(-1)).squeeze(-1)
    truth = p.gather(-1, flock.true.expand(len(flock.members), -1).unsqueeze(-1)).squeeze(-1)
    correct = flock.given == flock.true
    for i, m in enumerate(flock.members):
        if m.place or m.d2l:
            continue  # only `gradient_members` are asked for their terms
        alpha, reverse = m.weights
        keys = {"loss": m.loss, "rate": m.rate, "seed": m.seed, "d2l": m.d2l, "place": m.place, "epoch": epoch}
        for k in range(10):
            own = given[i][correct[i] & (flock.true == k)]
            terms.append({
                **keys, "class": k, "CE": float((alpha * (1 - own)).mean()), "RCE": float((reverse * own * (1 - own)).mean()),
                "p": float(own.mean()), "undecided": float(((own > 0.25) & (own < 0.75)).float().mean()),
            })  # fmt: skip
        bad = ~correct[i]
        if bad.any():
            pn, pt = given[i][bad], truth[i][bad]
            wrong.append({
                **keys, "p given": float(pn.mean()), "p true": float(pt.mean()),
                "given, CE": float((alpha * (pn - 1)).mean()), "given, RCE": float((-reverse * pn * (1 - pn)).mean()),
                "true, CE": float((alpha * pt).mean()), "true, RCE": float((reverse * pt * pn).mean()),
                "silent": float((pn < 0.1).float().mean()), "undecided": float(((pn >= 0.1) & (pn <= 0.9)).float().mean()),
                "believed": float((pn > 0.9).float().mean()),
            })  # fmt: skip


def class_gains(flock: Flock, rate: float) -> pd.DataFrame:
    """One row per class and seed: CE's accuracy, SL's gain over CE, the RCE term's mean gradient under SL over the first half, mean p under SL."""
    rows = []
    for seed in sorted({m.seed for m in flock.members}):
        (cross,), (both,) = flock.rows(loss="CE", rate=rate, seed=seed), flock.rows(loss="SL", rate=rate, seed=seed)
        last = slice(-5, None)  # the mean of five epochs: a class has about fifty test images
        ours, theirs = flock.test_acc[both, last].mean(0), flock.test_acc[cross, last].mean(0)
        mine = flock.terms[
            (flock.terms["loss"] == "SL") & (flock.terms["rate"] == rate) & (flock.terms["seed"] == seed)
        ]
        half = mine[mine["epoch"] <= mine["epoch"].max() // 2].groupby("class")[["RCE", "CE", "undecided"]].mean()
        for k in range(10):
            rows.append({
                "seed": seed, "class": k, "CE accuracy": float(theirs[k]), "gain": float(ours[k] - theirs[k]),
                "RCE mass": half.loc[k, "RCE"], "CE mass": half.loc[k, "CE"], "undecided": half.loc[k, "undecided"],
            })  # fmt: skip
    return pd.DataFrame(rows)


# Features of the engine's networks


Maps = tuple[dict[str, np.ndarray], dict[str, list[float]], np.ndarray]


def feature_maps(paper: Paper, scale: str, item: str, methods: tuple[str, ...], rate: float, seeds: int) -> Maps:
    """t-SNE of the test images' last features (first seed), silhouettes of the features in their own space (all seeds), true labels.

    The networks are those of the run store; what is not there is trained.
    """
    from sklearn.manifold import TSNE
    from sklearn.metrics import silhouette_score

    from losslab import paths
    from losslab.runs import Store
    from losslab.training import train as train_runs
    from losslab.training.inspect import trained

    store, labels = Store(paths.store()), np.empty(0)
    maps: dict[str, np.ndarray] = {}
    scores: dict[str, list[float]] = {method: [] for method in methods}
    chosen = [c for c in paper.cells(scale, only=item, seeds=seeds) if c.keys["method"] in methods]
    cells = [c for c in chosen if c.keys["noise_rate"] == rate]
    train_runs([c.run for c in cells], store, probes={c.run.hash: frozenset(c.probes) for c in cells}, workers=1)
    for cell in cells:
        network = trained(cell.run, store)
        method, labels = str(cell.keys["method"]), network.dataset.test_labels.numpy()[:2000]
        features = network.features("test").numpy()[:2000]
        scores[method].append(float(silhouette_score(features, labels)))
        if method not in maps:
            maps[method] = TSNE(2, init="pca", random_state=0, perplexity=30, max_iter=500).fit_transform(features)
    return maps, scores, labels


def results_frame(flock: Flock, experiment: str, names: dict[tuple[str, bool], str]) -> pd.DataFrame:
    """The flock in the form of the results frame, so that the library's tables can show it. `names`: (loss, d2l) -> method."""
    keys = {"CE": "ce", "RCE": "rce", "SL": "sce"}
    rows = []
    for i, m in enumerate(flock.members):
        if (m.loss, m.d2l) not in names:
            continue
        rows.append({
            "experiment": experiment, "dataset": "cifar10", "noise_type": "symmetric", "noise_rate": m.rate, "setting": m.place,
            "method": names[m.loss, m.d2l], "seed": m.seed, "key": "d2l" if m.d2l else keys[m.loss], "run": f"{experiment}-{i}",
            "status": "done", "data": "digits", "stand_in": "digits 8x8", "seconds": 0.0, "device": "cpu", "final": "{}",
            "test_acc": (flock.test_acc[i].mean(-1) / 100).tolist(),
        })  # fmt: skip
    return pd.DataFrame(rows)


READINGS = (Value(label="best", reading="best"), Value(label="last", reading="last"))
D2L_NAMES = {("CE", False): "CE", ("SL", False): "SL", ("CE", True): "D2L", ("SL", True): "D2L+RCE"}
