"""The results frame of a paper at a scale: exported by `losslab train --output`, read by the notebook.

An exported file carries a stamp of the code that made its runs. A file that holds other runs (another scale, other seeds) or
runs of older code is passed over, and the run store is asked instead.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from losslab import paths
from losslab.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from losslab.papers import Cell, Paper
    from losslab.runs import Store

STAMP = b"losslab.source"


def export(cells: Sequence[Cell], store: Store, file: Path) -> int:
    """Write the frame of finished cells; the same store gives the same bytes. Returns the number of rows."""
    import pyarrow.parquet as pq

    from losslab.papers import results

    frame = results.frame(cells, store)
    results.write(frame, file)
    table = pq.read_table(file).replace_schema_metadata({STAMP: source_stamp(cells).encode()})
    part = file.with_name(f".{file.name}.part")
    pq.write_table(table, part, compression="zstd")
    part.replace(file)
    return len(frame)


def load(paper: Paper, scale: str, seeds: int | None = None, folders: Iterable[Path] = ()) -> pd.DataFrame:
    """The frame from an exported file in one of `folders`, else from the run store. Missing runs raise InputError."""
    from losslab import training
    from losslab.papers import results
    from losslab.runs import Store

    cells = paper.cells(scale, seeds=seeds)
    for folder in dict.fromkeys(folders):
        file = folder / "runs.parquet"
        if file.is_file() and _stamp_of(file) == source_stamp(cells):
            return results.read(file)
    store = Store(paths.store())
    there = {cell.run.hash for cell in cells}
    missing = [
        run for run in training.plan([cell.run for cell in cells], store, wanted(cells)).runs if run.hash in there
    ]
    if missing:
        more = f" --seeds {seeds}" if seeds else ""
        raise InputError(
            f"{len(missing)} of {len(there)} runs of {paper.slug} at scale {scale} are missing, or older code made them: "
            f"run `losslab train {paper.slug} --scale {scale}{more}`"
        )
    return results.frame(cells, store)


def wanted(cells: Iterable[Cell]) -> dict[str, frozenset[str]]:
    """Run hash -> the extra recordings that its cells ask for."""
    found: dict[str, frozenset[str]] = {}
    for cell in cells:
        if cell.probes:
            found[cell.run.hash] = found.get(cell.run.hash, frozenset()) | frozenset(cell.probes)
    return found


def source_stamp(cells: Sequence[Cell]) -> str:
    """A digest of the cells' keys and runs, and of the source code that decides these runs' numbers."""
    from losslab.runs import fingerprint

    prints = {cell.run.hash: fingerprint(cell.run) for cell in {cell.run.hash: cell for cell in cells}.values()}
    text = "\n".join(
        f"{sorted(cell.keys.items(), key=str)} {cell.run.hash} {prints[cell.run.hash]} {sorted(cell.probes)}"
        for cell in cells
    )
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _stamp_of(file: Path) -> str | None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowInvalid, OSError):
        return None
    return metadata.get(STAMP, b"").decode("ascii", "replace")
