"""Notebooks: running them (`execute`), making their files stable (`normalise`) and what they start from (`open_paper`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from losslab.notebooks.context import PaperContext, open_paper
    from losslab.notebooks.execute import NotebookFailed, execute
    from losslab.notebooks.normalise import normalise

__all__ = ["NotebookFailed", "PaperContext", "execute", "normalise", "open_paper"]

_HOME = {
    "NotebookFailed": "execute",
    "PaperContext": "context",
    "execute": "execute",
    "normalise": "normalise",
    "open_paper": "context",
}


def __getattr__(name: str) -> Any:
    """The public names, each loaded when it is first used: a notebook does not pay for papermill."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
