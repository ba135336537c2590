"""Training, evaluation and prediction: what the command line does, as functions.

A `Run` is a training run at one point in time. Together with the data it decides all that follows, bit by bit, and it
can be saved and loaded at any step; so an interrupted run ends exactly as it would have without the interruption.
"""

from fastconv.training.diagnosis import first_not_finite
from fastconv.training.evaluation import Evaluation, adapt, evaluate, predict
from fastconv.training.events import TensorBoard
from fastconv.training.loop import BEST, HISTORY, LAST, fit
from fastconv.training.recipe import Recipe, load_data
from fastconv.training.run import Diverged, EpochResult, EpochSums, Run

__all__ = [
    "BEST",
    "HISTORY",
    "LAST",
    "Diverged",
    "EpochResult",
    "EpochSums",
    "Evaluation",
    "Recipe",
    "Run",
    "TensorBoard",
    "adapt",
    "evaluate",
    "first_not_finite",
    "fit",
    "load_data",
    "predict",
]
