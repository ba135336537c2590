"""Pictures of a training run: learning curves, the images that a model gets wrong, and what it takes for what."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fastconv._arguments import Array
from fastconv._extras import require
from fastconv.data import Dataset
from fastconv.training import EpochResult
from fastconv.visualize.drawing import check_format, file, new_figure


def learning_curves(history: Sequence[EpochResult], *, format: str = "png") -> bytes:
    """Draw the loss and the share of misclassified images over the epochs, both on a logarithmic scale.

    Parameters
    ----------
    history : sequence of EpochResult
        At least one epoch.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown.
    ImportError
        If matplotlib isn't installed.
    """
    check_format("learning_curves", format)
    ticker = require("matplotlib.ticker")
    figure = new_figure(9, 3.8)
    losses, errors = figure.subplots(1, 2)
    epochs = [result.epoch for result in history]
    best = max(history, key=lambda result: result.test_accuracy)
    labels = {"train": "train", "test": f"test, best {_error(best.test_accuracy):.2f} % in epoch {best.epoch}"}
    for part, colour in (("train", "#8da0cb"), ("test", "#d95f02")):
        style = {"color": colour, "marker": "o", "markersize": 3}
        losses.plot(epochs, [getattr(result, f"{part}_loss") for result in history], label=part, **style)
        error = [_error(getattr(result, f"{part}_accuracy")) for result in history]
        errors.plot(epochs, error, label=labels[part], **style)
    for axes, title in ((losses, "Loss"), (errors, "Misclassified (%)")):
        axes.set(title=title, xlabel="epoch")
        axes.xaxis.set_major_locator(ticker.MaxNLocator(integer=True))
        if math.isfinite(axes.dataLim.minposy):  # A logarithmic axis needs something above zero.
            axes.set_yscale("log")
            axes.yaxis.set(major_locator=ticker.LogLocator(subs=(1, 2, 5)), major_formatter="{x:g}")
            axes.yaxis.set_minor_formatter(ticker.NullFormatter())
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    return file(figure, format)


def misclassified(dataset: Dataset, probabilities: Array, *, most: int = 40, format: str = "png") -> bytes:
    """Draw the images that a model gets wrong, those first that it is surest of.

    Parameters
    ----------
    dataset : Dataset
        Images and their labels.
    probabilities : ndarray, (N, classes)
        What the model gives to the images.
    most : int, default 40
        How many images to draw at most.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown.
    ImportError
        If matplotlib isn't installed.
    """
    check_format("misclassified", format)
    predicted, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != dataset.labels)
    shown = wrong[np.argsort(-sureness[wrong], kind="stable")][:most]
    columns = 8
    rows = max(-(-len(shown) // columns), 1)
    figure = new_figure(columns * 1.1, rows * 1.35 + 0.7)
    for axes in (cells := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.axis("off")
    for axes, index in zip(cells.flat, shown, strict=False):
        image, label = dataset[index]
        axes.imshow(image.squeeze(), cmap="gray_r", vmin=0, vmax=1)
        right, taken = (_name(dataset.classes, which) for which in (label, predicted[index]))
        axes.set_title(f"{right} read as {taken}\n{100 * sureness[index]:.0f} % sure", fontsize=7)
    some = f" (here the {len(shown)} that it is surest of)" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(dataset):,} misclassified{some}", fontsize=10)
    return file(figure, format)


def confusion_matrix(confusion: NDArray[np.int64], classes: Sequence[str] = (), *, format: str = "png") -> bytes:
    """Draw how many images of each class a model takes for which class.

    Parameters
    ----------
    confusion : ndarray of int, (classes, classes)
        Numbers of images by their class (row) and the class that the model finds most probable (column), as in
        `fastconv.training.Evaluation`. A cell's colour is its share of the row.
    classes : sequence of str, optional
        The names of the classes.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown.
    ImportError
        If matplotlib isn't installed.
    """
    check_format("confusion_matrix", format)
    count = len(confusion)
    side = min(max(0.45 * count, 3.0), 12.0)
    figure = new_figure(side + 1.2, side + 1.0)
    axes = figure.subplots()
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set(xlabel="predicted", ylabel="class")
    if count <= 30:  # More names, or numbers in cells, would lie over each other.
        names = [_name(classes, label) for label in range(count)]
        axes.set_xticks(range(count), names, rotation=90 if max(map(len, names)) > 3 else 0)
        axes.set_yticks(range(count), names)
        for row, column in zip(*np.nonzero(confusion), strict=True):
            colour = "white" if shares[row, column] > 0.5 else "black"
            number = f"{confusion[row, column]}"
            axes.text(column, row, number, ha="center", va="center", color=colour, fontsize=7)
    right, total = int(confusion.trace()), int(confusion.sum())
    axes.set_title(f"{right:,} of {total:,} right", fontsize=10)
    return file(figure, format)


def _name(classes: Sequence[str], label: int) -> str:
    return classes[label] if classes else str(label)


def _error(accuracy: float) -> float:
    return 100 * (1 - accuracy)
