"""The description of each loss, for people and for checks.

Texts live here and not beside the cores, so that editing a description never looks like editing a loss.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslab.losses.spec import LossSpec, Param

_TEXTS = ("classic", "bounded", "normalised", "margin", "corrected", "extensions", "imbalance")


@dataclass(frozen=True)
class Bound:
    """A number that depends on the number of classes K and the hyper-parameters h: as text and as a function."""

    text: str
    value: Callable[[int, Mapping[str, Any]], float]

    def __call__(self, num_classes: int, hyperparameters: Mapping[str, Any]) -> float:
        """The number."""
        return self.value(num_classes, hyperparameters)


@dataclass(frozen=True)
class Properties:
    """What is claimed of a loss L(p, y), to be verified by computation over predictions p and labels y.

    kind: "active" (only the label's term is in the formula), "passive" (other classes' terms are), "mixed", "" (no claim).
    symmetric: the sum over labels y of L(p, y) is the same for every prediction p.
    class_sum_low, class_sum_high: bounds of that sum; None: not bounded, or no claim (see `bounded_sum`).
    low, high: bounds of L itself; None: not bounded, or no claim.
    ratio: the loss is asymmetric for label weights w whose largest is at least `ratio` times the second largest; 1: for all
        weights; inf: for none. None: no claim.
    condition: what the claims need besides, in words.
    """

    kind: str = ""
    symmetric: bool = False
    class_sum_low: Bound | None = None
    class_sum_high: Bound | None = None
    low: Bound | None = None
    high: Bound | None = None
    ratio: Bound | None = None
    condition: str = ""

    @property
    def bounded(self) -> bool:
        """Whether both bounds of the loss are claimed."""
        return self.low is not None and self.high is not None


@dataclass(frozen=True)
class Text:
    """The written part of a card."""

    title: str
    paper: str
    formula: str
    equation: str = ""
    symbols: Mapping[str, str] = field(default_factory=dict)
    properties: Properties = Properties()
    defaults: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    variants: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    notes: str = ""
    cost: str = ""


@dataclass(frozen=True)
class LossCard:
    """What is known about a loss.

    formula: LaTeX. equation: where in the paper, "" where it could not be checked. symbols: what the letters mean.
    parameters: hyper-parameters with defaults and ranges. defaults: values per data set, as published or released.
    variants: what `variant=` selects. sources: repositories whose code was compared.
    cost: why it takes longer than three cross entropies, where it does (benchmarks/losses.py). input, level: as in LossSpec.
    """

    name: str
    title: str
    paper: str
    equation: str
    formula: str
    symbols: Mapping[str, str]
    parameters: Mapping[str, Param]
    defaults: Mapping[str, Mapping[str, Any]]
    properties: Properties
    variants: Mapping[str, str]
    sources: tuple[str, ...]
    notes: str
    cost: str
    input: str
    level: str
    soft_targets: bool
    needs: tuple[str, ...]

    def __str__(self) -> str:
        return self.markdown()

    def markdown(self) -> str:
        """The card as a section of a page."""
        from losslab.losses.cards.render import markdown

        return markdown(self)


SYMBOLS = MappingProxyType(
    {
        "z": "logits",
        "p": "softmax of the logits",
        "y": "the given label",
        "K": "number of classes",
    }
)


@cache
def _texts() -> dict[str, Text]:
    found: dict[str, Text] = {}
    for module in _TEXTS:
        found.update(import_module(f"{__name__}.{module}").TEXTS)
    return found


def card(spec: LossSpec) -> LossCard:
    """The card of a loss; a sum's is made from its parts', a registered loss's from its spec alone."""
    text = _texts().get(spec.name)
    if text is None:
        from losslab.losses.cards.combine import of_spec, of_sum

        text = of_sum(spec, _texts()) if "+" in spec.name else of_spec(spec)
    return LossCard(
        name=spec.name,
        title=text.title,
        paper=text.paper,
        equation=text.equation,
        formula=text.formula,
        symbols={**SYMBOLS, **text.symbols},
        parameters=dict(spec.params),
        defaults=text.defaults,
        properties=text.properties,
        variants=text.variants,
        sources=text.sources,
        notes=text.notes,
        cost=text.cost,
        input=spec.input,
        level=spec.level,
        soft_targets=spec.soft_targets,
        needs=(*spec.tensors, *(("index",) if spec.state is not None else ())),
    )
