"""Pictures of a training run: learning curves, and the digits that a model gets wrong.

They are drawn on matplotlib's Figure objects without pyplot, so that no display is needed and no global state changes.
"""

from __future__ import annotations

import io
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv._arguments import Array
from fastconv._extras import require
from fastconv.data import Dataset
from fastconv.training import EpochResult


def learning_curves(history: Sequence[EpochResult]) -> bytes:
    """Draw the loss and the share of misclassified images over the epochs, both on a logarithmic scale.

    Parameters
    ----------
    history : sequence of EpochResult
        At least one epoch.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ImportError
        If matplotlib isn't installed.
    """
    ticker = require("matplotlib.ticker")
    figure = _figure(9, 3.8)
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
    return _png(figure)


def misclassified(dataset: Dataset, probabilities: Array, *, most: int = 40) -> bytes:
    """Draw the images that a model gets wrong, those first that it is surest of.

    Parameters
    ----------
    dataset : Dataset
        Images and their labels.
    probabilities : ndarray, (N, classes)
        What the model gives to the images.
    most : int, default 40
        How many images to draw at most.

    Returns
    -------
    bytes
        A PNG file.

    Raises
    ------
    ImportError
        If matplotlib isn't installed.
    """
    predicted, sureness = probabilities.argmax(axis=1), probabilities.max(axis=1)
    wrong = np.flatnonzero(predicted != dataset.labels)
    shown = wrong[np.argsort(-sureness[wrong], kind="stable")][:most]
    columns = 8
    rows = max(-(-len(shown) // columns), 1)
    figure = _figure(columns * 1.1, rows * 1.35 + 0.7)
    for axes in (cells := figure.subplots(rows, columns, squeeze=False)).flat:
        axes.axis("off")
    for axes, index in zip(cells.flat, shown, strict=False):
        image, label = dataset[index]
        axes.imshow(image.squeeze(), cmap="gray_r", vmin=0, vmax=1)
        axes.set_title(f"{label} read as {predicted[index]}\n{100 * sureness[index]:.0f} % sure", fontsize=7)
    some = f" (here the {len(shown)} that it is surest of)" if len(shown) < len(wrong) else ""
    figure.suptitle(f"{len(wrong)} of {len(dataset):,} misclassified{some}", fontsize=10)
    return _png(figure)


def _error(accuracy: float) -> float:
    return 100 * (1 - accuracy)


def _figure(width: float, height: float) -> Any:
    return require("matplotlib.figure").Figure(figsize=(width, height), dpi=120, layout="constrained")


def _png(figure: Any) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()
