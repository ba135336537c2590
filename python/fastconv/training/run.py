"""A training run at one point in time: its step, its state, and the files that hold it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from fastconv import checkpoint, classification, nn, optim
from fastconv._arguments import Array
from fastconv.training import diagnosis
from fastconv.training.evaluation import Evaluation, adapt
from fastconv.training.recipe import Recipe

_FORMAT = 2
_DIGITS = tuple("0123456789")


class Diverged(ArithmeticError):
    """The loss is no longer a finite number."""


@dataclass(frozen=True)
class EpochResult:
    """One row of a run's history.

    Training figures are means over the epoch, on the augmented images; losses are cross-entropies without smoothing.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    seconds: float


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
    classes : sequence of str, default "0" to "9"
        The names of the classes; their number is the number of the model's outputs.
    white_on_black : bool, default True
        Whether the images are digits as MNIST's, so that others have to be made like these before they are read.

    Attributes
    ----------
    recipe, classes, white_on_black
        As given.
    model, optimizer
        What is trained, and by what.
    average : ExponentialMovingAverage or None
        Of the weights, where the recipe has one.
    history : list of EpochResult
        The epochs that are finished.
    sums : EpochSums
        Where the current epoch stands.

    Raises
    ------
    ValueError
        If there is no model of the recipe's name and channels, the model has no layer of a name in ``rate_factors``, or
        there are no classes.
    """

    def __init__(self, recipe: Recipe, *, classes: Sequence[str] = _DIGITS, white_on_black: bool = True) -> None:
        if not classes:
            raise ValueError("Run: there are no classes; give their names, or leave them out for ten digits")
        self.recipe = recipe
        self.classes = tuple(classes)
        self.white_on_black = white_on_black
        self.model = recipe.create_model(num_classes=len(self.classes), seed=recipe.seed)
        self.optimizer = recipe.make_optimizer(self.model)
        self.average = optim.ExponentialMovingAverage(self.model, recipe.ema) if recipe.ema else None
        self.history: list[EpochResult] = []
        self.sums = EpochSums()

    @property
    def epoch(self) -> int:
        """Number of finished epochs."""
        return len(self.history)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or the best one is as long ago as the recipe's patience."""
        return self.epoch == self.recipe.epochs or self.stopped_early

    @property
    def stopped_early(self) -> bool:
        """Whether the best epoch is as long ago as the recipe's patience, before all epochs are done."""
        best = self.best
        if not self.recipe.patience or best is None or self.epoch == self.recipe.epochs:
            return False
        return self.epoch - best.epoch >= self.recipe.patience

    @property
    def best(self) -> EpochResult | None:
        """The epoch of the highest test accuracy, the first of equals."""
        return max(self.history, key=lambda result: result.test_accuracy, default=None)

    def train_on(self, images: Array, labels: Array, steps_per_epoch: int) -> None:
        """Make one step: forward, loss, backward, optimizer, average.

        Parameters
        ----------
        images : ndarray, (N, H, W, C)
        labels : ndarray, (N,) or (N, classes)
            Classes, or their probabilities.
        steps_per_epoch : int
            What the schedule of the learning rate depends on.

        Raises
        ------
        Diverged
            If the loss isn't finite; the parameters are left as they were.
        """
        recipe = self.recipe
        step = self.epoch * steps_per_epoch + self.sums.step
        self.optimizer.learning_rate = recipe.learning_rate_at(step, steps_per_epoch)
        images = adapt(self.model, images)
        with np.errstate(all="ignore"):  # What overflows shows in the next loss, and is reported there.
            logits = self.model(images)
            loss, grad_logits = nn.cross_entropy(logits, labels, label_smoothing=recipe.label_smoothing)
            self._check(loss, images)
            self.model.backward(grad_logits, input_gradient=False)
            if recipe.clip_norm:
                optim.clip_gradients(self.model, recipe.clip_norm)
            self.optimizer.step()
            if self.average is not None:
                self.average.update()
        classes = labels if labels.ndim == 1 else labels.argmax(axis=1)
        self.sums.step += 1
        self.sums.images += len(labels)
        self.sums.correct += int(np.count_nonzero(logits.argmax(axis=1) == classes))
        # Without smoothing, so that it can be compared with that of other images.
        plain = loss if not recipe.label_smoothing else classification.cross_entropy(logits, labels)
        self.sums.loss_sum += plain * len(labels)

    def finish_epoch(self, evaluation: Evaluation, images: Array | None = None) -> EpochResult:
        """Add the current epoch to the history and begin the next one.

        Raises
        ------
        Diverged
            If the loss isn't finite; what is wrong with ``images`` is then said, too.
        """
        self._check(evaluation.loss, images)
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

    def _check(self, loss: float, images: Array | None) -> None:
        if math.isfinite(loss):
            return
        with np.errstate(all="ignore"):
            cause = "" if images is None else f": {diagnosis.explain(self.model, adapt(self.model, images))}"
        raise Diverged(
            f"the loss became {loss} in epoch {self.epoch + 1} after {self.sums.step} steps{cause}; "
            f"try a learning rate below {self.recipe.learning_rate:g}"
        )

    @contextmanager
    def averaged(self) -> Iterator[nn.Sequential]:
        """Give the model, for a ``with`` block, the weights that it is evaluated with: their average, if there is one.

        Examples
        --------
        >>> from fastconv import data, training
        >>> run = training.Run(training.Recipe("lenet5", ema=0.99))
        >>> with run.averaged() as model:
        ...     evaluation = training.evaluate(model, data.digits()[1])
        """
        if self.average is None:
            yield self.model
        else:
            with self.average.applied():
                yield self.model

    def start_from(self, path: str | Path) -> list[str]:
        """Begin with the weights of another run's checkpoint, as that run was evaluated with.

        If that run knows other classes, the last layer that has parameters stays new.

        Parameters
        ----------
        path : str or Path
            A checkpoint of a run of the same model.

        Returns
        -------
        list of str
            The parameters that stay new.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file isn't the checkpoint of a run, or is that of another model.
        """
        other = Run.load(path)
        if other.recipe.model != self.recipe.model:
            raise ValueError(f"{path}: holds the model {other.recipe.model}, expected {self.recipe.model}")
        names = list(self.model.parameters)
        head = names[-1].rpartition(".")[0] if names and other.classes != self.classes else None
        new = [name for name in names if head is not None and name.rpartition(".")[0] == head]
        with other.averaged() as model:
            state = model.state_dict()
        own = self.model.state_dict()
        self.model.load_state_dict(state | {name: own[name] for name in new})
        if self.average is not None:
            self.average = optim.ExponentialMovingAverage(self.model, self.recipe.ema)
        return new

    def save(self, path: str | Path) -> None:
        """Write a checkpoint from which `load` goes on."""
        tensors = {f"model.{name}": value for name, value in self.model.state_dict().items()}
        tensors |= {f"optimizer.{name}": value for name, value in self.optimizer.state_dict().items()}
        if self.average is not None:
            tensors |= {f"average.{name}": value for name, value in self.average.state_dict().items()}
        generators = {name: value.bit_generator.state for name, value in self.model.generators.items()}
        checkpoint.save(
            path,
            tensors,
            {
                "format": _FORMAT,
                "recipe": asdict(self.recipe),
                "classes": self.classes,
                "white_on_black": self.white_on_black,
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
            recipe = Recipe(**metadata["recipe"])
            run = cls(recipe, classes=metadata["classes"], white_on_black=metadata["white_on_black"])
            run.model.load_state_dict(_part(tensors, "model."))
            run.optimizer.load_state_dict(_part(tensors, "optimizer."))
            if run.average is not None:
                run.average.load_state_dict(_part(tensors, "average."))
            run.history = [EpochResult(**result) for result in metadata["history"]]
            run.sums = EpochSums(**metadata["sums"])
            for name, generator in run.model.generators.items():
                generator.bit_generator.state = metadata["generators"][name]
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: not the checkpoint of a run: {error}") from error
        return run


def _part(tensors: dict[str, Array], prefix: str) -> dict[str, Array]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
