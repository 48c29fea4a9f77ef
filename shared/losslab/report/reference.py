"""Results at paper scale that are kept with a paper: `replications/<paper>/reference/*.zip`, archives of `losslab runs export`.

They were made once, on the machine that their provenance names, and are shown beside the published numbers whatever scale a notebook runs
at. An archive is read as it is: code that changed since does not make it stale, but its commit is told. A training in bfloat16 stands for
the paper's setting too; the tables say so.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import pandas as pd

from losslab import paths
from losslab.errors import InputError
from losslab.papers import Paper, results
from losslab.report import items
from losslab.report.stats import summarise
from losslab.runs import Record, Run, Store

KEYS = ["dataset", "noise_type", "noise_rate", "setting", "method"]


def folder(slug: str) -> Path:
    """Where a paper's archives lie."""
    return paths.replication(slug) / "reference"


def records(slug: str) -> list[Record]:
    """The records of all archives of a paper; none where it has none. Raises InputError for a damaged archive."""
    files = sorted(folder(slug).glob("*.zip"))
    if not files:
        return []
    with tempfile.TemporaryDirectory(prefix="losslab-") as name:
        store = Store(Path(name))
        for file in files:
            report = store.import_(file, any_version=True)
            if report.refused:
                run, reason = next(iter(report.refused.items()))
                raise InputError(f"{paths.show(file)}: run {run}: {reason}")
        return sorted(store.records(), key=lambda record: record.run.hash)


def frame(paper: Paper) -> pd.DataFrame | None:
    """The results frame of these records, rows of finished and diverged trainings only; None where there is none.

    A record belongs to the cell of scale "paper" whose run it is but for the precision; one in the cell's own precision goes first.
    """
    found = records(paper.slug)
    if not found:
        return None
    by_run: dict[str, Record] = {}
    for record in sorted(found, key=lambda record: record.run.recipe.precision != "float32"):
        by_run.setdefault(_in_float32(record.run), record)
    cells = paper.cells("paper", check=False)
    known = {cell.run.hash: by_run[key] for cell in cells if (key := _in_float32(cell.run)) in by_run}
    rows = results.frame([cell for cell in cells if cell.run.hash in known], known)
    return rows if len(rows) else None


def compare(paper: Paper, item: str, rows: pd.DataFrame | None = None) -> pd.DataFrame:
    """Published number, ours at paper scale, difference and number of seeds of every cell of an item that has ours; in the report's unit."""
    rows = frame(paper) if rows is None else rows
    columns = [*KEYS, "published", "ours", "std", "n", "difference"]
    if rows is None:
        return pd.DataFrame(columns=columns)
    chosen = items.select(paper, item, rows)
    chosen = chosen[chosen["status"].isin(["done", "diverged"])]
    published = items.numbers(paper, item)
    entry = paper.item(item)
    metric = entry.metric or paper.metric
    lines = []
    for place, part in chosen.groupby(KEYS, sort=False, dropna=False):
        at = dict(zip(KEYS, place, strict=True))
        ours = summarise(results.values(part, metric, entry.reading or "last"))
        known = published
        for key, value in at.items():
            blank = known[key].isna() | (known[key] == "")  # an empty key of a published number fits every cell
            known = known[blank | (known[key] == value)]
        number = float(known["mean"].iloc[0]) if len(known) == 1 else float("nan")
        lines.append([*place, number, ours.mean, ours.std, ours.n, ours.mean - number])
    return pd.DataFrame(lines, columns=columns)


def provenance(slug: str) -> pd.DataFrame:
    """How the records were made: one row per device, precision, torch version and commit, with the number of trainings and their seconds."""
    rows = [
        (
            str(record.cost.get("device", "")),
            record.run.recipe.precision,
            str(record.provenance.get("torch", "")),
            str(record.provenance.get("commit", ""))[:12],
            float(record.cost.get("seconds") or 0.0),
        )
        for record in records(slug)
    ]
    table = pd.DataFrame(rows, columns=["device", "precision", "torch", "commit", "seconds"])
    grouped = table.groupby(["device", "precision", "torch", "commit"], sort=True)["seconds"]
    return grouped.agg(["size", "sum"]).round(0).set_axis(["trainings", "seconds"], axis=1).reset_index()


def _in_float32(run: Run) -> str:
    """The hash of a run in the default precision, of its parents too."""
    changes: dict[str, object] = {"recipe": run.recipe.model_copy(update={"precision": "float32"})}
    if run.parent is not None:
        parent = run.parent
        changes["parent"] = parent.model_copy(
            update={"recipe": parent.recipe.model_copy(update={"precision": "float32"})}
        )
    return run.model_copy(update=changes).hash
