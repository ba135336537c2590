"""The explicit patch matrix and its adjoint."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
from cases import CONV
from problems import INTEGERS, answers, assert_equal, numbers, problem

UNGROUPED = [case for case in CONV if case.groups == 1]
every_case = pytest.mark.parametrize("case", UNGROUPED, ids=str)


@every_case
def test_patches_equal_the_oracle_and_keep_what_is_not_finite(case, dtype, isa):
    x = numbers(INTEGERS, case.input, dtype)
    x[x == 3], x[x == 4] = np.nan, np.inf
    patches = fc.im2col(x, case.kernel, **case.sliding)
    assert_equal(patches, oracle.im2col(x, case.kernel, **case.sliding), case, dtype, isa)
    assert patches.dtype == dtype


@every_case
def test_patches_times_weight_is_the_convolution(case, dtype):
    given = problem(case, INTEGERS, dtype)
    patches = fc.im2col(given.input, case.kernel, **case.sliding)
    product = patches @ given.weight.reshape(-1, case.filters)
    assert_equal(product, answers(case, INTEGERS, dtype).output, case, dtype)


@every_case
def test_the_adjoint_equals_the_oracle(case, dtype, isa):
    sliding = oracle.Sliding(case.input, case.kernel, **case.sliding)
    shape = (case.input[0], *sliding.output, np.prod(case.kernel) * case.input[-1])
    patches = numbers(INTEGERS, shape, dtype)
    found = fc.col2im(patches, case.input, case.kernel, **case.sliding)
    assert_equal(found, oracle.col2im(patches, case.input, case.kernel, **case.sliding), case, dtype, isa)
    assert found.dtype == dtype


def test_by_hand():
    x = np.array([[[1, 10], [2, 20], [3, 30]]], np.float32)
    assert_equal(fc.im2col(x, 2), np.array([[[1.0, 10, 2, 20], [2, 20, 3, 30]]]))
    assert_equal(fc.col2im(np.ones((1, 2, 4), np.float32), (1, 3, 2), 2), np.array([[[1.0, 1], [2, 2], [1, 1]]]))


def test_threads_do_not_change_it(dtype):
    x = numbers(INTEGERS, (2, 33, 31, 17), dtype)
    patches = fc.im2col(x, 3, padding=1)
    with fc.options(num_threads=1):
        assert_equal(fc.im2col(x, 3, padding=1), patches)
        alone = fc.col2im(patches, x.shape, 3, padding=1)
    with fc.options(num_threads=3):
        assert_equal(fc.col2im(patches, x.shape, 3, padding=1), alone)
