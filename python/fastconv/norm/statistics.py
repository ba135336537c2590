"""What normalizations share, functions and layers: statistics, and the two sweeps that apply them.

The core sums; what is made of the sums by channel is worked out in double precision.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from fastconv import _arguments, _core
from fastconv._arguments import Activation, Array

ALL_SAMPLES = 0
"""In place of a number of groups: the samples of a batch are normalized together, channel by channel."""


class NormGradients(NamedTuple):
    """Gradients of a normalization: arrays shaped like input, scale and bias."""

    input: Array
    scale: Array
    bias: Array


def as_gradients(gradients: tuple[Array | None, Array, Array]) -> NormGradients:
    """Name the gradients of a normalization, all of which were asked for."""
    input, scale, bias = gradients
    assert input is not None
    return NormGradients(input, scale, bias)


class Statistics(NamedTuple):
    """Mean, biased variance and 1 / sqrt(variance + epsilon), float64, of every sample and group."""

    mean: Array
    variance: Array
    inverse_std: Array


def check_epsilon(operation: str, epsilon: float) -> None:
    """Raise ValueError unless epsilon is a finite number that isn't negative."""
    if not 0 <= epsilon < math.inf:
        raise ValueError(f"{operation}: epsilon must be finite and not negative, got {epsilon}")


def statistics(operation: str, input: Array, groups: int, epsilon: float) -> Statistics:
    """Return the statistics of every group of every sample, or of all samples together."""
    mean, variance = _core.channel_statistics(operation, input, groups)
    return _statistics(mean, variance, epsilon)


def of_running(mean: Array, variance: Array, epsilon: float) -> Statistics:
    """Return the statistics that were averaged over batches."""
    return _statistics(mean.astype(np.float64), variance.astype(np.float64), epsilon)


def _statistics(mean: Array, variance: Array, epsilon: float) -> Statistics:
    with np.errstate(divide="ignore", invalid="ignore"):
        return Statistics(mean, variance, 1 / np.sqrt(variance + epsilon))


def update_running(mean: Array, variance: Array, new: Statistics, count: int, momentum: float) -> None:
    """Move the averages of mean and variance towards those of `count` values, as torch does."""
    if count > 0:
        mean += momentum * (new.mean.reshape(-1) - mean)
    if count > 1:
        variance += momentum * (new.variance.reshape(-1) * (count / (count - 1)) - variance)


def normalize(
    operation: str,
    input: Array,
    groups: int,
    found: Statistics,
    scale: Array | None,
    bias: Array | None,
    activation: Activation | None,
    out: Array | None,
    addend: Array | None = None,
) -> Array:
    """Return ``activation(normalized input + addend)``."""
    return _core.channel_norm_forward(
        operation,
        input,
        groups,
        found.mean,
        found.inverse_std,
        parameter(operation, "scale", scale),
        parameter(operation, "bias", bias),
        addend,
        _arguments.name_or_none(operation, "activation", activation),
        _arguments.output(operation, out),
    )


def normalize_backward(
    operation: str,
    grad_output: Array,
    input: Array,
    groups: int,
    mean: Array,
    inverse_std: Array,
    scale: Array | None,
    output: Array | None = None,
    *,
    bias: Array | None = None,
    relu: bool = False,
    constant: bool = False,
    with_input: bool = True,
) -> tuple[Array | None, Array, Array]:
    """Return the gradients of input, scale and bias of `normalize`; the first is None where it isn't wanted.

    With ``output`` they come through a ReLU, of which that is the output. With ``relu`` instead, the core works out
    again where that was positive, for which it needs the bias.
    """
    return _core.channel_norm_backward(
        operation,
        _arguments.array(operation, "grad_output", grad_output),
        input,
        parameter(operation, "output", output),
        groups,
        mean,
        inverse_std,
        parameter(operation, "scale", scale),
        parameter(operation, "bias", bias),
        relu,
        constant,
        with_input,
    )


def parameter(operation: str, name: str, value: Array | None) -> Array | None:
    """Return an array that may be left out."""
    return None if value is None else _arguments.array(operation, name, value)
