"""Text forms of a table: frame of strings, Markdown, HTML, LaTeX. No times, no paths; the same cells give the same text."""

from __future__ import annotations

import html as html_module
import math
import re
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from losslab.errors import InputError
from losslab.papers.messages import near
from losslab.report import words
from losslab.report.published import NOT_AVAILABLE
from losslab.report.stats import within

if TYPE_CHECKING:
    from losslab.report.table import Table

LAYOUTS = ("auto", "rows", "columns")
PUBLISHED, REPLICATED, INTERVAL, DIFFERENCE = "published", "replicated", "95 % interval", "difference"
PAPER_SCALE = "paper scale"
Bold = Callable[[str], str]


def wide(table: Table, layout: str = "auto", bold: Bold | None = None) -> pd.DataFrame:
    """Text cells. ``rows`` puts the published and the replicated number below each other, ``columns`` beside each other."""
    if layout not in LAYOUTS:
        raise InputError(near("layout", layout, LAYOUTS))
    cells = table.cells
    labelled = cells["value"].nunique() > 1
    across = [*table.columns, *(["value"] if labelled else [])]
    row_keys = _unique(cells, list(table.rows))
    numbers = _unique(cells, ["value"]) if labelled else [()]
    column_keys = [(*place, *number) for place in table.across for number in numbers]
    layout = layout if layout != "auto" else "columns" if len(column_keys) <= 2 else "rows"
    kinds = [PUBLISHED, REPLICATED] if table.beside else [REPLICATED]
    if (cells["n"] > 1).any():
        kinds.append(INTERVAL)
    if cells["difference"].notna().any():
        kinds.append(DIFFERENCE)
    if (cells["reference_n"] > 0).any():
        kinds.append(PAPER_SCALE)
    usual = usual_seeds(cells)
    lookup = {(*_key(row, list(table.rows)), *_key(row, across)): row for row in cells.to_dict("records")}
    texts: dict[tuple[Any, ...], dict[tuple[Any, ...], str]] = {}
    for row_key in row_keys:
        for column_key in column_keys:
            cell = lookup.get((*row_key, *column_key))
            for kind in kinds:
                text = (
                    ""
                    if cell is None
                    else _text(cell, kind, table.digits.get(cell["value"], 2), cell["n"] != usual, bold or str)
                )
                line, position = ((*row_key, kind), column_key) if layout == "rows" else (row_key, (*column_key, kind))
                texts.setdefault(line, {})[position] = text
    if layout == "rows":
        texts = {
            line: entries
            for line, entries in texts.items()
            if line[-1] not in (INTERVAL, DIFFERENCE, PAPER_SCALE) or any(entries.values())
        }
    heads = [words.HEADINGS[key] for key in table.rows]
    tops = [words.HEADINGS[key] for key in across]
    lines = list(texts)
    columns = list(next(iter(texts.values()))) if texts else []
    frame = pd.DataFrame([[texts[line][column] for column in columns] for line in lines])
    frame.index = _index(lines, list(table.rows), heads + ([""] if layout == "rows" else []), table)
    frame.columns = _index(columns, across, tops + ([""] if layout == "columns" else []), table)
    return frame


def usual_seeds(cells: pd.DataFrame) -> int:
    """The most common number of seeds of a cell; 0 where nothing ran."""
    sizes = cells.loc[cells["n"] > 0, "n"]
    return int(sizes.mode().max()) if len(sizes) else 0


def _unique(cells: pd.DataFrame, keys: list[str]) -> list[tuple[Any, ...]]:
    return list(dict.fromkeys(_key(row, keys) for row in cells.to_dict("records")))


def _key(row: dict[Any, Any], keys: list[str]) -> tuple[Any, ...]:
    return tuple(None if isinstance(row[key], float) and math.isnan(row[key]) else row[key] for key in keys)


