"""The training loop: steps, epochs, and what a run's folder holds after each of them."""

from __future__ import annotations

import contextlib
import csv
import io
import time
from collections.abc import Callable, Generator
from dataclasses import asdict, fields
from pathlib import Path

import numpy as np

from fastconv import checkpoint, data
from fastconv.training.evaluation import evaluate
from fastconv.training.run import EpochResult, Run

BEST, LAST, HISTORY = "best.safetensors", "last.safetensors", "history.csv"
"""Files of a run's folder."""


def fit(
    run: Run,
    train: data.Dataset,
    test: data.Dataset,
    folder: str | Path,
    *,
    workers: int = 1,
    stopped: Callable[[], bool] = lambda: False,
    on_step: Callable[[Run, int], None] = lambda run, images: None,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> bool:
    """Train until the recipe is done, its patience is at an end, or until asked to stop.

    After every epoch the model is evaluated on ``test``; then the folder holds the best and the last checkpoint and
    ``history.csv``.

    Parameters
    ----------
    run : Run
        A new run, or one that was loaded.
    train, test : Dataset
        Images to train with, and images to evaluate on.
    folder : str or Path
        Where to write; made if it doesn't exist.
    workers : int, default 1
        Number of threads that prepare images while the kernels run; 0 prepares them in between. The bits are the same.
    stopped : callable
        Asked after every step whether to save and return.
    on_step : callable
        Called after every step with the run and the number of images of that step.
    on_epoch : callable
        Called after every epoch with its result.

    Returns
    -------
    bool
        True if the run is finished, False if it was stopped.

    Raises
    ------
    Diverged
        If the loss isn't finite any more. The checkpoints of the last whole epoch stay.

    Notes
    -----
    The best checkpoint is chosen by its accuracy on ``test``, so its accuracy there flatters it a little; the last one
    isn't chosen.

    Examples
    --------
    >>> import tempfile
    >>> from fastconv import data, training
    >>> train, test = data.digits()
    >>> run = training.Run(training.Recipe("lenet5", epochs=1))
    >>> training.fit(run, train[:640], test[:100], tempfile.mkdtemp())
    True
    """
    recipe, folder = run.recipe, Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    steps = data.number_of_batches(len(train), recipe.batch_size)
    run.model.train()
    while not run.finished:
        began = time.perf_counter() - run.sums.seconds
        with contextlib.closing(_rest_of_epoch(run, train, workers)) as batches:
            for images, labels in batches:
                run.train_on(images, labels, steps)
                run.sums.seconds = time.perf_counter() - began
                on_step(run, len(labels))
                if stopped():
                    run.save(folder / LAST)
                    return False
        with run.averaged() as model, np.errstate(all="ignore"):  # finish_epoch() reports what overflows
            evaluation = evaluate(model, test)
        result = run.finish_epoch(evaluation, test[: recipe.batch_size].arrays()[0])
        if result is run.best:
            run.save(folder / BEST)
        checkpoint.write_atomically(folder / HISTORY, _history_csv(run.history))
        run.save(folder / LAST)
        on_epoch(result)
    return True


def _rest_of_epoch(run: Run, train: data.Dataset, workers: int) -> Generator[data.Batch, None, None]:
    recipe = run.recipe
    return data.batches(
        train,
        recipe.batch_size,
        shuffle=True,
        seed=recipe.seed,
        epoch=run.epoch,
        start=run.sums.step,
        augment=recipe.augmentations(),
        mixup=data.Mixup(recipe.mixup, len(run.classes)) if recipe.mixup else None,
        workers=workers,
    )


def _history_csv(history: list[EpochResult]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochResult)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in history)
    return text.getvalue().encode()
