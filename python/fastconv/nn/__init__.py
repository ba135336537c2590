"""Layers, losses and initial values for networks that train from NumPy arrays."""

from fastconv.nn import initialize
from fastconv.nn.activation import GELU, Hardswish, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh
from fastconv.nn.adaptive_pool import (
    AdaptiveAvgPool,
    AdaptiveAvgPool1d,
    AdaptiveAvgPool2d,
    AdaptiveAvgPool3d,
    AdaptiveMaxPool,
    AdaptiveMaxPool1d,
    AdaptiveMaxPool2d,
    AdaptiveMaxPool3d,
)
from fastconv.nn.container import Container, Residual, Sequential
from fastconv.nn.conv import Conv, Conv1d, Conv2d, Conv3d
from fastconv.nn.conv_transpose import ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.nn.dropout import Dropout, StochasticDepth
from fastconv.nn.fold import fold_batch_norm
from fastconv.nn.layer import Layer
from fastconv.nn.linear import Linear
from fastconv.nn.loss import cross_entropy
from fastconv.nn.norm import BatchNorm, GroupNorm, InstanceNorm, LayerNorm, LocalResponseNorm
from fastconv.nn.pool import (
    AvgPool,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
    LpPool,
    LpPool1d,
    LpPool2d,
    LpPool3d,
    MaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from fastconv.nn.resample import Concatenate, Crop, PixelShuffle, Upsample, ZeroPad
from fastconv.nn.separable import SeparableConv, SeparableConv1d, SeparableConv2d, SeparableConv3d
from fastconv.nn.shape import Flatten
from fastconv.nn.squeeze_excitation import SqueezeExcitation
from fastconv.nn.unpool import MaxUnpool

__all__ = [
    "GELU",
    "AdaptiveAvgPool",
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AdaptiveMaxPool3d",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "BatchNorm",
    "Concatenate",
    "Container",
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Crop",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "GroupNorm",
    "Hardswish",
    "InstanceNorm",
    "Layer",
    "LayerNorm",
    "LeakyReLU",
    "Linear",
    "LocalResponseNorm",
    "LpPool",
    "LpPool1d",
    "LpPool2d",
    "LpPool3d",
    "MaxPool",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool",
    "PixelShuffle",
    "ReLU",
    "ReLU6",
    "Residual",
    "SeparableConv",
    "SeparableConv1d",
    "SeparableConv2d",
    "SeparableConv3d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "SqueezeExcitation",
    "StochasticDepth",
    "Tanh",
    "Upsample",
    "ZeroPad",
    "cross_entropy",
    "fold_batch_norm",
    "initialize",
]
