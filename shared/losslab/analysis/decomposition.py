"""Active and passive parts of a loss (Ma et al. 2020, section 3.2).

A loss is written as a sum over classes, `L(p, y) = sum_k l(p, k)`. A part is *active* where l(p, k) = 0 for all k != y, else *passive*.
That is a statement about how the terms are written: as functions, MAE and RCE depend on p_y alone, too. So the terms are those of
the papers' formulas, checked against the loss itself, and the kind is read off the terms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from losslab.analysis.probing import probe
from losslab.errors import InputError

Terms = Callable[[Tensor, Tensor, Mapping[str, Any]], Tensor]
"""`terms(p, t, hp) -> (N, K)` from probabilities `(N, K)` and one-hot labels `(N, K)`."""


@dataclass(frozen=True)
class Part:
    """One part of a loss: its name, `active` or `passive`, and its share of the value at the uniform output."""

    name: str
    kind: str
    share: float


def _focal(p: Tensor, t: Tensor, hp: Mapping[str, Any]) -> Tensor:
    return -t * (1 - p) ** hp["gamma"] * p.log()


def _mae(p: Tensor, t: Tensor, hp: Mapping[str, Any]) -> Tensor:
    return (t - p).abs() * (1.0 if hp.get("variant", "paper") == "paper" else 0.5)


def _rce(p: Tensor, t: Tensor, hp: Mapping[str, Any]) -> Tensor:
    return -p * torch.where(t > 0, torch.zeros_like(p), torch.full_like(p, hp["A"]))


def _normalised(base: Terms) -> Terms:
    def terms(p: Tensor, t: Tensor, hp: Mapping[str, Any]) -> Tensor:
        count = p.shape[1]
        labels = torch.eye(count, dtype=p.dtype)
        total = torch.stack([base(p, row.expand_as(p), hp).sum(1) for row in labels]).sum(0)
        return base(p, t, hp) / total.unsqueeze(1)

    return terms


def _target(scalar: Callable[[Tensor, Mapping[str, Any]], Tensor]) -> Terms:
    return lambda p, t, hp: t * scalar(p, hp)


_CE: Terms = _target(lambda p, hp: -p.log())
_GCE: Terms = _target(lambda p, hp: (1 - p ** hp["q"]) / hp["q"])
_NMAE: Terms = _normalised(lambda p, t, hp: (t - p).abs())


def _nmae(p: Tensor, t: Tensor, hp: Mapping[str, Any]) -> Tensor:
    return _NMAE(p, t, hp) * (1.0 if hp["variant"] == "paper" else 0.5)


def _nrce(p: Tensor, t: Tensor, hp: Mapping[str, Any]) -> Tensor:
    if hp["variant"] == "official":
        return _rce(p, t, hp) * 0.25 * (p.shape[1] - 1)
    return _normalised(_rce)(p, t, hp)


_FORMS: dict[str, tuple[tuple[str, Terms], ...]] = {
    "ce": (("ce", _CE),),
    "focal": (("focal", _focal),),
    "gce": (("gce", _GCE),),
    "comp_sum": (("comp_sum", _target(lambda p, hp: _box_cox(p, 1 - hp["tau"]))),),
    "agce": (("agce", _target(lambda p, hp: ((hp["a"] + 1) ** hp["q"] - (hp["a"] + p) ** hp["q"]) / hp["q"])),),
    "aul": (("aul", _target(lambda p, hp: ((hp["a"] - p) ** hp["p"] - (hp["a"] - 1) ** hp["p"]) / hp["p"])),),
    "ael": (("ael", _target(lambda p, hp: torch.exp(-p / hp["a"]))),),
    "mae": (("mae", _mae),),
    "mse": (("mse", lambda p, t, hp: (t - p).square()),),
    "rce": (("rce", _rce),),
    "sce": (
        ("alpha ce", lambda p, t, hp: hp["alpha"] * _CE(p, t, hp)),
        ("beta rce", lambda p, t, hp: hp["beta"] * _rce(p, t, hp)),
    ),
    "nce": (("nce", _normalised(_CE)),),
    "nfl": (("nfl", _normalised(_focal)),),
    "ngce": (("ngce", _normalised(_GCE)),),
    "nmae": (("nmae", _nmae),),
    "nrce": (("nrce", _nrce),),
    "poly1": (("poly1", _target(lambda p, hp: -p.log() + hp["eps"] * (1 - p))),),
    "nlnl": (("nlnl", lambda p, t, hp: -(1 - t) * (1 - p).clamp_min(1e-5).log() / (p.shape[1] - 1)),),
}


def known(name: str) -> bool:
    """Whether the loss (or each part of the sum) is written as a sum over classes here."""
    return all(part in _FORMS for part in name.split("+"))


def parts(name: str, num_classes: int = 10, seed: int = 0, **given: Any) -> tuple[Part, ...]:
    """The active and passive parts of a loss or of a sum `a+b`. Raises InputError where the form is not known."""
    if not known(name):
        raise InputError(f"{name}: no form as a sum over classes is known (known: {', '.join(_FORMS)}, and their sums)")
    loss = probe(name, num_classes, **given)
    draw = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(200, num_classes, generator=draw, dtype=torch.float64)
    logits[0] = 0.0
    p = torch.softmax(logits, 1)
    labels = torch.arange(len(p)) % num_classes
    t = torch.nn.functional.one_hot(labels, num_classes).double()
    terms = _weighted_terms(name, p, t, loss.arguments)
    value = loss.at(loss.from_logits(logits), labels)
    total = torch.stack([term.sum(1) for _, term in terms]).sum(0)
    if not torch.allclose(total, value, rtol=1e-9, atol=1e-12):
        raise InputError(f"{name}: the terms do not add up to the loss for these hyper-parameters")
    found = []
    for part, term in terms:
        active = not bool(((term * (1 - t)).abs() > 1e-12 * term.abs().max()).any())
        share = float(term[0].sum() / total[0]) if float(total[0]) != 0 else 0.0
        found.append(Part(part, "active" if active else "passive", share))
    return tuple(found)


def _weighted_terms(name: str, p: Tensor, t: Tensor, arguments: Mapping[str, Any]) -> list[tuple[str, Tensor]]:
    names = name.split("+")
    found = []
    for index, own in enumerate(names):
        weight = 1.0 if len(names) == 1 else arguments[("alpha", "beta")[index]]
        hp = {key.removeprefix(f"{own}."): value for key, value in arguments.items() if _belongs(key, own, len(names))}
        for label, terms in _FORMS[own]:
            found.append((label, weight * terms(p, t, hp)))
    return found


def _belongs(key: str, own: str, size: int) -> bool:
    head, dot, _ = key.partition(".")
    return not dot or (size > 1 and head == own)


def _box_cox(p: Tensor, power: Any) -> Tensor:
    return -p.log() if power == 0 else (p**-power - 1) / power
