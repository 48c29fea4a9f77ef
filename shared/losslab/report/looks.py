"""One colour, marker, dash and place per method, in every figure of every paper.

Colours are those of Okabe and Ito, and of Tol's muted scheme where more are needed: they can be told apart with the common forms of colour
blindness; marker and dash tell methods apart without colour.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from losslab.errors import InputError
from losslab.papers.messages import near

BLACK, GREY, SILVER = "#1A1A1A", "#6F6F6F", "#A6A6A6"
BLUE, SKY, INDIGO, NAVY = "#0072B2", "#56B4E9", "#4B3F9E", "#1F3A5F"
GREEN, TEAL, OLIVE = "#009E73", "#44AA99", "#8A8A2A"
ORANGE, VERMILLION, SAND, BROWN = "#E69F00", "#D55E00", "#B8A14B", "#8C5A2B"
PINK, WINE, ROSE, PURPLE, CRIMSON = "#CC79A7", "#882255", "#CC6677", "#AA4499", "#A50026"
SOLID, DASH, DOT, DASHDOT = "", (5.0, 2.0), (1.5, 1.8), (6.0, 2.0, 1.5, 2.0)
Dash = str | tuple[float, ...]


@dataclass(frozen=True)
class Look:
    """How a method is drawn."""

    key: str
    label: str
    colour: str
    marker: str
    dash: Dash
    order: int

    @property
    def line(self) -> Any:
        """Matplotlib's line style."""
        return "-" if self.dash == "" else (0, self.dash)


_TABLE: tuple[tuple[str, str, str, str, Dash], ...] = (
    ("ce", "CE", BLACK, "o", SOLID),
    ("focal", "Focal", GREY, "s", DASH),
    ("label_smoothing", "Label smoothing", SILVER, "^", SOLID),
    ("bootstrap_soft", "Bootstrap (soft)", SILVER, "v", DASH),
    ("bootstrap_hard", "Bootstrap (hard)", SILVER, "<", DOT),
    ("mse", "MSE", SAND, "p", DASH),
    ("mae", "MAE", ORANGE, "v", SOLID),
    ("nmae", "NMAE", ORANGE, "v", DASH),
    ("backward", "Backward", OLIVE, "<", DOT),
    ("forward", "Forward", TEAL, ">", SOLID),
    ("forward_est", "Forward, estimated", SAND, "<", DASH),
    ("d2l", "D2L", BROWN, "h", DASH),
    ("lccn", "LCCN", BROWN, "H", DOT),
    ("mentornet", "MentorNet", ROSE, "h", DASH),
    ("vat", "VAT", SAND, "H", DOT),
    ("iterative", "Iterative", SAND, "8", DASHDOT),
    ("bilevel", "Bilevel", SAND, "p", DOT),
    ("nlnl", "NLNL", ROSE, "X", DASHDOT),
    ("gce", "GCE", BLUE, "D", SOLID),
    ("truncated_gce", "Truncated GCE", INDIGO, "d", SOLID),
    ("ngce", "NGCE", SKY, "D", DASH),
    ("rce", "RCE", OLIVE, "s", SOLID),
    ("nrce", "NRCE", OLIVE, "s", DASH),
    ("sce", "SCE", GREEN, "s", SOLID),
    ("imae", "IMAE", WINE, "P", SOLID),
    ("dmi", "L_DMI", CRIMSON, "*", SOLID),
    ("nce", "NCE", SKY, "o", DOT),
    ("nfl", "NFL", SKY, "s", DASHDOT),
    ("nfl+nce", "NFL+NCE", GREY, "X", DOT),
    ("mae+rce", "MAE+RCE", SAND, "P", DASH),
    ("nfl+mae", "NFL+MAE", PINK, "<", DASHDOT),
    ("nfl+rce", "NFL+RCE", PURPLE, ">", DASHDOT),
    ("nce+mae", "NCE+MAE", PINK, "^", SOLID),
    ("nce+rce", "NCE+RCE", PURPLE, "P", SOLID),
    ("nce+gce", "NCE+GCE", BLUE, "X", DASHDOT),
    ("gce+mae", "GCE+MAE", BLUE, "v", DOT),
    ("gce+rce", "GCE+RCE", BLUE, ">", DOT),
    ("gce+nce", "GCE+NCE", BLUE, "<", DASHDOT),
    ("ngce+mae", "NGCE+MAE", SKY, "v", DOT),
    ("ngce+rce", "NGCE+RCE", SKY, ">", DOT),
    ("agce", "AGCE", VERMILLION, "p", SOLID),
    ("aul", "AUL", BROWN, "s", SOLID),
    ("ael", "AEL", SAND, "^", SOLID),
    ("nce+agce", "NCE+AGCE", VERMILLION, "X", DASH),
    ("nce+aul", "NCE+AUL", BROWN, "P", DASH),
    ("nce+ael", "NCE+AEL", SAND, "X", DASH),
    ("agce+mae", "AGCE+MAE", ROSE, "D", DOT),
    ("ce+sr", "CE+SR", PURPLE, "o", SOLID),
    ("focal+sr", "FL+SR", PURPLE, "s", DASH),
    ("gce+sr", "GCE+SR", INDIGO, "D", DASH),
    ("mae+sr", "MAE+SR", PURPLE, "v", DOT),
    ("sharpening", "Output sharpening", PURPLE, "^", DASHDOT),
    ("normface", "NormFace", GREY, "o", SOLID),
    ("cosface", "CosFace", BLUE, "^", SOLID),
    ("arcface", "ArcFace", GREEN, "v", SOLID),
    ("gm_softmax", "GM-Softmax", SAND, "p", SOLID),
    ("lm_softmax", "LM-Softmax", VERMILLION, "D", SOLID),
    ("ce+rsm", "CE + sample margin", BLACK, "o", DASH),
    ("normface+rsm", "NormFace + sample margin", GREY, "o", DASH),
    ("cosface+rsm", "CosFace + sample margin", BLUE, "^", DASH),
    ("arcface+rsm", "ArcFace + sample margin", GREEN, "v", DASH),
    ("lm_softmax+rsm", "LM-Softmax + sample margin", VERMILLION, "D", DASH),
    ("ce+rw", "CE + zero centroid", BLACK, "o", DOT),
    ("normface+rw", "NormFace + zero centroid", GREY, "o", DOT),
    ("cosface+rw", "CosFace + zero centroid", BLUE, "^", DOT),
    ("arcface+rw", "ArcFace + zero centroid", GREEN, "v", DOT),
    ("lm_softmax+rw", "LM-Softmax + zero centroid", VERMILLION, "D", DOT),
    ("ldam", "LDAM", TEAL, "h", SOLID),
    ("ldam_drw", "LDAM-DRW", TEAL, "H", DASH),
    ("crt", "cRT", OLIVE, "p", SOLID),
    ("lws", "LWS", BROWN, "p", DASH),
    ("mislas", "MiSLAS", ROSE, "8", SOLID),
    ("nsl", "NSL", WINE, "X", SOLID),
    ("ce+pal", "CE+PAL", BLUE, "o", DASH),
    ("ce+fnpal", "CE+FNPAL", NAVY, "o", DASHDOT),
    ("focal+pal", "FL+PAL", SKY, "s", DASH),
    ("focal+fnpal", "FL+FNPAL", NAVY, "s", DASH),
    ("gce+fnpal", "GCE+FNPAL", INDIGO, "D", DASHDOT),
    ("ldam+pal", "LDAM+PAL", TEAL, "h", DOT),
    ("crt+pal", "cRT+PAL", OLIVE, "p", DASH),
    ("lws+pal", "LWS+PAL", BROWN, "p", DOT),
    ("mislas+pal", "MiSLAS+PAL", ROSE, "8", DASH),
    ("label_aware_smoothing", "Label-aware smoothing", ROSE, "8", DASHDOT),
    ("sphereface", "SphereFace", BROWN, "<", DASHDOT),
    ("elr", "ELR", CRIMSON, "h", DASH),
    ("poly1", "Poly-1", OLIVE, "o", DASHDOT),
    ("comp_sum", "Comp-sum", SKY, "P", SOLID),
    ("ldr_kl", "LDR-KL", GREEN, "X", DASH),
    ("aldr_kl", "ALDR-KL", GREEN, "P", DASHDOT),
    ("squentropy", "Squentropy", SAND, "8", SOLID),
    ("encouraging", "Encouraging", GREY, "*", DASHDOT),
    ("bound", "Bound", SILVER, "", DASH),
    ("other", "Other", SILVER, "8", DOT),
)
_LOOKS = {
    key: Look(key, label, colour, marker, dash, order)
    for order, (key, label, colour, marker, dash) in enumerate(_TABLE)
}
MARKERS = ("o", "s", "D", "^", "v", "P", "X", "<", ">", "h", "p", "*")
DASHES: tuple[Dash, ...] = (SOLID, DASH, DOT, DASHDOT)


