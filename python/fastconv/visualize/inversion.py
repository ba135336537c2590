"""Feature inversion: what a layer knows of an image, shown as another image to which it answers the same.

What differs between the two is what the layer has left behind.

A. Mahendran, A. Vedaldi: Understanding deep image representations by inverting them. CVPR 2015.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastconv import nn
from fastconv._arguments import Array
from fastconv.visualize.canvas import Canvas, check_painting
from fastconv.visualize.drawing import check_format, check_planes, file, grid, labels_of, new_figure, show_image
from fastconv.visualize.probe import Inside


class Inverted(NamedTuple):
    """Images whose activations are those of others.

    Attributes
    ----------
    images : ndarray, (N, *spatial, C)
        What was found.
    errors : ndarray of float64, (N,)
        ``|found - wanted| / |wanted|`` of the layer's activations, in the Euclidean norm.
    history : ndarray of float64, (steps + 1, N)
        The loss before each step and at the end: the square of that error plus the penalties.
    """

    images: Array
    errors: Array
    history: Array


def invert(
    model: nn.Layer,
    images: Array,
    layer: str,
    *,
    steps: int = 300,
    learning_rate: float = 0.3,
    total_variation: float = 0.01,
    norm: float = 0.001,
    jitter: int = 0,
    seed: int = 0,
    on_step: Callable[[], object] = lambda: None,
) -> Inverted:
    """Return images that a layer can't tell from the given ones, found from noise by gradient descent.

    Parameters
    ----------
    model : Layer
        Stays as it is, and computes as in evaluation mode.
    images : ndarray, (N, *spatial, C)
        float32 or float64. Only their activations and the range of their values are used.
    layer : str
        The dotted name of a layer, in any container; "" is the model itself.
    steps : int, default 300
        Number of steps of Adam. More of them, and more of them in deep layers, make the error smaller.
    learning_rate : float, default 0.3
        Size of the first step, in halves of the range of values; it falls to zero with a cosine.
    total_variation : float, default 0.01
        Weight of the mean square of the differences between neighbouring pixels. At the beginning it is thirty times as
        high, so that large shapes come first.
    norm : float, default 0.001
        Weight of the mean sixth power of the pixels, which count from -1 to 1 over the range of values.
    jitter : int, default 0
        Pixels by which the image found is moved at random before each step, around its edges. Activations that hang on
        positions can't be reproduced so well then.
    seed : int, default 0
        Where the noise and the jitter come from.
    on_step : callable, optional
        Called after each step.

    Returns
    -------
    Inverted
        Named tuple (images, errors, history).

    Raises
    ------
    ValueError
        If there is no such layer, an argument is out of range, or the layer is zero for an image.
    TypeError
        If the images are no floats.

    Notes
    -----
    The penalties are means over an image in units of half the range of values, and the error is relative, so that their
    weights mean the same for any size and layer.

    References
    ----------
    A. Mahendran, A. Vedaldi: Understanding deep image representations by inverting them. CVPR 2015, equations 1 to 4;
    with a total variation of exponent 2, and Adam in place of momentum.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models, visualize
    >>> image = np.random.default_rng(0).random((1, 28, 28, 1), np.float32)
    >>> found = visualize.invert(models.simple_cnn(), image, "conv1", total_variation=0)
    >>> found.images.shape, bool(found.errors[0] < 0.01)
    ((1, 28, 28, 1), True)
    """
    check_painting("invert", steps, jitter, learning_rate=learning_rate, total_variation=total_variation, norm=norm)
    inside = Inside("invert", model, gradients=True)
    probe = inside.named(layer)
    inside.end_at(layer)
    inputs = inside.inputs(images)
    inside.forward(inputs)
    wanted = inside.output_of(layer)
    each = (len(wanted), *(1 for _ in wanted.shape[1:]))
    square = _square(wanted)
    if not square.all():
        raise ValueError(f"invert: layer {layer!r} is zero for image {square.argmin()}, which leaves nothing to go by")
    rng = np.random.default_rng(seed)
    bounds = float(inputs.min()), float(inputs.max())
    canvas = Canvas(inputs, bounds, total_variation, norm, False, rng)
    errors = np.empty(0)

    def look(painted: Array) -> tuple[Array, Array]:
        nonlocal errors
        output = inside.forward(painted)
        difference = inside.output_of(layer) - wanted
        errors = _square(difference) / square
        probe.source = difference * (2 / square).astype(difference.dtype).reshape(each)
        return errors + canvas.penalties(), inside.backward(np.zeros_like(output))

    history = canvas.paint(
        look, steps=steps, learning_rate=learning_rate, jitter=jitter, smoothing=30, rng=rng, on_step=on_step
    )
    return Inverted(canvas.images(), np.sqrt(errors), history)


def _square(values: Array) -> Array:
    """Return the sum of squares of each image, in float64."""
    return np.asarray(np.square(values, dtype=np.float64).sum(axis=tuple(range(1, values.ndim))))


def draw_inversion(images: Array, inverted: Inverted, names: Sequence[str] = (), *, format: str = "png") -> bytes:
    """Draw images, and below each what a layer knows of it.

    Parameters
    ----------
    images : ndarray, (N, H, W, C)
        At most 16 are drawn.
    inverted : Inverted
        As of `invert`. Each image found has the scale of the one above, and its error as a title.
    names : sequence of str, optional
        One for each image found, its layer for example, to stand before its error.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown, the shapes don't fit, or there are other than N names.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> images = np.eye(6).reshape(1, 6, 6, 1)
    >>> found = visualize.Inverted(images / 2, np.array([0.5]), np.array([[1.0], [0.25]]))
    >>> visualize.draw_inversion(images, found)[1:4]
    b'PNG'
    """
    check_format("draw_inversion", format)
    check_planes("draw_inversion", "images", images, (4,))
    if inverted.images.shape != images.shape:
        raise ValueError(f"draw_inversion: images found have shape {inverted.images.shape}, expected {images.shape}")
    shown = min(len(images), 16)
    figure = new_figure(max(shown * 1.1, 1.6), 2.5)
    labels = labels_of("draw_inversion", names, len(images), "\n")
    for axes, below, image, found, error, label in zip(
        *grid(figure, 2, shown), images, *inverted[:2], labels, strict=False
    ):
        bounds = float(image.min()), float(image.max())
        show_image(axes, image, bounds)
        show_image(below, found, bounds)
        below.set_title(f"{label}error {100 * error:.2g} %", fontsize=7)
    return file(figure, format)
