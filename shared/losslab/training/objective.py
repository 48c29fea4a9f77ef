"""The losses of M networks, evaluated together.

Networks are ordered so that those with the same loss (and the same text-valued hyper-parameters) are neighbours; each such *group* is one call of
the loss's core function with the numeric hyper-parameters as ``(m, 1)`` tensors. Losses that depend on the logits through log p_y and the sum
of the log-probabilities alone bring their gradient in closed form; the others are differentiated by autograd on their slice. Either way the result
is the gradient with respect to the logits, which the caller sends back through the network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from losslab import losses
from losslab.errors import InputError
from losslab.runs.spec import Run
from losslab.seeding import torch_seed
from losslab.training.classweights import ClassWeights
from losslab.training.evaluation import log_softmax
from losslab.training.regularisation import Regulariser, static_params

Static = tuple[tuple[str, object], ...]


def split_params(run: Run) -> tuple[Static, dict[str, float]]:
    """A run's loss hyper-parameters, defaults filled in: text and flags (which decide the group), and numbers."""
    spec = losses.spec(run.loss.name)
    values = spec.resolve(run.loss.params)
    fixed = {name for name, param in spec.params.items() if param.choices or param.integer}
    return tuple(sorted((k, v) for k, v in values.items() if k in fixed)), {
        k: float(v) for k, v in values.items() if k not in fixed
    }


def group_key(run: Run) -> tuple[object, ...]:
    """Networks with equal keys are evaluated in one call. Closed-form losses sort first, so that they share one assembly of the gradient."""
    spec = losses.spec(run.loss.name)
    closed = spec.grad is not None and run.regulariser is None
    return (not closed, run.loss.name, repr(split_params(run)[0]), repr(static_params(run)))


@dataclass
class Group:
    """Neighbouring networks with the same loss."""

    models: slice
    spec: losses.LossSpec
    closed: bool
    params: dict[str, object]  # text as it is, numbers as (m, 1) tensors
    state: dict[str, Tensor] = field(default_factory=dict)  # (m, n, ...)
    regulariser: Regulariser | None = None
    drawn: Tensor | None = None  # (m, n, ...) labels drawn for this epoch, for losses that need some

    def kwargs(self, state: dict[str, Tensor]) -> dict[str, object]:
        """Keyword arguments of the core function."""
        return {**self.params, "state": state} if self.spec.state is not None else dict(self.params)


