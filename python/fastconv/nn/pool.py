"""Pooling layers over windows: one kind for any rank each; the names with 1d, 2d and 3d only fix it."""

from __future__ import annotations

from typing import Any, ClassVar

from fastconv import activation, pool
from fastconv._arguments import Array, Padding, Size
from fastconv.nn.conv import Conv
from fastconv.nn.layer import Layer

_MAX_FORWARD = {1: pool.max_pool1d, 2: pool.max_pool2d, 3: pool.max_pool3d}
_MAX_BACKWARD = {1: pool.max_pool1d_backward, 2: pool.max_pool2d_backward, 3: pool.max_pool3d_backward}
_AVG_FORWARD = {1: pool.avg_pool1d, 2: pool.avg_pool2d, 3: pool.avg_pool3d}
_LP_FORWARD = {1: pool.lp_pool1d, 2: pool.lp_pool2d, 3: pool.lp_pool3d}
_LP_BACKWARD = {1: pool.lp_pool1d_backward, 2: pool.lp_pool2d_backward, 3: pool.lp_pool3d_backward}
_AVG_BACKWARD = {1: pool.avg_pool1d_backward, 2: pool.avg_pool2d_backward, 3: pool.avg_pool3d_backward}

_DEFAULTS = {
    "norm_type": 2.0,
    "stride": None,
    "padding": 0,
    "dilation": 1,
    "ceil_mode": False,
    "count_include_pad": True,
}


class _Pool(Layer):
    """What these kinds of pooling share: a window over ``rank`` spatial axes, and no parameters."""

    rank: ClassVar[int]

    def __init__(self, kernel_size: Size, **window: Any) -> None:
        super().__init__()
        self._window = {"kernel_size": kernel_size, **window}

    @property
    def window(self) -> dict[str, Any]:
        """How the window slides, as ``kernel_size``, ``stride``, ``padding`` and what else was given."""
        return dict(self._window)

    def _describe(self) -> str:
        shown = [f"{name}={value!r}" for name, value in self._window.items() if value != _DEFAULTS.get(name)]
        return ", ".join(shown)


class MaxPool(_Pool):
    """Maximum over windows of ``rank`` spatial axes; use `MaxPool1d`, `MaxPool2d` or `MaxPool3d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Extent of the window.
    stride : int or tuple of int, optional
        Steps between windows; the kernel size if None.
    padding : int, one int or (before, after) pair per axis, or a name, default 0
        Border that never is the maximum; "same" and the like as in `fastconv.max_pool2d`.
    dilation : int or tuple of int, default 1
        Steps inside the window.
    ceil_mode : bool, default False
        Whether a last window may reach beyond the input.

    Notes
    -----
    Inputs are (N, *spatial, C). The positions of the maxima are computed in training mode only, unless a `MaxUnpool`
    wants them.
    """

    remembers = False
    """Whether `maxima` are kept, for a `MaxUnpool`."""

    maxima: tuple[Array, tuple[int, ...]] | None = None
    """The places of the last maxima, and the shape of the input that they were found in."""

    def __init__(
        self,
        kernel_size: Size,
        *,
        stride: Size | None = None,
        padding: Padding = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode)

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        forward = _MAX_FORWARD[self.rank]
        if not self.training and not self.remembers:
            return forward(input, **self._window), ()
        output, indices = forward(input, return_indices=True, **self._window)
        if self.remembers:
            self.maxima = indices, input.shape
        return output, (indices, input.shape, None)

    def _take_relu_from(self, before: Conv, output: Array) -> None:
        """Go back through the ReLU before this layer as well: a maximum is above zero where its pixel is.

        There are fewer maxima than pixels, and the layer before needn't keep these.
        """
        # A subclass may compute something else.
        plain = type(self)._forward is MaxPool._forward and type(self)._backward is MaxPool._backward
        if plain and self._saved is not None and before._leave_relu_to_next():
            self._saved = (*self._saved[:2], output)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        indices, input_shape, output = saved
        if not input_gradient:
            return None
        if output is not None:
            grad_output = activation.relu_backward(grad_output, output)
        return _MAX_BACKWARD[self.rank](grad_output, indices, input_shape, **self._window)


