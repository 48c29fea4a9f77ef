"""Characters as ink masks, drawn from the outlines of the fonts that matplotlib carries.

Outlines are read in font units, without hinting, and filled here: the masks depend on the font files alone, not on the
version of the rasteriser, so that the generated data sets are the same bytes on every machine.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

FONTS: tuple[str, ...] = ("DejaVuSans", "DejaVuSans-Bold", "DejaVuSansMono", "DejaVuSansMono-Bold")
CANVAS = 64  # pixels of a mask's side
EM = 50  # pixels of one em on the canvas
_FINE = 4  # sub-scanlines and sub-columns per pixel
_MOVE, _LINE, _CURVE, _CLOSE = 1, 2, 3, 79  # matplotlib's path codes that TrueType outlines use


def _polygons(vertices: NDArray[np.float64], codes: NDArray[Any]) -> list[NDArray[np.float64]]:
    """Closed polygons of an outline; quadratic curves become four chords."""
    polygons: list[list[NDArray[np.float64]]] = []
    i = 0
    while i < len(codes):
        code = int(codes[i])
        if code == _MOVE:
            polygons.append([vertices[i]])
        elif code == _LINE:
            polygons[-1].append(vertices[i])
        elif code == _CURVE:
            start, control, end = polygons[-1][-1], vertices[i], vertices[i + 1]
            for t in (0.25, 0.5, 0.75, 1.0):
                polygons[-1].append((1 - t) * (1 - t) * start + 2 * t * (1 - t) * control + t * t * end)
            i += 1
        elif code != _CLOSE:
            raise ValueError(f"unexpected path code {code} in a TrueType outline")
        i += 1
    return [np.array(polygon) for polygon in polygons if len(polygon) > 2]


def fill(polygons: Sequence[NDArray[np.float64]], side: int) -> NDArray[np.float32]:
    """Share of every pixel that lies inside (non-zero winding), ``(side, side)`` float32 in [0, 1]; y points up."""
    fine = side * _FINE
    winding = np.zeros((fine, fine + 1), dtype=np.int32)
    lines = (np.arange(fine) + 0.5) / _FINE
    for polygon in polygons:
        for (x0, y0), (x1, y1) in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
            if y0 == y1:
                continue
            low, high, sign = (y0, y1, 1) if y0 < y1 else (y1, y0, -1)
            crossed = np.flatnonzero((lines >= low) & (lines < high))
            x = x0 + (lines[crossed] - y0) * ((x1 - x0) / (y1 - y0))
            column = np.clip(np.ceil(x * _FINE - 0.5), 0, fine).astype(np.int64)
            winding[crossed, column] += sign  # one crossing per line and edge, so no index repeats
    inside = (np.cumsum(winding[:, :fine], axis=1) != 0).astype(np.int64)
    counts = inside.reshape(side, _FINE, side, _FINE).sum(axis=(1, 3))
    return (counts[::-1] / np.float32(_FINE * _FINE)).astype(np.float32)


def masks(characters: str, fonts: Sequence[str] = FONTS) -> NDArray[np.float32]:
    """Ink masks ``(characters, fonts, 64, 64)`` float32 in [0, 1], each centred on its ink's bounding box."""
    import matplotlib
    from matplotlib import ft2font

    folder = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
    flag: Any = ft2font.LoadFlags.NO_HINTING if hasattr(ft2font, "LoadFlags") else 2
    result = np.zeros((len(characters), len(fonts), CANVAS, CANVAS), dtype=np.float32)
    for f, name in enumerate(fonts):
        font = ft2font.FT2Font(str(folder / f"{name}.ttf"))
        units = int(font.units_per_EM)
        font.set_size(units, 72)  # one font unit = one pixel
        for c, character in enumerate(characters):
            if not font.get_char_index(ord(character)):
                raise ValueError(f"{name} has no {character!r}")
            font.load_char(ord(character), flags=flag)
            vertices, codes = font.get_path()
            polygons = _polygons(np.rint(np.asarray(vertices)), np.asarray(codes))
            corners = np.concatenate(polygons)
            middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
            result[c, f] = fill([(p - middle) * (EM / units) + CANVAS / 2 for p in polygons], CANVAS)
    return result
