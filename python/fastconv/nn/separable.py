"""Separable convolution layers: a depthwise convolution, then a pointwise one, with nothing between."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastconv._arguments import Activation, Array, Padding, PaddingMode, Size, per_axis
from fastconv.conv import separable
from fastconv.nn.activation import activation_backward, check_activation, finish_activation, fused_activation
from fastconv.nn.initialize import Initializer, Seed, floating, he_uniform
from fastconv.nn.layer import Layer


class SeparableConv(Layer):
    """Separable convolution over ``rank`` spatial axes; use `SeparableConv1d`, `SeparableConv2d` or `SeparableConv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size : int or tuple of int
        Extent of the depthwise kernel.
    stride, padding, dilation, padding_mode
        Of the depthwise half, as of `Conv`.
    multiplier : int, default 1
        Hidden channels that each input channel makes.
    bias, activation, initializer, seed, dtype
        As of `Conv`; bias and activation belong to the output.

    Raises
    ------
    ValueError, TypeError
        As `Conv`.

    Notes
    -----
    ``parameters`` are ``depthwise_weight``, (*kernel_size, 1, in_channels * multiplier), ``pointwise_weight``,
    (in_channels * multiplier, out_channels), and ``bias``, (out_channels,).
    """

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        padding_mode: PaddingMode = "zeros",
        multiplier: int = 1,
        bias: bool = True,
        activation: Activation | None = None,
        initializer: Initializer = he_uniform,
        seed: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        name = type(self).__name__
        kernel = per_axis(name, "kernel_size", kernel_size, self.rank)
        check_activation(name, activation)
        rng, hidden = np.random.default_rng(seed), in_channels * multiplier
        parameters = {
            "depthwise_weight": initializer((*kernel, 1, hidden), rng, dtype),
            "pointwise_weight": initializer((hidden, out_channels), rng, dtype),
        }
        if bias:
            parameters["bias"] = np.zeros(out_channels, floating(dtype))
        super().__init__(parameters)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.activation = activation
        self._sliding = (stride, padding, dilation, padding_mode)

    @property
    def window(self) -> dict[str, Any]:
        """How the kernel slides, as ``kernel_size``, ``stride``, ``padding`` and ``dilation``."""
        kernel_size = self.parameters["depthwise_weight"].shape[:-2]
        stride, padding, dilation, _ = self._sliding
        return {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        weights = self.parameters["depthwise_weight"], self.parameters["pointwise_weight"]
        fused = fused_activation(self.activation, self.training)
        operation, bias = f"separable_conv{self.rank}d", self.parameters.get("bias")
        output = separable.forward(operation, self.rank, input, *weights, bias, self._sliding, fused)
        output, kept = finish_activation(self.activation, self.training, output)
        return output, (input, kept)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        input, kept = saved
        arrays = (
            activation_backward(self.activation, grad_output, kept),
            input,
            self.parameters["depthwise_weight"],
            self.parameters["pointwise_weight"],
        )
        wrt = self._wrt(input_gradient)
        operation = f"separable_conv{self.rank}d_backward"
        gradients = separable.backward(operation, self.rank, *arrays, self._sliding, wrt)
        self._accumulate(
            depthwise_weight=gradients.depthwise_weight,
            pointwise_weight=gradients.pointwise_weight,
            bias=gradients.bias,
        )
        return gradients.input

    def _describe(self) -> str:
        kernel = self.parameters["depthwise_weight"].shape[:-2]
        return f"{self.in_channels}, {self.out_channels}, kernel_size={kernel}"


class SeparableConv1d(SeparableConv):
    """Separable convolution of sequences, (N, L, C). See `SeparableConv` for the arguments."""

    rank = 1


class SeparableConv2d(SeparableConv):
    """Separable convolution of images, (N, H, W, C). See `SeparableConv` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.SeparableConv2d(8, 16, 3, padding="same", activation="relu", seed=0)
    >>> output = layer(np.zeros((2, 16, 16, 8), np.float32))
    >>> output.shape
    (2, 16, 16, 16)
    >>> layer.backward(np.ones_like(output)).shape
    (2, 16, 16, 8)
    """

    rank = 2


class SeparableConv3d(SeparableConv):
    """Separable convolution of volumes, (N, D, H, W, C). See `SeparableConv` for the arguments."""

    rank = 3
