"""A quick check that this machine computes right: every algorithm and pass at every instruction set that it has.

All data are small integers, whose sums floating-point numbers hold exactly in any order. So every result must be equal
to that of a few lines of NumPy, to the last bit; or, from an algorithm that transforms the numbers first, so near to it
that it can be no other integer. Only activations and normalizations, whose results are no integers, may differ by
roundings.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fastconv import _core, activation, conv, dense, explanation, norm, pool, runtime
from fastconv._arguments import Array

_CONV = {
    1: (conv.conv1d, conv.conv1d_backward),
    2: (conv.conv2d, conv.conv2d_backward),
    3: (conv.conv3d, conv.conv3d_backward),
}

_PASSES = ("forward", "grad input", "grad weight", "grad bias")


@dataclass(frozen=True)
class _Convolution:
    """One geometry; extents of input and kernel have one entry for each spatial axis."""

    name: str
    input: tuple[int, ...]
    kernel: tuple[int, ...]
    channels: tuple[int, int]
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    groups: int = 1


_CONVOLUTIONS = (
    _Convolution("3×3", (9, 11), (3, 3), (16, 33), padding=1),
    _Convolution("1×1", (6, 7), (1, 1), (65, 17)),
    _Convolution("3×2 strided, grouped", (8, 9), (3, 2), (6, 9), stride=2, groups=3),
    _Convolution("3×3 depthwise", (8, 9), (3, 3), (19, 19), padding=1, groups=19),
    _Convolution("1-D dilated", (41,), (4,), (5, 7), stride=2, padding=3, dilation=2),
    _Convolution("1-D, 51 taps", (170,), (51,), (3, 17), padding=20),
    _Convolution("3-D", (5, 6, 7), (2, 3, 2), (3, 20), padding=1),
)


def main() -> int:
    """Run all checks, print a line for each, and return 0 if all passed, else 1."""
    failed = 0
    for isa in runtime.info()["isa_available"]:
        with runtime.options(isa=isa):
            for name, passed in itertools.chain(
                _check_convolutions(), _check_pooling(), _check_linear(), _check_elements()
            ):
                print(f"{isa:>9}  {name:<46} {'ok' if passed else 'FAILED'}")
                failed += not passed
    print(f"failed: {failed} checks" if failed else "ok")
    return 1 if failed else 0


def _check_convolutions() -> Iterator[tuple[str, bool]]:
    for algorithm, case, dtype in itertools.product(runtime.algorithms(), _CONVOLUTIONS, ("float32", "float64")):
        rng = np.random.default_rng(0)
        in_channels, out_channels = case.channels
        input = _integers(rng, (2, *case.input, in_channels), dtype)
        weight = _integers(rng, (*case.kernel, in_channels // case.groups, out_channels), dtype)
        bias = _integers(rng, (out_channels,), dtype)
        forward, backward = _CONV[len(case.kernel)]
        options: dict[str, Any] = {
            "stride": case.stride,
            "padding": case.padding,
            "dilation": case.dilation,
            "groups": case.groups,
            "algorithm": algorithm,
        }
        if not _supports(input, weight, options):
            continue
        near = 0.0 if _core.algorithm_is_exact(algorithm) else (1e-2 if dtype == "float32" else 1e-10)
        output = forward(input, weight, bias, **options)
        grad_output = _integers(rng, output.shape, dtype)
        found = (output, *backward(grad_output, input, weight, **options))
        expected = _reference_convolution(case, input, weight, bias, grad_output)
        for part, one, other in zip(_PASSES, found, expected, strict=True):
            yield f"{algorithm} {case.name} {dtype} {part}", _equal(one, other, near)


def _supports(input: Array, weight: Array, options: dict[str, Any]) -> bool:
    try:
        explanation.explain(input, weight, **options)
    except ValueError as error:
        if "doesn't support" not in str(error):
            raise
        return False
    return True


def _reference_convolution(
    case: _Convolution, input: Array, weight: Array, bias: Array, grad_output: Array
) -> tuple[Array, Array, Array, Array]:
    """Return output, grad_input, grad_weight and grad_bias, tap by tap."""
    groups = case.groups
    padded = _pad(input, case.padding)
    output = np.broadcast_to(bias, grad_output.shape).copy()
    grad_padded, grad_weight = np.zeros_like(padded), np.zeros_like(weight)
    grad_grouped = _group(grad_output, groups)
    for tap, window in _windows(case.kernel, grad_output.shape, case.stride, case.dilation):
        taken, factor = _group(padded[window], groups), _group(weight[tap], groups)
        output += np.einsum("...gc,cgk->...gk", taken, factor).reshape(output.shape)
        grad_padded[window] += np.einsum("...gk,cgk->...gc", grad_grouped, factor).reshape(padded[window].shape)
        grad_weight[tap] = np.einsum(
            "ngc,ngk->cgk", taken.reshape(-1, *taken.shape[-2:]), grad_grouped.reshape(-1, *grad_grouped.shape[-2:])
        ).reshape(weight[tap].shape)
    grad_bias = grad_output.sum(axis=tuple(range(grad_output.ndim - 1)))
    return output, _crop(grad_padded, case.padding), grad_weight, grad_bias


def _check_pooling() -> Iterator[tuple[str, bool]]:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        # No two values are equal, so that there is one maximum.
        input = rng.permutation(2 * 7 * 8 * 19).reshape(2, 7, 8, 19).astype(dtype)
        output, indices = pool.max_pool2d(input, 3, stride=2, padding=1, return_indices=True)
        grad_output = _integers(rng, output.shape, dtype)
        grad_input = pool.max_pool2d_backward(grad_output, indices, input.shape, kernel_size=3, stride=2, padding=1)
        padded = _pad(input, 1, -np.inf)
        windows = [window for _, window in _windows((3, 3), output.shape, 2, 1)]
        maximum = np.max([padded[window] for window in windows], axis=0)
        grad_padded = np.zeros_like(padded)
        for window in windows:
            grad_padded[window] += grad_output * (padded[window] == maximum)
        yield f"max pool {dtype} forward", np.array_equal(output, maximum)
        yield f"max pool {dtype} backward", np.array_equal(grad_input, _crop(grad_padded, 1))

        mean = pool.avg_pool2d(input, 2, stride=1)
        grad_output = _integers(rng, mean.shape, dtype)
        grad_input = pool.avg_pool2d_backward(grad_output, input.shape, 2, stride=1)
        windows = [window for _, window in _windows((2, 2), mean.shape, 1, 1)]
        grad_mean = np.zeros_like(input)
        for window in windows:
            grad_mean[window] += grad_output / 4
        yield f"avg pool {dtype} forward", np.array_equal(mean, sum(input[window] for window in windows) / 4)
        yield f"avg pool {dtype} backward", np.array_equal(grad_input, grad_mean)


def _check_linear() -> Iterator[tuple[str, bool]]:
    rng = np.random.default_rng(0)
    for dtype in ("float32", "float64"):
        input, weight = _integers(rng, (13, 70), dtype), _integers(rng, (70, 35), dtype)
        bias, grad_output = _integers(rng, (35,), dtype), _integers(rng, (13, 35), dtype)
        found = (dense.linear(input, weight, bias), *dense.linear_backward(grad_output, input, weight))
        expected = (input @ weight + bias, grad_output @ weight.T, input.T @ grad_output, grad_output.sum(axis=0))
        for part, one, other in zip(_PASSES, found, expected, strict=True):
            yield f"linear {dtype} {part}", _equal(one, other)


def _check_elements() -> Iterator[tuple[str, bool]]:
    """Activations and normalizations round: their results have to be near those of NumPy."""
    rng = np.random.default_rng(0)
    for dtype, near in (("float32", 1e-5), ("float64", 1e-13)):
        input, grad_output = _integers(rng, (3, 7, 37), dtype), _integers(rng, (3, 7, 37), dtype)
        sigmoid = 1 / (1 + np.exp(-input))
        normal = np.array([math.erfc(-value / math.sqrt(2)) / 2 for value in input.flat], dtype).reshape(input.shape)
        expected = {
            "relu": np.maximum(input, 0),
            "relu6": np.clip(input, 0, 6),
            "leaky_relu": np.where(input > 0, input, 0.01 * input),
            "sigmoid": sigmoid,
            "tanh": np.tanh(input),
            "silu": input * sigmoid,
            "hardswish": input * np.clip(input + 3, 0, 6) / 6,
            "gelu": input * normal,
        }
        for name, values in expected.items():
            yield f"{name} {dtype}", _equal(getattr(activation, name)(input), values, near)
        for name, axes in (("batch_norm", (0, 1)), ("instance_norm", (1,)), ("layer_norm", (2,))):
            mean, inverse = input.mean(axes, keepdims=True), 1 / np.sqrt(input.var(axes, keepdims=True) + 1e-5)
            values = (input - mean) * inverse
            sums = grad_output.mean(axes, keepdims=True), (grad_output * values).mean(axes, keepdims=True)
            gradient = inverse * (grad_output - sums[0] - values * sums[1])
            yield f"{name} {dtype} forward", _equal(getattr(norm, name)(input), values, near)
            found = getattr(norm, f"{name}_backward")(grad_output, input)
            yield f"{name} {dtype} backward", _equal(found.input, gradient, near)


def _equal(found: Array | None, expected: Array, near: float = 0.0) -> bool:
    return found is not None and found.shape == expected.shape and bool((np.abs(found - expected) <= near).all())


def _integers(rng: np.random.Generator, shape: Sequence[int], dtype: str) -> Array:
    return rng.integers(-4, 5, shape).astype(dtype)


def _windows(
    kernel: Sequence[int], output: Sequence[int], stride: int, dilation: int
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Yield each tap of a kernel with the part of the padded input that it meets."""
    extents = output[1:-1]
    for tap in itertools.product(*map(range, kernel)):
        starts = [position * dilation for position in tap]
        yield (
            tap,
            (
                slice(None),
                *(
                    slice(start, start + stride * (extent - 1) + 1, stride)
                    for start, extent in zip(starts, extents, strict=True)
                ),
            ),
        )


def _group(array: Array, groups: int) -> Array:
    return array.reshape(*array.shape[:-1], groups, -1)


def _pad(array: Array, padding: int, value: float = 0) -> Array:
    return np.pad(array, [(0, 0), *[(padding, padding)] * (array.ndim - 2), (0, 0)], constant_values=value)


def _crop(array: Array, padding: int) -> Array:
    inside = slice(padding, -padding if padding else None)
    crop: tuple[slice, ...] = (slice(None), *[inside] * (array.ndim - 2))
    return array[crop]
