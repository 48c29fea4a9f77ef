"""Which tables and figures of the paper were regenerated."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from losslab.papers import Item, Paper

COLUMNS = ("id", "kind", "title", "seen", "regenerated", "files", "experiment", "evidence")
EXTRA = "extra"


def files(item: Item, folder: Path) -> list[str]:
    """Files of an item that are in a results folder, relative to it."""
    candidates = (f"tables/{item.id}.csv", f"figures/{item.id}.png")
    return [name for name in candidates if (Path(folder) / name).is_file()]


def build(paper: Paper, folder: Path) -> pd.DataFrame:
    """One row per item of paper.yaml. Items whose id begins with ``extra`` are not the paper's own."""
    rows = []
    for item in paper.items:
        found = files(item, folder)
        rows.append(
            (
                item.id,
                item.kind,
                item.title,
                item.seen,
                bool(found),
                ", ".join(found),
                ", ".join(item.experiment),
                item.evidence,
            )
        )
    return pd.DataFrame(rows, columns=list(COLUMNS))


def own(inventory: pd.DataFrame) -> pd.DataFrame:
    """The paper's own items."""
    return inventory[~inventory["id"].str.startswith(EXTRA)]


def summary(inventory: pd.DataFrame) -> str:
    """One line: how many of the paper's items were regenerated, and which were not."""
    mine = own(inventory)
    absent = list(mine.loc[~mine["regenerated"], "id"])
    more = len(inventory) - len(mine)
    text = f"{int(mine['regenerated'].sum())} of the paper's {len(mine)} tables, figures and algorithms regenerated"
    text += f" (not: {', '.join(absent)})" if absent else ""
    return text + (f", and {more} that the paper does not have." if more else ".")
