"""PyTorch's passes of what is neither a convolution nor a pool, by the operators that its autograd calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fastconv.benchmark import operations
from fastconv.benchmark.tables import ACTIVATIONS, NORMS, Layer

Runs = dict[str, Callable[[], object]]


def runs_of(torch: Any, layer: Layer, x: Any, dy: Any) -> Runs:
    """Return what is timed, by pass; x and dy are tensors (N, C, *spatial) in the layout to be measured."""
    if layer.op in ACTIVATIONS:
        return _activation(torch, layer.op, x, dy)
    if layer.op in NORMS:
        return _norm(torch, layer, x, dy)
    aten, rank = torch.ops.aten, layer.rank
    size, extents = list(layer.output[1:-1]), list(x.shape)
    if layer.op == "upsample_nearest":
        forward, backward = (getattr(aten, f"upsample_nearest{rank}d{suffix}") for suffix in ("", "_backward"))
        return {"forward": lambda: forward(x, size), "grad_input": lambda: backward(dy, size, extents)}
    if layer.op == "upsample_linear":
        name = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}[rank]
        forward, backward = getattr(aten, name), getattr(aten, f"{name}_backward")
        return {"forward": lambda: forward(x, size, False), "grad_input": lambda: backward(dy, size, extents, False)}
    if layer.op == "pixel_shuffle":
        factor = layer.stride[0]
        return {
            "forward": lambda: torch.pixel_shuffle(x, factor),
            "grad_input": lambda: torch.pixel_unshuffle(dy, factor),
        }
    if layer.op == "adaptive_avg_pool" and rank > 1:
        forward, backward = (getattr(aten, f"_adaptive_avg_pool{rank}d{suffix}") for suffix in ("", "_backward"))
        return {"forward": lambda: forward(x, size), "grad_input": lambda: backward(dy, x)}
    if layer.op == "lp_pool" and not any(layer.symmetric_padding or (1,)):
        function = getattr(torch.nn.functional, f"lp_pool{rank}d")
        return {"forward": lambda: function(x, operations.NORM_TYPE, layer.kernel, layer.stride)}
    return {}


def _activation(torch: Any, name: str, x: Any, dy: Any) -> Runs:
    aten = torch.ops.aten
    forward = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    saved = x if name in operations.FROM_INPUT else forward(x)
    backward: dict[str, Callable[[], object]] = {
        "relu": lambda: aten.threshold_backward(dy, saved, 0),
        "relu6": lambda: aten.hardtanh_backward(dy, saved, 0.0, 6.0),
        "leaky_relu": lambda: aten.leaky_relu_backward(dy, saved, 0.01, True),
        "sigmoid": lambda: aten.sigmoid_backward(dy, saved),
        "tanh": lambda: aten.tanh_backward(dy, saved),
        "silu": lambda: aten.silu_backward(dy, saved),
        "hardswish": lambda: aten.hardswish_backward(dy, saved),
        "gelu": lambda: aten.gelu_backward(dy, saved),
    }
    return {"forward": lambda: forward(x), "grad_input": backward[name]}


def _norm(torch: Any, layer: Layer, x: Any, dy: Any) -> Runs:
    aten, epsilon = torch.ops.aten, 1e-5
    if layer.op == "local_response_norm":
        window = (operations.SIZE, operations.ALPHA, operations.BETA, operations.K)
        return {"forward": lambda: torch.nn.functional.local_response_norm(x, *window)}
    scale, bias = map(torch.from_numpy, operations.factors(layer))
    everything = [True, True, True]
    if layer.op == "batch_norm":
        _, mean, inverse_std = aten.native_batch_norm(x, scale, bias, None, None, True, 0.1, epsilon)
        saved = (scale, None, None, mean, inverse_std, True, epsilon, everything)
        return {
            "forward": lambda: aten.native_batch_norm(x, scale, bias, None, None, True, 0.1, epsilon)[0],
            "grad_input": lambda: aten.native_batch_norm_backward(dy, x, *saved)[0],
        }
    if layer.op == "layer_norm":  # over channels, which are the last axis of what lies in memory
        pixels, gradient = torch.movedim(x, 1, -1), torch.movedim(dy, 1, -1)
        shape = [layer.input[-1]]
        _, mean, inverse_std = aten.native_layer_norm(pixels, shape, scale, bias, epsilon)
        rest = (shape, mean, inverse_std, scale, bias, everything)
        return {
            "forward": lambda: torch.movedim(aten.native_layer_norm(pixels, shape, scale, bias, epsilon)[0], -1, 1),
            "grad_input": lambda: torch.movedim(aten.native_layer_norm_backward(gradient, pixels, *rest)[0], -1, 1),
        }
    groups = layer.input[-1] if layer.op == "instance_norm" else operations.GROUPS
    sizes = (x.shape[0], x.shape[1], x[0, 0].numel(), groups)
    _, mean, inverse_std = aten.native_group_norm(x, scale, bias, *sizes, epsilon)
    return {
        "forward": lambda: aten.native_group_norm(x, scale, bias, *sizes, epsilon)[0],
        "grad_input": lambda: aten.native_group_norm_backward(dy, x, mean, inverse_std, scale, *sizes, everything)[0],
    }
