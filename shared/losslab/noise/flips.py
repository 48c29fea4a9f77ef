"""Which class is mistaken for which: flip maps of the papers' data sets, super-classes, L_DMI's matrices by name."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from losslab.errors import InputError, near
from losslab.noise._checks import check_rate

# In the order in which the official codes apply them; the order matters only for `sequential=True`.
_FLIP_MAPS: dict[str, dict[int, int]] = {
    # truck -> automobile, bird -> airplane, cat -> dog, dog -> cat, deer -> horse (Patrini et al. 2017).
    "cifar10": {9: 1, 2: 0, 3: 5, 5: 3, 4: 7},
    # 7 -> 1, 2 -> 7, 5 <-> 6, 3 -> 8 (Patrini et al. 2017).
    "mnist": {7: 1, 2: 7, 5: 6, 6: 5, 3: 8},
    # ankle boot -> sneaker, sneaker -> sandal, pullover -> shirt, coat <-> dress (Zhang & Sabuncu 2018).
    "fashion_mnist": {9: 7, 7: 5, 2: 6, 4: 3, 3: 4},
}

# CIFAR-100: super-class ("coarse label", 0 to 19) of each fine label, from the data set's own files.
CIFAR100_SUPERCLASS: tuple[int, ...] = (
    4, 1, 14, 8, 0, 6, 7, 7, 18, 3, 3, 14, 9, 18, 7, 11, 3, 9, 7, 11, 6, 11, 5, 10, 7, 6, 13, 15, 3, 15, 0, 11, 1, 10,
    12, 14, 16, 9, 11, 5, 5, 19, 8, 8, 15, 13, 14, 17, 18, 10, 16, 4, 17, 4, 2, 0, 17, 4, 18, 17, 10, 3, 2, 12, 12, 16,
    12, 1, 9, 19, 2, 10, 0, 1, 16, 12, 9, 13, 15, 13, 16, 19, 2, 4, 6, 19, 5, 5, 8, 19, 18, 1, 2, 15, 6, 0, 17, 8, 14, 13,
)  # fmt: skip


def flip_map_names() -> tuple[str, ...]:
    """Names that `flip_map` knows."""
    return (*sorted(_FLIP_MAPS), "ring")


def flip_map(name: str, num_classes: int | None = None) -> dict[int, int]:
    """Flip map {true class: class it is mistaken for}, in the order of the official codes.

    ``"cifar10"``, ``"mnist"``, ``"fashion_mnist"``; ``"ring"`` (i -> i + 1, the last to the first) needs ``num_classes``.
    Raises InputError for an unknown name.
    """
    if name == "ring":
        if num_classes is None or num_classes < 2:
            raise InputError(f"the flip map 'ring' needs num_classes of at least 2, not {num_classes}")
        return {i: (i + 1) % num_classes for i in range(num_classes)}
    if name not in _FLIP_MAPS:
        raise InputError(near("flip map", name, flip_map_names()))
    return dict(_FLIP_MAPS[name])


def superclasses(
    superclass: str | Sequence[int] | NDArray[np.integer[Any]] | Any, num_classes: int
) -> NDArray[np.int64]:
    """Super-class of every class, ``(K,)`` int64.

    ``"blocks"``: consecutive class ids in fives (0-4, 5-9, ...), which is what most official codes use for CIFAR-100; its
    fine labels are in alphabetical order, so these are not its super-classes. ``"cifar100"``: the real super-classes.
    Or any sequence, array or tensor of K super-class ids, for example ``Dataset.superclass``.
    """
    if isinstance(superclass, str):
        if superclass == "blocks":
            if num_classes % 5:
                raise InputError(f"superclass='blocks' needs a number of classes divisible by 5, not {num_classes}")
            return np.arange(num_classes, dtype=np.int64) // 5
        if superclass == "cifar100":
            if num_classes != 100:
                raise InputError(f"superclass='cifar100' is for 100 classes, not {num_classes}")
            return np.array(CIFAR100_SUPERCLASS, dtype=np.int64)
        raise InputError(near("superclass", superclass, ("blocks", "cifar100")))
    groups = np.asarray(superclass)
    if groups.shape != (num_classes,) or groups.dtype.kind not in "iu":
        raise InputError(
            f"superclass must be 'blocks', 'cifar100' or {num_classes} integers, one per class; "
            f"got shape {groups.shape}, dtype {groups.dtype}"
        )
    return groups.astype(np.int64)


_L_DMI: dict[str, str] = {
    "l_dmi_fashion_1": "bags and clothes mistaken for each other, each with probability rate / 2",
    "l_dmi_fashion_2": "bags (class 0) labelled as clothes (class 1) with probability rate",
    "l_dmi_fashion_3": "clothes (class 1) labelled as bags (class 0) with probability rate",
    "l_dmi_cifar10": "truck -> automobile, bird -> airplane, deer -> horse, cat -> dog (one way), each with probability rate",
    "l_dmi_dogs_cats": "cat (class 1) labelled as dog (class 0) with probability rate",
    "l_dmi_mr": "positive (class 1) labelled as negative (class 0) with probability rate",
}


def matrix_names() -> tuple[str, ...]:
    """Names that `named_matrix` knows."""
    return tuple(_L_DMI)


def named_matrix(name: str, rate: float) -> NDArray[np.float64]:
    """Transition matrix of the experiments of L_DMI (Xu et al. 2019, appendix C), ``(K, K)`` float64.

    Rows are true classes. K = 2 except for ``l_dmi_cifar10`` (10). L_DMI's class-independent noise is `symmetric_inclusive`.
    Raises InputError for an unknown name and for a rate outside [0, 1].
    """
    if name not in _L_DMI:
        raise InputError(near("matrix", name, matrix_names()))
    r = check_rate(rate)
    if name == "l_dmi_fashion_1":
        return np.array([[1 - r / 2, r / 2], [r / 2, 1 - r / 2]])
    if name == "l_dmi_fashion_2":
        return np.array([[1 - r, r], [0.0, 1.0]])
    if name == "l_dmi_cifar10":
        matrix = np.eye(10)
        for source, target in ((9, 1), (2, 0), (4, 7), (3, 5)):
            matrix[source, source], matrix[source, target] = 1 - r, r
        return matrix
    return np.array([[1.0, 0.0], [r, 1 - r]])
