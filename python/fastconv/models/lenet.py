"""LeNet-5, with ReLU and max pooling where 1998 had sigmoids and trained averages."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn


def lenet5(*, num_classes: int = 10, seed: int | None = 0, dtype: DTypeLike = np.float32) -> nn.Sequential:
    """Return a LeNet-5 for images of 32×32×1: 61,706 parameters with 10 classes.

    Two 5×5 convolutions (6 and 16 channels), each with ReLU and max pooling by 2, then 120, 84 and ``num_classes``
    units.

    Parameters
    ----------
    num_classes : int, default 10
        Number of outputs.
    seed : int or None, default 0
        Where the initial weights come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (32, 32, 1), and its output are logits, (N, num_classes).

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
    generator = np.random.default_rng(seed)
    model = nn.Sequential(
        conv1=nn.Conv2d(1, 6, 5, activation="relu", seed=generator, dtype=dtype),
        pool1=nn.MaxPool2d(2),
        conv2=nn.Conv2d(6, 16, 5, activation="relu", seed=generator, dtype=dtype),
        pool2=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        fc1=nn.Linear(400, 120, activation="relu", seed=generator, dtype=dtype),
        fc2=nn.Linear(120, 84, activation="relu", seed=generator, dtype=dtype),
        fc3=nn.Linear(84, num_classes, initializer=nn.initialize.glorot_uniform, seed=generator, dtype=dtype),
    )
    model.input_shape = (32, 32, 1)
    return model
