"""The run store: one file per finished run, shared by all papers.

Layout below its folder: ``records/<2 digits>/<hash>.json``, weights of runs that others start from beside them as
``<hash>.safetensors``; ``checkpoints/`` and ``leases/`` belong to unfinished work.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from losslab.runs.files import write_atomic
from losslab.runs.fingerprint import fingerprint
from losslab.runs.record import Damaged, Record
from losslab.runs.spec import Run

if TYPE_CHECKING:
    import torch

    from losslab.runs.transfer import ImportReport

Weights: TypeAlias = "dict[str, torch.Tensor]"


@dataclass(frozen=True)
class Problem:
    """A stored file that cannot be used: where, and why."""

    path: Path
    reason: str


class Store:
    """Finished runs below one folder. Any number of processes may read and write it at the same time."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)

    def _path(self, run_hash: str) -> Path:
        return self.folder / "records" / run_hash[:2] / f"{run_hash}.json"

    def get(self, run: Run, *, any_version: bool = False) -> Record | None:
        """The record of a run, or None if there is none, it is damaged, or other source code made it (unless ``any_version``)."""
        try:
            record = self.read(run.hash)
        except (FileNotFoundError, Damaged):
            return None
        if not any_version and record.fingerprint != fingerprint(run):
            return None
        return record

    def read(self, run_hash: str) -> Record:
        """The record with this hash, whatever code made it. Raises FileNotFoundError, `Damaged`."""
        try:
            text = self._path(run_hash).read_text(encoding="ascii")
        except UnicodeDecodeError as error:
            raise Damaged(f"not text: {error}") from error
        record = Record.from_json(text)
        if record.run.hash != run_hash:
            raise Damaged(f"holds run {record.run.hash}")
        return record

    def put(self, record: Record, weights: Weights | None = None) -> None:
        """Writes a record, and the network's final weights if other runs start from it. The record comes last: it vouches for the weights."""
        path = self._path(record.run.hash)
        if weights is not None:
            from safetensors.torch import save

            data = save({name: tensor.detach().cpu().contiguous() for name, tensor in weights.items()})
            write_atomic(path.with_suffix(".safetensors"), data)
            record = replace(record, weights=hashlib.sha256(data).hexdigest())
        write_atomic(path, record.to_json().encode("ascii"))

    def weights(self, run: Run) -> Weights | None:
        """Final weights of a run, or None if its record names none or the file is damaged or gone."""
        from safetensors.torch import load

        record = self.get(run)
        path = self._path(run.hash).with_suffix(".safetensors")
        if record is None or record.weights is None or not path.is_file():
            return None
        data = path.read_bytes()
        return load(data) if hashlib.sha256(data).hexdigest() == record.weights else None

    def missing(
        self,
        runs: Iterable[Run],
        *,
        need_weights: frozenset[str] = frozenset(),
        need_curves: Mapping[str, frozenset[str]] | None = None,
    ) -> list[Run]:
        """The runs without a usable record, each once, in the order given.

        Hashes in ``need_weights`` must have their weights too, those in ``need_curves`` the curves named there.
        """
        curves = need_curves or {}
        found: dict[str, Run] = {}
        for run in runs:
            if run.hash in found:
                continue
            record = self.get(run)
            if (
                record is None
                or not curves.get(run.hash, frozenset()) <= set(record.curves)
                or run.hash in need_weights
                and self.weights(run) is None
            ):
                found[run.hash] = run
        return list(found.values())

    def records(self) -> Iterator[Record]:
        """All readable records, ordered by hash."""
        for path in self._files():
            try:
                yield self.read(path.stem)
            except (Damaged, FileNotFoundError):
                continue

    def check(self) -> tuple[int, list[Problem]]:
        """Reads everything; returns the number of sound records and what is wrong with the others."""
        sound, problems = 0, []
        for path in self._files():
            try:
                record = self.read(path.stem)
                if record.weights is not None:
                    side = path.with_suffix(".safetensors")
                    if not side.is_file() or hashlib.sha256(side.read_bytes()).hexdigest() != record.weights:
                        raise Damaged("weights file is missing or changed")
                sound += 1
            except (Damaged, OSError) as error:
                problems.append(Problem(path, str(error)))
        return sound, problems

    def export(self, path: str | Path, runs: Iterable[Run] | None = None) -> int:
        """Writes the records of ``runs`` (None: of all) into one file; returns how many. See `losslab.runs.transfer`."""
        from losslab.runs.transfer import export

        return export(self, path, runs)

    def import_(self, path: str | Path, *, any_version: bool = False) -> ImportReport:
        """Takes over the runs of such a file; damaged ones, and those of other source code unless ``any_version``, are refused."""
        from losslab.runs.transfer import import_

        return import_(self, path, any_version=any_version)

    def _files(self) -> list[Path]:
        return sorted((self.folder / "records").glob("??/*.json"))
