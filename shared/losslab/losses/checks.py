"""Form checks of the module and function forms; the core functions check nothing."""

from __future__ import annotations

import torch
from torch import Tensor

from losslab.errors import InputError
from losslab.losses.spec import LossSpec

REDUCTIONS = ("mean", "sum", "none")
HALF = (torch.float16, torch.bfloat16)


def check_reduction(reduction: str) -> None:
    """Raise InputError unless the reduction is known."""
    if reduction not in REDUCTIONS:
        raise InputError(f"reduction is {reduction!r}, but must be one of {', '.join(map(repr, REDUCTIONS))}")


def check_form(spec: LossSpec, logits: Tensor, targets: Tensor, num_classes: int | None = None) -> None:
    """Raise InputError unless logits are `(N, K)` floats and targets `(N,)` int64 in [0, K), or soft `(N, K)`."""
    what = "cosines" if spec.input == "cosines" else "logits"
    if not isinstance(logits, Tensor) or not isinstance(targets, Tensor):
        raise InputError(f"{spec.name}: {what} and targets must be tensors")
    if not logits.is_floating_point():
        raise InputError(f"{spec.name}: {what} have dtype {logits.dtype}, expected a floating-point type")
    if logits.dim() != 2 or logits.shape[0] == 0 or logits.shape[1] < 2:
        raise InputError(f"{spec.name}: {what} have shape {tuple(logits.shape)}, expected (N, K) with N >= 1, K >= 2")
    if num_classes is not None and logits.shape[1] != num_classes:
        raise InputError(f"{spec.name}: {what} have {logits.shape[1]} classes, expected {num_classes}")
    if targets.is_floating_point():
        if not spec.soft_targets:
            raise InputError(f"{spec.name}: targets have dtype {targets.dtype}, expected int64 labels")
        if targets.shape != logits.shape:
            raise InputError(
                f"{spec.name}: soft targets have shape {tuple(targets.shape)}, expected {tuple(logits.shape)}"
            )
        _check_distribution(spec.name, targets)
        return
    if targets.dtype != torch.int64:
        raise InputError(f"{spec.name}: targets have dtype {targets.dtype}, expected int64 (use targets.long())")
    if targets.shape != logits.shape[:1]:
        raise InputError(f"{spec.name}: targets have shape {tuple(targets.shape)}, expected {tuple(logits.shape[:1])}")
    _check_range(spec.name, "targets", targets, logits.shape[1])


def check_index(name: str, index: Tensor | None, targets: Tensor, size: int) -> Tensor:
    """Raise InputError unless index is `(N,)` int64 in [0, size)."""
    if index is None:
        raise InputError(f"{name} remembers samples: pass index=, the sample ids of the batch")
    if index.dtype != torch.int64 or index.shape != targets.shape[:1]:
        expected = tuple(targets.shape[:1])
        raise InputError(f"{name}: index is {index.dtype} {tuple(index.shape)}, expected torch.int64 {expected}")
    _check_range(name, "index", index, size)
    return index


def _check_distribution(name: str, targets: Tensor) -> None:
    extremes = _read(torch.stack([targets.min(), (targets.sum(-1) - 1).abs().max()]))
    if extremes is not None and not (extremes[0] >= 0 and extremes[1] <= 1e-2):
        raise InputError(f"{name}: soft targets must be non-negative and sum to 1 over the classes")


def _read(values: Tensor) -> list[float] | None:
    """The numbers in a tensor; None where nothing can be read (compiling, vmap, CUDA graph capture)."""
    if torch.compiler.is_compiling() or (values.is_cuda and torch.cuda.is_current_stream_capturing()):
        return None
    try:
        return values.tolist()  # type: ignore[no-any-return]
    except RuntimeError:
        return None


def _check_range(name: str, what: str, values: Tensor, size: int) -> None:
    extremes = _read(torch.stack([values.min(), values.max()]))
    if extremes is None:
        return
    low, high = extremes
    if low < 0 or high >= size:
        raise InputError(f"{name}: {what} lie in [{low}, {high}], expected [0, {size - 1}]")
