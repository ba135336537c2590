"""Activations, element by element, each with its gradient."""

from __future__ import annotations

import math

from fastconv import _arguments, _core
from fastconv._arguments import Array
from fastconv._half import accepts_half


def relu(input: Array, *, out: Array | None = None) -> Array:
    """Return ``max(input, 0)``, element by element; NaN stays NaN.

    Parameters
    ----------
    input : array of float32 or float64, or float16 or bfloat16, any shape
    out : C-contiguous array of the same shape and dtype, optional
        Filled and returned; ``out=input`` works in place.

    Raises
    ------
    TypeError
        A dtype other than float32 or float64.
    ValueError
        An ``out`` that doesn't fit.

    Notes
    -----
    Of all activations here: denormals count as zero, and -inf gives the limit, even where that is a zero of infinity
    times zero. `sigmoid`, `tanh`, `silu` and `gelu` are within 4 eps of exact arithmetic, relative to the result;
    results below 1e-36 (1e-305 in float64) may be zero.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.relu(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """
    return forward("relu", input, out)


def relu_backward(grad_output: Array, output: Array) -> Array:
    """Return ``grad_output`` where ``output > 0``, else 0: the gradient of `relu`.

    Parameters
    ----------
    grad_output : array of float32 or float64
    output : array of the same shape and dtype
        What `relu` returned (its input would do as well); a convolution with ``activation="relu"`` also
        needs nothing but its output.

    Raises
    ------
    TypeError
        A dtype other than float32 or float64, or a mix of both.
    ValueError
        Shapes that differ.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.relu_backward(np.array([5.0, 6.0, 7.0]), np.array([0.0, 0.0, 2.0]))
    array([0., 0., 7.])
    """
    return backward("relu", grad_output, output)


def relu6(input: Array, *, out: Array | None = None) -> Array:
    """Return ``min(max(input, 0), 6)``; the arguments of `relu`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.relu6(np.array([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """
    return forward("relu6", input, out)


def relu6_backward(grad_output: Array, output: Array) -> Array:
    """Return ``grad_output`` where ``0 < output < 6``, else 0; the arguments of `relu_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.relu6_backward(np.ones(3), np.array([0.0, 2.0, 6.0]))
    array([0., 1., 0.])
    """
    return backward("relu6", grad_output, output)


def leaky_relu(input: Array, negative_slope: float = 0.01, *, out: Array | None = None) -> Array:
    """Return ``input`` where it is positive, else ``negative_slope * input``.

    Parameters
    ----------
    input, out
        As of `relu`.
    negative_slope : float
        Finite. ``activation="leaky_relu"`` of a layer has the default.

    References
    ----------
    A. L. Maas, A. Y. Hannun, A. Y. Ng, "Rectifier nonlinearities improve neural network acoustic models", 2013.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.leaky_relu(np.array([-2.0, 0.0, 2.0]), 0.5)
    array([-1.,  0.,  2.])
    """
    if not math.isfinite(negative_slope):
        raise ValueError(f"leaky_relu: negative_slope must be finite, got {negative_slope}")
    return forward("leaky_relu", input, out, negative_slope)


def leaky_relu_backward(grad_output: Array, output: Array, negative_slope: float = 0.01) -> Array:
    """Return ``grad_output`` where ``output > 0``, else ``negative_slope * grad_output``.

    Parameters
    ----------
    grad_output, output
        As of `relu_backward`.
    negative_slope : float
        As in the forward call, and above 0: otherwise the output doesn't tell which side it comes from.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.leaky_relu_backward(np.array([8.0, 8.0]), np.array([-1.0, 2.0]), 0.5)
    array([4., 8.])
    """
    if not 0 < negative_slope < math.inf:
        raise ValueError(f"leaky_relu_backward: negative_slope must be above 0 and finite, got {negative_slope}")
    return backward("leaky_relu", grad_output, output, negative_slope)


def sigmoid(input: Array, *, out: Array | None = None) -> Array:
    """Return ``1 / (1 + exp(-input))``; the arguments of `relu`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.sigmoid(np.array([-np.inf, 0.0, np.log(3.0)]))
    array([0.  , 0.5 , 0.75])
    """
    return forward("sigmoid", input, out)


def sigmoid_backward(grad_output: Array, output: Array) -> Array:
    """Return ``grad_output * output * (1 - output)``; the arguments of `relu_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.sigmoid_backward(np.array([1.0, 1.0]), np.array([0.5, 0.75]))
    array([0.25  , 0.1875])
    """
    return backward("sigmoid", grad_output, output)


