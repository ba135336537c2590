"""What an output sees of the image: counted from the layers' windows, and measured with gradients.

W. Luo, Y. Li, R. Urtasun, R. Zemel: Understanding the effective receptive field in deep convolutional neural networks.
NIPS 2016: gradients fade towards the edge of the field, so that an output sees less than it could.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv import analysis, nn, runtime
from fastconv._arguments import Array, integer
from fastconv.visualize.drawing import check_format, check_planes, file, grid, new_figure, show_image
from fastconv.visualize.probe import Inside

Box = tuple[tuple[int, int], ...]


class Seen(NamedTuple):
    """What one output of a layer sees of the image.

    Attributes
    ----------
    gradient : ndarray, (*spatial,)
        The mean over images of the gradient's absolute value, the sum over channels.
    measured : tuple of (int, int)
        First pixel with a gradient, and the first behind the last, along each axis; (0, 0) where there is none.
    theoretical : tuple of (int, int)
        The same as `fastconv.analysis.receptive_field` has it, without what lies beyond the image's edges.
    """

    gradient: Array
    measured: Box
    theoretical: Box


def receptive_field_of(
    model: nn.Layer,
    layer: str,
    position: tuple[int, ...],
    images: Array | None = None,
    *,
    samples: int = 16,
    seed: int = 0,
) -> Seen:
    """Return what one position of a layer's output sees of the image.

    Parameters
    ----------
    model : Layer
        Stays as it is, and computes as in evaluation mode.
    layer : str
        The dotted name of a layer with a map as output, in any container.
    position : tuple of int
        Which output, one index for each spatial axis.
    images : ndarray, (N, *spatial, C), optional
        What to measure with; by default ``samples`` images of normal noise of the model's ``input_shape``.
    samples : int, default 16
        Number of these.
    seed : int, default 0
        Where they come from.

    Returns
    -------
    Seen
        Named tuple (gradient, measured, theoretical).

    Raises
    ------
    ValueError
        If there is no such layer or position, or neither images nor an ``input_shape``.
    TypeError
        If the images are no floats.

    Notes
    -----
    A maximum has a gradient for one pixel of its window, and a ReLU none where it is zero, so what is measured lies in
    the theoretical field and reaches its corners only after enough images. Global layers that act beside the longest
    path, as in `fastconv.nn.SqueezeExcitation`, aren't counted in theory, and are measured.

    References
    ----------
    A. Araujo, W. Norris, J. Sim: Computing receptive fields of convolutional neural networks. Distill, 2019.

    Examples
    --------
    >>> from fastconv import models, visualize
    >>> seen = visualize.receptive_field_of(models.lenet5(), "conv2", (0, 4))
    >>> seen.theoretical, seen.measured
    (((0, 14), (8, 22)), ((0, 14), (8, 22)))
    """
    inside = Inside("receptive_field_of", model, gradients=True)
    probe = inside.named(layer)
    inside.end_at(layer)
    if images is None:
        shape = getattr(model, "input_shape", None)
        if shape is None or integer("receptive_field_of", "samples", samples) < 1:
            raise ValueError(f"receptive_field_of: input_shape is {shape}, samples={samples}; give images, or both")
        images = np.random.default_rng(seed).standard_normal((samples, *shape), np.float32)
    # Winograd's transforms leave rounding errors where there is nothing.
    with runtime.options(winograd=False):
        inputs = inside.inputs(images)
        output = inside.forward(inputs)
        made = inside.output_of(layer)
        extents = made.shape[1:-1]
        if made.ndim != inputs.ndim or len(position) != len(extents):
            raise ValueError(f"receptive_field_of: position is {position}, but layer {layer!r} gives {made.shape}")
        if not all(0 <= index < extent for index, extent in zip(position, extents, strict=True)):
            raise ValueError(f"receptive_field_of: position is {position}, expected one inside {extents}")
        probe.source = np.zeros_like(made)
        np.moveaxis(probe.source, 0, -1)[position] = 1  # for all images and channels
        gradient = np.abs(inside.backward(np.zeros_like(output))).sum(axis=-1).mean(axis=0)
    fields = analysis.receptive_field(model, inputs.shape[1:])
    prefix = f"{layer}." if layer else ""
    found = [field for name, field in fields.items() if name == layer or name.startswith(prefix)]
    if not found:
        raise ValueError(f"receptive_field_of: layer {layer!r} lies in a container whose windows aren't known")
    theoretical = []
    for extent, index, *axis in zip(gradient.shape, position, *found[-1], strict=True):
        size, stride, centre = axis
        first, last = centre + index * stride - (size - 1) / 2, centre + index * stride + (size - 1) / 2
        theoretical.append((max(math.ceil(first), 0), min(math.floor(last) + 1, extent)))
    return Seen(gradient, _box(gradient != 0), tuple(theoretical))


def _box(mask: Array) -> Box:
    return tuple((int(at.min()), int(at.max()) + 1) if at.size else (0, 0) for at in np.nonzero(mask))


def draw_receptive_field(image: Array, seen: Seen, *, format: str = "png") -> bytes:
    """Draw on an image what an output sees of it, and beside it how much each pixel counts.

    Parameters
    ----------
    image : ndarray, (H, W, C)
        The image.
    seen : Seen
        As of `receptive_field_of`.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file. The theoretical field has a broken line around it, the measured one a whole one.

    Raises
    ------
    ValueError
        If ``format`` is unknown, or the shapes don't fit.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models, visualize
    >>> seen = visualize.receptive_field_of(models.lenet5(), "pool2", (2, 2))
    >>> visualize.draw_receptive_field(np.zeros((32, 32, 1)), seen)[1:4]
    b'PNG'
    """
    check_format("draw_receptive_field", format)
    check_planes("draw_receptive_field", "image", image, (3,))
    if image.shape[:2] != seen.gradient.shape:
        raise ValueError(f"draw_receptive_field: image has shape {image.shape}, expected {seen.gradient.shape} pixels")
    figure = new_figure(5.6, 3.1)
    left, right = grid(figure, 1, 2).flat
    show_image(left, image)
    right.imshow(seen.gradient, cmap="inferno", vmin=0, vmax=float(seen.gradient.max()) or 1.0)
    for box, colour, line in ((seen.measured, "#d95f02", "-"), (seen.theoretical, "#66c2a5", "--")):
        (top, bottom), (first, last) = box
        rows, columns = [top, top, bottom, bottom, top], [first, last, last, first, first]
        for axes in (left, right):
            axes.plot(np.subtract(columns, 0.5), np.subtract(rows, 0.5), line, color=colour, linewidth=1.5)
    left.set_title("measured (line), theoretical (broken)", fontsize=8)
    right.set_title("mean absolute gradient", fontsize=8)
    return file(figure, format)
