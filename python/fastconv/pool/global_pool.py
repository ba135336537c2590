"""Pooling over all pixels of an image at once, and its gradients.

These are maximum, average and p-norm pooling with a window as large as the input; the spatial axes, all of
extent 1 then, are dropped.
"""

from __future__ import annotations

import math
from typing import Any

from fastconv import _arguments, _core
from fastconv._arguments import Array
from fastconv._half import accepts_half
from fastconv.pool import _bytes
from fastconv.pool.lp_pool import lp_backward, lp_forward


def global_avg_pool(input: Array) -> Array:
    """Average over the spatial axes.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64, one to three spatial axes

    Returns
    -------
    (N, C) array

    References
    ----------
    M. Lin, Q. Chen and S. Yan, "Network in network", 2014, section 3.2.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.global_avg_pool(np.arange(4.0).reshape(1, 2, 2, 1))
    array([[1.5]])
    """
    return _average(input)


def global_avg_pool_backward(grad_output: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `global_avg_pool`.

    Parameters
    ----------
    grad_output : (N, C) array of float32 or float64
    input_shape : (N, *spatial, C)

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.global_avg_pool_backward(np.array([[4.0]]), (1, 2, 2, 1)).ravel()
    array([1., 1., 1., 1.])
    """
    return _spread(grad_output, input_shape)


def global_max_pool(input: Array, *, return_indices: bool = False) -> Any:
    """Take the maximum over the spatial axes.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64, one to three spatial axes
    return_indices : bool
        Also return the flat positions of the maxima in the spatial plane.

    Returns
    -------
    output : (N, C) array
    indices : (N, C) int64 array, only with ``return_indices``

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.global_max_pool(np.array([3.0, 9.0, 1.0]).reshape(1, 3, 1), return_indices=True)
    (array([[9.]]), array([[1]]))
    """
    return _maximum(input, bool(return_indices))


def global_max_pool_backward(grad_output: Array, indices: Array, input_shape: tuple[int, ...]) -> Array:
    """Return the gradient of `global_max_pool`.

    Parameters
    ----------
    grad_output : (N, C) array of float32 or float64
    indices : (N, C) int64 array
        What the forward call returned with ``return_indices``.
    input_shape : (N, *spatial, C)

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.global_max_pool_backward(np.array([[2.0]]), np.array([[1]]), (1, 3, 1)).ravel()
    array([0., 2., 0.])
    """
    return _send(grad_output, indices, input_shape)


def global_lp_pool(input: Array, *, norm_type: float = 2.0) -> Array:
    """Take the p-norm over the spatial axes; see `lp_pool2d`.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64, one to three spatial axes
    norm_type : float, at least 1
        The p of the norm.

    Returns
    -------
    (N, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.global_lp_pool(np.array([3.0, -4.0]).reshape(1, 2, 1))
    array([[5.]])
    """
    source = _arguments.array("global_lp_pool", "input", input)
    kernel = _spatial("global_lp_pool", source.shape)
    norms = lp_forward("global_lp_pool", len(kernel), source, kernel, norm_type, None, 0, 1, False, None)
    return norms.reshape(source.shape[0], source.shape[-1])


def global_lp_pool_backward(grad_output: Array, input: Array, output: Array, *, norm_type: float = 2.0) -> Array:
    """Return the gradient of `global_lp_pool`.

    Parameters
    ----------
    grad_output, output : (N, C) arrays
    input : (N, *spatial, C) array
    norm_type : float, at least 1
        As in the forward call.

    Returns
    -------
    array of the input's shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([3.0, -4.0]).reshape(1, 2, 1)
    >>> fc.global_lp_pool_backward(np.array([[1.0]]), x, fc.global_lp_pool(x)).ravel()
    array([ 0.6, -0.8])
    """
    name = "global_lp_pool_backward"
    source = _arguments.array(name, "input", input)
    kernel = _spatial(name, source.shape)
    gradient = _expand(name, "grad_output", grad_output, source.shape)
    norms = _expand(name, "output", output, source.shape)
    return lp_backward(name, len(kernel), gradient, source, norms, kernel, norm_type, None, 0, 1, False)


@accepts_half
def _average(input: object) -> Array:
    source = _arguments.array("global_avg_pool", "input", input)
    kernel = _spatial("global_avg_pool", source.shape)
    if not source.flags.c_contiguous:
        planes = source.transpose(0, -1, *range(1, source.ndim - 1))
        if planes.flags.c_contiguous and planes.size:  # channels first: a plane is a row of a matrix
            averages: Array = _core.average_rows(planes.reshape(-1, math.prod(kernel))).reshape(planes.shape[:2])
            return averages
    pooled = _core.avg_pool_forward(source, _window("global_avg_pool", kernel), True, None, None)
    return pooled.reshape(source.shape[0], source.shape[-1])


@accepts_half
def _spread(grad_output: object, input_shape: tuple[int, ...]) -> Array:
    name = "global_avg_pool_backward"
    input_shape = _arguments.shape(name, input_shape)
    kernel = _spatial(name, input_shape)
    gradient = _expand(name, "grad_output", grad_output, input_shape)
    return _core.avg_pool_backward(gradient, input_shape, _window(name, kernel), True, None)


@accepts_half
def _maximum(input: object, return_indices: bool) -> Any:
    source = _arguments.array("global_max_pool", "input", input)
    window = _window("global_max_pool", _spatial("global_max_pool", source.shape))
    flat = source.shape[0], source.shape[-1]
    if _bytes.are_bytes(source):
        pooled = _bytes.maxima(
            "global_max_pool", source, None, lambda wide, out: _core.max_pool_forward(wide, window, return_indices, out)
        )
    else:
        pooled = _core.max_pool_forward(source, window, return_indices, None)
    if return_indices:
        return pooled[0].reshape(flat), pooled[1].reshape(flat)
    return pooled.reshape(flat)


@accepts_half
def _send(grad_output: object, indices: object, input_shape: tuple[int, ...]) -> Array:
    name = "global_max_pool_backward"
    input_shape = _arguments.shape(name, input_shape)
    kernel = _spatial(name, input_shape)
    gradient = _expand(name, "grad_output", grad_output, input_shape)
    positions = _expand(name, "indices", indices, input_shape)
    return _core.max_pool_backward(gradient, positions, input_shape, _window(name, kernel))


def _spatial(operation: str, shape: tuple[int, ...]) -> tuple[int, ...]:
    if not 3 <= len(shape) <= 5:
        raise ValueError(
            f"{operation}: the input must have 3 to 5 axes (batch, 1 to 3 spatial, channels), got shape {shape}"
        )
    if 0 in shape[1:-1]:
        raise ValueError(f"{operation}: the input has no pixels, its shape is {shape}")
    return tuple(shape[1:-1])


def _window(operation: str, kernel: tuple[int, ...]) -> _core.PoolWindow:
    return _arguments.pool_window(operation, len(kernel), kernel, None, 0, 1, "floor")


def _expand(operation: str, name: str, value: object, input_shape: tuple[int, ...]) -> Array:
    """Return the (N, C) array with spatial axes of extent 1."""
    flat = _arguments.array(operation, name, value)
    expected = (input_shape[0], input_shape[-1])
    if flat.shape != expected:
        raise ValueError(f"{operation}: {name} must have shape {expected}, got {flat.shape}")
    return flat.reshape(expected[0], *(1,) * (len(input_shape) - 2), expected[1])
