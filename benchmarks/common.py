"""What the benchmarks share: options, interleaved timing, the engine's and the plain side, results as JSON."""

from __future__ import annotations

import argparse
import gc
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; a benchmark that wants more says so
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "shared"))  # works without an installed package

import torch  # noqa: E402

from losslab import data  # noqa: E402
from losslab.data import Dataset  # noqa: E402
from losslab.runs import DataPart, NamedPart, NoisePart, Recipe, Run  # noqa: E402
from losslab.training.cohort import Cohort, Options  # noqa: E402
from losslab.training.cost import macs  # noqa: E402
from losslab.training.problem import dataset_of  # noqa: E402
from losslab.training.provenance import provenance  # noqa: E402

RESULTS = ROOT / "benchmarks" / "results"
LOSSES = ("ce", "mae", "gce", "sce", "nce+rce", "agce")
FOREVER = 1000  # epochs of a cohort that a benchmark advances by hand


def options(about: str, rounds: int = 5, **more: Any) -> argparse.Namespace:
    """Command-line options of a benchmark; ``more`` are numbers with their defaults."""
    parser = argparse.ArgumentParser(description=about)
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--rounds", type=int, default=rounds, help="interleaved rounds; medians are reported")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch on a CPU")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the JSON file")
    for name, default in more.items():
        kind: Any = str if default is None else type(default)
        parser.add_argument(f"--{name.replace('_', '-')}", type=kind, default=default)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    given.device = torch.device(given.device)
    if given.device.type == "cuda":
        torch.cuda.set_device(given.device.index or 0)
        given.device = torch.device("cuda", torch.cuda.current_device())
    else:
        with_kept_memory()
    return given


def with_kept_memory() -> None:
    """The allocator settings with which the engine trains on a CPU; both sides of a comparison get them."""
    from losslab.training.allocator import keep_memory

    keep_memory()


def clock(device: torch.device) -> float:
    """Seconds: of the processor on a CPU (other programs do not count), of the wall on a GPU, when it has caught up."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        return time.perf_counter()
    return time.process_time()


def interleaved(
    cases: dict[str, Callable[[], float]], rounds: int, device: torch.device, now: Callable[[], float] | None = None
) -> dict[str, list[float]]:
    """Rates of each case, round by round. A case does some work and returns how much; every round runs all cases once.

    A round before the first is not counted (caches, lazy imports, graph capture).
    """
    read = now or (lambda: clock(device))
    rates: dict[str, list[float]] = {name: [] for name in cases}
    for turn in range(rounds + 1):
        for name, work in cases.items():
            began = read()
            done = work()
            rate = done / (read() - began)
            if turn:
                rates[name].append(rate)
    return rates


def medians(rates: dict[str, list[float]]) -> dict[str, float]:
    """Median rate per case."""
    return {name: statistics.median(values) for name, values in rates.items()}


def ratios(rates: dict[str, list[float]], base: str) -> dict[str, float]:
    """Per case the median of its ratio to ``base`` within a round."""
    return {
        name: statistics.median(a / b for a, b in zip(values, rates[base], strict=True))
        for name, values in rates.items()
    }


def runs(
    count: int,
    *,
    dataset: str = "digits",
    model: str = "mlp",
    losses: Sequence[str] = LOSSES,
    options: dict[str, Any] | None = None,
    **recipe: Any,
) -> list[Run]:
    """``count`` runs of one shape that differ in loss, noise, learning rate and seed: the digits protocol unless told otherwise."""
    given = {"epochs": FOREVER, "batch_size": 64, "lr": 0.02, "weight_decay": 1e-4, "clip_norm": 5.0, **recipe}
    rates = (0.2, 0.4, 0.6, 0.8)
    return [
        Run(
            data=DataPart(name=dataset, options=options or {}),
            noise=NoisePart(kind="symmetric", rate=rates[i % len(rates)]),
            model=NamedPart(name=model),
            loss=NamedPart(name=losses[i % len(losses)]),
            recipe=Recipe(**{**given, "lr": given["lr"] * (1 + 0.01 * i)}),
            seed=i,
        )
        for i in range(count)
    ]


def cohort(members: Sequence[Run], device: torch.device) -> Cohort:
    """A cohort as the engine would train it."""
    cuda = device.type == "cuda"
    return Cohort(members, Options(device, eval_batch=2048 if cuda else 128, graphs=cuda))


class Trainer:
    """Cohorts that a benchmark advances epoch by epoch; on a GPU each has its own stream."""

    def __init__(self, groups: Iterable[Sequence[Run]], device: torch.device) -> None:
        groups = list(groups)
        self.flops = epoch_flops(groups[0][0])
        self.cohorts = [cohort(group, device) for group in groups]
        self.device = device
        self.turns = [one.work() for one in self.cohorts]
        self.streams = [torch.cuda.Stream(device) for _ in self.turns] if device.type == "cuda" else []
        self.runs = sum(len(one.runs) for one in self.cohorts)

    def epochs(self, count: int = 1) -> float:
        """Trains every run for ``count`` epochs, evaluation included; returns runs x epochs."""
        for _ in range(count):
            if not self.streams:
                for turn in self.turns:
                    next(turn)
                continue
            for turn, stream in zip(self.turns, self.streams, strict=True):
                with torch.cuda.stream(stream):
                    next(turn)
        return float(count * self.runs)


def epoch_flops(run: Run) -> float:
    """Multiplications and additions of one run's epoch: training (a backward pass costs two forward passes) and evaluation."""
    dataset = dataset_of(run.data, None)
    return 2 * macs(run, None) * (3 * len(dataset.train_labels) + len(dataset.test_labels))