def tanh(input: Array, *, out: Array | None = None) -> Array:
    """Return the hyperbolic tangent; the arguments of `relu`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.tanh(np.array([-np.inf, 0.0, np.log(3.0)]))
    array([-1. ,  0. ,  0.8])
    """
    return forward("tanh", input, out)


def tanh_backward(grad_output: Array, output: Array) -> Array:
    """Return ``grad_output * (1 - output**2)``; the arguments of `relu_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.tanh_backward(np.array([1.0, 1.0]), np.array([0.0, 0.5]))
    array([1.  , 0.75])
    """
    return backward("tanh", grad_output, output)


def silu(input: Array, *, out: Array | None = None) -> Array:
    """Return ``input * sigmoid(input)``, also called swish; the arguments of `relu`.

    References
    ----------
    S. Elfwing, E. Uchibe, K. Doya, "Sigmoid-weighted linear units for neural network function approximation in
    reinforcement learning", Neural Networks 107, 2018.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.silu(np.array([-np.inf, 0.0, 100.0]))
    array([ -0.,   0., 100.])
    """
    return forward("silu", input, out)


def silu_backward(grad_output: Array, input: Array) -> Array:
    """Return the gradient of `silu`: ``grad_output`` times its slope at ``input``.

    With ``s = sigmoid(input)``, the slope is ``s * (1 + input * (1 - s))``.

    Parameters
    ----------
    grad_output : array of float32 or float64
    input : array of the same shape and dtype
        What `silu` was given: its output, which falls and rises again, wouldn't do.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.silu_backward(np.array([3.0, 3.0]), np.array([0.0, 100.0]))
    array([1.5, 3. ])
    """
    return backward("silu", grad_output, input)


def hardswish(input: Array, *, out: Array | None = None) -> Array:
    """Return ``input * relu6(input + 3) / 6``; the arguments of `relu`.

    References
    ----------
    A. Howard and others, "Searching for MobileNetV3", ICCV 2019, section 5.2.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.hardswish(np.array([-4.0, 0.0, 1.5, 4.0]))
    array([-0.   ,  0.   ,  1.125,  4.   ])
    """
    return forward("hardswish", input, out)


def hardswish_backward(grad_output: Array, input: Array) -> Array:
    """Return the gradient of `hardswish`; the arguments of `silu_backward`.

    The slope is ``(2 * input + 3) / 6`` between -3 and 3; below it is 0 and above 1, and so it is at the bends.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.hardswish_backward(np.ones(4), np.array([-3.0, 0.0, 1.5, 3.0]))
    array([0. , 0.5, 1. , 1. ])
    """
    return backward("hardswish", grad_output, input)


def gelu(input: Array, *, out: Array | None = None) -> Array:
    """Return ``input * (1 + erf(input / sqrt(2))) / 2``; the arguments of `relu`.

    This is the exact one, with the distribution function of a normal variable, not the approximation with a tanh.

    References
    ----------
    D. Hendrycks, K. Gimpel, "Gaussian error linear units (GELUs)", arXiv:1606.08415.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.gelu(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    """
    return forward("gelu", input, out)


def gelu_backward(grad_output: Array, input: Array) -> Array:
    """Return the gradient of `gelu`; the arguments of `silu_backward`.

    The slope is ``(1 + erf(input / sqrt(2))) / 2 + input * exp(-input**2 / 2) / sqrt(2 * pi)``.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.gelu_backward(np.ones(3), np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """
    return backward("gelu", grad_output, input)


@accepts_half
def forward(name: str, input: Array, out: Array | None, slope: float = 0.01) -> Array:
    """Apply an activation by its name; what the functions and layers share."""
    return _core.activation_forward(name, _arguments.array(name, "input", input), _arguments.output(name, out), slope)


@accepts_half
def add(operation: str, name: str | None, input: Array, other: Array) -> Array:
    """Return the activation of a sum, in one pass: how residual blocks end."""
    return _core.add(operation, name, input, other)


@accepts_half
def backward(name: str, grad_output: Array, saved: Array, slope: float = 0.01) -> Array:
    """Return the gradient of an activation by its name; saved: its input or its output, whichever it needs."""
    operation, what = f"{name}_backward", "input" if _core.gradient_needs_input(name) else "output"
    return _core.activation_backward(
        name,
        _arguments.array(operation, "grad_output", grad_output),
        _arguments.array(operation, what, saved),
        slope,
    )
