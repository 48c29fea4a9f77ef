"""One clear line per mistake: what was given, where, and what is allowed."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from losslab.errors import InputError


def near(what: str, name: object, known: Iterable[object]) -> str:
    """`unknown loss 'gcee'; did you mean 'gce'?` or, where nothing is close, the list of what is allowed."""
    names = [str(k) for k in known]
    close = difflib.get_close_matches(str(name), names, n=3, cutoff=0.6)
    if close:
        return f"unknown {what} {str(name)!r}; did you mean {' or '.join(map(repr, close))}?"
    return f"unknown {what} {str(name)!r}; allowed: {', '.join(names) or 'none'}"


def member(what: str, name: Any, known: Iterable[object], where: str) -> None:
    """Raise InputError unless ``name`` is one of ``known``; ``where`` is the file and key path."""
    names = list(known)
    if name not in names:
        raise InputError(f"{where}: {near(what, name, names)}")


def show_path(path: Path) -> str:
    """A file as a reader knows it: from the last folder called ``replications`` or ``losslab`` on, else the last two parts."""
    parts = path.parts
    for anchor in ("replications", "losslab"):
        if anchor in parts:
            return "/".join(parts[len(parts) - 1 - parts[::-1].index(anchor) :])
    return "/".join(parts[-2:])


def explain(error: ValidationError, file: str, model: type[BaseModel]) -> InputError:
    """The first error of a pydantic validation as one line with file, key path, value and what is allowed."""
    entry = error.errors(include_url=False)[0]
    loc = [str(step) for step in entry["loc"] if not _is_tag(step)]
    key = ".".join(loc) or "(top level)"
    more = error.error_count() - 1
    tail = f" (and {more} more)" if more else ""
    kind, said = entry["type"], entry["msg"].removeprefix("Value error, ")
    if kind == "extra_forbidden":
        text = near("key", loc[-1], _fields_at(model, entry["loc"][:-1]))
    elif kind == "missing":
        text = "this key is missing"
    elif kind == "value_error":
        text = said
    else:
        text = f"{said[:1].lower()}{said[1:]}, not {_short(entry['input'])}"
    return InputError(f"{file}: {key}: {' '.join(text.split())}{tail}")


def _is_tag(step: int | str) -> bool:
    """Steps that pydantic adds for unions and wrapped types; they are no keys of the file."""
    return isinstance(step, str) and (
        step.startswith(("function-", "constrained-", "tuple[", "list[", "literal[")) or step in _TAGS
    )


_TAGS = {"float", "int", "str", "bool", "none", "nullable"}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _fields_at(model: type[BaseModel], loc: tuple[int | str, ...]) -> list[str]:
    """Field names of the model that the path leads to; of ``model`` itself where it cannot be followed."""
    current: type[BaseModel] | None = model
    for step in loc:
        if not isinstance(step, str) or current is None:
            continue
        field = current.model_fields.get(step)
        if field is not None:
            current = _model_in(field.annotation) or _model_in(tuple(field.metadata))
    return list(current.model_fields) if current is not None else []


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first pydantic model inside an annotation."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    patched = getattr(annotation, "patched", None)
    if patched is not None:
        return _model_in(patched)
    inner = (
        annotation
        if isinstance(annotation, tuple)
        else (*getattr(annotation, "__args__", ()), *getattr(annotation, "__metadata__", ()))
    )
    for part in inner:
        found = _model_in(part)
        if found is not None:
            return found
    return None
