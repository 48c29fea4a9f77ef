"""claims.yaml as frozen objects: a claim is a set of comparisons that a program can check."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from losslab.papers.spec import KEYS, SCALES, Form, Id, Key, Names, Scalar, Scale, Values

Op = Literal[">", ">=", "<", "<=", "~", "=="]


class Selector(Form):
    """The cell, the metric and the reading of one side. What is left out comes from the other side or from the claim."""

    experiment: str | None = None
    dataset: str | None = None
    noise_type: str | None = None
    noise_rate: float | None = None
    setting: str | None = None
    method: str | None = None
    metric: str | None = None
    reading: str | None = None
    minus: Selector | None = None

    def given(self) -> dict[str, Any]:
        """What the file names, without `minus`."""
        return self.model_dump(exclude_unset=True, exclude={"minus"})

    def over(self, base: Mapping[str, Any]) -> Selector:
        """This selector with ``base`` filled in where it is silent."""
        filled: dict[str, Any] = {**base, **self.given()}
        if self.minus is not None:
            filled["minus"] = self.minus.over(filled)
        filled = {key: value for key, value in filled.items() if key in type(self).model_fields}
        return Selector.model_construct(_fields_set=set(filled), **filled)

    def text(self) -> str:
        """One line for tables."""
        parts = [
            f"{self.noise_rate:g}" if key == "noise_rate" else str(getattr(self, key))
            for key in _SHOWN
            if getattr(self, key) not in (None, "")
        ]
        line = ", ".join(parts)
        if self.minus is not None:
            changed = {key: value for key, value in self.minus.given().items() if value != getattr(self, key)}
            line += " minus " + ", ".join(str(value) for value in changed.values())
        return line


_SHOWN = ("method", "dataset", "noise_type", "noise_rate", "setting", "metric", "reading")


class Comparison(Form):
    """`left op right + margin`, `left op value`, or `fact op value`."""

    left: Selector | None = None
    fact: str | None = None
    op: Op
    right: Selector | None = None
    value: float | None = None
    margin: Annotated[float, Field(ge=0)] = 0.0

    @model_validator(mode="after")
    def _sides(self) -> Comparison:
        if (self.left is None) == (self.fact is None):
            raise ValueError("a comparison has `left` or `fact`, one of the two")
        if (self.right is None) == (self.value is None):
            raise ValueError("a comparison has `right` or `value`, one of the two")
        if self.fact is not None and self.right is not None:
            raise ValueError("a fact is compared with a `value`")
        if self.op == "~" and self.margin == 0:
            raise ValueError("`~` asks for agreement within a `margin` above 0")
        if self.op == "==" and self.fact is None:
            raise ValueError("`==` is for facts; cells are compared with `~` and a `margin`")
        return self

    def filled(self, base: Mapping[str, Any]) -> Comparison:
        """With the claim's defaults; the right side inherits from the left one."""
        if self.left is None:
            return self
        left = self.left.over(base)
        right = self.right.over(left.given()) if self.right is not None else None
        return self.model_copy(update={"left": left, "right": right})


class Claim(Form):
    """A statement of the paper."""

    id: Id
    text: str
    evidence: Literal["seen", "second-hand", "recalled", "derived"] = "seen"
    source: str = ""
    scales: tuple[Scale, ...] = SCALES
    experiment: str | None = None
    metric: str | None = None
    reading: str | None = None
    all: tuple[Comparison, ...] = ()
    any: tuple[Comparison, ...] = ()
    for_each: dict[Key, Values] = {}

    @model_validator(mode="after")
    def _one_form(self) -> Claim:
        if bool(self.all) == bool(self.any):
            raise ValueError("a claim has `all` or `any`, one of the two, with at least one comparison")
        if any(not values for values in self.for_each.values()):
            raise ValueError("`for_each` holds an empty list")
        return self

    def comparisons(self) -> Iterator[Comparison]:
        """Every comparison with every combination of `for_each` and the claim's defaults filled in."""
        defaults = {
            key: value for key in ("experiment", "metric", "reading") if (value := getattr(self, key)) is not None
        }
        combinations: list[dict[str, Scalar]] = [
            dict(zip(self.for_each, values, strict=True)) for values in itertools.product(*self.for_each.values())
        ]
        for comparison in self.all or self.any:
            if comparison.left is None:
                yield comparison
                continue
            for chosen in combinations:
                yield comparison.filled({**defaults, **chosen})


class ClaimsSpec(Form):
    """The whole of claims.yaml (a list)."""

    claims: tuple[Claim, ...]


__all__ = ["KEYS", "Claim", "ClaimsSpec", "Comparison", "Names", "Op", "Selector"]
