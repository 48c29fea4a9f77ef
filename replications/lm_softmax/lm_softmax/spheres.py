"""Points and arrows on the circle and on the sphere: the paper's Figure 1, and the gallery of best packings."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle
from torch import Tensor
from torch.nn.functional import normalize

from lm_softmax import readings
from losslab.analysis import margins
from losslab.analysis.free_features import Optimum
from losslab.report import style
from losslab.training.inspect import Trained

CLASS_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#56B4E9",
    "#D55E00",
    "#4B3F9E",
    "#8A8A2A",
    "#882255",
    "#6F6F6F",
    "#A50026",
    "#44AA99",
)
VIEW = (22.0, 35.0)  # elevation and azimuth of all spheres, degrees


def _camera() -> np.ndarray:
    """Unit vector from the centre to the viewer."""
    elevation, azimuth = map(math.radians, VIEW)
    return np.array(
        [math.cos(elevation) * math.cos(azimuth), math.cos(elevation) * math.sin(azimuth), math.sin(elevation)]
    )


def _screen(points: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Right, up and depth (towards the viewer) of points `(n, 3)`, seen without perspective."""
    front = _camera()
    right = np.array([-front[1], front[0], 0]) / np.hypot(front[0], front[1])
    return points @ right, points @ np.cross(front, right), points @ front


def sphere(axis: Axes, prototypes: Tensor, samples: Tensor | None = None, labels: Tensor | None = None) -> None:
    """Arrows to the prototypes `(K, 3)` and samples as points; what lies on the far side is pale."""
    for latitude in np.radians((-60, -30, 0, 30, 60)):
        turn = np.linspace(0, 2 * math.pi, 181)
        ring = np.stack(
            [np.cos(latitude) * np.cos(turn), np.cos(latitude) * np.sin(turn), np.full_like(turn, np.sin(latitude))], 1
        )
        _arc(axis, ring)
    for longitude in np.radians(np.arange(0, 180, 30)):
        turn = np.linspace(0, 2 * math.pi, 181)
        ring = np.stack([np.cos(turn) * np.cos(longitude), np.cos(turn) * np.sin(longitude), np.sin(turn)], 1)
        _arc(axis, ring)
    axis.add_patch(_disc())
    if samples is not None and labels is not None:
        x, y, depth = _screen(normalize(samples.double(), dim=1).numpy())
        colours = [CLASS_COLOURS[int(k) % len(CLASS_COLOURS)] for k in labels]
        for side, strength in ((depth < 0, 0.12), (depth >= 0, 0.5)):
            axis.scatter(
                x[side],
                y[side],
                s=5,
                c=[c for c, keep in zip(colours, side, strict=True) if keep],
                alpha=strength,
                linewidths=0,
            )
    unit = normalize(prototypes.detach().double(), dim=1).numpy()
    for k, (x, y, depth) in enumerate(zip(*_screen(unit), strict=True)):
        _arrow(axis, x, y, CLASS_COLOURS[k % len(CLASS_COLOURS)], 0.35 if depth < 0 else 1.0)
    _bare(axis)


def circle(axis: Axes, prototypes: Tensor, samples: Tensor | None = None, labels: Tensor | None = None) -> None:
    """Arrows to the prototypes `(K, 2)`; samples a little outside of the unit circle."""
    axis.add_patch(_disc())
    if samples is not None and labels is not None:
        points = normalize(samples.double(), dim=1).numpy()
        x_at, y_at = (points * (1.05 + 0.18 * np.linspace(0, 1, len(points))[:, None])).T
        colours = [CLASS_COLOURS[int(k) % len(CLASS_COLOURS)] for k in labels]
        axis.scatter(x_at, y_at, s=3, c=colours, alpha=0.5, linewidths=0)
    for k, (x, y) in enumerate(normalize(prototypes.detach().double(), dim=1).numpy()):
        _arrow(axis, x, y, CLASS_COLOURS[k % len(CLASS_COLOURS)], 1.0)
    _bare(axis)


def _arc(axis: Axes, ring: np.ndarray) -> None:
    x, y, depth = _screen(ring)
    for side, colour in ((depth < 0, "#F0F0F0"), (depth >= 0, "#D0D0D0")):
        axis.plot(np.where(side, x, np.nan), np.where(side, y, np.nan), color=colour, linewidth=0.5, zorder=0)


def _disc() -> Circle:
    return Circle((0, 0), 1, fill=False, edgecolor="#B0B0B0", linewidth=0.8)


def _arrow(axis: Axes, x: float, y: float, colour: str, alpha: float) -> None:
    look = {
        "arrowstyle": "-|>",
        "color": colour,
        "alpha": alpha,
        "linewidth": 1.4,
        "shrinkA": 0,
        "shrinkB": 0,
        "mutation_scale": 9,
    }
    axis.annotate("", xy=(x, y), xytext=(0, 0), arrowprops=look)


def _bare(axis: Axes) -> None:
    axis.set(xlim=(-1.3, 1.3), ylim=(-1.3, 1.3), aspect="equal", xticks=[], yticks=[])
    axis.grid(False)
    for side in axis.spines.values():
        side.set_visible(False)


def packings(found: Mapping[tuple[int, int], Optimum]) -> Figure:
    """One panel per (K, d): circles and spheres with the prototypes that have the largest smallest sample margin."""
    with style.context():
        figure, axes = style.grid(len(found), columns=4, width=2.3, height=2.5, share_y=False)
        for axis, ((k, d), optimum) in zip(axes, found.items(), strict=True):
            (circle if d == 2 else sphere)(axis, optimum.prototypes)
            axis.set_title(f"K = {k}, d = {d}: {optimum.class_margin:.1f} deg", fontsize=9)
    return figure


def drawn(networks: Sequence[tuple[str, Trained]], columns: int) -> Figure:
    """Figure 1: test features as points and prototypes as arrows, one panel per network with 2-D or 3-D features."""
    with style.context():
        figure, axes = style.grid(len(networks), columns=columns, width=2.5, height=2.75, share_y=False)
        for axis, (name, network) in zip(axes, networks, strict=True):
            w, z, y = readings.prototypes(network), network.features("test"), network.dataset.test_labels
            (circle if w.shape[1] == 2 else sphere)(axis, w, z, y)
            hits = float((network.logits("test").argmax(1) == y).double().mean())
            axis.set_title(f"{name}\n{margins.class_margin(w):.1f} deg, {100 * hits:.1f} %", fontsize=8.5)
    return figure
