"""Images for a saved model: those to test it with, and single files, as the model was trained to see them."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fastconv import data, training
from fastconv._arguments import Array
from fastconv.training import Run


def evaluation_images(run: Run, source: str) -> data.Dataset:
    """Return the images to evaluate on: never those that the model was trained with, unless another source is named."""
    path = source if source == "digits" else str(Path(source).expanduser().resolve())
    if path == run.recipe.data:
        return training.load_data(run.recipe)[1]
    train, test = data.load(path, input_shape=run.model.input_shape)
    chosen = train if test is None else test
    unknown = [name for name in chosen.classes if name not in run.classes]
    if unknown:
        raise ValueError(f"{path}: has a class {unknown[0]}, but the model knows {', '.join(run.classes)}")
    positions = np.array([run.classes.index(name) for name in chosen.classes])
    return data.Dataset(chosen.images, positions[chosen.labels], run.classes)


def read_image(run: Run, path: Path) -> tuple[Array, bool]:
    """Return an image like those that the model was trained with, and whether it was inverted for that."""
    if run.white_on_black or run.model.input_shape is None:
        return data.read_image(path)
    height, width, channels = run.model.input_shape
    return data.read_picture(path, height=height, width=width, channels=channels) / np.float32(255), False
