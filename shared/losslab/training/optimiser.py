"""SGD and Adam for M networks at once: every network has its own learning rate, weight decay, momentum and gradient norm."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from losslab.runs.spec import Recipe

BETAS, EPSILON = (0.9, 0.999), 1e-8  # Adam's defaults, the only ones the papers use


class Optimiser:
    """Updates stacked parameters in place. No host synchronisation, so a step can be part of a CUDA graph.

    Args:
        views: one tensor ``(M, size)`` per parameter, sharing memory with it.
        decays: which of them are subject to weight decay.
        recipes: one per network; optimiser kind and Nesterov's form must agree.
    """

    def __init__(self, views: Sequence[Tensor], decays: Sequence[bool], recipes: Sequence[Recipe]) -> None:
        first, device, dtype = recipes[0], views[0].device, views[0].dtype

        def column(values: list[float]) -> Tensor:
            return torch.tensor(values, dtype=dtype, device=device).unsqueeze(1)

        self.views, self.decays = list(views), list(decays)
        self.kind, self.nesterov = first.optimizer, first.nesterov
        self.rate = column([r.lr for r in recipes])
        self.momentum = column([r.momentum for r in recipes])
        self.decay = column([r.weight_decay for r in recipes])
        self.any_decay = any(r.weight_decay > 0 for r in recipes)
        self.limit = column([float("inf") if r.clip_norm is None else r.clip_norm for r in recipes])
        self.any_clip = any(r.clip_norm is not None for r in recipes)
        self.first = [torch.zeros_like(v) for v in self.views]
        self.second = [torch.zeros_like(v) for v in self.views] if self.kind == "adam" else []
        self.steps = torch.zeros((), dtype=dtype, device=device)
        # One network on a GPU: many small tensors, whose updates are cheaper as a few joint launches.
        self.single = len(recipes) == 1 and device.type == "cuda" and self.kind == "sgd" and all(self.decays)

    def state(self) -> dict[str, Tensor]:
        """Everything that a checkpoint must hold: tensors with the network axis first, and the step count."""
        named = {f"first.{i}": t for i, t in enumerate(self.first)} | {
            f"second.{i}": t for i, t in enumerate(self.second)
        }
        return named | {"steps": self.steps}

    def scale(self, grads: Sequence[Tensor]) -> Tensor | None:
        """Per network the factor ``(M, 1)`` that brings its gradient to its norm limit, as torch.nn.utils.clip_grad_norm_ does for one."""
        if not self.any_clip:
            return None
        # The models stay the outer axis: a norm over the first axis would round differently from one cohort to another.
        norms = torch.stack([torch.linalg.vector_norm(g, dim=1) for g in grads], dim=1)
        total = torch.linalg.vector_norm(norms, dim=1, keepdim=True)
        return (self.limit / (total + 1e-6)).clamp(max=1.0)

    @torch.no_grad()
    def step(self, grads: Sequence[Tensor]) -> None:
        """One update; ``grads`` are ``(M, size)`` and are overwritten."""
        if self.single:
            self._single(list(grads))
            return
        scale = self.scale(grads)
        self.steps.add_(1)
        if self.kind == "sgd" and not self.nesterov:
            self._sgd(grads, scale)
            return
        for p, g, decays in zip(self.views, grads, self.decays, strict=True):
            if scale is not None:
                g.mul_(scale)
            if self.any_decay and decays:
                g.addcmul_(p, self.decay)
        if self.kind == "adam":
            self._adam(grads)
            return
        negative = -self.rate
        for p, g, m in zip(self.views, grads, self.first, strict=True):
            m.mul_(self.momentum).add_(g)
            p.addcmul_(torch.addcmul(g, m, self.momentum), negative)

    def _sgd(self, grads: Sequence[Tensor], scale: Tensor | None) -> None:
        """Clipping and decay on the way into the momentum: the gradients are read once and not written."""
        negative = -self.rate
        for p, g, m, decays in zip(self.views, grads, self.first, self.decays, strict=True):
            m.mul_(self.momentum)
            if scale is None:
                m.add_(g)
            else:
                m.addcmul_(g, scale)
            if self.any_decay and decays:
                m.addcmul_(p, self.decay)
            p.addcmul_(m, negative)

    def _adam(self, grads: Sequence[Tensor]) -> None:
        beta1, beta2 = BETAS
        rate = self.rate / (1 - beta1**self.steps)
        root = (1 - beta2**self.steps).sqrt()
        for p, g, m, v in zip(self.views, grads, self.first, self.second, strict=True):
            m.lerp_(g, 1 - beta1)
            v.mul_(beta2).addcmul_(g, g, value=1 - beta2)
            p.sub_(rate * m / (v.sqrt() / root + EPSILON))

    def _single(self, grads: list[Tensor]) -> None:
        """The SGD step of one network, all parameters in each launch."""
        self.steps.add_(1)
        if self.any_clip:
            total = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
            torch._foreach_mul_(grads, (self.limit.reshape(()) / (total + 1e-6)).clamp(max=1.0))
        if self.any_decay:
            torch._foreach_add_(grads, torch._foreach_mul(self.views, self.decay.reshape(())))
        torch._foreach_mul_(self.first, self.momentum.reshape(()))
        torch._foreach_add_(self.first, grads)
        change = self.first
        if self.nesterov:
            change = list(torch._foreach_add(grads, torch._foreach_mul(self.first, self.momentum.reshape(()))))
        torch._foreach_add_(self.views, torch._foreach_mul(change, -self.rate.reshape(())))
