"""The description of each loss, for people and for checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from losslab.losses.spec import LossSpec


@dataclass(frozen=True)
class LossCard:
    """Description of a loss."""

    name: str


def card(spec: LossSpec) -> LossCard:
    """The card of a loss."""
    return LossCard(spec.name)
