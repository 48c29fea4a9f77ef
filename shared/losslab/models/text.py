"""The sentence classifier of L_DMI's MR experiment."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from losslab.errors import InputError
from losslab.models.init import Init, initialise
from losslab.models.layers import SeededDropout
from losslab.models.parts import Backbone, InShape


class WordImage(nn.Module):
    """Embedded words `(N, L, E)` as images of E channels, L high and 1 wide; with one more leading axis in a stack."""

    leading_axes = True

    def forward(self, x: Tensor) -> Tensor:
        return x.mT.unsqueeze(-1)


class KimCNN(nn.Module):
    """Word numbers `(N, L)` to features: convolutions of several widths side by side, each maximal over the sentence."""

    def __init__(self, vocabulary: int, embedding: int, widths: Sequence[int], filters: int, dropout: float) -> None:
        super().__init__()
        self.embed = nn.Sequential(nn.Embedding(vocabulary, embedding), WordImage())
        self.branches = nn.ModuleList(
            nn.Sequential(nn.Conv2d(embedding, filters, (width, 1)), nn.Tanh(), nn.AdaptiveMaxPool2d(1), nn.Flatten())
            for width in widths
        )
        self.dropout = SeededDropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        words = self.embed(x)
        out: Tensor = self.dropout(torch.cat([branch(words) for branch in self.branches], dim=-1))
        return out


def text_cnn(
    in_shape: InShape, *, vocabulary: int = 50_000, embedding: int = 128, widths: Sequence[int] = (3, 4, 5),
    filters: int = 100, dropout: float = 0.5, init: Init = "default",
) -> Backbone:  # fmt: skip
    """Kim's sentence network as L_DMI uses it: `in_shape = (length,)` word numbers below `vocabulary`, tanh, dropout."""
    if len(in_shape) != 1 or in_shape[0] < max(widths):
        raise InputError(
            f"text_cnn takes sentences, in_shape = (length,) of at least {max(widths)} words, got {in_shape}"
        )
    backbone = KimCNN(vocabulary, embedding, widths, filters, dropout)
    initialise(backbone, init)
    return Backbone(backbone, filters * len(widths), init)
