"""`corrupt`: wrong labels of every kind, drawn from named seeded streams, never in place."""

from collections.abc import Mapping
from typing import Any, Literal, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from losslab.errors import InputError, near
from losslab.noise._checks import check_classes, check_rate, to_labels
from losslab.noise.instance import instance_noise
from losslab.noise.matrices import CLASS_KINDS, ClassNoise, check_flip_map, class_noise
from losslab.seeding import generator

Labels = TypeVar("Labels", NDArray[Any], torch.Tensor)
Draw = Literal["exact", "exact_equal", "multinomial"]

_DRAWS: dict[str, str] = {
    "exact": "floor(rate x class size) samples of every class are flipped",
    "exact_equal": "floor(floor(rate x n) / K) samples of every class, whatever its size (official codes for symmetric noise)",
    "multinomial": "one independent draw per sample",
}
_OTHER_KINDS: dict[str, str] = {
    "none": "labels as they are",
    "instance": "samples that look like another class are more likely to get that class's label",
    "human": "labels that people gave, read from a file",
    "open_set": "images of unknown classes among the known ones: see `open_set_indices` and `open_set`",
}


def kinds() -> dict[str, str]:
    """Kinds that `corrupt` knows, with one line on each."""
    return {**CLASS_KINDS, **_OTHER_KINDS}


def draws() -> dict[str, str]:
    """Ways of drawing that `corrupt` knows, with one line on each."""
    return dict(_DRAWS)


def _chosen(
    labels: NDArray[np.int64],
    rates: NDArray[np.float64],
    keys: NDArray[np.float64],
    draw: str,
    equal_rate: float | None,
) -> NDArray[np.bool_]:
    """Which samples are flipped. The samples with the smallest keys go first, so a higher rate flips a superset."""
    if draw == "multinomial":
        return keys < rates[labels]
    chosen = np.zeros(len(labels), dtype=bool)
    for i in np.flatnonzero(rates > 0):
        members = np.flatnonzero(labels == i)
        if equal_rate is not None:
            count = int(np.floor(np.floor(equal_rate * len(labels) + 1e-9) / len(rates)))
        else:
            count = int(np.floor(rates[i] * len(members) + 1e-9))
        if count > len(members):
            raise InputError(
                f"draw='exact_equal' asks for {count} flips in class {i}, which has {len(members)} samples; use draw='exact'"
            )
        chosen[members[np.argsort(keys[members], kind="stable")[:count]]] = True
    return chosen


def _targets(labels: NDArray[np.int64], target: NDArray[np.float64], uniform: NDArray[np.float64]) -> NDArray[np.int64]:
    """New class of every sample by inverse distribution function; ``uniform`` (n,) in [0, 1)."""
    given = labels.copy()
    for i in np.unique(labels):
        members = np.flatnonzero(labels == i)
        possible = np.flatnonzero(target[i] > 0)
        edges = np.cumsum(target[i, possible])
        position = np.searchsorted(edges / edges[-1], uniform[members], side="right")
        given[members] = possible[np.minimum(position, len(possible) - 1)]
    return given


def _apply(
    labels: NDArray[np.int64], noise: ClassNoise, rng: np.random.Generator, draw: str, equal_rate: float | None
) -> NDArray[np.int64]:
    keys, uniform = rng.random(len(labels)), rng.random(len(labels))
    chosen = _chosen(labels, noise.rate, keys, draw, equal_rate)
    return np.where(chosen, _targets(labels, noise.target, uniform), labels)


def _sequential(
    labels: NDArray[np.int64], pairs: dict[int, int], rate: float, rng: np.random.Generator, draw: str, num_classes: int
) -> NDArray[np.int64]:
    for source, goal in pairs.items():
        rates = np.zeros(num_classes)
        rates[source] = rate
        chosen = _chosen(labels, rates, rng.random(len(labels)), draw, None)
        labels = np.where(chosen, goal, labels)
    return labels


def _like(values: NDArray[np.int64], labels: Labels) -> Labels:
    if isinstance(labels, torch.Tensor):
        return torch.from_numpy(values).to(dtype=labels.dtype, device=labels.device)
    return values.astype(np.asarray(labels).dtype)


