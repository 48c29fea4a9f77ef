"""Links of a page, which work in the repository, as links that work on the site."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Callable, Iterator

LINK = re.compile(r"(?<!\\)(!?)\[((?:[^\[\]]|\[[^\[\]]*\])*)\]\(\s*<?([^)\s>]+)>?((?:\s+\"[^\"]*\")?)\s*\)")
CODE = re.compile(r"(^ {0,3}(?P<fence>`{3,}|~{3,}).*?^ {0,3}(?P=fence)[^\n]*$|`[^`\n]+`)", re.DOTALL | re.MULTILINE)
OUTSIDE = re.compile(r"^(?:[a-z][a-z0-9+.-]*:|//)", re.IGNORECASE)


def outside_code(markdown: str, change: Callable[[str], str]) -> str:
    """Apply a change to all text that is not code."""
    parts, end = [], 0
    for found in CODE.finditer(markdown):
        parts += [change(markdown[end : found.start()]), found[0]]
        end = found.end()
    return "".join([*parts, change(markdown[end:])])


def inside(markdown: str) -> Iterator[str]:
    """Targets of the links into the repository, without anchors."""
    found: list[str] = []

    def note(text: str) -> str:
        found.extend(match[3].partition("#")[0] for match in LINK.finditer(text) if not OUTSIDE.match(match[3]))
        return text

    outside_code(markdown, note)
    yield from filter(None, found)


def resolve(page: str, target: str) -> str:
    """A link's target as a path from the repository's root, `..` in front if it leads out of it."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def rewrite(markdown: str, page: str, place: Callable[[str], str | None]) -> str:
    """Every link led to where ``place`` says that its path is on the site; only its text is left where that is None."""

    def one(match: re.Match[str]) -> str:
        mark, text, target, title = match.groups()
        path, hash_, anchor = target.partition("#")
        if OUTSIDE.match(target) or not path:
            return match[0]
        there = place(resolve(page, path))
        if there is None:
            return text
        return f"{mark}[{text}]({posixpath.relpath(there, posixpath.dirname(page) or '.')}{hash_}{anchor}{title})"

    return outside_code(markdown, lambda text: LINK.sub(one, text))
