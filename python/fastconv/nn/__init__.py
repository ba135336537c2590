"""Layers, losses and initial values for networks that train from NumPy arrays."""

from fastconv.nn import initialize
from fastconv.nn.activation import GELU, Hardswish, LeakyReLU, ReLU, ReLU6, Sigmoid, SiLU, Tanh
from fastconv.nn.conv import Conv, Conv1d, Conv2d, Conv3d
from fastconv.nn.conv_transpose import ConvTranspose, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from fastconv.nn.dropout import Dropout
from fastconv.nn.layer import Layer, Sequential
from fastconv.nn.linear import Linear
from fastconv.nn.loss import cross_entropy
from fastconv.nn.pool import (
    AvgPool,
    AvgPool1d,
    AvgPool2d,
    AvgPool3d,
    GlobalAvgPool,
    GlobalMaxPool,
    MaxPool,
    MaxPool1d,
    MaxPool2d,
    MaxPool3d,
)
from fastconv.nn.separable import SeparableConv, SeparableConv1d, SeparableConv2d, SeparableConv3d
from fastconv.nn.shape import Flatten

__all__ = [
    "GELU",
    "AvgPool",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "Conv",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose",
    "ConvTranspose1d",
    "ConvTranspose2d",
    "ConvTranspose3d",
    "Dropout",
    "Flatten",
    "GlobalAvgPool",
    "GlobalMaxPool",
    "Hardswish",
    "Layer",
    "LeakyReLU",
    "Linear",
    "MaxPool",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "ReLU",
    "ReLU6",
    "SeparableConv",
    "SeparableConv1d",
    "SeparableConv2d",
    "SeparableConv3d",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Tanh",
    "cross_entropy",
    "initialize",
]
