"""Training of a cohort: M runs of one shape as one stacked network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from losslab import heads, losses, models
from losslab.noise import transition_matrix
from losslab.runs.spec import Run
from losslab.seeding import torch_seed
from losslab.training.augmentation import Augmentation
from losslab.training.evaluation import evaluating, fit_scores, logits_of, test_scores
from losslab.training.objective import Objective, group_key
from losslab.training.optimiser import Optimiser
from losslab.training.order import epoch_orders
from losslab.training.problem import pixels, prepare
from losslab.training.schedule import learning_rate, step_decay
from losslab.training.stacking import StackedNetwork, stack
from losslab.training.state import BestNetwork, Curves, Weights

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bf16": torch.float32}


@dataclass
class Options:
    """How a cohort is run: nothing here may change its numbers beyond rounding."""

    device: torch.device
    root: str | None = None
    eval_batch: int = 128
    parents: dict[str, Weights] = field(default_factory=dict)  # final weights of parent runs by hash


@dataclass
class Outcome:
    """One run's result, before it becomes a record."""

    run: Run
    diverged_at: int | None
    curves: dict[str, list[Any]]
    final: dict[str, Any]
    digests: dict[str, str]
    weights: Weights


def _key(run: Run) -> str:
    return str(group_key(run))


class Cohort:
    """M runs of like shape. ``work()`` does the training; ``outcomes()`` reads the results.

    The runs may differ in noise, loss, learning rate, weight decay, momentum, schedule, clipping and seed; everything that fixes a tensor's shape is
    shared (see `losslab.training.plan.shape_key`).
    """

    def __init__(self, runs: Sequence[Run], options: Options) -> None:
        self.runs = sorted(runs, key=lambda run: (group_key(run), run.hash))
        self.options, first = options, self.runs[0]
        self.recipe, self.device = first.recipe, options.device
        self.dtype = DTYPES[self.recipe.precision]
        self.epoch = 0

        prepared = [prepare(run, options.root) for run in self.runs]
        dataset, self.samples = prepared[0][0], [part for _, part in prepared]
        self.num_classes = dataset.num_classes
        self.pool, self.test = pixels(dataset, first.data, self.device, self.dtype)
        self.test_labels = dataset.test_labels.to(self.device)
        self.given_host = np.stack([s.given for s in self.samples])
        self.rows, self.given, self.true = (self._tensor(name) for name in ("rows", "given", "true"))
        self.val_rows, self.val_given, self.val_true = (
            self._tensor(name) for name in ("val_rows", "val_given", "val_true")
        )
        if self.val_rows.numel() and bool((self.val_rows == self.val_rows[:1]).all()):
            self.val_rows = self.val_rows[0]  # the same images for all: evaluated together
        self.n = self.rows.shape[1]

        self.network = self._networks(dataset.in_shape)
        parameters = self.network.stacked_parameters()
        self.parameters = [p for _, p, _ in parameters]
        # Weight decay acts on every parameter, as torch's SGD does in the official codes.
        self.optimiser = Optimiser(
            [self.network.per_model(p.detach()) for p in self.parameters],
            [True] * len(parameters),
            [r.recipe for r in self.runs],
        )
        self.objective = Objective(
            self.runs, self.given, self.val_given, self.num_classes, self._transitions(), self.dtype
        )
        self.penalised = any(g.regulariser is not None and g.regulariser.of_head for g in self.objective.groups)
        self.augmentation = Augmentation(first.data.augment, self.runs, self.n, self.device)
        self.curves = Curves(self.recipe.epochs, len(self.runs), self.device)
        self.broken = torch.full((len(self.runs),), -1, device=self.device)  # first epoch with a non-finite loss
        refreshed = any(r.recipe.refresh_start is not None and r.recipe.refresh_from == "best_val" for r in self.runs)
        self.best = BestNetwork(self.network) if refreshed and self.val_given.shape[1] else None
        self.history: list[dict[str, list[Any]]] = [{} for _ in self.runs]

        shape = (len(self.runs), self.n)
        self.order = torch.zeros(shape, dtype=torch.int64, device=self.device)
        self.seen_class = torch.zeros(shape, dtype=torch.int64, device=self.device)
        self.seen_prob = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self.seen_loss = torch.zeros(shape, dtype=self.dtype, device=self.device)
        self.decay_rate = torch.tensor(
            [[step_decay(r.recipe)] for r in self.runs], dtype=self.dtype, device=self.device
        )
        self.base_rate = torch.zeros_like(self.decay_rate)
        self.any_step_decay = any(step_decay(r.recipe) > 0 for r in self.runs)

    def _tensor(self, name: str) -> Tensor:
        return torch.from_numpy(np.stack([getattr(s, name) for s in self.samples])).to(self.device)

    def _networks(self, in_shape: tuple[int, int, int]) -> StackedNetwork:
        made = []
        for run in self.runs:
            head = None if run.head == type(run.head)(name="linear") else _head_factory(run)
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(torch_seed("init", run.model.name, run.head.name, run.seed))
                network = models.build(run.model.name, in_shape, self.num_classes, head=head, **run.model.params)
            if run.parent is not None and run.parent_gives in ("weights", "backbone"):
                weights = self.options.parents[run.parent.hash]
                wanted = {
                    k: v for k, v in weights.items() if run.parent_gives == "weights" or k.startswith("backbone.")
                }
                network.load_state_dict(wanted, strict=run.parent_gives == "weights")
            made.append(network)
        network = stack(made).to(self.device, self.dtype)
        if self.device.type == "cuda" and self.recipe.precision != "float64":
            torch.backends.cudnn.benchmark = True
        return network.train()

    def _transitions(self) -> list[Tensor | None]:
        found: list[Tensor | None] = []
        for run in self.runs:
            matrix: Tensor | None = None
            if run.parent_gives == "transition":
                matrix = self._estimated(run)
            elif losses.spec(run.loss.name).matrix:
                noise = run.noise
                if noise.kind in ("none", "open_set"):
                    matrix = torch.eye(self.num_classes)
                else:
                    extra = {k: v for k, v in noise.options.items() if k in ("matrix", "superclass")}
                    matrix = torch.from_numpy(
                        transition_matrix(noise.kind, self.num_classes, noise.rate, flip_map=noise.flip_map, **extra)
                    )
            found.append(matrix)
        return found

    def _estimated(self, run: Run) -> Tensor:
        """Transition matrix read off the parent's predictions on this run's training samples."""
        from losslab.losses.transition import estimate_transition

        assert run.parent is not None
        parent = Cohort(
            [run.parent], Options(self.device, self.options.root, self.options.eval_batch, self.options.parents)
        )
        parent.network.load(0, self.options.parents[run.parent.hash])
        return estimate_transition(parent.predict()[0].exp())

    def autocast(self) -> Any:
        """The forward pass's precision."""
        if self.recipe.precision != "bf16":
            return nullcontext()
        return torch.autocast(self.device.type, torch.bfloat16, cache_enabled=False)

    # One epoch ---------------------------------------------------------------------------------------------------

    def begin_epoch(self) -> None:
        """Puts this epoch's order, learning rates, draws and schedules in place."""
        if self._refreshes():
            self.refresh()
        self.order.copy_(epoch_orders(self.runs, self.given_host, self.epoch))
        steps = -(-self.n // self.recipe.batch_size)
        rates = [[learning_rate(run.recipe, self.epoch, steps)] for run in self.runs]
        self.base_rate.copy_(torch.tensor(rates, dtype=self.dtype))
        self.optimiser.rate.copy_(self.base_rate)
        self.augmentation.set_epoch(self.epoch)
        self.objective.set_epoch(self.epoch)

    def step(self, where: Tensor | slice) -> None:
        """One update of every network on columns ``where`` of the epoch's order."""
        index = self.order[:, where] if isinstance(where, slice) else self.order.index_select(1, where)
        y = self.given.gather(1, index)
        images = self.augmentation(self.pool.take(self.rows.gather(1, index)), where)
        with self.autocast():
            logits = self.network(images)
        grad, values = self.objective.gradient(logits, y, index)
        penalty = self.objective.head_penalty(self.network.head.weight) if self.penalised else None
        grads = torch.autograd.grad(
            (logits,) if penalty is None else (logits, penalty),
            self.parameters,
            (grad.to(logits.dtype),) if penalty is None else (grad.to(logits.dtype), torch.ones_like(penalty)),
        )
        if self.any_step_decay:
            self.optimiser.rate.copy_(self.base_rate / (1 + self.decay_rate * self.optimiser.steps))
        self.optimiser.step([self.network.per_model(g.contiguous()) for g in grads])
        with torch.no_grad():
            z = logits.detach().to(self.dtype)
            probability = (z.gather(-1, y.unsqueeze(-1)).squeeze(-1) - z.logsumexp(-1)).exp()
            for memory, value in (
                (self.seen_class, z.argmax(-1)),
                (self.seen_prob, probability),
                (self.seen_loss, values),
            ):
                if isinstance(where, slice):
                    memory[:, where] = value
                else:
                    memory.index_copy_(1, where, value)

    def end_epoch(self) -> None:
        """Evaluates and stores this epoch's values of all curves, on the device."""
        scores = {"train_loss": self.seen_loss.mean(1)}
        scores |= fit_scores(
            self.seen_class, self.seen_prob, self.given.gather(1, self.order), self.true.gather(1, self.order)
        )
        scores |= test_scores(self.network, self.test, self.test_labels, self.autocast, self.options.eval_batch)
        if self.val_given.shape[1]:
            scores |= self.validate()
            if self.best is not None:
                self.best.update(scores["val_acc"])
        self.curves.set(self.epoch, scores)
        bad = ~torch.isfinite(scores["train_loss"]) | ~torch.isfinite(scores["test_loss"])
        self.broken = torch.where((self.broken < 0) & bad, self.epoch, self.broken)
        self.epoch += 1

    def work(self) -> Iterator[bool]:
        """Trains to the end; yields False after each step and True after each epoch, so that cohorts can take turns."""
        while self.epoch < self.recipe.epochs:
            self.begin_epoch()
            for start in range(0, self.n, self.recipe.batch_size):
                self.step(slice(start, min(start + self.recipe.batch_size, self.n)))
                yield False
            self.end_epoch()
            yield True

    def validate(self) -> dict[str, Tensor]:
        """Scores on the held-out part: noisy labels, own loss, clean labels."""
        hits, clean, loss = (torch.zeros(len(self.runs), device=self.device) for _ in range(3))
        with evaluating(self.network):
            for part, logits in logits_of(
                self.network, self.pool, self.val_rows, self.autocast, self.options.eval_batch
            ):
                predicted = logits.argmax(-1)
                hits += (predicted == self.val_given[:, part]).float().sum(1)
                clean += (predicted == self.val_true[:, part]).float().sum(1)
                loss += self.objective.validation(logits, self.val_given[:, part], part).float().sum(1)
        count = self.val_given.shape[1]
        return {"val_acc": hits / count, "val_loss": loss / count, "val_clean_acc": clean / count}

    # Between epochs ----------------------------------------------------------------------------------------------

    def predict(self) -> Tensor:
        """Log-probabilities ``(M, n, K)`` on the training samples in evaluation mode."""
        shared = self.rows[0] if bool((self.rows == self.rows[:1]).all()) else self.rows
        with evaluating(self.network):
            parts = [
                z.log_softmax(-1)
                for _, z in logits_of(self.network, self.pool, shared, self.autocast, self.options.eval_batch)
            ]
        return torch.cat(parts, 1)

    def _refreshes(self) -> list[int]:
        """Models whose loss is refreshed before this epoch."""
        chosen = []
        for m, run in enumerate(self.runs):
            start, every = run.recipe.refresh_start, run.recipe.refresh_every
            if start is not None and self.epoch >= start and (self.epoch - start) % every == 0:
                chosen.append(m)
        return chosen

    @torch.no_grad()
    def refresh(self) -> None:
        """Recomputes the memory of the stateful losses that are due, from the current or the best network."""
        due = self._refreshes()
        best = [m for m in due if self.runs[m].recipe.refresh_from == "best_val" and self.best is not None]
        logp = self.predict() if len(best) < len(due) else None
        if best and self.best is not None:
            self.best.swap()
            kept = self.predict()
            self.best.swap()
            logp = kept if logp is None else torch.where(_mask(best, kept), kept, logp)
        for group in self.objective.groups:
            members = [m for m in due if group.models.start <= m < group.models.stop]
            if not members or group.spec.state is None or group.spec.state.refresh is None:
                continue
            assert logp is not None
            mine = [m - group.models.start for m in members]
            fresh = group.spec.state.refresh(group.state, logp[group.models], self.given[group.models], **group.params)
            for name, memory in group.state.items():
                memory[mine] = fresh[name][mine].to(memory.dtype)
            if "weight" in group.state:
                for m, local in zip(members, mine, strict=True):
                    self._note_pruning(m, group.state["weight"][local] == 0)

    def _note_pruning(self, m: int, pruned: Tensor) -> None:
        """Compares the pruned samples of model m with the truly wrong ones; read by the truncation studies."""
        clean = self.given[m] == self.true[m]
        per_class = [
            float((pruned & clean & (self.given[m] == k)).sum() / (clean & (self.given[m] == k)).sum().clamp(min=1))
            for k in range(self.num_classes)
        ]
        note = {
            "prune_epoch": self.epoch,
            "prune_share": float(pruned.float().mean()),
            "prune_precision": float((pruned & ~clean).sum() / pruned.sum().clamp(min=1))
            if bool(pruned.any())
            else None,
            "prune_recall": float((pruned & ~clean).sum() / (~clean).sum()) if bool((~clean).any()) else None,
            "prune_clean": float((pruned & clean).sum() / clean.sum().clamp(min=1)),
            "prune_clean_per_class": per_class,
        }
        for name, value in note.items():
            self.history[m].setdefault(name, []).append(value)

    # Checkpoints --------------------------------------------------------------------------------------------------

    def _memories(self) -> Iterator[tuple[str, Tensor, int]]:
        """Everything beside the network that a run carries from epoch to epoch: name, tensor, axis of the models."""
        yield from ((f"optimiser.{name}", tensor, 0) for name, tensor in self.optimiser.state().items() if tensor.dim())
        yield from ((f"curve.{name}", tensor, 1) for name, tensor in self.curves.values.items())
        yield "broken", self.broken, 0
        if self.best is not None:
            yield "best.accuracy", self.best.accuracy, 0
            yield from ((f"best.{n}", t.reshape(len(self.runs), -1), 0) for n, t in self.best.kept.items() if t.dim())
        for group in self.objective.groups:
            for name, tensor in group.state.items():
                yield (
                    f"state.{name}",
                    tensor,
                    group.models.start - len(self.runs),
                )  # negative: models of this group only

    def run_state(self, m: int) -> dict[str, Tensor]:
        """State of model m after ``self.epoch`` epochs, for a checkpoint."""
        state = {f"network.{name}": tensor for name, tensor in self.network.unstack(m).items()}
        for name, tensor, axis in self._memories():
            if axis >= 0:
                state[name] = tensor.select(axis, m).clone()
            elif 0 <= (local := m - (axis + len(self.runs))) < tensor.shape[0]:
                state[name] = tensor[local].clone()
        return state | {"optimiser.steps": self.optimiser.steps.clone()}

    @torch.no_grad()
    def load_run_state(self, m: int, state: Weights) -> None:
        """Puts model m where `run_state` found it."""
        self.network.load(m, {k.removeprefix("network."): v for k, v in state.items() if k.startswith("network.")})
        self.optimiser.steps.copy_(state["optimiser.steps"])
        for name, value in state.items():
            if name.startswith("curve.") and name.removeprefix("curve.") not in self.curves.values:
                shape = (value.shape[0], len(self.runs), *value.shape[1:])
                self.curves.values[name.removeprefix("curve.")] = torch.full(shape, float("nan"), device=self.device)
        for name, tensor, axis in self._memories():
            if axis >= 0:
                tensor.select(axis, m).copy_(state[name])
            elif 0 <= (local := m - (axis + len(self.runs))) < tensor.shape[0]:
                tensor[local].copy_(state[name])

    # Results -----------------------------------------------------------------------------------------------------

    def outcomes(self) -> list[Outcome]:
        """Results of all runs; reads the device."""
        logp = self.predict()
        probability = logp.gather(-1, self.given.unsqueeze(-1)).squeeze(-1).exp()
        final = fit_scores(logp.argmax(-1), probability, self.given, self.true)
        broken = self.broken.tolist()
        return [
            Outcome(
                run,
                None if broken[m] < 0 else broken[m],
                self.curves.read(m, self.epoch),
                {name: float(value[m]) for name, value in final.items()} | self.history[m],
                self.samples[m].digests(),
                self.network.unstack(m),
            )
            for m, run in enumerate(self.runs)
        ]


def _mask(chosen: list[int], like: Tensor) -> Tensor:
    mask = torch.zeros(like.shape[0], dtype=torch.bool, device=like.device)
    mask[chosen] = True
    return mask.reshape(-1, *[1] * (like.dim() - 1))


def _head_factory(run: Run) -> Any:
    return lambda feature_dim, num_classes: heads.build(run.head.name, feature_dim, num_classes, **run.head.params)
