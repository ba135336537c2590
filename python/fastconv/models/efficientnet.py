"""EfficientNet: one network found by search, and depth, width and resolution scaled together."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts, rounded
from fastconv.nn.initialize import Initializer

# (expansion, kernel, stride of the first block, output channels, blocks) of each stage: table 1 of the paper.
_STAGES = [
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
]

# (width, depth, size of the images, dropout) of b0 to b7, as the authors published them with their weights.
_SCALES = [
    (1.0, 1.0, 224, 0.2),
    (1.0, 1.1, 240, 0.2),
    (1.1, 1.2, 260, 0.3),
    (1.2, 1.4, 300, 0.3),
    (1.4, 1.8, 380, 0.4),
    (1.6, 2.2, 456, 0.4),
    (1.8, 2.6, 528, 0.5),
    (2.0, 3.1, 600, 0.5),
]

# The authors' batch normalization: averages over many small batches, and a floor under small variances.
_NORM: dict[str, Any] = {"momentum": 0.01, "epsilon": 1e-3}


def efficientnet(
    number: int,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    dropout: float | None = None,
    stochastic_depth: float = 0.2,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return an EfficientNet: 5,288,548 parameters as b0 with 1000 classes.

    Inverted residuals with squeeze and excitation and SiLU, in seven stages. From b0 to b7 channels are scaled by
    up to 2.0, blocks by up to 3.1, and images to 600×600.

    Parameters
    ----------
    number : int, 0 to 7
        Which of b0 to b7.
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    dropout : float, optional
        The rate before the last layer; by default 0.2 for b0 to 0.5 for b7.
    stochastic_depth : float, default 0.2
        The rate that residual blocks approach from the first, 0, to the last.
    seed : int or None, default 0
        Where initial weights, dropout and stochastic depth come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.
    initializer : callable, optional
        Draws all weights: any function of `fastconv.nn.initialize`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (224, 224, in_channels) for b0, any other size works as well. Its output are
        logits, (N, num_classes).

    Raises
    ------
    ValueError
        If ``number`` isn't 0 to 7.

    References
    ----------
    M. Tan, Q. V. Le: EfficientNet: rethinking model scaling for convolutional neural networks. ICML 2019, table 1 and
    section 3.3. Paddings are symmetric here.

    Examples
    --------
    >>> from fastconv import models
    >>> models.efficientnet(0, num_classes=5).layers["stage2"].layers["1"]
    Residual(
      (body): Sequential(
        (expand): Conv2d(24, 144, kernel_size=(1, 1), bias=False)
        (bn1): BatchNorm(144, momentum=0.01, epsilon=0.001, activation='silu')
        (depthwise): Conv2d(144, 144, kernel_size=(3, 3), padding=1, groups=144, bias=False)
        (bn2): BatchNorm(144, momentum=0.01, epsilon=0.001, activation='silu')
        (gate): SqueezeExcitation(
          (squeeze): Linear(144, 6, activation='silu')
          (excite): Linear(6, 144, activation='sigmoid')
        )
        (project): Conv2d(144, 24, kernel_size=(1, 1), bias=False)
        (bn3): BatchNorm(24, momentum=0.01, epsilon=0.001)
        (drop): StochasticDepth(0.025)
      )
    )
    """
    if number not in range(len(_SCALES)):
        raise ValueError(f"efficientnet: number is {number}, expected 0 to {len(_SCALES) - 1}")
    width, depth, size, usual_dropout = _SCALES[number]
    make = Parts(seed, dtype, initializer)
    channels = rounded(32 * width)
    model = nn.Sequential(
        conv1=make.conv(in_channels, channels, 3, stride=2, padding=1, bias=False),
        bn1=make.norm(channels, "silu", **_NORM),
    )
    repeats = [math.ceil(blocks * depth) for *_, blocks in _STAGES]
    done, total = 0, sum(repeats)
    for stage, (expansion, kernel, first_stride, base_channels, _) in enumerate(_STAGES, 1):
        out_channels = rounded(base_channels * width)
        blocks: list[nn.Layer] = []
        for block in range(repeats[stage - 1]):
            stride = first_stride if block == 0 else 1
            rate = stochastic_depth * done / total
            blocks.append(_block(make, channels, out_channels, expansion, kernel, stride, rate))
            channels = out_channels
            done += 1
        model.layers[f"stage{stage}"] = nn.Sequential(*blocks)
    model.layers |= {
        "conv2": make.conv(channels, 4 * channels, 1, bias=False),
        "bn2": make.norm(4 * channels, "silu", **_NORM),
        "pool": nn.GlobalAvgPool(),
        "dropout": make.dropout(usual_dropout if dropout is None else dropout),
        "fc": make.head(4 * channels, num_classes),
    }
    model.input_shape = (size, size, in_channels)
    return model


def _block(
    make: Parts, in_channels: int, out_channels: int, expansion: int, kernel: int, stride: int, rate: float
) -> nn.Layer:
    hidden = in_channels * expansion
    layers: dict[str, nn.Layer] = {}
    if expansion != 1:
        layers["expand"] = make.conv(in_channels, hidden, 1, bias=False)
        layers["bn1"] = make.norm(hidden, "silu", **_NORM)
    padding = kernel // 2
    layers["depthwise"] = make.conv(hidden, hidden, kernel, stride=stride, padding=padding, groups=hidden, bias=False)
    layers["bn2"] = make.norm(hidden, "silu", **_NORM)
    layers["gate"] = make.gate(hidden, max(1, in_channels // 4), "silu")
    layers["project"] = make.conv(hidden, out_channels, 1, bias=False)
    layers["bn3"] = make.norm(out_channels, **_NORM)
    if stride != 1 or in_channels != out_channels:
        return nn.Sequential(**layers)
    return nn.Residual(nn.Sequential(**layers, drop=make.stochastic_depth(rate)))


def efficientnet_b0(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B0, 5,288,548 parameters; the options are those of `efficientnet`."""
    return efficientnet(0, **options)


def efficientnet_b1(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B1, 7,794,184 parameters; the options are those of `efficientnet`."""
    return efficientnet(1, **options)


def efficientnet_b2(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B2, 9,109,994 parameters; the options are those of `efficientnet`."""
    return efficientnet(2, **options)


def efficientnet_b3(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B3, 12,233,232 parameters; the options are those of `efficientnet`."""
    return efficientnet(3, **options)


def efficientnet_b4(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B4, 19,341,616 parameters; the options are those of `efficientnet`."""
    return efficientnet(4, **options)


def efficientnet_b5(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B5, 30,389,784 parameters; the options are those of `efficientnet`."""
    return efficientnet(5, **options)


def efficientnet_b6(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B6, 43,040,704 parameters; the options are those of `efficientnet`."""
    return efficientnet(6, **options)


def efficientnet_b7(**options: Any) -> nn.Sequential:
    """Return EfficientNet-B7, 66,347,960 parameters; the options are those of `efficientnet`."""
    return efficientnet(7, **options)
