"""Checkpoints of long runs: one file per run, so that a later cohort of any composition can go on from it.

Batch orders, augmentation draws and dropout masks follow from (seed, epoch), so a checkpoint holds no generator states. It counts only as it was
written (a checksum) and for the source code that wrote it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from losslab.runs.files import write_atomic
from losslab.training.cohort import Cohort
from losslab.training.snapshot import load_run_state, run_state


class Checkpoints:
    """Checkpoints below a store's folder. They count only for the source code that made them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "checkpoints"

    def _path(self, run_hash: str) -> Path:
        return self.folder / f"{run_hash}.safetensors"

    def epoch(self, run_hash: str, fingerprint: str) -> int:
        """Number of finished epochs in the run's checkpoint; 0 if there is none that can be used."""
        found = self._read(run_hash, fingerprint)
        return 0 if found is None else int(found["epoch"])

    def _read(self, run_hash: str, fingerprint: str) -> dict[str, Tensor] | None:
        try:
            tensors = load(self._path(run_hash).read_bytes())
        except (FileNotFoundError, SafetensorError):
            return None
        stated = tensors.pop("checksum", None)
        if stated is None or not torch.equal(stated, _checksum(tensors)):
            return None
        return tensors if bytes(tensors["fingerprint"].tolist()) == fingerprint.encode() else None

    def save(self, cohort: Cohort, fingerprints: dict[str, str]) -> None:
        """Writes the state of every run of a cohort."""
        places = {run.hash: m for m, run in enumerate(cohort.runs)}  # a lone run may be there twice
        for key, m in places.items():
            tensors = {f"cohort.{name}": value for name, value in run_state(cohort, m).items()}
            tensors["epoch"] = torch.tensor(cohort.epoch)
            tensors["fingerprint"] = torch.tensor(list(fingerprints[key].encode()), dtype=torch.uint8)
            tensors["history"] = torch.tensor(list(json.dumps(cohort.history[m]).encode()), dtype=torch.uint8)
            tensors = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
            write_atomic(self._path(key), save(tensors | {"checksum": _checksum(tensors)}))

    def restore(self, cohort: Cohort, fingerprints: dict[str, str]) -> None:
        """Puts every run of a cohort where its checkpoint left it; without one of the same epoch for each, all begin anew."""
        found: list[dict[str, Tensor]] = []
        for run in cohort.runs:
            tensors = self._read(run.hash, fingerprints[run.hash])
            if tensors is None or (found and int(tensors["epoch"]) != int(found[0]["epoch"])):
                return
            found.append(tensors)
        for m, tensors in enumerate(found):
            load_run_state(
                cohort, m, {k.removeprefix("cohort."): v for k, v in tensors.items() if k.startswith("cohort.")}
            )
            cohort.history[m] = json.loads(bytes(tensors["history"].tolist()).decode())
            cohort.epoch = int(tensors["epoch"])

    def remove(self, run_hash: str) -> None:
        """Forgets a finished run's checkpoint."""
        self._path(run_hash).unlink(missing_ok=True)


def _checksum(tensors: Mapping[str, Tensor]) -> Tensor:
    """SHA-256 over names, types, shapes and bytes, as a tensor."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name}:{tensor.dtype}:{tuple(tensor.shape)}\n".encode())
        if tensor.numel():
            digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return torch.tensor(list(digest.digest()), dtype=torch.uint8)
