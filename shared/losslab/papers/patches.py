"""Overrides: mappings that hold some fields of a model, validated field by field, and merged later."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, GetCoreSchemaHandler, create_model
from pydantic_core import CoreSchema, core_schema

from losslab.runs.spec import DataPart, NamedPart, Recipe


def _partial(model: type[BaseModel], **extra: Any) -> type[BaseModel]:
    """``model`` with every field optional."""
    fields: dict[str, Any] = {name: (field.rebuild_annotation(), None) for name, field in model.model_fields.items()}
    return create_model(f"{model.__name__}Patch", __config__=ConfigDict(extra="forbid", frozen=True), **fields, **extra)


@dataclass(frozen=True)
class Patch:
    """Annotation: a dictionary that is validated as a partial ``patched`` model and keeps only the keys that were given."""

    patched: type[BaseModel]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(
            lambda model: model.model_dump(exclude_unset=True), handler.generate_schema(self.patched)
        )


DataPatch = Annotated[dict[str, Any], Patch(_partial(DataPart))]
PartPatch = Annotated[dict[str, Any], Patch(_partial(NamedPart))]
RecipePatch = Annotated[dict[str, Any], Patch(_partial(Recipe, base=(str | None, None)))]


def merged(*layers: Mapping[str, Any] | None) -> dict[str, Any]:
    """Layers laid over each other, later ones on top; mappings inside are merged too.

    A named part (model, head, loss) that a later layer names anew starts afresh: parameters of another model are no use to it.
    """
    result: dict[str, Any] = {}
    for layer in layers:
        if not layer:
            continue
        if "name" in layer and "name" in result and layer["name"] != result["name"] and "params" in result:
            result = {key: value for key, value in result.items() if key != "params"}
        for key, value in layer.items():
            old = result.get(key)
            result[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return result
