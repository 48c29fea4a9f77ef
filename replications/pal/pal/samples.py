"""Small trainings that the engine runs inside the notebook, because they are watched while they run, or because their prototypes
are put where no head of the library puts them. They are runs of the stand-in at every scale.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab.analysis import margins
from losslab.heads import prototypes
from losslab.papers import Paper, recipes
from losslab.runs.spec import DataPart, NamedPart, Recipe, Run
from losslab.training.cohort import Cohort, Options
from losslab.training.evaluation import evaluating
from losslab.training.plan import shape_key
from pal import theory

Watch = Callable[[Cohort, int], None]


@dataclass(frozen=True)
class Member:
    """A run with a name, and prototypes `(K, d)` that replace those of its anchored head."""

    name: str
    run: Run
    anchors: Tensor | None = None


def train(members: Sequence[Member], watch: Watch | None = None) -> pd.DataFrame:
    """Trains all members, those of one shape together; one row each with the last test accuracy (per cent) and margins.

    `head`, `tail`: mean accuracy of the first and of the last three classes. `gamma_min`, `gamma`: smallest and mean sample margin of the
    training samples, for unit features and prototypes; `positive`: share of training samples with a positive one, per cent.
    """
    groups: dict[str, list[Member]] = {}
    for member in members:
        groups.setdefault(shape_key(member.run), []).append(member)
    rows = []
    for group in groups.values():
        cohort = Cohort([member.run for member in group], Options(torch.device("cpu")))
        order = [next(m for m in group if m.run is run) for run in cohort.runs]
        for place, member in enumerate(order):
            if member.anchors is not None:
                held = cast(Tensor, cohort.network.head.prototypes)
                held[place].copy_(member.anchors.to(held.dtype))
        for epoch in cohort.work():
            if watch is not None:
                watch(cohort, epoch)
        found = measure(cohort)
        for place, (member, outcome) in enumerate(zip(order, cohort.outcomes(), strict=True)):
            classes = 100 * np.array(outcome.curves["test_acc_per_class"][-1])
            rows.append({
                "name": member.name, "seed": member.run.seed, "accuracy": 100 * outcome.curves["test_acc"][-1],
                "head": classes[:3].mean(), "tail": classes[-3:].mean(), **{key: values[place] for key, values in found.items()},
            })  # fmt: skip
    return pd.DataFrame(rows)


def measure(cohort: Cohort) -> dict[str, list[float]]:
    """Margins of every network of a cohort on its training samples, and the class sum's range at its largest feature norm."""
    with evaluating(cohort.network):
        features = cohort.network.features(cohort.pool.take(cohort.rows)).double()
    head = cohort.network.head
    weights = cast(Tensor, head.prototypes if hasattr(head, "prototypes") else head.weight).detach().double()
    found: dict[str, list[float]] = {
        name: [] for name in ("gamma_min", "gamma", "positive", "class margin", "norm", "Delta")
    }
    for place, run in enumerate(cohort.runs):
        z, w, y = features[place], weights[place], cohort.given[place]
        gamma = margins.sample_margins(z, w, y)
        # What the softmax sees: features of norm s for FNPAL, everything normalised for NormFace.
        norm = float(z.norm(dim=1).mean())
        if run.head.name == "fnpal":
            norm = float(cast(float, run.head.params["scale"]))
        if run.loss.name == "normface":
            norm, w = float(cast(float, run.loss.params["s"])), normalize(w, dim=1)
        found["gamma_min"].append(float(gamma.min()))
        found["gamma"].append(float(gamma.mean()))
        found["positive"].append(100 * float((gamma > 0).double().mean()))
        found["class margin"].append(margins.class_margin(w))
        found["norm"].append(norm)
        found["Delta"].append(theory.delta(w, norm, rounds=20))
    return found


# Margins during training


def margin_curves(paper: Paper, scale: str) -> pd.DataFrame:
    """The runs of the experiment `margins` (of scale quick or smoke), measured after each of the first six epochs and then every third.

    One row per method, seed and epoch.
    """
    cells = paper.cells("smoke" if scale == "smoke" else "quick", only="margins", check=False)
    names = {cell.run.hash: cell.keys["method"] for cell in cells}
    rows: list[dict[str, object]] = []

    def watch(cohort: Cohort, epoch: int) -> None:
        if epoch > 6 and epoch % 3:
            return
        found = measure(cohort)
        for place, run in enumerate(cohort.runs):
            rows.append(
                {"method": names[run.hash], "seed": run.seed, "epoch": epoch}
                | {key: values[place] for key, values in found.items()}
            )

    train([Member(names[cell.run.hash], cell.run) for cell in cells], watch)
    return pd.DataFrame(rows)


