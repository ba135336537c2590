"""Every error: what was expected, what came, and that nothing was written. One line of the tables is one way to err.

A message opens with the function's name and names the argument and what it got; shapes and values are a ValueError,
dtypes and kinds a TypeError.
"""

from __future__ import annotations

import functools
import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc

HUGE = 2**62


def floats(*shape, dtype=np.float32):
    return np.ones(shape, dtype)


def labels(*values):
    return np.array(values)


X, W, B = floats(2, 8, 8, 4), floats(3, 3, 4, 16), floats(16)
GRAD = floats(2, 6, 6, 16)
X1, W1 = floats(2, 8, 4), floats(3, 4, 16)
X3, W3 = floats(1, 4, 4, 4, 2), floats(2, 2, 2, 2, 5)

conv = functools.partial(fc.conv2d, X, W)
backward = functools.partial(fc.conv2d_backward, GRAD, X, W)
max_pool = functools.partial(fc.max_pool2d, X, 2)
avg_pool = functools.partial(fc.avg_pool2d, X, 2)


def line(call, error, message):
    return pytest.param(call, error, message, id=message)


CONV_SHAPES = [
    line(
        lambda: fc.conv2d(X, floats(3, 3, 3, 16)),
        ValueError,
        r"conv2d: input has 4 channels, but weight \(3, 3, 3, 16\) with groups=1 expects 3",
    ),
    line(
        lambda: conv(groups=2),
        ValueError,
        r"conv2d: input has 4 channels, but weight \(3, 3, 4, 16\) with groups=2 expects 8",
    ),
    line(lambda: fc.conv1d(X1, floats(3, 5, 7)), ValueError, r"conv1d: input has 4 channels.*weight \(3, 5, 7\).*5"),
    line(lambda: fc.conv3d(X3, floats(1, 1, 1, 3, 7)), ValueError, r"conv3d: input has 2 channels.*expects 3"),
    line(lambda: fc.conv2d(floats(8, 4), W), ValueError, r"conv2d: input .*\(8, 4\)"),
    line(lambda: fc.conv2d(floats(1, 2, 8, 8, 4), W), ValueError, r"conv2d: input .*\(1, 2, 8, 8, 4\)"),
    line(lambda: fc.conv1d(floats(4), W1), ValueError, r"conv1d: input .*\(4,\)"),
    line(lambda: fc.conv3d(X, W3[0]), ValueError, r"conv3d: weight .*\(2, 2, 2, 5\)"),
    line(lambda: fc.conv2d(X, W[0]), ValueError, r"conv2d: weight .*\(3, 4, 16\)"),
    line(lambda: fc.conv2d(X, floats(0, 3, 4, 16)), ValueError, r"conv2d: kernel size .*0"),
    line(lambda: fc.conv2d(X, floats(3, 0, 4, 16)), ValueError, r"conv2d: kernel size .*0"),
    line(lambda: fc.conv2d(X, W, floats(15)), ValueError, r"conv2d: bias .*\(16,\), got \(15,\)"),
    line(lambda: fc.conv2d(X, W, floats(1, 16)), ValueError, r"conv2d: bias .*\(16,\), got \(1, 16\)"),
    line(lambda: fc.conv2d(X, W, np.float32(1)), ValueError, r"conv2d: bias .*\(16,\), got \(\)"),
    line(lambda: fc.conv2d(X, floats(3, 3, 2, 15), groups=2), ValueError, r"conv2d: groups must divide .*groups=2.*15"),
    line(lambda: fc.conv2d(X, floats(9, 3, 4, 16)), ValueError, r"conv2d: .* spans 9 .*kernel size \d.* only 8"),
    line(lambda: fc.conv2d(X, W, dilation=4), ValueError, r"conv2d: .* spans 9 .*kernel size \d.* only 8"),
    line(
        lambda: fc.conv2d(X, floats(11, 3, 4, 16), padding=1),
        ValueError,
        r"conv2d: .* spans 11 .*kernel size \d.* only 10",
    ),
    line(
        lambda: fc.conv2d(floats(2, 0, 8, 4), W),
        ValueError,
        r"conv2d: .*\(2, 0, 8, 4\)|conv2d: .* spans 3 .*kernel size \d.* only 0",
    ),
]

