"""Pooling to a given number of outputs: adaptive averages and maxima in one, two and three dimensions.

Along an axis, output i meets the positions from ``floor(i * input / output)`` up to, not including,
``ceil((i + 1) * input / output)``: windows that cover the input evenly, overlap by at most one position at their ends,
and repeat positions where there are more outputs than inputs.
"""

from __future__ import annotations

from typing import Any

from fastconv import _arguments, _core
from fastconv._arguments import Array
from fastconv._half import accepts_half
from fastconv.pool import _bytes
from fastconv.resample.weights import adaptive_weights, apply, apply_adjoint

OutputSize = int | tuple[int | None, ...] | None


def _extents(operation: str, rank: int, output_size: OutputSize, shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the number of outputs along each axis, those of the input where None is asked for."""
    if len(shape) not in (rank + 1, rank + 2):
        raise ValueError(
            f"{operation}: input must have {rank + 2} axes (batch, {rank} spatial, channels) or {rank + 1} without the "
            f"batch, got shape {shape}"
        )
    spatial = shape[-1 - rank : -1]
    if output_size is None or not isinstance(output_size, tuple | list):
        output_size = (output_size,) * rank
    sizes = tuple(output_size)
    if len(sizes) != rank:
        raise ValueError(f"{operation}: output_size must be one integer or {rank} of them, got {output_size!r}")
    extents = tuple(
        extent if size is None else _arguments.integer(operation, "output_size", size)
        for size, extent in zip(sizes, spatial, strict=True)
    )
    if min(extents) < 0 or max(extents) > _arguments.LARGEST:
        raise ValueError(f"{operation}: output_size must be between 0 and {_arguments.LARGEST}, got {output_size!r}")
    if any(extent == 0 and size > 0 for extent, size in zip(spatial, extents, strict=True)):
        raise ValueError(f"{operation}: the input has no pixels, its shape is {shape}")
    return extents


@accepts_half
def _average(operation: str, rank: int, input: object, output_size: OutputSize) -> Array:
    source = _arguments.floats(operation, "input", input)
    extents = _extents(operation, rank, output_size, source.shape)
    return apply(operation, source, _weights(source.shape, extents))


@accepts_half
def _average_backward(operation: str, rank: int, grad_output: object, input_shape: tuple[int, ...]) -> Array:
    gradient = _arguments.floats(operation, "grad_output", grad_output)
    shape = _arguments.shape(operation, input_shape)
    if gradient.ndim != len(shape):
        raise ValueError(f"{operation}: grad_output {gradient.shape} and input_shape {shape} must have the same axes")
    extents = _extents(operation, rank, gradient.shape[-1 - rank : -1], shape)
    expected = (*shape[: -1 - rank], *extents, shape[-1])
    if gradient.shape != expected:
        raise ValueError(f"{operation}: grad_output must have shape {expected}, got {gradient.shape}")
    return apply_adjoint(operation, gradient, _weights(shape, extents))


def _weights(shape: tuple[int, ...], extents: tuple[int, ...]) -> dict[int, Any]:
    first = len(shape) - 1 - len(extents)
    return {
        first + i: adaptive_weights(shape[first + i], extent)
        for i, extent in enumerate(extents)
        if shape[first + i] != extent
    }


@accepts_half
def _maximum(operation: str, rank: int, input: object, output_size: OutputSize, return_indices: bool) -> Any:
    source = _arguments.array(operation, "input", input)
    extents = _extents(operation, rank, output_size, source.shape)
    if _bytes.are_bytes(source):
        return _bytes.maxima(
            operation,
            source,
            None,
            lambda wide, _: _core.adaptive_max_forward(operation, wide, extents, bool(return_indices)),
        )
    return _core.adaptive_max_forward(operation, source, extents, bool(return_indices))


@accepts_half
def _maximum_backward(
    operation: str, rank: int, grad_output: object, indices: object, input_shape: tuple[int, ...]
) -> Array:
    gradient = _arguments.array(operation, "grad_output", grad_output)
    shape = _arguments.shape(operation, input_shape)
    extents = _extents(operation, rank, gradient.shape[-1 - rank : -1], shape)
    positions = _arguments.array(operation, "indices", indices, dtype="np.int64")
    return _core.adaptive_max_backward(operation, gradient, positions, shape, extents)


def adaptive_avg_pool2d(input: Array, output_size: OutputSize) -> Array:
    """Average a batch of images in as many windows as there are to be outputs.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64, or float16 or bfloat16
    output_size : int, (int or None, int or None) or None
        Extents of the output: one for both axes, or one each; None keeps that of the input.

    Returns
    -------
    (N, *output_size, C) array, without the batch axis where the input has none

    Raises
    ------
    ValueError
        Shapes that don't fit, values out of range.
    TypeError
        Another dtype.

    References
    ----------
    K. He, X. Zhang, S. Ren and J. Sun, "Spatial pyramid pooling in deep convolutional networks for visual
    recognition", 2014, section 2.2.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool2d(np.arange(5.0).reshape(1, 1, 5, 1), (None, 2)).ravel()
    array([1., 3.])
    """
    return _average("adaptive_avg_pool2d", 2, input, output_size)


def adaptive_avg_pool2d_backward(grad_output: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `adaptive_avg_pool2d`: every gradient is shared out among its window.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, C) array of float32 or float64
    input_shape : shape of the input, channels last

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool2d_backward(np.ones((1, 1, 2, 1)), (1, 1, 4, 1)).ravel()
    array([0.5, 0.5, 0.5, 0.5])
    """
    return _average_backward("adaptive_avg_pool2d_backward", 2, grad_output, input_shape)


def adaptive_max_pool2d(input: Array, output_size: OutputSize, *, return_indices: bool = False) -> Any:
    """Take the maxima of a batch of images in as many windows as there are to be outputs.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64, or float16, bfloat16, uint8 or int8
    output_size : int, (int or None, int or None) or None
        As in `adaptive_avg_pool2d`.
    return_indices : bool
        Also return where the maxima were.

    Returns
    -------
    output : (N, *output_size, C) array, without the batch axis where the input has none
    indices : int64 array of the same shape, only with ``return_indices``
        Flat positions in the input's spatial plane; the first maximum wins a tie, a NaN wins over numbers.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([3.0, 1.0, 5.0, 0.0, 2.0]).reshape(1, 1, 5, 1)
    >>> values, indices = fc.adaptive_max_pool2d(x, (1, 2), return_indices=True)
    >>> values.ravel(), indices.ravel()
    (array([5., 5.]), array([2, 2]))
    """
    return _maximum("adaptive_max_pool2d", 2, input, output_size, return_indices)


def adaptive_max_pool2d_backward(grad_output: Array, indices: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `adaptive_max_pool2d`: every gradient goes to where the maximum was.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, C) array of float32 or float64
    indices : int64 array of the same shape
        What the forward call returned with ``return_indices``.
    input_shape : shape of the input, channels last

    Returns
    -------
    array of input_shape; gradients of windows that share their maximum are added

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> indices = np.array([2, 2]).reshape(1, 1, 2, 1)
    >>> fc.adaptive_max_pool2d_backward(np.ones((1, 1, 2, 1)), indices, (1, 1, 5, 1)).ravel()
    array([0., 0., 2., 0., 0.])
    """
    return _maximum_backward("adaptive_max_pool2d_backward", 2, grad_output, indices, input_shape)


def adaptive_avg_pool1d(input: Array, output_size: OutputSize) -> Array:
    """Average a batch of sequences in as many windows as there are to be outputs.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
    output_size : int, one int or None per axis, or None
        As in `adaptive_avg_pool2d`, with one axis.

    Returns
    -------
    (N, *output_size, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool1d(np.arange(4.0).reshape(1, 4, 1), 2).ravel()
    array([0.5, 2.5])
    """
    return _average("adaptive_avg_pool1d", 1, input, output_size)


def adaptive_avg_pool1d_backward(grad_output: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `adaptive_avg_pool1d`.

    Parameters
    ----------
    grad_output : (N, L_out, C) array of float32 or float64
    input_shape : shape of the input, channels last

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool1d_backward(np.ones((1, 2, 1)), (1, 4, 1)).ravel()
    array([0.5, 0.5, 0.5, 0.5])
    """
    return _average_backward("adaptive_avg_pool1d_backward", 1, grad_output, input_shape)


def adaptive_max_pool1d(input: Array, output_size: OutputSize, *, return_indices: bool = False) -> Any:
    """Take the maxima of a batch of sequences in as many windows as there are to be outputs.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
    output_size, return_indices
        As in `adaptive_max_pool2d`, with one axis.

    Returns
    -------
    output : (N, *output_size, C) array
    indices : int64 array of the same shape, only with ``return_indices``

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_max_pool1d(np.arange(4.0).reshape(1, 4, 1), 2).ravel()
    array([1., 3.])
    """
    return _maximum("adaptive_max_pool1d", 1, input, output_size, return_indices)


def adaptive_max_pool1d_backward(grad_output: Array, indices: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `adaptive_max_pool1d`; see `adaptive_max_pool2d_backward`.

    Parameters
    ----------
    grad_output : (N, L_out, C) array of float32 or float64
    indices : int64 array of the same shape
    input_shape : shape of the input, channels last

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> indices = np.array([1, 3]).reshape(1, 2, 1)
    >>> fc.adaptive_max_pool1d_backward(np.ones((1, 2, 1)), indices, (1, 4, 1)).ravel()
    array([0., 1., 0., 1.])
    """
    return _maximum_backward("adaptive_max_pool1d_backward", 1, grad_output, indices, input_shape)


def adaptive_avg_pool3d(input: Array, output_size: OutputSize) -> Array:
    """Average a batch of volumes in as many windows as there are to be outputs.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
    output_size : int, one int or None per axis, or None
        As in `adaptive_avg_pool2d`, with three axes.

    Returns
    -------
    (N, *output_size, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool3d(np.arange(4.0).reshape(1, 1, 1, 4, 1), (1, 1, 2)).ravel()
    array([0.5, 2.5])
    """
    return _average("adaptive_avg_pool3d", 3, input, output_size)


def adaptive_avg_pool3d_backward(grad_output: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `adaptive_avg_pool3d`.

    Parameters
    ----------
    grad_output : (N, D_out, H_out, W_out, C) array of float32 or float64
    input_shape : shape of the input, channels last

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_avg_pool3d_backward(np.ones((1, 1, 1, 2, 1)), (1, 1, 1, 4, 1)).ravel()
    array([0.5, 0.5, 0.5, 0.5])
    """
    return _average_backward("adaptive_avg_pool3d_backward", 3, grad_output, input_shape)


def adaptive_max_pool3d(input: Array, output_size: OutputSize, *, return_indices: bool = False) -> Any:
    """Take the maxima of a batch of volumes in as many windows as there are to be outputs.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
    output_size, return_indices
        As in `adaptive_max_pool2d`, with three axes.

    Returns
    -------
    output : (N, *output_size, C) array
    indices : int64 array of the same shape, only with ``return_indices``

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.adaptive_max_pool3d(np.arange(4.0).reshape(1, 1, 1, 4, 1), (1, 1, 2)).ravel()
    array([1., 3.])
    """
    return _maximum("adaptive_max_pool3d", 3, input, output_size, return_indices)


def adaptive_max_pool3d_backward(grad_output: Array, indices: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `adaptive_max_pool3d`; see `adaptive_max_pool2d_backward`.

    Parameters
    ----------
    grad_output : (N, D_out, H_out, W_out, C) array of float32 or float64
    indices : int64 array of the same shape
    input_shape : shape of the input, channels last

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> indices = np.array([1, 3]).reshape(1, 1, 1, 2, 1)
    >>> fc.adaptive_max_pool3d_backward(np.ones((1, 1, 1, 2, 1)), indices, (1, 1, 1, 4, 1)).ravel()
    array([0., 1., 0., 1.])
    """
    return _maximum_backward("adaptive_max_pool3d_backward", 3, grad_output, indices, input_shape)
