"""Cards of sums and of losses that were registered from outside."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from losslab.losses.cards import Bound, Properties, Text
from losslab.losses.spec import LossSpec


def of_spec(spec: LossSpec) -> Text:
    """What a spec alone tells."""
    return Text(title=spec.name, paper="not given", formula="", notes=(spec.core.__doc__ or "").strip())


def of_sum(spec: LossSpec, texts: Mapping[str, Text]) -> Text:
    """The card of `a+b`, from those of a and b."""
    from losslab.losses.registry import spec as find

    parts = [find(name) for name in spec.name.split("+")]
    cards = [texts.get(part.name) or of_spec(part) for part in parts]
    kinds = [card.properties.kind for card in cards]
    return Text(
        title=" + ".join(card.title for card in cards),
        paper="; ".join(dict.fromkeys(card.paper for card in cards)),
        formula=r"\alpha \left(" + cards[0].formula + r"\right) + \beta \left(" + cards[1].formula + r"\right)",
        symbols={r"\alpha": "alpha", r"\beta": "beta", **cards[0].symbols, **cards[1].symbols},
        properties=Properties(
            kind=kinds[0] if kinds[0] == kinds[1] else "mixed" if all(kinds) else "",
            symmetric=all(card.properties.symmetric for card in cards),
            condition="; ".join(card.properties.condition for card in cards if card.properties.condition),
            **{key: _both(parts, [getattr(card.properties, key) for card in cards], spec) for key in BOUNDS},
        ),
        defaults={
            f"{part.name}: {key}": value
            for part, card in zip(parts, cards, strict=True)
            for key, value in card.defaults.items()
        },
        variants={
            f"{part.name}: {key}": value
            for part, card in zip(parts, cards, strict=True)
            for key, value in card.variants.items()
        },
        sources=tuple(dict.fromkeys(source for card in cards for source in card.sources)),
        notes="Weighted sum of two losses.",
        cost="; ".join(f"{part.name}: {card.cost}" for part, card in zip(parts, cards, strict=True) if card.cost),
    )


BOUNDS = ("class_sum_low", "class_sum_high", "low", "high")


def _both(parts: list[LossSpec], bounds: list[Bound | None], spec: LossSpec) -> Bound | None:
    """alpha times the one bound plus beta times the other, where both exist."""
    one, two = bounds
    if one is None or two is None:
        return None

    def value(num_classes: int, given: Mapping[str, Any]) -> float:
        total = 0.0
        for part, bound, weight in zip(parts, (one, two), ("alpha", "beta"), strict=True):
            own = {
                key: given[f"{part.name}.{key}" if f"{part.name}.{key}" in spec.params else key] for key in part.params
            }
            total += given[weight] * bound(num_classes, own)
        return total

    return Bound(f"alpha ({one.text}) + beta ({two.text})", value)
