"""Which runs train together, and in what order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from losslab.runs.spec import Run, canonical
from losslab.training.objective import group_key

# Networks that share a step on a CPU core: the widest stack that still gained in the measurements; wider ones fall out of the cache.
CPU_WIDTH = 16


@dataclass(frozen=True)
class Work:
    """One cohort to train."""

    runs: tuple[Run, ...]
    units: float  # epochs x samples x cost of the network, for balancing and for the time that is left


def shape_key(run: Run) -> str:
    """Runs with equal keys have tensors of equal shapes and may be stacked."""
    r = run.recipe
    foreign = run.noise.kind == "open_set"
    head = run.head.content()
    gives = run.parent_gives == "backbone"
    return canonical(
        [
            run.data.content(),
            run.model.content(),
            head,
            gives,
            foreign,
            r.epochs,
            r.batch_size,
            r.optimizer,
            r.nesterov,
            r.precision,
        ]
    )


def generations(runs: Sequence[Run]) -> list[list[Run]]:
    """Runs and the parents that they need, each once; parents come in an earlier generation than their children."""
    depth: dict[str, int] = {}
    by_hash: dict[str, Run] = {}

    def visit(run: Run) -> int:
        if run.hash not in depth:
            depth[run.hash] = 0 if run.parent is None else visit(run.parent) + 1
            by_hash[run.hash] = run
        return depth[run.hash]

    for run in runs:
        visit(run)
    levels: list[list[Run]] = [[] for _ in range(max(depth.values(), default=-1) + 1)]
    for key, run in by_hash.items():
        levels[depth[key]].append(run)
    return levels


def cohorts(
    runs: Sequence[Run],
    *,
    workers: int,
    width: Callable[[Run], int],
    cost: Callable[[Run], float],
    start: Callable[[Run], int] = lambda run: 0,
) -> list[Work]:
    """Cuts runs into cohorts, the most expensive first.

    Cohorts of one shape have nearly equal sizes, so the last one is not a small, slow rest, and there are at least as many of them as workers
    where that does not make them too narrow to gain from stacking. ``start`` is the epoch from which a run continues.
    """
    shapes: dict[tuple[str, int], list[Run]] = defaultdict(list)
    for run in runs:
        shapes[(shape_key(run), start(run))].append(run)
    total = sum(cost(run) for run in runs)
    made = []
    for members in shapes.values():
        members.sort(key=lambda run: (group_key(run), run.hash))
        limit = max(1, width(members[0]))
        pieces = -(-len(members) // limit)
        share = sum(cost(run) for run in members)
        if workers > 1 and share > total / (
            2 * workers
        ):  # a shape that matters for the balance: spread it over the workers evenly
            pieces = min(len(members), -(-pieces // workers) * workers)
        for i in range(pieces):
            part = members[i * len(members) // pieces : (i + 1) * len(members) // pieces]
            made.append(Work(tuple(part), sum(cost(run) for run in part)))
    return sorted(made, key=lambda work: -work.units)
