"""The catalogue in docs/losses.md, generated from the cards: `python -m losslab.losses.cards.page docs/losses.md`."""

from __future__ import annotations

import sys
from pathlib import Path

from losslab.losses import regularisers
from losslab.losses.registry import FAMILIES

START = "<!-- generated from the cards: do not edit below -->"


def catalogue() -> str:
    """All cards, by family in the order of the registry, and the regularisers."""
    lines = ["## Catalogue", ""]
    for family in FAMILIES:
        lines += [spec.card.markdown() for spec in family.SPECS]
    lines += ["## Regularisers", "", "| name | function of | hyper-parameters | meaning |", "| --- | --- | --- | --- |"]
    for name in regularisers.names():
        spec = regularisers.spec(name)
        numbers = ", ".join(f"`{key}` = {param.default}" for key, param in spec.params.items())
        lines.append(f"| `{name}` | {', '.join(spec.inputs)} | {numbers} | {spec.meaning} |")
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """The page with its written part kept and its generated part renewed."""
    return text.split(START)[0] + START + "\n\n" + catalogue()


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.write_text(page(target.read_text()))
