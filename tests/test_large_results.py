"""Results beyond the caches are written past them: to the bit what small ones are, piece by piece.

How large that is depends on the machine; twenty megabytes are more than a quarter of the last cache on most.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from problems import GAUSSIAN, INTEGERS, assert_same_bits, numbers

SHAPE = (20, 61, 63, 68)  # 20 MB of float32, and no multiple of a block
PIECES = 20  # one image each
CHANNELS = SHAPE[-1]


@pytest.fixture(scope="module")
def large():
    return numbers(GAUSSIAN, SHAPE, np.float32, 0), numbers(GAUSSIAN, SHAPE, np.float32, 1)


def by_image(function, *arrays):
    """The same, one image after the other: each too small to be written past the caches."""
    return np.concatenate([function(*(array[i : i + 1] for array in arrays)) for i in range(PIECES)])


SCALE, BIAS = numbers(GAUSSIAN, (CHANNELS,), np.float32, 2), numbers(GAUSSIAN, (CHANNELS,), np.float32, 3)
MEAN, VARIANCE = numbers(GAUSSIAN, (CHANNELS,), np.float32, 4), np.full(CHANNELS, 2, np.float32)
RUNNING = {"running_mean": MEAN, "running_var": VARIANCE, "training": False}
RESIDUAL = nn.Residual(nn.Sequential(), activation="relu")
OPERATIONS = {
    "relu": lambda x, _: fc.relu(x),
    "gelu": lambda x, _: fc.gelu(x),
    "relu_backward": fc.relu_backward,
    "silu_backward": fc.silu_backward,
    "batch_norm": lambda x, _: fc.batch_norm(x, SCALE, BIAS, activation="silu", **RUNNING),
    "batch_norm_backward": lambda x, g: (
        fc.batch_norm_backward(g, x, SCALE, mean=MEAN, inverse_std=1 / np.sqrt(VARIANCE), training=False).input
    ),
    "group_norm": lambda x, _: fc.group_norm(x, 4, SCALE, BIAS),
    "instance_norm_backward": lambda x, g: fc.instance_norm_backward(g, x, SCALE).input,
    "layer_norm": lambda x, _: fc.layer_norm(x, SCALE, BIAS),
    "layer_norm_backward": lambda x, g: fc.layer_norm_backward(g, x, SCALE).input,
    "local_response_norm": lambda x, _: fc.local_response_norm(x),
    "local_response_norm_backward": lambda x, g: fc.local_response_norm_backward(g, x),
    "resize": lambda x, _: fc.resize(x[:, ::2, ::2], scale=2, mode="linear"),
    "residual": lambda x, _: RESIDUAL(x),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_large_result_is_to_the_bit_that_of_its_pieces(name, large, isa):
    function = OPERATIONS[name]
    assert_same_bits(function(*large), by_image(function, *large), name, isa)


@pytest.mark.parametrize("rows", [3, 33])
def test_the_gradient_of_a_large_weight_is_that_of_its_rows(rows, isa):
    x, grad = numbers(GAUSSIAN, (rows, 1030), np.float32), numbers(GAUSSIAN, (rows, 5008), np.float32, 1)
    weight = np.broadcast_to(np.float32(0), (1030, 5008))
    whole = fc.linear_backward(grad, x, weight, wrt=["weight"]).weight
    halves = [fc.linear_backward(grad, part, weight[:103], wrt=["weight"]).weight for part in np.split(x, 10, axis=1)]
    np.testing.assert_allclose(whole, np.concatenate(halves), rtol=1e-5, atol=1e-5)


def test_the_gradient_of_a_large_weight_through_tiles_is_that_of_sums(isa):
    x, weight = numbers(GAUSSIAN, (1, 7, 6, 520), np.float32, 0), np.zeros((3, 3, 520, 1024), np.float32)  # 19 MB
    grad = numbers(GAUSSIAN, (1, 7, 6, 1024), np.float32, 1)
    found, expected = (
        fc.conv2d_backward(grad, x, weight, padding=1, algorithm=name, wrt=("weight",)).weight
        for name in ("winograd", "direct")
    )
    assert np.abs(found - expected).max() < 1e-5 * np.abs(expected).max(), isa


def test_the_gradient_of_the_weight_of_a_long_signal_into_many_channels_is_exact(dtype, isa):
    x, grad = numbers(INTEGERS, (1, 17003, 1), dtype, 0), numbers(INTEGERS, (1, 17000, 260), dtype, 1)
    found = fc.conv1d_backward(grad, x, np.empty((4, 1, 260), dtype), wrt=("weight",)).weight
    expected = [[x[0, tap : tap + 17000, 0] @ grad[0]] for tap in range(4)]
    np.testing.assert_array_equal(found, expected, isa)