class Objective:
    """Losses of a cohort.

    Args:
        runs: ordered by `group_key`.
        given, val_given: labels ``(M, n)``, ``(M, v)`` on the device; stateful losses build their memory from them.
        transitions: per run the transition matrix ``(K, K)`` or None.
    """

    def __init__(
        self,
        runs: Sequence[Run],
        given: Tensor,
        val_given: Tensor,
        num_classes: int,
        transitions: Sequence[Tensor | None],
        dtype: torch.dtype,
    ) -> None:
        self.num_classes, self.dtype, self.device = num_classes, dtype, given.device
        self.runs, self.given = runs, given
        self.groups: list[Group] = []
        keys = [group_key(run) for run in runs]
        start = 0
        for stop in range(1, len(runs) + 1):
            if stop == len(runs) or keys[stop] != keys[start]:
                self.groups.append(self._group(runs, slice(start, stop), given, val_given, transitions))
                start = stop
        self.class_weights = ClassWeights(runs, given, num_classes, dtype)
        self.closed = sum(g.models.stop - g.models.start for g in self.groups if g.closed)

    def _group(
        self, runs: Sequence[Run], models: slice, given: Tensor, val_given: Tensor, transitions: Sequence[Tensor | None]
    ) -> Group:
        members = runs[models]
        spec = losses.spec(members[0].loss.name)
        params: dict[str, object] = dict(split_params(members[0])[0])
        numbers = [split_params(run)[1] for run in members]
        for name in numbers[0]:
            column = torch.tensor([n[name] for n in numbers], dtype=self.dtype, device=self.device)
            params[name] = column if spec.level == "batch" else column.unsqueeze(1)
        if spec.matrix:
            matrices = [t for t in transitions[models] if t is not None]
            if len(matrices) < len(members):
                raise InputError(
                    f"loss {spec.name!r} needs a transition matrix: the true one of the noise, or an estimate from a parent run"
                )
            params["transition"] = torch.stack(matrices).to(self.device, self.dtype)
        if "class_counts" in (*spec.tensors, *spec.optional):
            params["class_counts"] = F.one_hot(given[models], self.num_classes).sum(1).to(self.dtype)
        regulariser = Regulariser(members, self.device, self.dtype) if members[0].regulariser else None
        group = Group(models, spec, spec.grad is not None and regulariser is None, params, regulariser=regulariser)
        if spec.state is not None:
            labels = given[models]
            group.state = spec.state.init(labels.shape[0], labels.shape[1], self.num_classes, labels)
        return group

    @property
    def stateful(self) -> bool:
        """Whether any loss remembers samples."""
        return any(g.spec.state is not None for g in self.groups)

    def set_epoch(self, epoch: int) -> None:
        """Tells the parts that follow a schedule, or draw labels, which epoch begins."""
        self.class_weights.set_epoch(epoch)
        for group in self.groups:
            if group.regulariser is not None:
                group.regulariser.set_epoch(epoch)
            if group.spec.draw is not None:
                group.drawn = self._draw(group, epoch)

    def _draw(self, group: Group, epoch: int) -> Tensor | None:
        """Labels of one epoch for every training sample, each run's from its own named stream."""
        static = {name: group.params[name] for name in group.spec.params}
        made = []
        for m in range(group.models.start, group.models.stop):
            generator = torch.Generator().manual_seed(torch_seed("loss", group.spec.name, self.runs[m].seed, epoch))
            assert group.spec.draw is not None
            made.append(group.spec.draw(generator, self.given[m].cpu(), self.num_classes, **static))
        labels = [drawn for drawn in made if drawn is not None]
        if not labels:
            return None
        fresh = torch.stack(labels).to(self.device)
        return fresh if group.drawn is None else group.drawn.copy_(fresh)

    def head_penalty(self, prototypes: Tensor, features: Tensor, y: Tensor) -> Tensor:
        """Per network the penalty ``(M,)`` on its head's weights ``(M, K, d)``, or on them and its features ``(M, B, d)``; 0 where it has none."""
        zero = prototypes.new_zeros(len(self.runs))
        found = []
        for g in self.groups:
            own, part = g.regulariser, zero[g.models]
            if own is not None and own.of_head:
                part = own.of_prototypes(prototypes[g.models])
            elif own is not None and own.of_features:
                part = own.of_cosines(features[g.models], prototypes[g.models], y[g.models])
            found.append(part)
        return torch.cat(found)

    def gradient(self, logits: Tensor, y: Tensor, index: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Gradient of each network's mean loss with respect to its logits, the losses, and the log-probabilities.

        Args: logits ``(M, B, K)``, y ``(M, B)`` given labels, index ``(M, B)`` which training samples these are.
        Returns: ``(M, B, K)``, ``(M, B)`` and ``(M, B, K)``; a batch-level loss stands B times.
        """
        z = logits.detach().to(self.dtype)
        logp = log_softmax(z)
        grad = torch.empty_like(z)
        values = z.new_empty(y.shape)
        if self.closed:
            self._closed(logp[: self.closed], y, index, grad, values)
        for group in self.groups:
            if not group.closed:
                plain = group.spec.input == "log_probs" and group.regulariser is None
                self._open(group, logp if plain else z, y, index, grad, values)
        self.class_weights.apply(grad, values, y)
        return grad.div_(y.shape[1]), values, logp

    def _rows(self, group: Group, index: Tensor) -> dict[str, Tensor]:
        where = index[group.models]
        rows = {}
        for name, memory in group.state.items():
            at = where.reshape(*where.shape, *[1] * (memory.dim() - 2)).expand(*where.shape, *memory.shape[2:])
            rows[name] = memory.gather(1, at)
        return rows

    def _closed(self, logp: Tensor, y: Tensor, index: Tensor, grad: Tensor, values: Tensor) -> None:
        m, total = self.closed, grad[: self.closed]
        weight = logp.new_empty(m, y.shape[1])  # dL / d log p_y
        spread: Tensor | None = None  # dL / d sum_k log p_k
        for group in self.groups:
            if not group.closed:
                continue
            kwargs = group.kwargs(self._rows(group, index)) if group.spec.state else dict(group.params)
            args = (logp[group.models], y[group.models])
            values[group.models] = group.spec.core(*args, **kwargs)
            assert group.spec.grad is not None
            of_target, of_sum = group.spec.grad(*args, **kwargs)
            weight[group.models] = of_target
            if of_sum is not None:
                spread = logp.new_zeros(m, y.shape[1]) if spread is None else spread
                spread[group.models] = of_sum
        p = logp.exp()
        if spread is None:
            torch.mul(p, -weight.unsqueeze(-1), out=total)
        else:
            torch.mul(p, -(weight + self.num_classes * spread).unsqueeze(-1), out=total)
            total.add_(spread.unsqueeze(-1))
        total.scatter_add_(-1, y[:m].unsqueeze(-1), weight.unsqueeze(-1))

    def _open(self, group: Group, inputs: Tensor, y: Tensor, index: Tensor, grad: Tensor, values: Tensor) -> None:
        leaf = inputs[group.models].detach().requires_grad_()
        targets, batch, regulariser = y[group.models], y.shape[1], group.regulariser
        rows = self._rows(group, index) if group.spec.state else {}
        kwargs = group.kwargs(rows)
        if group.drawn is not None:
            at = index[group.models].unsqueeze(-1).expand(-1, -1, group.drawn.shape[-1])
            kwargs[group.spec.draw_name] = group.drawn.gather(1, at)
        with torch.enable_grad():
            seen = leaf
            if regulariser is not None:
                outputs = regulariser.transform(leaf)
                seen = log_softmax(outputs) if group.spec.input == "log_probs" else outputs
            result = group.spec.core(seen, targets, **kwargs)
            total = result.sum() if group.spec.level == "sample" else result.sum() * batch
            penalty = regulariser.of_outputs(outputs, targets) if regulariser is not None else None
            if penalty is not None:
                total = total + penalty.sum()
            (d,) = torch.autograd.grad(total, leaf)
        found = result.detach() if group.spec.level == "sample" else result.detach().unsqueeze(1)
        values[group.models] = found if penalty is None else found + penalty.detach()
        through_softmax = group.spec.input == "log_probs" and regulariser is None
        grad[group.models] = d - leaf.detach().exp() * d.sum(-1, keepdim=True) if through_softmax else d
        if group.spec.state is not None and group.spec.state.update is not None:
            self._remember(group, group.spec.state.update(rows, seen.detach(), targets, **group.params), index)

    def _remember(self, group: Group, rows: dict[str, Tensor], index: Tensor) -> None:
        where = index[group.models]
        for name, new in rows.items():
            memory = group.state[name]
            at = where.reshape(*where.shape, *[1] * (memory.dim() - 2)).expand(new.shape)
            memory.scatter_(1, at, new.to(memory.dtype))

    @torch.no_grad()
    def validation(self, logits: Tensor, y: Tensor) -> Tensor:
        """Each network's own loss ``(M, b)`` on validation samples, without regulariser; nobody remembers these samples."""
        z = logits.to(self.dtype)
        values = z.new_empty(y.shape)
        for group in self.groups:
            outputs = z[group.models] if group.regulariser is None else group.regulariser.transform(z[group.models])
            inputs = log_softmax(outputs) if group.spec.input == "log_probs" else outputs
            result = group.spec.core(inputs, y[group.models], **group.params)
            values[group.models] = result if group.spec.level == "sample" else result.unsqueeze(1)
        return values
