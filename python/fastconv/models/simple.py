"""A small convolutional network for small grey images."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts
from fastconv.nn.initialize import Initializer


def simple_cnn(
    *,
    num_classes: int = 10,
    in_channels: int = 1,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a network of two convolutions for images of 28×28×1: 50,186 parameters with 10 classes.

    Two 3×3 convolutions that keep the size (32 and 64 channels), each with ReLU and max pooling by 2, then
    ``num_classes`` units.

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
        The model; ``input_shape`` is (28, 28, in_channels), and its output are logits, (N, num_classes).

    Examples
    --------
    >>> from fastconv import models
    >>> models.simple_cnn()
    Sequential(
      (conv1): Conv2d(1, 32, kernel_size=(3, 3), padding='same', activation='relu')
      (pool1): MaxPool2d(kernel_size=2)
      (conv2): Conv2d(32, 64, kernel_size=(3, 3), padding='same', activation='relu')
      (pool2): MaxPool2d(kernel_size=2)
      (flatten): Flatten()
      (fc): Linear(3136, 10)
    )
    """
    make = Parts(seed, dtype, initializer)
    model = nn.Sequential(
        conv1=make.conv(in_channels, 32, 3, padding="same", activation="relu"),
        pool1=nn.MaxPool2d(2),
        conv2=make.conv(32, 64, 3, padding="same", activation="relu"),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc=make.head(3136, num_classes),
    )
    model.input_shape = (28, 28, in_channels)
    return model
