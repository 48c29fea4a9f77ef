"""Penalties beside the loss, for a group of runs that share a regulariser and differ in its numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from losslab.errors import InputError
from losslab.losses import regularisers
from losslab.runs.spec import Run

# Inputs that the engine can supply: functions of the outputs, and of the head's prototypes.
OF_OUTPUTS = {"log_probs", "cosines", "targets"}
OF_HEAD = {"prototypes"}


def static_params(run: Run) -> tuple[tuple[str, object], ...]:
    """Regulariser name and text-valued hyper-parameters: what runs of one group have in common."""
    if run.regulariser is None:
        return ()
    spec = regularisers.spec(run.regulariser.name)
    values = spec.resolve(run.regulariser.params)
    fixed = [(name, value) for name, value in values.items() if spec.params[name].choices or spec.params[name].integer]
    return (("name", run.regulariser.name), *sorted(fixed))


class Regulariser:
    """A weighted penalty of m runs. Weights follow the epochs and live on the device."""

    def __init__(self, members: Sequence[Run], device: torch.device, dtype: torch.dtype) -> None:
        parts = [run.regulariser for run in members]
        assert parts[0] is not None
        self.spec = regularisers.spec(parts[0].name)
        unsupported = set(self.spec.inputs) - OF_OUTPUTS - OF_HEAD
        if unsupported:
            raise InputError(
                f"regulariser {self.spec.name!r} needs {sorted(unsupported)}, which the engine does not train with"
            )
        self.values = [self.spec.resolve(part.params) for part in parts if part is not None]
        self.static = {n: self.values[0][n] for n, p in self.spec.params.items() if p.choices or p.integer}
        self.of_head = bool(set(self.spec.inputs) & OF_HEAD)
        # A linear head's outputs are no cosines: those of its features and weights are made for the penalty alone.
        self.of_features = "cosines" in self.spec.inputs and members[0].head.name == "linear"
        self.beside = self.of_head or self.of_features  # not a function of the outputs that the loss sees
        shape = (-1,) if self.spec.level == "model" else (-1, 1)
        self.params: dict[str, Any] = dict(self.static)
        for name in self.spec.params:
            if name not in self.static:
                self.params[name] = torch.tensor([v[name] for v in self.values], dtype=dtype, device=device).reshape(
                    shape
                )
        self.weight = torch.zeros(len(members), dtype=dtype, device=device).reshape(shape)

    def set_epoch(self, epoch: int) -> None:
        """Puts the epoch's weights in place."""
        weights = [float(self.spec.weight(epoch, **values)) for values in self.values]
        self.weight.copy_(torch.tensor(weights, dtype=self.weight.dtype).reshape(self.weight.shape))

    def transform(self, logits: Tensor) -> Tensor:
        """The logits that loss and penalty see, ``(m, B, K)``."""
        if self.spec.transform is None:
            return logits
        return self.spec.transform(logits, **self.params)

    def _core(self, *inputs: Tensor) -> Tensor:
        return self.weight * self.spec.core(*inputs, **{name: self.params[name] for name in self.spec.core_params})

    def of_outputs(self, outputs: Tensor, targets: Tensor) -> Tensor | None:
        """Penalty per sample ``(m, B)`` from transformed logits (or cosines), None if it is one of the head's weights or features."""
        if self.beside:
            return None
        given = {"cosines": outputs, "targets": targets}
        if "log_probs" in self.spec.inputs:
            given["log_probs"] = outputs.log_softmax(-1)
        return self._core(*(given[name] for name in self.spec.inputs))

    def of_cosines(self, features: Tensor, prototypes: Tensor, targets: Tensor) -> Tensor:
        """Mean penalty per network ``(m,)`` on the cosines between features ``(m, B, d)`` and the head's weights ``(m, K, d)``."""
        cosines = normalize(features.to(prototypes.dtype), dim=-1) @ normalize(prototypes, dim=-1).mT
        return self._core(*({"cosines": cosines, "targets": targets}[name] for name in self.spec.inputs)).mean(-1)

    def of_prototypes(self, prototypes: Tensor) -> Tensor:
        """Penalty per network ``(m,)`` from the head's weights ``(m, K, d)``."""
        return self._core(prototypes)
