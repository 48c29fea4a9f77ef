"""Builds the site from the repository: MkDocs calls these functions (mkdocs.yml).

Pages keep the paths that their files have in the repository, so that the links between them work in both places.
"""

from __future__ import annotations

import re
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import collect
import links
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.plugins import event_priority
from mkdocs.structure.files import File, Files

import executed

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
# This package holds MathJax as plain files; its name is none that Python could import.
MATHJAX = Path(str(distribution("sphinx-mathjax-offline").locate_file("sphinx-mathjax-offline/static/mathjax")))
MATHJAX_PARTS = ("tex-chtml-full.js", "output/chtml/fonts")  # what formulas.js loads, and its fonts
RESULT = re.compile(r"replications/\w+/results(/|$)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """The menu follows from what is there."""
    config.nav = collect.navigation(collect.collect(ROOT))
    config.watch += [
        str(ROOT / name) for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "replications", "notebooks")
    ]
    return config


@event_priority(100)
def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Pages, the files that they link to, and what the browser needs."""
    site = collect.collect(ROOT)
    made: dict[str, str | bytes | Path] = {}
    texts = dict(site.pages)
    for name, notebook in site.notebooks.items():
        parent, stem = Path(name).parent.as_posix(), Path(name).stem
        texts[name], pictures = executed.page(notebook, stem)
        made |= {f"{parent}/{picture}": content for picture, content in pictures.items()}

    def place(path: str) -> str | None:
        """Where a path of the repository is on the site."""
        for name in (path, f"{path}/README.md", f"{path}/index.md", path.removesuffix(".ipynb") + ".md"):
            if name in texts or name in made:
                return name
        if path.startswith("../") or not (ROOT / path).exists():
            return None if RESULT.match(path) else path  # results may not be made yet; anything else is reported
        if not (ROOT / path).is_file():
            return None  # a folder without a page
        made[path] = ROOT / path
        return path

    for name, text in list(texts.items()):
        made[name] = links.rewrite(text, name, place)
    for name in ("site.css", "formulas.js"):
        made[f"assets/{name}"] = HERE / name
    for part in MATHJAX_PARTS:
        for file in [MATHJAX / part, *sorted((MATHJAX / part).rglob("*"))]:
            if file.is_file():
                made[f"assets/mathjax/{file.relative_to(MATHJAX).as_posix()}"] = file
    themes = [file for file in files if file.src_dir != config.docs_dir]
    return Files([*themes, *(_file(config, name, content) for name, content in made.items())])


def _file(config: MkDocsConfig, name: str, content: str | bytes | Path) -> File:
    kind: dict[str, Any] = {"abs_src_path": str(content)} if isinstance(content, Path) else {"content": content}
    return File.generated(config, name, **kind)
