"""Where numbers stop being numbers: the first layer whose output isn't finite."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fastconv import nn
from fastconv._arguments import Array


def first_not_finite(model: nn.Layer, images: Array) -> str | None:
    """Return the name of the first layer whose output isn't finite, or None if all are.

    The images go through the model layer by layer, through `fastconv.nn.Sequential` in `fastconv.nn.Sequential` as
    well; whatever else holds layers counts as one.

    Parameters
    ----------
    model : Layer
        In training mode random layers draw and averages over batches move, as in every forward pass.
    images : ndarray
        Of the model's input shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models, training
    >>> model = models.lenet5()
    >>> model.parameters["conv2.bias"][3] = np.nan
    >>> training.first_not_finite(model, np.zeros((1, 32, 32, 1), np.float32))
    'conv2'
    """
    return next((name for name, _, output in _outputs(model, images, "") if not _finite(output)), None)


def explain(model: nn.Layer, images: Array) -> str:
    """Say in half a sentence why a loss isn't finite."""
    if not _finite(images):
        return "the images themselves aren't finite"
    for name, layer, output in _outputs(model, images, ""):
        if not _finite(output):
            faulty = [parameter for parameter, value in layer.parameters.items() if not _finite(value)]
            cause = f", nor is its {' or its '.join(faulty)}" if faulty else ""
            return f"the output of layer {name} ({type(layer).__name__}) isn't finite{cause}"
    return "the outputs of all layers are finite"


def _outputs(layer: nn.Layer, input: Array, name: str) -> Iterator[tuple[str, nn.Layer, Array]]:
    """Yield the name of every layer, itself and its output."""
    # Subclasses may go another way through their layers than one after another.
    if not isinstance(layer, nn.Sequential) or type(layer)._forward is not nn.Sequential._forward:
        yield name, layer, layer(input)
        return
    for key, inner in layer.layers.items():
        for found in _outputs(inner, input, f"{name}.{key}" if name else key):
            yield found
            input = found[2]


def _finite(values: Array) -> bool:
    return bool(np.isfinite(values).all())
