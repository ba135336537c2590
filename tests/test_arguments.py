"""Arguments are remembered by what they are: a value that only equals an earlier one gets its own answer."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc

X, W = np.ones((1, 8, 8, 4), np.float32), np.ones((3, 3, 4, 4), np.float32)
NOT_INTEGERS = [True, 1.0, (1, True), (1.0, 1), np.True_]
DEEP = ()
for _ in range(100_000):
    DEEP = (DEEP,)


def pool_backward(input_shape):
    return fc.avg_pool2d_backward(X, input_shape, 1)


@pytest.mark.parametrize("name", ["stride", "dilation", "padding"])
@pytest.mark.parametrize("value", NOT_INTEGERS, ids=repr)
def test_what_equals_a_remembered_argument_is_still_refused(name, value):
    for good in (1, (1, 1), np.int64(1), [1, 1]):
        assert fc.conv2d(X, W, **{name: good}).shape[0] == fc.max_pool2d(X, 3, **{name: good}).shape[0] == 1
    for call in (lambda: fc.conv2d(X, W, **{name: value}), lambda: fc.max_pool2d(X, 3, **{name: value})):
        with pytest.raises(TypeError, match=f"2d: {name} must be an integer, got"):
            call()


def test_the_same_holds_for_groups_pairs_kernels_and_shapes():
    for right, wrong in [
        (lambda: fc.conv2d(X, W, groups=1), lambda: fc.conv2d(X, W, groups=True)),
        (lambda: fc.conv2d(X, W, padding=((1, 0), (0, 1))), lambda: fc.conv2d(X, W, padding=((True, 0), (0, 1)))),
        (lambda: fc.avg_pool2d(X, (1, 1)), lambda: fc.avg_pool2d(X, (1, 1.0))),
        (lambda: pool_backward((1, 8, 8, 4)), lambda: pool_backward((True, 8, 8, 4))),
    ]:
        right()
        with pytest.raises(TypeError, match=r"must be an integer, got (True|1\.0)"):
            wrong()
        right()


def test_ceil_mode_may_be_anything_with_a_truth_value():
    assert fc.max_pool2d(X, 3).shape == fc.max_pool2d(X, 3, ceil_mode=0).shape == (1, 2, 2, 4)
    assert fc.max_pool2d(X, 3, ceil_mode=True).shape == fc.max_pool2d(X, 3, ceil_mode=np.int64(1)).shape == (1, 3, 3, 4)


def test_more_arguments_than_are_remembered_are_understood():
    for pad in range(600):
        assert fc.conv2d(X[:, :1, :1], W[:1, :1], padding=((pad, 0), (0, 0))).shape == (1, 1 + pad, 1, 4)
        assert fc.max_pool2d(X[:, :1, :1], 1 + pad, padding=pad, stride=10000).shape == (1, 1, 1, 4)


@pytest.mark.parametrize("value", [2**40, -(2**40), 2**70, -(2**70)])
def test_huge_numbers_are_values_out_of_range(value):
    for name in ("stride", "dilation", "padding", "groups"):
        with pytest.raises(ValueError, match=f"conv2d: {name} must be between . and 2147483647, got"):
            fc.conv2d(X, W, **{name: value})
    with pytest.raises(ValueError, match="max_pool2d: kernel_size must be between 1 and 2147483647, got"):
        fc.max_pool2d(X, value)


def test_tuples_in_tuples_without_end_are_refused():
    for name in ("stride", "padding"):
        with pytest.raises((TypeError, ValueError, RecursionError)):
            fc.conv2d(X, W, **{name: DEEP})
