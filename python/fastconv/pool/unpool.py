"""The way back from maxima to a plane: every value goes to where its index says, zeros to all other places."""

from __future__ import annotations

import math

import numpy as np

from fastconv import _arguments
from fastconv._arguments import Array, Size

_NOWHERE = -1  # max pooling's index of a window of padding alone


def _unpool(
    operation: str,
    rank: int,
    input: object,
    indices: object,
    kernel_size: object,
    stride: object,
    padding: object,
    output_size: tuple[int, ...] | None,
) -> Array:
    source = _arguments.array(operation, "input", input)
    if source.ndim not in (rank + 1, rank + 2):
        raise ValueError(
            f"{operation}: input must have {rank + 2} axes (batch, {rank} spatial, channels) or {rank + 1} without the "
            f"batch, got shape {source.shape}"
        )
    kernel = _arguments.per_axis(operation, "kernel_size", kernel_size, rank)
    strides = kernel if stride is None else _arguments.per_axis(operation, "stride", stride, rank)
    pads = _arguments.per_axis(operation, "padding", padding, rank)
    spatial = source.shape[-1 - rank : -1]
    if output_size is None:
        axes = zip(spatial, kernel, strides, pads, strict=True)
        extents = tuple((extent - 1) * s - 2 * p + k for extent, k, s, p in axes)
    else:
        extents = _arguments.per_axis(operation, "output_size", output_size, rank)
    if min(extents) < 1:
        raise ValueError(f"{operation}: the output would have the spatial extents {extents}")
    pixels = math.prod(extents)
    positions = _positions(operation, source, indices, pixels)
    batch = source.shape[: -1 - rank]
    # One place more, which is cut off again, for what has none.
    missing = bool((positions == _NOWHERE).any())
    planes = np.zeros((*batch, pixels + missing, source.shape[-1]), source.dtype)
    flat = (*batch, math.prod(spatial), source.shape[-1])
    np.put_along_axis(planes, positions.reshape(flat), source.reshape(flat), axis=-2)
    return planes[..., :pixels, :].reshape(*batch, *extents, source.shape[-1])


def _unpool_backward(operation: str, rank: int, grad_output: object, indices: object) -> Array:
    gradient = _arguments.array(operation, "grad_output", grad_output)
    places = _arguments.array(operation, "indices", indices, dtype="np.int64")
    if gradient.ndim not in (rank + 1, rank + 2) or gradient.ndim != places.ndim:
        raise ValueError(
            f"{operation}: grad_output and indices must have {rank + 2} axes, or {rank + 1} without the batch, "
            f"got shapes {gradient.shape} and {places.shape}"
        )
    batch, channels = gradient.shape[: -1 - rank], gradient.shape[-1]
    if places.shape[: -1 - rank] != batch or places.shape[-1] != channels:
        raise ValueError(
            f"{operation}: indices {places.shape} must have the batch and channels of grad_output {gradient.shape}"
        )
    pixels = math.prod(gradient.shape[-1 - rank : -1])
    positions = _positions(operation, places, places, pixels)
    flat = positions.reshape(*batch, math.prod(places.shape[-1 - rank : -1]), channels)
    if not pixels:
        return np.zeros(places.shape, gradient.dtype)
    taken = np.take_along_axis(gradient.reshape(*batch, pixels, channels), flat % pixels, axis=-2)
    taken[flat == _NOWHERE] = 0
    return taken.reshape(places.shape)


def _positions(operation: str, like: Array, indices: object, pixels: int) -> Array:
    """Return the indices, checked: int64, one for each value, and positions in a plane of so many pixels."""
    positions = _arguments.array(operation, "indices", indices, dtype="np.int64")
    if positions.dtype != np.int64:
        raise TypeError(f"{operation}: indices must be int64, got {positions.dtype}")
    if positions.shape != like.shape:
        raise ValueError(f"{operation}: indices must have shape {like.shape}, got {positions.shape}")
    if positions.size and not (positions.min() >= _NOWHERE and positions.max() < pixels):
        wrong = positions.min() if positions.min() < _NOWHERE else positions.max()
        raise ValueError(
            f"{operation}: indices must be between 0 and {pixels - 1}, or -1 for a value that has no place, got {wrong}"
        )
    return positions


