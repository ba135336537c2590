"""Geometries that nobody thought of: hypothesis draws them, the oracle answers, and a failure shrinks to the smallest.

`FASTCONV_HYPOTHESIS=thorough` draws 2,000 of each instead of a few dozen (see conftest.py).
"""

from __future__ import annotations

import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

import fastconv as fc
import oracle
import oracle_resample
from algorithms import assert_right, rounding, takes
from cases import ConvCase, PoolCase
from problems import INTEGERS, assert_close, assert_equal, numbers

LARGEST_EXTENT = {1: 24, 2: 9, 3: 6}
DTYPES = st.sampled_from([np.float32, np.float64])


def per_axis(draw, rank, values):
    """One for all axes, or one each."""
    each = tuple(draw(values) for _ in range(rank))
    return each[0] if draw(st.booleans()) else each


def paddings(rank):
    amount = st.integers(0, 4)
    pair = st.tuples(amount, amount)
    names = ["valid", "same", "same_lower", "full"] + (["causal"] if rank == 1 else [])
    each = st.tuples(*[amount] * rank), st.tuples(*[pair] * rank)
    return st.one_of(amount, *each, st.sampled_from(names))


def fits(input_shape, kernel, **keywords):
    return min(oracle.Sliding(input_shape, kernel, **keywords).output) >= 1


@st.composite
def convolutions(draw):
    rank = draw(st.integers(1, 3))
    spatial = tuple(draw(st.integers(1, LARGEST_EXTENT[rank])) for _ in range(rank))
    kernel = tuple(draw(st.integers(1, 5 if rank < 3 else 3)) for _ in range(rank))
    groups = draw(st.sampled_from([1, 1, 1, 2, 3, 5]))
    channels = groups * draw(st.sampled_from([1, 1, 2, 3, 5, 8, 17]))
    filters = groups * draw(st.sampled_from([1, 1, 2, 3, 7, 16, 25]))
    stride, dilation = per_axis(draw, rank, st.integers(1, 4)), per_axis(draw, rank, st.integers(1, 3))
    case = ConvCase(
        "drawn", (draw(st.integers(0, 3)), *spatial, channels), kernel, filters,
        stride=stride, padding=draw(paddings(rank)), dilation=dilation, groups=groups,
    )  # fmt: skip
    assume(fits(case.input, kernel, **case.sliding))
    return case


@st.composite
def poolings(draw):
    rank = draw(st.integers(1, 3))
    spatial = tuple(draw(st.integers(1, LARGEST_EXTENT[rank])) for _ in range(rank))
    case = PoolCase(
        "drawn", (draw(st.integers(0, 3)), *spatial, draw(st.sampled_from([1, 2, 3, 7, 8, 17, 33]))),
        per_axis(draw, rank, st.integers(1, 4)),
        stride=per_axis(draw, rank, st.integers(1, 4)) if draw(st.booleans()) else None,
        padding=draw(paddings(rank).filter(lambda padding: not isinstance(padding, str))),
        dilation=per_axis(draw, rank, st.integers(1, 3)), ceil_mode=draw(st.booleans()),
    )  # fmt: skip
    assume(fits(case.input, case.kernel, **case.keywords))
    return case


def drawn(case, dtype):
    shapes = case.input, case.weight, case.weight[-1:], case.output
    return [numbers(INTEGERS, shape, dtype, which) for which, shape in enumerate(shapes)]


@given(case=convolutions(), dtype=DTYPES)
def test_every_pass_of_every_algorithm_equals_the_oracle(case, dtype):
    x, w, b, grad = drawn(case, dtype)
    expected, answers = oracle.conv(x, w, b, **case.keywords), oracle.conv_backward(grad, x, w, **case.keywords)
    bounds = {"input": (grad, w), "weight": (x, grad)}
    for algorithm in fc.algorithms():
        if not takes(algorithm, x, w, **case.keywords):
            continue
        output = getattr(fc, f"conv{case.rank}d")(x, w, b, **case.keywords, algorithm=algorithm)
        assert_right(output, expected, rounding(algorithm, x, w), case, dtype, algorithm)
        gradients = getattr(fc, f"conv{case.rank}d_backward")(grad, x, w, **case.keywords, algorithm=algorithm)
        for name, gradient, answer in zip(("input", "weight", "bias"), gradients, answers, strict=True):
            bound = rounding(algorithm, *bounds[name]) if name in bounds else 0
            assert_right(gradient, answer, bound, case, dtype, algorithm, f"gradient of the {name}")


@given(case=convolutions(), dtype=DTYPES)
def test_the_three_passes_are_one_trilinear_form(case, dtype):
    """<conv(x, w), y> = <x, backward_input(y, w)> = <w, backward_weight(y, x)>: needs no oracle."""
    x, w, _, y = drawn(case, dtype)
    output = getattr(fc, f"conv{case.rank}d")(x, w, **case.keywords)
    gradients = getattr(fc, f"conv{case.rank}d_backward")(y, x, w, **case.keywords)
    products = [np.vdot(a.astype(np.float64), b) for a, b in ((output, y), (gradients.input, x), (gradients.weight, w))]
    assert products[0] == products[1] == products[2], (case, dtype, products)


@given(case=convolutions(), dtype=DTYPES)
def test_patches_and_their_adjoint_equal_the_oracle(case, dtype):
    x = numbers(INTEGERS, case.input, dtype)
    patches = fc.im2col(x, case.kernel, **case.sliding)
    assert_equal(patches, oracle.im2col(x, case.kernel, **case.sliding), case, dtype)
    back = fc.col2im(patches, case.input, case.kernel, **case.sliding)
    assert_equal(back, oracle.col2im(patches, case.input, case.kernel, **case.sliding), case, dtype)


