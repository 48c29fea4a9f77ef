"""What one training is: a validated, frozen description with a content hash.

Everything that can change a number of the result is a field here; nothing else is. Fields at their defaults are left out of the hash, so a new
field with a neutral default leaves old hashes as they were.
"""

from __future__ import annotations

import hashlib
import json
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

Rate = Annotated[float, Field(ge=0.0, le=1.0)]
Value = bool | int | float | str | tuple[int | float, ...] | None
Options = dict[str, Value]


class Part(BaseModel):
    """Base of every part of a run: frozen, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def content(self) -> dict[str, Any]:
        """The fields that differ from their defaults, as plain JSON types."""
        return self.model_dump(mode="json", exclude_defaults=True)


class DataPart(Part):
    """Data set and how it is split and shown to the network."""

    name: str
    options: Options = {}
    validation: Rate = 0.0  # share of the training set held out, stratified; noise hits it too
    statistics: str = "mean_std"  # see losslab.data.statistics
    augment: str = "none"
    imbalance: Literal["none", "long_tailed", "step"] = "none"
    imbalance_ratio: Annotated[float, Field(ge=1.0)] = 1.0  # largest class count / smallest
    split_seed: int = 0


class NoisePart(Part):
    """Label noise on the training (and validation) labels."""

    kind: str = "none"
    rate: Rate = 0.0
    flip_map: str | None = None
    draw: Literal["exact", "exact_equal", "multinomial"] = "exact"
    options: Options = {}
    seed: int | None = None  # None: the run's seed

    @model_validator(mode="after")
    def _rate_needs_kind(self) -> NoisePart:
        if self.kind == "none" and self.rate > 0:
            raise ValueError(f"noise rate {self.rate} needs a noise kind; kind is 'none'")
        return self


class NamedPart(Part):
    """A named piece of the library with its hyper-parameters."""

    name: str
    params: Options = {}

    @field_validator("params")
    @classmethod
    def _whole(cls, params: dict[str, Any]) -> dict[str, Any]:
        """8 and 8.0 are one thing: an integer, because networks count their channels with it."""

        def whole(value: Any) -> Any:
            return int(value) if isinstance(value, float) and value.is_integer() else value

        return {k: tuple(map(whole, v)) if isinstance(v, tuple) else whole(v) for k, v in params.items()}

    @model_serializer(mode="wrap")
    def _one_text(self, plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Numbers are written as floats, whichever way they were given, so that one content has one hash."""
        written: dict[str, Any] = plain(self)
        for name, value in written.get("params", {}).items():
            if isinstance(value, int) and not isinstance(value, bool):
                written["params"][name] = float(value)
        return written


class Schedule(Part):
    """Learning rate over the epochs (stepped once per epoch)."""

    kind: Literal["cosine", "steps", "constant", "exponential", "keras"] = "cosine"
    milestones: tuple[int, ...] = ()  # steps: epochs (0-based) from which the factor holds
    factor: float = 0.1  # steps: multiplier at each milestone; exponential: multiplier per epoch
    floor: float = 0.0  # cosine: final learning rate
    decay: float = 0.0  # keras: lr / (1 + decay * iterations), on top of the steps
    warmup: int = 0  # epochs of linear warm-up


class Recipe(Part):
    """Optimisation of one training."""

    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=2)] = 128
    optimizer: Literal["sgd", "adam"] = "sgd"
    lr: Annotated[float, Field(gt=0)] = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = False
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    clip_norm: Annotated[float, Field(gt=0)] | None = None  # norm of one model's gradient
    schedule: Schedule = Schedule()
    sampler: Literal["shuffle", "class_aware", "class_balanced"] = "shuffle"
    precision: Literal["float64", "float32", "bf16"] = "float32"
    class_weights: Literal["none", "inverse", "effective"] = (
        "none"  # of the given labels' counts, mean 1 over the classes
    )
    class_weights_from: Annotated[int, Field(ge=0)] = 0  # first epoch with these weights (deferred re-weighting)
    effective_beta: Annotated[float, Field(gt=0, lt=1)] = 0.9999  # effective: weight (1 - beta) / (1 - beta^n)
    refresh_start: int | None = None  # first epoch (0-based) at which a stateful loss is refreshed; None: never
    refresh_every: Annotated[int, Field(ge=1)] = 10
    refresh_from: Literal["current", "best_val"] = "best_val"  # which network refreshes it


class Run(Part):
    """One training. Shared by every paper that asks for the same content."""

    data: DataPart
    noise: NoisePart = NoisePart()
    model: NamedPart
    head: NamedPart = NamedPart(name="linear")
    loss: NamedPart
    regulariser: NamedPart | None = None
    recipe: Recipe
    seed: Annotated[int, Field(ge=0)] = 0
    parent: Run | None = None  # trained first
    parent_gives: Literal["nothing", "weights", "backbone", "transition"] = "nothing"

    @model_validator(mode="after")
    def _parent_is_used(self) -> Run:
        if (self.parent is None) != (self.parent_gives == "nothing"):
            raise ValueError("parent and parent_gives go together: name what the parent gives, or leave both out")
        return self

    @property
    def hash(self) -> str:
        """Content hash: 20 hexadecimal digits."""
        return content_hash(self.content())

    def label(self) -> str:
        """A short text for progress lines."""
        noise = "clean" if self.noise.kind == "none" else f"{self.noise.kind} {self.noise.rate:g}"
        return f"{self.data.name}, {noise}, {self.loss.name}, seed {self.seed}"


def canonical(value: Any) -> str:
    """JSON with sorted keys and no spaces: one text per content."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def content_hash(value: Any) -> str:
    """First 20 hexadecimal digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:20]
