"""Layers that torch lacks in a form that works for one model and for a stack of models.

A stack carries images as `(B, M*C, H, W)`, all channels of model 0 first. A module that has to tell the models apart reads
its attribute `copies`, which is 1 in a single model and M in a stack.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

_MASK_BITS = 0xFFFFFFFF


class ChannelPad(nn.Module):
    """Parameter-free shortcut: keep every `stride`-th pixel, add zero channels before and after (He et al. 2016, option A).

    `(N, C, H, W)` to `(N, before + C + after, ceil(H / stride), ceil(W / stride))`.
    """

    def __init__(self, before: int, after: int, stride: int = 2) -> None:
        super().__init__()
        self.before, self.after, self.stride = before, after, stride
        self.copies = 1

    def forward(self, x: Tensor) -> Tensor:
        kept = x[..., :: self.stride, :: self.stride].unflatten(1, (self.copies, -1))
        return F.pad(kept, (0, 0, 0, 0, self.before, self.after)).flatten(1, 2)

    def extra_repr(self) -> str:
        return f"{self.before}, {self.after}, stride={self.stride}"


class SplitModels(nn.Module):
    """Images out of a stack: `(B, M*C, H, W)` to `(M, B, C, H, W)`; nothing to do in a single model."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def forward(self, x: Tensor) -> Tensor:
        return x.unflatten(1, (self.copies, -1)).transpose(0, 1) if self.copies else x


class GroupModels(nn.Module):
    """Raw images into a stack: `(M, B, C, H, W)` to `(B, M*C, H, W)`; nothing to do in a single model."""

    def __init__(self) -> None:
        super().__init__()
        self.copies = 0

    def forward(self, x: Tensor) -> Tensor:
        return x.expand(self.copies, -1, -1, -1, -1).transpose(0, 1).flatten(1, 2) if self.copies else x


class SeededDropout(nn.Module):
    """Dropout whose masks depend on the model's own seed and step alone, not on its neighbours in a stack.

    Features `(N, d)` or `(M, N, d)`. The mask of element i at step t is a hash of (seed, t, i), the same on every device; no
    generator is consumed, so it can be captured in a CUDA graph. The seed comes from torch's generator when the module is built.
    """

    leading_axes = True
    seed: Tensor
    step: Tensor

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p = p
        self.register_buffer("seed", torch.randint(2**31, ()))
        self.register_buffer("step", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        state = _mix(_mix(self.seed) ^ self.step)
        self.step += 1
        index = torch.arange(x.shape[-2] * x.shape[-1], device=x.device).view(x.shape[-2], x.shape[-1])
        keep = _mix(index ^ state[..., None, None]) >= int(self.p * 2**32)
        return x * (keep / (1 - self.p)).to(x.dtype)

    def extra_repr(self) -> str:
        return f"p={self.p}"


def _mix(x: Tensor) -> Tensor:
    """A 32-bit integer hash (two rounds of xor-shift and multiply) in int64 arithmetic."""
    for factor in (0x7FEB352D, 0x846CA68B):
        x = ((x ^ (x >> 16)) * factor) & _MASK_BITS
    return x ^ (x >> 16)
