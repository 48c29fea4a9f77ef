"""What a loss is, as plain data: its core function, its hyper-parameters, its memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from losslab.errors import InputError

if TYPE_CHECKING:
    from losslab.losses.cards import LossCard

Core = Callable[..., Tensor]
Gradient = Callable[..., tuple[Tensor, Tensor | None]]


@dataclass(frozen=True)
class Param:
    """One hyper-parameter: a number within an interval or one of some words.

    `low` and `high` bound a number (None: no bound), `low_open` and `high_open` exclude the bound itself.
    `choices` makes it a word, which is static (it may decide a Python branch); `integer` makes it whole, also static.
    """

    default: float | int | str
    low: float | None = None
    high: float | None = None
    low_open: bool = False
    high_open: bool = False
    choices: tuple[str, ...] = ()
    meaning: str = ""
    integer: bool = False

    @property
    def range(self) -> str:
        """The allowed values, as text: `(0, 1]`, `paper | official`."""
        if self.choices:
            return " | ".join(self.choices)
        left = "(-inf" if self.low is None else f"{'(' if self.low_open else '['}{self.low:g}"
        right = "inf)" if self.high is None else f"{self.high:g}{')' if self.high_open else ']'}"
        return f"{left}, {right}" + (", whole" if self.integer else "")

    def check(self, loss: str, name: str, value: Any) -> Any:
        """Return the value in its own type, or raise InputError. The content of tensors is not checked."""
        if isinstance(value, Tensor) and not self.choices and not self.integer:
            return value
        if self.choices:
            if value not in self.choices:
                known = ", ".join(map(repr, self.choices))
                raise InputError(f"{loss}: {name} is {value!r}, but must be one of {known}")
            return value
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise InputError(f"{loss}: {name} is {value!r}, but must be a finite number in {self.range}")
        if self.integer and value != int(value):
            raise InputError(f"{loss}: {name} is {value!r}, but must be a whole number in {self.range}")
        too_low = self.low is not None and (value < self.low or (self.low_open and value == self.low))
        too_high = self.high is not None and (value > self.high or (self.high_open and value == self.high))
        if too_low or too_high:
            raise InputError(f"{loss}: {name} is {value:g}, outside its range {self.range}")
        return int(value) if self.integer else float(value)


def variant(*choices: str, meaning: str) -> Param:
    """The keyword `variant`: which of several readings of the method is computed; the first is the default."""
    return Param(choices[0], choices=choices, meaning=meaning)


@dataclass(frozen=True)
class StateSpec:
    """Memory of samples. See the losses section of docs/architecture.md for who calls what."""

    init: Callable[[int, int, int, Tensor], dict[str, Tensor]]
    refresh: Callable[..., dict[str, Tensor]] | None = None
    update: Callable[..., dict[str, Tensor]] | None = None


@dataclass(frozen=True, eq=False)
class LossSpec:
    """A loss as data.

    core: `core(inputs, targets, *, <hyper-parameters>, [state=], [<tensors>=]) -> values` with any leading axes.
    input: what `inputs` are: "log_probs", "logits" or "cosines", each `(..., N, K)`.
    level: "sample" (values `(..., N)`) or "batch" (values `(...)`).
    soft_targets: whether `targets` may also be a distribution `(..., N, K)`.
    tensors: names of tensors that the core needs besides: "transition" `(..., K, K)`, "class_counts" `(..., K)`.
    optional: names of such tensors that it can use.
    grad: closed form, or None. `grad(log_probs, targets, **hp) -> (g_l, g_s)`, both `(..., N)`, g_s may be None; then
        `d value / d logits = g_l * (onehot - p) + g_s * (1 - K * p)`.
    draw: complementary labels and the like, drawn per batch: `draw(generator, targets, num_classes, **hp) -> Tensor`,
        passed to the core under the name `draw_name`; without it the core takes the exact expectation.
    modules: python modules whose source decides the numbers.
    """

    name: str
    core: Core
    input: str = "log_probs"
    level: str = "sample"
    soft_targets: bool = False
    params: Mapping[str, Param] = field(default_factory=dict)
    tensors: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    state: StateSpec | None = None
    grad: Gradient | None = None
    draw: Callable[..., Tensor | None] | None = None
    draw_name: str = ""
    modules: tuple[str, ...] = ()

    def __reduce__(self) -> tuple[Callable[[str], LossSpec], tuple[str]]:
        """Pickled and copied by name."""
        from losslab.losses.registry import spec

        return spec, (self.name,)

    @property
    def matrix(self) -> bool:
        """Whether the core needs `transition` `(..., K, K)`."""
        return "transition" in self.tensors

    @property
    def card(self) -> LossCard:
        """The description of the loss; loaded on first use."""
        from losslab.losses.cards import card

        return card(self)

    def resolve(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """All hyper-parameters, checked and with defaults filled in. Unknown names and bad values raise InputError."""
        given = dict(given or {})
        for name in given:
            if name not in self.params:
                near = get_close_matches(name, list(self.params), n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                known = ", ".join(f"{key} in {param.range}" for key, param in self.params.items()) or "none"
                raise InputError(f"{self.name} has no hyper-parameter {name!r}{hint} (it has: {known})")
        chosen = {name: given.get(name, param.default) for name, param in self.params.items()}
        return {name: param.check(self.name, name, chosen[name]) for name, param in self.params.items()}


def family(module: str, *specs: LossSpec) -> tuple[LossSpec, ...]:
    """The specs of one file, each stamped with the python modules that decide its numbers."""
    sources = (module, "losslab.losses.numerics")
    return tuple(replace(spec, modules=(*sources, *spec.modules)) for spec in specs)


def check_extra_tensor(loss: str, name: str, value: Tensor | None, num_classes: int) -> Tensor:
    """A transition matrix or class counts, as a tensor of the right shape; raises InputError."""
    if value is None:
        raise InputError(f"{loss} needs {name}: pass {name}=...")
    tensor = torch.as_tensor(value)
    shape = (num_classes, num_classes) if name == "transition" else (num_classes,)
    if tuple(tensor.shape) != shape:
        raise InputError(f"{loss}: {name} has shape {tuple(tensor.shape)}, expected {shape}")
    tensor = tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"{loss}: {name} has entries that are not finite")
    if name == "transition":
        if bool((tensor < 0).any()) or bool(((tensor.sum(-1) - 1).abs() > 1e-3).any()):
            raise InputError(f"{loss}: the rows of transition must be non-negative and sum to 1")
    elif bool((tensor <= 0).any()):
        raise InputError(f"{loss}: {name} must be positive")
    return tensor
