"""The module form of every loss, made from its spec."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from losslab.errors import InputError
from losslab.losses.checks import HALF, check_form, check_index, check_reduction
from losslab.losses.numerics import reduce
from losslab.losses.registry import spec as find
from losslab.losses.spec import LossSpec, check_extra_tensor


def evaluate(spec: LossSpec, logits: Tensor, targets: Tensor, **arguments: Any) -> Tensor:
    """The core's values for logits (or cosines); half-precision input is computed in float32 and the result cast back."""
    dtype = logits.dtype
    inputs = logits.float() if dtype in HALF else logits
    if spec.input == "log_probs":
        inputs = torch.log_softmax(inputs, -1)
    if targets.is_floating_point():
        targets = targets.to(inputs.dtype)
    return spec.core(inputs, targets, **arguments).to(dtype)


class Loss(nn.Module):
    """One loss with fixed hyper-parameters: `loss(logits, targets, index=None)`.

    logits `(N, K)` floating (cosines for the margin losses), targets `(N,)` int64, or `(N, K)` where soft targets are
    allowed. Losses that remember samples need `index` `(N,)` in training mode; in evaluation mode (`loss.eval()`) the
    memory is neither read nor written. Half-precision logits are computed in float32; the result has their dtype.
    """

    spec: LossSpec

    def __init__(
        self,
        spec: LossSpec,
        num_classes: int,
        *,
        reduction: str = "mean",
        transition: Tensor | None = None,
        class_counts: Tensor | None = None,
        num_samples: int | None = None,
        seed: int = 0,
        **hyperparameters: Any,
    ) -> None:
        super().__init__()
        if not isinstance(num_classes, int) or isinstance(num_classes, bool) or num_classes < 2:
            raise InputError(f"{spec.name}: num_classes is {num_classes!r}, expected a whole number of at least 2")
        check_reduction(reduction)
        self.spec = spec
        self.num_classes = num_classes
        self.reduction = reduction
        self.hyperparameters = spec.resolve(hyperparameters)
        for name, value in (("transition", transition), ("class_counts", class_counts)):
            if name in spec.tensors or (name in spec.optional and value is not None):
                self.register_buffer(name, check_extra_tensor(spec.name, name, value, num_classes))
            elif value is not None:
                raise InputError(f"{spec.name} takes no {name}")
        if num_samples is not None and spec.state is None:
            raise InputError(f"{spec.name} remembers no samples, so it takes no num_samples")
        self.num_samples = num_samples
        self._state_names: tuple[str, ...] = ()
        if num_samples is not None:
            self._remember(self._fresh_state(torch.zeros(num_samples, dtype=torch.int64)))
        self._generator: torch.Generator | None = None
        self._seed = seed

    def extra_repr(self) -> str:
        """Name, number of classes, hyper-parameters, reduction."""
        numbers = "".join(f", {name}={value}" for name, value in self.hyperparameters.items())
        return f"{self.spec.name!r}, num_classes={self.num_classes}{numbers}, reduction={self.reduction!r}"

    def forward(self, logits: Tensor, targets: Tensor, index: Tensor | None = None, **extra: Tensor) -> Tensor:
        """The loss of one batch, reduced; `extra` replaces tensors that would be drawn (nlnl: `complementary`)."""
        check_form(self.spec, logits, targets, self.num_classes)
        arguments: dict[str, Any] = dict(self.hyperparameters)
        for name in (*self.spec.tensors, *self.spec.optional):
            if hasattr(self, name):
                arguments[name] = getattr(self, name)
        if self.spec.draw is not None:
            arguments.update(extra if extra else self._draw(targets))
        elif extra:
            raise InputError(f"{self.spec.name} takes no {', '.join(extra)}")
        rows = self._rows(targets, index)
        if rows is not None:
            arguments["state"] = rows
        values = evaluate(self.spec, logits, targets, **arguments)
        if rows is not None and index is not None:
            self._update(rows, logits, targets, index)
        return reduce(values, self.reduction)

    @torch.no_grad()
    def refresh(self, log_probs: Tensor, targets: Tensor) -> None:
        """Recompute the memory from the log-probabilities `(n, K)` of the whole training set (truncated GCE: prune)."""
        memory = self.spec.state
        if memory is None or memory.refresh is None:
            raise InputError(f"{self.spec.name} has nothing to refresh")
        if log_probs.dim() != 2 or targets.shape != log_probs.shape[:1]:
            raise InputError(
                f"{self.spec.name}: refresh needs log-probabilities (n, K) and labels (n,), "
                f"got {tuple(log_probs.shape)} and {tuple(targets.shape)}"
            )
        if self.num_samples is not None and log_probs.shape[0] != self.num_samples:
            raise InputError(f"{self.spec.name}: refresh got {log_probs.shape[0]} samples, expected {self.num_samples}")
        if self.num_samples is None:
            self.num_samples = log_probs.shape[0]
            self._remember(self._fresh_state(targets))
        state = {name: value.unsqueeze(0) for name, value in self.state.items()}
        fresh = memory.refresh(state, log_probs.unsqueeze(0), targets.unsqueeze(0), **self.hyperparameters)
        self._remember({name: value.squeeze(0) for name, value in fresh.items()})

    @property
    def state(self) -> dict[str, Tensor]:
        """The memory, one row per sample; empty where there is none."""
        return {name: getattr(self, _buffer(name)) for name in self._state_names}

    def _fresh_state(self, targets: Tensor) -> dict[str, Tensor]:
        assert self.spec.state is not None
        fresh = self.spec.state.init(1, targets.shape[0], self.num_classes, targets.unsqueeze(0))
        return {name: value.squeeze(0) for name, value in fresh.items()}

    def _remember(self, state: dict[str, Tensor]) -> None:
        for name, value in state.items():
            self.register_buffer(_buffer(name), value)
        self._state_names = tuple(state)

    def _rows(self, targets: Tensor, index: Tensor | None) -> dict[str, Tensor] | None:
        memory = self.spec.state
        if memory is None or not self.training:
            return None
        if self.num_samples is None:
            if memory.update is not None:
                raise InputError(f"{self.spec.name} remembers samples: build it with num_samples=")
            return None
        if self.hyperparameters.get("variant") == "direct":
            return None
        ids = check_index(self.spec.name, index, targets, self.num_samples)
        return {name: value[ids] for name, value in self.state.items()}

    @torch.no_grad()
    def _update(self, rows: dict[str, Tensor], logits: Tensor, targets: Tensor, index: Tensor) -> None:
        memory = self.spec.state
        if memory is None or memory.update is None:
            return
        inputs = logits.detach().float() if logits.dtype in HALF else logits.detach()
        if self.spec.input == "log_probs":
            inputs = torch.log_softmax(inputs, -1)
        fresh = memory.update(rows, inputs, targets, **self.hyperparameters)
        for name, value in fresh.items():
            store = getattr(self, _buffer(name))
            store[index] = value.to(store.dtype)

    def _draw(self, targets: Tensor) -> dict[str, Tensor]:
        assert self.spec.draw is not None
        if self._generator is None:
            self._generator = torch.Generator().manual_seed(self._seed)
        drawn = self.spec.draw(self._generator, targets, self.num_classes, **self.hyperparameters)
        return {} if drawn is None else {self.spec.draw_name: drawn}


