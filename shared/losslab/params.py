"""params.yaml: the scale and the machine settings that hold unless a command says otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from losslab import paths
from losslab.errors import InputError

Scale = Literal["smoke", "quick", "paper"]
SCALES: tuple[str, ...] = get_args(Scale)


class Params(BaseModel):
    """The content of params.yaml."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scale: Scale = "quick"
    seeds: Annotated[int, Field(ge=1)] | None = None
    device: str = "auto"
    workers: Annotated[int, Field(ge=1)] | None = None
    data_root: str | None = None
    papers: tuple[str, ...] = ()

    @field_validator("device")
    @classmethod
    def _device(cls, value: str) -> str:
        return check_device(value)


def load(file: Path | None = None) -> Params:
    """Read and check params.yaml; a missing file means defaults."""
    import yaml

    file = file or paths.root() / "params.yaml"
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8")) or {}
    except FileNotFoundError:
        return Params()
    except yaml.YAMLError as problem:
        raise InputError(f"{paths.show(file)} is not YAML: {one_line(str(problem))}") from None
    if not isinstance(content, dict):
        raise InputError(f"{paths.show(file)} holds no key: value pairs")
    try:
        return Params.model_validate(content)
    except ValidationError as problem:
        raise InputError(f"{paths.show(file)}: {explain(problem)}") from None


def check_scale(value: str) -> Scale:
    """The scale of that name."""
    if value not in SCALES:
        raise InputError(f"unknown scale {value!r}; known: {', '.join(SCALES)}")
    return value  # type: ignore[return-value]


def check_device(value: str) -> str:
    """`auto`, or the name of a torch device (whether it exists is seen when it is used)."""
    kind, _, number = value.partition(":")
    if kind not in ("auto", "cpu", "cuda", "mps") or (number and not number.isdigit()) or (number and kind == "auto"):
        raise InputError(f"unknown device {value!r}; known: auto, cpu, cuda, cuda:0, cuda:1, ..., mps")
    return value


def explain(problem: ValidationError) -> str:
    """A pydantic error in one line: key, what is wrong, the value."""
    parts = []
    for error in problem.errors(include_url=False):
        key = ".".join(str(step) for step in error["loc"])
        said = error["msg"].removeprefix("Value error, ")
        if error["type"] == "extra_forbidden":
            parts.append(f"unknown key {key!r}")
        elif error["type"] == "missing":
            parts.append(f"key {key!r} is missing")
        elif error["type"] == "value_error":
            parts.append(f"{key}: {said}" if key else said)
        else:
            said = said[:1].lower() + said[1:]
            parts.append(f"{key}: {said}, not {error['input']!r}" if key else said)
    return one_line("; ".join(parts))


def one_line(text: str) -> str:
    """The text with line breaks folded into spaces."""
    return " ".join(text.split())
