"""The picture of a loss: value and gradient against p_y, or against the angle for a loss of cosines.

Needs matplotlib and Pillow. The same loss gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from losslab.analysis.curves import Array, Curve, curve, grid
from losslab.analysis.probing import probe, uniform_rest
from losslab.losses.registry import spec as find

CLASSES = 10
POINTS = 199
DPI = 96
COLOURS = 48
LINES = 5
"""At most so many settings in one picture."""

Settings = Mapping[str, Any]

MORE: dict[str, tuple[Settings, ...]] = {
    "label_smoothing": ({"eps": 0.3},),
    "poly1": ({"eps": -1.0}, {"eps": 4.0}),
    "comp_sum": ({"tau": 0.5}, {"tau": 1.0}, {"tau": 2.0}),
    "truncated_gce": ({"k": 0.5, "variant": "direct"},),
    "rce": ({"A": -4.0}, {"A": -6.0}),
    "ngce": ({"q": 0.3}, {"q": 1.0}),
    "bootstrap_soft": ({"beta": 0.5},),
    "bootstrap_hard": ({"beta": 0.5},),
    "d2l": ({"alpha": 0.5},),
    "normface": ({"s": 30.0},),
    "nsl": ({"s": 2.0},),
    "ldr_kl": ({"lam": 0.3},),
    "dmi": ({"eps": 1e-1},),
}
"""Settings to show beside the default, the published ones and the variants."""

RARE = {"class_counts": torch.logspace(0, 2, CLASSES, dtype=torch.float64)}
"""Class counts in which the label is the rarest class; without them it is the most frequent one."""


def settings(name: str) -> list[Settings]:
    """The default, the published settings, the variants and some more, without repetitions."""
    spec, published = find(name), find(name).card.defaults.values()
    words = spec.params["variant"].choices[1:] if "variant" in spec.params else ()
    found = [
        {},
        *({key: value for key, value in given.items() if key in spec.params} for given in published),
        *({"variant": word} for word in words),
        *MORE.get(name, ()),
    ]
    resolved = [spec.resolve(given) for given in found]
    return [given for i, given in enumerate(found) if resolved[i] not in resolved[:i]]


def lines(name: str, num_classes: int = CLASSES) -> dict[str, Curve]:
    """What the picture shows: label of the line and its curve. Settings that give the same curve are shown once."""
    spec = find(name)
    x = np.cos(np.radians(_angles())) if spec.input == "cosines" else grid(POINTS)
    found: dict[str, Curve] = {}
    for given in settings(name):
        label = _label(name, given)
        if name == "elr":
            found |= _remembering(x, num_classes)
        elif "class_counts" in spec.tensors:
            found[f"{label}, most frequent class"] = curve(name, x, num_classes, **given)
            found[f"{label}, rarest class"] = curve(name, x, num_classes, **given, **RARE)
        else:
            found[label] = curve(name, x, num_classes, **given)
    kept: dict[str, Curve] = {}
    for label, line in found.items():
        if not any(_same(line, other) for other in kept.values()) and len(kept) < LINES:
            kept[label] = line
    return kept


def draw(name: str, path: Path) -> None:
    """Write the picture as a small PNG: value at the left, minus the derivative for the label's logit (cosine) at the right."""
    from PIL import Image

    from losslab.report import looks, style

    margin = find(name).input == "cosines"
    colours = (looks.BLUE, looks.VERMILLION, looks.GREEN, looks.PURPLE, looks.BROWN)
    reference, key = ("normface", "NormFace") if margin else ("ce", "cross entropy")
    shown = lines(name)
    first = next(iter(shown.values()))
    x = _angles() if margin else first.x
    with style.context():
        figure, (left, right) = style.grid(2, columns=2, share_y=False)
        handles, labels = [], []
        for (label, line), colour in zip(shown.items(), colours, strict=False):
            handles += left.plot(x, line.value, color=colour)
            right.plot(x, _pull(line), color=colour)
            labels.append(label)
        inside = (x > 5) & (x < 175) if margin else (x > 0.01) & (x < 0.99)
        limits = [_limits([pick(line)[inside] for line in shown.values()]) for pick in (_value, _pull)]
        if name != reference:
            base = curve(reference, np.cos(np.radians(x)) if margin else x, CLASSES)
            dashed: dict[str, Any] = {"color": looks.GREY, "linestyle": (0, (4, 3)), "linewidth": 1.0, "zorder": 1}
            handles += left.plot(x, base.value, **dashed)
            right.plot(x, _pull(base), **dashed)
            labels.append(key)
        left.set(title="Value", ylim=limits[0])
        right.set(title=f"Pull on the label's {'cosine' if margin else 'logit'}", ylim=limits[1])
        for axis in (left, right):
            axis.set_xlabel("angle to the label's prototype (degrees)" if margin else "probability of the label, p_y")
            axis.set_xlim(*((0, 180) if margin else (0, 1)))
            if margin:
                axis.set_xticks(range(0, 181, 45))
        style.legend(figure, handles, labels)
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(COLOURS).save(path, format="PNG", optimize=True)  # a fourth of the size


def _value(line: Curve) -> Array:
    return line.value


def _pull(line: Curve) -> Array:
    return -line.toward_label


def _limits(seen: list[Array]) -> tuple[float, float]:
    """Room for the loss itself, away from the ends of the axis; the reference may leave the picture."""
    low, high = min(float(v.min()) for v in seen), max(float(v.max()) for v in seen)
    room = 0.06 * (high - low) or 0.1
    return low - room, high + room


def _angles() -> Array:
    return np.linspace(1.0, 179.0, 90)


def _label(name: str, given: Settings) -> str:
    spec = find(name)
    named = given or {key: param.default for key, param in spec.params.items() if not param.choices}
    text = ", ".join(f"{key} = {_number(value)}" for key, value in named.items())
    return text or ("default" if given or spec.params else name)


def _number(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, (int, float)) else str(value)


def _same(one: Curve, other: Curve) -> bool:
    return np.allclose(one.value, other.value) and np.allclose(one.toward_label, other.toward_label)


def _remembering(x: Array, num_classes: int) -> dict[str, Curve]:
    """ELR with two memories: earlier predictions at the label, or at another class."""
    logits = uniform_rest(torch.from_numpy(x / (1 - x)).log(), num_classes)
    labels = torch.zeros(len(x), dtype=torch.int64)
    found = {}
    for place, words in ((0, "earlier predictions at the label"), (1, "earlier predictions at another class")):
        average = torch.full((len(x), num_classes), 0.1 / (num_classes - 1), dtype=torch.float64)
        average[:, place] = 0.9
        plain = probe("elr", num_classes)
        loss = replace(plain, arguments={**plain.arguments, "state": {"average": average}})
        slope = loss.gradient(logits, labels)
        found[words] = replace(
            curve("elr", x, num_classes),
            value=loss.at(loss.from_logits(logits), labels).numpy(),
            toward_label=slope[:, 0].numpy(),
        )
    return found
