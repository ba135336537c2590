"""Training, evaluation and prediction: what the command line does, as functions.

A `Run` is a training run at one point in time. Together with the data it decides all that follows, bit by bit, and it
can be saved and loaded at any step; so an interrupted run ends exactly as it would have without the interruption.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np

from fastconv import checkpoint, classification, data, models, nn, optim
from fastconv._arguments import Array

BEST, LAST, HISTORY = "best.safetensors", "last.safetensors", "history.csv"
"""Files of a run's folder."""

_FORMAT = 1


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class Recipe:
    """All choices of a training run. The defaults bring LeNet-5 to about 98.8 % on the digits of this package.

    Parameters
    ----------
    model : str
        A name of `fastconv.models.MODELS`.
    data : str, default "digits"
        "digits", or a folder with MNIST's files.
    epochs, batch_size : int
        Passes over the training images, and images a step.
    learning_rate : float
        The peak of the schedule: a linear rise over the first twentieth of the run, then half a cosine.
    weight_decay : float
        As of `fastconv.optim.AdamW`.
    augment : bool, default True
        Whether training images are shifted and turned at random.
    seed : int, default 0
        Where initial weights, the order of images and their augmentation come from.

    Raises
    ------
    ValueError
        If a number is out of range.
    """

    model: str
    data: str = "digits"
    epochs: int = 30
    batch_size: int = 64
    learning_rate: float = 0.005
    weight_decay: float = 0.01
    augment: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in {"epochs": 1, "batch_size": 1, "learning_rate": 0, "weight_decay": 0, "seed": 0}.items():
            value = getattr(self, name)
            if not least <= value < math.inf:
                raise ValueError(f"{name} is {value}, expected {least} or more")


@dataclass(frozen=True)
class EpochResult:
    """One row of a run's history. Training figures are means over the epoch, on the augmented images."""

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a model does on a data set: mean loss, share of right answers, and probabilities (N, classes)."""

    loss: float
    accuracy: float
    probabilities: Array


@dataclass
class EpochSums:
    """Where an epoch stands: steps done, images seen and how many of them were right, the sum of losses, the time."""

    step: int = 0
    images: int = 0
    correct: int = 0
    loss_sum: float = 0.0
    seconds: float = 0.0

    @property
    def loss(self) -> float:
        """Mean loss so far."""
        return self.loss_sum / max(self.images, 1)

    @property
    def accuracy(self) -> float:
        """Share of right answers so far."""
        return self.correct / max(self.images, 1)


class Run:
    """A training run at one point in time.

    Parameters
    ----------
    recipe : Recipe
        What to do.

    Attributes
    ----------
    recipe, model, optimizer
        What is done, and with what.
    history : list of EpochResult
        The epochs that are finished.
    sums : EpochSums
        Where the current epoch stands.

    Raises
    ------
    ValueError
        If there is no model of the recipe's name.
    """

    def __init__(self, recipe: Recipe) -> None:
        self.recipe = recipe
        self.model = models.create(recipe.model, num_classes=10, seed=recipe.seed)
        self.optimizer = optim.AdamW(self.model, weight_decay=recipe.weight_decay)
        self.history: list[EpochResult] = []
        self.sums = EpochSums()

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done."""
        return self.epoch == self.recipe.epochs

    @property
    def best(self) -> EpochResult | None:
        """The epoch of the highest test accuracy, the first of equals."""
        return max(self.history, key=lambda result: result.test_accuracy, default=None)

    def train_on(self, images: Array, labels: Array, steps_per_epoch: int) -> None:
        """Make one step: forward, loss, backward, optimizer.

        Raises
        ------
        Diverged
            If the loss isn't finite; the parameters are left as they were.
        """
        total_steps = self.recipe.epochs * steps_per_epoch
        share = optim.warmup_cosine(
            self.epoch * steps_per_epoch + self.sums.step, total_steps=total_steps, warmup_steps=total_steps // 20
        )
        self.optimizer.learning_rate = self.recipe.learning_rate * share
        with np.errstate(all="ignore"):  # What overflows shows in the next loss, and is reported there.
            logits = self.model(_fit_to_model(self.model, images))
            loss, grad_logits = nn.cross_entropy(logits, labels)
            self._check(loss)
            self.model.backward(grad_logits, input_gradient=False)
            self.optimizer.step()
        self.sums.step += 1
        self.sums.images += len(labels)
        self.sums.correct += int(np.count_nonzero(logits.argmax(axis=1) == labels))
        self.sums.loss_sum += loss * len(labels)

    def finish_epoch(self, evaluation: Evaluation) -> EpochResult:
        """Add the current epoch to the history and begin the next one."""
        self._check(evaluation.loss)
        result = EpochResult(
            epoch=self.epoch + 1,
            train_loss=self.sums.loss,
            train_accuracy=self.sums.accuracy,
            test_loss=evaluation.loss,
            test_accuracy=evaluation.accuracy,
            seconds=round(self.sums.seconds, 3),
        )
        self.history.append(result)
        self.sums = EpochSums()
        return result

    def _check(self, loss: float) -> None:
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss became {loss} in epoch {self.epoch + 1} after {self.sums.step} steps; "
                f"try a learning rate below {self.recipe.learning_rate:g}"
            )

    def save(self, path: str | Path) -> None:
        """Write a checkpoint from which `load` goes on."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state_dict().items()}
        generators = {name: value.bit_generator.state for name, value in self.model.generators.items()}
        checkpoint.save(
            path,
            tensors,
            {
                "format": _FORMAT,
                "recipe": asdict(self.recipe),
                "history": [asdict(result) for result in self.history],
                "sums": asdict(self.sums),
                "generators": generators,
            },
        )

    @classmethod
    def load(cls, path: str | Path) -> Run:
        """Return the run that `save` has written to ``path``.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is damaged or isn't a checkpoint of a run.
        """
        tensors, metadata = checkpoint.load(path)
        if metadata.get("format") != _FORMAT:
            raise ValueError(f"{path}: a checkpoint of format {metadata.get('format')}, expected {_FORMAT}")
        try:
            run = cls(Recipe(**metadata["recipe"]))
            run.model.load_state_dict(_part(tensors, "model."))
            run.optimizer.load_state_dict(_part(tensors, "optimizer."))
            run.history = [EpochResult(**result) for result in metadata["history"]]
            run.sums = EpochSums(**metadata["sums"])
            for name, generator in run.model.generators.items():
                generator.bit_generator.state = metadata["generators"][name]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not the checkpoint of a run: {error}") from error
        return run


def fit(
    run: Run,
    train: data.Dataset,
    test: data.Dataset,
    folder: str | Path,
    *,
    stopped: Callable[[], bool] = lambda: False,
    on_step: Callable[[Run, int], None] = lambda run, images: None,
    on_epoch: Callable[[EpochResult], None] = lambda result: None,
) -> bool:
    """Train until the recipe is done, or until asked to stop.

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
    augment = data.RandomAffine() if recipe.augment else None
    run.model.train()
    while not run.finished:
        began = time.perf_counter() - run.sums.seconds
        for images, labels in data.batches(
            train,
            recipe.batch_size,
            shuffle=True,
            seed=recipe.seed,
            epoch=run.epoch,
            start=run.sums.step,
            augment=augment,
        ):
            run.train_on(images, labels, steps)
            run.sums.seconds = time.perf_counter() - began
            on_step(run, len(labels))
            if stopped():
                run.save(folder / LAST)
                return False
        result = run.finish_epoch(evaluate(run.model, test))
        if result is run.best:
            run.save(folder / BEST)
        checkpoint.write_atomically(folder / HISTORY, _history_csv(run.history))
        run.save(folder / LAST)
        on_epoch(result)
    return True


