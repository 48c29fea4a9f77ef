"""What the site shows: which files of the repository are pages, and the pages that are made from several of them."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

LOSSES = "docs/losses"
Navigation = list[dict[str, Any]]


@dataclass(frozen=True)
class Paper:
    """One folder of replications/, as far as the site needs it."""

    slug: str
    folder: Path
    about: dict[str, Any]

    @property
    def short(self) -> str:
        """The first heading of the folder's read-me."""
        return heading((self.folder / "README.md").read_text(encoding="utf-8")) or self.about["title"]

    def made(self, kind: str, ending: str) -> list[tuple[str, Path]]:
        """(title, file) of the tables or figures that were written, in the order of the inventory."""
        titles = {item["id"]: item["title"] for item in self.about["items"]}
        files = {file.stem: file for file in sorted((self.folder / "results" / kind).glob(f"*.{ending}"))}
        order = [*titles, *(name for name in files if name not in titles)]
        return [
            (f"{label(name)}: {titles[name]}" if name in titles else label(name), files[name])
            for name in order
            if name in files
        ]


@dataclass
class Site:
    """All pages. ``pages``: path on the site -> Markdown text; ``notebooks``: path on the site -> notebook."""

    root: Path
    papers: list[Paper] = field(default_factory=list)
    pages: dict[str, str] = field(default_factory=dict)
    notebooks: dict[str, Path] = field(default_factory=dict)

    def path(self, file: Path) -> str:
        return file.relative_to(self.root).as_posix()


def heading(markdown: str) -> str | None:
    """The text of the first heading of the first level."""
    found = re.search(r"^# (.+)$", markdown, re.MULTILINE)
    return found[1].strip() if found else None


def label(name: str) -> str:
    """`table-1` as `Table 1`."""
    return re.sub(r"-(?=\d)", " ", name).replace("-", " ").capitalize()


def collect(root: Path) -> Site:
    """Read the repository."""
    site = Site(root)
    for file in sorted((root / "replications").glob("*/paper.yaml")):
        if (file.parent / "README.md").is_file():
            site.papers.append(Paper(file.parent.name, file.parent, yaml.safe_load(file.read_text(encoding="utf-8"))))
    site.papers.sort(key=lambda paper: (paper.about["year"], paper.slug))
    plain = [root / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "data/README.md")]
    plain += [file for file in sorted((root / "docs").rglob("*.md")) if (root / "docs" / "site") not in file.parents]
    for paper in site.papers:
        plain += [paper.folder / "README.md", paper.folder / "published" / "README.md"]
        _notebook(site, paper.folder / "results" / "executed.ipynb")
        _tables(site, paper)
        _figures(site, paper)
    for file in plain:
        if file.is_file():
            site.pages[site.path(file)] = file.read_text(encoding="utf-8")
    for file in sorted((root / "notebooks" / "executed").glob("*.ipynb")):
        _notebook(site, file)
    _losses(site)
    _all_tables(site)
    return site


def _notebook(site: Site, file: Path) -> None:
    if file.is_file():
        site.notebooks[site.path(file.with_suffix(".md"))] = file


def _tables(site: Site, paper: Paper) -> None:
    lines = [f"# Tables of {paper.short}", ""]
    for title, file in paper.made("tables", "md"):
        others = [file.with_suffix(ending) for ending in (".csv", ".tex") if file.with_suffix(ending).is_file()]
        links = ", ".join(f"[{other.suffix[1:].upper()}]({other.name})" for other in others)
        lines += [f"## {title} {{ #{file.stem} }}", "", file.read_text(encoding="utf-8").strip(), "", links, ""]
    if len(lines) > 2:
        site.pages[f"replications/{paper.slug}/results/tables/index.md"] = "\n".join(lines)


def _figures(site: Site, paper: Paper) -> None:
    lines = [f"# Figures of {paper.short}", ""]
    for title, file in paper.made("figures", "png"):
        lines += [f"## {title} {{ #{file.stem} }}", "", f"![{title}]({file.name})", ""]
    if len(lines) > 2:
        site.pages[f"replications/{paper.slug}/results/figures/index.md"] = "\n".join(lines)


def _all_tables(site: Site) -> None:
    """One line per table and figure of every paper."""
    lines = ["# By table", "", "Every table and figure that was regenerated, with its files.", ""]
    for paper in site.papers:
        base = f"replications/{paper.slug}/results"
        rows = [
            (f"[{title}]({base}/tables/index.md#{file.stem})", f"{_rows(file.with_suffix('.csv'))} cells")
            for title, file in paper.made("tables", "md")
        ]
        rows += [
            (f"[{title}]({base}/figures/index.md#{file.stem})", "figure")
            for title, file in paper.made("figures", "png")
        ]
        if rows:
            lines += [f"## {paper.short}", "", "| item | what it is |", "| --- | --- |"]
            lines += [f"| {shown} | {kind} |" for shown, kind in rows] + [""]
    site.pages["tables.md"] = "\n".join(lines)


def _rows(file: Path) -> int:
    with file.open(encoding="utf-8", newline="") as lines:
        return max(sum(1 for _ in csv.reader(lines)) - 1, 0)


def losses(site: Site) -> list[str]:
    """The pages of single losses."""
    return [name for name in site.pages if name.startswith(f"{LOSSES}/") and name != f"{LOSSES}/README.md"]


def _losses(site: Site) -> None:
    """Every loss's page tells which papers train it."""
    for name in losses(site):
        uses = _uses(site, Path(name).stem)
        lines = [
            f"- [{paper.short}](../../replications/{paper.slug}/README.md): {', '.join(methods)}"
            for paper, methods in uses
        ]
        site.pages[name] += "\n".join(["", "## In the papers", "", *(lines or ["No paper here trains it."]), ""])


def _uses(site: Site, loss: str) -> list[tuple[Paper, list[str]]]:
    """The papers with a method that trains a loss, alone or in a sum, and these methods' names."""
    uses = []
    for paper in site.papers:
        methods = [
            name for name, method in paper.about["methods"].items() if loss in (method.get("loss") or "").split("+")
        ]
        if methods:
            uses.append((paper, methods))
    return uses


def navigation(site: Site) -> Navigation:
    """The menu: by paper, by loss, by table, the notebooks that concern several papers, the documentation."""
    papers: list[Any] = []
    for paper in site.papers:
        base = f"replications/{paper.slug}"
        entries = [
            {"Overview": f"{base}/README.md"},
            {"Executed notebook": f"{base}/results/executed.md"},
            {"Tables": f"{base}/results/tables/index.md"},
            {"Figures": f"{base}/results/figures/index.md"},
            {"Published numbers": f"{base}/published/README.md"},
        ]
        known = {**site.pages, **site.notebooks}
        papers.append({paper.short: [entry for entry in entries if next(iter(entry.values())) in known]})
    docs = [name for name in site.pages if name.startswith("docs/") and not name.startswith(f"{LOSSES}/")]
    docs += ["data/README.md", "CONTRIBUTING.md", "CHANGELOG.md"]
    menu: Navigation = [{"Home": "README.md"}, {"By paper": papers}]
    menu.append({"By loss": [f"{LOSSES}/README.md", *losses(site)]})
    menu.append({"By table": "tables.md"})
    several = [name for name in site.notebooks if name.startswith("notebooks/")]
    if several:
        menu.append({"All papers together": several})
    menu.append({"Documentation": [name for name in docs if name in site.pages]})
    return menu
