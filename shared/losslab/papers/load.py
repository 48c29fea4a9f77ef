"""Reads a paper and checks every name in it against the paper itself and the shared recipes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import PrivateAttr, ValidationError

from losslab import paths
from losslab.errors import InputError
from losslab.papers.check import check
from losslab.papers.claimspec import Claim, ClaimsSpec
from losslab.papers.messages import explain, near, show_path
from losslab.papers.methods import Resolved, resolve
from losslab.papers.spec import Experiment, Item, PaperSpec
from losslab.papers.yamlfile import read_yaml

if TYPE_CHECKING:
    from losslab.papers.expand import Cell


class Paper(PaperSpec):
    """A validated paper: its specification, its claims, and the cells that its experiments ask for."""

    _folder: Path = PrivateAttr(default=Path("."))
    _claims: tuple[Claim, ...] = PrivateAttr(default=())

    @property
    def folder(self) -> Path:
        """The replication's folder."""
        return self._folder

    @property
    def claims(self) -> tuple[Claim, ...]:
        """Content of claims.yaml."""
        return self._claims

    @property
    def file(self) -> str:
        """paper.yaml as named in messages."""
        return show_path(self._folder / "paper.yaml")

    @cached_property
    def rows(self) -> dict[str, tuple[Resolved, ...]]:
        """Method or grid name -> its rows."""
        return resolve(self.methods, self.file)

    def chosen(self, names: Iterable[str]) -> list[Resolved]:
        """Rows of the named methods and grids, in the order given."""
        return [row for name in names for row in self.rows[name]]

    def item(self, name: str) -> Item:
        """Item by id. Raises InputError."""
        for item in self.items:
            if item.id == name:
                return item
        raise InputError(f"{self.slug}: {near('item', name, [item.id for item in self.items])}")

    def experiment(self, name: str) -> Experiment:
        """Experiment by id. Raises InputError."""
        if name not in self.experiments:
            raise InputError(f"{self.slug}: {near('experiment', name, self.experiments)}")
        return self.experiments[name]

    def cells(self, scale: str, only: str | None = None, seeds: int | None = None, check: bool = True) -> list[Cell]:
        """What the scale asks for: block x variant x noise x rate x method x seed of every experiment.

        ``only``: an item or experiment id, optionally ``/block``. ``seeds``: number of seeds instead of the paper's own.
        ``check``: compare losses, data sets, networks, heads and noise kinds with the library too. Raises InputError.
        """
        from losslab.papers import expand, registry

        cells = expand.cells(self, scale, only, seeds)
        if check:
            registry.check([cell.run for cell in cells], self.file)
        return cells

    def published_path(self, name: str) -> Path:
        """A file of published numbers."""
        return self._folder / "published" / name

    def results_path(self) -> Path:
        """The committed results."""
        return self._folder / "results"

    def titles(self) -> dict[str, str]:
        """Data set key -> title."""
        return {name: block.title for name, block in self.blocks.items()}


def slugs() -> tuple[str, ...]:
    """Papers of the repository."""
    return paths.replications()


def load(slug: str | Path) -> Paper:
    """A paper by slug, or by the folder that holds its paper.yaml. Every mistake raises one InputError: file, key, value, what is allowed."""
    folder = slug if isinstance(slug, Path) else Path(slug) if "/" in slug else paths.replication(slug)
    paper = _read(folder)
    check(paper)
    return paper


def _read(folder: Path) -> Paper:
    file = folder / "paper.yaml"
    content = read_yaml(file)
    if not isinstance(content, dict):
        raise InputError(f"{show_path(file)}: the top level must be a mapping")
    try:
        paper = Paper.model_validate(content)
    except ValidationError as error:
        raise explain(error, show_path(file), PaperSpec) from None
    paper._folder = folder
    paper._claims = _claims(folder / "claims.yaml")
    return paper


def _claims(file: Path) -> tuple[Claim, ...]:
    if not file.exists():
        return ()
    content = read_yaml(file)
    content = [] if content is None else content
    if not isinstance(content, list):
        raise InputError(f"{show_path(file)}: the top level must be a list of claims")
    try:
        return ClaimsSpec.model_validate({"claims": content}).claims
    except ValidationError as error:
        raise explain(error, show_path(file), ClaimsSpec) from None
