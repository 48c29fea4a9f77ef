"""One training on several processes, each with its own GPU (or share of a CPU): for networks that take too long, or do not fit, on one device.

`torchrun` starts the processes; `losslab.training.train` sees that it was started so and shares every run among all of them, one run after the
other. Each batch is cut into equal parts. The networks are joined by torch's DistributedDataParallel, batch normalisation takes its statistics over
the whole batch, and the loss sees the logits of the whole batch in every process, so also losses of a batch (L_DMI) or with a memory (ELR) come out
as on one device: the same numbers, but for the order of the sums. The first process alone writes checkpoints and records.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from losslab.errors import InputError
from losslab.models.layers import SeededDropout
from losslab.runs import Run, fingerprint
from losslab.training.cohort import Cohort, Options
from losslab.training.launch import leader
from losslab.training.plan import Work
from losslab.training.stacking import StackedNetwork, _StackedBatchNorm
from losslab.training.work import Report, Settings, Task

Thing = TypeVar("Thing")


def join(device: str) -> str:
    """Meets the other processes; returns this one's device."""
    cuda = device.startswith("cuda")
    if not dist.is_initialized():
        dist.init_process_group("nccl" if cuda else "gloo")
    return f"cuda:{os.environ.get('LOCAL_RANK', '0')}" if cuda else device


def agreed(thing: Thing) -> Thing:
    """The first process's value, in every process."""
    box: list[Any] = [thing]
    dist.broadcast_object_list(box, src=0)
    return cast(Thing, box[0])


def leave() -> None:
    """Ends the meeting; every process has to come."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()


def bounds(samples: int, processes: int) -> list[int]:
    """Where the parts of a batch begin and end. Raises InputError for a batch with fewer samples than processes."""
    if samples < processes:
        raise InputError(
            f"a batch of {samples} samples cannot be shared by {processes} processes; start fewer of them, or change the batch size "
            "(the last batch of an epoch may be smaller than the others)"
        )
    return [samples * part // processes for part in range(processes + 1)]


class SharedCohort(Cohort):
    """One run whose batches are shared by all processes. Raises InputError where its batches or its network cannot be."""

    def __init__(self, runs: Sequence[Run], options: Options) -> None:
        super().__init__(runs, options)
        self.rank, self.processes = dist.get_rank(), dist.get_world_size()
        for samples in {min(self.n, self.recipe.batch_size), self.n % self.recipe.batch_size or self.n}:
            bounds(samples, self.processes)
        for module in self.network.modules():
            if isinstance(module, SeededDropout) and module.p > 0:
                raise InputError(
                    f"{self.runs[0].model.name} has dropout, whose masks would differ between the processes"
                )
            if isinstance(module, _StackedBatchNorm):
                module.normalise = partial(_synchronised, module)  # type: ignore[method-assign]
        whole = self.network.features
        inner: nn.Module = _Features(self.network)
        if self.parameters:
            ids = [self.device] if self.device.type == "cuda" else None
            inner = DistributedDataParallel(inner, device_ids=ids)

        def features(images: Tensor, shared: bool = False) -> Tensor:
            return self._share(inner, images) if self.network.training else whole(images, shared)

        self.network.features = features  # type: ignore[method-assign]

    def _share(self, inner: nn.Module, images: Tensor) -> Tensor:
        """Features of the whole batch: this process's own part, with a gradient, among those of the others.

        The head, the loss and the penalties come after, on the whole batch in every process. Their own gradients are therefore the same
        everywhere, and stay what they are when the processes' gradients are averaged; those of the backbone are parts of a sum, so they are
        multiplied by the number of processes.
        """
        edges = bounds(images.shape[1], self.processes)
        own = inner(images[:, edges[self.rank] : edges[self.rank + 1]])
        sizes = [stop - start for start, stop in zip(edges, edges[1:], strict=False)]
        wide = torch.promote_types(own.dtype, torch.float32)
        padded = torch.zeros(1, max(sizes), own.shape[2], dtype=wide, device=own.device)
        padded[:, : own.shape[1]] = own.detach()
        found = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(found, padded)
        parts = [part[:, :size].to(own.dtype) for part, size in zip(found, sizes, strict=True)]
        parts[self.rank] = cast(Tensor, _Times.apply(own, self.processes))  # type: ignore[no-untyped-call]
        return torch.cat(parts, 1)

    def _update(self, logits: Tensor, grad: Tensor, penalty: Tensor | None) -> None:
        ends, starts = [logits], [grad.to(logits.dtype)]
        if penalty is not None:
            ends, starts = [*ends, penalty], [*starts, torch.ones_like(penalty)]
        torch.autograd.backward(
            ends, starts
        )  # not autograd.grad, which passes by what DistributedDataParallel waits for
        grads = []
        for parameter in self.parameters:
            found = torch.zeros_like(parameter) if parameter.grad is None else parameter.grad
            grads.append(self.network.per_model(found.contiguous()))
            parameter.grad = None
        if self.any_step_decay:
            self.optimiser.rate.copy_(self.base_rate / (1 + self.decay_rate * self.optimiser.steps))
        self.optimiser.step(grads)


class _Features(nn.Module):
    """The backbone's pass, for DistributedDataParallel to hold on to, with all parameters, while the network's own is replaced."""

    def __init__(self, network: StackedNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        return StackedNetwork.features(self.network, images)


class _Times(torch.autograd.Function):
    """Hands a tensor on; its gradient comes back multiplied."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: int) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad * ctx.factor, None