def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: tuple[int, ...] | None = None,
) -> Array:
    """Put the maxima of a batch of images back to where `max_pool2d` found them.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of any dtype
    indices : int64 array of the same shape
        Flat positions in the output's plane, as `max_pool2d` returns them; a value whose index is -1 is left out.
    kernel_size, stride, padding : int or one per axis
        Those of the pooling. An axis of the plane has ``(input - 1) * stride - 2 * padding + kernel_size`` positions.
    output_size : one int per axis, optional
        The plane's extents, where the pooling rounded or its padding was of another kind.

    Returns
    -------
    (N, *output_size, C) array, without the batch axis where the input has none
        Zero where no index points to. Of several values with one index, the last stays.

    Raises
    ------
    ValueError
        Shapes that don't fit, or an index outside the plane.
    TypeError
        Indices that aren't int64.

    References
    ----------
    M. D. Zeiler and R. Fergus, "Visualizing and understanding convolutional networks", 2014, section 2.1.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([1.0, 3.0, 2.0, 0.0]).reshape(1, 2, 2, 1)
    >>> y, indices = fc.max_pool2d(x, 2, return_indices=True)
    >>> fc.max_unpool2d(y, indices, 2).ravel()
    array([0., 3., 0., 0.])
    """
    return _unpool("max_unpool2d", 2, input, indices, kernel_size, stride, padding, output_size)


def max_unpool2d_backward(grad_output: Array, indices: Array) -> Array:
    """Return the gradient of `max_unpool2d`: what stands where each value was put.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, C) array
    indices : (N, H, W, C) array of int64
        As in the forward call. Values that share an index all get its gradient.

    Returns
    -------
    array of the shape of indices; zero where an index is -1

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.max_unpool2d_backward(np.arange(4.0).reshape(1, 2, 2, 1), np.array([1]).reshape(1, 1, 1, 1)).ravel()
    array([1.])
    """
    return _unpool_backward("max_unpool2d_backward", 2, grad_output, indices)


def max_unpool1d(
    input: Array,
    indices: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: tuple[int, ...] | None = None,
) -> Array:
    """Put the maxima of a batch of sequences back to where `max_pool1d` found them; see `max_unpool2d`.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of any dtype
    indices : int64 array of the same shape
    kernel_size, stride, padding, output_size
        As in `max_unpool2d`, with one axis.

    Returns
    -------
    (N, *output_size, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.max_unpool1d(np.array([7.0]).reshape(1, 1, 1), np.array([1]).reshape(1, 1, 1), 2).ravel()
    array([0., 7.])
    """
    return _unpool("max_unpool1d", 1, input, indices, kernel_size, stride, padding, output_size)


def max_unpool1d_backward(grad_output: Array, indices: Array) -> Array:
    """Return the gradient of `max_unpool1d`; see `max_unpool2d_backward`.

    Parameters
    ----------
    grad_output : (N, L_out, C) array
    indices : (N, L, C) array of int64

    Returns
    -------
    array of the shape of indices

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.max_unpool1d_backward(np.array([5.0, 6.0]).reshape(1, 2, 1), np.array([1]).reshape(1, 1, 1)).ravel()
    array([6.])
    """
    return _unpool_backward("max_unpool1d_backward", 1, grad_output, indices)


def max_unpool3d(
    input: Array,
    indices: Array,
    kernel_size: Size,
    *,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: tuple[int, ...] | None = None,
) -> Array:
    """Put the maxima of a batch of volumes back to where `max_pool3d` found them; see `max_unpool2d`.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of any dtype
    indices : int64 array of the same shape
    kernel_size, stride, padding, output_size
        As in `max_unpool2d`, with three axes.

    Returns
    -------
    (N, *output_size, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.max_unpool3d(np.array([7.0]).reshape(1, 1, 1, 1, 1), np.array([1]).reshape(1, 1, 1, 1, 1), (1, 1, 2)).ravel()
    array([0., 7.])
    """
    return _unpool("max_unpool3d", 3, input, indices, kernel_size, stride, padding, output_size)


def max_unpool3d_backward(grad_output: Array, indices: Array) -> Array:
    """Return the gradient of `max_unpool3d`; see `max_unpool2d_backward`.

    Parameters
    ----------
    grad_output : (N, D_out, H_out, W_out, C) array
    indices : (N, D, H, W, C) array of int64

    Returns
    -------
    array of the shape of indices

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> indices = np.array([1]).reshape(1, 1, 1, 1, 1)
    >>> fc.max_unpool3d_backward(np.array([5.0, 6.0]).reshape(1, 1, 1, 2, 1), indices).ravel()
    array([6.])
    """
    return _unpool_backward("max_unpool3d_backward", 3, grad_output, indices)
