"""What the terminal shows: a bar where somebody watches, plain lines at intervals in a log."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from rich.console import Console
from rich.table import Table

EVERY = 15.0  # seconds between two lines in a log


def console() -> Console:
    """Standard output; wide where it is no terminal, so that lines stay whole in a log."""
    return Console(width=None if sys.stdout.isatty() else 200, soft_wrap=not sys.stdout.isatty(), highlight=False)


def table(*columns: str, title: str | None = None) -> Table:
    """A plain table; columns whose name begins with '>' are set to the right."""
    from rich import box

    made = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for column in columns:
        made.add_column(
            column.removeprefix(">"), justify="right" if column.startswith(">") else "left", overflow="fold"
        )
    return made


def duration(seconds: float) -> str:
    """65 -> '1 min 5 s'."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


class Progress:
    """Done / total, time left and what is being worked on. Use as a context, call `update`."""

    def __init__(self, total: float, what: str, *, unit: str = "") -> None:
        self.total, self.what, self.unit = total, what, unit
        self.live = sys.stderr.isatty()
        self._begun = self._said = time.monotonic()
        self._bar: Any = None

    def __enter__(self) -> Progress:
        if self.live:
            from rich import progress as bars

            self._bar = bars.Progress(
                bars.TextColumn("{task.description}"),
                bars.BarColumn(bar_width=40),
                bars.TextColumn("{task.fields[text]}"),
                console=Console(stderr=True),
                transient=True,
            )
            self._bar.start()
            self._task = self._bar.add_task(self.what, total=1.0, text="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: int, total: int | None = None, *, share: float | None = None, note: str = "") -> None:
        """`done` of `total` are finished; `share`: of the work, in [0, 1], where that is known better than by counting."""
        self.total = total if total is not None else self.total
        if share is None:
            share = done / self.total if self.total else 1.0
        now = time.monotonic()
        spent = now - self._begun
        left = f"about {duration(spent / share * (1 - share))} left" if share >= 0.02 else ""
        parts = [f"{done}/{self.total:g} {self.unit}".rstrip(), left, note[:60]]
        if self._bar is not None:
            self._bar.update(self._task, completed=share, text=", ".join(part for part in parts if part))
        elif now - self._said >= EVERY:
            self._said = now
            print(f"{self.what}: " + ", ".join(part for part in parts if part), file=sys.stderr, flush=True)
