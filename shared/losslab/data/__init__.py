"""Data sets in memory: embedded ones, the papers' own, and any tree of images; batched augmentation on the device."""

from losslab.data.dataset import DataStatus, Dataset
from losslab.data.registry import available, data_root, flip_map_for, load, names
from losslab.data.statistics import Stats, standardise, statistics

__all__ = [
    "DataStatus",
    "Dataset",
    "Stats",
    "available",
    "data_root",
    "flip_map_for",
    "load",
    "names",
    "standardise",
    "statistics",
]
