"""What a training would take, before it begins: time of a core or a GPU, memory of a process, bytes on disk.

The time comes from measured speeds only: of like runs in the store, else of the benchmarks' results for this kind of device (the network nearest in
size). What nobody has measured is named, not guessed.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from losslab.errors import InputError
from losslab.runs import Run, Store
from losslab.training.cost import BIG, Size, network_size, work
from losslab.training.plan import CPU_WIDTH
from losslab.training.probes import Wanted
from losslab.training.problem import FLOAT_POOL_BYTES, dataset_of

LIBRARIES = 530e6  # bytes of a process that has loaded the engine, measured on Linux with torch 2.14
RECORD, NUMBER, CURVES = (
    1500,
    8,
    11,
)  # bytes of a record without curves; of one number in it; curves with one number per epoch
LIKE_RUNS = 50  # records of one kind that are read for its speed

# Training images, test images and classes as published, so that a forecast needs no files.
PUBLISHED: dict[str, tuple[tuple[int, int, int], int, int, int]] = {
    "mnist": ((1, 28, 28), 60_000, 10_000, 10),
    "fashion_mnist": ((1, 28, 28), 60_000, 10_000, 10),
    "cifar10": ((3, 32, 32), 50_000, 10_000, 10),
    "cifar100": ((3, 32, 32), 50_000, 10_000, 100),
    "cifar10n": ((3, 32, 32), 50_000, 10_000, 10),
    "cifar100n": ((3, 32, 32), 50_000, 10_000, 100),
}
Shape = tuple[tuple[int, int, int], int, int, int]
Kind = tuple[str, str, str]  # data set, model, precision


@dataclass(frozen=True)
class Speed:
    """Work per second of one core or one GPU at a network of this size."""

    macs: float
    precision: str
    rate: float  # in the unit of `cost.units`


@dataclass
class Forecast:
    """What runs would take together."""

    runs: int = 0
    seconds: float = 0.0  # of one core, or of the GPU
    timed: int = 0  # runs that `seconds` counts
    like: int = 0  # of them, those timed by like runs in the store; the others by benchmarks
    memory: float = 0.0  # bytes of the largest process
    disk: float = 0.0  # bytes of records and of the weights that are kept
    unknown: dict[str, str] = field(default_factory=dict)  # data set or network -> why nothing is said about its runs


def shape_of(run: Run, root: str | None) -> Shape:
    """Image shape, training and test samples, and classes of a run's data set. Raises InputError where its files are needed and missing."""
    if run.data.name in PUBLISHED and not run.data.options:
        return PUBLISHED[run.data.name]
    dataset = dataset_of(run.data, root)
    return dataset.in_shape, len(dataset.train_labels), len(dataset.test_labels), dataset.num_classes


def benchmarked(folder: Path, device: str) -> list[Speed]:
    """Speeds of the engine in the benchmarks' results for a kind of device ("cpu", "cuda"); none where there are no results."""
    found = []
    tables = _tables(folder / f"throughput-{device}.json")
    for title, rows in tables.items():
        rates = [float(row["ms per run and epoch"]) for row in rows if str(row["how"]).startswith("engine")]
        size = _digits(title.partition(" ")[0])
        if rates and size is not None:
            found.append(Speed(size.macs, "float32", work(size.macs, 1, 1280, 517) / (min(rates) / 1000)))
    for rows in _tables(folder / f"images-{device}.json").values():
        for precision in ("float32", "bf16"):
            mine = [row for row in rows if str(row.get("how", "")).startswith(f"engine, {precision}")]
            if mine:
                best = max(mine, key=lambda row: row["images/s"])
                macs = float(best["GFLOP/s"]) * 1e9 / float(best["images/s"]) / 6
                found.append(Speed(macs, precision, work(macs, 1, 1, 0) * float(best["images/s"])))
    return found


def _tables(path: Path) -> dict[str, list[dict[str, float | str]]]:
    try:
        tables: dict[str, list[dict[str, float | str]]] = json.loads(path.read_text())["tables"]
    except (OSError, ValueError, KeyError):
        return {}
    return tables


