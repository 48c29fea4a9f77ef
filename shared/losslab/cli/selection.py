"""`--where KEY=VALUE[,VALUE]`: a part of a paper's trainings, chosen by the keys of its tables."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from losslab.errors import InputError, near

if TYPE_CHECKING:
    from losslab.papers import Cell

OTHERS = ("loss", "model", "data", "seed")  # what can be asked for besides the key columns of the results frame


def chosen(cells: Sequence[Cell], where: Sequence[str]) -> list[Cell]:
    """The cells that every condition leaves. Conditions on the same key add up: any of the values will do.

    A key is a column of the results frame (experiment, dataset, noise_type, noise_rate, setting, method) or one of `OTHERS`. Values are
    written as in the frame, several after one another with commas (a method's own commas are understood).
    Raises InputError for an unknown key or value, or where nothing is left; the message lists what there is.
    """
    if not where or not cells:
        return list(cells)
    wanted: dict[str, set[str]] = {}
    for condition in where:
        key, mark, text = condition.partition("=")
        key = key.strip()
        known = [*cells[0].keys, *OTHERS]
        if not mark:
            raise InputError(f"--where {condition!r}: write it as KEY=VALUE, with a key of {', '.join(known)}")
        if key not in known:
            raise InputError(f"--where {condition!r}: {near('key', key, known)}")
        there = list(dict.fromkeys(value_of(cell, key) for cell in cells))
        wanted.setdefault(key, set()).update(_values(text, there, condition))
    left = [cell for cell in cells if all(value_of(cell, key) in values for key, values in wanted.items())]
    if not left:
        raise InputError(
            f"--where {' '.join(where)!r}: every value is there, but no training has all of them together; "
            "`--dry-run` without --where lists the trainings"
        )
    return left


def value_of(cell: Cell, key: str) -> str:
    """A cell's value of a key as it is written on the command line."""
    run = cell.run
    others: dict[str, Any] = {"loss": run.loss.name, "model": run.model.name, "data": run.data.name, "seed": run.seed}
    value = others[key] if key in others else cell.keys[key]
    if isinstance(value, float):
        return f"{value:g}"
    return "none" if value is None else str(value)


def _values(text: str, there: Sequence[str], condition: str) -> list[str]:
    """The values in a text; a value that holds commas itself is found by trying the longest piece first."""
    pieces, found, start = [piece.strip() for piece in text.split(",")], [], 0
    while start < len(pieces):
        for stop in range(len(pieces), start, -1):
            name = _same(",".join(pieces[start:stop]), there)
            if name is not None:
                found.append(name)
                start = stop
                break
        else:
            key = condition.partition("=")[0].strip()
            raise InputError(f"--where {condition!r}: no {key} {pieces[start]!r} here; there are: {', '.join(there)}")
    return found


def _same(text: str, there: Sequence[str]) -> str | None:
    """The value that a text means: written alike but for spaces and case, or the same number."""
    plain = _plain(text)
    for value in there:
        if _plain(value) == plain:
            return value
    try:
        number = float(text)
    except ValueError:
        return None
    for value in there:
        try:
            if float(value) == number:
                return value
        except ValueError:
            continue
    return None


def _plain(text: str) -> str:
    return "".join(text.split()).lower()
