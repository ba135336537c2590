"""What takes part in a comparison: a problem's arrays, and the passes that a library can run on them."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

import fastconv as fc
from fastconv import nn
from fastconv._arguments import Array
from fastconv.benchmark.operations import runs_of
from fastconv.benchmark.tables import CONVOLUTIONS, OTHERS, Layer

Run = Callable[[], object]


@dataclass(frozen=True)
class Problem:
    """A layer and its arrays, all with channels as the last axis; with ``layout`` channels_first they are views."""

    layer: Layer
    input: Array
    weight: Array
    grad_output: Array

    @staticmethod
    def of(layer: Layer) -> Problem:
        """Draw the arrays of a layer; the same ones every time."""
        rng = np.random.default_rng(0)
        dtype: Any = np.dtype(layer.dtype).type

        def draw(shape: tuple[int, ...], weight: bool = False) -> Array:
            if layer.layout == "channels_last":
                return _aligned(rng.standard_normal(shape, dtype))
            order = channels_first(len(shape), weight)
            return with_channels_last(_aligned(rng.standard_normal([shape[axis] for axis in order], dtype)), weight)

        weight = draw(layer.weight, weight=True) if layer.op in CONVOLUTIONS else np.empty(0, dtype)
        return Problem(layer, draw(layer.input), weight, draw(layer.output))


def _aligned(array: Array) -> Array:
    """Copy an array to the start of a cache line, where every library has its own results."""
    line = 64
    memory = np.empty(array.nbytes + line, np.uint8)
    start = -memory.ctypes.data % line
    copy: Array = memory[start : start + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def channels_first(rank: int, weight: bool = False) -> tuple[int, ...]:
    """Return the axes that bring (N, *spatial, C) to (N, C, *spatial), or (*kernel, C, K) to (K, C, *kernel)."""
    return (rank - 1, rank - 2, *range(rank - 2)) if weight else (0, rank - 1, *range(1, rank - 1))


def with_channels_first(array: Array, weight: bool = False) -> Array:
    """Return an array of a problem in the layout of the other libraries, contiguous."""
    return np.ascontiguousarray(array.transpose(channels_first(array.ndim, weight)))


def with_channels_last(array: Array, weight: bool = False) -> Array:
    """View an array in the layout of the other libraries as the problem's arrays are."""
    view: Array = array.transpose(np.argsort(channels_first(array.ndim, weight)))
    return view


@dataclass(frozen=True)
class Contender:
    """A library's way to run the passes of one problem.

    ``runs`` holds what is timed, for the passes that the library has; ``read`` turns what a run of that pass
    returned into arrays with the channels last, to be compared with ours.
    """

    name: str
    runs: dict[str, Run]
    read: Callable[[str, Any], tuple[Array, ...]]


def ours(problem: Problem, algorithm: str, *, inference: bool = False) -> Contender:
    """Return the passes of fastconv. For ``inference``, a transformed weight is kept, as layers do in that mode."""
    layer = problem.layer
    if layer.op == "conv":
        runs = _conv(problem, algorithm, inference)
    elif layer.op == "conv_transpose":
        runs = _conv_transpose(problem, algorithm)
    elif layer.op in OTHERS:
        runs = runs_of(layer, problem.input, problem.grad_output)
    else:
        runs = _pool(problem)
    return Contender("fastconv", runs, lambda _, result: result if isinstance(result, tuple) else (result,))