@given(case=poolings(), dtype=DTYPES)
def test_maxima_and_their_gradients_equal_the_oracle(case, dtype):
    x = numbers(INTEGERS, case.input, dtype)
    x[x == -8] = np.nan
    output, indices = getattr(fc, f"max_pool{case.rank}d")(x, case.kernel, **case.keywords, return_indices=True)
    expected, places = oracle.max_pool(x, case.kernel, **case.keywords)
    assert_equal(output, expected, case, dtype)
    assert_equal(indices, places, case, dtype, "indices")
    grad = numbers(INTEGERS, output.shape, dtype, 1)
    backward = getattr(fc, f"max_pool{case.rank}d_backward")
    found = backward(grad, indices, case.input, kernel_size=case.kernel, **case.keywords)
    assert_equal(found, oracle.max_pool_backward(grad, indices, case.input), case, dtype, "gradient")


@given(case=poolings(), dtype=DTYPES, include=st.booleans(), divisor=st.none() | st.integers(1, 9))
def test_averages_and_their_gradients_agree_with_the_oracle(case, dtype, include, divisor):
    keywords = case.keywords | {"count_include_pad": include, "divisor_override": divisor}
    # at most 64 terms of at most 8 each, a rounding each
    x, close = numbers(INTEGERS, case.input, dtype), 64 * 64 * 8 * np.finfo(dtype).eps
    output = getattr(fc, f"avg_pool{case.rank}d")(x, case.kernel, **keywords)
    assert_close(output, oracle.avg_pool(x, case.kernel, **keywords), close, case, dtype, keywords)
    grad = numbers(INTEGERS, output.shape, dtype, 1)
    found = getattr(fc, f"avg_pool{case.rank}d_backward")(grad, case.input, case.kernel, **keywords)
    expected = oracle.avg_pool_backward(grad, case.input, case.kernel, **keywords)
    assert_close(found, expected, close, case, dtype, keywords, "gradient")


@st.composite
def sizes(draw):
    """(shape of an input, spatial extents of an output)."""
    rank = draw(st.integers(1, 3))
    extents = st.integers(1, LARGEST_EXTENT[rank])
    spatial, size = (tuple(draw(extents) for _ in range(rank)) for _ in range(2))
    return (draw(st.integers(0, 3)), *spatial, draw(st.sampled_from([1, 2, 3, 4, 5, 17, 33]))), size


@given(shape_and_size=sizes(), dtype=DTYPES)
def test_adaptive_pooling_and_its_gradients_agree_with_the_oracle(shape_and_size, dtype):
    shape, size = shape_and_size
    x, name = numbers(INTEGERS, shape, dtype), f"{len(size)}d"
    output, indices = getattr(fc, f"adaptive_max_pool{name}")(x, size, return_indices=True)
    expected, places = oracle_resample.adaptive_max_pool(x, size)
    assert_equal(output, expected, shape, size)
    assert_equal(indices, places, shape, size)
    back = getattr(fc, f"adaptive_max_pool{name}_backward")(output, indices, shape)
    assert_equal(back, oracle.max_pool_backward(output, places, shape), shape, size)
    close = 512 * np.finfo(dtype).eps  # sums of a few dozen numbers up to 8, of weights that add up to one
    average = getattr(fc, f"adaptive_avg_pool{name}")(x, size)
    assert_close(average, oracle_resample.adaptive_avg_pool(x, size), close, shape, size)
    back = getattr(fc, f"adaptive_avg_pool{name}_backward")(output, shape)
    bound = close * (1 + oracle_resample.adaptive_avg_pool_backward(np.abs(output), shape))
    assert_close(back, oracle_resample.adaptive_avg_pool_backward(output, shape), bound, shape, size)


@given(
    shape_and_size=sizes(),
    dtype=DTYPES,
    coordinates=st.sampled_from(["half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel"]),
    antialias=st.booleans(),
    exclude_outside=st.booleans(),
)
def test_resizing_and_its_gradient_agree_with_the_oracle(
    shape_and_size, dtype, coordinates, antialias, exclude_outside
):
    shape, size = shape_and_size
    rule = {"mode": "linear", "coordinates": coordinates, "antialias": antialias, "exclude_outside": exclude_outside}
    x, close = numbers(INTEGERS, shape, dtype), 512 * np.finfo(dtype).eps
    found = fc.resize(x, size=size, **rule)
    assert_close(found, oracle_resample.resize(x, size, **rule), close, shape, size, rule)
    bound = close * (1 + oracle_resample.resize_backward(np.abs(found), shape, **rule))
    back = fc.resize_backward(found, shape, **rule)
    assert_close(back, oracle_resample.resize_backward(found, shape, **rule), bound, shape, size, rule)


@given(
    rows=st.integers(0, 30), features=st.integers(1, 70), filters=st.integers(1, 70), dtype=DTYPES, relu=st.booleans()
)
def test_linear_and_its_gradients_equal_the_oracle(rows, features, filters, dtype, relu):
    shapes = (rows, features), (features, filters), (filters,), (rows, filters)
    x, w, b, grad = (numbers(INTEGERS, shape, dtype, which) for which, shape in enumerate(shapes))
    context, activation = (rows, features, filters, dtype), "relu" if relu else None
    expected = oracle.linear(x, w, b, activation=activation)
    assert_equal(fc.linear(x, w, b, activation=activation), expected, context)
    for found, expected in zip(fc.linear_backward(grad, x, w), oracle.linear_backward(grad, x, w), strict=True):
        assert_equal(found, expected, context)
