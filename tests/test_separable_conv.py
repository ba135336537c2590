"""Separable convolution is a depthwise convolution and a pointwise one, and so are its gradients."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, numbers, slope

RANKS = {1: ((2, 9, 3), (3,)), 2: ((2, 7, 6, 3), (3, 2)), 3: ((1, 4, 5, 4, 3), (2, 3, 2))}
SLIDING = {"stride": 2, "padding": 1, "dilation": 1}


def arrays(rank, kind, dtype, multiplier=2, filters=5):
    shape, kernel = RANKS[rank]
    hidden = shape[-1] * multiplier
    shapes = shape, (*kernel, 1, hidden), (hidden, filters), (filters,)
    return [numbers(kind, s, dtype, which) for which, s in enumerate(shapes)]


@pytest.mark.parametrize("rank", RANKS)
def test_both_halves_of_integers_equal_the_oracle(rank, dtype):
    x, filters, matrix, bias = arrays(rank, INTEGERS, dtype)
    hidden = oracle.conv(x, filters, groups=3, **SLIDING)
    expected = oracle.linear(hidden, matrix, bias, activation="relu")
    run = getattr(fc, f"separable_conv{rank}d")
    assert_equal(run(x, filters, matrix, bias, activation="relu", **SLIDING), expected)
    assert_equal(run(x, filters, matrix[(None,) * rank], bias, activation="relu", **SLIDING), expected)


@pytest.mark.parametrize("rank", RANKS)
def test_gradients_agree_with_finite_differences(rank):
    given = arrays(rank, GAUSSIAN, np.float64)
    run, back = getattr(fc, f"separable_conv{rank}d"), getattr(fc, f"separable_conv{rank}d_backward")
    grad = numbers(GAUSSIAN, run(*given, padding_mode="replicate", **SLIDING).shape, np.float64, 9)
    gradients = back(grad, *given[:3], padding_mode="replicate", **SLIDING)
    for which, (name, array) in enumerate(zip(gradients._fields, given, strict=True)):

        def loss(moved, which=which):
            return (run(*given[:which], moved, *given[which + 1 :], padding_mode="replicate", **SLIDING) * grad).sum()

        assert_close(getattr(gradients, name), slope(loss, array), 1e-9, rank, name)


@pytest.mark.parametrize("wrt", [("input",), ("depthwise_weight", "bias"), "pointwise_weight", ()])
def test_only_what_is_asked_for_is_computed(wrt):
    x, filters, matrix, _ = arrays(2, INTEGERS, np.float32)
    grad = np.ones_like(fc.separable_conv2d(x, filters, matrix))
    everything = fc.separable_conv2d_backward(grad, x, filters, matrix)
    gradients = fc.separable_conv2d_backward(grad, x, filters, matrix, wrt=wrt)
    asked = {wrt} if isinstance(wrt, str) else set(wrt)
    for name, found in gradients._asdict().items():
        assert (found is not None) == (name in asked)
        if found is not None:
            assert_equal(found, getattr(everything, name))


def test_wrong_shapes_are_named():
    x, filters, matrix, _ = arrays(2, INTEGERS, np.float32)
    with pytest.raises(ValueError, match=r"separable_conv2d: depthwise_weight must have 4 axes .*\(3, 2, 2, 3\)"):
        fc.separable_conv2d(x, filters.reshape(3, 2, 2, 3), matrix)
    with pytest.raises(ValueError, match=r"separable_conv2d: pointwise_weight .*\(2, 6, 5\)"):
        fc.separable_conv2d(x, filters, np.stack([matrix] * 2))
    with pytest.raises(ValueError, match=r"separable_conv2d_backward: wrt .*'weight'"):
        fc.separable_conv2d_backward(np.ones((2, 5, 5, 5), np.float32), x, filters, matrix, wrt=["weight"])
