"""MobileNets: convolutions taken apart into a depthwise and a pointwise half."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv._arguments import Activation
from fastconv.models.parts import Parts, rounded
from fastconv.nn.initialize import Initializer

# (output channels, stride) of each block.
_V1_BLOCKS = [(64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1)]

# (expansion, output channels, blocks, stride of the first) of each stage: table 2 of the paper.
_V2_STAGES = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
]


def mobilenet_v1(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    width_multiplier: float = 1.0,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a MobileNet of the first version: 4,231,976 parameters with 1000 classes.

    A 3×3 convolution, then thirteen separable ones, with batch normalization and ReLU after each half.

    Parameters
    ----------
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    width_multiplier : float, default 1
        Scales the channels of all layers; they are rounded to multiples of 8.
    seed : int or None, default 0
        Where initial weights come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.
    initializer : callable, optional
        Draws all weights: any function of `fastconv.nn.initialize`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (224, 224, in_channels), any other size works as well. Its output are logits,
        (N, num_classes).

    References
    ----------
    A. G. Howard et al.: MobileNets: efficient convolutional neural networks for mobile vision applications.
    arXiv:1704.04861, 2017, table 1.

    Examples
    --------
    >>> from fastconv import models
    >>> models.mobilenet_v1(width_multiplier=0.25).layers["block1"]
    Sequential(
      (depthwise): Conv2d(8, 8, kernel_size=(3, 3), padding=1, groups=8, bias=False)
      (bn1): BatchNorm(8, activation='relu')
      (pointwise): Conv2d(8, 16, kernel_size=(1, 1), bias=False)
      (bn2): BatchNorm(16, activation='relu')
    )
    """
    make = Parts(seed, dtype, initializer)
    channels = rounded(32 * width_multiplier)
    model = nn.Sequential(
        conv1=make.conv(in_channels, channels, 3, stride=2, padding=1, bias=False), bn1=make.norm(channels, "relu")
    )
    for number, (width, stride) in enumerate(_V1_BLOCKS, 1):
        out_channels = rounded(width * width_multiplier)
        model.layers[f"block{number}"] = nn.Sequential(
            depthwise=make.conv(channels, channels, 3, stride=stride, padding=1, groups=channels, bias=False),
            bn1=make.norm(channels, "relu"),
            pointwise=make.conv(channels, out_channels, 1, bias=False),
            bn2=make.norm(out_channels, "relu"),
        )
        channels = out_channels
    model.layers |= {"pool": nn.GlobalAvgPool(), "fc": make.head(channels, num_classes)}
    model.input_shape = (224, 224, in_channels)
    return model


def mobilenet_v2(
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    width_multiplier: float = 1.0,
    dropout: float = 0.2,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a MobileNet of the second version: 3,504,872 parameters with 1000 classes.

    Seventeen inverted residuals: blocks that widen, convolve each channel by itself, and narrow without an activation;
    where shapes allow, the input is added.

    Parameters
    ----------
    num_classes, in_channels, width_multiplier, seed, dtype, initializer
        As of `mobilenet_v1`; the last convolution doesn't get narrower than 1280 channels.
    dropout : float, default 0.2
        The rate before the last layer.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (224, 224, in_channels), any other size works as well. Its output are logits,
        (N, num_classes).

    References
    ----------
    M. Sandler, A. Howard, M. Zhu, A. Zhmoginov, L.-C. Chen: MobileNetV2: inverted residuals and linear bottlenecks.
    CVPR 2018, tables 1 and 2.

    Examples
    --------
    >>> from fastconv import models
    >>> models.mobilenet_v2(num_classes=5).layers["block1"]
    Sequential(
      (depthwise): Conv2d(32, 32, kernel_size=(3, 3), padding=1, groups=32, bias=False)
      (bn2): BatchNorm(32, activation='relu6')
      (project): Conv2d(32, 16, kernel_size=(1, 1), bias=False)
      (bn3): BatchNorm(16)
    )
    """
    make = Parts(seed, dtype, initializer)
    channels = rounded(32 * width_multiplier)
    model = nn.Sequential(
        conv1=make.conv(in_channels, channels, 3, stride=2, padding=1, bias=False), bn1=make.norm(channels, "relu6")
    )
    number = 0
    for expansion, width, blocks, first_stride in _V2_STAGES:
        out_channels = rounded(width * width_multiplier)
        for block in range(blocks):
            number += 1
            stride = first_stride if block == 0 else 1
            body = _inverted(make, channels, out_channels, expansion, stride, "relu6")
            same = stride == 1 and channels == out_channels
            model.layers[f"block{number}"] = nn.Residual(body) if same else body
            channels = out_channels
    last = rounded(1280 * max(1.0, width_multiplier))
    model.layers |= {
        "conv2": make.conv(channels, last, 1, bias=False),
        "bn2": make.norm(last, "relu6"),
        "pool": nn.GlobalAvgPool(),
        "dropout": make.dropout(dropout),
        "fc": make.head(last, num_classes),
    }
    model.input_shape = (224, 224, in_channels)
    return model


def _inverted(
    make: Parts, in_channels: int, out_channels: int, expansion: int, stride: int, activation: Activation
) -> nn.Sequential:
    hidden = in_channels * expansion
    layers: dict[str, nn.Layer] = {}
    if expansion != 1:
        layers |= {"expand": make.conv(in_channels, hidden, 1, bias=False), "bn1": make.norm(hidden, activation)}
    return nn.Sequential(
        **layers,
        depthwise=make.conv(hidden, hidden, 3, stride=stride, padding=1, groups=hidden, bias=False),
        bn2=make.norm(hidden, activation),
        project=make.conv(hidden, out_channels, 1, bias=False),
        bn3=make.norm(out_channels),
    )
