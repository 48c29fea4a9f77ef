"""From a paper to what must be trained: one cell per block, variant, noise, rate, method and seed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ValidationError

from losslab.errors import InputError
from losslab.papers import recipes
from losslab.papers.messages import member, near
from losslab.papers.methods import Resolved
from losslab.papers.patches import merged
from losslab.papers.spec import SCALES, BlockScale, Experiment, Item, Noise, Overrides, Variant
from losslab.runs.spec import DataPart, NamedPart, NoisePart, Recipe, Run

if TYPE_CHECKING:
    from losslab.papers.load import Paper

_Part = TypeVar("_Part", bound=BaseModel)

NEEDS_FLIP_MAP = ("asymmetric",)
CLEAN_AT_ZERO = (
    "symmetric",
    "symmetric_inclusive",
    "asymmetric",
    "pair",
    "superclass_ring",
    "superclass_uniform",
    "superclass_pair",
    "instance",
    "open_set",
)


@dataclass(frozen=True)
class Cell:
    """A training as the paper's tables know it: ``keys`` are the key columns of the results frame."""

    keys: Mapping[str, Any]
    run: Run
    key: str  # colour and order in figures
    stand_in: str  # text for captions; empty for the paper's own data
    probes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Place:
    """Everything of a cell but its method and seed."""

    paper: Paper
    scale: str
    name: str  # of the experiment
    experiment: Experiment
    block: str
    at: BlockScale
    variant: Variant | None
    noise: Noise
    rate: float | None

    def setting(self, row: Resolved) -> str:
        parts = (self.experiment.setting, self.variant.setting if self.variant else "", row.setting)
        return ", ".join(part for part in parts if part)

    def settings(self, row: Resolved) -> set[str]:
        return {row.setting, self.variant.setting if self.variant else row.setting}

    def keys(self, row: Resolved) -> dict[str, Any]:
        return {
            "experiment": self.name, "dataset": self.block, "noise_type": self.noise.noise_type, "noise_rate": self.rate,
            "setting": self.setting(row), "method": row.name,
        }  # fmt: skip

    def overrides(self) -> tuple[Overrides, ...]:
        """Changes that do not depend on the method, weakest first."""
        return (*(self.variant.layers(self.scale) if self.variant else ()), self.experiment.at(self.scale))


def cells(paper: Paper, scale: str, only: str | None = None, seeds: int | None = None) -> list[Cell]:
    """Cells of a scale in the paper's order; see `Paper.cells`."""
    member("scale", scale, SCALES, paper.slug)
    if seeds is not None and seeds < 1:
        raise InputError(f"{paper.slug}: seeds must be at least 1, not {seeds}")
    names, item, block = _selected(paper, only)
    result: list[Cell] = []
    for name in names:
        for cell in _experiment(paper, scale, name, seeds):
            if (block is None or cell.keys["dataset"] == block) and (item is None or within(item, cell.keys)):
                result.append(cell)
    return result


def within(item: Item, keys: Mapping[str, Any]) -> bool:
    """Whether the item's `where` leaves a cell."""
    return all(keys[key] in allowed for key, allowed in item.where.items())


def _selected(paper: Paper, only: str | None) -> tuple[list[str], Item | None, str | None]:
    if only is None:
        return list(paper.experiments), None, None
    name, _, block = only.partition("/")
    if block:
        member("block", block, paper.blocks, f"{paper.slug}: {only}")
    for item in paper.items:
        if item.id == name:
            return list(item.experiment), item, block or None
    if name in paper.experiments:
        return [name], None, block or None
    raise InputError(
        f"{paper.slug}: {near('item or experiment', name, [*(item.id for item in paper.items), *paper.experiments])}"
    )


def _experiment(paper: Paper, scale: str, name: str, seeds: int | None) -> Iterator[Cell]:
    experiment = paper.experiments[name]
    left = experiment.at(scale)
    if left.skip:
        return
    rows = [row for row in paper.chosen(experiment.methods) if row.method.loss is not None]
    if left.methods is not None:
        rows = [row for row in rows if row.name in left.methods or row.template in left.methods]
    count = seeds or left.seeds or getattr(experiment.seeds, scale)
    for place in _places(paper, scale, name, experiment):
        for row in rows:
            if left.settings is not None and not place.settings(row) & set(left.settings):
                continue
            keys = place.keys(row)
            for seed in range(count):
                yield Cell(keys, _run(place, row, seed), row.method.look, _stand_in(place.at), experiment.probes)


