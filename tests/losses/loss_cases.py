"""What the battery runs over: every loss in every variant, and representative sums, with inputs for each."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from losslab import losses

K = 5

# The one tolerance table: comparisons of a result in that dtype with a float64 reference.
TOLERANCE = {
    torch.float64: {"rtol": 1e-9, "atol": 1e-11},
    torch.float32: {"rtol": 2e-5, "atol": 2e-6},
    torch.bfloat16: {"rtol": 2e-2, "atol": 2e-2},
    torch.float16: {"rtol": 3e-3, "atol": 3e-3},
}


@dataclass(frozen=True)
class Case:
    """One loss with hyper-parameters away from their defaults where that matters."""

    name: str
    hyper: dict[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        return self.name + "".join(f"-{key}={value}" for key, value in self.hyper.items())

    @property
    def spec(self) -> losses.LossSpec:
        return losses.spec(self.name)

    @property
    def resolved(self) -> dict[str, Any]:
        return self.spec.resolve(self.hyper)

    def tensors(self, dtype: torch.dtype = torch.float64, num_classes: int = K) -> dict[str, Tensor]:
        """The tensors that the core needs besides logits and targets."""
        found = {}
        if "transition" in self.spec.tensors:
            noise = torch.rand(num_classes, num_classes, dtype=torch.float64) + num_classes * torch.eye(num_classes)
            found["transition"] = (noise / noise.sum(1, keepdim=True)).to(dtype)
        if "class_counts" in (*self.spec.tensors, *self.spec.optional):
            found["class_counts"] = torch.arange(1, num_classes + 1, dtype=dtype) * 10
        return found

    def state(self, size: int, dtype: torch.dtype = torch.float64, num_classes: int = K) -> dict[str, Tensor]:
        """Rows of memory for one batch, in general position."""
        if self.spec.state is None:
            return {}
        rows = self.spec.state.init(1, size, num_classes, torch.zeros(1, size, dtype=torch.int64))
        found = {}
        for key, value in rows.items():
            value = value[0].to(dtype)
            if key.endswith("weight"):
                value = (torch.arange(size) % 3 != 0).to(dtype)
            elif key.endswith("average"):
                value = torch.softmax(torch.randn(value.shape, dtype=torch.float64), -1).to(dtype)
            elif key.endswith("ratio"):
                value = 0.6 + 0.4 * torch.rand(value.shape, dtype=torch.float64).to(dtype)
            found[key] = value
        return {"state": found}

    def logits(
        self, size: int = 6, dtype: torch.dtype = torch.float64, num_classes: int = K, scale: float = 2.0
    ) -> Tensor:
        """Logits, or cosines inside (-1, 1)."""
        drawn = scale * torch.randn(size, num_classes, dtype=torch.float64)
        return (torch.tanh(drawn / scale) * 0.95 if self.spec.input == "cosines" else drawn).to(dtype)

    def labels(self, size: int = 6, num_classes: int = K) -> Tensor:
        return torch.arange(size) % num_classes

    def arguments(self, size: int = 6, dtype: torch.dtype = torch.float64, num_classes: int = K) -> dict[str, Any]:
        """Everything for the function form."""
        return {**self.tensors(dtype, num_classes), **self.state(size, dtype, num_classes), **self.hyper}

    def inputs(self, logits: Tensor) -> Tensor:
        """What the core takes, from what the module takes."""
        return torch.log_softmax(logits, -1) if self.spec.input == "log_probs" else logits


OTHER_HYPER: dict[str, list[dict[str, Any]]] = {
    "label_smoothing": [{"eps": 0.2}],
    "label_aware_smoothing": [
        {"shape": "linear", "tail": 0.1},
        {"shape": "convex", "head": 0.4, "tail": 0.1},
        {"shape": "power", "power": 0.5, "variant": "official"},
    ],
    "focal": [{"gamma": 2.0}],
    "gce": [{"q": 1.0}, {"q": 0.01}],
    "truncated_gce": [{"q": 0.5, "k": 0.2}],
    "comp_sum": [{"tau": 0.0}, {"tau": 1.0}, {"tau": 2.5}],
    "rce": [{"A": -4.0}],
    "imae": [{"T": 2.0}],
    "agce": [{"a": 1.8, "q": 3.0}],
    "aul": [{"a": 3.0, "p": 0.1}],
    "poly1": [{"eps": -0.5}],
    "ldr_kl": [{"lam": 0.3, "c": 0.0}],
    "gm_softmax": [{"s": 3.0, "alpha1": 0.8, "alpha2": 0.6, "beta1": -0.2, "beta2": 0.3}],
    "sphereface": [{"s": 4.0, "m": 1.5}],
    "encouraging": [{"le": 1.0}],
    "nlnl": [{"negatives": 0}],
}
SUMS = [
    "nce+rce",
    "nfl+mae",
    "nce+agce",
    "gce+agce",
    "ce+forward",
    "elr+squentropy",
    "truncated_gce+nce",
    "cosface+nsl",
    "sce+nrce",
    "label_aware_smoothing+nce",
]


def _cases() -> list[Case]:
    found = []
    for name in losses.names():
        param = losses.spec(name).params.get("variant")
        variants = [{}] if param is None else [{"variant": choice} for choice in param.choices]
        found += [Case(name, hyper) for hyper in variants]
        found += [Case(name, hyper) for hyper in OTHER_HYPER.get(name, [])]
    return found + [Case(name, {"alpha": 0.7, "beta": 1.3}) for name in SUMS]


CASES = _cases()
PLAIN = [case for case in CASES if not case.hyper]  # one per loss without variants
EACH = list({case.name: case for case in reversed(CASES)}.values())[::-1]  # one per loss and sum
SAMPLE = [case for case in CASES if case.spec.level == "sample"]
CLOSED = [case for case in CASES if case.spec.grad is not None]


def ids(cases: list[Case]) -> list[str]:
    return [case.id for case in cases]
