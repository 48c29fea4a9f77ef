"""Every name in a paper leads somewhere: blocks, methods, recipes, files, ids."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from losslab.errors import InputError
from losslab.papers import claimcheck, recipes
from losslab.papers.messages import member, show_path
from losslab.papers.readings import check_reading
from losslab.papers.spec import SCALES, Block, Experiment, ExperimentScale, Item, Overrides, When

if TYPE_CHECKING:
    from losslab.papers.load import Paper


def check(paper: Paper) -> None:
    """Every name in the paper leads somewhere. Raises InputError."""
    file = paper.file
    if paper.folder.name != paper.slug:
        raise InputError(f"{file}: slug: {paper.slug!r} must be the name of its folder, {paper.folder.name!r}")
    _check_methods(paper)
    for name, block in paper.blocks.items():
        _check_block(paper, block, f"{file}: blocks.{name}")
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
            _check_when(paper, when, f"{where}.when.{number}")
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


def _check_when(paper: Paper, when: When, where: str) -> None:
    _check_recipe(when.recipe, f"{where}.recipe")
    noises = [noise for experiment in paper.experiments.values() for noise in experiment.noise]
    for one in when.scale or ():
        member("scale", one, SCALES, where)
    for one in when.dataset or ():
        member("block", one, paper.blocks, where)
    for one in when.experiment or ():
        member("experiment", one, paper.experiments, where)
    for one in when.noise_type or ():
        member("noise type", one, dict.fromkeys(noise.noise_type for noise in noises), where)
    for rate in when.noise_rate or ():
        member("rate", rate, dict.fromkeys(rate for noise in noises for rate in noise.rates), where)


def _check_block(paper: Paper, block: Block, where: str) -> None:
    known = dict.fromkeys(noise.noise_type for experiment in paper.experiments.values() for noise in experiment.noise)
    for scale in SCALES:
        at = block.at(scale)
        if at is None:
            continue
        here = f"{where}.{scale}"
        if at.use is not None:
            member("stand-in", at.use, recipes.stand_ins(), f"{here}.use")
        _check_recipe(at.recipe, f"{here}.recipe")
        for noise_type in at.noise:
            member("noise type", noise_type, known, f"{here}.noise")
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
        _check_where(paper, item, where)
        for name in (*item.published, *item.others):
            if not paper.published_path(name).is_file():
                raise InputError(f"{where}: no file published/{name}")
        for name in item.others:
            if not name.startswith("other-"):
                raise InputError(f"{where}.others: {name}: other people's numbers are kept in files named other-*.csv")


def _check_where(paper: Paper, item: Item, where: str) -> None:
    """The item's `where` names what its experiments have."""
    experiments = [paper.experiments[name] for name in item.experiment]
    noises = [noise for experiment in experiments for noise in experiment.noise]
    known: dict[str, Iterable[object]] = {
        "experiment": item.experiment,
        "dataset": dict.fromkeys(block for experiment in experiments for block in experiment.blocks),
        "noise_type": dict.fromkeys(noise.noise_type for noise in noises),
        "noise_rate": dict.fromkeys(rate for noise in noises for rate in noise.rates),
        "method": dict.fromkeys(row.name for experiment in experiments for row in paper.chosen(experiment.methods)),
    }
    for key, given in item.where.items():
        for one in given if key in known else ():
            member(
                {"dataset": "block", "noise_type": "noise type", "noise_rate": "rate"}.get(key, key),
                one,
                known[key],
                f"{where}.where.{key}",
            )
