"""What the algorithms of convolution can do, and how near to the oracle each has to come.

Most add up the very products, and are exact on INTEGERS. One that transforms the numbers first rounds even there: by a
few eps of the norms of what is multiplied, because by Cauchy and Schwarz no result is larger than their product. With
integers this is far below one half, so that still no missing, doubled or displaced term survives.
"""

from __future__ import annotations

import functools

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core
from problems import INTEGERS, Answers, assert_close, bounds, problem

ROUNDING = 4


def is_exact(algorithm):
    return _core.algorithm_is_exact(algorithm)


def takes(algorithm, input, weight, **keywords):
    try:
        fc.explain(input, weight, **keywords, algorithm=algorithm)
    except ValueError as error:
        assert f"algorithm '{algorithm}' doesn't support this case" in str(error), error
        return False
    return True


@functools.cache
def supports(algorithm, case):
    zeros = (np.zeros(shape, np.float32) for shape in (case.input, case.weight))
    return takes(algorithm, *zeros, **case.keywords, transposed=getattr(case, "transposed", False))


def skip_unless_supported(algorithm, input, weight, **keywords):
    if not takes(algorithm, input, weight, **keywords):
        pytest.skip(f"{algorithm} doesn't support this case")


def rounding(algorithm, one, other):
    """How far off any sum of products of numbers of these two arrays may be, even where all are integers."""
    if is_exact(algorithm):
        return 0.0
    return ROUNDING * np.finfo(one.dtype).eps * np.linalg.norm(one.astype(float)) * np.linalg.norm(other.astype(float))


def roundings(algorithm, given):
    """The same for the passes of a problem; the gradient of the bias is a sum for every algorithm."""
    x, w, grad = given.input, given.weight, given.grad_output
    return Answers(rounding(algorithm, x, w), rounding(algorithm, grad, w), rounding(algorithm, x, grad), 0.0)


def allowed(algorithm, case, kind, dtype):
    """How far from the oracle's answers those of an algorithm may be."""
    extra = roundings(algorithm, problem(case, kind, dtype))
    if kind == INTEGERS:
        return extra
    return Answers(*(bound + more for bound, more in zip(bounds(case, kind, dtype), extra, strict=True)))


def assert_right(found, expected, rounding, *context):
    """Integers equal the oracle's; rounded ones are too near to them to be others."""
    assert rounding < 0.5, (rounding, context)
    assert_close(found, expected, rounding, *context)
