"""Named recipes and stand-ins that papers share; the numbers are in recipes.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from losslab.errors import InputError
from losslab.papers.messages import explain, near, show_path
from losslab.papers.patches import DataPatch, PartPatch, RecipePatch, merged
from losslab.papers.yamlfile import read_yaml
from losslab.runs.spec import Recipe

FILE = Path(__file__).with_name("recipes.yaml")


class _Entry(BaseModel):
    """One recipe: what it is for, what it starts from, and its numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    recipe: RecipePatch


class StandIn(BaseModel):
    """Embedded data with the model and the recipe that suit it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    about: str
    data: DataPatch
    stand_in: str
    model: PartPatch
    recipe: RecipePatch


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    recipes: dict[str, _Entry]
    stand_ins: dict[str, StandIn]


@cache
def _file() -> _File:
    try:
        return _File.model_validate(read_yaml(FILE))
    except ValidationError as error:
        raise explain(error, show_path(FILE), _File) from None


def names() -> tuple[str, ...]:
    """Names of the shared recipes."""
    return tuple(_file().recipes)


def stand_ins() -> tuple[str, ...]:
    """Names of the shared stand-ins."""
    return tuple(_file().stand_ins)


def stand_in(name: str) -> StandIn:
    """Stand-in by name. Raises InputError."""
    if name not in _file().stand_ins:
        raise InputError(near("stand-in", name, stand_ins()))
    return _file().stand_ins[name]


def about(name: str) -> str:
    """What a recipe is for and where its numbers come from."""
    _plain(name)
    return _file().recipes[name].about


def get(name: str) -> Recipe:
    """Recipe by name. Raises InputError."""
    return Recipe.model_validate(_plain(name))


def resolve(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Fields of the recipe that the layers give together; ``base`` in a layer starts afresh from that named recipe."""
    result: dict[str, Any] = {}
    for layer in layers:
        if not layer:
            continue
        if layer.get("base"):
            result = _plain(str(layer["base"]))
        result = merged(result, {key: value for key, value in layer.items() if key != "base"})
    return result


def _plain(name: str, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    entries = _file().recipes
    if name not in entries:
        raise InputError(near("recipe", name, names()))
    if name in seen:
        raise InputError(f"{show_path(FILE)}: recipes.{name}: starts from itself by way of {', '.join(seen)}")
    layer = entries[name].recipe
    start = _plain(str(layer["base"]), (*seen, name)) if layer.get("base") else {}
    return merged(start, {key: value for key, value in layer.items() if key != "base"})
