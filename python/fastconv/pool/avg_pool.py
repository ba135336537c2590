"""Average pooling in one, two and three dimensions, and its gradient.

The number of outputs along an axis is ``(input + pads - dilation * (kernel - 1) - 1) // stride + 1``; with
``ceil_mode`` the division rounds up, except that a window that would start in the far padding is dropped.
"""

from __future__ import annotations

from numpy import ndarray

from fastconv import _arguments, _core
from fastconv._arguments import Array, Padding, Size
from fastconv._half import accepts_half


@accepts_half
def _avg_forward(
    operation: str,
    rank: int,
    input: object,
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
    out: Array | None,
) -> Array:
    return _core.avg_pool_forward(
        input if type(input) is ndarray else _arguments.array(operation, "input", input),
        _arguments.pool_window(
            operation, rank, kernel_size, stride, padding, dilation, "ceil" if ceil_mode else "floor"
        ),
        bool(count_include_pad),
        None if divisor_override is None else _arguments.integer(operation, "divisor_override", divisor_override),
        None if out is None else _arguments.output(operation, out),
    )


@accepts_half
def _avg_backward(
    operation: str,
    rank: int,
    grad_output: object,
    input_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> Array:
    return _core.avg_pool_backward(
        grad_output if type(grad_output) is ndarray else _arguments.array(operation, "grad_output", grad_output),
        _arguments.shape(operation, input_shape),
        _arguments.pool_window(
            operation, rank, kernel_size, stride, padding, dilation, "ceil" if ceil_mode else "floor"
        ),
        bool(count_include_pad),
        None if divisor_override is None else _arguments.integer(operation, "divisor_override", divisor_override),
    )


def avg_pool2d(
    input: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array:
    """Average every window of a batch of images.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64, or float16 or bfloat16
    kernel_size, stride, padding, dilation, ceil_mode, out
        As in `max_pool2d`; padding counts as zero.
    count_include_pad : bool
        Whether positions of the window in the padding count in the divisor; those beyond, which ``ceil_mode`` lets
        a window reach, never do.
    divisor_override : int, optional
        Divide by this number instead.

    Returns
    -------
    (N, H_out, W_out, C) array, without the batch axis where the input has none; 0 where a window has nothing to count

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool2d(np.arange(8.0).reshape(1, 2, 4, 1), 2).ravel()
    array([2.5, 4.5])
    """
    return _avg_forward(
        "avg_pool2d",
        2,
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        divisor_override,
        out,
    )


def avg_pool2d_backward(
    grad_output: Array,
    input_shape: tuple[int, ...],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return the gradient of `avg_pool2d`: every gradient is shared out among its window.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, C) array of float32 or float64
    input_shape : shape of the input, channels last
    kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override
        As in the forward call.

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool2d_backward(np.ones((1, 1, 1, 1)), (1, 2, 2, 1), 2).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    return _avg_backward(
        "avg_pool2d_backward",
        2,
        grad_output,
        input_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool1d(
    input: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array:
    """Average every window of a batch of sequences; see `avg_pool2d`.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
    kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override, out
        As in `avg_pool2d`, with one axis.

    Returns
    -------
    (N, L_out, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool1d(np.array([[[1.0], [3.0], [2.0], [6.0]]]), 2)[0, :, 0]
    array([2., 4.])
    """
    return _avg_forward(
        "avg_pool1d",
        1,
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        divisor_override,
        out,
    )


def avg_pool1d_backward(
    grad_output: Array,
    input_shape: tuple[int, ...],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return the gradient of `avg_pool1d`: every gradient is shared out among its window.

    Parameters
    ----------
    grad_output : (N, L_out, C) array of float32 or float64
    input_shape : shape of the input, channels last
    kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override
        As in the forward call.

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool1d_backward(np.ones((1, 2, 1)), (1, 4, 1), 2).ravel()
    array([0.5, 0.5, 0.5, 0.5])
    """
    return _avg_backward(
        "avg_pool1d_backward",
        1,
        grad_output,
        input_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )


def avg_pool3d(
    input: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
    out: Array | None = None,
) -> Array:
    """Average every window of a batch of volumes; see `avg_pool2d`.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
    kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override, out
        As in `avg_pool2d`, with three axes.

    Returns
    -------
    (N, D_out, H_out, W_out, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool3d(np.arange(8.0).reshape(1, 2, 2, 2, 1), 2).ravel()
    array([3.5])
    """
    return _avg_forward(
        "avg_pool3d",
        3,
        input,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        divisor_override,
        out,
    )


def avg_pool3d_backward(
    grad_output: Array,
    input_shape: tuple[int, ...],
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """Return the gradient of `avg_pool3d`: every gradient is shared out among its window.

    Parameters
    ----------
    grad_output : (N, D_out, H_out, W_out, C) array of float32 or float64
    input_shape : shape of the input, channels last
    kernel_size, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override
        As in the forward call.

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.avg_pool3d_backward(np.ones((1, 1, 1, 1, 1)), (1, 1, 2, 2, 1), (1, 2, 2)).ravel()
    array([0.25, 0.25, 0.25, 0.25])
    """
    return _avg_backward(
        "avg_pool3d_backward",
        3,
        grad_output,
        input_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
        count_include_pad,
        divisor_override,
    )
