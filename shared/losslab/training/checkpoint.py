"""Checkpoints of long runs: one file per run, so that a later cohort of any composition can go on from it.

Batch orders, augmentation draws and dropout masks follow from (seed, epoch), so a checkpoint holds no generator states.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from losslab.runs.files import write_atomic
from losslab.training.cohort import Cohort


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
        code = bytes(tensors["fingerprint"].tolist()).decode() if "fingerprint" in tensors else ""
        return tensors if code == fingerprint else None

    def save(self, cohort: Cohort, fingerprints: dict[str, str]) -> None:
        """Writes the state of every run of a cohort."""
        for m, run in enumerate(cohort.runs):
            tensors = {f"cohort.{name}": value for name, value in cohort.run_state(m).items()}
            tensors["epoch"] = torch.tensor(cohort.epoch)
            tensors["fingerprint"] = torch.tensor(list(fingerprints[run.hash].encode()), dtype=torch.uint8)
            tensors["history"] = torch.tensor(list(json.dumps(cohort.history[m]).encode()), dtype=torch.uint8)
            write_atomic(self._path(run.hash), save({k: v.detach().cpu().contiguous() for k, v in tensors.items()}))

    def restore(self, cohort: Cohort, fingerprints: dict[str, str]) -> None:
        """Puts every run of a cohort where its checkpoint left it; all must have finished the same number of epochs."""
        for m, run in enumerate(cohort.runs):
            tensors = self._read(run.hash, fingerprints[run.hash])
            if tensors is None:
                return
            cohort.load_run_state(
                m, {k.removeprefix("cohort."): v for k, v in tensors.items() if k.startswith("cohort.")}
            )
            cohort.history[m] = json.loads(bytes(tensors["history"].tolist()).decode())
            cohort.epoch = int(tensors["epoch"])

    def remove(self, run_hash: str) -> None:
        """Forgets a finished run's checkpoint."""
        self._path(run_hash).unlink(missing_ok=True)
