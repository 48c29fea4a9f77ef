"""`losslab execute` and `losslab refresh`."""

from __future__ import annotations

import ast
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from losslab import params, paths
from losslab.cli import DONE
from losslab.cli.console import console, duration
from losslab.cli.settings import settle
from losslab.errors import InputError


def execute(notebook: Path, *, output: Path | None, scale: str | None, parameters: Sequence[str]) -> int:
    """Run one notebook with the scale and seeds of params.yaml, the options, and `name=value` parameters."""
    from losslab.notebooks import execute as engine

    chosen = settle(scale=scale)
    source = notebook.resolve()
    known = engine.defaults(engine.read(source), paths.show(source))
    values: dict[str, Any] = {}
    if "scale" in known or scale is not None:
        values["scale"] = chosen.scale
    if "seeds" in known and chosen.seeds is not None:
        values["seeds"] = chosen.seeds
    values.update(parse(parameters))
    target = (output if output is not None else default_output(source, str(values.get("scale", "any")))).resolve()
    if target.suffix != ".ipynb":
        raise InputError(f"--output {output}: an executed notebook is an .ipynb file")
    if target == source:
        raise InputError("--output is the source notebook itself; `losslab refresh` writes outputs into a source")
    begun = time.monotonic()
    engine.execute(source, target, values)
    console().print(f"{paths.show(target)} written in {duration(time.monotonic() - begun)}", markup=False)
    return DONE


def refresh(notebooks: Sequence[Path]) -> int:
    """Run source notebooks at their defaults and keep the outputs in them; trains what they need first."""
    from losslab.notebooks import execute as engine

    out = console()
    for source in [path.resolve() for path in notebooks] or sources():
        train_for(source)
        changed = engine.refresh(source)
        out.print(f"{paths.show(source)}: {'refreshed' if changed else 'unchanged'}", markup=False)
    return DONE


def sources() -> list[Path]:
    """Every source notebook: one per paper, and the cross-paper ones."""
    root = paths.root()
    return [*sorted((root / "replications").glob("*/notebook.ipynb")), *sorted((root / "notebooks").glob("*.ipynb"))]


def train_for(source: Path) -> None:
    """Train the runs that a paper's notebook reads at its defaults."""
    if not (source.parent / "paper.yaml").is_file():
        return
    from losslab.cli import train
    from losslab.cli.settings import open_paper
    from losslab.notebooks import execute as engine
    from losslab.runs import Store

    known = engine.defaults(engine.read(source), paths.show(source))
    chosen = settle(scale=str(known.get("scale", "smoke")))
    cells = open_paper(source.parent.name).cells(chosen.scale, seeds=known.get("seeds"))
    summary = train.run(f"{source.parent.name} ({chosen.scale})", cells, Store(paths.store()), chosen)
    if summary.left:
        raise KeyboardInterrupt


def default_output(source: Path, scale: str) -> Path:
    """Where an executed notebook goes that no output was named for: never over committed results."""
    params.check_scale(scale) if scale != "any" else None
    name = source.parent.name if source.name == "notebook.ipynb" else source.stem
    return paths.scratch(name, scale) / "executed.ipynb"


def parse(pairs: Sequence[str]) -> dict[str, Any]:
    """`name=value` with Python literals; a value that is no literal is text."""
    values: dict[str, Any] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name.isidentifier():
            raise InputError(f"--parameter {pair!r}: write name=value")
        try:
            values[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):
            values[name] = text
    return values