def predict(model: nn.Sequential, images: Array, *, batch_size: int = 256) -> Array:
    """Return the probabilities (N, classes) that a model gives to images (N, H, W, C).

    Images smaller than the model's input get zeros around them.

    Examples
    --------
    >>> from fastconv import data, models, training
    >>> train, test = data.digits()
    >>> training.predict(models.lenet5(), test.images[:5]).shape
    (5, 10)
    """
    return classification.softmax(_logits(model, images, batch_size))


def evaluate(model: nn.Sequential, dataset: data.Dataset, *, batch_size: int = 256) -> Evaluation:
    """Return how a model does on a data set.

    Examples
    --------
    >>> from fastconv import data, models, training
    >>> train, test = data.digits()
    >>> training.evaluate(models.lenet5(), test).accuracy < 0.3  # before training
    True
    """
    logits = _logits(model, dataset.images, batch_size)
    accuracy = int(np.count_nonzero(logits.argmax(axis=1) == dataset.labels)) / len(dataset)
    return Evaluation(classification.cross_entropy(logits, dataset.labels), accuracy, classification.softmax(logits))


def _logits(model: nn.Sequential, images: Array, batch_size: int) -> Array:
    was_training = model.training
    model.eval()
    try:
        starts = range(0, len(images), batch_size)
        return np.concatenate([model(_fit_to_model(model, images[i : i + batch_size])) for i in starts])
    finally:
        if was_training:
            model.train()


def _fit_to_model(model: nn.Sequential, images: Array) -> Array:
    """Return the images with zeros around them, where the model wants them larger."""
    return images if model.input_shape is None else data.pad_images(images, *model.input_shape[:2])


def _part(tensors: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _history_csv(history: list[EpochResult]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, [field.name for field in fields(EpochResult)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(result) for result in history)
    return text.getvalue().encode()
