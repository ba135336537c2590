"""Pooling layers to a given number of outputs: one kind for any rank each; the names with 1d, 2d and 3d only fix it."""

from __future__ import annotations

from typing import Any, ClassVar

from fastconv import pool
from fastconv._arguments import Array
from fastconv.nn.layer import Layer
from fastconv.pool.adaptive_pool import OutputSize

_AVG_FORWARD = {1: pool.adaptive_avg_pool1d, 2: pool.adaptive_avg_pool2d, 3: pool.adaptive_avg_pool3d}
_AVG_BACKWARD = {
    1: pool.adaptive_avg_pool1d_backward,
    2: pool.adaptive_avg_pool2d_backward,
    3: pool.adaptive_avg_pool3d_backward,
}
_MAX_FORWARD = {1: pool.adaptive_max_pool1d, 2: pool.adaptive_max_pool2d, 3: pool.adaptive_max_pool3d}
_MAX_BACKWARD = {
    1: pool.adaptive_max_pool1d_backward,
    2: pool.adaptive_max_pool2d_backward,
    3: pool.adaptive_max_pool3d_backward,
}


class AdaptiveAvgPool(Layer):
    """Mean over as many windows as there are to be outputs; use `AdaptiveAvgPool2d` and its kin.

    Parameters
    ----------
    output_size : int, one int or None per axis, or None
        Extents of the output; None keeps that of the input.

    Notes
    -----
    Inputs are (N, *spatial, C), of any spatial extents.
    """

    rank: ClassVar[int]

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self._output_size = output_size

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return _AVG_FORWARD[self.rank](input, self._output_size), (input.shape,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input_shape,) = saved
        return _AVG_BACKWARD[self.rank](grad_output, input_shape) if input_gradient else None

    def _describe(self) -> str:
        return repr(self._output_size)


class AdaptiveMaxPool(Layer):
    """Maximum over as many windows as there are to be outputs; use `AdaptiveMaxPool2d` and its kin.

    Parameters
    ----------
    output_size : int, one int or None per axis, or None
        Extents of the output; None keeps that of the input.

    Notes
    -----
    Inputs are (N, *spatial, C), of any spatial extents. The positions of the maxima are computed in training mode only.
    """

    rank: ClassVar[int]

    def __init__(self, output_size: OutputSize) -> None:
        super().__init__()
        self._output_size = output_size

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        forward = _MAX_FORWARD[self.rank]
        if not self.training:
            return forward(input, self._output_size), ()
        output, indices = forward(input, self._output_size, return_indices=True)
        return output, (indices, input.shape)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        indices, input_shape = saved
        return _MAX_BACKWARD[self.rank](grad_output, indices, input_shape) if input_gradient else None

    def _describe(self) -> str:
        return repr(self._output_size)


class AdaptiveAvgPool1d(AdaptiveAvgPool):
    """Mean over a given number of windows of sequences, (N, L, C). See `AdaptiveAvgPool` for the arguments."""

    rank = 1


class AdaptiveAvgPool2d(AdaptiveAvgPool):
    """Mean over a given number of windows of images, (N, H, W, C). See `AdaptiveAvgPool` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AdaptiveAvgPool2d((7, 7))(np.ones((2, 13, 10, 5), np.float32)).shape
    (2, 7, 7, 5)
    """

    rank = 2


class AdaptiveAvgPool3d(AdaptiveAvgPool):
    """Mean over a given number of windows of volumes, (N, D, H, W, C). See `AdaptiveAvgPool` for the arguments."""

    rank = 3


class AdaptiveMaxPool1d(AdaptiveMaxPool):
    """Maximum over a given number of windows of sequences, (N, L, C). See `AdaptiveMaxPool` for the arguments."""

    rank = 1


class AdaptiveMaxPool2d(AdaptiveMaxPool):
    """Maximum over a given number of windows of images, (N, H, W, C). See `AdaptiveMaxPool` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.AdaptiveMaxPool2d(1)(np.arange(6.0).reshape(1, 2, 3, 1)).squeeze()
    array(5.)
    """

    rank = 2


class AdaptiveMaxPool3d(AdaptiveMaxPool):
    """Maximum over a given number of windows of volumes, (N, D, H, W, C). See `AdaptiveMaxPool` for the arguments."""

    rank = 3
