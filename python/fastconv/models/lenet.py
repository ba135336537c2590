"""LeNet-5, with ReLU and max pooling where 1998 had sigmoids and trained averages."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts
from fastconv.nn.initialize import Initializer


def lenet5(
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a LeNet-5 for images of 32×32×1: 61,706 parameters with 10 classes.

    Two 5×5 convolutions (6 and 16 channels), each with ReLU and max pooling by 2, then 120, 84 and ``num_classes``
    units.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images.
    seed : int or None, default 0
        Where the initial weights come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.
    initializer : callable, optional
        Draws all weights: any function of `fastconv.nn.initialize`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (32, 32, in_channels), and its output are logits, (N, num_classes).

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. Proceedings of
    the IEEE 86, 1998, section II.B. Here the second convolution sees all six maps, and the classes are plain units.

    Examples
    --------
    >>> from fastconv import models
    >>> model = models.lenet5()
    >>> sum(parameter.size for parameter in model.parameters.values())
    61706
    """
    make = Parts(seed, dtype, initializer)
    model = nn.Sequential(
        conv1=make.conv(in_channels, 6, 5, activation="relu"),
        pool1=nn.MaxPool2d(2),
        conv2=make.conv(6, 16, 5, activation="relu"),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=make.linear(400, 120, "relu"),
        fc2=make.linear(120, 84, "relu"),
        fc3=make.head(84, num_classes),
    )
    model.input_shape = (32, 32, in_channels)
    return model
