"""`losslab new-paper`: a draft of a replication folder that runs from the first minute, and its place in the pipeline."""

from __future__ import annotations

import importlib.util
import keyword
import re
import tomllib
from datetime import date
from importlib import resources
from pathlib import Path
from typing import Any

import yaml

from losslab import paths
from losslab.cli import DONE
from losslab.cli.console import console
from losslab.errors import InputError

# Template -> where it goes; both may hold << slug >>.
FILES = {
    "README.md": "replications/{slug}/README.md",
    "paper.yaml": "replications/{slug}/paper.yaml",
    "claims.yaml": "replications/{slug}/claims.yaml",
    "notebook.ipynb": "replications/{slug}/notebook.ipynb",
    "reference.md": "replications/{slug}/reference/README.md",
    "published/README.md": "replications/{slug}/published/README.md",
    "published/table-1.csv": "replications/{slug}/published/table-1.csv",
    "init.py.txt": "replications/{slug}/{slug}/__init__.py",
    "plots.py.txt": "replications/{slug}/{slug}/plots.py",
    "theory.py.txt": "replications/{slug}/{slug}/theory.py",
    "test.py.txt": "tests/replications/test_{slug}.py",
}


def new_paper(slug: str, *, title: str, authors: str, venue: str, year: int | None) -> int:
    """Write the folder, its test and its lines in params.yaml, dvc.yaml and pyproject.toml: all of them, or nothing."""
    root = paths.root()
    check_slug(slug, root)
    about = {"slug": slug, "title": title, "authors": authors, "venue": venue, "year": year or date.today().year}
    changes = {**drafts(root, about), **entries(root, slug)}
    for file, text in changes.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    out = console()
    for file in changes:
        out.print(f"  {paths.show(file)}", markup=False)
    out.print(f"replications/{slug} is a draft that runs; every spot to fill in says TO DO. Next:", markup=False)
    out.print(f"  losslab refresh replications/{slug}/notebook.ipynb", markup=False)
    out.print(f"  pytest tests/replications/test_{slug}.py", markup=False)
    return DONE


def check_slug(slug: str, root: Path) -> None:
    """A folder name that can also be the name of a package, and is free. Raises InputError."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", slug) or keyword.iskeyword(slug):
        raise InputError(f"{slug!r} cannot be the name of a package: lower-case letters, digits and _, a letter first")
    for file in (root / "replications" / slug, root / "tests" / "replications" / f"test_{slug}.py"):
        if file.exists():
            raise InputError(f"{paths.show(file)} is there already")
    if importlib.util.find_spec(slug) is not None:
        raise InputError(f"{slug!r} is the name of an installed package, which the notebook's own modules would hide")


def drafts(root: Path, about: dict[str, Any]) -> dict[Path, str]:
    """File -> text of the new folder and its test."""
    import jinja2
    import nbformat

    from losslab.notebooks.normalise import clean, dumps

    engine = jinja2.Environment(
        variable_start_string="<<",
        variable_end_string=">>",
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    made = {}
    for name, place in FILES.items():
        text = (resources.files(__package__) / "templates" / name).read_text(encoding="utf-8")
        if name.endswith(".ipynb"):
            book = nbformat.reads(text, as_version=4)
            for cell in book.cells:
                cell.source = engine.from_string(cell.source).render(about)
            made[root / place.format(**about)] = dumps(clean(book))
        else:
            made[root / place.format(**about)] = engine.from_string(text).render(about)
    return made


def entries(root: Path, slug: str) -> dict[Path, str]:
    """File -> text of the three files that list the papers, with the new one; comments and order stay."""
    results = [f"replications/{slug}/results/{name}.json" for name in ("metrics", "claims")]
    params, dvc, project = root / "params.yaml", root / "dvc.yaml", root / "pyproject.toml"
    changes = {
        params: _inserted(params, r"(?m)^papers: \[[^\]]*", f", {slug}"),
        dvc: _inserted(
            dvc, r"(?m)^ +- replications/\w+/results/claims\.json$", "".join(f"\n      - {d}" for d in results)
        ),
        project: _inserted(project, r'(?m)^packages = \["losslab"[^\]]*', f', "{slug}"'),
    }
    executed = f"\n      - replications/{slug}/results/executed.ipynb"
    changes[dvc] = _inserted(dvc, r"(?m)^ +- replications/\w+/results/executed\.ipynb$", executed, changes[dvc])
    changes[project] = _inserted(project, r'(?m)^mypy_path = "[^"]*', f":replications/{slug}", changes[project])
    listed = {
        params: yaml.safe_load(changes[params])["papers"],
        dvc: yaml.safe_load(changes[dvc])["stages"]["scorecard"]["deps"],
        project: tomllib.loads(changes[project])["tool"]["mypy"]["packages"],
    }
    for file, names in listed.items():
        if slug not in names and not set(results) <= set(names):
            raise InputError(f"{paths.show(file)}: {slug} would end up in the wrong place; add the line by hand")
    return changes


def _inserted(file: Path, after: str, text: str, content: str | None = None) -> str:
    """The file's text (or `content`) with `text` behind the last match of a pattern."""
    if content is None:
        if not file.is_file():
            raise InputError(f"no {paths.show(file)}: this is not a checkout of the repository")
        content = file.read_text(encoding="utf-8")
    found = list(re.finditer(after, content))
    if not found:
        raise InputError(f"{paths.show(file)}: found no line like {after!r} to add the paper to")
    end = found[-1].end()
    return content[:end] + text + content[end:]
