"""Maximum pooling in one, two and three dimensions, and its gradient.

The number of outputs along an axis is ``(input + pads - dilation * (kernel - 1) - 1) // stride + 1``; with
``ceil_mode`` the division rounds up, except that a window that would start in the far padding is dropped.
"""

from __future__ import annotations

from typing import Any

from numpy import ndarray

from fastconv import _arguments, _core
from fastconv._arguments import Array, Padding, Size
from fastconv._half import accepts_half
from fastconv.pool import _bytes


@accepts_half
def _max_forward(
    operation: str,
    rank: int,
    input: object,
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
    return_indices: bool,
    out: Array | None,
) -> Any:
    source = input if type(input) is ndarray else _arguments.array(operation, "input", input)
    window = _arguments.pool_window(
        operation, rank, kernel_size, stride, padding, dilation, "ceil" if ceil_mode else "floor"
    )
    target = None if out is None else _arguments.output(operation, out)
    try:
        return _core.max_pool_forward(source, window, bool(return_indices), target)
    except TypeError:
        if not _bytes.are_bytes(source):
            raise
    return _bytes.maxima(
        operation,
        source,
        target,
        lambda wide, filled: _core.max_pool_forward(wide, window, bool(return_indices), filled),
    )


@accepts_half
def _max_backward(
    operation: str,
    rank: int,
    grad_output: object,
    indices: object,
    input_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
) -> Array:
    return _core.max_pool_backward(
        grad_output if type(grad_output) is ndarray else _arguments.array(operation, "grad_output", grad_output),
        indices if type(indices) is ndarray else _arguments.array(operation, "indices", indices, dtype="np.int64"),
        _arguments.shape(operation, input_shape),
        _arguments.pool_window(
            operation, rank, kernel_size, stride, padding, dilation, "ceil" if ceil_mode else "floor"
        ),
    )


def max_pool2d(
    input: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    out: Array | None = None,
) -> Any:
    """Take the maximum under every window of a batch of images.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64
        Channels last, any strides. Also float16 and bfloat16 (see docs/differences.md), uint8 and int8.
    kernel_size : int or one per axis
    stride : int or one per axis, optional
        The kernel size where not given: windows side by side.
    padding : int, one int or (before, after) pair per axis, "valid", "same", "same_lower" or "full"
        Padding never wins: it counts as minus infinity (the lowest number there is, for uint8 and int8). There may
        be any amount of it, more than half the kernel included.
    dilation : int or one per axis
        Distance of neighbouring positions inside a window.
    ceil_mode : bool
        Also count a last window that starts inside the input, but reaches past the padding.
    return_indices : bool
        Also return where the maxima were.
    out : C-contiguous array of the output's shape and dtype, optional
        Filled and returned.

    Returns
    -------
    output : (N, H_out, W_out, C) array, without the batch axis where the input has none
    indices : int64 array of the same shape, only with ``return_indices``
        Flat positions in the input's spatial plane. The first maximum wins a tie, a NaN wins over numbers;
        -1 where the whole window lies in the padding (the output is -inf there).

    Raises
    ------
    ValueError
        Shapes that don't fit, values out of range.
    TypeError
        Another dtype.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.array([[1.0, 2, 5, 0], [4, 3, 0, 0]]).reshape(1, 2, 4, 1)
    >>> values, indices = fc.max_pool2d(image, 2, return_indices=True)
    >>> values.ravel(), indices.ravel()
    (array([4., 5.]), array([4, 2]))
    """
    return _max_forward("max_pool2d", 2, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, out)


