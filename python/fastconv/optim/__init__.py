"""Optimizers: how parameters move along their gradients; and groups, schedules, clipping and averages beside them.

An optimizer reads the gradients that `Layer.backward` has summed up, moves the parameters in place, and sets the
gradients to zero. A step goes once over each parameter and what belongs to it; only arrays that aren't C-contiguous are
copied.
"""

from fastconv.optim.adam import Adam, AdamW
from fastconv.optim.average import ExponentialMovingAverage
from fastconv.optim.clip import clip_gradients
from fastconv.optim.group import Group, without_decay
from fastconv.optim.optimizer import Optimizer
from fastconv.optim.schedule import warmup, warmup_cosine, warmup_step
from fastconv.optim.sgd import SGD

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "ExponentialMovingAverage",
    "Group",
    "Optimizer",
    "clip_gradients",
    "warmup",
    "warmup_cosine",
    "warmup_step",
    "without_decay",
]
