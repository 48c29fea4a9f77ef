"""paper.yaml as frozen objects. Unknown keys are refused; what names what is checked in `load`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from losslab.papers.patches import DataPatch, PartPatch, RecipePatch
from losslab.runs.spec import NoisePart

Scale = Literal["smoke", "quick", "paper"]
SCALES: tuple[Scale, ...] = get_args(Scale)
KEYS = ("experiment", "dataset", "noise_type", "noise_rate", "setting", "method")
Key = Literal["experiment", "dataset", "noise_type", "noise_rate", "setting", "method"]
Scalar = float | int | str | bool | None
Rate = Annotated[float, Field(ge=0.0, le=1.0)]
if TYPE_CHECKING:
    Draw = str
else:
    Draw = NoisePart.model_fields["draw"].annotation  # the ways of drawing that runs know


def _listed(value: Any) -> Any:
    return [value] if isinstance(value, (str, int, float, bool)) or value is None else value


def _yes_no(value: Any) -> Any:
    """YAML reads a bare yes or no as a truth value."""
    return {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value


def _identifier(value: str) -> str:
    if not value or not all(c.isalnum() or c in "-_" for c in value):
        raise ValueError(f"{value!r} cannot be an id: letters, digits, '-' and '_' only")
    return value


Id = Annotated[str, AfterValidator(_identifier)]
Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
Values = Annotated[tuple[Scalar, ...], BeforeValidator(_listed)]
RecipeName = Annotated[RecipePatch, BeforeValidator(lambda value: {"base": value} if isinstance(value, str) else value)]
PartName = Annotated[PartPatch, BeforeValidator(lambda value: {"name": value} if isinstance(value, str) else value)]


class Form(BaseModel):
    """Base of everything in paper.yaml: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class When(Form):
    """Changes of a method where every given condition holds."""

    scale: Names | None = None
    experiment: Names | None = None
    dataset: Names | None = None
    noise_type: Names | None = None
    noise_rate: Values | None = None
    setting: Names | None = None
    params: dict[str, float | str | bool] = {}
    recipe: RecipeName | None = None
    model: PartName | None = None
    head: PartName | None = None
    regulariser: PartName | None = None
    data: DataPatch | None = None

    def holds(self, scale: str, keys: Mapping[str, Any]) -> bool:
        """Whether the conditions hold for a cell."""
        if self.scale is not None and scale not in self.scale:
            return False
        tests = {
            "experiment": self.experiment,
            "dataset": self.dataset,
            "noise_type": self.noise_type,
            "noise_rate": self.noise_rate,
            "setting": self.setting,
        }
        return all(allowed is None or keys[key] in allowed for key, allowed in tests.items())


class Method(Form):
    """How a row of the tables is trained."""

    loss: str | None = None
    params: dict[str, float | str | bool] = {}
    key: str | None = None  # colour and order in figures; the loss's name if left out
    setting: str = ""
    recipe: RecipeName | None = None
    model: PartName | None = None
    head: PartName | None = None
    regulariser: PartName | None = None
    data: DataPatch | None = None
    parent: str | None = None
    parent_gives: Literal["weights", "backbone", "transition"] | None = None
    transition: bool = False
    when: tuple[When, ...] = ()
    grid: dict[str, Values] = {}
    name: str | None = None
    published_only: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Method:
        if (self.loss is None) == (self.published_only is None):
            raise ValueError("a method has a `loss`, or says in `published_only` why it is not trained")
        if (self.parent is None) != (self.parent_gives is None):
            raise ValueError("`parent` and `parent_gives` go together")
        if self.transition and self.parent_gives == "transition":
            raise ValueError("`transition: true` is the true matrix; a parent that gives the transition estimates it")
        if self.name is not None and not self.grid:
            raise ValueError("`name` is the form of a grid's names; this method has no `grid`")
        if any(not values for values in self.grid.values()):
            raise ValueError("`grid` holds an empty list")
        return self

    @property
    def look(self) -> str:
        """The key of `report.style`."""
        return self.key or self.loss or "other"


class NoiseMeaning(Form):
    """What a noise type is for one block at one scale."""

    kind: str | None = None
    rate: Rate | None = None  # the rate really used; the cell keeps the published one
    draw: Draw | None = None
    flip_map: str | None = None
    options: dict[str, Scalar] = {}


class BlockScale(Form):
    """A data set at one scale: real data, or a stand-in."""

    use: str | None = None
    data: DataPatch = {}
    stand_in: str | None = None
    flip_map: str | None = None
    model: PartName = {}
    head: PartName | None = None
    recipe: RecipeName = {}
    noise: dict[str, NoiseMeaning] = {}


class Block(Form):
    """A data set of the paper. A scale that is left out has no cells."""

    title: str
    smoke: BlockScale | None = None
    quick: BlockScale | None = None
    paper: BlockScale | None = None

    def at(self, scale: str) -> BlockScale | None:
        """The block at a scale."""
        return getattr(self, scale)  # type: ignore[no-any-return]