def _conv(problem: Problem, algorithm: str, inference: bool) -> dict[str, Run]:
    layer, x, w, dy = problem.layer, problem.input, problem.weight, problem.grad_output
    forward = getattr(fc, f"conv{layer.rank}d")
    if inference:
        shape: dict[str, Any] = {"in_channels": x.shape[-1], "out_channels": w.shape[-1], "kernel_size": layer.kernel}
        kind = getattr(nn, f"Conv{layer.rank}d")
        network = kind(**shape, stride=layer.stride, padding=layer.padding, dilation=layer.dilation,
                       groups=layer.groups, bias=False, algorithm=algorithm, dtype=w.dtype).eval()  # fmt: skip
        network.parameters["weight"][...] = w
        return {"forward": lambda: network(x)}
    backward = getattr(fc, f"conv{layer.rank}d_backward")
    how = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
    how["algorithm"] = algorithm
    return {
        "forward": lambda: forward(x, w, **how),
        "grad_input": lambda: backward(dy, x, w, wrt=["input"], **how).input,
        "grad_weight": lambda: backward(dy, x, w, wrt=["weight"], **how).weight,
    }


def _conv_transpose(problem: Problem, algorithm: str) -> dict[str, Run]:
    layer, x, w, dy = problem.layer, problem.input, problem.weight, problem.grad_output
    forward = getattr(fc, f"conv_transpose{layer.rank}d")
    backward = getattr(fc, f"conv_transpose{layer.rank}d_backward")
    how = {name: getattr(layer, name) for name in ("stride", "padding", "output_padding", "dilation", "groups")}
    how["algorithm"] = algorithm
    return {
        "forward": lambda: forward(x, w, **how),
        "grad_input": lambda: backward(dy, x, w, wrt=["input"], **how).input,
        "grad_weight": lambda: backward(dy, x, w, wrt=["weight"], **how).weight,
    }


def _pool(problem: Problem) -> dict[str, Run]:
    layer, x, dy = problem.layer, problem.input, problem.grad_output
    if layer.op == "global_avg_pool":
        means = dy.reshape(layer.input[0], layer.input[-1])
        return {
            "forward": lambda: fc.global_avg_pool(x).reshape(layer.output),
            "grad_input": lambda: fc.global_avg_pool_backward(means, x.shape),
        }
    kind = f"{layer.op}{layer.rank}d"
    forward, backward = getattr(fc, kind), getattr(fc, f"{kind}_backward")
    how: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding}
    if layer.op == "avg_pool":
        return {
            "forward": lambda: forward(x, layer.kernel, **how),
            "grad_input": lambda: backward(dy, x.shape, layer.kernel, **how),
        }
    how["dilation"] = layer.dilation
    _, indices = forward(x, layer.kernel, return_indices=True, **how)
    return {
        "forward": lambda: forward(x, layer.kernel, **how),
        "forward_indices": lambda: forward(x, layer.kernel, return_indices=True, **how),
        "grad_input": lambda: backward(dy, indices, x.shape, kernel_size=layer.kernel, **how),
    }


def check(problem: Problem, own: Contender, others: list[Contender], which: str) -> None:
    """Compare what a pass gives with what the others give, before anything is timed.

    Raises
    ------
    WrongResult
        If they differ by more than rounding explains.
    """
    sharing = [other for other in others if which in other.runs]
    if not sharing:
        return
    # Loose: the reduction of a weight's gradient has millions of terms, and the others may use Winograd's algorithm.
    tolerance = {"float32": 2e-3, "float64": 1e-9}[problem.layer.dtype]
    mine = own.read(which, own.runs[which]())
    for other in sharing:
        for expected, got in zip(other.read(which, other.runs[which]()), mine, strict=True):
            if expected.shape != got.shape:
                raise WrongResult(problem.layer, which, f"{got.shape}, where {other.name} has {expected.shape}")
            scale, error = float(np.abs(expected).max()), float(np.abs(expected - got).max())
            allowed = tolerance * scale if expected.dtype.kind == "f" else 0  # indices are right or wrong
            if not error <= allowed < math.inf:
                raise WrongResult(
                    problem.layer, which, f"differs from {other.name} by {error:.3g} (largest {scale:.3g})"
                )


class WrongResult(ArithmeticError):
    """fastconv and another library disagree about a result."""

    def __init__(self, layer: Layer, which: str, message: str) -> None:
        super().__init__(f"{layer.table}, {layer.name}, {which}: wrong result: {message}")
