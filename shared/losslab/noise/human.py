"""Labels that people gave: the files of CIFAR-10N / CIFAR-100N (Wei et al. 2022), read without running what they hold."""

import csv
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.errors import InputError, near

COLUMNS: dict[str, tuple[str, ...]] = {
    "cifar10n": ("aggre_label", "worse_label", "random_label1", "random_label2", "random_label3"),
    "cifar100n": ("noisy_label",),
}


def _integers(values: Any, path: Path, column: str | None) -> NDArray[np.int64]:
    array = values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        what = f"column {column!r} of {path}" if column else str(path)
        raise InputError(f"{what} must hold one integer per image, not shape {array.shape}, dtype {array.dtype}")
    return array.astype(np.int64)


def _read_torch(path: Path) -> dict[str, Any]:
    """A dictionary of arrays or tensors. Nothing but array building is allowed to run while it is read."""
    reconstruct = np._core.multiarray._reconstruct  # type: ignore[attr-defined]
    allowed: list[Any] = [
        (reconstruct, "numpy.core.multiarray._reconstruct"),
        (reconstruct, "numpy._core.multiarray._reconstruct"),
        np.ndarray,
        np.dtype,
        *(type(np.dtype(kind)) for kind in ("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8")),
    ]
    try:
        with torch.serialization.safe_globals(allowed):
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise InputError(f"{path} cannot be read as a file of label arrays: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a dictionary of label arrays, not {type(content).__name__}")
    return {str(name): values for name, values in content.items()}


def _read_csv(path: Path, column: str | None) -> NDArray[np.int64]:
    with path.open(newline="", encoding="utf-8") as stream:
        reader = csv.DictReader(stream)
        names = tuple(reader.fieldnames or ())
        if column is None and len(names) == 1:
            column = names[0]
        if column is None or column not in names:
            raise InputError(near(f"column of {path}", column, names))
        try:
            return np.array([int(row[column]) for row in reader], dtype=np.int64)
        except (TypeError, ValueError) as error:
            raise InputError(f"column {column!r} of {path} must hold integers: {error}") from None


def read_human_labels(path: str | Path, column: str | None = None) -> NDArray[np.int64]:
    """Labels ``(n,)`` int64 in the order of the data set's training images.

    ``.pt``: the published files ``CIFAR-10_human.pt`` and ``CIFAR-100_human.pt`` (a dictionary of arrays; ``column`` such as
    "worse_label", see `COLUMNS`), read with ``weights_only=True``. ``.csv``: a table with a header line. ``.npy``: one plain
    integer array, without pickled objects. Raises InputError for a missing file, an unknown column and anything unsafe.
    """
    file = Path(path)
    if not file.is_file():
        raise InputError(
            f"no label file at {file}. Get CIFAR-10_human.pt / CIFAR-100_human.pt from noisylabels.com "
            f"(github.com/UCSC-REAL/cifar-10-100n, folder data) and put it there"
        )
    if file.suffix == ".npy":
        try:
            return _integers(np.load(file, allow_pickle=False), file, None)
        except ValueError as error:
            raise InputError(f"{file} is not a plain integer array: {error}") from None
    if file.suffix == ".csv":
        return _read_csv(file, column)
    if file.suffix in (".pt", ".pth"):
        content = _read_torch(file)
        if column is None and len(content) == 1:
            column = next(iter(content))
        if column is None or column not in content:
            raise InputError(near(f"column of {file}", column, content))
        return _integers(content[column], file, column)
    raise InputError(f"label files end in .pt, .csv or .npy, not {file.suffix!r} ({file})")
