"""The history of a run as TensorBoard shows it."""

from __future__ import annotations

from pathlib import Path

from fastconv._extras import require
from fastconv.training.run import EpochResult


class TensorBoard:
    """Write a run's history to a file of events, epoch by epoch.

    Its objects are called with the result of an epoch: give one to `fit` as ``on_epoch``. There are four curves,
    "loss/train", "loss/test", "accuracy/train" and "accuracy/test", over the number of the epoch.

    Parameters
    ----------
    folder : str or Path
        Where to write; a run that goes on writes another file there, and TensorBoard joins them.

    Raises
    ------
    ImportError
        If tensorboard isn't installed.

    Examples
    --------
    >>> from fastconv import data, training
    >>> run = training.Run(training.Recipe("lenet5"))
    >>> events = training.TensorBoard("runs/lenet5")                              # doctest: +SKIP
    >>> training.fit(run, *data.digits(), "runs/lenet5", on_epoch=events)         # doctest: +SKIP
    """

    def __init__(self, folder: str | Path) -> None:
        self._writer = require("tensorboard.summary").Writer(str(folder))

    def __call__(self, result: EpochResult) -> None:
        """Write one epoch, so that it is in the file when this returns."""
        for figure in ("loss", "accuracy"):
            for part in ("train", "test"):
                self._writer.add_scalar(f"{figure}/{part}", getattr(result, f"{part}_{figure}"), step=result.epoch)
        self._writer.flush()