def _places(paper: Paper, scale: str, name: str, experiment: Experiment) -> Iterator[_Place]:
    left = experiment.at(scale)
    for block in experiment.blocks:
        at = paper.blocks[block].at(scale)
        if at is None or not _kept(block, left.blocks):
            continue
        for variant in experiment.variants or (None,):
            if variant is not None and not _kept(block, variant.blocks):
                continue
            for noise in experiment.noise:
                if not _kept(block, noise.blocks) or not _kept(noise.noise_type, left.noise_types):
                    continue
                for rate in noise.rates:
                    if _kept(rate, left.rates):
                        yield _Place(paper, scale, name, experiment, block, at, variant, noise, rate)


def _kept(value: object, allowed: Iterable[object] | None) -> bool:
    return allowed is None or value in allowed


def _stand_in(at: BlockScale) -> str:
    if at.stand_in is not None:
        return at.stand_in
    return recipes.stand_in(at.use).stand_in if at.use is not None else ""


def _run(place: _Place, row: Resolved, seed: int) -> Run:
    """The training of one row at one place."""
    method, keys = row.method, place.keys(row)
    shared = recipes.stand_in(place.at.use) if place.at.use is not None else None
    active = [when for when in method.when if when.holds(place.scale, keys)]
    layers: list[Any] = [*([shared] if shared else []), place.at, *place.overrides(), method, *active]

    def part(name: str) -> dict[str, Any]:
        return merged(*(getattr(layer, name, None) for layer in layers))

    parent: Run | None = None
    if method.parent is not None:
        mother = next(other for others in place.paper.rows.values() for other in others if other.name == method.parent)
        if mother.method.loss is None:
            raise InputError(f"{_where(place, row)}: the parent {method.parent!r} is not trained")
        parent = _run(place, mother, seed)
    where = _where(place, row)
    fields: dict[str, Any] = {
        "data": _build(DataPart, part("data"), where, "data"),
        "noise": _noise(place, where),
        "model": _build(NamedPart, part("model"), where, "model"),
        "loss": _build(
            NamedPart,
            {"name": method.loss, "params": merged(method.params, *(when.params for when in active))},
            where,
            "loss",
        ),
        "recipe": _build(
            Recipe, recipes.resolve(*(getattr(layer, "recipe", None) for layer in layers)), where, "recipe"
        ),
        "seed": seed,
    }
    if head := part("head"):
        fields["head"] = _build(NamedPart, head, where, "head")
    if regulariser := part("regulariser"):
        fields["regulariser"] = _build(NamedPart, regulariser, where, "regulariser")
    if parent is not None:
        fields |= {"parent": parent, "parent_gives": method.parent_gives}
    return _build(Run, fields, where, "run")


def _where(place: _Place, row: Resolved) -> str:
    return (
        f"{place.paper.file}: experiments.{place.name} at scale {place.scale}, block {place.block}, method {row.name}"
    )


def _noise(place: _Place, where: str) -> NoisePart:
    """What the cell's noise type means for this block at this scale."""
    meaning = place.at.noise.get(place.noise.noise_type)
    kind, rate, draw = place.noise.kind, place.rate or 0.0, place.noise.draw
    flip_map = place.noise.flip_map or place.at.flip_map
    options: dict[str, Any] = dict(place.noise.options)
    if meaning is not None:
        kind, draw = meaning.kind or kind, meaning.draw or draw
        rate = rate if meaning.rate is None else meaning.rate
        flip_map = meaning.flip_map or flip_map
        options = meaning.options if meaning.kind else options | meaning.options
    if kind == "none" or (rate == 0 and kind in CLEAN_AT_ZERO):
        return NoisePart()
    fields: dict[str, Any] = {"kind": kind, "rate": rate, "draw": draw, "options": options}
    if kind in NEEDS_FLIP_MAP:
        if flip_map is None:
            raise InputError(
                f"{where}: noise kind {kind!r} needs a `flip_map` in blocks.{place.block}.{place.scale} or in the noise entry"
            )
        fields["flip_map"] = flip_map
    return _build(NoisePart, fields, where, "noise")


def _build(model: type[_Part], fields: Mapping[str, Any], where: str, what: str) -> _Part:
    """Validated part of a run, or one line that says where it comes from."""
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        entry = error.errors(include_url=False)[0]
        key = ".".join([what, *map(str, entry["loc"])])
        said = entry["msg"].removeprefix("Value error, ")
        raise InputError(f"{where}: {key}: {said[:1].lower()}{said[1:]}") from None
