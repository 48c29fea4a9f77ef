"""`losslab losses`: the catalogue."""

from __future__ import annotations

from losslab.cli.console import console, table


def losses(name: str | None) -> int:
    """Print every loss in one line, or one card in full."""
    from losslab import losses as library
    from losslab.losses.cards.render import traits

    out = console()
    if name is not None:
        out.print(str(library.describe(name)), markup=False)
        return 0
    shown = table("loss", "kind", "symmetric", "bounded", "asymmetric", "hyper-parameters", "from")
    for each in library.names():
        spec = library.spec(each)
        hyper = ", ".join(f"{key}={_short(value.default)} in {value.range}" for key, value in spec.params.items())
        shown.add_row(each, *traits(spec.card.properties).values(), hyper, spec.card.paper)
    out.print(shown)
    out.print(
        "symmetric: if = under a condition; bounded: below = from below only; asymmetric: see the card; empty: no claim."
    )
    out.print("Any two can be added: losslab losses nce+rce", markup=False)
    return 0


def _short(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