def _index(entries: list[tuple[Any, ...]], keys: list[str], names: list[str], table: Table) -> pd.Index:
    titles = words.dataset_titles(table.cells, table.titles) if "dataset" in table.cells else table.titles
    shown = [
        tuple(words.key_value(key, part, titles) for key, part in zip([*keys, ""], entry, strict=False))
        for entry in entries
    ]
    if not names:
        return pd.Index([""] * len(shown))
    if len(names) == 1:
        return pd.Index([entry[0] for entry in shown], name=names[0])
    return pd.MultiIndex.from_tuples(shown, names=names)


def _text(cell: dict[Any, Any], kind: str, digits: int, show_n: bool, bold: Bold) -> str:
    if kind == PUBLISHED:
        if math.isnan(cell["published"]):
            return NOT_AVAILABLE
        text = f"{cell['published']:.{digits}f}"
        spread = "" if math.isnan(cell["published_std"]) else f" ± {cell['published_std']:.{digits}f}"
        return (bold(text) if cell["best_published"] else text) + spread
    if kind == REPLICATED:
        return _replicated(cell, digits, show_n, bold)
    if kind == PAPER_SCALE:
        if not cell["reference_n"]:
            return ""
        spread = "" if math.isnan(cell["reference_std"]) else f" ± {cell['reference_std']:.{digits}f}"
        return f"{cell['reference']:.{digits}f}{spread} ({cell['reference_n']})"
    if kind == INTERVAL:
        low, high = within(cell["low"], cell["high"], cell["unit"])
        return "" if math.isnan(low) else f"[{low:.{digits}f}, {high:.{digits}f}]"
    return "" if math.isnan(cell["difference"]) else f"{cell['difference']:+.{digits}f}"


def _replicated(cell: dict[Any, Any], digits: int, show_n: bool, bold: Bold) -> str:
    diverged = f"diverged ({cell['diverged']} of {cell['runs']})" if cell["diverged"] else ""
    missing = (
        f"missing ({cell['missing']} of {cell['runs']})" if cell["missing"] and cell["status"] != "missing" else ""
    )
    if cell["status"] == "not run":
        return "not run"
    if cell["status"] == "missing":
        return "missing"
    parts = []
    if cell["n"]:
        text = f"{cell['mean']:.{digits}f}"
        text = bold(text) if cell["best"] else text
        if not math.isnan(cell["std"]):
            text += f" ± {cell['std']:.{digits}f}"
        parts.append(text + (f" ({cell['n']})" if show_n or diverged else ""))
    return "; ".join(filter(None, [*parts, diverged, missing]))


def markdown(table: Table, layout: str = "auto") -> str:
    """Markdown; repeated headings of rows are left blank."""
    frame = wide(table, layout, lambda text: f"**{text}**")
    return _with_caption(table.caption, markdown_frame(frame))


def _with_caption(caption: str, body: str) -> str:
    return f"{caption}\n\n{body}" if caption else body


def markdown_frame(frame: pd.DataFrame) -> str:
    """A frame of texts as a Markdown table."""
    names = [str(name or "") for name in frame.index.names]
    heads = names + [" · ".join(part for part in _parts(column) if part) for column in frame.columns]
    lines = [heads, [*(["---"] * len(names)), *(["--:"] * len(frame.columns))]]
    previous: tuple[str, ...] = ()
    for key, row in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        parts = _parts(key)
        lines.append([*_without_repeats(parts, previous), *map(str, row)])
        previous = parts
    return "".join(
        "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in line) + " |\n" for line in lines
    )


def _parts(key: Any) -> tuple[str, ...]:
    return tuple(map(str, key)) if isinstance(key, tuple) else (str(key),)


def _without_repeats(parts: tuple[str, ...], previous: tuple[str, ...]) -> list[str]:
    """Leading parts that equal the line above are blank."""
    shown, same = [], True
    for number, part in enumerate(parts):
        same = same and number < len(parts) - 1 and number < len(previous) and previous[number] == part
        shown.append("" if same else part)
    return shown


def html(table: Table, layout: str = "auto") -> str:
    """Plain HTML table under its caption; only tags and attributes that code hosts keep."""
    frame = wide(_escaped(table), layout, lambda text: f"<strong>{text}</strong>")
    caption = f"<p>{html_module.escape(table.caption, quote=False)}</p>\n" if table.caption else ""
    return caption + html_frame(frame)


