"""Batch normalization folded into the convolution before it: for inference, one layer instead of two.

In evaluation mode a batch normalization is a factor and a summand for each channel. A layer that is linear in its
weight can take them over, with the activation, which it then applies in its store.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from fastconv._arguments import Array
from fastconv.nn.container import Container, Sequential
from fastconv.nn.conv import Conv
from fastconv.nn.conv_transpose import ConvTranspose
from fastconv.nn.layer import Layer
from fastconv.nn.linear import Linear
from fastconv.nn.norm import BatchNorm
from fastconv.nn.separable import SeparableConv


def fold_batch_norm(model: Layer) -> Layer:
    """Return a model for inference, in which batch normalizations are folded into the layers before them.

    Wherever a `BatchNorm` directly follows a convolution (transposed and separable ones too) or a `Linear` without an
    activation in a `Sequential`, at any depth, the two become one layer under the name of the first, which applies the
    activation of the normalization.

    Parameters
    ----------
    model : Layer
        Stays as it is.

    Returns
    -------
    Layer
        A model of the same kind in evaluation mode. Its outputs are those of ``model`` in evaluation mode, up to
        rounding. Its convolutions, but for transposed and separable ones, have parameters of their own and weights that
        are read-only until ``train()`` is called: they are kept a second time, in the layout or the transform that
        kernels want for the last shape of input. Other layers that nothing was folded into share their arrays with
        those of ``model``.

    References
    ----------
    B. Jacob et al.: Quantization and training of neural networks for efficient integer-arithmetic-only inference.
    CVPR 2018, section 3.2, equation 14.

    Examples
    --------
    >>> from fastconv import nn
    >>> model = nn.Sequential(conv=nn.Conv2d(3, 8, 3, bias=False), norm=nn.BatchNorm(8, activation="relu"))
    >>> nn.fold_batch_norm(model)
    Sequential(
      (conv): Conv2d(3, 8, kernel_size=(3, 3), activation='relu')
    )
    """
    twin = model.twin()
    _fold_inside(twin)
    _fix_weights(twin)
    return twin.eval()


def _fold_inside(layer: Layer) -> None:
    if isinstance(layer, Container):
        for inner in layer.layers.values():
            _fold_inside(inner)
        if isinstance(layer, Sequential):
            _fold_neighbours(layer.layers)


def _fix_weights(layer: Layer) -> None:
    if isinstance(layer, Container):
        for inner in layer.layers.values():
            _fix_weights(inner)
    elif isinstance(layer, Conv) and not isinstance(layer, ConvTranspose):
        layer.fix_weight()


def _fold_neighbours(layers: dict[str, Layer]) -> None:
    for (first_name, first), (second_name, second) in pairwise(list(layers.items())):
        if not isinstance(first, Conv | SeparableConv | Linear) or not isinstance(second, BatchNorm):
            continue
        if first.activation is None:
            layers[first_name] = _joined(first, second)
            del layers[second_name]


def _joined(layer: Conv | SeparableConv | Linear, norm: BatchNorm) -> Layer:
    """Return a layer that computes what the two do in evaluation mode."""
    mean, variance = (norm.buffers[name].astype(np.float64) for name in ("running_mean", "running_var"))
    factor = norm.parameters["scale"] / np.sqrt(variance + norm.epsilon)
    bias = norm.parameters["bias"] + (layer.parameters.get("bias", 0.0) - mean) * factor
    name = "pointwise_weight" if isinstance(layer, SeparableConv) else "weight"
    weight = layer.parameters[name]
    if isinstance(layer, ConvTranspose):
        factor = _by_group(factor, weight)
    arrays = {**layer.parameters, name: weight * factor, "bias": bias}
    joined = layer.twin()
    Layer.__init__(joined, {key: value.astype(weight.dtype) for key, value in arrays.items()})
    joined.activation = norm.activation
    return joined


def _by_group(factor: Array, weight: Array) -> Array:
    """Return the factors of output channels as transposed weights want them: (out_channels // groups, in_channels)."""
    per_group, in_channels = weight.shape[-2:]
    groups = factor.size // per_group
    factors: Array = np.repeat(factor.reshape(groups, per_group), in_channels // groups, axis=0).T
    return factors
