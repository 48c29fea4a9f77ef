"""Papers: what each one says, as data, and the trainings that it asks for.

`results` (the frame of results) and `registry` are imported on demand: they need pandas and the library.
"""

from losslab.papers.claimspec import Claim, Comparison, Selector
from losslab.papers.expand import Cell
from losslab.papers.load import Paper, load, slugs
from losslab.papers.spec import KEYS, SCALES, Item
from losslab.paths import root as repository_root

__all__ = [
    "KEYS",
    "SCALES",
    "Cell",
    "Claim",
    "Comparison",
    "Item",
    "Paper",
    "Selector",
    "load",
    "repository_root",
    "slugs",
]