# Runs of the stand-in


def digits(
    seed: int, scale: str, *, head: NamedPart, imbalance: str = "none", ratio: float = 1.0, loss: str = "ce",
    regulariser: NamedPart | None = None, model: Mapping[str, object] | None = None,
) -> Run:  # fmt: skip
    """A run of `digits-mlp` (`digits-mlp-smoke` at smoke scale) on digits 8x8."""
    recipe = recipes.resolve({"base": "digits-mlp-smoke" if scale == "smoke" else "digits-mlp"})
    data = {"name": "digits", "validation": 0.1, "imbalance": imbalance, "imbalance_ratio": ratio}
    return Run(
        data=DataPart.model_validate(data), model=NamedPart.model_validate({"name": "mlp", "params": dict(model or {})}), head=head,
        loss=NamedPart(name=loss), regulariser=regulariser, recipe=Recipe.model_validate(recipe), seed=seed,
    )  # fmt: skip


ANCHORED = NamedPart(name="anchored")
LINEAR = NamedPart(name="linear", params={"bias": False})


def rotation(scale: str, seeds: int) -> pd.DataFrame:
    """ReLU left in or taken out, prototypes aligned with the axes or rotated at random; PAL and FNPAL; long-tailed 100."""
    members = []
    for seed in range(seeds):
        turned = prototypes.simplex_etf(10, 128, seed)
        for method, head in (("CE+PAL", ANCHORED), ("CE+FNPAL", NamedPart(name="fnpal", params={"scale": 8}))):
            for relu, place in itertools.product((True, False), ("random", "aligned")):
                name = f"{method}|{'ReLU' if relu else 'no ReLU'}, {place}"
                run = digits(
                    seed,
                    scale,
                    head=head,
                    imbalance="long_tailed",
                    ratio=100.0,
                    model={} if relu else {"final_relu": False},
                )
                members.append(Member(name, run, turned if place == "random" else theory.aligned(10, 128)))
    frame = train(members)
    parts = frame["name"].str.split("|", expand=True)
    return frame.assign(method=parts[0], name=parts[1])


def placements(seed: int) -> dict[str, Tensor]:
    """Fixed prototypes in 128 dimensions that lack one property of the simplex each."""
    simplex = prototypes.simplex_etf(10, 128, seed)
    shift = normalize(torch.randn(128, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)), dim=0)
    lengths = torch.linspace(1.5, 0.5, 10, dtype=torch.float64).unsqueeze(1)
    lengths = lengths / lengths.square().mean().sqrt()
    return {
        "simplex": simplex,
        "simplex + common offset": simplex + shift,
        "unequal norms": simplex * lengths,
        "unequal norms, reversed": simplex * lengths.flip(0),
        "random directions": prototypes.random_prototypes(10, 128, seed),
        "crowded random (16-d)": torch.cat([prototypes.random_prototypes(10, 16, seed), torch.zeros(10, 112)], 1),
    }


def why(scale: str, seeds: int) -> pd.DataFrame:
    """Cross-entropy, long-tailed 100, with fixed prototypes that lack equal angles, equal norms or the zero centroid, and with learned ones."""
    members = []
    for seed in range(seeds):
        for name, w in placements(seed).items():
            members.append(Member(name, digits(seed, scale, head=ANCHORED, imbalance="long_tailed", ratio=100.0), w))
        for name, regulariser in (
            ("learned", None),
            ("learned, zero centroid", NamedPart(name="zero_centroid", params={"lam": 5.0})),
        ):
            run = digits(seed, scale, head=LINEAR, imbalance="long_tailed", ratio=100.0, regulariser=regulariser)
            members.append(Member(name, run))
    return train(members)


def narrow(scale: str, seeds: int, dims: Sequence[int] = (2, 3, 5, 9)) -> pd.DataFrame:
    """Ten classes in few dimensions, long-tailed 10: learned prototypes without bias against anchored ones."""
    members = []
    for d in dims:
        for seed in range(seeds):
            for name, head in (("learned", LINEAR), ("anchored", ANCHORED)):
                model = {"feature_dim": d, "final_relu": False, "batch_norm": True}
                members.append(
                    Member(
                        f"{d}|{name}", digits(seed, scale, head=head, imbalance="long_tailed", ratio=10.0, model=model)
                    )
                )
    frame = train(members)
    parts = frame["name"].str.split("|", expand=True)
    return frame.assign(d=parts[0].astype(int), name=parts[1])
