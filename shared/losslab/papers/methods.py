"""Methods of a paper with their grids written out."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from losslab.errors import InputError
from losslab.papers.patches import merged
from losslab.papers.spec import Method, Scalar

_PARTS = ("model", "head", "regulariser")


@dataclass(frozen=True)
class Resolved:
    """One row: its name in the tables, the text of its setting, and how it is trained."""

    name: str
    setting: str
    template: str
    method: Method


def resolve(methods: Mapping[str, Method], where: str) -> dict[str, tuple[Resolved, ...]]:
    """Template name -> rows. A method without a grid is one row of its own name. Raises InputError."""
    result: dict[str, tuple[Resolved, ...]] = {}
    taken: dict[tuple[str, str], str] = {}
    for template, method in methods.items():
        rows = tuple(_rows(template, method, f"{where}: methods.{template}"))
        for row in rows:
            identity = (row.name, row.setting)
            if identity in taken:
                other = taken[identity]
                hint = (
                    "let `name` or `setting` tell the grid's rows apart"
                    if other == template
                    else f"methods.{other} gives the same"
                )
                raise InputError(
                    f"{where}: methods.{template}: two rows with name {row.name!r} and setting {row.setting!r}: {hint}"
                )
            taken[identity] = template
        result[template] = rows
    return result


def _rows(template: str, method: Method, where: str) -> list[Resolved]:
    if not method.grid:
        return [Resolved(template, method.setting, template, method)]
    rows = []
    form = method.name or f"{template} (" + ", ".join(f"{_last(key)}={{{_word(key)}}}" for key in method.grid) + ")"
    for values in itertools.product(*method.grid.values()):
        chosen = dict(zip(method.grid, values, strict=True))
        words = {_last(key): value for key, value in chosen.items()} | {
            _word(key): value for key, value in chosen.items()
        }
        name, setting = (
            _format(text, words, key, where) for key, text in (("name", form), ("setting", method.setting))
        )
        rows.append(Resolved(name, setting, template, _with(method, chosen)))
    return rows


def _word(key: str) -> str:
    return key.replace(".", "_")


def _last(key: str) -> str:
    return key.rpartition(".")[2]


def _format(text: str, words: Mapping[str, Scalar], key: str, where: str) -> str:
    try:
        return text.format(**words)
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise InputError(
            f"{where}.{key}: {text!r} cannot be filled ({error}); allowed: {', '.join(f'{{{word}}}' for word in words)}"
        ) from None


def _with(method: Method, chosen: Mapping[str, Scalar]) -> Method:
    """The method with one point of its grid written into its parts."""
    changed: dict[str, Any] = {"grid": {}, "name": None}
    params: dict[str, Any] = dict(method.params)
    for key, value in chosen.items():
        part, _, name = key.partition(".")
        if part in _PARTS and name:
            changed[part] = merged(changed.get(part, getattr(method, part)), {"params": {name: value}})
        elif part in ("recipe", "data") and name:
            changed[part] = merged(changed.get(part, getattr(method, part)), {name: value})
        else:
            params[key] = value
    return method.model_copy(update={**changed, "params": params})
