"""(g) Value and gradient of every loss against torch's cross-entropy, eager and compiled."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.common import interleaved, medians, options, save
from losslab import losses
from losslab.analysis.probing import symmetric_noise

BASE = "cross_entropy"
SUMS = ("nce+rce", "nce+agce", "nfl+mae")
LIMIT = 3.0  # a loss above this multiple of cross-entropy, compiled at the largest shape, says why in its card
Step = Callable[[Tensor], Tensor]


def step(name: str, size: int, num_classes: int, device: torch.device) -> tuple[Step, Tensor]:
    """A function from inputs to the loss's mean, and inputs `(N, K)`: what a training loop calls, with the memory of losses that have one."""
    draw = torch.Generator().manual_seed(0)
    inputs = torch.randn(size, num_classes, generator=draw).to(device)
    targets = torch.randint(num_classes, (size,), generator=draw).to(device)
    if name == BASE:
        reference = nn.CrossEntropyLoss()
        return lambda z: reference(z, targets), inputs
    spec = losses.spec(name)
    given: dict[str, Any] = {}
    extra: dict[str, Tensor] = {}
    if "transition" in spec.tensors:
        given["transition"] = symmetric_noise(num_classes, 0.2).float()
    if "class_counts" in spec.tensors:
        given["class_counts"] = torch.logspace(3, 1, num_classes)
    if spec.state is not None:
        given["num_samples"], extra["index"] = size, torch.arange(size, device=device)
    if spec.draw is not None:  # drawn beforehand, as an epoch's labels are in training
        labels = spec.draw(draw, targets.cpu(), num_classes, **spec.resolve())
        extra[spec.draw_name] = labels.to(device)
    loss = losses.build(name, num_classes, **given).to(device)
    return lambda z: loss(z, targets, **extra), inputs.tanh() if spec.input == "cosines" else inputs


def alone(function: Any, name: str) -> Step:
    """The same function with a code object of its own, because compiled code is kept, and looked up, per code object."""
    code = function.__code__.replace(co_name=name.replace("+", "_and_"))
    return FunctionType(code, function.__globals__, name, function.__defaults__, function.__closure__)


def case(function: Step, inputs: Tensor, repeats: int) -> Callable[[], float]:
    """Value and gradient, `repeats` times."""
    leaf = inputs.clone().requires_grad_()

    def work() -> float:
        for _ in range(repeats):
            torch.autograd.grad(function(leaf), leaf)
        return float(repeats)

    return work


def rows(rates: dict[str, list[float]], names: tuple[str, ...], kinds: tuple[str, ...]) -> list[dict[str, Any]]:
    """One row per loss: milliseconds, and the median over the rounds of its time over cross-entropy's of the same kind."""
    typical = medians(rates)
    found = []
    for name in names:
        row: dict[str, Any] = {"loss": name}
        for kind in kinds:
            pairs = zip(rates[f"{BASE} {kind}"], rates[f"{name} {kind}"], strict=True)
            row[f"{kind}, ms"] = 1000 / typical[f"{name} {kind}"]
            row[f"{kind}, x cross-entropy"] = statistics.median(base / own for base, own in pairs)
        found.append(row)
    return found


def measure(
    names: tuple[str, ...], size: int, num_classes: int, given: Any, seconds: dict[str, float]
) -> list[dict[str, Any]]:
    """All losses at one shape, interleaved."""
    repeats = max(1, round(given.work / (size * num_classes)))
    cases: dict[str, Callable[[], float]] = {}
    kinds = ("eager", "compiled") if given.compile else ("eager",)
    for name in names:
        for kind in kinds:
            function, inputs = step(name, size, num_classes, given.device)
            if kind == "compiled":
                function = torch.compile(alone(function, name), dynamic=False)
            cases[f"{name} {kind}"] = case(function, inputs, repeats)
            began = time.perf_counter()
            cases[f"{name} {kind}"]()
            if kind == "compiled":
                seconds[name] = seconds.get(name, 0.0) + time.perf_counter() - began
    return rows(interleaved(cases, given.rounds, given.device), names, kinds)


def main() -> None:
    """Measures and writes."""
    given = options(
        "Value and gradient of every loss against cross-entropy",
        rounds=7,
        shapes="128x10,128x100,4096x1000",
        only=None,
        work=400_000,
        compile=1,
    )
    chosen = tuple(given.only.split(",")) if given.only else (*losses.names(), *SUMS)
    names, seconds = (BASE, *chosen), dict[str, float]()
    tables: dict[str, list[dict[str, Any]]] = {}
    for shape in given.shapes.split(","):
        size, num_classes = map(int, shape.split("x"))
        tables[f"N = {size}, K = {num_classes}"] = measure(names, size, num_classes, given, seconds)
    slow = [row["loss"] for row in list(tables.values())[-1] if row.get("compiled, x cross-entropy", 0.0) > LIMIT]
    facts = {"compile_seconds": {name: round(value, 1) for name, value in seconds.items()}}
    if given.compile:
        facts[f"above {LIMIT:g} times cross-entropy, compiled, at the last shape"] = ", ".join(slow) or "none"
    save("losses", given, tables, **facts)


if __name__ == "__main__":
    main()
