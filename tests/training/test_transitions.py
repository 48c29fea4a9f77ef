"""The transition matrix that a loss is given is the one that its labels were drawn with."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from small import DIGITS, run, train_cohort

from losslab import noise
from losslab.runs import NoisePart, Run
from losslab.training.build import true_transition
from losslab.training.problem import prepare

PAIRS: dict[str, Any] = {"kind": "superclass_pair", "rate": 0.45, "options": {"superclass": "blocks"}}


def forward(seed: int, noise_seed: int | None = None) -> Run:
    return run("forward", noise=NoisePart(**PAIRS, seed=noise_seed), seed=seed, recipe={"epochs": 1})


def moves(one: Run) -> set[tuple[int, int]]:
    """Which classes were really mistaken for which."""
    _, samples = prepare(one, None)
    wrong = samples.given != samples.true
    return set(zip(samples.true[wrong].tolist(), samples.given[wrong].tolist(), strict=True))


@pytest.mark.parametrize("own", [None, 11])
def test_drawn_pairs_are_those_of_the_labels(own: int | None) -> None:
    matrices = []
    for seed in (0, 1, 2):
        one = forward(seed, own)
        dataset, _ = prepare(one, None)
        matrix = true_transition(one, dataset)
        off = (matrix - torch.diag(matrix.diag())).nonzero().tolist()
        assert {tuple(pair) for pair in off} == moves(one) and len(off) == 4
        torch.testing.assert_close(matrix.sum(1), torch.ones(10, dtype=torch.float64))
        matrices.append(matrix)
    alike = [torch.equal(matrices[0], other) for other in matrices[1:]]
    assert all(alike) if own is not None else not all(alike), "the noise's own seed decides, else the run's"


def test_forward_correction_trains_under_drawn_pairs() -> None:
    one = forward(3)
    found = train_cohort([one])[one.hash]
    assert found.diverged_at is None and len(found.curves["test_acc"]) == 1


@pytest.mark.parametrize(
    "part",
    [
        NoisePart(kind="symmetric", rate=0.3),
        NoisePart(kind="asymmetric", rate=0.3, flip_map="ring"),
        NoisePart(kind="superclass_ring", rate=0.3, options={"superclass": "blocks"}),
        NoisePart(),
    ],
    ids=lambda part: part.kind,
)
def test_other_kinds_do_not_depend_on_the_seed(part: NoisePart) -> None:
    found = [true_transition(run("forward", data=DIGITS, noise=part, seed=s), prepare(run("forward", noise=part), None)[0])
             for s in (0, 1)]  # fmt: skip
    assert torch.equal(found[0], found[1])
    expected = (
        torch.eye(10, dtype=torch.float64)
        if part.kind == "none"
        else torch.from_numpy(noise.transition_matrix(part.kind, 10, part.rate, part.flip_map, **part.options))
    )
    torch.testing.assert_close(found[0], expected)