def corrupt(
    labels: Labels,
    kind: str,
    rate: float | None,
    seed: int,
    *,
    num_classes: int,
    flip_map: Mapping[int, int] | str | None = None,
    matrix: Any = None,
    draw: Draw = "exact",
    features: Any = None,
    superclass: Any = None,
    sequential: bool = False,
    sharpness: float = 2.0,
    human: Any = None,
) -> Labels:
    """Labels with noise: same type (numpy array or tensor), shape, dtype and device; the argument is never changed.

    Args:
        labels: ``(n,)`` integers in [0, num_classes).
        kind: one of `kinds()`.
        rate: noise rate in [0, 1]; not used by `none`, `human` and by `class_dependent` with a matrix of numbers.
        seed: integer naming the realisation. The same seed at two rates gives nested realisations: the samples that are
            flipped at the lower rate are flipped at the higher one, to the same classes (not with ``sequential``).
        num_classes: K, at least 2.
        flip_map: for `asymmetric`: a name (`flip_map_names()`) or a mapping {true class: given class}.
        matrix: for `class_dependent`: (K, K) numbers or a name (`matrix_names()`).
        draw: one of `draws()`. For `instance`, "exact" fixes the number of wrong labels in the whole set.
        features: for `instance`: ``(n, ...)`` numbers, for example the images; read as one vector per sample.
        superclass: for the ``superclass_*`` kinds: "blocks", "cifar100" or K super-class ids.
        sequential: for `asymmetric`: apply the flips one after the other to the labels as they have become, as the official
            codes of APL, ALF and SR do on CIFAR-10 (at rate 0.4, 24 % of the cats and 40 % of the dogs end up wrong).
        sharpness: for `instance`: how strongly the probability follows the likeness to another class; 0 is no dependence.
        human: for `human`: the labels that people gave, ``(n,)`` (see `read_human_labels`).

    Raises:
        InputError: unknown kind or draw, rate outside [0, 1], labels out of range, or a missing argument.
    """
    k = check_classes(num_classes)
    clean = to_labels(labels, k)
    if kind not in kinds():
        raise InputError(near("noise kind", kind, kinds()))
    if draw not in _DRAWS:
        raise InputError(near("draw", draw, _DRAWS))
    if sequential and kind != "asymmetric":
        raise InputError(f"sequential=True is for asymmetric noise, not {kind!r}")
    if kind == "open_set":
        raise InputError("open-set noise replaces images and leaves labels alone; use losslab.noise.open_set_indices")
    if kind == "none":
        return _like(clean, labels)
    if kind == "human":
        if human is None:
            raise InputError(
                "human noise needs human: the labels that people gave, see losslab.noise.read_human_labels"
            )
        given = to_labels(human, k, "human labels")
        if given.shape != clean.shape:
            raise InputError(f"there are {len(given)} human labels for {len(clean)} samples")
        return _like(given, labels)
    rng = generator("noise", kind, "labels", seed)
    if kind == "instance":
        if features is None:
            raise InputError("instance noise needs features: (n, ...) numbers, for example the images")
        if draw == "exact_equal":
            raise InputError("instance noise takes draw='exact' or 'multinomial', not 'exact_equal'")
        return _like(instance_noise(clean, features, check_rate(rate), rng, k, draw == "exact", sharpness), labels)
    if sequential:
        if draw == "exact_equal":
            raise InputError("sequential=True takes draw='exact' or 'multinomial', not 'exact_equal'")
        pairs = check_flip_map(flip_map, k)
        return _like(_sequential(clean, pairs, check_rate(rate), rng, draw, k), labels)
    if draw == "exact_equal" and kind == "class_dependent":
        raise InputError(
            "draw='exact_equal' needs one rate for all classes; class_dependent noise takes 'exact' or 'multinomial'"
        )
    noise = class_noise(kind, k, rate, flip_map=flip_map, matrix=matrix, superclass=superclass, seed=seed)
    return _like(_apply(clean, noise, rng, draw, rate if draw == "exact_equal" else None), labels)
