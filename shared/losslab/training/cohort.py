"""Training of a cohort: M runs of one shape as one stacked network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from losslab import losses
from losslab.runs.spec import Run
from losslab.training import dimension
from losslab.training.augmentation import Augmentation
from losslab.training.build import build_networks, true_transition
from losslab.training.evaluation import evaluating, fit_scores, log_softmax, logits_of, test_scores
from losslab.training.graphs import GraphedSteps, graphed_steps
from losslab.training.objective import Objective, group_key
from losslab.training.optimiser import Optimiser
from losslab.training.order import epoch_orders
from losslab.training.probes import CURVES, Wanted, class_tables, probe_curves
from losslab.training.problem import pixels, prepare
from losslab.training.pruning import note_pruning
from losslab.training.schedule import learning_rate, step_decay
from losslab.training.state import BestNetwork, Curves, Weights

DTYPES = {"float64": torch.float64, "float32": torch.float32, "bf16": torch.float32}


@dataclass
class Options:
    """How a cohort is run: nothing here may change its numbers beyond rounding."""

    device: torch.device
    root: str | None = None
    eval_batch: int = 128
    graphs: bool = False  # CUDA graphs, on a CUDA device
    parents: dict[str, Weights] = field(default_factory=dict)  # final weights of parent runs by hash
    probes: Wanted = field(default_factory=dict)


@dataclass
class Outcome:
    """One run's result, before it becomes a record."""

    run: Run
    diverged_at: int | None
    curves: dict[str, list[Any]]
    final: dict[str, Any]
    digests: dict[str, str]
    weights: Weights


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
        self.dataset = dataset
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

        self.network = build_networks(self.runs, dataset.in_shape, self.num_classes, options.parents)
        self.network.to(self.device, self.dtype).train()
        self._fit_heads()
        parameters = self.network.stacked_parameters()
        parameters = [entry for entry in parameters if entry[1].requires_grad]  # a frozen backbone has none
        self.parameters = [p for _, p, _ in parameters]
        # Weight decay acts on every parameter, as torch's SGD does in the official codes.
        views = [self.network.per_model(p.detach()) for p in self.parameters]
        self.optimiser = Optimiser(
            views or [torch.zeros(len(self.runs), 1, dtype=self.dtype, device=self.device)],
            [True] * max(1, len(views)),
            [r.recipe for r in self.runs],
        )
        self.objective = Objective(
            self.runs, self.given, self.val_given, self.num_classes, self._transitions(), self.dtype
        )
        self.probed = any("confusion" in options.probes.get(run.hash, ()) for run in self.runs)
        self.penalised = any(g.regulariser is not None and g.regulariser.beside for g in self.objective.groups)
        self.augmentation = Augmentation(first.data.augment, self.runs, self.n, self.pool.black)
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

    def _fit_heads(self) -> None:
        """Heads that are computed instead of trained (nearest class mean) take the features of their parent's network."""
        fit = getattr(self.network.head, "fit", None)
        if fit is None:
            return
        with evaluating(self.network):
            parts = [
                self.network.features(self.pool.take(rows)) for rows in self.rows.split(self.options.eval_batch, 1)
            ]
            fit(torch.cat(parts, 1), self.given)

    def _transitions(self) -> list[Tensor | None]:
        """Per run the matrix of its loss: estimated from the parent, or the true one of its noise."""
        found: list[Tensor | None] = []
        for run in self.runs:
            if run.parent_gives == "transition":
                found.append(self._estimated(run))
            else:
                found.append(true_transition(run, self.dataset) if losses.spec(run.loss.name).matrix else None)
        return found

    def _estimated(self, run: Run) -> Tensor:
        """Transition matrix read off the parent's predictions on this run's training samples."""
        from losslab.losses.transition import estimate_transition

        assert run.parent is not None
        options = Options(
            self.device, self.options.root, eval_batch=self.options.eval_batch, parents=self.options.parents
        )
        parent = Cohort([run.parent], options)
        parent.network.load(0, self.options.parents[run.parent.hash])
        probabilities = parent.predict()[0].exp()
        if not bool(torch.isfinite(probabilities).all()):  # the parent diverged, and so does what builds on it
            return torch.full((self.num_classes, self.num_classes), float("nan"), dtype=torch.float64)
        return estimate_transition(probabilities)

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
        self._label_weights()

    def step(self, where: Tensor | slice) -> None:
        """One update of every network on columns ``where`` of the epoch's order. A network without trainable weights is only watched."""
        index = self.order[:, where] if isinstance(where, slice) else self.order.index_select(1, where)
        y = self.given.gather(1, index)
        images = self.augmentation(self.pool.take(self.rows.gather(1, index)), where)
        with self.autocast():
            features = self.network.features(images)
            logits = self.network.head(features)
        grad, values, logp = self.objective.gradient(logits, y, index)
        penalty = None
        if self.penalised:
            penalty = self.objective.head_penalty(cast(Tensor, self.network.head.weight), features, y)
        if penalty is not None:
            values = values + penalty.detach().unsqueeze(1)
        if self.parameters:
            self._update(logits, grad, penalty)
        with torch.no_grad():
            probability = logp.gather(-1, y.unsqueeze(-1)).squeeze(-1).exp()
            for memory, value in (
                (self.seen_class, logits.detach().max(-1).indices),  # many times faster than argmax over few classes
                (self.seen_prob, probability),
                (self.seen_loss, values),
            ):
                if isinstance(where, slice):
                    memory[:, where] = value
                else:
                    memory.index_copy_(1, where, value)

    def _update(self, logits: Tensor, grad: Tensor, penalty: Tensor | None) -> None:
        # As the gradient of a number: handing over the logits' gradient itself makes torch import its symbolic shapes, 1.4 s per process.
        pulled = (logits * grad.to(logits.dtype)).sum()
        grads = torch.autograd.grad(pulled if penalty is None else pulled + penalty.sum(), self.parameters)
        if self.any_step_decay:
            self.optimiser.rate.copy_(self.base_rate / (1 + self.decay_rate * self.optimiser.steps))
        self.optimiser.step([self.network.per_model(g.contiguous()) for g in grads])

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
        if self.probed:
            scores |= self.confusion()
        self.curves.set(self.epoch, scores)
        bad = ~torch.isfinite(scores["train_loss"]) | ~torch.isfinite(scores["test_loss"])
        self.broken = torch.where((self.broken < 0) & bad, self.epoch, self.broken)
        self.epoch += 1
        self._follow_dimension()

    def _follow_dimension(self) -> None:
        """Notes the dimensionality of the features for the runs with D2L."""
        for group in self.objective.groups:
            if group.spec.name == "d2l":
                with evaluating(self.network), self.autocast():
                    images = self.pool.take(self.rows[:, : dimension.BATCH * dimension.BATCHES])
                    found = dimension.dimensionality(self.network.features(images)[group.models]).tolist()
                for local, m in enumerate(range(group.models.start, group.models.stop)):
                    self.history[m].setdefault("dimensionality", []).append(found[local])

    def _label_weights(self) -> None:
        """Sets D2L's label weights from the dimensionality of the epochs so far."""
        for group in self.objective.groups:
            if group.spec.name == "d2l":
                weights = cast(Tensor, group.params["alpha"])
                for local, m in enumerate(range(group.models.start, group.models.stop)):
                    history = self.history[m].get("dimensionality", [])
                    weights[local] = dimension.label_weight(history, self.recipe.epochs)

    def work(self) -> Iterator[int]:
        """Trains to the end; yields the number of finished epochs after each one, so that cohorts can take turns."""
        graphed: GraphedSteps | None = None
        wanted = self.options.graphs
        while self.epoch < self.recipe.epochs:
            self.begin_epoch()
            if wanted:
                graphed, wanted = graphed_steps(self), False
            if graphed is not None:
                graphed.epoch()
            else:
                for start in range(0, self.n, self.recipe.batch_size):
                    self.step(slice(start, min(start + self.recipe.batch_size, self.n)))
            self.end_epoch()
            yield self.epoch

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor that a step changes."""
        yield from self.network.state_dict(keep_vars=True).values()
        yield from self.optimiser.state().values()
        yield self.optimiser.rate
        yield from (self.seen_class, self.seen_prob, self.seen_loss)
        for group in self.objective.groups:
            yield from group.state.values()

    def validate(self) -> dict[str, Tensor]:
        """Scores on the held-out part: noisy labels, own loss, clean labels."""
        hits, clean, loss = (torch.zeros(len(self.runs), device=self.device) for _ in range(3))
        with evaluating(self.network):
            for part, logits in logits_of(
                self.network, self.pool, self.val_rows, self.autocast, self.options.eval_batch
            ):
                predicted = logits.max(-1).indices
                hits += (predicted == self.val_given[:, part]).float().sum(1)
                clean += (predicted == self.val_true[:, part]).float().sum(1)
                loss += self.objective.validation(logits, self.val_given[:, part]).float().sum(1)
        count = self.val_given.shape[1]
        return {"val_acc": hits / count, "val_loss": loss / count, "val_clean_acc": clean / count}

    def confusion(self) -> dict[str, Tensor]:
        """Curves of the probe `confusion`."""
        with evaluating(self.network):
            slices = logits_of(self.network, self.test, None, self.autocast, self.options.eval_batch)
            test = torch.cat([z for _, z in slices], 1)
        labels = self.test_labels.expand(len(self.runs), -1)
        of_test = class_tables(test, labels, torch.ones_like(labels, dtype=torch.bool), self.num_classes)
        of_train = class_tables(self.predict(), self.true, self.given == self.true, self.num_classes)
        values = {"softmax_test": of_test[0], "predicted_test": of_test[1]}
        return values | {"softmax_train": of_train[0], "predicted_train": of_train[1]}

    # Between epochs ----------------------------------------------------------------------------------------------

    def predict(self) -> Tensor:
        """Log-probabilities ``(M, n, K)`` on the training samples in evaluation mode."""
        shared = self.rows[0] if bool((self.rows == self.rows[:1]).all()) else self.rows
        with evaluating(self.network):
            parts = [
                log_softmax(z)
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
                    pruned = group.state["weight"][local] == 0
                    note_pruning(self.history[m], self.epoch, pruned, self.given[m], self.true[m])

    # Results -----------------------------------------------------------------------------------------------------

    def _curves(self, m: int) -> dict[str, list[Any]]:
        """One model's curves, without the probes that only its neighbours asked for."""
        asked = probe_curves(self.options.probes.get(self.runs[m].hash, frozenset()))
        optional = probe_curves(frozenset(CURVES)) - asked
        return {n: values for n, values in self.curves.read(m, self.epoch).items() if n not in optional}

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
                self._curves(m),
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
