"""Every gradient that there is, against central differences of its function in float64.

One line of the table for each `*_backward`, and a test that none is missing. The arguments are no defaults where those
would be trivial; the tests of each operation go through more of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pytest

import fastconv as fc
from problems import GAUSSIAN, assert_close, numbers, slope

STEP, NEAR = 1e-5, 2e-8


class Check(NamedTuple):
    """Arrays by name, the function of all of them, and its gradients: (grad_output, output, arrays) -> one each."""

    arrays: dict[str, np.ndarray]
    forward: Callable[..., np.ndarray]
    backward: Callable[..., tuple[np.ndarray, ...]]


def draw(*shape, seed=0):
    return numbers(GAUSSIAN, shape, np.float64, seed)


def spatial(rank, *extents):
    return extents[:rank]


X = {rank: draw(2, *spatial(rank, 6, 5, 4), 3) for rank in (1, 2, 3)}
SCALE, BIAS = draw(3, seed=1), draw(3, seed=2)
SIX = draw(2, 4, 5, 6, seed=3)  # six channels, in groups


def of_input(x, forward, backward):
    """An operation whose only array is its input."""
    return Check({"input": x}, forward, lambda grad, output, x: (backward(grad, output, x),))


def convolution(rank):
    keywords = {"stride": 2, "padding": 1, "groups": 3, "padding_mode": "reflect"}
    arrays = {"input": X[rank], "weight": draw(*spatial(rank, 3, 2, 2), 1, 6, seed=4), "bias": draw(6, seed=5)}
    run, back = getattr(fc, f"conv{rank}d"), getattr(fc, f"conv{rank}d_backward")
    return Check(arrays, lambda *a: run(*a, **keywords), lambda g, _, x, w, b: back(g, x, w, **keywords))


def transposed(rank):
    keywords = {"stride": 2, "padding": 1, "output_padding": 1, "groups": 3}
    arrays = {"input": X[rank], "weight": draw(*spatial(rank, 3, 2, 2), 2, 3, seed=4), "bias": draw(6, seed=5)}
    run, back = getattr(fc, f"conv_transpose{rank}d"), getattr(fc, f"conv_transpose{rank}d_backward")
    return Check(arrays, lambda *a: run(*a, **keywords), lambda g, _, x, w, b: back(g, x, w, **keywords))


def separable(rank):
    arrays = {
        "input": X[rank],
        "depthwise_weight": draw(*spatial(rank, 3, 2, 2), 1, 6, seed=4),
        "pointwise_weight": draw(6, 4, seed=6),
        "bias": draw(4, seed=7),
    }
    keywords = {"stride": 2, "padding": "same", "dilation": 1}
    run, back = getattr(fc, f"separable_conv{rank}d"), getattr(fc, f"separable_conv{rank}d_backward")
    return Check(arrays, lambda *a: run(*a, **keywords), lambda g, _, x, d, p, b: back(g, x, d, p, **keywords))


def max_pool(rank):
    keywords = {"kernel_size": 3, "stride": 2, "padding": 2, "dilation": 2, "ceil_mode": True}
    run, back = getattr(fc, f"max_pool{rank}d"), getattr(fc, f"max_pool{rank}d_backward")
    indices = run(X[rank], return_indices=True, **keywords)[1]
    return of_input(X[rank], lambda x: run(x, **keywords), lambda g, _, x: back(g, indices, x.shape, **keywords))


def finite(pooled):
    """A window without input has no finite maximum, nor a gradient."""
    return np.where(np.isfinite(pooled), pooled, 0)


def avg_pool(rank):
    keywords = {"stride": 2, "padding": 1, "dilation": 2, "ceil_mode": True, "count_include_pad": False}
    run, back = getattr(fc, f"avg_pool{rank}d"), getattr(fc, f"avg_pool{rank}d_backward")
    return of_input(X[rank], lambda x: run(x, 2, **keywords), lambda g, _, x: back(g, x.shape, 2, **keywords))


def lp_pool(rank):
    keywords = {"norm_type": 3, "stride": 1, "padding": 1, "ceil_mode": True}
    run, back = getattr(fc, f"lp_pool{rank}d"), getattr(fc, f"lp_pool{rank}d_backward")
    return of_input(X[rank], lambda x: run(x, 2, **keywords), lambda g, y, x: back(g, x, y, 2, **keywords))


def adaptive_avg(rank):
    run, back = getattr(fc, f"adaptive_avg_pool{rank}d"), getattr(fc, f"adaptive_avg_pool{rank}d_backward")
    return of_input(X[rank], lambda x: run(x, 3), lambda g, _, x: back(g, x.shape))


def adaptive_max(rank):
    run, back = getattr(fc, f"adaptive_max_pool{rank}d"), getattr(fc, f"adaptive_max_pool{rank}d_backward")
    indices = run(X[rank], 3, return_indices=True)[1]
    return of_input(X[rank], lambda x: run(x, 3), lambda g, _, x: back(g, indices, x.shape))


def unpool(rank):
    pooled, indices = getattr(fc, f"max_pool{rank}d")(X[rank], 2, return_indices=True)
    size = X[rank].shape[1:-1]
    run, back = getattr(fc, f"max_unpool{rank}d"), getattr(fc, f"max_unpool{rank}d_backward")
    return of_input(pooled, lambda x: run(x, indices, 2, output_size=size), lambda g, _, x: back(g, indices))


def activation(name):
    run, back = getattr(fc, name), getattr(fc, f"{name}_backward")
    x = 3 * draw(60, seed=8)
    from_input = name in ("silu", "hardswish", "gelu")
    return of_input(x, run, lambda g, y, x: back(g, x if from_input else y))


def normalization(forward, backward, x=SIX, channels=6):
    arrays = {"input": x, "scale": draw(channels, seed=9), "bias": draw(channels, seed=10)}
    return Check(arrays, forward, lambda g, _, x, scale, bias: backward(g, x, scale))


BY_RANK = {
    "conv{}d": convolution,
    "conv_transpose{}d": transposed,
    "separable_conv{}d": separable,
    "max_pool{}d": max_pool,
    "avg_pool{}d": avg_pool,
    "lp_pool{}d": lp_pool,
    "adaptive_avg_pool{}d": adaptive_avg,
    "adaptive_max_pool{}d": adaptive_max,
    "max_unpool{}d": unpool,
}
ACTIVATIONS = ("relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu")
INDICES = fc.global_max_pool(X[2], return_indices=True)[1]
LABELS = np.array([0, 2])
CHECKS = {
    **{name.format(rank): (make, rank) for name, make in BY_RANK.items() for rank in (1, 2, 3)},
    **{name: (activation, name) for name in ACTIVATIONS},
    "batch_norm": (normalization, fc.batch_norm, fc.batch_norm_backward),
    "instance_norm": (normalization, fc.instance_norm, fc.instance_norm_backward),
    "layer_norm": (normalization, fc.layer_norm, fc.layer_norm_backward),
    "group_norm": (
        normalization,
        lambda x, scale, bias: fc.group_norm(x, 3, scale, bias),
        lambda g, x, scale: fc.group_norm_backward(g, x, 3, scale),
    ),
    "local_response_norm": (
        of_input,
        SIX,
        lambda x: fc.local_response_norm(x, 4, alpha=0.7, beta=0.6),
        lambda g, _, x: fc.local_response_norm_backward(g, x, 4, alpha=0.7, beta=0.6),
    ),
    "linear": (
        Check,
        {"input": X[1], "weight": draw(3, 4, seed=11), "bias": draw(4, seed=12)},
        fc.linear,
        lambda g, _, x, w, b: fc.linear_backward(g, x, w),
    ),
    "softmax": (of_input, X[1], fc.softmax, lambda g, y, x: fc.softmax_backward(g, y)),
    "cross_entropy": (
        of_input,
        draw(2, 5, seed=13),
        lambda x: np.float64(fc.cross_entropy(x, LABELS)),
        lambda g, _, x: g * fc.cross_entropy_backward(x, LABELS),
    ),
    "global_avg_pool": (of_input, X[2], fc.global_avg_pool, lambda g, _, x: fc.global_avg_pool_backward(g, x.shape)),
    "global_max_pool": (
        of_input,
        X[2],
        fc.global_max_pool,
        lambda g, _, x: fc.global_max_pool_backward(g, INDICES, x.shape),
    ),
    "global_lp_pool": (
        of_input,
        X[2],
        lambda x: fc.global_lp_pool(x, norm_type=3),
        lambda g, y, x: fc.global_lp_pool_backward(g, x, y, norm_type=3),
    ),
    "resize": (
        of_input,
        X[2],
        lambda x: fc.resize(x, scale=1.6, mode="linear"),
        lambda g, _, x: fc.resize_backward(g, x.shape, scale=1.6, mode="linear"),
    ),
    "zero_pad": (of_input, X[2], lambda x: fc.zero_pad(x, 1), lambda g, _, x: fc.zero_pad_backward(g, 1)),
    "crop": (of_input, X[2], lambda x: fc.crop(x, 1), lambda g, _, x: fc.crop_backward(g, 1)),
    "concatenate": (
        Check,
        {"one": X[2], "other": draw(2, 6, 5, 2, seed=14)},
        lambda *inputs: fc.concatenate(inputs),
        lambda g, _, one, other: fc.concatenate_backward(g, (3, 2)),
    ),
}


@pytest.mark.parametrize("name", CHECKS)
def test_a_gradient_agrees_with_central_differences(name):
    make, *arguments = CHECKS[name]
    check = make(*arguments)
    names, arrays = list(check.arrays), list(check.arrays.values())
    output = np.asarray(check.forward(*arrays))
    grad = numbers(GAUSSIAN, output.shape, np.float64, "gradient")
    grad[~np.isfinite(output)] = 0  # of windows that meet nothing
    found = check.backward(grad, output, *arrays)
    for which, (argument, gradient) in enumerate(zip(names, found, strict=True)):

        def loss(moved, which=which):
            return (finite(check.forward(*arrays[:which], moved, *arrays[which + 1 :])) * grad).sum()

        expected = slope(loss, arrays[which], STEP)
        assert np.abs(expected).max() > 1e-3, f"{name}, {argument}: nothing to compare"
        assert_close(gradient, expected, NEAR * (1 + np.abs(expected).max()), name, argument)


def test_no_gradient_is_missing_here():
    assert {f"{name}_backward" for name in CHECKS} == {name for name in fc.__all__ if name.endswith("_backward")}
