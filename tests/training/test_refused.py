"""Runs that cannot train are refused before any work starts."""

from __future__ import annotations

import pytest

from losslab.errors import InputError
from losslab.runs import DataPart, NamedPart, Recipe, Run
from losslab.training.check import check
from losslab.training.problem import prepare

LONG = DataPart(name="glyphs-100", imbalance="long_tailed", imbalance_ratio=100.0, validation=0.5)


def some_run(**changes: object) -> Run:
    fields = {"data": LONG, "model": NamedPart(name="mlp"), "loss": NamedPart(name="ce"), "recipe": Recipe(epochs=1)}
    return Run(**{**fields, **changes})  # type: ignore[arg-type]


def test_a_class_without_samples_where_the_loss_needs_its_count() -> None:
    check([some_run()])
    with pytest.raises(InputError, match=r"class \d+ has no training sample, and ldam divides by the class counts"):
        check([some_run(loss=NamedPart(name="ldam"))])


def test_a_last_batch_of_one_sample_with_batch_normalisation() -> None:
    normalised = NamedPart(name="mlp", params={"batch_norm": True})
    samples = len(prepare(some_run(), None)[1].given)
    for size, refused in ((samples - 1, True), (samples - 2, False)):
        run = some_run(model=normalised, recipe=Recipe(epochs=1, batch_size=size))
        if refused:
            with pytest.raises(InputError, match="leave a last batch of one"):
                check([run])
        else:
            check([run])
    check([some_run(recipe=Recipe(epochs=1, batch_size=samples - 1))])  # without batch normalisation one sample will do
