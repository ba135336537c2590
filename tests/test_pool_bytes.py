"""Maxima of uint8 and int8: exact, with the lowest number where a window is padding alone."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
import oracle_resample
from cases import POOL
from problems import assert_equal

BYTES = [np.uint8, np.int8]
every_case = pytest.mark.parametrize("case", POOL, ids=str)
every_type = pytest.mark.parametrize("byte", BYTES)


def image(shape, byte):
    limits = np.iinfo(byte)
    return np.random.default_rng(0).integers(limits.min, limits.max + 1, shape).astype(byte)


@every_case
@every_type
def test_maxima_and_indices_are_exact(case, byte):
    x = image(case.input, byte)
    expected, places = oracle.max_pool(x, case.kernel, **case.keywords)
    expected = np.maximum(expected, np.iinfo(byte).min)
    pool = getattr(fc, f"max_pool{case.rank}d")
    output, indices = pool(x, case.kernel, **case.keywords, return_indices=True)
    assert_equal(output, expected, case, byte)
    assert_equal(indices, places, case, byte)
    out = np.zeros_like(output)
    assert pool(x, case.kernel, **case.keywords, out=out) is out
    assert_equal(out, expected, case, byte)
    assert output.dtype == byte


@every_type
def test_adaptive_and_global_maxima_are_exact(byte):
    x = image((2, 7, 9, 5), byte)
    expected, places = oracle_resample.adaptive_max_pool(x, (3, 4))
    output, indices = fc.adaptive_max_pool2d(x, (3, 4), return_indices=True)
    assert_equal(output, expected)
    assert_equal(indices, places)
    values, positions = fc.global_max_pool(x, return_indices=True)
    assert_equal(values, x.max(axis=(1, 2)))
    assert_equal(positions, x.reshape(2, -1, 5).argmax(axis=1))
    assert output.dtype == values.dtype == fc.global_max_pool(x).dtype == byte


@every_type
def test_a_gradient_of_floats_goes_back_by_the_indices(byte):
    x = image((1, 4, 6, 3), byte)
    output, indices = fc.max_pool2d(x, 2, return_indices=True)
    grad = fc.max_pool2d_backward(np.ones(output.shape, np.float32), indices, x.shape, kernel_size=2)
    assert grad.sum() == output.size and (x[grad > 0].astype(int).sum() == output.astype(int).sum())
