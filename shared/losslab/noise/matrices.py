"""Noise that depends on the true class alone: a flip rate per class, and where the flipped samples go.

Every such kind is a `ClassNoise`: class i is *redrawn* with probability ``rate[i]``, and a redrawn sample gets class j with
probability ``target[i, j]``. The transition matrix is T[i, j] = (1 - rate[i]) [i = j] + rate[i] target[i, j].
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.errors import InputError, near
from losslab.noise._checks import check_classes, check_matrix, check_rate
from losslab.noise.flips import flip_map as known_flip_map
from losslab.noise.flips import named_matrix, superclasses
from losslab.seeding import generator

CLASS_KINDS: dict[str, str] = {
    "symmetric": "to one of the other classes, uniformly (true class excluded); wrong labels: rate",
    "symmetric_inclusive": "redrawn uniformly from all classes (true class included); wrong labels: rate (K - 1) / K",
    "asymmetric": "to the class that the data set's flip map names; classes without an entry stay clean",
    "pair": "to the next class (i -> i + 1, the last to the first)",
    "class_dependent": "any transition matrix, given or by name",
    "superclass_ring": "to the next class of the same super-class, in a ring",
    "superclass_uniform": "to any other class of the same super-class, uniformly",
    "superclass_pair": "two random classes of each super-class are mistaken for each other; the others stay clean",
}


@dataclass(frozen=True)
class ClassNoise:
    """``rate`` (K,) and ``target`` (K, K), rows summing to 1 where the rate is positive; see the module's text."""

    rate: NDArray[np.float64]
    target: NDArray[np.float64]

    def matrix(self) -> NDArray[np.float64]:
        """Transition matrix (K, K): row = true class, column = given class."""
        return np.diag(1.0 - self.rate) + self.rate[:, None] * self.target


def _flips(pairs: Mapping[int, int], num_classes: int, rate: float) -> ClassNoise:
    rates, target = np.zeros(num_classes), np.eye(num_classes)
    for source, goal in pairs.items():
        rates[source] = rate
        target[source] = np.eye(num_classes)[goal]
    return ClassNoise(rates, target)


def check_flip_map(flip_map: Mapping[int, int] | str | None, num_classes: int) -> dict[int, int]:
    """A flip map given by name or as a mapping, checked against the number of classes."""
    if flip_map is None:
        raise InputError(
            "asymmetric noise needs flip_map: a name such as 'cifar10', or a mapping {true class: given class}"
        )
    pairs = known_flip_map(flip_map, num_classes) if isinstance(flip_map, str) else dict(flip_map)
    for source, goal in pairs.items():
        if not (0 <= source < num_classes and 0 <= goal < num_classes) or source == goal:
            raise InputError(
                f"flip map entry {source} -> {goal} is not possible: both must lie in [0, {num_classes}) and differ"
            )
    return pairs


def pairs_in_superclasses(groups: NDArray[np.int64], seed: int) -> dict[int, int]:
    """Two random classes of every super-class, mapped to each other; drawn from the stream of ``seed``."""
    rng = generator("noise", "superclass_pair", "classes", seed)
    pairs: dict[int, int] = {}
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        if len(members) < 2:
            raise InputError(f"super-class {group} has one class only, so no pair can be drawn from it")
        first, second = (int(i) for i in rng.permutation(members)[:2])
        pairs[first], pairs[second] = second, first
    return pairs


