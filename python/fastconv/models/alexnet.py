"""AlexNet: as it is trained today, in one tower, and as it was in 2012, in groups."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts
from fastconv.nn.initialize import Initializer


def alexnet(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    hidden: int = 4096,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return AlexNet in one tower: 61,100,840 parameters with 1000 classes.

    Five convolutions (11×11 with stride 4, 5×5, three of 3×3) with three poolings of 3×3 by 2, an average to 6×6, and
    three dense layers with dropout.

    Parameters
    ----------
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    hidden : int, default 4096
        Units of the two dense layers before the last.
    seed : int or None, default 0
        Where initial weights and dropout come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.
    initializer : callable, optional
        Draws all weights: any function of `fastconv.nn.initialize`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (224, 224, in_channels), other sizes from 63×63 on work as well. Its output are
        logits, (N, num_classes).

    References
    ----------
    A. Krizhevsky: One weird trick for parallelizing convolutional neural networks. arXiv:1404.5997, 2014, where
    the network has one tower and no normalization; in the widths that PyTorch gave it.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> model = models.alexnet(num_classes=5, hidden=16)
    >>> model(np.zeros((1, 64, 64, 3), np.float32)).shape
    (1, 5)
    """
    make = Parts(seed, dtype, initializer)
    model = nn.Sequential(
        conv1=make.conv(in_channels, 64, 11, stride=4, padding=2, activation="relu"),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=make.conv(64, 192, 5, padding=2, activation="relu"),
        pool2=nn.MaxPool2d(3, stride=2),
        conv3=make.conv(192, 384, 3, padding=1, activation="relu"),
        conv4=make.conv(384, 256, 3, padding=1, activation="relu"),
        conv5=make.conv(256, 256, 3, padding=1, activation="relu"),
        pool5=nn.MaxPool2d(3, stride=2),
        average=nn.AdaptiveAvgPool2d(6),
        flatten=nn.Flatten(),
        dropout6=make.dropout(0.5),
        fc6=make.linear(256 * 6 * 6, hidden, "relu"),
        dropout7=make.dropout(0.5),
        fc7=make.linear(hidden, hidden, "relu"),
        fc8=make.head(hidden, num_classes),
    )
    model.input_shape = (224, 224, in_channels)
    return model


def alexnet_2012(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    hidden: int = 4096,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return AlexNet as published: 60,965,224 parameters with 1000 classes.

    What two graphics cards shared are groups of convolutions here: the second, fourth and fifth have two. Local
    response normalization follows the first two.

    Parameters
    ----------
    num_classes, in_channels, hidden, seed, dtype, initializer
        As of `alexnet`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (227, 227, in_channels), with which the paper's sizes come out: 55, 27, 13 and 6.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton: ImageNet classification with deep convolutional neural networks.
    NIPS 2012, sections 3.3 to 3.5. Its alpha of 1e-4 isn't divided by the size of the window, 5, as ours is.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> model = models.alexnet_2012(num_classes=5, hidden=16)
    >>> model(np.zeros((1, 67, 67, 3), np.float32)).shape
    (1, 5)
    """
    make = Parts(seed, dtype, initializer)
    model = nn.Sequential(
        conv1=make.conv(in_channels, 96, 11, stride=4, activation="relu"),
        norm1=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        pool1=nn.MaxPool2d(3, stride=2),
        conv2=make.conv(96, 256, 5, padding=2, groups=2, activation="relu"),
        norm2=nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2.0),
        pool2=nn.MaxPool2d(3, stride=2),
        conv3=make.conv(256, 384, 3, padding=1, activation="relu"),
        conv4=make.conv(384, 384, 3, padding=1, groups=2, activation="relu"),
        conv5=make.conv(384, 256, 3, padding=1, groups=2, activation="relu"),
        pool5=nn.MaxPool2d(3, stride=2),
        average=nn.AdaptiveAvgPool2d(6),
        flatten=nn.Flatten(),
        fc6=make.linear(256 * 6 * 6, hidden, "relu"),
        dropout6=make.dropout(0.5),
        fc7=make.linear(hidden, hidden, "relu"),
        dropout7=make.dropout(0.5),
        fc8=make.head(hidden, num_classes),
    )
    model.input_shape = (227, 227, in_channels)
    return model
