"""Data sets in memory: embedded ones, the papers' own, and any tree of images; batched augmentation on the device."""

from losslab.data.dataset import Dataset, DataStatus
from losslab.data.normalisation import Stats, standardise, statistics
from losslab.data.registry import available, data_root, flip_map_for, load, names

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
