"""Weighted sums of two sample-level losses, written `a+b`: `alpha * a + beta * b`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor

from losslab.errors import InputError
from losslab.losses.spec import LossSpec, Param, StateSpec

WEIGHTS = {
    "alpha": Param(1.0, 0, None, meaning="weight of the first part"),
    "beta": Param(1.0, 0, None, meaning="weight of the second part"),
}


@dataclass(frozen=True, eq=False)
class SumSpec(LossSpec):
    """The spec of a sum; `aliases` are hyper-parameters with the prefix of their part where none is needed."""

    aliases: Mapping[str, str] = field(default_factory=dict)

    def resolve(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """As LossSpec.resolve; `nce+agce` takes `q` and `agce.q`, `gce+agce` only `gce.q` and `agce.q`."""
        plain: dict[str, Any] = {}
        for name, value in dict(given or {}).items():
            name = self.aliases.get(name, name)
            if name not in self.params and any(key.endswith(f".{name}") for key in self.params):
                options = " or ".join(key for key in self.params if key.endswith(f".{name}"))
                raise InputError(f"{self.name}: both parts have {name!r}; write {options}")
            if name in plain:
                raise InputError(f"{self.name}: {name!r} is given twice")
            plain[name] = value
        return super().resolve(plain)


def compose(first: LossSpec, second: LossSpec) -> LossSpec:
    """The spec of `first+second`. Raises InputError where the two cannot be added."""
    name = f"{first.name}+{second.name}"
    parts = (first, second)
    for part in parts:
        if part.level != "sample":
            raise InputError(f"{name}: {part.name} is a loss of the whole batch and cannot be part of a sum")
    if first.name == second.name:
        raise InputError(f"{name}: the two parts of a sum must differ")
    kinds = {part.input for part in parts}
    if "cosines" in kinds and len(kinds) > 1:
        raise InputError(f"{name}: one part takes cosines, the other does not")
    shared = (set(first.params) & set(second.params)) | set(WEIGHTS)
    names = [{key: f"{part.name}.{key}" if key in shared else key for key in part.params} for part in parts]
    params = dict(WEIGHTS)
    for part, keys in zip(parts, names, strict=True):
        params.update({keys[key]: param for key, param in part.params.items()})
    kind = kinds.pop() if len(kinds) == 1 else "logits"
    return SumSpec(
        name=name,
        core=_sum_core(parts, names, kind),
        input=kind,
        soft_targets=first.soft_targets and second.soft_targets,
        params=params,
        tensors=tuple(dict.fromkeys(first.tensors + second.tensors)),
        optional=tuple(dict.fromkeys(first.optional + second.optional)),
        draw=_sum_draw(parts, names),
        draw_name=first.draw_name or second.draw_name,
        state=_sum_state(parts, names, kind),
        grad=_sum_grad(parts, names),
        modules=tuple(dict.fromkeys((*first.modules, *second.modules, __name__))),
        aliases={f"{part.name}.{key}": key for part in parts for key in part.params if key not in shared},
    )


def _own(part: LossSpec, names: dict[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    """The part's own keyword arguments, out of those of the sum."""
    own = {key: given[name] for key, name in names.items() if name in given}
    own.update({key: given[key] for key in (*part.tensors, *part.optional, part.draw_name) if key in given})
    state = given.get("state")
    if part.state is not None and state is not None:
        own["state"] = _rows(part, state)
    return own


def _rows(part: LossSpec, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    prefix = f"{part.name}."
    return {key[len(prefix) :]: value for key, value in state.items() if key.startswith(prefix)}


def _inputs(part: LossSpec, kind: str, inputs: Tensor) -> Tensor:
    return torch.log_softmax(inputs, -1) if kind == "logits" and part.input == "log_probs" else inputs


def _sum_core(parts: tuple[LossSpec, LossSpec], names: list[dict[str, str]], kind: str) -> Callable[..., Tensor]:
    first, second = parts

    def core(inputs: Tensor, targets: Tensor, *, alpha: Any = 1.0, beta: Any = 1.0, **given: Any) -> Tensor:
        one = first.core(_inputs(first, kind, inputs), targets, **_own(first, names[0], given))
        two = second.core(_inputs(second, kind, inputs), targets, **_own(second, names[1], given))
        return alpha * one + beta * two

    return core


def _sum_draw(parts: tuple[LossSpec, LossSpec], names: list[dict[str, str]]) -> Callable[..., Tensor | None] | None:
    for part, keys in zip(parts, names, strict=True):
        if part.draw is not None:
            return partial(_draw_of, part.draw, keys)
    return None


def _draw_of(
    draw: Callable[..., Tensor | None],
    keys: dict[str, str],
    generator: torch.Generator,
    targets: Tensor,
    num_classes: int,
    **given: Any,
) -> Tensor | None:
    return draw(generator, targets, num_classes, **{key: given[name] for key, name in keys.items() if name in given})


def _sum_grad(
    parts: tuple[LossSpec, LossSpec], names: list[dict[str, str]]
) -> Callable[..., tuple[Tensor, Tensor | None]] | None:
    if parts[0].grad is None or parts[1].grad is None:
        return None
    grads = (parts[0].grad, parts[1].grad)

    def grad(
        log_probs: Tensor, targets: Tensor, *, alpha: Any = 1.0, beta: Any = 1.0, **given: Any
    ) -> tuple[Tensor, Tensor | None]:
        one_l, one_s = grads[0](log_probs, targets, **_own(parts[0], names[0], given))
        two_l, two_s = grads[1](log_probs, targets, **_own(parts[1], names[1], given))
        terms = [weight * term for weight, term in ((alpha, one_s), (beta, two_s)) if term is not None]
        total = None if not terms else terms[0] if len(terms) == 1 else terms[0] + terms[1]
        return alpha * one_l + beta * two_l, total

    return grad


def _sum_state(parts: tuple[LossSpec, LossSpec], names: list[dict[str, str]], kind: str) -> StateSpec | None:
    keeping = [(part, keys, part.state) for part, keys in zip(parts, names, strict=True) if part.state is not None]
    if not keeping:
        return None

    def init(num_models: int, num_samples: int, num_classes: int, targets: Tensor) -> dict[str, Tensor]:
        out: dict[str, Tensor] = {}
        for part, _, memory in keeping:
            fresh = memory.init(num_models, num_samples, num_classes, targets)
            out.update({f"{part.name}.{key}": value for key, value in fresh.items()})
        return out

    def refresh(state: dict[str, Tensor], log_probs: Tensor, targets: Tensor, **given: Any) -> dict[str, Tensor]:
        out = dict(state)
        for part, keys, memory in keeping:
            if memory.refresh is not None:
                own = {key: given[name] for key, name in keys.items() if name in given}
                new = memory.refresh(_rows(part, state), log_probs, targets, **own)
                out.update({f"{part.name}.{key}": value for key, value in new.items()})
        return out

    def update(rows: dict[str, Tensor], inputs: Tensor, targets: Tensor, **given: Any) -> dict[str, Tensor]:
        out = dict(rows)
        for part, keys, memory in keeping:
            if memory.update is not None:
                own = {key: given[name] for key, name in keys.items() if name in given}
                new = memory.update(_rows(part, rows), _inputs(part, kind, inputs), targets, **own)
                out.update({f"{part.name}.{key}": value for key, value in new.items()})
        return out

    return StateSpec(
        init=init,
        refresh=refresh if any(memory.refresh is not None for _, _, memory in keeping) else None,
        update=update if any(memory.update is not None for _, _, memory in keeping) else None,
    )
