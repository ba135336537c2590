"""Pooling by the p-norm against the oracle: forward, gradients, its limits, its errors."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
import oracle_resample
from cases import POOL
from problems import GAUSSIAN, assert_close, assert_equal, numbers, slope

every_case = pytest.mark.parametrize("case", POOL, ids=str)
every_norm = pytest.mark.parametrize("norm_type", [1, 1.5, 2, 3, 8])
SOME = [case for case in POOL if case.name in ("1d_dilated", "2d_ceil_padded", "2d_stride_2_dilation_4", "3d_dilated")]


def function(case, suffix=""):
    return getattr(fc, f"lp_pool{case.rank}d{suffix}")


def test_the_oracle_by_hand():
    x = np.array([3.0, -4, 0, 0, 12]).reshape(1, 5, 1)
    assert_equal(oracle_resample.lp_pool(x, 2, stride=1).ravel(), np.array([5.0, 4, 0, 12]))
    assert_equal(oracle_resample.lp_pool(x, 2, norm_type=1).ravel(), np.array([7.0, 0]))
    back = oracle_resample.lp_pool_backward(np.array([10.0, 5.0]).reshape(1, 2, 1), x, 2)
    assert_equal(back.ravel(), np.array([6.0, -8, 0, 0, 0]))


@every_case
def test_two_norms_are_within_rounding(case, dtype, isa):
    x = numbers(GAUSSIAN, case.input, dtype)
    expected = oracle_resample.lp_pool(x, case.kernel, **case.keywords)
    # the root halves the relative error of a sum of positive terms, which is at most one rounding for each
    eps = (np.prod(oracle.per_axis(case.kernel, case.rank)) + 4) * np.finfo(dtype).eps
    found = function(case)(x, case.kernel, **case.keywords)
    assert_close(found, expected, eps * expected, case, dtype, isa)
    assert found.dtype == dtype
    grad = numbers(GAUSSIAN, expected.shape, dtype)
    expected = oracle_resample.lp_pool_backward(grad, x, case.kernel, **case.keywords)
    bound = 2 * eps * np.abs(oracle_resample.lp_pool_backward(np.abs(grad), np.abs(x), case.kernel, **case.keywords))
    back = function(case, "_backward")(grad, x, found, case.kernel, **case.keywords)
    assert_close(back, expected, bound, case, dtype, isa)
    assert back.dtype == dtype


@every_norm
@pytest.mark.parametrize("case", SOME, ids=str)
def test_other_norms_agree_with_the_oracle(case, norm_type, dtype):
    x, keywords = numbers(GAUSSIAN, case.input, dtype), {**case.keywords, "norm_type": norm_type}
    expected = oracle_resample.lp_pool(x, case.kernel, **keywords)
    close = 200 * np.finfo(dtype).eps
    output = function(case)(x, case.kernel, **keywords)
    assert_close(output, expected, close * (expected + 1), case, norm_type, dtype)
    grad = numbers(GAUSSIAN, expected.shape, dtype)
    expected = oracle_resample.lp_pool_backward(grad, x, case.kernel, **keywords)
    back = function(case, "_backward")(grad, x, output, case.kernel, **keywords)
    assert_close(back, expected, close * (np.abs(expected) + 10), case, norm_type, dtype)


@every_norm
def test_gradients_agree_with_finite_differences(norm_type):
    x = numbers(GAUSSIAN, (1, 5, 4, 2), np.float64)
    x += 0.2 * np.sign(x)  # away from zero, where a norm of one has a bend
    keywords = {"norm_type": norm_type, "stride": 1, "padding": 1, "dilation": 2}
    weights = numbers(GAUSSIAN, fc.lp_pool2d(x, 2, **keywords).shape, np.float64)
    found = fc.lp_pool2d_backward(weights, x, fc.lp_pool2d(x, 2, **keywords), 2, **keywords)
    expected = slope(lambda x: (fc.lp_pool2d(x, 2, **keywords) * weights).sum(), x, 1e-5)
    assert_close(found, expected, 1e-7 * (1 + np.abs(expected)))


@every_norm
@pytest.mark.parametrize("shape", [(2, 7, 3), (1, 4, 5, 2), (2, 2, 3, 2, 4)], ids=str)
def test_all_pixels_are_one_window(shape, norm_type, dtype):
    x, spatial = numbers(GAUSSIAN, shape, dtype), shape[1:-1]
    expected = oracle_resample.lp_pool(x, spatial, norm_type=norm_type)
    close = 200 * np.finfo(dtype).eps
    output = fc.global_lp_pool(x, norm_type=norm_type)
    assert_close(output, expected.reshape(shape[0], shape[-1]), close * expected.max(), shape, norm_type)
    grad = numbers(GAUSSIAN, expected.shape, dtype)
    expected = oracle_resample.lp_pool_backward(grad, x, spatial, norm_type=norm_type)
    found = fc.global_lp_pool_backward(grad.reshape(output.shape), x, output, norm_type=norm_type)
    assert_close(found, expected, close * (np.abs(expected) + 1), shape, norm_type)


def test_a_window_of_zeros_has_no_gradient_and_a_nan_stays_one():
    x = np.zeros((1, 4, 3), np.float32)
    for norm_type in (1, 2, 3.5):
        y = fc.lp_pool1d(x, 2, norm_type=norm_type)
        assert_equal(y, np.zeros((1, 2, 3)))
        assert_equal(fc.lp_pool1d_backward(np.ones_like(y), x, y, 2, norm_type=norm_type), np.zeros(x.shape))
    x[0, 0, 0] = np.nan
    y = fc.lp_pool1d(x, 2)
    assert np.isnan(y[0, 0, 0]) and np.isnan(y).sum() == 1
    assert np.isnan(fc.lp_pool1d_backward(np.ones_like(y), x, y, 2)[0, 0, 0])


def test_a_large_norm_is_nearly_the_maximum_and_out_is_filled():
    x = np.abs(numbers(GAUSSIAN, (2, 6, 6, 5), np.float64))
    assert_close(fc.lp_pool2d(x, 2, norm_type=200), fc.max_pool2d(x, 2), 0.05)
    out = np.empty((2, 3, 3, 5))
    assert fc.lp_pool2d(x, 2, out=out) is out
    assert_equal(out, fc.lp_pool2d(x, 2))


X = np.ones((1, 4, 4, 2), np.float32)
Y = X[:, :2, :2]
ERRORS = [
    (lambda: fc.lp_pool2d(X, 2, norm_type=0.5), ValueError, r"lp_pool2d: norm_type .*at least 1.*0\.5"),
    (lambda: fc.lp_pool2d(X, 2, norm_type=np.inf), ValueError, r"lp_pool2d: norm_type .*finite.*inf"),
    (lambda: fc.lp_pool2d(X, 2, norm_type=np.nan), ValueError, r"lp_pool2d: norm_type .*nan"),
    (lambda: fc.lp_pool2d(X, 2, norm_type="two"), TypeError, r"lp_pool2d: norm_type .*'two'"),
    (lambda: fc.lp_pool2d(X.astype(int), 2), TypeError, r"lp_pool2d: input .*int64"),
    (lambda: fc.lp_pool2d(X, 5), ValueError, r"lp_pool2d: .* spans 5 .* only 4"),
    (lambda: fc.lp_pool2d(X, 2, out=X), ValueError, r"lp_pool2d: out .*\(1, 2, 2, 2\), got \(1, 4, 4, 2\)"),
    (lambda: fc.lp_pool1d(X[0, 0], 2, padding=-1), ValueError, r"lp_pool1d: padding .*-1"),
    (lambda: fc.global_lp_pool(X[0, 0]), ValueError, r"global_lp_pool: .*3 to 5 axes.*\(4, 2\)"),
    (lambda: fc.global_lp_pool(X, norm_type=0), ValueError, r"global_lp_pool: norm_type .*0"),
    (lambda: fc.global_lp_pool_backward(X, X, X), ValueError, r"global_lp_pool_backward: grad_output .*\(1, 2\)"),
    (lambda: fc.lp_pool2d_backward(Y, X, X, 2), ValueError,
     r"lp_pool2d_backward: output must have the shape of grad_output \(1, 2, 2, 2\), got \(1, 4, 4, 2\)"),
    (lambda: fc.lp_pool2d_backward(X, X, X, 2), ValueError, r"lp_pool2d_backward: grad_output .*\(1, 2, 2, 2\)"),
    (lambda: fc.lp_pool2d_backward(Y, X.astype(float), Y, 2), TypeError, r"lp_pool2d_backward: .*one dtype.*float64"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^({message})"):
        call()