class Noise(Form):
    """One noise type of an experiment."""

    noise_type: str
    kind: str
    rates: Annotated[tuple[Rate | None, ...], Field(min_length=1)] = (0.0,)
    draw: Draw = "exact"
    flip_map: str | None = None
    options: dict[str, Scalar] = {}
    blocks: Names | None = None

    @model_validator(mode="after")
    def _rate_needs_kind(self) -> Noise:
        if self.kind == "none" and any(self.rates):
            raise ValueError("kind 'none' has the rate 0 only")
        return self


class Overrides(Form):
    """Changes of every block."""

    recipe: RecipeName | None = None
    model: PartName | None = None
    head: PartName | None = None
    data: DataPatch | None = None


class ExperimentScale(Overrides):
    """What a scale leaves of an experiment, and what it changes."""

    skip: bool = False
    rates: Values | None = None
    methods: Names | None = None
    blocks: Names | None = None
    noise_types: Names | None = None
    settings: Names | None = None
    seeds: Annotated[int, Field(ge=1)] | None = None


class Variant(Overrides):
    """One of several forms of the same experiment: networks, imbalance ratios ..."""

    setting: str
    blocks: Names | None = None
    smoke: Overrides = Overrides()
    quick: Overrides = Overrides()
    paper: Overrides = Overrides()

    def layers(self, scale: str) -> tuple[Overrides, Overrides]:
        """Overrides of every scale, then of this one."""
        return self, getattr(self, scale)


class Seeds(Form):
    """Number of seeds per scale."""

    smoke: Annotated[int, Field(ge=1)] = 1
    quick: Annotated[int, Field(ge=1)] = 3
    paper: Annotated[int, Field(ge=1)] = 5


class Experiment(Form):
    """Block x variant x noise x rate x method x seed."""

    title: str
    blocks: Names
    methods: Names
    noise: tuple[Noise, ...] = (Noise(noise_type="none", kind="none"),)
    variants: tuple[Variant, ...] = ()
    seeds: Seeds = Seeds()
    setting: str = ""
    smoke: ExperimentScale = ExperimentScale()
    quick: ExperimentScale = ExperimentScale()
    paper: ExperimentScale = ExperimentScale()
    probes: Names = ()

    def at(self, scale: str) -> ExperimentScale:
        """What the scale leaves and changes."""
        return getattr(self, scale)  # type: ignore[no-any-return]


class Value(Form):
    """One of several numbers that a table shows per cell."""

    label: str = ""
    metric: str | None = None
    reading: str | None = None
    published: str | None = None  # text of the published column `metric`; any, if left out
    digits: Annotated[int, Field(ge=0, le=6)] | None = None
    lower_is_better: bool | None = None


class Item(Form):
    """A table, figure or algorithm of the paper."""

    id: Id
    kind: Literal["table", "figure", "algorithm", "text"]
    title: str
    seen: Annotated[Literal["yes", "partly", "no"], BeforeValidator(_yes_no)] = "no"
    evidence: str = ""
    experiment: Names = ()
    reading: str = "last"
    metric: str | None = None
    rows: tuple[Key, ...] = ("dataset", "method")
    columns: tuple[Key, ...] = ("noise_type", "noise_rate")
    values: tuple[Value, ...] = ()
    where: dict[Key, Values] = {}
    published: Names = ()
    others: Names = ()
    aliases: dict[Key, dict[str, str]] = {}
    best_over: tuple[Key, ...] | None = None
    digits: Annotated[int, Field(ge=0, le=6)] = 2
    note: str = ""

    @model_validator(mode="after")
    def _axes(self) -> Item:
        double = set(self.rows) & set(self.columns)
        if double:
            raise ValueError(f"{', '.join(sorted(double))} cannot be in rows and in columns")
        return self


class Deviation(Form):
    """An entry of the ledger: the paper's text, the official code, this project."""

    id: Id
    topic: str
    paper: str
    official: str = ""
    here: str
    effect: str = ""


class Question(Form):
    """A reader's question, answered by experiment."""

    id: Id
    question: str
    answered_in: str


class Code(Form):
    """Repositories: the official one, and what was read."""

    official: str | None = None
    read: Names = ()


class PaperSpec(Form):
    """The whole of paper.yaml."""

    slug: Id
    title: str
    authors: str
    venue: str
    year: Annotated[int, Field(ge=1950, le=2100)]
    arxiv: str | None = None
    code: Code = Code()
    metric: str = "test_acc"
    methods: dict[str, Method]
    blocks: dict[str, Block]
    experiments: dict[Id, Experiment]
    items: tuple[Item, ...]
    deviations: tuple[Deviation, ...] = ()
    questions: tuple[Question, ...] = ()
