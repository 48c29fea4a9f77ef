"""The training engine: many runs at once, each with the numbers that it would have got alone."""

from losslab.training.engine import Plan, Progress, Summary, check, plan, resolve_device, train

__all__ = ["Plan", "Progress", "Summary", "check", "plan", "resolve_device", "train"]
