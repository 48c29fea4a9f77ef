"""The papers' networks, layer by layer, and small ones for the embedded data."""

from losslab.models.network import Network
from losslab.models.registry import ModelCard, build, describe, names

__all__ = ["ModelCard", "Network", "build", "describe", "names"]
