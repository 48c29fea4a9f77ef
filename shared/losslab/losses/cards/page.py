"""The pages in docs/losses/, generated from the cards: `python -m losslab.losses.cards.page docs/losses`.

The same cards give the same bytes. Pictures are drawn by `losslab.analysis.pictures`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from losslab.losses import regularisers
from losslab.losses.cards.render import markdown, traits
from losslab.losses.registry import FAMILIES, names, spec

INDEX = "README.md"
COLUMNS = ("loss", "title", "kind", "symmetric", "bounded", "asymmetric", "hyper-parameters")
_HEAD = """# Catalogue of losses

Made from the cards by `python -m losslab.losses.cards.page docs/losses`; edit the cards in `shared/losslab/losses/cards/`, not these pages. How to
use, sum and add losses: [../losses.md](../losses.md).

*kind*: active or passive (Ma et al. 2020). *symmetric*: the sum over all labels is the same for every prediction (Ghosh et al. 2017); "if": under the
condition on its page. *bounded*: "below" where only a lower bound is known. *asymmetric*: the vertex of the dominant class stays the minimiser under
label weights (Zhou et al. 2021), always, never, or where the largest weight is at least a ratio times the next. Empty: no claim. The tests hold every
claim against a computation (`losslab.analysis.properties`).
"""


def picture(name: str) -> str:
    """The file with the picture of a loss."""
    return f"{name}.png"


def page(name: str) -> str:
    """The page of one loss."""
    found = spec(name)
    line = "angle to the label's prototype" if found.input == "cosines" else "probability of the label"
    shown = f"![Value and gradient of {name} against the {line}]({picture(name)})"
    return markdown(found.card, 1, shown).rstrip("\n") + f"\n\n[All losses]({INDEX})\n"


def index() -> str:
    """All losses by family in the order of the registry, with their properties, and the regularisers."""
    lines = [_HEAD]
    for family in FAMILIES:
        lines += [
            f"## {(family.__doc__ or '').splitlines()[0].rstrip('.')}",
            "",
            _row(COLUMNS),
            _row(["---"] * len(COLUMNS)),
        ]
        for found in family.SPECS:
            numbers = ", ".join(f"`{key}` = {_short(param.default)}" for key, param in found.params.items())
            lines.append(
                _row(
                    [
                        f"[`{found.name}`]({found.name}.md)",
                        found.card.title,
                        *traits(found.card.properties).values(),
                        numbers,
                    ]
                )
            )
        lines.append("")
    lines += ["## Regularisers", "", "| name | function of | hyper-parameters | meaning |", "| --- | --- | --- | --- |"]
    for name in regularisers.names():
        penalty = regularisers.spec(name)
        numbers = ", ".join(f"`{key}` = {_short(param.default)}" for key, param in penalty.params.items())
        lines.append(f"| `{name}` | {', '.join(penalty.inputs)} | {numbers} | {penalty.meaning} |")
    return "\n".join(lines) + "\n"


def texts() -> dict[str, str]:
    """Every generated text by file name."""
    return {INDEX: index(), **{f"{name}.md": page(name) for name in names()}}


def write(folder: Path) -> None:
    """Texts and pictures; pages of losses that are gone are removed."""
    from losslab.analysis.pictures import draw

    folder.mkdir(parents=True, exist_ok=True)
    made = texts()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8")
    for name in names():
        draw(name, folder / picture(name))
    for old in folder.iterdir():
        if old.name not in made and old.name not in map(picture, names()):
            old.unlink()


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