def _digits(model: str) -> Size | None:
    try:
        return network_size(model, (), (1, 8, 8), 10)
    except InputError:
        return None


def recorded(store: Store, kinds: Iterable[tuple[str, str]], device: str) -> dict[Kind, list[float]]:
    """Seconds per epoch of stored runs of these data sets and models on this kind of device."""
    wanted, found = set(kinds), defaultdict[Kind, list[float]](list)
    for record in store.records():
        run, took = record.run, record.cost.get("seconds")
        key = (run.data.name, run.model.name, run.recipe.precision)
        alike = key[:2] in wanted and record.provenance.get("device_type") == device
        if took and alike and len(found[key]) < LIKE_RUNS:
            found[key].append(float(took) / run.recipe.epochs)
    return found


def forecast(
    runs: Sequence[Run],
    store: Store,
    *,
    device: str,
    root: str | None = None,
    benchmarks: Path | None = None,
    keep_weights: frozenset[str] = frozenset(),
    probes: Wanted | None = None,
) -> Forecast:
    """What training ``runs`` would take on one core, or on one GPU (``device`` "cpu" or "cuda").

    ``benchmarks``: folder of the benchmarks' results. ``keep_weights``, ``probes``: what is kept beside the records, see `training.plan`.
    """
    known = recorded(store, {(run.data.name, run.model.name) for run in runs}, device)
    speeds = benchmarked(benchmarks, device) if benchmarks is not None else []
    made = Forecast(runs=len(runs))
    for run in runs:
        try:
            shape = shape_of(run, root)
            size = network_size(run.model.name, tuple(sorted(run.model.params.items())), shape[0], shape[3])
        except InputError as problem:
            made.unknown[run.data.name] = str(problem)
            continue
        made.disk += _disk(run, size, shape, run.hash in keep_weights, (probes or {}).get(run.hash, frozenset()))
        made.memory = max(made.memory, LIBRARIES + _memory(run, size, shape, device, len(runs)))
        seconds = _seconds(run, size, shape, known, speeds)
        if seconds is None:
            made.unknown[run.model.name] = f"no run of {run.model.name} and no benchmark was measured on {device} yet"
            continue
        made.seconds += seconds
        made.timed += 1
        made.like += (run.data.name, run.model.name, run.recipe.precision) in known
    return made


def _seconds(
    run: Run, size: Size, shape: Shape, known: dict[Kind, list[float]], speeds: Sequence[Speed]
) -> float | None:
    own = known.get((run.data.name, run.model.name, run.recipe.precision))
    if own:
        return median(own) * run.recipe.epochs
    if not speeds:
        return None
    alike = [speed for speed in speeds if (speed.precision == "bf16") == (run.recipe.precision == "bf16")] or speeds
    nearest = min(alike, key=lambda speed: abs(math.log(speed.macs / max(1.0, size.macs))))
    return work(size.macs, run.recipe.epochs, shape[1], shape[2]) / nearest.rate


def _memory(run: Run, size: Size, shape: Shape, device: str, runs: int) -> float:
    """Bytes of the data and of one cohort: weights, gradients, momenta and a spare; activations and their gradients; what is noted per sample."""
    number = 8 if run.recipe.precision == "float64" else 4
    width = min(runs, 1 if size.macs >= BIG else CPU_WIDTH if device == "cpu" else 64)
    pixels = math.prod(shape[0]) * (shape[1] + shape[2])
    activation = 2 if run.recipe.precision == "bf16" else number
    one = 4 * number * size.parameters + 2 * activation * size.activations * run.recipe.batch_size + 56 * shape[1]
    return pixels * (number if pixels * 4 <= FLOAT_POOL_BYTES else 1) + width * one


def _disk(run: Run, size: Size, shape: Shape, weights: bool, probes: frozenset[str]) -> float:
    tables = 4 * shape[3] ** 2 if "confusion" in probes else 0
    return RECORD + NUMBER * run.recipe.epochs * (CURVES + shape[3] + tables) + (4 * size.parameters if weights else 0)
