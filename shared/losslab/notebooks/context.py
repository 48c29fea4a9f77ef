"""What a replication notebook starts from: the finished runs of one paper at one scale, and a place for what it makes of them.

    from losslab.notebooks import open_paper

    ctx = open_paper("gce", scale=scale, seeds=seeds)
    ctx.table("table-1")                      # built, written to tables/, shown
    ctx.save_figure(fig, "figure-2")          # written to figures/, shown
    ctx.fact("largest_gap", 1.2e-7)           # a computed number that a claim refers to
    ctx.claims()                              # the verdicts
    ctx.finish()                              # claims.json, facts.json, metrics.json, curves.csv

Tables and figures go to the folder that `losslab execute` names. A notebook that is run by hand or by a test writes to a scratch
folder, so that it never touches committed results.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from losslab import params, paths
from losslab.errors import InputError
from losslab.notebooks import frames

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from losslab.papers import Paper
    from losslab.report.claims import Verdict
    from losslab.report.table import Table

MADE = {"tables": ("csv", "md", "tex"), "figures": ("png", "svg", "pdf")}


@dataclass
class PaperContext:
    """One paper at one scale. `frame`: the results, one row per cell and seed. `folder`: where this notebook's results go."""

    paper: Paper
    scale: params.Scale
    frame: pd.DataFrame
    folder: Path
    facts: dict[str, float] = field(default_factory=dict)
    tables: dict[str, Table] = field(default_factory=dict)

    def select(self, item: str) -> pd.DataFrame:
        """The rows that an item of the inventory uses."""
        from losslab.report import items

        return items.select(self.paper, item, self.frame)

    def table(self, item: str, **overrides: Any) -> Table:
        """The item's table, written as CSV, Markdown and LaTeX to tables/."""
        from losslab.report import items

        beside = None if self.scale == "paper" else self.reference
        made = items.table(self.paper, item, self.frame, reference=beside, **overrides)
        return self.save_table(made, item)

    @cached_property
    def reference(self) -> pd.DataFrame | None:
        """Results at paper scale that are kept with the paper, whatever scale this notebook runs at; None where there are none."""
        from losslab.report import reference

        return reference.frame(self.paper)

    def save_table(self, table: Table, item: str) -> Table:
        """Write a table that the notebook built itself as the item's table; returned, to be shown."""
        self._check_item(item)
        folder = self.folder / "tables"
        folder.mkdir(parents=True, exist_ok=True)
        table.save(folder, item)
        self.tables[item] = table
        return table

    def save_figure(self, figure: Figure, item: str, also: Sequence[str] = ()) -> Figure:
        """Write a figure to figures/ (PNG, and the formats in `also`); returned, to be shown."""
        from losslab.report import style

        self._check_item(item)
        target = self.folder / "figures" / f"{item}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        style.save(figure, target, also=tuple(also))
        return figure

    def fact(self, name: str, value: float) -> float:
        """Keep a computed number under a name that claims can refer to."""
        number = float(value)
        if not math.isfinite(number):
            raise ValueError(f"fact {name!r} is {number}")
        if self.facts.get(name, number) != number:
            raise ValueError(f"fact {name!r} is already {self.facts[name]!r}, not {number!r}")
        self.facts[name] = number
        return number

    def verdicts(self) -> list[Verdict]:
        """Every claim of the paper against the frame and the facts so far."""
        from losslab.report import claims

        return list(
            claims.evaluate(self.paper.claims, self.frame, self.scale, facts=self.facts, metric=self.paper.metric)
        )

    def claims(self) -> Any:
        """The claims with their verdicts, as a table to be shown."""
        from losslab.report import claims

        return claims.table(self.verdicts())

    def finish(self) -> str:
        """Write claims.json, facts.json, metrics.json and curves.csv; a line that says what was regenerated."""
        from losslab.report import claims, inventory, summary

        verdicts = self.verdicts()
        self.folder.mkdir(parents=True, exist_ok=True)
        for kind in MADE:
            (self.folder / kind).mkdir(exist_ok=True)
        claims.write(verdicts, self.folder / "claims.json")
        write_json({"scale": self.scale, "facts": self.facts}, self.folder / "facts.json")
        made = inventory.build(self.paper, self.folder)
        metrics = summary.metrics(
            self.paper, self.frame, self.scale, verdicts=verdicts, tables=self.tables, inventory=made
        )
        summary.write(metrics, self.folder / "metrics.json")
        self._curves().to_csv(self.folder / "curves.csv", index=False, float_format="%.3f", lineterminator="\n")
        return str(inventory.summary(made))

    def _curves(self) -> pd.DataFrame:
        """What `dvc plots` shows: by epoch, the methods of the first experiment under its first kind of noise, over data sets and seeds."""
        from losslab.report import summary

        frame = self.frame[self.frame["experiment"] == self.frame["experiment"].iloc[0]]
        noisy = frame[frame["noise_rate"].fillna(1.0) > 0]
        frame = noisy[noisy["noise_type"] == noisy["noise_type"].iloc[0]] if len(noisy) else frame
        curves = summary.curves(frame, self.paper.metric)
        curves["panel"] = [
            f"{kind} {rate:g}" for kind, rate in zip(curves["noise_type"], curves["noise_rate"], strict=True)
        ]
        means = curves.groupby(["panel", "method", "epoch"], sort=False)["mean"].mean()
        return means.rename("mean").reset_index()

    def _check_item(self, item: str) -> None:
        self.paper.item(item)


def open_paper(slug: str, scale: str = "smoke", seeds: int | None = None, **unknown: Any) -> PaperContext:
    """The context of one paper. Unknown parameters, papers and scales are refused; so are missing results, with the command that makes them."""
    from losslab import papers

    if unknown:
        raise InputError(f"unknown parameter {next(iter(unknown))!r}; known: scale, seeds")
    checked = params.check_scale(scale)
    if seeds is not None and (isinstance(seeds, bool) or not isinstance(seeds, int) or seeds < 1):
        raise InputError(f"seeds is a number of trainings per cell, 1 or more, or None, not {seeds!r}")
    paths.replication(slug)
    paper = papers.load(slug)
    folder = paths.named_results() or paths.scratch(slug, checked)
    frame = frames.load(paper, checked, seeds, (folder, paths.results(slug)))
    _forget(folder)
    return PaperContext(paper=paper, scale=checked, frame=frame, folder=folder)


def write_json(content: Any, file: Path) -> None:
    """JSON for git: sorted keys, indented, floats to ten digits."""

    def short(value: Any) -> Any:
        if isinstance(value, float):
            return float(f"{value:.10g}")
        if isinstance(value, dict):
            return {key: short(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [short(item) for item in value]
        return value

    file.write_text(json.dumps(short(content), indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def _forget(folder: Path) -> None:
    """Remove tables and figures of an earlier run, so that what is there afterwards was made now."""
    for kind, endings in MADE.items():
        for ending in endings:
            for file in (folder / kind).glob(f"*.{ending}"):
                file.unlink()
