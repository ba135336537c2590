"""Our passes of what is neither a convolution nor a pool: activations, normalizations, resampling."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import fastconv as fc
from fastconv._arguments import Array
from fastconv.benchmark.tables import ACTIVATIONS, NORMS, Layer
from fastconv.norm.statistics import ALL_SAMPLES, statistics

GROUPS = 32  # of a group normalization, as in the paper
SIZE, ALPHA, BETA, K = 5, 1e-4, 0.75, 2.0  # of a local response normalization, as in AlexNet
NORM_TYPE = 2.0
FROM_INPUT = ("silu", "hardswish", "gelu")  # activations whose gradient needs their input


def factors(layer: Layer) -> tuple[Array, Array]:
    """Return scale and bias of a normalization."""
    rng = np.random.default_rng(1)
    channels = layer.input[-1]
    return tuple(rng.uniform(0.5, 1.5, channels).astype(layer.dtype) for _ in range(2))  # type: ignore[return-value]


def runs_of(layer: Layer, x: Array, dy: Array) -> dict[str, Callable[[], object]]:
    """Return what is timed, by pass."""
    if layer.op in ACTIVATIONS:
        return _activation(layer, x, dy)
    if layer.op in NORMS:
        return _norm(layer, x, dy)
    if layer.op.startswith("upsample"):
        how = {"scale": layer.stride, "mode": layer.op.removeprefix("upsample_")}
        return {
            "forward": lambda: fc.resize(x, **how),  # type: ignore[arg-type]
            "grad_input": lambda: fc.resize_backward(dy, x.shape, **how),  # type: ignore[arg-type]
        }
    if layer.op == "pixel_shuffle":
        factor = layer.stride[0]
        return {
            "forward": lambda: fc.pixel_shuffle(x, factor),
            "grad_input": lambda: fc.pixel_unshuffle(dy, factor),
        }
    forward, backward = (getattr(fc, f"{layer.op}{layer.rank}d{suffix}") for suffix in ("", "_backward"))
    if layer.op == "adaptive_avg_pool":
        return {"forward": lambda: forward(x, layer.kernel), "grad_input": lambda: backward(dy, x.shape)}
    window = {"norm_type": NORM_TYPE, "stride": layer.stride, "padding": layer.padding}
    y = forward(x, layer.kernel, **window)
    return {
        "forward": lambda: forward(x, layer.kernel, **window),
        "grad_input": lambda: backward(dy, x, y, layer.kernel, **window),
    }


def _activation(layer: Layer, x: Array, dy: Array) -> dict[str, Callable[[], object]]:
    forward, backward = (getattr(fc, f"{layer.op}{suffix}") for suffix in ("", "_backward"))
    saved = x if layer.op in FROM_INPUT else forward(x)
    return {"forward": lambda: forward(x), "grad_input": lambda: backward(dy, saved)}


def _norm(layer: Layer, x: Array, dy: Array) -> dict[str, Callable[[], object]]:
    scale, bias = factors(layer)
    if layer.op == "local_response_norm":
        return {
            "forward": lambda: fc.local_response_norm(x, SIZE, alpha=ALPHA, beta=BETA, k=K),
            "grad_input": lambda: fc.local_response_norm_backward(dy, x, SIZE, alpha=ALPHA, beta=BETA, k=K),
        }
    if layer.op == "group_norm":
        return {
            "forward": lambda: fc.group_norm(x, GROUPS, scale, bias),
            "grad_input": lambda: fc.group_norm_backward(dy, x, GROUPS, scale).input,
        }
    forward, backward = (getattr(fc, f"{layer.op}{suffix}") for suffix in ("", "_backward"))
    if layer.op == "batch_norm":  # in training, where a layer keeps the moments of the forward pass
        moments = statistics("batch_norm", x, ALL_SAMPLES, 1e-5)
        kept = {"mean": moments.mean.reshape(-1), "inverse_std": moments.inverse_std.reshape(-1)}
        return {
            "forward": lambda: forward(x, scale, bias),
            "grad_input": lambda: backward(dy, x, scale, **kept).input,
        }
    return {"forward": lambda: forward(x, scale, bias), "grad_input": lambda: backward(dy, x, scale).input}
