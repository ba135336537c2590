"""Normalizations of a pixel by its own channels: all of them, or the neighbours of each."""

from __future__ import annotations

import math

from fastconv import _arguments, _core
from fastconv._arguments import Array
from fastconv.norm.statistics import NormGradients, check_epsilon, parameter


def layer_norm(
    input: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-5,
    out: Array | None = None,
) -> Array:
    """Normalize over the last axis: ``(input - mean) / sqrt(variance + epsilon) * scale + bias``.

    Parameters
    ----------
    input : (..., C) array of float32 or float64, at least one axis
        Every pixel has a mean and a (biased) variance of its channels.
    scale, bias : (C,) arrays, dtype of the input, optional
        1 and 0 where they are left out.
    epsilon : float, not negative
    out : C-contiguous array of the input's shape and dtype, optional
        Filled and returned. It must not share memory with an input.

    Raises
    ------
    ValueError
        Shapes that don't fit, an epsilon out of range.
    TypeError
        A dtype other than float32 or float64, or a mix of both.

    References
    ----------
    J. L. Ba, J. R. Kiros, G. E. Hinton, "Layer normalization", arXiv:1607.06450. Over the channels alone, as in
    Z. Liu and others, "A ConvNet for the 2020s", CVPR 2022.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.layer_norm(np.array([[1.0, 3.0], [8.0, 6.0]]), epsilon=0.0)
    array([[-1.,  1.],
           [ 1., -1.]])
    """
    name = "layer_norm"
    check_epsilon(name, epsilon)
    return _core.layer_norm_forward(
        _arguments.array(name, "input", input),
        parameter(name, "scale", scale),
        parameter(name, "bias", bias),
        epsilon,
        _arguments.output(name, out),
    )


def layer_norm_backward(
    grad_output: Array, input: Array, scale: Array | None = None, *, epsilon: float = 1e-5
) -> NormGradients:
    """Return the gradients of a loss with respect to what went into `layer_norm`.

    Parameters
    ----------
    grad_output : (..., C) array
        Gradient with respect to the output.
    input, scale, epsilon
        As in the forward call.

    Returns
    -------
    NormGradients
        Named tuple (input, scale, bias).

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.layer_norm_backward(np.array([[2.0, 1.0]]), np.array([[1.0, 3.0]]), epsilon=0.0).scale
    array([-2.,  1.])
    """
    name = "layer_norm_backward"
    check_epsilon(name, epsilon)
    gradients = _core.layer_norm_backward(
        _arguments.array(name, "grad_output", grad_output),
        _arguments.array(name, "input", input),
        parameter(name, "scale", scale),
        epsilon,
    )
    return NormGradients(*gradients)


def local_response_norm(
    input: Array,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
    out: Array | None = None,
) -> Array:
    """Return ``input / (k + alpha / size * sum of squares of neighbouring channels) ** beta``.

    Parameters
    ----------
    input : (..., C) array of float32 or float64, at least one axis
    size : int
        Number of channels in a window: (size - 1) // 2 before, itself, size // 2 after, as far as they exist. That is
        ONNX's; torch has the odd one of an even size before.
    alpha, beta, k : float
        Finite. 0.75, 0.5 and 1 are the fast ones for ``beta``, made of square roots.
    out : C-contiguous array of the input's shape and dtype, optional
        Filled and returned. It must not share memory with an input.

    Raises
    ------
    ValueError
        A ``size`` below 1, a parameter that isn't finite, an ``out`` that doesn't fit.
    TypeError
        A dtype other than float32 or float64.

    References
    ----------
    A. Krizhevsky, I. Sutskever, G. E. Hinton, "ImageNet classification with deep convolutional neural networks",
    NIPS 2012, section 3.3 (where alpha isn't divided by the size).

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.local_response_norm(np.array([[1.0, 2.0, 2.0]]), 3, alpha=3.0, beta=0.5, k=0.0).round(3)
    array([[0.447, 0.667, 0.707]])
    """
    name = "local_response_norm"
    return _core.local_response_forward(
        _arguments.array(name, "input", input),
        *_window(name, size, alpha, beta, k),
        _arguments.output(name, out),
    )


def local_response_norm_backward(
    grad_output: Array,
    input: Array,
    size: int = 5,
    *,
    alpha: float = 1e-4,
    beta: float = 0.75,
    k: float = 1.0,
) -> Array:
    """Return the gradient of a loss with respect to the input of `local_response_norm`.

    Parameters
    ----------
    grad_output : (..., C) array
        Gradient with respect to the output.
    input, size, alpha, beta, k
        As in the forward call.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.local_response_norm_backward(np.array([[1.0]]), np.array([[2.0]]), 1, alpha=1.0, beta=1.0)
    array([[-0.12]])
    """
    name = "local_response_norm_backward"
    return _core.local_response_backward(
        _arguments.array(name, "grad_output", grad_output),
        _arguments.array(name, "input", input),
        *_window(name, size, alpha, beta, k),
    )


def _window(operation: str, size: int, alpha: float, beta: float, k: float) -> tuple[int, float, float, float]:
    number = _arguments.integer(operation, "size", size)
    if number < 1:
        raise ValueError(f"{operation}: size must be at least 1, got {size}")
    for name, value in {"alpha": alpha, "beta": beta, "k": k}.items():
        if not math.isfinite(value):
            raise ValueError(f"{operation}: {name} must be finite, got {value}")
    return number, alpha, beta, k
