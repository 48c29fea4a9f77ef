"""What is kept of one finished training."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field
from typing import Any, Literal

from losslab.errors import InputError
from losslab.runs.spec import Run, canonical

SCHEMA = 1


class Damaged(Exception):
    """A stored file is not what was written."""


@dataclass(frozen=True)
class Record:
    """Result of one run.

    ``curves``: name -> one value per epoch (or one list of K values per epoch), ``None`` where a value is not a finite number.
    ``final``: the same names measured in evaluation mode after the last epoch, and what probes add.
    ``cost``: seconds of wall time attributed to this run, the device's name. ``provenance``: versions, device, commit, precision.
    ``digests``: SHA-256 of the noisy labels and of the split, so that two machines can tell that they trained on the same thing.
    """

    run: Run
    fingerprint: str
    status: Literal["done", "diverged"]
    curves: dict[str, list[Any]]
    final: dict[str, Any]
    cost: dict[str, Any] = field(default_factory=dict)
    provenance: dict[str, Any] = field(default_factory=dict)
    digests: dict[str, str] = field(default_factory=dict)
    weights: str | None = None  # SHA-256 of the weights file beside the record, if there is one

    def to_json(self) -> str:
        """Canonical text with a checksum over everything else."""
        body = _finite({"schema": SCHEMA, **asdict_shallow(self)})
        body |= {"hash": self.run.hash, "run": self.run.content()}  # as they are: a rounded number would be another run
        return canonical({**body, "checksum": checksum(body)})

    @staticmethod
    def from_json(text: str) -> Record:
        """Reads `to_json`'s text. Raises `Damaged` if the text is cut, changed or of another schema."""
        try:
            body = json.loads(text, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            raise Damaged(f"not JSON: {error}") from error
        if not isinstance(body, dict) or body.get("schema") != SCHEMA:
            raise Damaged(f"schema {body.get('schema') if isinstance(body, dict) else None!r}, expected {SCHEMA}")
        stated = body.pop("checksum", None)
        if stated != checksum(body):
            raise Damaged("checksum does not match")
        names = ("fingerprint", "status", "curves", "final", "cost", "provenance", "digests", "weights")
        if lacking := [name for name in ("run", "hash", *names) if name not in body]:
            raise Damaged(f"lacks {', '.join(lacking)}")
        try:
            run = Run.model_validate(body["run"])
        except ValueError as error:
            raise Damaged(f"run description is not valid: {error}") from error
        if run.hash != body["hash"]:
            raise Damaged(f"hash {body['hash']} does not belong to the run description ({run.hash})")
        return Record(run=run, **{name: body[name] for name in names})

    def reading(self, curve: str, how: str) -> float | None:
        """One number of a curve, see `READINGS`. ``None`` where the curve or the value is missing."""
        return read_curve(self.curves, curve, how)


READINGS = ("last", "best", "best_val", "best_val_clean", "mean_last_10")


def read_curve(curves: dict[str, list[Any]], curve: str, how: str) -> float | None:
    """A reading of a curve: ``last`` epoch, epoch that is ``best`` on the test set, epoch of the best noisy (``best_val``) or clean
    (``best_val_clean``) validation accuracy (the first of equals), mean of the last 10 epochs. Raises InputError for another name."""
    if how not in READINGS:
        raise InputError(f"unknown reading {how!r}; allowed: {', '.join(READINGS)}")
    values = curves.get(curve)
    if not values:
        return None
    if how == "last":
        return values[-1]
    if how == "mean_last_10":
        tail = values[-10:]
        return None if any(v is None for v in tail) else sum(tail) / len(tail)
    by = {"best": "test_acc", "best_val": "val_acc", "best_val_clean": "val_clean_acc"}[how]
    guide = curves.get(by)
    if not guide or all(v is None for v in guide):
        return None
    epoch = max(range(len(guide)), key=lambda i: (-math.inf if guide[i] is None else guide[i], -i))
    return values[epoch]


def asdict_shallow(record: Record) -> dict[str, Any]:
    """All fields but ``run`` (which has its own canonical form)."""
    return {name: value for name, value in record.__dict__.items() if name != "run"}


def checksum(body: dict[str, Any]) -> str:
    """SHA-256 of the canonical JSON."""
    return hashlib.sha256(canonical(body).encode()).hexdigest()


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not a number that a record may hold")


def _finite(value: Any) -> Any:
    """Replaces what JSON cannot hold (NaN, infinities) by None and shortens floats to what float32 carries."""
    if isinstance(value, float):
        return float(f"{value:.7g}") if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    return value


__all__ = ["READINGS", "SCHEMA", "Damaged", "Record", "read_curve"]
