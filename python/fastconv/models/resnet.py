"""ResNet: blocks that learn what to add to their input."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts
from fastconv.nn.initialize import Initializer

_BLOCKS = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}


def resnet(
    depth: int,
    *,
    num_classes: int = 1000,
    in_channels: int = 3,
    stride_in_1x1: bool = False,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a ResNet: 25,557,032 parameters with 50 layers and 1000 classes.

    A 7×7 convolution and a pooling, then four stages of residual blocks: two 3×3 convolutions each up to 34 layers,
    bottlenecks of 1×1, 3×3 and 1×1 from 50 on. Batch normalization follows every convolution.

    Parameters
    ----------
    depth : 18, 34, 50, 101 or 152
        Number of layers with weights, without those of shortcuts.
    num_classes : int, default 1000
        Number of outputs.
    in_channels : int, default 3
        Channels of the images.
    stride_in_1x1 : bool, default False
        Where a bottleneck makes its step: in the 3×3 convolution, as most have it today ("v1.5"), or in the 1×1 before
        it, as published, which is cheaper and sees less.
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

    Raises
    ------
    ValueError
        If there is no ResNet of this depth.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition. CVPR 2016, table 1, with
    projections where sizes change (option B).

    Examples
    --------
    >>> from fastconv import models
    >>> model = models.resnet(18, num_classes=5)
    >>> model.layers["layer2"].layers["0"]
    Residual(activation='relu'
      (body): Sequential(
        (conv1): Conv2d(64, 128, kernel_size=(3, 3), stride=2, padding=1, bias=False)
        (bn1): BatchNorm(128, activation='relu')
        (conv2): Conv2d(128, 128, kernel_size=(3, 3), padding=1, bias=False)
        (bn2): BatchNorm(128)
      )
      (shortcut): Sequential(
        (conv): Conv2d(64, 128, kernel_size=(1, 1), stride=2, bias=False)
        (bn): BatchNorm(128)
      )
    )
    """
    if depth not in _BLOCKS:
        raise ValueError(f"resnet: depth is {depth}, expected one of {', '.join(map(str, _BLOCKS))}")
    make = Parts(seed, dtype, initializer)
    model = nn.Sequential(
        conv1=make.conv(in_channels, 64, 7, stride=2, padding=3, bias=False),
        bn1=make.norm(64, "relu"),
        pool1=nn.MaxPool2d(3, stride=2, padding=1),
    )
    channels = 64
    for stage, blocks in enumerate(_BLOCKS[depth], 1):
        width, layers = 32 * 2**stage, []
        for block in range(blocks):
            stride = 2 if stage > 1 and block == 0 else 1
            if depth < 50:
                layers.append(_basic(make, channels, width, stride))
                channels = width
            else:
                layers.append(_bottleneck(make, channels, width, stride, stride_in_1x1))
                channels = 4 * width
        model.layers[f"layer{stage}"] = nn.Sequential(*layers)
    model.layers |= {"pool": nn.GlobalAvgPool(), "fc": make.head(channels, num_classes)}
    model.input_shape = (224, 224, in_channels)
    return model


def small_resnet(
    *,
    depth: int = 20,
    num_classes: int = 10,
    in_channels: int = 1,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a ResNet for images of 32×32: 272,186 parameters with 20 layers, one channel and 10 classes.

    A 3×3 convolution, then three stages of blocks with 16, 32 and 64 channels at 32×32, 16×16 and 8×8.

    Parameters
    ----------
    depth : int, default 20
        Number of layers with weights: 2 and a multiple of 6. The paper has 20, 32, 44, 56 and 110.
    num_classes : int, default 10
        Number of outputs.
    in_channels : int, default 1
        Channels of the images; colour images have 3.
    seed, dtype, initializer
        As of `resnet`.

    Returns
    -------
    Sequential
        The model; ``input_shape`` is (32, 32, in_channels), and its output are logits, (N, num_classes).

    Raises
    ------
    ValueError
        If ``depth`` isn't 2 and a positive multiple of 6.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition. CVPR 2016, section 4.2; here with
    projections where sizes change, which cost 2,752 parameters.

    Examples
    --------
    >>> from fastconv import models
    >>> model = models.small_resnet(in_channels=3)
    >>> sum(parameter.size for parameter in model.parameters.values())
    272474
    """
    if depth < 8 or (depth - 2) % 6:
        raise ValueError(f"small_resnet: depth is {depth}, expected 2 and a multiple of 6: 8, 14, 20, ...")
    make = Parts(seed, dtype, initializer)
    model = nn.Sequential(
        conv1=make.conv(in_channels, 16, 3, padding=1, bias=False),
        bn1=make.norm(16, "relu"),
    )
    channels = 16
    for stage, width in enumerate((16, 32, 64), 1):
        layers = []
        for block in range((depth - 2) // 6):
            layers.append(_basic(make, channels, width, stride=2 if stage > 1 and block == 0 else 1))
            channels = width
        model.layers[f"layer{stage}"] = nn.Sequential(*layers)
    model.layers |= {"pool": nn.GlobalAvgPool(), "fc": make.head(channels, num_classes)}
    model.input_shape = (32, 32, in_channels)
    return model


def _basic(make: Parts, in_channels: int, width: int, stride: int) -> nn.Residual:
    body = nn.Sequential(
        conv1=make.conv(in_channels, width, 3, stride=stride, padding=1, bias=False),
        bn1=make.norm(width, "relu"),
        conv2=make.conv(width, width, 3, padding=1, bias=False),
        bn2=make.norm(width),
    )
    return nn.Residual(body, _projection(make, in_channels, width, stride), activation="relu")


def _bottleneck(make: Parts, in_channels: int, width: int, stride: int, stride_in_1x1: bool) -> nn.Residual:
    first, second = (stride, 1) if stride_in_1x1 else (1, stride)
    body = nn.Sequential(
        conv1=make.conv(in_channels, width, 1, stride=first, bias=False),
        bn1=make.norm(width, "relu"),
        conv2=make.conv(width, width, 3, stride=second, padding=1, bias=False),
        bn2=make.norm(width, "relu"),
        conv3=make.conv(width, 4 * width, 1, bias=False),
        bn3=make.norm(4 * width),
    )
    return nn.Residual(body, _projection(make, in_channels, 4 * width, stride), activation="relu")


def _projection(make: Parts, in_channels: int, out_channels: int, stride: int) -> nn.Sequential | None:
    """Return what brings the shortcut to the body's shape, or None where it has that already."""
    if stride == 1 and in_channels == out_channels:
        return None
    return nn.Sequential(
        conv=make.conv(in_channels, out_channels, 1, stride=stride, bias=False), bn=make.norm(out_channels)
    )


def resnet18(**options: Any) -> nn.Sequential:
    """Return the ResNet of 18 layers, 11,689,512 parameters; the options are those of `resnet`."""
    return resnet(18, **options)


def resnet34(**options: Any) -> nn.Sequential:
    """Return the ResNet of 34 layers, 21,797,672 parameters; the options are those of `resnet`."""
    return resnet(34, **options)


def resnet50(**options: Any) -> nn.Sequential:
    """Return the ResNet of 50 layers, 25,557,032 parameters; the options are those of `resnet`."""
    return resnet(50, **options)


def resnet101(**options: Any) -> nn.Sequential:
    """Return the ResNet of 101 layers, 44,549,160 parameters; the options are those of `resnet`."""
    return resnet(101, **options)


def resnet152(**options: Any) -> nn.Sequential:
    """Return the ResNet of 152 layers, 60,192,808 parameters; the options are those of `resnet`."""
    return resnet(152, **options)
