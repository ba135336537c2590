"""The passes of convolution and transposed convolution, for all ranks: arguments understood, one call of the core."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from numpy import ndarray

from fastconv import _arguments, _core
from fastconv._arguments import Activation, Array
from fastconv._half import accepts_half


class ConvGradients(NamedTuple):
    """Gradients of a convolution: arrays shaped like input, weight and bias; None where not asked for."""

    input: Array | None
    weight: Array | None
    bias: Array | None


@accepts_half
def forward(
    operation: str,
    rank: int,
    input: object,
    weight: object,
    bias: object,
    stride: object,
    padding: object,
    dilation: object,
    groups: int,
    padding_mode: object,
    activation: Activation | None,
    algorithm: str,
    out: Array | None,
    kept: _core.KeptWeight | None = None,
) -> Array:
    """Convolve; what the functions and layers of all ranks share. ``kept`` holds a transformed weight between calls."""
    return _core.conv_forward(
        input if type(input) is ndarray else _arguments.array(operation, "input", input),
        weight if type(weight) is ndarray else _arguments.array(operation, "weight", weight),
        bias if bias is None or type(bias) is ndarray else _arguments.array(operation, "bias", bias),
        _arguments.conv_window(operation, rank, stride, padding, dilation, groups, padding_mode),
        None if activation is None else _arguments.name_or_none(operation, "activation", activation),
        algorithm,
        None if out is None else _arguments.output(operation, out),
        kept,
    )


@accepts_half
def backward(
    operation: str,
    rank: int,
    grad_output: object,
    input: object,
    weight: object,
    stride: object,
    padding: object,
    dilation: object,
    groups: int,
    padding_mode: object,
    algorithm: str,
    wrt: Iterable[str],
) -> ConvGradients:
    """Return the gradients of a convolution; what the functions and layers of all ranks share."""
    with_input, with_weight, with_bias = _arguments.wanted(operation, wrt)
    gradients = _core.conv_backward(
        grad_output if type(grad_output) is ndarray else _arguments.array(operation, "grad_output", grad_output),
        input if type(input) is ndarray else _arguments.array(operation, "input", input),
        weight if type(weight) is ndarray else _arguments.array(operation, "weight", weight),
        _arguments.conv_window(operation, rank, stride, padding, dilation, groups, padding_mode),
        algorithm,
        with_input,
        with_weight,
        with_bias,
    )
    return tuple.__new__(ConvGradients, gradients)  # unlike a call of the class, at once


@accepts_half
def transposed_forward(
    operation: str,
    rank: int,
    input: object,
    weight: object,
    bias: object,
    stride: object,
    padding: object,
    output_padding: object,
    dilation: object,
    groups: int,
    activation: Activation | None,
    algorithm: str,
    out: Array | None,
) -> Array:
    """Convolve transposed; what the functions and layers of all ranks share."""
    return _core.conv_transpose_forward(
        input if type(input) is ndarray else _arguments.array(operation, "input", input),
        weight if type(weight) is ndarray else _arguments.array(operation, "weight", weight),
        bias if bias is None or type(bias) is ndarray else _arguments.array(operation, "bias", bias),
        _arguments.transposed_window(operation, rank, stride, padding, output_padding, dilation, groups),
        None if activation is None else _arguments.name_or_none(operation, "activation", activation),
        algorithm,
        None if out is None else _arguments.output(operation, out),
    )


@accepts_half
def transposed_backward(
    operation: str,
    rank: int,
    grad_output: object,
    input: object,
    weight: object,
    stride: object,
    padding: object,
    output_padding: object,
    dilation: object,
    groups: int,
    algorithm: str,
    wrt: Iterable[str],
) -> ConvGradients:
    """Return the gradients; what the functions and layers of all ranks share."""
    with_input, with_weight, with_bias = _arguments.wanted(operation, wrt)
    gradients = _core.conv_transpose_backward(
        grad_output if type(grad_output) is ndarray else _arguments.array(operation, "grad_output", grad_output),
        input if type(input) is ndarray else _arguments.array(operation, "input", input),
        weight if type(weight) is ndarray else _arguments.array(operation, "weight", weight),
        _arguments.transposed_window(operation, rank, stride, padding, output_padding, dilation, groups),
        algorithm,
        with_input,
        with_weight,
        with_bias,
    )
    return tuple.__new__(ConvGradients, gradients)