def synthetic(name: str, shape: tuple[int, int, int], train: int, test: int, num_classes: int = 10) -> str:
    """Makes a data set of structured random images known under ``name``: class prototypes, smoothed, with noise."""
    draw = torch.Generator().manual_seed(0)
    low = torch.rand(num_classes, shape[0], 4, 4, generator=draw)
    prototypes = torch.nn.functional.interpolate(low, shape[1:], mode="bilinear")

    def part(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        labels = torch.arange(n) % num_classes
        images = prototypes[labels] + 0.3 * torch.rand(n, *shape, generator=draw)
        return (images.clamp(0, 1) * 255).to(torch.uint8), labels

    (train_images, train_labels), (test_images, test_labels) = part(train), part(test)
    made = Dataset(
        name=name,
        train_images=train_images,
        train_labels=train_labels,
        test_images=test_images,
        test_labels=test_labels,
        num_classes=num_classes,
        class_names=tuple(map(str, range(num_classes))),
        mean=(0.5,) * shape[0],
        std=(0.25,) * shape[0],
        source="generated",
    )
    before = data.load
    data.load = lambda asked, *a, **k: made if asked == name else before(asked, *a, **k)  # type: ignore[assignment]
    return name


def tensor_bytes(device: torch.device) -> int:
    """Bytes of all tensors that are alive on a device, each storage once."""
    gc.collect()
    sizes: dict[int, int] = {}
    for thing in gc.get_objects():
        if isinstance(thing, torch.Tensor) and thing.device.type == device.type:
            storage = thing.untyped_storage()
            sizes[storage.data_ptr()] = storage.nbytes()
    return sum(sizes.values())


def matmul(device: torch.device, dtype: torch.dtype) -> Callable[[], float]:
    """A case for `interleaved` whose rate is what the device reaches in a large matrix product, in FLOP/s."""
    size, count = (2048, 2) if device.type == "cpu" else (8192, 20)
    a, b = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))

    def work() -> float:
        for _ in range(count):
            a @ b
        return 2.0 * size**3 * count

    return work


def show(title: str, rows: Sequence[dict[str, Any]]) -> None:
    """Prints rows as an aligned table."""
    print(f"\n{title}")
    if not rows:
        return
    names = list(rows[0])
    cells = [names, *([text(row[name]) for name in names] for row in rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(names))]
    for row in cells:
        print("  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def text(value: Any) -> str:
    """A number with three figures, or a word."""
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
    return "" if value is None else str(value)


def save(name: str, given: argparse.Namespace, tables: dict[str, list[dict[str, Any]]], **facts: Any) -> Path:
    """Prints all tables and writes them as ``<name>-<device type>.json`` with what they were measured on."""
    for title, rows in tables.items():
        show(title, rows)
    about = provenance(given.device, "as stated") | {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "system": platform.system(),
        "load": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
    }
    asked = {key: str(value) for key, value in vars(given).items() if key != "out"}
    path = given.out / f"{name}-{given.device.type}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    body = {"benchmark": name, "provenance": about, "options": asked, "facts": facts, "tables": tables}
    path.write_text(json.dumps(body, indent=1) + "\n")
    print(f"\nwritten to {path}")
    return path


def chunks(items: Sequence[Run], parts: int) -> Iterator[Sequence[Run]]:
    """``items`` in ``parts`` nearly equal pieces."""
    for i in range(parts):
        yield items[i * len(items) // parts : (i + 1) * len(items) // parts]
