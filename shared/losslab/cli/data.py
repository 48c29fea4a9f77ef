"""`losslab data`: the data sets that a scale needs, checked and where possible fetched. The pipeline's first stage."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.cli.console import console
from losslab.cli.settings import Settings, open_paper, settle

if TYPE_CHECKING:
    from losslab.data import Dataset
    from losslab.runs import Run


FETCHED = ("mnist", "fashion_mnist", "cifar10", "cifar100")  # what may be downloaded without asking anybody


def data(names: Sequence[str], *, scale: str | None, data_root: Path | None, output: Path | None) -> int:
    """Load every data set once (which downloads what may be downloaded) and note what it holds."""
    chosen = settle(scale=scale, data_root=data_root, make=True)
    from losslab import data as library
    from losslab.runs.files import write_atomic
    from losslab.runs.spec import canonical

    out = console()
    wanted: dict[str, tuple[str, dict[str, Any]]] = {canonical([name, {}]): (name, {}) for name in names} or dict(
        _needed(chosen)
    )
    found: dict[str, Any] = {}
    for key, (name, options) in sorted(wanted.items()):
        download = {"download": True} if name in FETCHED else {}
        loaded = library.load(name, chosen.data_root, **options, **download)
        found[key] = _facts(loaded)
        train, test = found[key]["train"], found[key]["test"]
        out.print(f"{name}: {train} training and {test} test images, {loaded.num_classes} classes", markup=False)
    if output is not None:
        text = json.dumps({"scale": chosen.scale, "sets": found}, indent=1, sort_keys=True) + "\n"
        write_atomic(output.resolve(), text.encode())
    return 0


def _needed(chosen: Settings) -> Iterator[tuple[str, tuple[str, dict[str, Any]]]]:
    """Data set and options of every run of the papers at this scale."""
    from losslab.runs.spec import canonical

    for slug in chosen.papers:
        for cell in open_paper(slug).cells(chosen.scale):
            for run in _with_parents(cell.run):
                yield canonical([run.data.name, run.data.options]), (run.data.name, dict(run.data.options))


def _with_parents(run: Run) -> Iterator[Run]:
    current: Run | None = run
    while current is not None:
        yield current
        current = current.parent


def _facts(loaded: Dataset) -> dict[str, Any]:
    digest = hashlib.sha256()
    for tensor in (loaded.train_labels, loaded.test_labels, loaded.train_images, loaded.test_images):
        digest.update(tensor.contiguous().numpy().data)
    return {
        "train": len(loaded.train_labels),
        "test": len(loaded.test_labels),
        "shape": list(loaded.in_shape),
        "classes": loaded.num_classes,
        "sha256": digest.hexdigest()[:16],
    }
