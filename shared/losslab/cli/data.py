"""`losslab data`: the data sets that a scale needs, checked and where possible fetched. The pipeline's first stage."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab.cli.console import console
from losslab.cli.settings import open_paper, settle
from losslab.runs.files import write_atomic

if TYPE_CHECKING:
    from losslab.data import Dataset
    from losslab.runs import Run


def data(*, scale: str | None, data_root: Path | None, output: Path | None) -> int:
    """Load every data set once (which downloads what may be downloaded) and note what it holds."""
    chosen = settle(scale=scale, data_root=data_root)
    out = console()
    found: dict[str, Any] = {}
    for slug in chosen.papers:
        for cell in open_paper(slug).cells(chosen.scale):
            for run in _with_parents(cell.run):
                name = json.dumps([run.data.name, run.data.options], sort_keys=True)
                if name in found:
                    continue
                loaded = _fetch(run.data.name, chosen.data_root, dict(run.data.options))
                found[name] = _facts(loaded)
                train, test = found[name]["train"], found[name]["test"]
                out.print(
                    f"{run.data.name}: {train} training and {test} test images, {loaded.num_classes} classes",
                    markup=False,
                )
    if output is not None:
        text = json.dumps({"scale": chosen.scale, "sets": found}, indent=1, sort_keys=True) + "\n"
        write_atomic(output.resolve(), text.encode())
    return 0


def _with_parents(run: Run) -> Iterator[Run]:
    current: Run | None = run
    while current is not None:
        yield current
        current = current.parent


def _fetch(name: str, root: Path, options: dict[str, Any]) -> Dataset:
    from losslab import data as library
    from losslab.data import vision

    if "download" in inspect.signature(vision.load).parameters and name in _downloadable():
        options["download"] = True
    return library.load(name, root, **options)


def _downloadable() -> tuple[str, ...]:
    return ("mnist", "fashion_mnist", "cifar10", "cifar100", "cifar10n", "cifar100n")


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
