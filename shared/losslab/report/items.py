"""From an item of the paper's inventory to its runs, its published numbers and its table."""

from __future__ import annotations

from typing import Any

import pandas as pd

from losslab.papers import Item, Paper, results
from losslab.papers.spec import Value
from losslab.report import published
from losslab.report.inventory import EXTRA
from losslab.report.table import Table, build

_NOTHING: dict[str, Any] = {"seed": 0, "run": "", "seconds": float("nan"), "device": "", "final": "{}"}


def select(paper: Paper, name: str, frame: pd.DataFrame) -> pd.DataFrame:
    """Rows of a results frame that the item shows. Methods that are shown without being trained come as rows of the status "not run"."""
    item = paper.item(name)
    chosen = results.choose(
        frame, {"experiment": list(item.experiment), **{key: list(allowed) for key, allowed in item.where.items()}}
    )
    extra = _not_run(paper, item, chosen)
    return pd.concat([chosen, extra], ignore_index=True) if len(extra) else chosen.reset_index(drop=True)


def _not_run(paper: Paper, item: Item, chosen: pd.DataFrame) -> pd.DataFrame:
    rows: list[dict[str, Any]] = []
    for name in item.experiment:
        idle = [row for row in paper.chosen(paper.experiments[name].methods) if row.method.loss is None]
        idle = [row for row in idle if "method" not in item.where or row.name in item.where["method"]]
        part = chosen[chosen["experiment"] == name].drop_duplicates(["dataset", "noise_type", "noise_rate", "setting"])
        for place in results.records(part):
            for row in idle:
                idle_row = {"method": row.name, "key": row.method.look, "status": "not run"}
                rows.append({**place, **_NOTHING, **idle_row})
    columns = [column for column in chosen.columns if column in results.COLUMNS]
    return pd.DataFrame(rows, columns=columns).astype(chosen[columns].dtypes.to_dict())


def numbers(paper: Paper, name: str, others: bool = False) -> pd.DataFrame:
    """Published numbers of an item under the paper's names; ``others``: other people's numbers instead."""
    item = paper.item(name)
    tables = [published.read(paper.published_path(file)) for file in (item.others if others else item.published)]
    together = published.together(tables)
    if others:
        return together
    return published.within(published.rename(together, dict(item.aliases)), dict(item.where)).reset_index(drop=True)


def order(paper: Paper, item: Item) -> dict[str, list[Any]]:
    """Data sets, noise types, settings and methods in the order of paper.yaml."""
    result: dict[str, dict[Any, None]] = {key: {} for key in ("dataset", "noise_type", "method")}
    for name in item.experiment:
        experiment = paper.experiments[name]
        result["dataset"] |= dict.fromkeys(experiment.blocks)
        result["noise_type"] |= dict.fromkeys(noise.noise_type for noise in experiment.noise)
        result["method"] |= dict.fromkeys(row.name for row in paper.chosen(experiment.methods))
    return {key: list(values) for key, values in result.items()}


def table(
    paper: Paper, name: str, frame: pd.DataFrame, reference: pd.DataFrame | None = None, **overrides: Any
) -> Table:
    """The item's table. ``reference``: results at paper scale, for a line of their own.

    ``overrides`` are arguments of `table.build`, for example ``reading="last"`` or ``digits=1``."""
    item = paper.item(name)
    options: dict[str, Any] = {
        "rows": item.rows,
        "columns": item.columns,
        "values": item.values or (Value(),),
        "published": None if item.id.startswith(EXTRA) and not item.published else numbers(paper, name),
        "titles": paper.titles(),
        "order": order(paper, item),
        "best_over": item.best_over,
        "caption": f"{heading(item)}. {item.note}".strip(),
        "digits": item.digits,
        "metric": item.metric or paper.metric,
        "reading": item.reading,
        "reference": None if reference is None else select(paper, name, reference),
    }
    return build(select(paper, name, frame), **{**options, **overrides})


def heading(item: Item) -> str:
    """`Table 1: closed-set noise`; items that the paper does not have carry their title alone."""
    if item.id.startswith(EXTRA):
        return item.title.rstrip(".")
    return f"{item.id.replace('-', ' ').capitalize()}: {item.title.rstrip('.')}"