CONV_VALUES = [
    line(lambda: conv(groups=0), ValueError, r"conv2d: groups .*0"),
    line(lambda: conv(groups=-1), ValueError, r"conv2d: groups .*-1"),
    line(lambda: conv(stride=0), ValueError, r"conv2d: stride .*0"),
    line(lambda: conv(stride=(1, 0)), ValueError, r"conv2d: stride .*got 0"),
    line(lambda: conv(stride=-2), ValueError, r"conv2d: stride .*-2"),
    line(lambda: conv(dilation=0), ValueError, r"conv2d: dilation .*0"),
    line(lambda: conv(dilation=(1, -1)), ValueError, r"conv2d: dilation .*-1"),
    line(lambda: conv(padding=-1), ValueError, r"conv2d: padding .*-1"),
    line(lambda: conv(padding=((0, 1), (-2, 0))), ValueError, r"conv2d: padding .*-2"),
    line(lambda: conv(stride=(1, 1, 1)), ValueError, r"conv2d: stride .*2.*\(1, 1, 1\)"),
    line(lambda: conv(stride=(1,)), ValueError, r"conv2d: stride .*2.*\(1,\)"),
    line(lambda: conv(stride=()), ValueError, r"conv2d: stride .*2.*\(\)"),
    line(lambda: conv(dilation=(1, 1, 1)), ValueError, r"conv2d: dilation .*2.*\(1, 1, 1\)"),
    line(lambda: conv(padding=(1, 1, 1)), ValueError, r"conv2d: padding .*2.*[\[(]1, 1, 1[\])]"),
    line(lambda: conv(padding=(1,)), ValueError, r"conv2d: padding .*2.*(\(1,\)|\[1\])"),
    line(lambda: conv(padding=((1, 1),)), ValueError, r"conv2d: padding .*2.*\(\(1, 1\),\)"),
    line(lambda: conv(padding=((1, 1, 1), (0, 0, 0))), ValueError, r"conv2d: padding .*\(1, 1, 1\)"),
    line(lambda: fc.conv1d(X1, W1, stride=(1, 1)), ValueError, r"conv1d: stride .*1.*\(1, 1\)"),
    line(lambda: fc.conv1d(X1, W1, padding=(1, 1)), ValueError, r"conv1d: padding .*1.*[\[(]1, 1[\])]"),
    line(lambda: fc.conv3d(X3, W3, stride=(1, 1)), ValueError, r"conv3d: stride .*3.*\(1, 1\)"),
    line(lambda: conv(padding="some"), ValueError, r"conv2d: padding .*'same'.*'some'"),
    line(lambda: conv(padding="SAME"), ValueError, r"conv2d: padding .*'same'.*'SAME'"),
    line(lambda: conv(padding="causal"), ValueError, r"conv2d: padding .*'causal'"),
    line(lambda: fc.conv3d(X3, W3, padding="causal"), ValueError, r"conv3d: padding .*'causal'"),
    line(lambda: conv(activation="swoosh"), ValueError, r"conv2d: activation .*relu.*'swoosh'"),
    line(lambda: conv(algorithm="magic"), ValueError, r"conv2d: algorithm .*'auto'.*'direct'.*'magic'"),
    line(lambda: backward(wrt=("input", "output")), ValueError, r"conv2d_backward: wrt .*'output'"),
    line(lambda: backward(wrt="inputs"), ValueError, r"conv2d_backward: wrt .*'i"),
    line(lambda: fc.explain(X, W, algorithm="magic"), ValueError, r"explain: algorithm .*'auto'.*'direct'.*'magic'"),
    line(lambda: fc.explain(X, floats(3, 3, 3, 16)), ValueError, r"explain: input has 4 channels.*expects 3"),
]

