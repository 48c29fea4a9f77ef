"""`losslab train`: what a paper's tables and figures need, trained once, kept in the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from losslab import paths
from losslab.cli import DONE, FAILED, STOPPED
from losslab.cli.console import Progress, console, duration, table
from losslab.cli.selection import chosen as select
from losslab.cli.settings import Settings, open_paper, seconds, settle
from losslab.errors import InputError
from losslab.notebooks import frames

if TYPE_CHECKING:
    from losslab.papers import Cell
    from losslab.runs import Store
    from losslab.training import Plan, Summary


def train(
    paper: str,
    *,
    scale: str | None,
    only: str | None,
    where: Sequence[str],
    seeds: int | None,
    workers: int | None,
    device: str | None,
    dask: str | None,
    budget: str | None,
    output: Path | None,
    data_root: Path | None,
    dry_run: bool,
) -> int:
    """Train, say what came of it, and export the frame where asked."""
    limit = seconds(budget) if budget is not None else None
    chosen = settle(scale=scale, seeds=seeds, device=device, workers=workers, data_root=data_root)
    if output is not None and output.suffix != ".parquet":
        raise InputError(f"--output {output}: the results frame is a .parquet file")
    cells = open_paper(paper).cells(chosen.scale, only=only, seeds=chosen.seeds)
    if not cells:
        raise InputError(f"{paper} has nothing to train at scale {chosen.scale}" + (f" for {only!r}" if only else ""))
    cells = select(cells, where)
    check_losses(cells)
    from losslab.runs import Store
    from losslab.training.launch import leader

    store = Store(paths.store())
    if dry_run:
        return forecast(paper, cells, store, chosen)
    summary = run(f"{paper} ({chosen.scale})", cells, store, chosen, limit, dask)
    if not leader():  # one of torchrun's processes; the first one reports
        return DONE if summary.complete else STOPPED if budget is not None else FAILED
    code = report(summary, budget is not None)
    if code == DONE and output is not None:
        rows = frames.export(cells, store, output.resolve())
        console().print(f"{rows} rows written to {paths.show(output)}", markup=False)
    return code


def check_losses(cells: Sequence[Cell]) -> None:
    """Refuse hyper-parameters out of their range before any data set is loaded."""
    from losslab import losses
    from losslab.runs.spec import canonical

    for part in {canonical(cell.run.loss.content()): cell.run.loss for cell in cells}.values():
        losses.spec(part.name).resolve(part.params)


def run(
    title: str,
    cells: Sequence[Cell],
    store: Store,
    chosen: Settings,
    limit: float | None = None,
    dask: str | None = None,
) -> Summary:
    """Train what is missing, with progress on the terminal."""
    from losslab import training

    with Progress(0, title, unit="runs") as shown:

        def update(state: training.Progress) -> None:
            shown.update(state.runs_done, state.runs_total, share=state.share, note=state.message)

        return training.train(
            [cell.run for cell in cells],
            store,
            device=chosen.device,
            workers=chosen.workers,
            root=chosen.data_root,
            probes=frames.wanted(cells),
            dask=dask,
            budget=limit,
            progress=update,
        )


def report(summary: Summary, bounded: bool) -> int:
    """Say how the training ended, and turn it into an exit code."""
    out = console()
    parts = [f"{len(summary.trained)} trained", f"{len(summary.found)} were there"]
    if summary.diverged:
        parts.append(f"{len(summary.diverged)} diverged (recorded as such)")
    if summary.left:
        parts.append(f"{len(summary.left)} left")
    out.print(f"{', '.join(parts)}; {duration(summary.seconds)}", markup=False)
    if not summary.left:
        return DONE
    if bounded:
        out.print("stopped by the budget; the same command goes on from here", markup=False)
        return STOPPED
    out.print("interrupted; the same command goes on from here", markup=False)
    return FAILED


def forecast(paper: str, cells: Sequence[Cell], store: Store, chosen: Settings) -> int:
    """What would be trained, by kind, and about how long it takes."""
    from losslab import training

    planned = training.plan([cell.run for cell in cells], store, frames.wanted(cells))
    device = training.resolve_device(chosen.device)
    out = console()
    out.print(
        f"{paper} at scale {chosen.scale}: {len(cells)} cells, {len(planned.found)} runs in the store, {len(planned.runs)} to train on {device}",
        markup=False,
    )
    if not planned.runs:
        return DONE
    groups = Counter((r.data.name, r.model.name, r.loss.name, r.recipe.epochs) for r in planned.runs)
    shown = table("data set", "model", "loss", ">epochs", ">runs")
    for (data, model, loss, epochs), count in sorted(groups.items()):
        shown.add_row(data, model, loss, str(epochs), str(count))
    out.print(shown)
    for line in _estimate(planned, store, chosen, device, cells):
        out.print(line, markup=False)
    return DONE


def _estimate(planned: Plan, store: Store, chosen: Settings, device: str, cells: Sequence[Cell]) -> list[str]:
    """Time, memory and disk of what would be trained, one line each; what nobody has measured is named."""
    import os

    from losslab.training.forecast import forecast as foresee

    kind = device.partition(":")[0]
    made = foresee(
        planned.runs,
        store,
        device=kind,
        root=str(chosen.data_root),
        benchmarks=paths.home() / "benchmarks" / "results",
        keep_weights=planned.keep_weights,
        probes=frames.wanted(cells),
    )
    lines = []
    if made.timed:
        like = f"{made.like} timed by like runs in the store, {made.timed - made.like} by benchmarks/results"
        if kind == "cpu":
            processes = chosen.workers or os.cpu_count() or 1
            side = f"{processes} process{'es' if processes > 1 else ''}"
            took = f"{made.seconds:,.0f} core-seconds: about {duration(made.seconds / processes)} with {side}"
        else:
            took = f"{made.seconds / 3600:.2f} GPU-hours"
        lines.append(f"time of {made.timed} runs: {took} ({like})")
    if made.memory:
        lines.append(
            f"memory: about {_bytes(made.memory)} per process; disk: about {_bytes(made.disk)} of records and weights"
        )
    return lines + [f"no estimate for some runs: {reason}" for reason in dict.fromkeys(made.unknown.values())]


def _bytes(count: float) -> str:
    for unit in ("bytes", "KB", "MB", "GB"):
        if count < 1000 or unit == "GB":
            break
        count /= 1000
    return f"{count:.3g} {unit}"
