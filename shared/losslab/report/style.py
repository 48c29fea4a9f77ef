"""The one style of all figures, and files that do not change from run to run."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.legend import Legend

from losslab.errors import InputError
from losslab.papers.messages import near
from losslab.report.looks import Look, keys, of, ramp, spread

DPI = 150
SCREEN_DPI = 90  # in notebooks, which are kept in git
FORMATS = ("png", "svg", "pdf")
GRID = "#E4E4E4"
INK = "#333333"
_NO_DATES: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "ModDate": None, "Creator": None, "Producer": None},
}
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.linewidth": 0.8,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "figure.titlesize": 11.5,
    "figure.titleweight": "bold",
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "lines.linewidth": 1.7,
    "lines.markersize": 5.5,
    "lines.markeredgewidth": 0.0,
    "figure.dpi": 100,
    "savefig.dpi": DPI,
    "svg.hashsalt": "losslab",
    "svg.fonttype": "path",
    "pdf.fonttype": 42,
}


def show_in_notebooks() -> None:
    """Make a cell that ends in a figure show it as a PNG. The figures here are none of pyplot's, which IPython would show by itself."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    if shell is None:
        return
    formatter = shell.display_formatter.formatters["image/png"]
    formatter.for_type(Figure, _png)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=SCREEN_DPI, bbox_inches="tight", pad_inches=0.08, metadata=_NO_DATES["png"])
    return file.getvalue()


@contextmanager
def context() -> Iterator[None]:
    """Matplotlib settings of all figures, for the time of drawing."""
    settings: Any = {**sns.axes_style("ticks"), **sns.plotting_context("notebook", font_scale=0.9), **_RC}
    with mpl.rc_context(settings):
        yield


def grid(
    count: int,
    *,
    columns: int = 3,
    width: float = 3.6,
    height: float = 2.8,
    share_y: bool | str = True,
) -> tuple[Figure, list[Axes]]:
    """Figure with ``count`` panels in rows of ``columns``; ``share_y`` may be "row". Call inside `context`."""
    across = max(1, min(columns, count))
    width = 1.35 * width if count == 1 else width
    down = -(-count // across)
    figure = Figure(figsize=(width * across + 0.3, height * down + 0.3), layout="constrained")
    axes = figure.subplots(down, across, squeeze=False, sharex=False, sharey=share_y)  # type: ignore[arg-type]
    flat = list(axes.flat)
    for axis in flat[count:]:
        axis.remove()
    kept = flat[:count]
    for axis in kept:
        sns.despine(ax=axis)
    if share_y:
        for number, axis in enumerate(kept):
            axis.tick_params(labelleft=number % across == 0)
    return figure, kept


def legend(figure: Figure, handles: Sequence[Any], labels: Sequence[str], title: str | None = None) -> None:
    """One legend for all panels, outside on the right."""
    if handles or title:
        made = figure.legend(
            handles,
            labels,
            loc="outside right upper",
            title=title,
            alignment="left",
            handlelength=2.6,
            borderaxespad=0.2,
            title_fontsize=9,
        )
        figure.set_figwidth(figure.get_figwidth() + legend_width(made))


def legend_width(made: Legend) -> float:
    """Rough width of a legend in inches, from its texts."""
    texts = [text.get_text() for text in made.get_texts()] + made.get_title().get_text().split("\n")
    return 0.65 + 0.075 * max(map(len, texts), default=0)


def save(figure: Figure, path: Path, also: Sequence[str] = ()) -> list[Path]:
    """Write the figure as PNG, and in the formats of ``also`` beside it. The same figure gives the same bytes: no dates, fixed ids."""
    for form in also:
        if form not in FORMATS:
            raise InputError(near("figure format", form, FORMATS))
    path = Path(path)
    if path.suffix and path.suffix.removeprefix(".") not in FORMATS:
        raise InputError(near("figure format", path.suffix.removeprefix("."), FORMATS))
    wanted = dict.fromkeys([path.suffix.removeprefix(".") or "png", *also])
    path.parent.mkdir(parents=True, exist_ok=True)
    written = []
    with mpl.rc_context({"svg.hashsalt": _RC["svg.hashsalt"], "svg.fonttype": "path", "pdf.fonttype": 42}):
        for form in wanted:
            target = path.with_suffix(f".{form}")
            figure.savefig(target, format=form, dpi=DPI, bbox_inches="tight", pad_inches=0.08, metadata=_NO_DATES[form])
            written.append(target)
    return written


show_in_notebooks()

__all__ = [
    "DPI", "FORMATS", "Look", "context", "grid", "keys", "legend", "of", "ramp", "save", "show_in_notebooks", "spread",
]  # fmt: skip