KINDS = [
    line(lambda: conv(stride=1.0), TypeError, r"conv2d: stride .*1\.0"),
    line(lambda: conv(stride=True), TypeError, r"conv2d: stride .*True"),
    line(lambda: conv(stride="2"), TypeError, r"conv2d: stride .*'2'"),
    line(lambda: conv(stride=None), TypeError, r"conv2d: stride .*None"),
    line(lambda: conv(stride=(1, 2.5)), TypeError, r"conv2d: stride .*2\.5"),
    line(lambda: conv(dilation=2.0), TypeError, r"conv2d: dilation .*2\.0"),
    line(lambda: conv(padding=0.5), TypeError, r"conv2d: padding .*0\.5"),
    line(lambda: conv(padding=None), TypeError, r"conv2d: padding .*None"),
    line(lambda: conv(padding=False), TypeError, r"conv2d: padding .*False"),
    line(lambda: conv(groups=2.0), TypeError, r"conv2d: groups .*2\.0"),
    line(lambda: conv(groups=True), TypeError, r"conv2d: groups .*True"),
    line(lambda: conv(groups=(1, 1)), TypeError, r"conv2d: groups .*\(1, 1\)"),
    line(lambda: fc.conv2d(X.astype(np.float64), W), TypeError, r"conv2d: weight .*float64.*float32.*astype"),
    line(lambda: fc.conv2d(X, W, B.astype(np.float64)), TypeError, r"conv2d: .*bias.*float64.*float32"),
    line(lambda: fc.conv2d(X.astype(np.int32), W), TypeError, r"conv2d: input .*int32.*astype"),
    line(lambda: fc.conv2d(X.astype(bool), W), TypeError, r"conv2d: input .*bool"),
    line(lambda: fc.conv2d(X.astype(np.complex64), W), TypeError, r"conv2d: input .*complex64"),
    line(lambda: fc.conv2d(X.astype(np.float16), W), TypeError, r"conv2d: input .*float16.*float32"),
    line(lambda: fc.conv2d(X.astype(np.longdouble), W), TypeError, r"conv2d: input .*(longdouble|float128|float96)"),
    line(lambda: fc.conv2d(X.astype(object), W), TypeError, r"conv2d: input .*object"),
    line(lambda: fc.conv2d(X.astype(str), W), TypeError, r"conv2d: input .*(str|<U)"),
    line(lambda: fc.conv2d(X, W.astype(np.int64)), TypeError, r"conv2d: weight .*int64"),
    line(lambda: fc.conv2d(None, W), TypeError, r"conv2d: input .*None"),
    line(lambda: fc.conv2d(X, None), TypeError, r"conv2d: weight .*None"),
    line(lambda: fc.conv2d("image.png", W), TypeError, r"conv2d: input .*str|conv2d: input .*<U"),
    line(lambda: backward(wrt=3), TypeError, r"conv2d_backward: wrt .*3"),
    line(lambda: fc.conv2d_backward(GRAD.astype(np.float64), X, W), TypeError,
         r"conv2d_backward: .*grad_output.*float64"),
    line(lambda: fc.max_pool2d(X.astype(np.int16), 2), TypeError, r"max_pool2d: input .*int16.*astype"),
    line(lambda: fc.max_pool2d(X.astype(np.int8), 2, out=X[:, :4, :4].copy()), TypeError,
         r"max_pool2d: out must be int8 like the input, got float32"),
    line(lambda: fc.max_pool2d(X, 2.0), TypeError, r"max_pool2d: kernel_size .*2\.0"),
    line(lambda: fc.avg_pool2d(X.astype(np.uint8), 2), TypeError, r"avg_pool2d: input .*uint8.*astype"),
    line(lambda: fc.avg_pool2d(X.astype(np.dtype(">f2")), 2), TypeError, r"avg_pool2d: input .*native.*>f2"),
    line(lambda: avg_pool(dilation=1.5), TypeError, r"avg_pool2d: dilation .*1\.5"),
    line(lambda: fc.avg_pool2d(X, (2, "2")), TypeError, r"avg_pool2d: kernel_size .*'2'"),
    line(lambda: avg_pool(divisor_override=2.5), TypeError, r"avg_pool2d: divisor_override .*2\.5"),
    line(lambda: fc.avg_pool2d_backward(X, 4, 2), TypeError, r"avg_pool2d_backward: input_shape .*4"),
    line(lambda: fc.linear_backward(X, X, W[0, 0], wrt=None), TypeError, r"linear_backward: wrt .*None"),
    line(lambda: fc.cross_entropy(B[None], [0]), TypeError, r"cross_entropy: labels .*list.*int"),
    line(lambda: fc.global_avg_pool(X.astype(int)), TypeError, r"global_avg_pool: input .*int64"),
    line(lambda: fc.linear(X, W[0, 0].astype(np.float64)), TypeError, r"linear: .*weight.*float64"),
    line(lambda: fc.relu(X.astype(np.int8)), TypeError, r"relu: input .*int8"),
    line(lambda: fc.relu_backward(X, X.astype(np.float64)), TypeError, r"relu_backward: .*float64"),
    line(lambda: fc.softmax(np.array([1, 2])), TypeError, r"softmax: input .*int64"),
    line(lambda: fc.softmax(X, axis=1.0), TypeError, r"softmax: axis .*1\.0"),
    line(lambda: fc.cross_entropy(B[None], floats(1)), TypeError, r"cross_entropy: labels .*float32"),
    line(lambda: fc.im2col(X.astype(np.int16), 3), TypeError, r"im2col: input .*int16"),
]  # fmt: skip

