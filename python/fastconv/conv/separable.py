"""Separable convolution: each channel by itself, then all channels of each pixel.

    hidden[n, p, j] = the depthwise convolution of input, with multiplier = hidden channels / channels
    output[n, p, k] = bias[k] + sum over j of hidden[n, p, j] * pointwise_weight[j, k]

A convolution of kernel * channels * K weights is replaced by one of (kernel * multiplier + multiplier * K) * channels.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from fastconv import _arguments, dense
from fastconv._arguments import Activation, Array, Padding, PaddingMode, Size
from fastconv.conv import passes


class SeparableConvGradients(NamedTuple):
    """Gradients of a separable convolution: arrays shaped like their namesakes, None where not asked for."""

    input: Array | None
    depthwise_weight: Array | None
    pointwise_weight: Array | None
    bias: Array | None


_ALL = ("input", "depthwise_weight", "pointwise_weight", "bias")


class _Depthwise:
    """The first half of a separable convolution: its arrays, and how its window slides."""

    def __init__(self, operation: str, rank: int, input: object, weight: object, sliding: tuple[object, ...]) -> None:
        self.operation, self.rank = operation, rank
        self.input = _arguments.array(operation, "input", input)
        self.weight = _arguments.array(operation, "depthwise_weight", weight)
        if self.weight.ndim != rank + 2 or self.weight.shape[-2] != 1:
            raise ValueError(
                f"{operation}: depthwise_weight must have {rank + 2} axes (*kernel, 1, channels * multiplier), "
                f"got shape {self.weight.shape}"
            )
        stride, padding, dilation, padding_mode = sliding
        channels = max(self.input.shape[-1], 1) if self.input.ndim else 1
        self.window = (stride, padding, dilation, channels, padding_mode)

    def hidden(self) -> Array:
        return passes.forward(
            self.operation, self.rank, self.input, self.weight, None, *self.window, None, "auto", None
        )

    def backward(self, grad_hidden: Array, wrt: list[str]) -> passes.ConvGradients:
        return passes.backward(
            self.operation, self.rank, grad_hidden, self.input, self.weight, *self.window, "auto", wrt
        )


def _pointwise(operation: str, weight: object) -> tuple[Array, tuple[int, ...]]:
    """Return the weight as a matrix, and its own shape."""
    matrix = _arguments.array(operation, "pointwise_weight", weight)
    if matrix.ndim < 2 or any(extent != 1 for extent in matrix.shape[:-2]):
        raise ValueError(
            f"{operation}: pointwise_weight must have shape (hidden channels, out_channels), got {matrix.shape}"
        )
    return matrix.reshape(matrix.shape[-2:]), matrix.shape


def forward(
    operation: str,
    rank: int,
    input: object,
    depthwise_weight: object,
    pointwise_weight: object,
    bias: Array | None,
    sliding: tuple[object, ...],
    activation: Activation | None,
) -> Array:
    """Convolve; what the functions and layers of all ranks share. sliding: stride, padding, dilation, padding_mode."""
    matrix, _ = _pointwise(operation, pointwise_weight)
    hidden = _Depthwise(operation, rank, input, depthwise_weight, sliding).hidden()
    return dense.linear(hidden, matrix, bias, activation=activation)


def backward(
    operation: str,
    rank: int,
    grad_output: Array,
    input: object,
    depthwise_weight: object,
    pointwise_weight: object,
    sliding: tuple[object, ...],
    wrt: Iterable[str],
) -> SeparableConvGradients:
    """Return the gradients; what the functions and layers of all ranks share."""
    asked = [wrt] if isinstance(wrt, str) else list(wrt)
    if unknown := [name for name in asked if name not in _ALL]:
        raise ValueError(f"{operation}: wrt must be names among {_ALL}, got {unknown}")
    depthwise = _Depthwise(operation, rank, input, depthwise_weight, sliding)
    matrix, shape = _pointwise(operation, pointwise_weight)
    first = [name for name in ("input", "weight") if name.replace("weight", "depthwise_weight") in asked]
    second = [name.replace("pointwise_", "") for name in asked if name in ("pointwise_weight", "bias")]
    hidden = depthwise.hidden()  # which is cheap beside the rest, and so isn't kept
    mixed = dense.linear_backward(grad_output, hidden, matrix, wrt=[*second, *(["input"] if first else [])])
    split = passes.ConvGradients(None, None, None)
    if first and mixed.input is not None:
        split = depthwise.backward(mixed.input, first)
    grad_pointwise = None if mixed.weight is None else mixed.weight.reshape(shape)
    return SeparableConvGradients(split.input, split.weight, grad_pointwise, mixed.bias)


def separable_conv2d(
    input: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
) -> Array:
    """Convolve each channel of a batch of images by itself, then mix the channels of each pixel.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64
    depthwise_weight : (kernel_h, kernel_w, 1, C * multiplier) array
        The filters of each channel; channel c makes the hidden channels [c * multiplier, (c + 1) * multiplier).
    pointwise_weight : (C * multiplier, K) array; (1, 1, C * multiplier, K) as well
    bias : (K,) array, optional
    stride, padding, dilation, padding_mode
        As in `conv2d`, of the first half.
    activation
        As in `conv2d`, of the output.

    Returns
    -------
    (N, H_out, W_out, K) array, or (H_out, W_out, K) where the input has no batch axis

    Raises
    ------
    ValueError, TypeError
        As `conv2d`.

    References
    ----------
    F. Chollet, "Xception: deep learning with depthwise separable convolutions", CVPR 2017.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.ones((1, 5, 5, 2))
    >>> fc.separable_conv2d(image, np.ones((3, 3, 1, 2)), np.ones((2, 4))).shape
    (1, 3, 3, 4)
    """
    sliding = (stride, padding, dilation, padding_mode)
    return forward("separable_conv2d", 2, input, depthwise_weight, pointwise_weight, bias, sliding, activation)


def separable_conv1d(
    input: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
) -> Array:
    """Convolve sequences, (N, L, C), channel by channel, then mix; takes the arguments of `separable_conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.separable_conv1d(np.ones((1, 5, 2)), np.ones((3, 1, 2)), np.ones((2, 4))).shape
    (1, 3, 4)
    """
    sliding = (stride, padding, dilation, padding_mode)
    return forward("separable_conv1d", 1, input, depthwise_weight, pointwise_weight, bias, sliding, activation)


def separable_conv3d(
    input: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
) -> Array:
    """Convolve volumes, (N, D, H, W, C), channel by channel, then mix; takes the arguments of `separable_conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.separable_conv3d(np.ones((1, 5, 5, 5, 2)), np.ones((3, 3, 3, 1, 2)), np.ones((2, 4))).shape
    (1, 3, 3, 3, 4)
    """
    sliding = (stride, padding, dilation, padding_mode)
    return forward("separable_conv3d", 3, input, depthwise_weight, pointwise_weight, bias, sliding, activation)


def separable_conv2d_backward(
    grad_output: Array,
    input: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    padding_mode: PaddingMode = "zeros",
    wrt: Iterable[str] = _ALL,
) -> SeparableConvGradients:
    """Return the gradients of a loss with respect to what went into `separable_conv2d`.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, K) array
        Gradient with respect to the output, in front of an activation.
    input, depthwise_weight, pointwise_weight, stride, padding, dilation, padding_mode
        As in the forward call.
    wrt : names among "input", "depthwise_weight", "pointwise_weight" and "bias"

    Returns
    -------
    SeparableConvGradients
        Named tuple (input, depthwise_weight, pointwise_weight, bias); None where not asked for.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, filters, matrix = np.ones((1, 3, 3, 2)), np.ones((3, 3, 1, 2)), np.ones((2, 4))
    >>> fc.separable_conv2d_backward(np.ones((1, 1, 1, 4)), x, filters, matrix).pointwise_weight[0]
    array([9., 9., 9., 9.])
    """
    sliding = (stride, padding, dilation, padding_mode)
    operation = "separable_conv2d_backward"
    return backward(operation, 2, grad_output, input, depthwise_weight, pointwise_weight, sliding, wrt)


def separable_conv1d_backward(
    grad_output: Array,
    input: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    padding_mode: PaddingMode = "zeros",
    wrt: Iterable[str] = _ALL,
) -> SeparableConvGradients:
    """Return the gradients of `separable_conv1d`; takes the arguments of `separable_conv2d_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, filters, matrix = np.ones((1, 3, 2)), np.ones((3, 1, 2)), np.ones((2, 4))
    >>> gradients = fc.separable_conv1d_backward(np.ones((1, 1, 4)), x, filters, matrix)
    >>> gradients.pointwise_weight[0]
    array([3., 3., 3., 3.])
    """
    sliding = (stride, padding, dilation, padding_mode)
    operation = "separable_conv1d_backward"
    return backward(operation, 1, grad_output, input, depthwise_weight, pointwise_weight, sliding, wrt)


def separable_conv3d_backward(
    grad_output: Array,
    input: Array,
    depthwise_weight: Array,
    pointwise_weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    padding_mode: PaddingMode = "zeros",
    wrt: Iterable[str] = _ALL,
) -> SeparableConvGradients:
    """Return the gradients of `separable_conv3d`; takes the arguments of `separable_conv2d_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, filters, matrix = np.ones((1, 3, 3, 3, 2)), np.ones((3, 3, 3, 1, 2)), np.ones((2, 4))
    >>> gradients = fc.separable_conv3d_backward(np.ones((1, 1, 1, 1, 4)), x, filters, matrix)
    >>> gradients.pointwise_weight[0]
    array([27., 27., 27., 27.])
    """
    sliding = (stride, padding, dilation, padding_mode)
    operation = "separable_conv3d_backward"
    return backward(operation, 3, grad_output, input, depthwise_weight, pointwise_weight, sliding, wrt)
