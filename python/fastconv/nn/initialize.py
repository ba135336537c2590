"""Initial values of weights: random, of a variance that keeps signals from fading or growing with depth.

With weights laid out (*kernel, in_channels // groups, out_channels), a unit of the output sums ``fan_in`` products,
the product of all axes but the last, and a unit of the input takes part in ``fan_out``, the kernel's size times the
last axis. He et al. keep the variance through layers that ReLU follows; Glorot and Bengio compromise between the
forward and the backward pass of layers without it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import DTypeLike, NDArray

Seed: TypeAlias = int | np.random.Generator | None
Initializer: TypeAlias = Callable[[Sequence[int], Seed, DTypeLike], NDArray[Any]]


def he_normal(shape: Sequence[int], seed: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Draw weights from a normal distribution of variance ``2 / fan_in``.

    Parameters
    ----------
    shape : sequence of int
        Shape of the weight, (*kernel, in_channels // groups, out_channels).
    seed : int or numpy.random.Generator, optional
        A seed gives the same weights each time; a generator goes on from where it is; None is different each time.
    dtype : dtype, default float32
        float32 or float64.

    Returns
    -------
    ndarray
        The weights.

    Raises
    ------
    TypeError
        If ``dtype`` is neither float32 nor float64.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Delving deep into rectifiers. ICCV 2015, section 2.2, equation 10.

    Examples
    --------
    >>> from fastconv.nn import initialize
    >>> round(initialize.he_normal((3, 3, 16, 32), seed=0).std().item(), 2)  # sqrt(2 / 144) = 0.118
    0.12
    """
    fan_in, _ = _fans(shape)
    return _normal(shape, 2 / fan_in, seed, dtype)


def he_uniform(shape: Sequence[int], seed: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Draw weights from a uniform distribution of variance ``2 / fan_in``; see `he_normal`.

    Examples
    --------
    >>> from fastconv.nn import initialize
    >>> bool(abs(initialize.he_uniform((5, 5, 6, 16), seed=0)).max() <= (6 / 150) ** 0.5)
    True
    """
    fan_in, _ = _fans(shape)
    return _uniform(shape, 2 / fan_in, seed, dtype)


def glorot_normal(shape: Sequence[int], seed: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Draw weights from a normal distribution of variance ``2 / (fan_in + fan_out)``.

    Parameters, result and errors are those of `he_normal`.

    References
    ----------
    X. Glorot, Y. Bengio: Understanding the difficulty of training deep feedforward neural networks. AISTATS 2010,
    section 4.2.1, equation 12.

    Examples
    --------
    >>> from fastconv.nn import initialize
    >>> round(initialize.glorot_normal((100, 300), seed=0).std().item(), 2)  # sqrt(2 / 400) = 0.071
    0.07
    """
    fan_in, fan_out = _fans(shape)
    return _normal(shape, 2 / (fan_in + fan_out), seed, dtype)


def glorot_uniform(shape: Sequence[int], seed: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Draw weights from a uniform distribution of variance ``2 / (fan_in + fan_out)``; see `glorot_normal`.

    This is the paper's "normalized initialization", equation 16.

    Examples
    --------
    >>> from fastconv.nn import initialize
    >>> bool(abs(initialize.glorot_uniform((100, 300), seed=0)).max() <= (6 / 400) ** 0.5)
    True
    """
    fan_in, fan_out = _fans(shape)
    return _uniform(shape, 2 / (fan_in + fan_out), seed, dtype)


def zeros(shape: Sequence[int], seed: Seed = None, dtype: DTypeLike = np.float32) -> NDArray[Any]:
    """Return weights of zeros, where values come from elsewhere or don't matter: that takes no time, and no memory yet.

    Examples
    --------
    >>> from fastconv.nn import initialize
    >>> initialize.zeros((1, 2))
    array([[0., 0.]], dtype=float32)
    """
    return np.zeros(shape, floating(dtype))


def floating(dtype: DTypeLike) -> np.dtype[Any]:
    """Return ``dtype`` as NumPy's; raise TypeError if it isn't one that layers compute in."""
    found = np.dtype(dtype)
    if found not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise TypeError(f"dtype is {found}, expected float32 or float64")
    return found


def _fans(shape: Sequence[int]) -> tuple[int, int]:
    if len(shape) < 2:
        raise ValueError(f"initialize: shape is {tuple(shape)}, expected (*kernel, in_channels, out_channels)")
    *kernel, fan_in, fan_out = shape
    # Empty layers have no weights to draw; 1 keeps the variance finite.
    return max(math.prod(kernel) * fan_in, 1), max(math.prod(kernel) * fan_out, 1)


def _normal(shape: Sequence[int], variance: float, seed: Seed, dtype: DTypeLike) -> NDArray[Any]:
    drawn = np.random.default_rng(seed).standard_normal(shape)
    return (drawn * math.sqrt(variance)).astype(floating(dtype))


def _uniform(shape: Sequence[int], variance: float, seed: Seed, dtype: DTypeLike) -> NDArray[Any]:
    bound = math.sqrt(3 * variance)  # U(-b, b) has the variance b^2 / 3.
    return np.random.default_rng(seed).uniform(-bound, bound, shape).astype(floating(dtype))