BACKWARD = [
    line(
        lambda: fc.conv2d_backward(floats(2, 6, 5, 16), X, W),
        ValueError,
        r"conv2d_backward: grad_output .*\(2, 6, 5, 16\).*\(2, 6, 6, 16\)|"
        r"conv2d_backward: grad_output .*\(2, 6, 6, 16\).*\(2, 6, 5, 16\)",
    ),
    line(lambda: fc.conv2d_backward(GRAD[0], X, W), ValueError, r"conv2d_backward: grad_output .*\(6, 6, 16\)"),
    line(lambda: fc.conv2d_backward(GRAD, X[0], W), ValueError, r"conv2d_backward: grad_output .*\(2, 6, 6, 16\)"),
    line(lambda: backward(stride=2), ValueError, r"conv2d_backward: grad_output .*\(2, 6, 6, 16\)"),
    line(lambda: backward(stride=0), ValueError, r"conv2d_backward: stride .*0"),
    line(lambda: backward(algorithm="magic"), ValueError, r"conv2d_backward: algorithm .*'magic'"),
    line(lambda: fc.conv2d_backward(GRAD, floats(2, 8, 8, 3), W), ValueError, r"conv2d_backward: input has 3 channels"),
    line(lambda: fc.linear_backward(floats(3, 4), floats(3, 5), floats(5, 7)), ValueError,
         r"linear_backward: grad_output .*\(3, 4\)"),
    line(lambda: fc.linear_backward(floats(3, 7), floats(3, 5), floats(5, 7), wrt=("x",)), ValueError,
         r"linear_backward: wrt .*'x'"),
    line(lambda: fc.relu_backward(floats(3, 4), floats(4, 3)), ValueError, r"relu_backward: .*\(3, 4\).*\(4, 3\)|"
         r"relu_backward: .*\(4, 3\).*\(3, 4\)"),
    line(lambda: fc.softmax_backward(floats(3, 4), floats(3, 5)), ValueError, r"softmax_backward: .*\(3, [45]\)"),
    line(lambda: fc.avg_pool2d_backward(floats(2, 4, 3, 4), X.shape, 2), ValueError,
         r"avg_pool2d_backward: grad_output .*\(2, 4, [34], 4\).*\(2, 4, [34], 4\)"),
    line(lambda: fc.avg_pool2d_backward(floats(2, 4, 4, 4), (8, 4), 2), ValueError,
         r"avg_pool2d_backward: input.* \(8, 4\)"),
    line(lambda: fc.avg_pool2d_backward(floats(2, 4, 4, 4), (2, -8, 8, 4), 2), ValueError,
         r"avg_pool2d_backward: input.*-8"),
    line(lambda: fc.avg_pool2d_backward(floats(2, 4, 4, 4), (2, 8.0, 8, 4), 2), TypeError,
         r"avg_pool2d_backward: input_shape .*8\.0"),
    line(lambda: fc.global_avg_pool_backward(floats(2, 3), X.shape), ValueError,
         r"global_avg_pool_backward: grad_output .*\(2, [34]\).*\(2, [34]\)"),
    line(lambda: fc.col2im(floats(2, 6, 6, 35), X.shape, 3), ValueError, r"col2im: patches .*\(2, 6, 6, 3[56]\)"),
]  # fmt: skip


