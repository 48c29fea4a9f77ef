"""The results frame: one row per cell and seed, and the numbers that are read from it.

Text columns are the keys of the published tables; curves are list columns (one value per epoch). `value` and `values` give one
number per row in the report's unit: accuracies in per cent.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from losslab.errors import InputError
from losslab.papers import metrics
from losslab.papers.expand import Cell
from losslab.papers.messages import near, show_path
from losslab.papers.readings import GUIDES, parse_reading
from losslab.papers.spec import KEYS

TEXT = (
    "experiment",
    "dataset",
    "noise_type",
    "setting",
    "method",
    "key",
    "run",
    "status",
    "data",
    "stand_in",
    "device",
    "final",
)
COLUMNS = (*KEYS, "seed", "key", "run", "status", "data", "stand_in", "seconds", "device", "final")
STATUSES = ("done", "diverged", "missing")
PER_CLASS = "_per_class"


def frame(cells: Iterable[Cell], records: Any) -> pd.DataFrame:
    """One row per cell, in the order of the cells; a cell without a record has the status ``missing``.

    ``records``: a store (``get(run)``), a mapping from run hash to record, or an iterable of records.
    """
    find = _finder(records)
    rows: list[dict[str, Any]] = []
    curves: dict[str, None] = {}
    for cell in cells:
        record = find(cell.run)
        row: dict[str, Any] = {
            **cell.keys, "seed": cell.run.seed, "key": cell.key, "run": cell.run.hash, "data": cell.run.data.name, "stand_in": cell.stand_in,
            "status": "missing", "seconds": math.nan, "device": "", "final": "{}",
        }  # fmt: skip
        if record is not None:
            cost = _mapping(record.cost)
            row |= {
                "status": record.status,
                "seconds": float(cost.get("seconds", math.nan)),
                "device": str(cost.get("device") or _mapping(record.provenance).get("device") or ""),
                "final": json.dumps(record.final, sort_keys=True),
            }
            unasked = _probe_curves() - _probe_curves(cell.probes)  # a record shared with a paper that asked for more
            for name, values in record.curves.items():
                if name not in unasked:
                    row[name] = values
                    curves[name] = None
        rows.append(row)
    names = sorted(curves)
    table = pd.DataFrame(rows, columns=[*COLUMNS, *names])
    for name in names:
        table[name] = table[name].astype(object).where(table[name].notna(), None)
    return _typed(table)


def _probe_curves(probes: Iterable[str] | None = None) -> frozenset[str]:
    """Curves that these probes record; of all probes without an argument."""
    from losslab.training.probes import CURVES

    return frozenset(curve for probe in (CURVES if probes is None else probes) for curve in CURVES.get(probe, ()))


def _finder(records: Any) -> Any:
    if isinstance(records, Mapping):
        return lambda run: records.get(run.hash)
    if hasattr(records, "get"):
        return records.get
    by_hash = {record.run.hash: record for record in records}
    return lambda run: by_hash.get(run.hash)


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else vars(value) if hasattr(value, "__dict__") else {}


def _typed(table: pd.DataFrame) -> pd.DataFrame:
    for name in TEXT:
        table[name] = table[name].astype(object)
    for name in ("noise_rate", "seconds"):
        table[name] = table[name].astype(float)
    table["seed"] = table["seed"].astype("int64")
    return table


def curve_names(table: pd.DataFrame) -> list[str]:
    """List columns of a results frame."""
    return [str(name) for name in table.columns if name not in COLUMNS]


def write(table: pd.DataFrame, path: Path) -> None:
    """Parquet with a fixed schema and no metadata: the same frame gives the same bytes."""
    kinds: dict[str, pa.DataType] = dict.fromkeys(TEXT, pa.string()) | {
        "noise_rate": pa.float64(),
        "seconds": pa.float64(),
        "seed": pa.int64(),
    }
    arrays, fields = [], []
    for name in [*COLUMNS, *curve_names(table)]:
        values = [_plain(value) for value in table[name]] if name not in kinds else table[name].tolist()
        kind = kinds.get(name) or _curve_type(values, 2 if name.endswith(PER_CLASS) else 1)
        arrays.append(pa.array(values, kind, from_pandas=name == "noise_rate"))
        fields.append(pa.field(name, kind))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    pq.write_table(
        pa.Table.from_arrays(arrays, schema=pa.schema(fields)), part, compression="zstd", use_dictionary=True
    )
    part.replace(path)


def _curve_type(values: list[Any], least: int) -> pa.DataType:
    """Lists of numbers as deep as the deepest value: per epoch, per epoch and class, or per epoch a table (the probe `confusion`)."""
    kind = pa.float64()
    for _ in range(max([least, *map(_depth, values)])):
        kind = pa.list_(kind)
    return kind


def _depth(value: Any) -> int:
    return 1 + max((_depth(item) for item in value[:1]), default=0) if isinstance(value, list) else 0


def _plain(value: Any) -> Any:
    """Curves as Python lists: numpy arrays (also inside) are written out."""
    if isinstance(value, np.ndarray):
        value = value.tolist()
    return (
        [_plain(item) if isinstance(item, (np.ndarray, list)) else item for item in value]
        if isinstance(value, list)
        else value
    )


def read(path: Path) -> pd.DataFrame:
    """A results frame from parquet. Raises InputError for no file, no parquet, or missing columns."""
    shown = show_path(Path(path))
    try:
        content = pq.read_table(path)
    except FileNotFoundError:
        raise InputError(f"{shown}: no such file; train first") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"{shown}: not a results file: {' '.join(str(error).split())[:120]}") from None
    absent = [name for name in COLUMNS if name not in content.column_names]
    if absent:
        raise InputError(f"{shown}: not a results file: column {absent[0]!r} is missing")
    table = pd.DataFrame({name: pd.Series(content[name].to_pylist(), dtype=object) for name in content.column_names})
    return _typed(table)


def value(row: Mapping[str, Any] | pd.Series, metric: str = "test_acc", reading: str = "last") -> float:
    """One number of one run in the report's unit; NaN where it was not recorded or the run diverged. See `metrics` and `readings`."""
    if row["status"] != "done":
        return math.nan
    factor = metrics.describe(metric).factor
    if metric.startswith("final."):
        return _number(json.loads(row["final"]).get(metric.removeprefix("final."), None), metric) * factor
    name, _, suffix = metric.partition(".")
    curve = row.get(name)
    if not isinstance(curve, (list, np.ndarray)) or len(curve) == 0:
        return math.nan
    kind, number = parse_reading(reading)
    if kind == "mean_last":
        return float(np.mean([_pick(entry, suffix, metric) for entry in curve[-number:]])) * factor
    if kind == "epoch":
        return _pick(curve[number - 1], suffix, metric) * factor if number <= len(curve) else math.nan
    epoch = len(curve) - 1 if kind == "last" else _best_epoch(row.get(GUIDES[kind]))
    return math.nan if epoch is None or epoch >= len(curve) else _pick(curve[epoch], suffix, metric) * factor


