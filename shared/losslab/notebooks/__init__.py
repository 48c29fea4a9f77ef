"""Notebooks: running them (`execute`), making their files stable (`normalise`), and what they start from (`open_paper`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslab.notebooks.context import PaperContext, open_paper

__all__ = ["PaperContext", "open_paper"]


def __getattr__(name: str) -> Any:
    """The public names, loaded when they are first used: running a notebook does not need what is inside it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from losslab.notebooks import context

    return getattr(context, name)