class AvgPool(_Pool):
    """Mean over windows of ``rank`` spatial axes; use `AvgPool1d`, `AvgPool2d` or `AvgPool3d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Extent of the window.
    stride : int or tuple of int, optional
        Steps between windows; the kernel size if None.
    padding : int, one int or (before, after) pair per axis, or a name, default 0
        Border of zeros.
    dilation : int or tuple of int, default 1
        Steps inside the window.
    ceil_mode : bool, default False
        Whether a last window may reach beyond the input.
    count_include_pad : bool, default True
        Whether the mean counts the border.
    divisor_override : int, optional
        What sums are divided by, instead of their count.

    Notes
    -----
    Inputs are (N, *spatial, C).
    """

    def __init__(
        self,
        kernel_size: Size,
        *,
        stride: Size | None = None,
        padding: Padding = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__(
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            ceil_mode=ceil_mode,
            count_include_pad=count_include_pad,
            divisor_override=divisor_override,
        )

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return _AVG_FORWARD[self.rank](input, **self._window), (input.shape,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input_shape,) = saved
        return _AVG_BACKWARD[self.rank](grad_output, input_shape, **self._window) if input_gradient else None


class LpPool(_Pool):
    """The p-norm of windows of ``rank`` spatial axes; use `LpPool1d`, `LpPool2d` or `LpPool3d`.

    Parameters
    ----------
    kernel_size : int or tuple of int
        Extent of the window.
    norm_type : float, default 2
        The p of the norm, at least 1.
    stride, padding, dilation, ceil_mode
        As in `MaxPool`; padding counts as zero.

    Notes
    -----
    Inputs are (N, *spatial, C).
    """

    def __init__(
        self,
        kernel_size: Size,
        *,
        norm_type: float = 2.0,
        stride: Size | None = None,
        padding: Padding = 0,
        dilation: Size = 1,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__(
            kernel_size, norm_type=norm_type, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        )

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        output = _LP_FORWARD[self.rank](input, **self._window)
        return output, (input, output)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return _LP_BACKWARD[self.rank](grad_output, *saved, **self._window) if input_gradient else None


class MaxPool1d(MaxPool):
    """Maximum over windows of sequences, (N, L, C). See `MaxPool` for the arguments."""

    rank = 1


class MaxPool2d(MaxPool):
    """Maximum over windows of images, (N, H, W, C). See `MaxPool` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.MaxPool2d(2)
    >>> layer(np.arange(16.0).reshape(1, 4, 4, 1)).squeeze()
    array([[ 5.,  7.],
           [13., 15.]])
    """

    rank = 2


class MaxPool3d(MaxPool):
    """Maximum over windows of volumes, (N, D, H, W, C). See `MaxPool` for the arguments."""

    rank = 3


class AvgPool1d(AvgPool):
    """Mean over windows of sequences, (N, L, C). See `AvgPool` for the arguments."""

    rank = 1


class AvgPool2d(AvgPool):
    """Mean over windows of images, (N, H, W, C). See `AvgPool` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.AvgPool2d(2)
    >>> layer(np.arange(16.0).reshape(1, 4, 4, 1)).squeeze()
    array([[ 2.5,  4.5],
           [10.5, 12.5]])
    """

    rank = 2


class AvgPool3d(AvgPool):
    """Mean over windows of volumes, (N, D, H, W, C). See `AvgPool` for the arguments."""

    rank = 3


class LpPool1d(LpPool):
    """The p-norm of windows of sequences, (N, L, C). See `LpPool` for the arguments."""

    rank = 1


class LpPool2d(LpPool):
    """The p-norm of windows of images, (N, H, W, C). See `LpPool` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.LpPool2d((1, 2))(np.array([3.0, 4.0]).reshape(1, 1, 2, 1)).squeeze()
    array(5.)
    """

    rank = 2


class LpPool3d(LpPool):
    """The p-norm of windows of volumes, (N, D, H, W, C). See `LpPool` for the arguments."""

    rank = 3


class GlobalAvgPool(Layer):
    """Mean over all spatial axes: (N, *spatial, C) becomes (N, C).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.GlobalAvgPool()(np.ones((2, 7, 7, 5), np.float32)).shape
    (2, 5)
    """

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return pool.global_avg_pool(input), (input.shape,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input_shape,) = saved
        return pool.global_avg_pool_backward(grad_output, input_shape) if input_gradient else None


class GlobalMaxPool(Layer):
    """Maximum over all spatial axes: (N, *spatial, C) becomes (N, C).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.GlobalMaxPool()(np.ones((2, 7, 7, 5), np.float32)).shape
    (2, 5)
    """

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        if not self.training:
            return pool.global_max_pool(input), ()
        output, indices = pool.global_max_pool(input, return_indices=True)
        return output, (indices, input.shape)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        indices, input_shape = saved
        return pool.global_max_pool_backward(grad_output, indices, input_shape) if input_gradient else None