def max_pool_backward(indices=None, grad=None, shape=(1, 4, 4, 3), **options):
    grad = floats(1, 2, 2, 3) if grad is None else grad
    indices = np.zeros(grad.shape, np.int64) if indices is None else indices
    return fc.max_pool2d_backward(grad, indices, shape, **{"kernel_size": 2, **options})


INDICES = [
    line(lambda: max_pool_backward(np.zeros((1, 2, 2, 3), np.int32)), TypeError,
         r"max_pool2d_backward: indices .*int(64|32).*int(64|32)"),
    line(lambda: max_pool_backward(np.zeros((1, 2, 2, 3))), TypeError, r"max_pool2d_backward: indices .*float64"),
    line(lambda: max_pool_backward(np.zeros((1, 2, 1, 3), np.int64)), ValueError,
         r"max_pool2d_backward: indices .*\(1, 2, [12], 3\).*\(1, 2, [12], 3\)"),
    line(lambda: max_pool_backward(np.full((1, 2, 2, 3), 16)), ValueError, r"max_pool2d_backward: indices .*16"),
    line(lambda: max_pool_backward(np.full((1, 2, 2, 3), -2)), ValueError, r"max_pool2d_backward: indices .*-2"),
    line(lambda: max_pool_backward(np.full((1, 2, 2, 3), HUGE)), ValueError, r"max_pool2d_backward: indices .*"),
    line(lambda: max_pool_backward(grad=floats(1, 3, 2, 3)), ValueError,
         r"max_pool2d_backward: grad_output .*\(1, [23], 2, 3\).*\(1, [23], 2, 3\)"),
    line(lambda: max_pool_backward(shape=(4, 3)), ValueError, r"max_pool2d_backward: input.* \(4, 3\)"),
    line(lambda: fc.global_max_pool_backward(floats(1, 3), np.full((1, 3), 16), (1, 4, 4, 3)), ValueError,
         r"global_max_pool_backward: indices .*16"),
]  # fmt: skip

