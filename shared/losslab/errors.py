"""Errors that are the caller's to mend."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input, with a message for the user."""


def near(what: str, given: object, allowed: Iterable[str]) -> str:
    """Message for an unknown name: what was given, the nearest known names, and all of them."""
    names = list(allowed)
    close = difflib.get_close_matches(str(given), names, n=3, cutoff=0.6)
    hint = f" Did you mean {' or '.join(repr(name) for name in close)}?" if close else ""
    return f"unknown {what} {given!r}.{hint} Known: {', '.join(names)}"
