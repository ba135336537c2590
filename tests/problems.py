"""Data for the named geometries, the oracle's answers to them, and how far from these a result may lie.

Two kinds of data. INTEGERS are small, so that every sum is exact in float32 in whatever order it is taken: results must
be EQUAL to the oracle's, which no missing, doubled or displaced term survives. GAUSSIAN numbers exercise rounding.

The tolerance. A sum of K products p_i of independent signs has partial sums of size sqrt(sum of p_i^2) or less, and
each of its K roundings adds an error of at most eps/2 of that, with a sign of its own; together they grow like
sqrt(K) * eps/2 * sqrt(sum of p_i^2) (the probabilistic bound of Higham & Mary, 2019). `SAFETY` of that is allowed, and
the sum of squares is the oracle's own answer to squared data. In float64 the oracle errs as much: twice.
"""

from __future__ import annotations

import functools
import math
import zlib
from typing import NamedTuple

import numpy as np

import oracle

SAFETY = 8
INTEGERS, GAUSSIAN = "integers", "gaussian"


class Problem(NamedTuple):
    input: np.ndarray
    weight: np.ndarray
    bias: np.ndarray
    grad_output: np.ndarray


class Answers(NamedTuple):
    output: np.ndarray  # without bias
    input: np.ndarray
    weight: np.ndarray
    bias: np.ndarray


def numbers(kind, shape, dtype, *seed):
    rng = np.random.default_rng(zlib.crc32(repr((kind, shape, seed)).encode()))
    drawn = rng.integers(-8, 9, shape) if kind == INTEGERS else rng.standard_normal(shape)
    return np.asarray(drawn, dtype)


@functools.cache
def problem(case, kind, dtype):
    shapes = case.input, case.weight, case.weight[-1:], case.output
    return _frozen(Problem(*(numbers(kind, shape, dtype, which) for which, shape in enumerate(shapes))))


@functools.cache
def answers(case, kind, dtype):
    """What the oracle says, in float64."""
    return _frozen(_answers(case, problem(case, kind, dtype)))


@functools.cache
def bounds(case, kind, dtype):
    """How far from the oracle a result may lie, for each of the answers."""
    squares = _answers(case, Problem(*(np.square(a, dtype=np.float64) for a in problem(case, kind, dtype))))
    pixels, taps = math.prod(case.output[:-1]), math.prod(case.kernel)
    terms = Answers(math.prod(case.weight[:-1]) + 1, taps * (case.filters // case.groups), pixels, pixels)
    return _frozen(Answers(*(tolerance(count, square, dtype) for count, square in zip(terms, squares, strict=True))))


def tolerance(terms, sum_of_squares, dtype):
    """For sums of `terms` numbers of independent signs whose squares add up to `sum_of_squares`."""
    doubt = 2 if np.dtype(dtype) == np.float64 else 1
    return doubt * SAFETY * np.sqrt(terms) * np.finfo(dtype).eps / 2 * np.sqrt(sum_of_squares)


def _answers(case, given):
    backward = oracle.conv_backward(given.grad_output, given.input, given.weight, **case.keywords)
    return Answers(oracle.conv(given.input, given.weight, **case.keywords), *backward)


def _frozen(arrays):
    for array in arrays:
        array.flags.writeable = False
    return arrays


def slope(function, array, step=0.5):
    """d(sum) of a function that is linear in each entry: central differences are exact but for rounding."""
    gradient = np.zeros(array.shape)
    for at in np.ndindex(array.shape):
        up, down = array.copy(), array.copy()
        up[at] += step
        down[at] -= step
        gradient[at] = (function(up) - function(down)) / (2 * step)
    return gradient


# Assertions: a failure prints the whole case.


def assert_equal(actual, expected, *context):
    """Equal number by number, NaN equal to NaN, and the shape and dtype of a result besides."""
    _compare(actual, expected, 0, context)


def assert_close(actual, expected, bound, *context):
    _compare(actual, expected, bound, context)


def assert_same_bits(actual, expected, *context):
    assert actual.dtype == expected.dtype and actual.shape == expected.shape, _described(context)
    if actual.tobytes() != expected.tobytes():
        _compare(actual, expected, 0, context)
        raise AssertionError(f"equal, but not the same bits (a signed zero or a NaN)\n{_described(context)}")


def _compare(actual, expected, bound, context):
    assert isinstance(actual, np.ndarray), f"{type(actual)} is no array\n{_described(context)}"
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}\n{_described(context)}"
    if np.array_equal(actual, expected):
        return
    with np.errstate(invalid="ignore"):
        distance = np.abs(actual.astype(np.float64) - expected)
    same = (actual == expected) | (np.isnan(actual) & np.isnan(expected))
    wrong = ~(same | (distance <= bound))
    if wrong.any():
        at = tuple(int(i) for i in np.argwhere(wrong)[0])
        allowed = np.broadcast_to(bound, actual.shape)[at]
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} numbers are wrong; the first at {at}: "
            f"{actual[at]!r}, expected {expected[at]!r} within {allowed}\n{_described(context)}"
        )


def _described(context):
    return "\n".join(f"  {item!r}" for item in context)