def class_noise(
    kind: str,
    num_classes: int,
    rate: float | None,
    *,
    flip_map: Mapping[int, int] | str | None = None,
    matrix: Any = None,
    superclass: Any = None,
    seed: int | None = None,
) -> ClassNoise:
    """The `ClassNoise` of a kind; arguments as in `transition_matrix`."""
    if kind not in CLASS_KINDS:
        raise InputError(near("noise kind with a transition matrix", kind, CLASS_KINDS))
    k = check_classes(num_classes)
    if kind == "class_dependent":
        if matrix is None:
            raise InputError("class_dependent noise needs matrix: a (K, K) array, or a name such as 'l_dmi_fashion_1'")
        values = check_matrix(named_matrix(matrix, check_rate(rate)) if isinstance(matrix, str) else matrix, k)
        rates = 1.0 - np.diag(values)
        target = values * (1 - np.eye(k))
        sums = target.sum(axis=1, keepdims=True)
        return ClassNoise(rates, np.where(sums > 0, target / np.where(sums > 0, sums, 1.0), np.eye(k)))
    r = check_rate(rate)
    if kind == "symmetric":
        return ClassNoise(np.full(k, r), (1 - np.eye(k)) / (k - 1))
    if kind == "symmetric_inclusive":
        return ClassNoise(np.full(k, r), np.full((k, k), 1 / k))
    if kind == "pair":
        return _flips(known_flip_map("ring", k), k, r)
    if kind == "asymmetric":
        return _flips(check_flip_map(flip_map, k), k, r)
    if superclass is None:
        raise InputError(f"{kind} noise needs superclass: 'blocks', 'cifar100' or one super-class id per class")
    groups = superclasses(superclass, k)
    if kind == "superclass_pair":
        if seed is None:
            raise InputError("superclass_pair noise needs a seed: it draws which classes are mistaken for each other")
        return _flips(pairs_in_superclasses(groups, seed), k, r)
    same = (groups[:, None] == groups[None, :]) & ~np.eye(k, dtype=bool)
    alone = np.flatnonzero(~same.any(axis=1))
    if len(alone):
        raise InputError(f"class {alone[0]} is alone in its super-class, so {kind} noise has nowhere to move it")
    if kind == "superclass_uniform":
        return ClassNoise(np.full(k, r), same / same.sum(axis=1, keepdims=True))
    ring: dict[int, int] = {}
    for group in np.unique(groups):
        members = np.flatnonzero(groups == group)
        ring.update(zip(members.tolist(), np.roll(members, -1).tolist(), strict=True))
    return _flips(ring, k, r)


def transition_matrix(
    kind: str,
    num_classes: int,
    rate: float | None,
    flip_map: Mapping[int, int] | str | None = None,
    *,
    matrix: Any = None,
    superclass: Any = None,
    seed: int | None = None,
    sequential: bool = False,
) -> NDArray[np.float64]:
    """Transition matrix T, ``(K, K)`` float64, T[i, j] = P(given class j | true class i); rows sum to 1.

    ``kind``: see `kinds()`. ``rate`` in [0, 1] (not used by `class_dependent` with a matrix of numbers). ``flip_map`` for
    `asymmetric`: a name or a mapping. ``matrix`` for `class_dependent`: numbers or a name (`matrix_names()`). ``superclass`` for
    the ``superclass_*`` kinds: "blocks", "cifar100" or K ids. ``seed`` for `superclass_pair`. ``sequential`` (`asymmetric`
    only): the flips are applied one after the other to the labels as they have become, as in the official codes for
    CIFAR-10, where some cats become dogs and then cats again.
    Raises InputError for an unknown kind, a rate outside [0, 1] or a missing argument.
    """
    if kind in ("instance", "human", "open_set"):
        raise InputError(
            f"{kind} noise has no transition matrix of its own; `realised` measures the one of given labels"
        )
    k = check_classes(num_classes)
    if sequential:
        if kind != "asymmetric":
            raise InputError(f"sequential=True is for asymmetric noise, not {kind!r}")
        r, product = check_rate(rate), np.eye(k)
        for source, goal in check_flip_map(flip_map, k).items():
            product = product @ _flips({source: goal}, k, r).matrix()
        return product
    noise = class_noise(kind, k, rate, flip_map=flip_map, matrix=matrix, superclass=superclass, seed=seed)
    return noise.matrix()
