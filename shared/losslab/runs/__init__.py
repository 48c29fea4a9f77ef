"""Runs: what a training is, its record, and the store of records."""

from losslab.runs.fingerprint import fingerprint
from losslab.runs.record import READINGS, Damaged, Record, read_curve
from losslab.runs.spec import DataPart, NamedPart, NoisePart, Recipe, Run, Schedule
from losslab.runs.store import Problem, Store
from losslab.runs.transfer import ImportReport, export, import_

__all__ = [
    "READINGS",
    "Damaged",
    "DataPart",
    "ImportReport",
    "NamedPart",
    "NoisePart",
    "Problem",
    "Recipe",
    "Record",
    "Run",
    "Schedule",
    "Store",
    "export",
    "fingerprint",
    "import_",
    "read_curve",
]