def _best_epoch(guide: Any) -> int | None:
    """First epoch of the greatest value; None where nothing was recorded."""
    if not isinstance(guide, (list, np.ndarray)):
        return None
    numbers = [-math.inf if entry is None or math.isnan(entry) else float(entry) for entry in guide]
    return None if not numbers or max(numbers) == -math.inf else int(np.argmax(numbers))


def _number(entry: Any, metric: str) -> float:
    if entry is None:
        return math.nan
    if isinstance(entry, (list, dict)):
        raise InputError(f"metric {metric!r} holds several values; a table needs one")
    return float(entry)


def _pick(entry: Any, suffix: str, metric: str) -> float:
    """A plain value, or what the suffix takes of one value per class."""
    if not suffix:
        if isinstance(entry, (list, np.ndarray)):
            raise InputError(
                f"metric {metric!r} holds one value per class; add {', '.join('.' + s for s in metrics.SUFFIXES)} or .<class>"
            )
        return _number(entry, metric)
    if entry is None:
        return math.nan
    numbers = np.array([math.nan if item is None else float(item) for item in entry])
    if suffix.isdigit():
        return float(numbers[int(suffix)]) if int(suffix) < len(numbers) else math.nan
    if suffix == "spread":
        return float(numbers.max() - numbers.min())
    if suffix not in metrics.SUFFIXES:
        raise InputError(f"metric {metric!r}: {near('suffix', suffix, (*metrics.SUFFIXES, '<class>'))}")
    return float(getattr(np, suffix)(numbers))


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Rows as dictionaries."""
    return [{str(key): item for key, item in row.items()} for row in table.to_dict("records")]


def values(table: pd.DataFrame, metric: str = "test_acc", reading: str = "last") -> pd.Series:
    """`value` of every row."""
    parse_reading(reading)
    name = metric.partition(".")[0]
    if name != "final" and name not in table.columns and len(table) and (table["status"] == "done").any():
        raise InputError(near("metric", metric, [*curve_names(table), "final.<name>"]))
    return pd.Series([value(row, metric, reading) for row in records(table)], index=table.index, dtype=float)


def choose(table: pd.DataFrame, where: Mapping[str, Any]) -> pd.DataFrame:
    """Rows whose key columns have the given values (one, or any of several); None matches a missing rate."""
    keep = pd.Series(True, index=table.index)
    for key, wanted in where.items():
        if key not in table.columns:
            raise InputError(near("key", key, (*KEYS, "seed")))
        allowed: Sequence[Any] = list(wanted) if isinstance(wanted, (list, tuple, set, frozenset)) else [wanted]
        hit = table[key].isin([one for one in allowed if one is not None])
        keep &= hit | table[key].isna() if None in allowed else hit
    return table[keep]
