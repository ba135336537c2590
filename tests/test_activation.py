"""ReLU and its gradient."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
from problems import GAUSSIAN, assert_equal, assert_same_bits, numbers

SHAPES = [(), (1,), (7,), (97,), (5, 3), (2, 9, 7, 13), (4, 33, 31, 17), (0, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def mixed(shape, dtype, seed=0):
    """Gaussian numbers with every kind of special one among them."""
    x = numbers(GAUSSIAN, shape, dtype, seed)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(dtype).tiny / 8, -np.finfo(dtype).tiny / 8]
    for number, value in enumerate(special):
        x.reshape(-1)[number::29] = value
    return x


@every_shape
def test_relu_keeps_what_is_positive_and_nan(shape, dtype, isa):
    x = mixed(shape, dtype)
    output = fc.relu(x)
    x[np.abs(x) < np.finfo(dtype).tiny] = 0  # denormals count as zero
    assert_equal(output, oracle.relu(x).reshape(shape), shape, dtype, isa)
    assert output.dtype == dtype


@every_shape
def test_the_gradient_passes_where_the_output_is_positive(shape, dtype, isa):
    output, grad = fc.relu(numbers(GAUSSIAN, shape, dtype)), mixed(shape, dtype, 1)
    expected = np.where(output > 0, grad, 0).astype(dtype)
    assert_equal(fc.relu_backward(grad, output), expected, shape, dtype, isa)


def test_the_gradient_at_zero_is_zero(dtype, isa):
    output = np.zeros(97, dtype)
    assert_equal(fc.relu_backward(np.full(97, np.inf, dtype), output), np.zeros(97), dtype, isa)


def test_bits_do_not_depend_on_the_number_of_threads(dtype):
    x, grad = numbers(GAUSSIAN, (4, 65, 63, 17), dtype), numbers(GAUSSIAN, (4, 65, 63, 17), dtype, 1)
    results = []
    for threads in (1, 2, 3):
        with fc.options(num_threads=threads):
            results.append((fc.relu(x), fc.relu_backward(grad, fc.relu(x))))
    for several in results[1:]:
        for found, alone in zip(several, results[0], strict=True):
            assert_same_bits(found, alone)


def test_relu_fused_into_a_convolution_is_relu_after_it(dtype, algorithm, isa):
    x, w = numbers(GAUSSIAN, (2, 9, 8, 5), dtype), numbers(GAUSSIAN, (1, 3, 5, 17), dtype)
    fused = fc.conv2d(x, w, activation="relu", algorithm=algorithm)
    assert_equal(fused, fc.relu(fc.conv2d(x, w, algorithm=algorithm)), algorithm, isa)


def test_out_may_be_the_input_itself_or_is_refused():
    """In place is safe for an elementwise function; what must not happen is a wrong answer."""
    x = numbers(GAUSSIAN, (3, 7), np.float32)
    expected, kept = fc.relu(x), x.copy()
    try:
        assert_same_bits(fc.relu(x, out=x), expected)
    except ValueError as refusal:
        assert "out" in str(refusal)
        assert_same_bits(x, kept)
