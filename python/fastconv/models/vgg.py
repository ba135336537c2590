"""VGG: nothing but 3×3 convolutions, in five stages that pooling halves."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts
from fastconv.nn.initialize import Initializer

_WIDTHS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}


def vgg(
    depth: int,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    hidden: int = 4096,
    batch_norm: bool = False,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a VGG: 138,357,544 parameters with 16 layers and 1000 classes.

    Parameters
    ----------
    depth : 11, 13, 16 or 19
        Number of layers with weights: configurations A, B, D and E of the paper.
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    hidden : int, default 4096
        Units of the two dense layers before the last.
    batch_norm : bool, default False
        Whether a batch normalization follows every convolution, which 2014 didn't have yet.
    seed : int or None, default 0
        Where initial weights and dropout come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.
    initializer : callable, optional
        Draws all weights: any function of `fastconv.nn.initialize`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (224, 224, in_channels), other sizes from 32×32 on work as well, by an average
        to 7×7 before the dense layers. Its output are logits, (N, num_classes).

    Raises
    ------
    ValueError
        If there is no VGG of this depth.

    References
    ----------
    K. Simonyan, A. Zisserman: Very deep convolutional networks for large-scale image recognition. ICLR 2015, table 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> model = models.vgg(11, num_classes=5, hidden=16)
    >>> model(np.zeros((1, 32, 32, 3), np.float32)).shape
    (1, 5)
    """
    if depth not in _CONVOLUTIONS:
        raise ValueError(f"vgg: depth is {depth}, expected one of {', '.join(map(str, _CONVOLUTIONS))}")
    make = Parts(seed, dtype, initializer)
    layers: dict[str, nn.Layer] = {}
    channels = in_channels
    for stage, (width, convolutions) in enumerate(zip(_WIDTHS, _CONVOLUTIONS[depth], strict=True), 1):
        for number in range(1, convolutions + 1):
            activation = None if batch_norm else "relu"
            layers[f"conv{stage}_{number}"] = make.conv(channels, width, 3, padding=1, activation=activation)
            if batch_norm:
                layers[f"bn{stage}_{number}"] = make.norm(width, "relu")
            channels = width
        layers[f"pool{stage}"] = nn.MaxPool2d(2)
    model = nn.Sequential(
        **layers,
        average=nn.AdaptiveAvgPool2d(7),
        flatten=nn.Flatten(),
        fc6=make.linear(512 * 7 * 7, hidden, "relu"),
        dropout6=make.dropout(0.5),
        fc7=make.linear(hidden, hidden, "relu"),
        dropout7=make.dropout(0.5),
        fc8=make.head(hidden, num_classes),
    )
    model.input_shape = (224, 224, in_channels)
    return model


def vgg11(**options: Any) -> nn.Sequential:
    """Return the VGG of 11 layers, 132,863,336 parameters; the options are those of `vgg`."""
    return vgg(11, **options)


def vgg13(**options: Any) -> nn.Sequential:
    """Return the VGG of 13 layers, 133,047,848 parameters; the options are those of `vgg`."""
    return vgg(13, **options)


def vgg16(**options: Any) -> nn.Sequential:
    """Return the VGG of 16 layers, 138,357,544 parameters; the options are those of `vgg`."""
    return vgg(16, **options)


def vgg19(**options: Any) -> nn.Sequential:
    """Return the VGG of 19 layers, 143,667,240 parameters; the options are those of `vgg`."""
    return vgg(19, **options)
