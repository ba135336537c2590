"""Pooling to a given number of outputs, at every instruction set, against the oracle."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
import oracle_resample
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers, slope

CASES = {
    "1d_even": ((2, 12, 3), (4,)),
    "1d_uneven": ((2, 13, 17), (5,)),
    "1d_more_outputs_than_inputs": ((1, 3, 5), (7,)),
    "1d_to_one": ((3, 9, 1), (1,)),
    "2d_even": ((2, 8, 6, 16), (4, 2)),
    "2d_uneven": ((2, 7, 9, 33), (3, 4)),
    "2d_mixed": ((1, 5, 4, 9), (2, 6)),
    "2d_same_size": ((1, 5, 4, 3), (5, 4)),
    "2d_one_channel": ((2, 11, 10, 1), (7, 3)),
    "2d_single_pixel": ((1, 1, 1, 5), (3, 2)),
    "2d_300_channels": ((1, 5, 6, 300), (2, 2)),
    "2d_for_threads": ((2, 41, 43, 40), (6, 6)),
    "2d_batch_of_none": ((0, 5, 6, 3), (2, 3)),
    "2d_no_channels": ((2, 5, 6, 0), (2, 3)),
    "2d_no_outputs": ((2, 5, 6, 3), (0, 3)),
    "3d_uneven": ((1, 4, 5, 7, 9), (3, 2, 4)),
    "3d_to_one": ((2, 2, 3, 2, 7), (1, 1, 1)),
}
every_case = pytest.mark.parametrize(("shape", "size"), CASES.values(), ids=CASES)


def function(kind, shape, suffix=""):
    return getattr(fc, f"adaptive_{kind}_pool{len(shape) - 2}d{suffix}")


def test_the_oracle_by_hand():
    """Of five in two: positions 0 to 2 and 2 to 4; of two in three: 0, 0 and 1, 1."""
    x = np.array([4.0, 1, 7, 0, 2]).reshape(1, 5, 1)
    assert_equal(oracle_resample.adaptive_avg_pool(x, (2,)).ravel(), np.array([4.0, 3.0]))
    values, places = oracle_resample.adaptive_max_pool(x[:, :2], (3,))
    assert_equal(values.ravel(), np.array([4.0, 4, 1]))
    assert_equal(places.ravel(), np.array([0, 0, 1]))


@every_case
def test_averages_and_their_gradients_are_within_rounding(shape, size, dtype, isa):
    x = numbers(GAUSSIAN, shape, dtype)
    terms = np.prod([extent // max(count, 1) + 4 for extent, count in zip(shape[1:-1], size, strict=True)])
    eps = terms * np.finfo(dtype).eps
    expected = oracle_resample.adaptive_avg_pool(x, size)
    found = function("avg", shape)(x, size)
    assert_close(found, expected, eps * oracle_resample.adaptive_avg_pool(np.abs(x), size), shape, size, dtype, isa)
    grad = numbers(GAUSSIAN, expected.shape, dtype)
    expected = oracle_resample.adaptive_avg_pool_backward(grad, shape)
    found = function("avg", shape, "_backward")(grad, shape)
    bound = eps * oracle_resample.adaptive_avg_pool_backward(np.abs(grad), shape)
    assert_close(found, expected, bound, shape, size, dtype, isa)
    assert found.dtype == dtype


@every_case
def test_maxima_indices_and_gradients_equal_the_oracle(shape, size, dtype, isa):
    x = numbers(INTEGERS, shape, dtype)
    x[x == -8], x[x == 5] = np.nan, -np.inf
    expected, places = oracle_resample.adaptive_max_pool(x, size)
    output, indices = function("max", shape)(x, size, return_indices=True)
    assert_equal(output, expected, shape, size, dtype, isa)
    assert_equal(indices, places, shape, size, dtype, isa, "indices")
    assert_same_bits(function("max", shape)(x, size), output, shape, size)
    grad = numbers(INTEGERS, expected.shape, dtype)
    found = function("max", shape, "_backward")(grad, indices, shape)
    assert_equal(found, oracle.max_pool_backward(grad, places, shape), shape, size, dtype, isa)
    assert output.dtype == found.dtype == dtype


@pytest.mark.parametrize(("shape", "size"), [((1, 5, 3, 2), (2, 4)), ((2, 4, 2), (3,))], ids=str)
def test_gradients_agree_with_finite_differences(shape, size):
    x = np.random.default_rng(0).permutation(np.arange(np.prod(shape), dtype=np.float64)).reshape(shape)
    weights = numbers(GAUSSIAN, (shape[0], *size, shape[-1]), np.float64)
    found = function("avg", shape, "_backward")(weights, shape)
    assert_close(found, slope(lambda x: (function("avg", shape)(x, size) * weights).sum(), x), 1e-12)
    indices = function("max", shape)(x, size, return_indices=True)[1]
    found = function("max", shape, "_backward")(weights, indices, shape)
    # no two numbers are nearer than one: a step of a quarter changes no maximum
    assert_close(found, slope(lambda x: (function("max", shape)(x, size) * weights).sum(), x, 0.25), 1e-12)


def test_bits_do_not_depend_on_the_number_of_threads(dtype):
    x, results = numbers(GAUSSIAN, (2, 41, 43, 40), dtype), []
    for threads in (1, 2, 3, 8):
        with fc.options(num_threads=threads):
            output, indices = fc.adaptive_max_pool2d(x, (6, 7), return_indices=True)
            average = fc.adaptive_avg_pool2d(x, (6, 7))
            results.append((output, indices, fc.adaptive_max_pool2d_backward(output, indices, x.shape),
                            average, fc.adaptive_avg_pool2d_backward(average, x.shape)))  # fmt: skip
    for several in results[1:]:
        for found, alone in zip(several, results[0], strict=True):
            assert_same_bits(found, alone)


def test_none_keeps_an_extent_and_one_number_is_for_all_axes():
    x = numbers(INTEGERS, (2, 6, 8, 3), np.float32)
    assert fc.adaptive_avg_pool2d(x, (None, 2)).shape == (2, 6, 2, 3)
    assert fc.adaptive_max_pool2d(x, (3, None)).shape == (2, 3, 8, 3)
    assert_equal(fc.adaptive_avg_pool2d(x, None), x)
    assert_equal(fc.adaptive_max_pool2d(x, 2), fc.adaptive_max_pool2d(x, (2, 2)))
    assert fc.adaptive_avg_pool2d(x, None) is not x


def test_an_input_without_batch_gives_a_result_without():
    x = numbers(GAUSSIAN, (6, 8, 3), np.float32)
    assert_same_bits(fc.adaptive_avg_pool2d(x, 4), fc.adaptive_avg_pool2d(x[None], 4)[0])
    output, indices = fc.adaptive_max_pool2d(x, 4, return_indices=True)
    assert_same_bits(output, fc.adaptive_max_pool2d(x[None], 4)[0])
    expected = fc.adaptive_max_pool2d_backward(output[None], indices[None], (1, *x.shape))[0]
    assert_same_bits(fc.adaptive_max_pool2d_backward(output, indices, x.shape), expected)
    expected = fc.adaptive_avg_pool2d_backward(output[None], (1, *x.shape))[0]
    assert_same_bits(fc.adaptive_avg_pool2d_backward(output, x.shape), expected)


def test_strides_of_any_kind_come_in():
    x = numbers(INTEGERS, (2, 3, 9, 16), np.float32).transpose(0, 3, 2, 1)[:, ::-2]
    plain = np.ascontiguousarray(x)
    assert_same_bits(fc.adaptive_avg_pool2d(x, 4), fc.adaptive_avg_pool2d(plain, 4))
    assert_same_bits(fc.adaptive_max_pool2d(x, 4), fc.adaptive_max_pool2d(plain, 4))


def test_a_size_that_divides_is_ordinary_pooling(isa):
    x = numbers(INTEGERS, (2, 8, 6, 17), np.float32)
    expected = fc.max_pool2d(x, (2, 3), return_indices=True)
    for found, plain in zip(fc.adaptive_max_pool2d(x, (4, 2), return_indices=True), expected, strict=True):
        assert_same_bits(found, plain)
    assert_close(fc.adaptive_avg_pool2d(x, (4, 2)), fc.avg_pool2d(x, (2, 3)), 1e-5)


def test_adaptive_pooling_agrees_with_torch(isa):
    torch = pytest.importorskip("torch")
    for shape, size in CASES.values():
        if 0 in shape or 0 in size:
            continue
        x = numbers(INTEGERS, shape, np.float64)
        first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
        name = f"{len(size)}d"
        expected = getattr(torch.nn.functional, f"adaptive_avg_pool{name}")(first, size).numpy()
        assert_close(function("avg", shape)(x, size), np.moveaxis(expected, 1, -1), 1e-12, shape, size)
        expected = getattr(torch.nn.functional, f"adaptive_max_pool{name}")(first, size, return_indices=True)
        for found, one in zip(function("max", shape)(x, size, return_indices=True), expected, strict=True):
            assert_equal(found, np.moveaxis(one.numpy(), 1, -1), shape, size)


X = np.ones((2, 4, 6, 3), np.float32)
INDICES = np.zeros((2, 2, 2, 3), np.int64)
ERRORS = [
    (lambda: fc.adaptive_avg_pool2d(X, (2, 2, 2)), ValueError, r"adaptive_avg_pool2d: output_size .*2.*\(2, 2, 2\)"),
    (lambda: fc.adaptive_max_pool2d(X, -1), ValueError, r"adaptive_max_pool2d: output_size .*-1"),
    (lambda: fc.adaptive_max_pool2d(X, 2**62), ValueError, r"adaptive_max_pool2d: output_size .*2147483647"),
    (lambda: fc.adaptive_avg_pool2d(X, 2**31), ValueError, r"adaptive_avg_pool2d: output_size .*2147483648"),
    (lambda: fc.adaptive_max_pool2d(X, 2.0), TypeError, r"adaptive_max_pool2d: output_size .*2\.0"),
    (lambda: fc.adaptive_avg_pool1d(X, 2), ValueError, r"adaptive_avg_pool1d: input .*\(2, 4, 6, 3\)"),
    (lambda: fc.adaptive_max_pool3d(X[0], 2), ValueError, r"adaptive_max_pool3d: input .*\(4, 6, 3\)"),
    (lambda: fc.adaptive_avg_pool2d(X[:, :0], 2), ValueError, r"adaptive_avg_pool2d: .*no pixels.*\(2, 0, 6, 3\)"),
    (lambda: fc.adaptive_avg_pool2d(X.astype(int), 2), TypeError, r"adaptive_avg_pool2d: input .*int64.*astype"),
    (lambda: fc.adaptive_max_pool2d(X.astype(int), 2), TypeError, r"adaptive_max_pool2d: input .*int64.*astype"),
    (lambda: fc.adaptive_avg_pool2d_backward(X[..., :2], (2, 8, 8, 3)), ValueError,
     r"adaptive_avg_pool2d_backward: grad_output .*\(2, 4, 6, 3\), got \(2, 4, 6, 2\)"),
    (lambda: fc.adaptive_avg_pool2d_backward(X, (8, 8, 3)), ValueError, r"adaptive_avg_pool2d_backward: grad_output"),
    (lambda: fc.adaptive_max_pool2d_backward(X[:, :2, :2], INDICES + 24, X.shape), ValueError,
     r"adaptive_max_pool2d_backward: indices .*between 0 and 23.*got 24"),
    (lambda: fc.adaptive_max_pool2d_backward(X[:, :2, :2], INDICES.astype(np.int32), X.shape), TypeError,
     r"adaptive_max_pool2d_backward: indices must be int64, got int32"),
    (lambda: fc.adaptive_max_pool2d_backward(X[:, :2, :2], INDICES[:1], X.shape), ValueError,
     r"adaptive_max_pool2d_backward: indices must have shape"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^({message})"):
        call()