def _buffer(name: str) -> str:
    """State names may hold a dot (sums), buffer names may not."""
    return "memory_" + name.replace(".", "_of_")


def build(name: str, num_classes: int, **arguments: Any) -> Loss:
    """The module form of a loss, or of a sum such as "nce+rce".

    Arguments: the loss's hyper-parameters (`describe(name)` lists them), `reduction` ("mean", "sum" or "none"), and where
    the loss needs them `transition` `(K, K)`, `class_counts` `(K,)`, `num_samples` (size of the training set), `seed` (of
    drawn labels). Raises InputError for anything else.

    >>> loss = build("gce", 10, q=0.7)
    >>> loss(torch.zeros(4, 10), torch.tensor([0, 1, 2, 3])).item()  # (1 - 0.1 ** 0.7) / 0.7
    1.1435339450836182
    """
    return Loss(find(name), num_classes, **arguments)


def function(spec: LossSpec) -> Callable[..., Tensor]:
    """The function form: `f(logits, targets, *, <hyper-parameters>, reduction="mean", [transition=], [state=])`."""

    def call(
        logits: Tensor,
        targets: Tensor,
        *,
        reduction: str = "mean",
        index: Tensor | None = None,
        state: dict[str, Tensor] | None = None,
        **arguments: Any,
    ) -> Tensor:
        check_reduction(reduction)
        check_form(spec, logits, targets)
        extra: dict[str, Any] = {}
        for name in (*spec.tensors, *spec.optional):
            value = arguments.pop(name, None)
            if value is not None or name in spec.tensors:
                extra[name] = check_extra_tensor(spec.name, name, value, logits.shape[1]).to(logits.device)
        if spec.draw is not None and spec.draw_name in arguments:
            extra[spec.draw_name] = arguments.pop(spec.draw_name)
        if spec.state is not None and state is not None:
            extra["state"] = state
        elif state is not None:
            raise InputError(f"{spec.name} remembers no samples, so it takes no state")
        return reduce(evaluate(spec, logits, targets, **spec.resolve(arguments), **extra), reduction)

    call.__name__ = call.__qualname__ = spec.name
    call.__doc__ = spec.core.__doc__
    keyword = inspect.Parameter.KEYWORD_ONLY
    call.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
        [
            inspect.Parameter("logits", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            inspect.Parameter("targets", inspect.Parameter.POSITIONAL_OR_KEYWORD),
            *(inspect.Parameter(name, keyword) for name in spec.tensors),
            *(inspect.Parameter(name, keyword, default=None) for name in spec.optional),
            *(
                inspect.Parameter(name, keyword, default=param.default)
                for name, param in spec.params.items()
                if name.isidentifier()
            ),
            inspect.Parameter("reduction", keyword, default="mean"),
        ]
    )
    return call
