"""Evaluation and prediction: what a model says of images, and how often it is right."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fastconv import classification, data, nn
from fastconv._arguments import Array


@dataclass(frozen=True, eq=False)
class Evaluation:
    """How a model does on a data set.

    Attributes
    ----------
    loss : float
        Mean cross-entropy.
    accuracy : float
        Share of right answers.
    probabilities : ndarray, (N, classes)
        What the model gives to each image.
    confusion : ndarray of int64, (classes, classes)
        Number of images by their class (row) and the class that the model finds most probable (column).
    top5_accuracy : float or None
        Share of images whose class is among the five most probable ones; None with ten classes or less, where that says
        little.
    """

    loss: float
    accuracy: float
    probabilities: Array
    confusion: NDArray[np.int64]
    top5_accuracy: float | None = None

    @property
    def class_accuracy(self) -> NDArray[np.float64]:
        """Share of right answers by class, (classes,); NaN for a class without images."""
        images = self.confusion.sum(axis=1)
        share: NDArray[np.float64] = self.confusion.diagonal() / np.where(images, images, np.nan)
        return share


def predict(model: nn.Sequential, images: Array, *, batch_size: int = 256) -> Array:
    """Return the probabilities (N, classes) that a model gives to images (N, H, W, C).

    Images smaller than the model's input get zeros around them; grey ones get three equal channels where the model
    wants these.

    Raises
    ------
    ValueError
        If the images are larger than the model's input, or have other channels.

    Examples
    --------
    >>> from fastconv import data, models, training
    >>> train, test = data.digits()
    >>> training.predict(models.lenet5(), test.images[:5]).shape
    (5, 10)
    """
    return classification.softmax(
        _logits(model, (images[i : i + batch_size] for i in range(0, len(images), batch_size)))
    )


def evaluate(model: nn.Sequential, dataset: data.Dataset, *, batch_size: int = 256) -> Evaluation:
    """Return how a model does on a data set.

    Raises
    ------
    ValueError
        If the data set has labels that the model has no output for.

    Examples
    --------
    >>> from fastconv import data, models, training
    >>> train, test = data.digits()
    >>> evaluation = training.evaluate(models.lenet5(), test)
    >>> evaluation.accuracy < 0.3  # before training
    True
    >>> int(evaluation.confusion.sum())
    1500
    """
    logits = _logits(model, (images for images, _ in data.batches(dataset, batch_size)))
    labels, classes = dataset.labels, logits.shape[1]
    loss = classification.cross_entropy(logits, labels)
    predicted = logits.argmax(axis=1)
    confusion = np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)
    top5 = None
    if classes > 10:
        five = np.argpartition(-logits, 5, axis=1)[:, :5]
        top5 = int(np.count_nonzero(five == labels[:, np.newaxis])) / len(labels)
    accuracy = int(np.count_nonzero(predicted == labels)) / len(labels)
    return Evaluation(loss, accuracy, classification.softmax(logits), confusion, top5)


def adapt(model: nn.Sequential, images: Array) -> Array:
    """Return the images with zeros around them, where the model wants them larger, and with three equal channels.

    Raises
    ------
    ValueError
        If the images are larger than the model's input, or have other channels.
    """
    if model.input_shape is None:
        return images
    height, width, channels = model.input_shape
    if (images.shape[3], channels) == (1, 3):
        images = np.repeat(images, channels, axis=3)
    if images.shape[3] != channels:
        raise ValueError(f"images have {images.shape[3]} channels, expected {channels}")
    return data.pad_images(images, height, width)


def _logits(model: nn.Sequential, batches: Iterable[Array]) -> Array:
    was_training = model.training
    model.eval()
    try:
        return np.concatenate([model(adapt(model, images)) for images in batches])
    finally:
        if was_training:
            model.train()