POOL = [
    line(lambda: fc.max_pool2d(floats(8, 4), 2), ValueError, r"max_pool2d: input .*\(8, 4\)"),
    line(lambda: fc.avg_pool2d(floats(1, 2, 8, 8, 4), 2), ValueError, r"avg_pool2d: input .*\(1, 2, 8, 8, 4\)"),
    line(lambda: fc.max_pool2d(X, 0), ValueError, r"max_pool2d: kernel_size .*0"),
    line(lambda: fc.avg_pool2d(X, (2, -1)), ValueError, r"avg_pool2d: kernel_size .*-1"),
    line(lambda: fc.max_pool2d(X, (2, 2, 2)), ValueError, r"max_pool2d: kernel_size .*2.*\(2, 2, 2\)"),
    line(lambda: max_pool(stride=0), ValueError, r"max_pool2d: stride .*0"),
    line(lambda: avg_pool(stride=(2,)), ValueError, r"avg_pool2d: stride .*2.*\(2,\)"),
    line(lambda: max_pool(padding=-1), ValueError, r"max_pool2d: padding .*-1"),
    line(lambda: max_pool(dilation=0), ValueError, r"max_pool2d: dilation .*0"),
    line(lambda: fc.max_pool2d(X, 9), ValueError, r"max_pool2d: .* spans 9 .*kernel size \d.* only 8"),
    line(
        lambda: fc.avg_pool2d(X, (2, 11), padding=1), ValueError, r"avg_pool2d: .* spans 11 .*kernel size \d.* only 10"
    ),
    line(lambda: fc.max_pool2d(X, 9, ceil_mode=True), ValueError, r"max_pool2d: .* spans 9 .*kernel size \d.* only 8"),
    line(lambda: max_pool(dilation=8), ValueError, r"max_pool2d: .* spans 9 .*kernel size \d.* only 8"),
    line(lambda: avg_pool(divisor_override=0), ValueError, r"avg_pool2d: divisor_override .*0"),
    line(lambda: fc.global_avg_pool(floats(4)), ValueError, r"global_avg_pool: .*input .*\(4,\)"),
    line(lambda: fc.global_max_pool(floats(2, 3)), ValueError, r"global_max_pool: .*input .*\(2, 3\)"),
    line(lambda: fc.im2col(floats(8, 4), 3), ValueError, r"im2col: input .*3 to 5 axes.* got 2"),
    line(lambda: fc.im2col(X, 9), ValueError, r"im2col: .* spans 9 .*kernel size \d.* only 8"),
    line(lambda: fc.im2col(X, (3, 3, 3)), ValueError, r"im2col: kernel_size .*2.*\(3, 3, 3\)"),
]

DENSE = [
    line(lambda: fc.linear(floats(2, 5), floats(4, 3)), ValueError, r"linear: input \(2, 5\) .*4.*weight \(4, 3\)"),
    line(lambda: fc.linear(floats(2, 5), floats(5)), ValueError, r"linear: weight .*\(5,\)"),
    line(lambda: fc.linear(np.float32(1), floats(1, 3)), ValueError, r"linear: input .*\(\)"),
    line(lambda: fc.linear(floats(2, 5), floats(5, 3), floats(4)), ValueError, r"linear: bias .*\(3,\), got \(4,\)"),
    line(lambda: fc.linear(floats(2, 5), floats(5, 3), activation="swoosh"), ValueError,
         r"linear: activation .*'swoosh'"),
    line(lambda: fc.softmax(X, axis=4), ValueError, r"softmax: axis .*4"),
    line(lambda: fc.softmax(X, axis=-5), ValueError, r"softmax: axis .*-5"),
    line(lambda: fc.cross_entropy(floats(3, 4), labels(0, 1)), ValueError, r"cross_entropy: .*labels .*got .*\(2,\)"),
    line(lambda: fc.cross_entropy(floats(3, 4), labels(0, 1, 4)), ValueError, r"cross_entropy: labels .*4"),
    line(lambda: fc.cross_entropy(floats(3, 4), labels(0, -1, 3)), ValueError, r"cross_entropy: labels .*-1"),
    line(lambda: fc.cross_entropy(floats(3), labels(0, 1, 2)), ValueError, r"cross_entropy: logits .*\(3,\)"),
    line(lambda: fc.cross_entropy(floats(1, 3), labels(0), reduction="max"), ValueError,
         r"cross_entropy: reduction .*'max'"),
    line(lambda: fc.cross_entropy_backward(floats(1, 3), labels(3)), ValueError, r"cross_entropy_backward: labels .*3"),
]  # fmt: skip

