"""The dense (fully connected) layer and its gradients, on the same matrix kernels as the convolutions."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from numpy import ndarray

from fastconv import _arguments, _core
from fastconv._arguments import Activation, Array
from fastconv._half import accepts_half


class LinearGradients(NamedTuple):
    """Gradients of a dense layer: arrays shaped like input, weight and bias; None where not asked for."""

    input: Array | None
    weight: Array | None
    bias: Array | None


def linear(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    activation: Activation | None = None,
    out: Array | None = None,
) -> Array:
    """Return ``input @ weight + bias``.

    Parameters
    ----------
    input : (..., in_features) array of float32 or float64, or float16 or bfloat16
    weight : (in_features, out_features) array, dtype of the input
        As in Keras; PyTorch's weight is the transpose of it.
    bias : (out_features,) array, optional
    activation : None or str
        "relu", which is applied as the output is stored, or another of the activations ("relu6", "leaky_relu",
        "sigmoid", "tanh", "silu", "hardswish", "gelu"), which run over the output.
    out : C-contiguous array of the output's shape and dtype, optional
        Filled and returned. It must not share memory with an input.

    Returns
    -------
    (..., out_features) array

    Raises
    ------
    ValueError
        Shapes that don't fit.
    TypeError
        Another dtype, or a mix of them.

    Notes
    -----
    The error against exact arithmetic is of the order of sqrt(in_features) * eps, times the size of the
    summands; the bits don't depend on the number of threads.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.linear(np.array([[1.0, 2.0]]), np.array([[1.0, 0.0], [0.0, -1.0]]), activation="relu")
    array([[1., 0.]])
    """
    return _forward(input, weight, bias, activation, out)


def linear_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> LinearGradients:
    """Return the gradients of a loss with respect to what went into `linear`.

    Parameters
    ----------
    grad_output : (..., out_features) array
        Gradient of the loss with respect to the output (in front of the activation, if there was one).
    input, weight
        As in the forward call.
    wrt : names among "input", "weight" and "bias"
        What to compute.

    Returns
    -------
    LinearGradients
        Named tuple (input, weight, bias), None where not asked for.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> gradients = fc.linear_backward(np.ones((2, 3)), np.ones((2, 4)), np.ones((4, 3)))
    >>> gradients.input.shape, gradients.weight[0], gradients.bias
    ((2, 4), array([2., 2., 2.]), array([2., 2., 2.]))
    """
    return _backward(grad_output, input, weight, wrt)


@accepts_half
def _forward(input: object, weight: object, bias: object, activation: Activation | None, out: Array | None) -> Array:
    return _core.linear_forward(
        input if type(input) is ndarray else _arguments.array("linear", "input", input),
        weight if type(weight) is ndarray else _arguments.array("linear", "weight", weight),
        bias if bias is None or type(bias) is ndarray else _arguments.array("linear", "bias", bias),
        None if activation is None else _arguments.name_or_none("linear", "activation", activation),
        None if out is None else _arguments.output("linear", out),
    )


@accepts_half
def _backward(grad_output: object, input: object, weight: object, wrt: Iterable[str]) -> LinearGradients:
    with_input, with_weight, with_bias = _arguments.wanted("linear_backward", wrt)
    gradients = _core.linear_backward(
        grad_output
        if type(grad_output) is ndarray
        else _arguments.array("linear_backward", "grad_output", grad_output),
        input if type(input) is ndarray else _arguments.array("linear_backward", "input", input),
        weight if type(weight) is ndarray else _arguments.array("linear_backward", "weight", weight),
        with_input,
        with_weight,
        with_bias,
    )
    return tuple.__new__(LinearGradients, gradients)  # unlike a call of the class, at once
