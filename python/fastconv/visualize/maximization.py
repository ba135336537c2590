"""Activation maximisation: the image that a channel or a class answers to most, found by gradient ascent on its pixels.

D. Erhan, Y. Bengio, A. Courville, P. Vincent: Visualizing higher-layer features of a deep network. Technical report
1341, Université de Montréal, 2009.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from fastconv import nn
from fastconv._arguments import Array
from fastconv.visualize.canvas import Canvas, check_painting
from fastconv.visualize.drawing import check_format, check_planes, file, grid, labels_of, new_figure, show_image
from fastconv.visualize.probe import Inside


class Maximized(NamedTuple):
    """Images that excite channels of a layer.

    Attributes
    ----------
    images : ndarray, (N, *spatial, C)
        One for each channel that was asked for.
    activations : ndarray of float64, (N,)
        What that channel makes of its image: the mean over positions.
    history : ndarray of float64, (steps + 1, N)
        The same before each step, and at the end.
    """

    images: Array
    activations: Array
    history: Array


def maximize(
    model: nn.Layer,
    channels: int | Array,
    layer: str = "",
    *,
    start: Array | None = None,
    input_shape: tuple[int, ...] | None = None,
    bounds: tuple[float, float] = (0.0, 1.0),
    steps: int = 256,
    learning_rate: float = 0.05,
    total_variation: float = 0.2,
    norm: float = 0.1,
    jitter: int = 2,
    seed: int = 0,
    on_step: Callable[[], object] = lambda: None,
) -> Maximized:
    """Return for each channel an image to which it answers strongly, found from noise by gradient ascent.

    Parameters
    ----------
    model : Layer
        Stays as it is, and computes as in evaluation mode.
    channels : int or ndarray of int, (N,)
        Channels of the layer; with a classifier and no layer, its classes.
    layer : str, default ""
        The dotted name of a layer, in any container; "" is the model itself.
    start : ndarray, (N, *spatial, C), optional
        Images to begin with; by default noise around the middle of the range, or, for a channel that makes nothing but
        zeros of that, of 16 images of stronger and coarser noise the one that it answers to most.
    input_shape : tuple of int, optional
        Shape of an image where there is no ``start``, (*spatial, C); by default the model's ``input_shape``.
    bounds : pair of float, default (0, 1)
        The range of an image's values, in which the pixels stay.
    steps : int, default 256
        Number of steps of Adam.
    learning_rate : float, default 0.05
        Size of the first step, in halves of the range of values; it falls to zero with a cosine.
    total_variation : float, default 0.2
        Weight of the differences between neighbouring pixels, beside a gradient of mean square 1. With none, the image
        is noise with high activations; with 1, it is smooth, and they are no higher than those of real images.
    norm : float, default 0.1
        Weight of the sixth power of the pixels, which count from -1 to 1 over the range of values.
    jitter : int, default 2
        Pixels by which the image is moved at random before each step, around its edges.
    seed : int, default 0
        Where the noise and the jitter come from.
    on_step : callable, optional
        Called after each step.

    Returns
    -------
    Maximized
        Named tuple (images, activations, history).

    Raises
    ------
    ValueError
        If there is no such layer or channel, no input shape, or an argument is out of range.
    TypeError
        If ``start`` holds no floats.

    Notes
    -----
    Each image's gradient is brought to the same length, because channels differ in scale. A channel that a ReLU holds
    at zero has none: where neither noise nor the ``start`` wakes it, its image is only smoothed, and its activation is
    zero. A ``start`` of images to which it answers helps then.

    References
    ----------
    D. Erhan et al.: Visualizing higher-layer features of a deep network. 2009. K. Simonyan, A. Vedaldi, A. Zisserman:
    Deep inside convolutional networks. ICLR workshop 2014, section 2, which maximises logits. C. Olah, A. Mordvintsev,
    L. Schubert: Feature visualization. Distill, 2017, for jitter and the mean over a channel's positions.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models, visualize
    >>> found = visualize.maximize(models.lenet5(), np.arange(10), steps=20)
    >>> found.images.shape, bool((found.activations > found.history[0]).all())
    ((10, 32, 32, 1), True)
    """
    check_painting("maximize", steps, jitter, learning_rate=learning_rate, total_variation=total_variation, norm=norm)
    if not -math.inf < bounds[0] < bounds[1] < math.inf:
        raise ValueError(f"maximize: bounds are {bounds}, expected two numbers, the lower one first")
    chosen = np.atleast_1d(np.asarray(channels))
    if chosen.dtype.kind not in "iu" or chosen.ndim != 1 or not chosen.size:
        raise ValueError(f"maximize: channels is {channels!r}, expected an int, or a row of them")
    inside = Inside("maximize", model, gradients=True)
    probe = inside.named(layer)
    inside.end_at(layer)
    rng = np.random.default_rng(seed)
    if start is None:
        images = inside.inputs(_noise((len(chosen), *_shape(model, input_shape)), 0.1, 1, bounds, rng))
    else:
        images = inside.inputs(start)
    if len(images) != len(chosen):
        raise ValueError(f"maximize: start has {len(images)} images, expected {len(chosen)}, one for each channel")
    inside.forward(images)
    made = inside.output_of(layer)
    if not 0 <= chosen.min() <= chosen.max() < made.shape[-1]:
        raise ValueError(f"maximize: channels is {channels!r}, expected 0 to {made.shape[-1] - 1}")
    positions = tuple(range(1, made.ndim - 1))

    def means(made: Array) -> Array:
        return np.asarray(made.mean(axis=positions, dtype=np.float64)[:, chosen])

    silent = means(made).diagonal() == 0
    if start is None and silent.any():
        most = np.zeros(len(chosen))
        for patch in _PATCHES:
            other = inside.inputs(_noise((1, *images.shape[1:]), 1.0, patch, bounds, rng))
            inside.forward(other)
            answers = means(inside.output_of(layer))[0]
            images[silent & (answers > most)] = other
            most = np.maximum(most, answers)
    probe.source = np.zeros_like(made)
    np.moveaxis(probe.source, -1, 1)[np.arange(len(chosen)), chosen] = 1
    canvas = Canvas(images, bounds, total_variation, norm, True, rng, images)
    # A step uphill of mean square 1, in the units of the penalties' gradients.
    length = 2 / ((bounds[1] - bounds[0]) * math.sqrt(images[0].size))

    def look(painted: Array) -> tuple[Array, Array]:
        output = inside.forward(painted)
        answers = means(inside.output_of(layer)).diagonal()
        gradient = inside.backward(np.zeros_like(output))
        norms = np.sqrt(np.square(gradient).sum(axis=tuple(range(1, gradient.ndim)), keepdims=True))
        gradient *= -length / np.where(norms > 0, norms, 1)
        return answers, gradient

    history = canvas.paint(
        look, steps=steps, learning_rate=learning_rate, jitter=jitter, smoothing=1, rng=rng, on_step=on_step
    )
    return Maximized(canvas.images(), history[-1], history)


_PATCHES = (1, 2, 4, 8) * 4  # pixels of one value in each other noise: edges of any width, as strokes have them


def _shape(model: nn.Layer, input_shape: tuple[int, ...] | None) -> tuple[int, ...]:
    shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if shape is None:
        raise ValueError("maximize: input_shape is None, and the model has none; expected (*spatial, channels)")
    return tuple(shape)


def _noise(
    shape: tuple[int, ...], spread: float, patch: int, bounds: tuple[float, float], rng: np.random.Generator
) -> Array:
    """Return images of noise around the middle of the range, with equal pixels in each patch."""
    noise = rng.standard_normal((shape[0], *(-(-extent // patch) for extent in shape[1:-1]), shape[-1]))
    for axis, extent in enumerate(shape[1:-1], 1):
        noise = noise.repeat(patch, axis).take(range(extent), axis)
    low, high = bounds
    return np.asarray(np.clip((low + high) / 2 + spread * (high - low) / 2 * noise, low, high), np.float32)


def draw_maximization(maximized: Maximized, names: Sequence[str] = (), *, format: str = "png") -> bytes:
    """Draw the images that channels answer to most.

    Parameters
    ----------
    maximized : Maximized
        As of `maximize`. Each image has its own scale, and the activation as a title.
    names : sequence of str, optional
        One for each image, to stand before its activation.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown, the images aren't (N, H, W, C), or there are other than N names.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> found = visualize.Maximized(np.eye(6).reshape(1, 6, 6, 1), np.array([2.5]), np.array([[0.1], [2.5]]))
    >>> visualize.draw_maximization(found, ("conv1, 0",))[1:4]
    b'PNG'
    """
    check_format("draw_maximization", format)
    images = maximized.images
    check_planes("draw_maximization", "images", images, (4,))
    labels = labels_of("draw_maximization", names, len(images), ": ")
    columns = min(len(images), 8)
    rows = -(-len(images) // columns)
    figure = new_figure(max(columns * 1.2, 1.8), rows * 1.4)
    cells = grid(figure, rows, columns).flat
    for axes, image, label, activation in zip(cells, images, labels, maximized.activations, strict=False):
        show_image(axes, image)
        axes.set_title(f"{label}{activation:.3g}", fontsize=7)
    return file(figure, format)
