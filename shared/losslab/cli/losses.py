"""`losslab losses`: the catalogue."""

from __future__ import annotations

from losslab.cli.console import console, table


def losses(name: str | None) -> int:
    """Print every loss in one line, or one card in full."""
    from losslab import losses as library

    out = console()
    if name is not None:
        out.print(str(library.describe(name)), markup=False)
        return 0
    shown = table("loss", "hyper-parameters", "from")
    for each in library.names():
        spec = library.spec(each)
        hyper = ", ".join(f"{key}={value.default} in {value.range}" for key, value in spec.params.items())
        shown.add_row(each, hyper, str(getattr(spec.card, "paper", "")))
    out.print(shown)
    out.print("Any two can be added: losslab losses nce+rce", markup=False)
    return 0
