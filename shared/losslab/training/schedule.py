"""Learning rate of an epoch."""

from __future__ import annotations

import math

from losslab.runs.spec import Recipe


def learning_rate(recipe: Recipe, epoch: int, steps_per_epoch: int) -> float:
    """Learning rate that holds from the first step of ``epoch`` (0-based) on; the ``keras`` kind decays inside the epoch, see `step_decay`."""
    schedule, lr = recipe.schedule, recipe.lr
    if schedule.warmup and epoch < schedule.warmup:
        return lr * (epoch + 1) / schedule.warmup
    if schedule.kind == "cosine":
        return schedule.floor + (lr - schedule.floor) * 0.5 * (1 + math.cos(math.pi * epoch / recipe.epochs))
    if schedule.kind == "exponential":
        return float(lr * schedule.factor**epoch)
    if schedule.kind in ("steps", "keras"):
        return float(lr * schedule.factor ** sum(epoch >= milestone for milestone in schedule.milestones))
    return lr


def step_decay(recipe: Recipe) -> float:
    """Decay d of Keras' SGD: the rate of step t (counted over the whole training) is divided by 1 + d t. Zero for the other kinds."""
    return recipe.schedule.decay if recipe.schedule.kind == "keras" else 0.0
