"""Words of captions, headings and axes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pandas as pd

from losslab.papers.readings import parse_reading

HEADINGS = {
    "experiment": "Experiment", "dataset": "Data set", "noise_type": "Noise", "noise_rate": "Rate", "setting": "Setting", "method": "Method",
    "value": "Number",
}  # fmt: skip
_READINGS = {
    "last": "last epoch",
    "best": "best epoch on the test set",
    "best_val": "epoch of the best validation accuracy (noisy labels)",
    "best_val_clean": "epoch of the best validation accuracy (clean labels)",
}


def reading(name: str) -> str:
    """What a reading takes, in words."""
    kind, number = parse_reading(name)
    if kind == "mean_last":
        return f"mean of the last {number} epochs"
    return f"epoch {number}" if kind == "epoch" else _READINGS[kind]


def key_value(key: str, value: Any, titles: Mapping[str, str] | None = None) -> str:
    """A key's value as a heading: rates without trailing zeros, data sets by their titles."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if key == "noise_rate":
        return f"{float(value):g}"
    if key == "dataset" and titles:
        return titles.get(str(value), str(value))
    return str(value)


def dataset_titles(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> dict[str, str]:
    """Data set key -> title with its stand-in: ``CIFAR-100 (stand-in: glyphs-100)``."""
    result: dict[str, str] = {}
    for key, part in table.groupby("dataset", sort=False):
        name = (titles or {}).get(str(key), str(key))
        stands = [text for text in dict.fromkeys(part["stand_in"]) if text]
        result[str(key)] = f"{name} (stand-in: {', '.join(stands)})" if stands else name
    return result


def stand_ins(table: pd.DataFrame, titles: Mapping[str, str] | None = None) -> str:
    """Sentence that names the stand-ins of a frame; empty where there are none."""
    parts = []
    for key, title in dataset_titles(table, titles).items():
        if "(stand-in: " in title:
            parts.append(f"{(titles or {}).get(key, key)}: {title.partition('(stand-in: ')[2].removesuffix(')')}")
    return f"Stand-ins: {'; '.join(parts)}." if parts else ""
