"""The recipe of a training run: all that is chosen, and what follows from it before the first step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any

from fastconv import data, models, nn, optim
from fastconv.data import Augmentation

OPTIMIZERS = ("adamw", "adam", "sgd")
SCHEDULES = ("cosine", "step", "constant")


@dataclass(frozen=True)
class Recipe:
    """All choices of a training run. The defaults bring LeNet-5 to about 98.9 % on the digits of this package.

    Parameters
    ----------
    model : str
        A name of `fastconv.models.MODELS`.
    data : str, default "digits"
        What `fastconv.data.load` reads: "digits", a folder or a file.
    validation : float, default 0.2
        Share of the images that are held out for evaluation, where the data have no test set.
    in_channels : int, default 0
        Channels of the images that the model takes; 0 stands for those that it was published with. Grey images have
        three equal channels where it takes three.
    epochs, batch_size : int
        Passes over the training images, and images a step.
    optimizer : {"adamw", "adam", "sgd"}
        As in `fastconv.optim`.
    momentum : float, default 0.9
        Of "sgd"; Nesterov's, unless it is 0.
    learning_rate : float
        The highest of the schedule.
    rate_factors : tuple of str, default ()
        Layers that learn at another rate: "conv1=0.1" for a tenth, "conv1=0" for not at all; "=0" is said of all
        layers, and of several that speak of a layer, the last one counts. See `fastconv.optim.Group`.
    schedule : {"cosine", "step", "constant"}
        How the learning rate falls: along half a cosine down to zero, in stairs, or not at all.
    warmup : float, default 0.05
        Share of the run over which the learning rate rises first.
    decay_epochs : int, default 10
        Length of a stair of "step".
    decay_factor : float, default 0.1
        What the learning rate is multiplied with from one stair to the next.
    weight_decay : float
        As of the optimizer.
    decay_all : bool, default False
        Whether biases and normalizations decay as well, see `fastconv.optim.without_decay`.
    label_smoothing : float, default 0.1
        As of `fastconv.nn.cross_entropy`, in training only.
    clip_norm : float, default 0
        Longest gradient, see `fastconv.optim.clip_gradients`; 0 stands for any length.
    ema : float, default 0
        Decay of an average over the weights, with which the model is then evaluated, see
        `fastconv.optim.ExponentialMovingAverage`; 0 stands for none.
    patience : int, default 0
        Number of epochs without a new best after which the run ends early; 0 stands for never.
    augment : tuple of str, default ("affine",)
        How training images are changed at random, in this order, see `fastconv.data.augmentation`.
    mixup : float, default 0
        Strength with which images are mixed, see `fastconv.data.Mixup`; 0 stands for not at all.
    seed : int, default 0
        Where initial weights, the order of images and their augmentation come from.

    Raises
    ------
    ValueError
        If a number is out of range, or there is no such optimizer, schedule or augmentation.

    Notes
    -----
    ``rate_factors`` and ``augment`` may also be given as one text with commas: "shift=2,flip".

    Examples
    --------
    >>> from fastconv import training
    >>> recipe = training.Recipe("lenet5", optimizer="sgd", learning_rate=0.05, augment="shift,flip")
    >>> recipe.augment
    ('shift', 'flip')
    """

    model: str
    data: str = "digits"
    validation: float = 0.2
    in_channels: int = 0
    epochs: int = 30
    batch_size: int = 64
    optimizer: str = "adamw"
    momentum: float = 0.9
    learning_rate: float = 0.005
    rate_factors: tuple[str, ...] = ()
    schedule: str = "cosine"
    warmup: float = 0.05
    decay_epochs: int = 10
    decay_factor: float = 0.1
    weight_decay: float = 0.01
    decay_all: bool = False
    label_smoothing: float = 0.1
    clip_norm: float = 0.0
    ema: float = 0.0
    patience: int = 0
    augment: tuple[str, ...] = ("affine",)
    mixup: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("rate_factors", "augment"):  # a text from the command line, or a list from JSON
            object.__setattr__(self, name, _texts(getattr(self, name)))
        for name, least in {"epochs": 1, "batch_size": 1, "decay_epochs": 1}.items():
            self._check(name, least, math.inf)
        for name in (
            "learning_rate",
            "weight_decay",
            "decay_factor",
            "clip_norm",
            "mixup",
            "patience",
            "in_channels",
            "seed",
        ):
            self._check(name, 0, math.inf)
        for name in ("momentum", "label_smoothing", "ema", "warmup", "validation"):
            self._check(name, 0, 1)
        for name, known in {"optimizer": OPTIMIZERS, "schedule": SCHEDULES}.items():
            if getattr(self, name) not in known:
                raise ValueError(f"unknown {name} {getattr(self, name)!r}, expected one of: {', '.join(known)}")
        self.augmentations()
        self._groups()

    def _check(self, name: str, least: float, end: float) -> None:
        value = getattr(self, name)
        if not least <= value < end:
            raise ValueError(
                f"{name} is {value}, expected {least} or more{'' if end == math.inf else f', below {end}'}"
            )

    def with_data_channels(self) -> Recipe:
        """Return the recipe with the channels of its data as ``in_channels``, unless the model is fixed to others.

        Raises
        ------
        FileNotFoundError, ValueError, ImportError
            As `fastconv.data.number_of_channels`.

        Examples
        --------
        >>> from fastconv import training
        >>> training.Recipe("resnet18").with_data_channels().in_channels
        1
        """
        return replace(self, in_channels=data.number_of_channels(self.data)) if _takes_channels(self.model) else self

    def create_model(self, **options: Any) -> nn.Sequential:
        """Return a new model of the recipe, with the options of `fastconv.models.create`.

        Raises
        ------
        ValueError
            If there is no model of this name, or it takes other channels than ``in_channels``.

        Examples
        --------
        >>> from fastconv import training
        >>> training.Recipe("lenet5", in_channels=3).create_model(num_classes=2).input_shape
        (32, 32, 3)
        """
        if self.in_channels and _takes_channels(self.model):
            options["in_channels"] = self.in_channels
        model = models.create(self.model, **options)
        if self.in_channels and model.input_shape is not None and model.input_shape[-1] != self.in_channels:
            raise ValueError(f"{self.model}: in_channels is {self.in_channels}, expected {model.input_shape[-1]}")
        return model

    def augmentations(self) -> list[Augmentation]:
        """Return what ``augment`` names."""
        return [data.augmentation(text) for text in self.augment]

    def make_optimizer(self, model: nn.Layer) -> optim.Optimizer:
        """Return the optimizer of the recipe for a model.

        Raises
        ------
        ValueError
            If the model has no layer of a name in ``rate_factors``.
        """
        groups = self._groups() + ([] if self.decay_all else optim.without_decay(model))
        rate, decay = self.learning_rate, self.weight_decay
        if self.optimizer == "sgd":
            momentum, nesterov = self.momentum, self.momentum > 0
            return optim.SGD(model, rate, momentum=momentum, nesterov=nesterov, weight_decay=decay, groups=groups)
        kind = optim.AdamW if self.optimizer == "adamw" else optim.Adam
        return kind(model, rate, weight_decay=decay, groups=groups)

    def learning_rate_at(self, step: int, steps_per_epoch: int) -> float:
        """Return the learning rate of a step of the run, counted from 0."""
        total = self.epochs * steps_per_epoch
        warmup = int(self.warmup * total)
        if self.schedule == "cosine":
            share = optim.warmup_cosine(step, total_steps=total, warmup_steps=warmup)
        elif self.schedule == "step":
            stair = self.decay_epochs * steps_per_epoch
            share = optim.warmup_step(step, decay_steps=stair, factor=self.decay_factor, warmup_steps=warmup)
        else:
            share = optim.warmup(step, warmup_steps=warmup)
        return self.learning_rate * share

    def _groups(self) -> list[optim.Group]:
        groups = []
        for text in self.rate_factors:
            prefix, _, factor = text.partition("=")
            try:
                groups.append(optim.Group(prefix, learning_rate=float(factor)))
            except ValueError as error:
                raise ValueError(f"rate_factors: {text!r} isn't LAYER=FACTOR with a factor of 0 or more") from error
        return groups

    def differences(self, other: Recipe) -> list[tuple[str, str, str]]:
        """Return the names of all choices that another recipe makes differently, with both choices as texts."""
        pairs = [(field.name, getattr(self, field.name), getattr(other, field.name)) for field in fields(self)]
        return [(name, as_text(mine), as_text(its)) for name, mine, its in pairs if mine != its]


def load_data(recipe: Recipe) -> tuple[data.Dataset, data.Dataset]:
    """Return the images that a recipe trains with, and those that it evaluates on.

    Where the data have no test set, a share of ``recipe.validation`` of each class is held out by ``recipe.seed``.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `fastconv.data.load`; ValueError, too, if there is no model of the recipe's name and channels.

    Examples
    --------
    >>> from fastconv import training
    >>> training.load_data(training.Recipe("lenet5"))
    (Dataset(7500 images of 28×28×1), Dataset(1500 images of 28×28×1))
    """
    # Only pictures have to fit; and a model that is large takes long to draw.
    shape = None
    if recipe.data != "digits":
        shape = recipe.create_model(initializer=nn.initialize.zeros).input_shape
    train, test = data.load(recipe.data, input_shape=shape)
    return (train, test) if test is not None else data.split(train, recipe.validation, seed=recipe.seed)


def _takes_channels(model: str) -> bool:
    """Return whether a model's function has an argument ``in_channels``, or passes all on to one that has."""
    if model not in models.MODELS:
        return False
    arguments = inspect.signature(models.MODELS[model]).parameters.values()
    return any(argument.name == "in_channels" or argument.kind is argument.VAR_KEYWORD for argument in arguments)


def _texts(value: str | Iterable[str]) -> tuple[str, ...]:
    return tuple(filter(None, value.split(","))) if isinstance(value, str) else tuple(value)


def as_text(value: object) -> str:
    """Return the value of a choice as the command line takes it."""
    return (",".join(value) or "none") if isinstance(value, tuple) else str(value)