OVERFLOW = [
    line(lambda: conv(padding=HUGE), ValueError, r"conv2d: "),
    line(lambda: conv(padding=((0, HUGE), (0, HUGE))), ValueError, r"conv2d: "),
    line(lambda: conv(padding=2**31, stride=2**20), ValueError, r"conv2d: "),
    line(lambda: conv(dilation=HUGE), ValueError, r"conv2d: "),
    line(lambda: conv(dilation=HUGE, padding="full"), ValueError, r"conv2d: "),
    line(lambda: conv(stride=2**200), ValueError, r"conv2d: stride"),
    line(lambda: conv(padding=2**200), ValueError, r"conv2d: padding"),
    line(lambda: fc.conv1d(X1, W1, padding=2**63 - 1), ValueError, r"conv1d: "),
    line(lambda: fc.conv3d(X3, W3, padding=2**30), ValueError, r"conv3d: "),
    line(lambda: fc.max_pool2d(X, HUGE, padding=HUGE), ValueError, r"max_pool2d: "),
    line(lambda: max_pool(padding=HUGE), ValueError, r"max_pool2d: "),
    line(lambda: avg_pool(padding=HUGE), ValueError, r"avg_pool2d: "),
    line(lambda: fc.avg_pool2d_backward(X, (2, HUGE, 8, 4), 2), ValueError, r"avg_pool2d_backward: "),
    line(lambda: fc.im2col(X, 3, padding=HUGE), ValueError, r"im2col: "),
    line(lambda: fc.col2im(floats(1, 1, 1, 9), (HUGE, HUGE, HUGE, 1), 3), ValueError, r"col2im: "),
]


@pytest.mark.parametrize(
    ("call", "error", "message"),
    CONV_SHAPES + CONV_VALUES + KINDS + BACKWARD + INDICES + POOL + DENSE,
)
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^({message})"):
        call()


@pytest.mark.parametrize(("call", "error", "message"), OVERFLOW)
def test_sizes_that_overflow_are_an_error_and_no_crash(call, error, message):
    with pytest.raises((error, MemoryError), match=f"^{message}"):
        call()


TOO_LARGE = {
    "conv2d": lambda: fc.conv2d(floats(1, 1, 1, 1), floats(1, 1, 1, 4096), padding=2**20),
    "avg_pool2d_backward": lambda: fc.avg_pool2d_backward(floats(1, 1, 1, 1), (1, 2**22, 2**22, 1), 1, stride=2**22),
    "im2col": lambda: fc.im2col(floats(1, 1, 1, 1), 1, padding=2**21),
    "linear": lambda: fc.linear(np.broadcast_to(np.float32(1), (2**40, 1)), floats(1, 64)),
    "relu": lambda: fc.relu(np.broadcast_to(np.float32(1), 2**45)),
}


@pytest.mark.parametrize("name", TOO_LARGE)
def test_a_result_too_large_for_memory_is_a_memory_error_with_its_size(name):
    with pytest.raises(MemoryError, match=r"\d+.*(bytes|iB|GB|TB)"):
        TOO_LARGE[name]()


@pytest.mark.parametrize("function", ["max_pool2d", "avg_pool2d", "max_pool3d", "avg_pool3d", "im2col"])
def test_a_window_of_more_positions_than_there_are_numbers_is_an_error_and_no_crash(function):
    """In a process of its own, which a crash may take with it."""
    shape = (1, *(8 for _ in range(3 if "3d" in function else 2)), 3)
    code = f"""
import numpy as np, fastconv as fc
try:
    fc.{function}(np.ones({shape}, np.float32), 2**30, stride=2**30, padding=2**30)
except (ValueError, MemoryError) as error:
    print(error)
"""
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert ended.returncode == 0 and ended.stdout.startswith((f"{function}: ", "cannot allocate")), ended
