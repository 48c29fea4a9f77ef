"""Links and pictures in every Markdown file and notebook: files and headings exist, addresses are well formed. Nothing is fetched."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat
import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = (
    ROOT / "shared" / "losslab" / "cli" / "scaffold" / "templates"
)  # their links hold in the folders made from them
HTML_LINK = re.compile(r"""<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
HTML_ID = re.compile(r"""<[a-z][^>]*?\b(?:id|name)\s*=\s*["']([^"']+)["']""", re.IGNORECASE)
HOST = re.compile(r"(?:[a-z0-9](?:[a-z0-9-]*[a-z0-9])?\.)+[a-z]{2,}", re.IGNORECASE)


def documents() -> list[Path]:
    """Every Markdown file and notebook that git tracks or would track."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z", "*.md", "*.ipynb"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    ).stdout.decode()
    files = [ROOT / name for name in sorted(filter(None, listed.split("\0")))]
    return [file for file in files if file.is_file() and TEMPLATES not in file.parents]


@cache
def texts(file: Path) -> tuple[str, ...]:
    """The Markdown of a document: the file, or a notebook's Markdown cells and shown Markdown.

    What a source notebook shows is left out: its code writes links for the place of the executed copy, which is checked there.
    """
    content = file.read_text(encoding="utf-8")
    if file.suffix != ".ipynb":
        return (content,)
    found = []
    for cell in nbformat.reads(content, as_version=4).cells:
        if cell.cell_type == "markdown":
            found.append(cell.source)
        elif file.stem == "executed" or file.parent.name == "executed":
            found += [
                output["data"]["text/markdown"] for output in cell.outputs if "text/markdown" in output.get("data", {})
            ]
    return tuple(found)


def parsed(text: str) -> list[Token]:
    reader = MarkdownIt("commonmark").enable("table")
    reader.validateLink = lambda url: True  # type: ignore[method-assign]  # a file: link is a link too, and wrong
    return reader.parse(text)


def tokens(text: str) -> Iterator[Token]:
    for token in parsed(text):
        yield token
        yield from token.children or ()


def links(text: str) -> Iterator[str]:
    """Targets of all links and pictures, in Markdown and in HTML; code is left out."""
    for token in tokens(text):
        for name in ("href", "src"):
            if name in token.attrs:
                yield str(token.attrs[name])
        if token.type in ("html_inline", "html_block"):
            yield from HTML_LINK.findall(token.content)


@cache
def anchors(file: Path) -> frozenset[str]:
    """The anchors that headings and HTML ids of a document make."""
    found: dict[str, int] = {}
    names: set[str] = set()
    for text in texts(file):
        blocks = parsed(text)
        for opening, inline in zip(blocks, blocks[1:], strict=False):
            if opening.type == "heading_open":
                words = "".join(part.content for part in inline.children or () if part.type in ("text", "code_inline"))
                slug = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
                names.add(f"{slug}-{found[slug]}" if slug in found else slug)
                found[slug] = found.get(slug, 0) + 1
        names.update(HTML_ID.findall(text))
    return frozenset(names)


def problem(file: Path, target: str) -> str | None:
    """What is wrong with a link of a document; None if nothing is."""
    try:
        parts = urlsplit(target)
    except ValueError as wrong:
        return str(wrong)
    if parts.scheme in ("http", "https"):
        return None if HOST.fullmatch(parts.hostname or "") and " " not in target else "no well-formed address"
    if parts.scheme == "mailto":
        return None if "@" in parts.path else "no mail address"
    if parts.scheme in ("data", "attachment"):
        return None
    if parts.scheme or parts.netloc or parts.path.startswith("/"):
        return "neither an address nor a path inside the repository"
    there = (file.parent / unquote(parts.path)).resolve() if parts.path else file
    if ROOT not in (there, *there.parents):
        return "leads out of the repository"
    if not there.exists():
        return "is not there"
    if parts.fragment and there.suffix in (".md", ".ipynb") and unquote(parts.fragment).lower() not in anchors(there):
        return "has no such heading"
    return None


@pytest.mark.parametrize("file", documents(), ids=lambda file: file.relative_to(ROOT).as_posix())
def test_links_and_pictures(file: Path) -> None:
    broken = [
        f"{target}: {wrong}" for text in texts(file) for target in links(text) if (wrong := problem(file, target))
    ]
    assert broken == []


@pytest.mark.parametrize(
    ("target", "wrong"),
    [
        ("absent.md", "is not there"),
        ("other.md#absent", "has no such heading"),
        ("#absent", "has no such heading"),
        ("../../../outside.md", "leads out of the repository"),
        ("/etc/hosts", "neither an address"),
        ("http://nowhere", "no well-formed address"),
        ("file:///tmp/x", "neither an address"),
        ("other.md", None),
        ("other.md#a-b--c-1", None),
        ("#here", None),
        ("https://arxiv.org/abs/1805.07836", None),
    ],
)
def test_broken_links_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str, wrong: str | None
) -> None:
    monkeypatch.setattr(f"{__name__}.ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A `b`, *c*\n\n## A b & c\n\n## A b & c\n")
    page = tmp_path / "page.md"
    page.write_text(f"# Here\n\n[text]({target}), `[code](absent.md)`\n\n![picture]({target})\n")
    found = [problem(page, each) for text in texts(page) for each in links(text)]
    assert len(found) == 2
    assert all((each is None) if wrong is None else (each is not None and wrong in each) for each in found), found