def max_pool2d_backward(
    grad_output: Array,
    indices: Array,
    input_shape: tuple[int, ...],
    *,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return the gradient of `max_pool2d`: every gradient goes to where the maximum was.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, C) array of float32 or float64
    indices : int64 array of the same shape
        What the forward call returned with ``return_indices``.
    input_shape : shape of the input, channels last
    kernel_size, stride, padding, dilation, ceil_mode
        As in the forward call.

    Returns
    -------
    array of input_shape; gradients of windows that share their maximum are added

    Raises
    ------
    ValueError
        Shapes that don't fit, or an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([1.0, 3.0, 2.0]).reshape(1, 1, 3, 1)
    >>> size = (1, 2)
    >>> y, indices = fc.max_pool2d(x, size, stride=1, return_indices=True)
    >>> fc.max_pool2d_backward(np.ones_like(y), indices, x.shape, kernel_size=size, stride=1).ravel()
    array([0., 2., 0.])
    """
    return _max_backward(
        "max_pool2d_backward",
        2,
        grad_output,
        indices,
        input_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )


def max_pool1d(
    input: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    out: Array | None = None,
) -> Any:
    """Take the maximum under every window of a batch of sequences; see `max_pool2d` for what the ranks share.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, out
        As in `max_pool2d`, with one axis.

    Returns
    -------
    output : (N, L_out, C) array
    indices : int64 array of the same shape, only with ``return_indices``

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.max_pool1d(np.array([[[1.0], [3.0], [2.0], [5.0]]]), 2)[0, :, 0]
    array([3., 5.])
    """
    return _max_forward("max_pool1d", 1, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, out)


def max_pool1d_backward(
    grad_output: Array,
    indices: Array,
    input_shape: tuple[int, ...],
    *,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return the gradient of `max_pool1d`: every gradient goes to where the maximum was.

    Parameters
    ----------
    grad_output : (N, L_out, C) array of float32 or float64
    indices : int64 array of the same shape
        What the forward call returned with ``return_indices``.
    input_shape : shape of the input, channels last
    kernel_size, stride, padding, dilation, ceil_mode
        As in the forward call.

    Returns
    -------
    array of input_shape; gradients of windows that share their maximum are added

    Raises
    ------
    ValueError
        Shapes that don't fit, or an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([1.0, 3.0, 2.0]).reshape(1, 3, 1)
    >>> size = 2
    >>> y, indices = fc.max_pool1d(x, size, stride=1, return_indices=True)
    >>> fc.max_pool1d_backward(np.ones_like(y), indices, x.shape, kernel_size=size, stride=1).ravel()
    array([0., 2., 0.])
    """
    return _max_backward(
        "max_pool1d_backward",
        1,
        grad_output,
        indices,
        input_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )


def max_pool3d(
    input: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
    out: Array | None = None,
) -> Any:
    """Take the maximum under every window of a batch of volumes; see `max_pool2d` for what the ranks share.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
    kernel_size, stride, padding, dilation, ceil_mode, return_indices, out
        As in `max_pool2d`, with three axes.

    Returns
    -------
    output : (N, D_out, H_out, W_out, C) array
    indices : int64 array of the same shape, only with ``return_indices``

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.max_pool3d(np.arange(8.0).reshape(1, 2, 2, 2, 1), 2).ravel()
    array([7.])
    """
    return _max_forward("max_pool3d", 3, input, kernel_size, stride, padding, dilation, ceil_mode, return_indices, out)


def max_pool3d_backward(
    grad_output: Array,
    indices: Array,
    input_shape: tuple[int, ...],
    *,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return the gradient of `max_pool3d`: every gradient goes to where the maximum was.

    Parameters
    ----------
    grad_output : (N, D_out, H_out, W_out, C) array of float32 or float64
    indices : int64 array of the same shape
        What the forward call returned with ``return_indices``.
    input_shape : shape of the input, channels last
    kernel_size, stride, padding, dilation, ceil_mode
        As in the forward call.

    Returns
    -------
    array of input_shape; gradients of windows that share their maximum are added

    Raises
    ------
    ValueError
        Shapes that don't fit, or an index outside the plane.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([1.0, 3.0, 2.0]).reshape(1, 1, 1, 3, 1)
    >>> size = (1, 1, 2)
    >>> y, indices = fc.max_pool3d(x, size, stride=1, return_indices=True)
    >>> fc.max_pool3d_backward(np.ones_like(y), indices, x.shape, kernel_size=size, stride=1).ravel()
    array([0., 2., 0.])
    """
    return _max_backward(
        "max_pool3d_backward",
        3,
        grad_output,
        indices,
        input_shape,
        kernel_size,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
