"""Last layers that the papers' methods need, and the geometry of fixed prototypes."""

from losslab.heads.registry import build, names

__all__ = ["build", "names"]