def html_frame(frame: pd.DataFrame) -> str:
    """A frame of texts, already escaped, as an HTML table."""
    text = frame.to_html(escape=False, border=0, justify="left", index_names=True)
    text = text.replace(' class="dataframe"', "").replace(' style="text-align: left;"', "").replace(' border="0"', "")
    text = (
        text.replace(' halign="left"', ' align="center"')
        .replace("<td>", '<td align="right">')
        .replace(' valign="top"', ' valign="top" align="left"')
    )
    return _NOTHING.sub(_one_cell, text)


_NOTHING = re.compile(rf'(?:\s*<td align="right">{NOT_AVAILABLE}</td>){{2,}}')


def _one_cell(match: re.Match[str]) -> str:
    """Neighbouring cells without a published number as one."""
    return f'\n      <td align="center" colspan="{match.group().count("<td")}">{NOT_AVAILABLE}</td>'


def _safe(value: Any) -> Any:
    return html_module.escape(value, quote=False) if isinstance(value, str) else value


def _escaped(table: Table) -> Table:
    """The table with its texts made safe for HTML."""
    cells = table.cells.copy()
    for name in (*table.rows, *table.columns, "value", "stand_in"):
        if cells[name].dtype == object or pd.api.types.is_string_dtype(cells[name]):
            cells[name] = [_safe(v) for v in cells[name]]
    titles = {_safe(k): _safe(v) for k, v in table.titles.items()}
    digits = {_safe(k): v for k, v in table.digits.items()}
    escaped_places = tuple(tuple(_safe(part) for part in place) for place in table.across)
    return replace(table, cells=cells, titles=titles, digits=digits, across=escaped_places)


_LATEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "<": r"$<$",
    ">": r"$>$",
    **{character: "\\" + character for character in "&%$#_{}"},
}


def tex(text: str) -> str:
    """Text made safe for LaTeX."""
    return "".join(_LATEX.get(character, character) for character in text)


def latex(table: Table, layout: str = "auto") -> str:
    """A booktabs table with caption."""
    frame = wide(table, layout, lambda text: f"\x01{text}\x02")
    names = [str(name or "") for name in frame.index.names]
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{{tex(table.caption)}}}",
        rf"\begin{{tabular}}{{{'l' * len(names)}{'r' * len(frame.columns)}}}",
        r"\toprule",
    ]
    levels = [_parts(column) for column in frame.columns]
    for level in range(frame.columns.nlevels):
        heads = [parts[level] for parts in levels]
        start = names if level == frame.columns.nlevels - 1 else [""] * len(names)
        lines.append(" & ".join([*map(tex, start), *_spans(heads, levels, level)]) + r" \\")
    lines.append(r"\midrule")
    previous: tuple[str, ...] = ()
    for key, row in zip(frame.index, frame.itertuples(index=False, name=None), strict=True):
        parts = _parts(key)
        if previous and len(names) > 1 and parts[0] != previous[0]:
            lines.append(r"\addlinespace")
        cells = [*_without_repeats(parts, previous), *map(str, row)]
        lines.append(" & ".join(tex(cell).replace("\x01", r"\textbf{").replace("\x02", "}") for cell in cells) + r" \\")
        previous = parts
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}", ""])


def _spans(heads: list[str], levels: list[tuple[str, ...]], level: int) -> list[str]:
    """Headings of one level; neighbours that agree so far share a cell."""
    cells: list[str] = []
    position = 0
    while position < len(heads):
        end = position + 1
        while (
            level < len(levels[0]) - 1
            and end < len(heads)
            and levels[end][: level + 1] == levels[position][: level + 1]
        ):
            end += 1
        cells.append(
            tex(heads[position])
            if end - position == 1
            else rf"\multicolumn{{{end - position}}}{{c}}{{{tex(heads[position])}}}"
        )
        position = end
    return cells
