"""Small building blocks of all cores: no host reads, no data-dependent branches, any leading axes.

`Number` is a Python float or a tensor that broadcasts against `(..., N)`.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

Number = float | Tensor


def pick(values: Tensor, targets: Tensor) -> Tensor:
    """`values[..., n, targets[..., n]]`: from `(..., N, K)` and `(..., N)` to `(..., N)`."""
    return values.gather(-1, targets.unsqueeze(-1)).squeeze(-1)


def onehot(targets: Tensor, like: Tensor) -> Tensor:
    """0/1 indicators `(..., N, K)` in the dtype of `like`, from labels `(..., N)`; soft targets pass unchanged."""
    if targets.dim() == like.dim():
        return targets.to(like.dtype)
    classes = torch.arange(like.shape[-1], device=like.device)
    return (targets.unsqueeze(-1) == classes).to(like.dtype)


def target_mask(targets: Tensor, num_classes: int) -> Tensor:
    """True at the label, `(..., N, K)`."""
    return targets.unsqueeze(-1) == torch.arange(num_classes, device=targets.device)


def per_class(number: Number) -> Number:
    """A number that broadcasts against `(..., N)`, made to broadcast against `(..., N, K)`."""
    return number.unsqueeze(-1) if isinstance(number, Tensor) else number


def per_stack(number: Number) -> Number:
    """A number that broadcasts against `(..., N)`, made to broadcast against `(...)`: a last axis of 1 goes."""
    return number.squeeze(-1) if isinstance(number, Tensor) and number.dim() > 0 else number


def one_minus_exp(log_p: Tensor) -> Tensor:
    """`1 - p` from `log p`, exact near p = 1, never below the smallest normal number (powers and logs stay safe)."""
    return (-torch.expm1(log_p)).clamp_min(torch.finfo(log_p.dtype).tiny)


def box_cox(log_x: Tensor, power: Number) -> Tensor:
    """`(x ** power - 1) / power` from `log x`, and `log x` where the power is 0.

    Beyond an exponent of 60 the exponential goes on along its tangent, so that float32 stays finite.
    """
    u = log_x * power
    small = u == 0
    safe = torch.where(small, torch.ones_like(u), u)
    growth = torch.expm1(safe.clamp_max(60.0)) + (safe - 60.0).clamp_min(0.0) * math.exp(60.0)
    return log_x * torch.where(small, torch.ones_like(u), growth / safe)


def others_logsumexp(values: Tensor, targets: Tensor) -> Tensor:
    """`log sum over j != y of exp(values_j)`, `(..., N)`."""
    mask = target_mask(targets, values.shape[-1])
    return torch.logsumexp(values.masked_fill(mask, -torch.inf), dim=-1)


def number_log(number: Number) -> Number:
    """Natural logarithm of a float or a tensor."""
    return torch.log(number) if isinstance(number, Tensor) else math.log(number)


def number_cos(number: Number) -> Number:
    """Cosine of a float or a tensor."""
    return torch.cos(number) if isinstance(number, Tensor) else math.cos(number)


def number_sin(number: Number) -> Number:
    """Sine of a float or a tensor."""
    return torch.sin(number) if isinstance(number, Tensor) else math.sin(number)


def at_most(number: Number, bound: float) -> Number:
    """The smaller of a float or tensor and a bound."""
    return number.clamp_max(bound) if isinstance(number, Tensor) else min(number, bound)


def reduce(values: Tensor, reduction: str) -> Tensor:
    """The one reducer: "mean", "sum" or "none"."""
    if reduction == "mean":
        return values.mean()
    return values.sum() if reduction == "sum" else values
