"""Two classes out of many: the chosen classes against all the others."""

from collections.abc import Sequence
from dataclasses import replace

import torch

from losslab.data.dataset import Dataset
from losslab.errors import InputError


def two_classes(dataset: Dataset, chosen: Sequence[int]) -> Dataset:
    """``dataset`` with two classes: ``chosen`` ids become class 0, all the others class 1.

    Images, their order and the normalisation stay. Super-classes and people's labels, which speak of the old classes, are left out.
    Raises InputError for ids that are not there, and where one of the two classes would be empty.
    """
    ids = sorted(set(chosen))
    if not ids or any(not 0 <= i < dataset.num_classes for i in ids) or len(ids) == dataset.num_classes:
        raise InputError(
            f"two_classes must name some but not all of the classes 0 to {dataset.num_classes - 1} of {dataset.name}, not {list(chosen)}"
        )
    first = torch.zeros(dataset.num_classes, dtype=torch.bool)
    first[ids] = True
    second = [i for i in range(dataset.num_classes) if i not in ids]
    names = tuple(
        " ".join(dataset.class_names[i] for i in part) if len(part) <= 5 else "the rest" for part in (ids, second)
    )
    return replace(
        dataset,
        train_labels=(~first[dataset.train_labels]).long(),
        test_labels=(~first[dataset.test_labels]).long(),
        num_classes=2,
        class_names=names,
        superclass=None,
        extra={key: value for key, value in dataset.extra.items() if not key.startswith("human_")},
        source=f"{dataset.source}; two classes: {names[0]} against {names[1]}",
    )