class _Total(torch.autograd.Function):
    """The sum over all processes; so is its gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        total = grad.clone()
        dist.all_reduce(total)
        return total


def _total(x: Tensor) -> Tensor:
    return cast(Tensor, _Total.apply(x))  # type: ignore[no-untyped-call]


def _synchronised(layer: _StackedBatchNorm, x: Tensor) -> Tensor:
    """Batch normalisation with statistics over all processes' parts of the batch. `x` is `(B, C, ...)`."""
    if not layer.training and layer.running_mean is not None:
        return _StackedBatchNorm.normalise(layer, x)
    # torch's SyncBatchNorm computes the same, on GPUs only; this one serves every device, and CPUs in the tests.
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    others = [axis for axis in range(x.dim()) if axis != 1]
    shape = [1, -1, *[1] * (x.dim() - 2)]
    count = torch.tensor(float(x.numel() // x.shape[1]), dtype=wide.dtype, device=x.device)
    dist.all_reduce(count)
    mean = _total(wide.sum(others)) / count
    centred = wide - mean.view(shape)
    variance = _total(centred.square().sum(others)) / count
    if layer.running_mean is not None and layer.running_var is not None:
        with torch.no_grad():
            layer.running_mean.lerp_(mean.detach().to(layer.running_mean.dtype), layer.momentum)
            unbiased = (variance.detach() * (count / (count - 1))).to(layer.running_var.dtype)
            layer.running_var.lerp_(unbiased, layer.momentum)
    y = centred * (variance + layer.eps).rsqrt().view(shape)
    if layer.weight is not None and layer.bias is not None:
        y = y * layer.weight.view(shape) + layer.bias.view(shape)
    return y.to(x.dtype)


class SharedTask(Task):
    """The task of one run in each of the processes; the first one decides, keeps the leases and writes."""

    def run(self) -> Iterator[None]:
        """Trains the run if the first process finds it missing and free."""
        (one,) = self.work.runs
        got: set[str] = set()
        word = ""
        if leader():
            got = self.leases.take([one.hash])
            word = "elsewhere" if not got else "go" if self.settings.missing(self.store, [one]) else ""
        word = agreed(word)
        try:
            if word == "elsewhere":
                self._add(elsewhere=(one.hash,))
            elif word == "go":
                begun = agreed(self.checkpoints.epoch(one.hash, fingerprint(one)))
                if begun != self.checkpoints.epoch(one.hash, fingerprint(one)):
                    raise InputError(
                        f"process {dist.get_rank()} does not see the checkpoints in {self.store.folder}: all must share this folder"
                    )
                yield from self._train([one], 1.0)
        finally:
            self.leases.release(got)
        dist.barrier()  # the record is there before a run that builds on it begins

    def _cohort(self, runs: list[Run]) -> Cohort:
        parents = {run.parent.hash: self._parent(run.parent) for run in runs if run.parent is not None}
        batch = 2048 if self.device.type == "cuda" else 128
        options = Options(self.device, self.settings.root, batch, parents=parents, probes=self.settings.probes)
        return SharedCohort(runs, options)

    def _save(self, cohort: Cohort, codes: dict[str, str]) -> None:
        if leader():
            super()._save(cohort, codes)

    def _record(self, cohort: Cohort, codes: dict[str, str], seconds: float) -> None:
        if leader():
            super()._record(cohort, codes, seconds)

    def facts(self, cohort: Cohort) -> dict[str, Any]:
        """Where and with what the run was trained, the number of processes included."""
        return super().facts(cohort) | {"processes": dist.get_world_size(), "backend": dist.get_backend()}


def run_together(
    runs: Sequence[Run],
    settings: Settings,
    units: Callable[[Run], float],
    tick: Callable[[float], None],
    done: Callable[[Report], None],
    stop: Callable[[], bool],
) -> None:
    """Trains runs one after the other, each shared by all processes."""

    def over() -> bool:
        """The first process's decision, so that all stop at the same epoch."""
        return agreed(stop() or (settings.deadline is not None and time.time() > settings.deadline))

    for run in runs:
        if over():
            return
        work = Work((run,), units(run))
        task = SharedTask(work, replace(settings, deadline=None), lambda share: tick(share * work.units), over)  # noqa: B023
        for _ in task.run():
            pass
        done(agreed(task.report))
