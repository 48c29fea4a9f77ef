"""Names in claims.yaml against the paper's experiments."""

from __future__ import annotations

from typing import TYPE_CHECKING

from losslab.errors import InputError
from losslab.papers.claimspec import Claim, Selector
from losslab.papers.messages import member
from losslab.papers.readings import check_reading

if TYPE_CHECKING:
    from losslab.papers.load import Paper


def check(paper: Paper, claim: Claim, where: str) -> None:
    """Every selector of a claim names cells that the paper has. Raises InputError."""
    for comparison in claim.comparisons():
        for side in (comparison.left, comparison.right):
            if side is not None:
                check_selector(paper, side, where)


def check_selector(paper: Paper, selector: Selector, where: str) -> None:
    """A selector, with everything filled in, names cells of one experiment."""
    if selector.experiment is None:
        raise InputError(f"{where}: experiment: this key is missing; allowed: {', '.join(paper.experiments)}")
    member("experiment", selector.experiment, paper.experiments, f"{where}: experiment")
    experiment = paper.experiments[selector.experiment]
    rows = paper.chosen(experiment.methods)
    if selector.dataset is not None:
        member("block", selector.dataset, experiment.blocks, f"{where}: dataset")
    if selector.noise_type is not None:
        member(
            "noise type", selector.noise_type, [noise.noise_type for noise in experiment.noise], f"{where}: noise_type"
        )
    if selector.noise_rate is not None:
        rates = [
            rate
            for noise in experiment.noise
            if selector.noise_type in (None, noise.noise_type)
            for rate in noise.rates
        ]
        member("rate", selector.noise_rate, rates, f"{where}: noise_rate")
    if selector.method is None:
        raise InputError(
            f"{where}: method: this key is missing; allowed: {', '.join(dict.fromkeys(row.name for row in rows))}"
        )
    member("method", selector.method, list(dict.fromkeys(row.name for row in rows)), f"{where}: method")
    if selector.reading is not None:
        check_reading(selector.reading, f"{where}: reading")
    if selector.minus is not None:
        check_selector(paper, selector.minus, f"{where}: minus")
