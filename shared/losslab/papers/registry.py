"""Names in a paper against the library: losses, data sets, networks, heads, noise. Imports the library only when asked."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from losslab.errors import InputError
from losslab.papers.messages import near
from losslab.runs.spec import NamedPart, Run

# What is checked -> module and the function that lists its names. A part of the library that is not installed is not checked.
_LISTS = {
    "loss": ("losslab.losses", "names"),
    "data set": ("losslab.data", "names"),
    "network": ("losslab.models", "names"),
    "head": ("losslab.heads", "names"),
    "noise kind": ("losslab.noise", "kinds"),
    "flip map": ("losslab.noise", "flip_map_names"),
    "regulariser": ("losslab.losses.regularisers", "names"),
}

ALWAYS = frozenset({"none", "open_set", "imagefolder"})  # handled outside the lists


@cache
def known(what: str) -> frozenset[str] | None:
    """Names that the library knows, or None where that part of the library is not there."""
    module, function = _LISTS[what]
    listing: Callable[[], Iterable[str]] | None = getattr(_module(module), function, None)
    return None if listing is None else frozenset(listing())


@cache
def loss_spec(name: str) -> Any:
    """`losslab.losses.spec(name)`, or None where the library has no losses."""
    spec = getattr(_module("losslab.losses"), "spec", None)
    return None if spec is None else spec(name)


@cache
def _module(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(error.name + ".")):
            return None
        raise


def check(runs: Iterable[Run], where: str) -> None:
    """Raise InputError, with near matches, for the first name that the library does not know."""
    seen: set[tuple[str, str]] = set()
    losses: dict[tuple[str, frozenset[str], str], NamedPart] = {}
    queue = list(runs)
    while queue:
        run = queue.pop()
        if run.parent is not None:
            queue.append(run.parent)
        seen |= {
            ("data set", run.data.name.partition(":")[0] if ":" in run.data.name else run.data.name),
            ("network", run.model.name),
        }
        seen |= {
            ("head", run.head.name),
            ("noise kind", run.noise.kind),
            *(("loss", part) for part in run.loss.name.split("+")),
        }
        if run.noise.flip_map is not None:
            seen.add(("flip map", run.noise.flip_map))
        if run.regulariser is not None:
            seen.add(("regulariser", run.regulariser.name))
        losses[run.loss.name, frozenset(run.loss.params), run.parent_gives] = run.loss
    for what, name in sorted(seen):
        names = known(what)
        if names is not None and name not in names | ALWAYS:
            raise InputError(f"{where}: {near(what, name, sorted(names))}")
    for loss in losses.values():
        _check_params(loss, where)


def _check_params(loss: NamedPart, where: str) -> None:
    spec = loss_spec(loss.name)
    allowed = getattr(spec, "params", None)
    if allowed is None:
        return
    for name in loss.params:
        if name not in allowed:
            raise InputError(f"{where}: loss {loss.name!r}: {near('hyper-parameter', name, allowed)}")


def forget() -> None:
    """Drop what was looked up (for tests that put other registries in place)."""
    for cached in (known, loss_spec, _module):
        cached.cache_clear()
