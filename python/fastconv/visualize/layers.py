"""What the layers of a network hold and make: filters, and activations.

M. D. Zeiler, R. Fergus: Visualizing and understanding convolutional networks. ECCV 2014.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from fastconv import nn
from fastconv._arguments import Array
from fastconv.visualize.drawing import (
    check_format,
    check_planes,
    file,
    grid,
    new_figure,
    reach_of,
    show_image,
    show_signed,
)
from fastconv.visualize.probe import Inside


def activations(model: nn.Layer, images: Array, layer: str | None = None) -> dict[str, Array]:
    """Return what each layer of a model makes of images, in evaluation mode.

    Parameters
    ----------
    model : Layer
        Stays as it is. Layers in `fastconv.nn.Sequential`, `fastconv.nn.Residual` and other containers are found.
    images : ndarray, (N, *spatial, C)
        float32 or float64.
    layer : str, optional
        The dotted name of one layer, such as "layer1.0.body"; without it all are returned but those that are a
        `Sequential`, whose output is that of their last layer.

    Returns
    -------
    dict of str to ndarray
        Outputs by the layers' names; where layers are joined, as in a `Residual`, the branches stand before the sum.

    Raises
    ------
    ValueError
        If there is no such layer, or the model doesn't take the images.
    TypeError
        If the images are no floats.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models, visualize
    >>> outputs = visualize.activations(models.lenet5(), np.zeros((2, 32, 32, 1), np.float32))
    >>> list(outputs)
    ['conv1', 'pool1', 'conv2', 'pool2', 'flatten', 'fc1', 'fc2', 'fc3']
    >>> outputs["conv2"].shape
    (2, 10, 10, 16)
    """
    inside = Inside("activations", model)
    # Subclasses may end otherwise than with the output of their last layer.
    wanted = {name for name, found in inside.layers.items() if type(found)._forward is not nn.Sequential._forward}
    if layer is not None:
        inside.named(layer)
        inside.end_at(layer)
    inside.forward(inside.inputs(images))
    if layer is not None:
        return {layer: inside.output_of(layer)}
    found = ((name, probe.output) for name, probe in inside.probes.items() if name in wanted)
    return {name: output for name, output in found if output is not None}


def draw_activations(outputs: Mapping[str, Array], *, image: int = 0, channels: int = 8, format: str = "png") -> bytes:
    """Draw the maps that layers make of one image: a row for each layer, its first channels side by side.

    Parameters
    ----------
    outputs : mapping of str to ndarray
        As of `activations`. Layers whose output isn't (N, H, W, C) aren't drawn.
    image : int, default 0
        Which image of the batch.
    channels : int, default 8
        How many channels of a layer at most.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file. Each map has its own scale of colours, from its smallest value to its largest.

    Raises
    ------
    ValueError
        If ``format`` is unknown, there is nothing to draw, or no such image.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> visualize.draw_activations({"conv1": np.eye(6).reshape(1, 6, 6, 1)})[1:4]
    b'PNG'
    """
    check_format("draw_activations", format)
    maps = {name: output for name, output in outputs.items() if output.ndim == 4 and output.size}
    if not maps or channels < 1:
        raise ValueError(f"draw_activations: {len(maps)} layers and {channels} channels, expected at least 1 of each")
    least = min(map(len, maps.values()))
    if not 0 <= image < least:
        raise ValueError(f"draw_activations: image is {image}, expected 0 to {least - 1}")
    columns = min(channels, max(output.shape[-1] for output in maps.values()))
    figure = new_figure(max(columns, 2) * 1.0, len(maps) * 1.15)
    cells = grid(figure, len(maps), columns)
    for row, (name, output) in zip(cells, maps.items(), strict=True):
        for channel, axes in enumerate(row[: output.shape[-1]]):
            show_image(axes, output[image, :, :, channel], cmap="viridis")
        row[0].set_title(f"{name}, {output.shape[-1]} of {output.shape[1]}×{output.shape[2]}", fontsize=7, loc="left")
    return file(figure, format)


def filters(layer: nn.Layer, channel: int | None = None) -> Array:
    """Return the weight of a convolution as pictures, one for each output channel.

    Parameters
    ----------
    layer : Layer
        A 2-D convolution.
    channel : int, optional
        The input channel whose part of the weight is shown; needed where there are others than one or three.

    Returns
    -------
    ndarray, (K, h, w) or (K, h, w, 3)
        With three input channels and no ``channel``, the last axis are these: the colours of a first layer.

    Raises
    ------
    TypeError
        If the layer isn't a 2-D convolution.
    ValueError
        If ``channel`` is missing, or there is no such channel.

    Examples
    --------
    >>> from fastconv import nn, visualize
    >>> visualize.filters(nn.Conv2d(3, 16, 5)).shape
    (16, 5, 5, 3)
    >>> visualize.filters(nn.Conv2d(16, 32, 3), channel=4).shape
    (32, 3, 3)
    """
    if not isinstance(layer, nn.Conv2d):
        raise TypeError(f"filters: layer is {type(layer).__name__}, expected Conv2d")
    weight = np.moveaxis(layer.parameters["weight"], -1, 0)
    count = weight.shape[-1]
    if channel is None:
        if count not in (1, 3):
            raise ValueError(f"filters: the layer has {count} input channels in a group: say which channel to show")
        return np.array(weight[..., 0] if count == 1 else weight)
    if not 0 <= channel < count:
        raise ValueError(f"filters: channel is {channel}, expected 0 to {count - 1}")
    return np.array(weight[..., channel])


def draw_filters(pictures: Array, *, format: str = "png") -> bytes:
    """Draw filters as a grid.

    Parameters
    ----------
    pictures : ndarray, (K, h, w) or (K, h, w, 3)
        As of `filters`. Plain ones are drawn from blue (negative) over white to red, coloured ones with grey as zero;
        all of them on one scale, which is that of the largest absolute value.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown, or the shape is another.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> from fastconv import nn, visualize
    >>> visualize.draw_filters(visualize.filters(nn.Conv2d(1, 4, 3)))[1:4]
    b'PNG'
    """
    check_format("draw_filters", format)
    check_planes("draw_filters", "pictures", pictures, (3, 4))
    reach = reach_of([pictures])
    columns = min(math.ceil(math.sqrt(len(pictures) * 1.6)), 16)
    rows = -(-len(pictures) // columns)
    figure = new_figure(max(columns * 0.7, 2), max(rows * 0.7, 1))
    for axes, picture in zip(grid(figure, rows, columns).flat, pictures, strict=False):
        if picture.ndim == 3:
            axes.imshow(0.5 + picture / (2 * reach))
        else:
            show_signed(axes, picture, reach)
    return file(figure, format)
