"""All losses by name, and the sums `a+b` made on demand."""

from __future__ import annotations

from difflib import get_close_matches

from losslab.errors import InputError
from losslab.losses import (
    asymmetric,
    bootstrap,
    correction,
    cross_entropy,
    dmi,
    elr,
    focal,
    gce,
    imae,
    label_aware,
    ldr,
    logit_growth,
    margin,
    nlnl,
    normalised,
    sums,
    symmetric,
)
from losslab.losses.spec import LossSpec

FAMILIES = (
    cross_entropy,
    label_aware,
    focal,
    gce,
    symmetric,
    imae,
    dmi,
    normalised,
    asymmetric,
    margin,
    bootstrap,
    correction,
    nlnl,
    elr,
    ldr,
    logit_growth,
)

_SPECS: dict[str, LossSpec] = {spec.name: spec for module in FAMILIES for spec in module.SPECS}
_SUMS: dict[str, LossSpec] = {}


def names() -> tuple[str, ...]:
    """The names of all losses; sums `a+b` of two of them (sample level) are losses too."""
    return tuple(_SPECS)


def spec(name: str) -> LossSpec:
    """The loss of that name as data. Raises InputError for an unknown name, with the nearest known ones."""
    if name in _SPECS:
        return _SPECS[name]
    if name not in _SUMS:
        parts = [_known(part) for part in str(name).split("+")]
        if len(parts) != 2:
            raise InputError(f"{name!r}: a sum has exactly two parts, as in 'nce+rce'")
        _SUMS[name] = sums.compose(parts[0], parts[1])
    return _SUMS[name]


def register(new: LossSpec) -> LossSpec:
    """Add a loss under its own name, which must be new and made of letters, digits and underscores."""
    if not new.name.isidentifier() or new.name in _SPECS:
        raise InputError(f"cannot register a loss named {new.name!r}: the name is taken or not a plain word")
    _SPECS[new.name] = new
    return new


def _known(part: str) -> LossSpec:
    if part not in _SPECS:
        near = get_close_matches(part.lower(), names(), n=3, cutoff=0.5)
        hint = f"; did you mean {' or '.join(near)}?" if near else f" (known: {', '.join(names())})"
        raise InputError(f"unknown loss {part!r}{hint}")
    return _SPECS[part]