def keys() -> tuple[str, ...]:
    """Every method key, in the order of legends."""
    return tuple(_LOOKS)


def of(key: str) -> Look:
    """Look of a method key; a sum that has none of its own takes the colour of its last part. Raises InputError with near matches."""
    if key in _LOOKS:
        return _LOOKS[key]
    parts = key.split("+")
    if len(parts) > 1 and all(part in _LOOKS for part in parts):
        last = _LOOKS[parts[-1]]
        return Look(key, "+".join(_LOOKS[part].label for part in parts), last.colour, "X", DASHDOT, len(_LOOKS))
    raise InputError(near("method key", key, _LOOKS))


def spread(names: dict[str, str]) -> dict[str, Look]:
    """Look of every series of one figure, ``names`` being its label -> method key.

    Series that share a key (a study over one hyper-parameter) get a ramp of that key's colour from dark to light, and
    markers and dashes of their own.
    """
    result: dict[str, Look] = {}
    for name, key in names.items():
        sharing = [other for other, its in names.items() if its == key]
        look = replace(of(key), label=name)
        if len(sharing) > 1:
            place = sharing.index(name)
            look = replace(
                look,
                colour=ramp(look.colour, place, len(sharing)),
                marker=MARKERS[place % len(MARKERS)],
                dash=DASHES[place % len(DASHES)],
            )
        result[name] = look
    return result


def ramp(colour: str, place: int, count: int) -> str:
    """Colour ``place`` of ``count`` from a dark to a light shade of ``colour``."""
    rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    position = place / max(count - 1, 1)  # 0 dark, 1 light
    dark, light = [0.6 * c for c in rgb], [c + (1 - c) * 0.6 for c in rgb]
    mixed = [round(255 * ((1 - position) * d + position * b)) for d, b in zip(dark, light, strict=True)]
    return "#" + "".join(f"{c:02X}" for c in mixed)
