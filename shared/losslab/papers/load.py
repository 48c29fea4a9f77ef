"""Reads a paper and checks every name in it against the paper itself and the shared recipes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import PrivateAttr, ValidationError

from losslab import paths
from losslab.errors import InputError
from losslab.papers import claimcheck, recipes
from losslab.papers.claimspec import Claim, ClaimsSpec
from losslab.papers.messages import explain, member, near, show_path
from losslab.papers.methods import Resolved, resolve
from losslab.papers.readings import check_reading
from losslab.papers.spec import SCALES, Block, Experiment, ExperimentScale, Item, Overrides, PaperSpec
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


def check(paper: Paper) -> None:
    """Every name in the paper leads somewhere. Raises InputError."""
    file = paper.file
    if paper.folder.name != paper.slug:
        raise InputError(f"{file}: slug: {paper.slug!r} must be the name of its folder, {paper.folder.name!r}")
    _check_methods(paper)
    for name, block in paper.blocks.items():
        _check_block(block, f"{file}: blocks.{name}")
    for name, experiment in paper.experiments.items():
        _check_experiment(paper, experiment, f"{file}: experiments.{name}")
    _check_items(paper)
    for what in ("items", "deviations", "questions"):
        _unique([entry.id for entry in getattr(paper, what)], f"{file}: {what}")
    claims_file = show_path(paper.folder / "claims.yaml")
    _unique([claim.id for claim in paper.claims], claims_file)
    for claim in paper.claims:
        claimcheck.check(paper, claim, f"{claims_file}: {claim.id}")


def _unique(ids: list[str], where: str) -> None:
    double = sorted({name for name in ids if ids.count(name) > 1})
    if double:
        raise InputError(f"{where}: the id {double[0]!r} is given twice")


def _check_recipe(recipe: Mapping[str, Any] | None, where: str) -> None:
    if recipe and recipe.get("base") is not None:
        member("recipe", recipe["base"], recipes.names(), where)


def _check_methods(paper: Paper) -> None:
    by_name: dict[str, int] = {}
    for rows in paper.rows.values():
        for row in rows:
            by_name[row.name] = by_name.get(row.name, 0) + 1
    for name, method in paper.methods.items():
        where = f"{paper.file}: methods.{name}"
        _check_recipe(method.recipe, f"{where}.recipe")
        for number, when in enumerate(method.when):
            at = f"{where}.when.{number}"
            _check_recipe(when.recipe, f"{at}.recipe")
            for one in when.scale or ():
                member("scale", one, SCALES, at)
            for one in when.dataset or ():
                member("block", one, paper.blocks, at)
            for one in when.experiment or ():
                member("experiment", one, paper.experiments, at)
        if method.parent is not None:
            member("method", method.parent, by_name, f"{where}.parent")
            if by_name[method.parent] > 1:
                raise InputError(
                    f"{where}.parent: {method.parent!r} is the name of {by_name[method.parent]} rows; a parent must be one"
                )
    for name, method in paper.methods.items():
        seen, parent = [name], method.parent
        while parent is not None:
            if parent in seen:
                raise InputError(f"{paper.file}: methods.{name}.parent: {' -> '.join([*seen, parent])} never ends")
            seen.append(parent)
            parent = next(row.method.parent for rows in paper.rows.values() for row in rows if row.name == parent)


def _check_block(block: Block, where: str) -> None:
    for scale in SCALES:
        at = block.at(scale)
        if at is None:
            continue
        here = f"{where}.{scale}"
        if at.use is not None:
            member("stand-in", at.use, recipes.stand_ins(), f"{here}.use")
        _check_recipe(at.recipe, f"{here}.recipe")
        for key in ("data", "model", "recipe"):
            if not getattr(at, key) and at.use is None:
                raise InputError(f"{here}.{key}: this key is missing (or name a stand-in with `use`)")
        for key in ("data", "model"):
            if at.use is None and not getattr(at, key).get("name"):
                raise InputError(f"{here}.{key}.name: this key is missing")


def _check_overrides(overrides: Overrides, where: str) -> None:
    _check_recipe(overrides.recipe, f"{where}.recipe")


def _check_experiment(paper: Paper, experiment: Experiment, where: str) -> None:
    for name in experiment.blocks:
        member("block", name, paper.blocks, f"{where}.blocks")
    for name in experiment.methods:
        member("method", name, paper.methods, f"{where}.methods")
    _unique(list(experiment.methods), f"{where}.methods")
    _unique([variant.setting for variant in experiment.variants], f"{where}.variants")
    for number, variant in enumerate(experiment.variants):
        at = f"{where}.variants.{number}"
        _check_overrides(variant, at)
        for name in variant.blocks or ():
            member("block", name, experiment.blocks, f"{at}.blocks")
        for scale in SCALES:
            _check_overrides(getattr(variant, scale), f"{at}.{scale}")
    for number, noise in enumerate(experiment.noise):
        for name in noise.blocks or ():
            member("block", name, experiment.blocks, f"{where}.noise.{number}.blocks")
    for scale in SCALES:
        _check_scale(paper, experiment, experiment.at(scale), f"{where}.{scale}")


def _check_scale(paper: Paper, experiment: Experiment, at: ExperimentScale, where: str) -> None:
    _check_overrides(at, where)
    rows = paper.chosen(experiment.methods)
    rates = [rate for noise in experiment.noise for rate in noise.rates]
    settings = [*dict.fromkeys([*(variant.setting for variant in experiment.variants), *(row.setting for row in rows)])]
    known: tuple[tuple[str, Any, Iterable[object], str], ...] = (
        ("block", at.blocks, experiment.blocks, "blocks"),
        ("method", at.methods, [*experiment.methods, *(row.name for row in rows)], "methods"),
        ("rate", at.rates, list(dict.fromkeys(rates)), "rates"),
        ("noise type", at.noise_types, [noise.noise_type for noise in experiment.noise], "noise_types"),
        ("setting", at.settings, settings, "settings"),
    )
    for what, given, allowed, key in known:
        for one in given or ():
            member(what, one, allowed, f"{where}.{key}")


def _check_items(paper: Paper) -> None:
    for item in paper.items:
        where = f"{paper.file}: items.{item.id}"
        for name in item.experiment:
            member("experiment", name, paper.experiments, f"{where}.experiment")
        check_reading(item.reading, f"{where}.reading")
        for value in item.values:
            if value.reading is not None:
                check_reading(value.reading, f"{where}.values.reading")
        blocks = [block for name in item.experiment for block in paper.experiments[name].blocks]
        for dataset in item.where.get("dataset", ()):
            member("block", dataset, blocks or paper.blocks, f"{where}.where.dataset")
        for name in (*item.published, *item.others):
            if not paper.published_path(name).is_file():
                raise InputError(f"{where}: no file published/{name}")
        for name in item.others:
            if not name.startswith("other-"):
                raise InputError(f"{where}.others: {name}: other people's numbers are kept in files named other-*.csv")
