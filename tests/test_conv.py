"""Every pass of every algorithm at every instruction set, over the named geometries, against the oracle."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import fastconv as fc
import oracle
from algorithms import allowed, assert_right, rounding, roundings, skip_unless_supported
from cases import CONV, CONV_WIDE, named
from exercise import FILTER, INPUT, OUTPUT
from problems import (
    GAUSSIAN,
    INTEGERS,
    Answers,
    answers,
    assert_close,
    assert_equal,
    assert_same_bits,
    numbers,
    problem,
    slope,
)

every_case = pytest.mark.parametrize("case", CONV, ids=str)


def forward(case, given, bias=None, **options):
    function = getattr(fc, f"conv{case.rank}d")
    return function(given.input, given.weight, bias, **case.keywords, **options)


def backward(case, given, **options):
    function = getattr(fc, f"conv{case.rank}d_backward")
    return function(given.grad_output, given.input, given.weight, **case.keywords, **options)


@every_case
def test_forward_of_integers_equals_the_oracle(case, algorithm, dtype, isa):
    given, plain = problem(case, INTEGERS, dtype), answers(case, INTEGERS, dtype).output
    bound = roundings(algorithm, given).output
    for bias, activation in ((None, None), (given.bias, None), (None, "relu"), (given.bias, "relu")):
        expected = plain if bias is None else plain + bias
        expected = oracle.relu(expected) if activation else expected
        output = forward(case, given, bias, activation=activation, algorithm=algorithm)
        assert_right(output, expected, bound, case, algorithm, dtype, isa, f"bias={bias is not None}", activation)
        assert output.dtype == dtype


@every_case
def test_gradients_of_integers_equal_the_oracle(case, algorithm, dtype, isa):
    given, expected = problem(case, INTEGERS, dtype), answers(case, INTEGERS, dtype)
    gradients, bound = backward(case, given, algorithm=algorithm), roundings(algorithm, given)
    for name in ("input", "weight", "bias"):
        gradient, *right = (getattr(of, name) for of in (gradients, expected, bound))
        assert_right(gradient, *right, case, algorithm, dtype, isa, f"gradient of the {name}")
        assert gradient.dtype == dtype


@every_case
def test_forward_of_gaussian_numbers_is_within_rounding(case, algorithm, dtype, isa):
    given, expected = problem(case, GAUSSIAN, dtype), answers(case, GAUSSIAN, dtype).output
    bound = allowed(algorithm, case, GAUSSIAN, dtype).output
    context = case, algorithm, dtype, isa
    assert_close(forward(case, given, algorithm=algorithm), expected, bound, *context)
    biased, rounding = expected + given.bias, np.finfo(dtype).eps * (np.abs(expected) + np.abs(given.bias))
    output = forward(case, given, given.bias, algorithm=algorithm, activation="relu")
    assert_close(output, oracle.relu(biased), bound + rounding, *context, "bias and relu")


@every_case
def test_gradients_of_gaussian_numbers_are_within_rounding(case, algorithm, dtype, isa):
    given, expected = problem(case, GAUSSIAN, dtype), answers(case, GAUSSIAN, dtype)
    bound = allowed(algorithm, case, GAUSSIAN, dtype)
    gradients = backward(case, given, algorithm=algorithm)
    for name in ("input", "weight", "bias"):
        triple = (getattr(of, name) for of in (gradients, expected, bound))
        assert_close(*triple, case, algorithm, dtype, isa, f"gradient of the {name}")


@pytest.mark.parametrize("case", CONV_WIDE, ids=str)
@pytest.mark.parametrize("chosen", ["direct", "grouped"])
def test_lines_in_pieces_give_the_oracles_values(case, chosen, dtype, isa):
    given, expected = problem(case, INTEGERS, dtype), answers(case, INTEGERS, dtype)
    assert_equal(forward(case, given, algorithm=chosen), expected.output, case, isa)
    found = backward(case, given, algorithm=chosen)
    assert_equal(found.input, expected.input, case, isa)
    assert_equal(found.weight, expected.weight, case, isa)


@pytest.mark.parametrize("case", [*CONV, *CONV_WIDE], ids=str)
def test_bits_do_not_depend_on_the_number_of_threads(case, algorithm, dtype):
    given = problem(case, GAUSSIAN, dtype)
    results = []
    for threads in (1, 2, 3, 8, 16):
        with fc.options(num_threads=threads):
            output = forward(case, given, given.bias, algorithm=algorithm)
            results.append([output, *backward(case, given, algorithm=algorithm)])
    for threads, several in zip((2, 3, 8, 16), results[1:], strict=True):
        for alone, result, what in zip(
            results[0], several, ("output", "grad input", "grad weight", "grad bias"), strict=True
        ):
            assert_same_bits(result, alone, case, algorithm, dtype, f"{what} of {threads} threads and of one")


@every_case
def test_auto_takes_one_of_the_algorithms_and_explain_names_it(case):
    given = problem(case, INTEGERS, np.float32)
    plan = fc.explain(given.input, given.weight, **case.keywords)
    text = str(plan)
    for name in ("forward", "backward_input", "backward_weight"):
        assert name in text, text
    assert any(name in text for name in fc.algorithms()), text
    bound = roundings(plan.forward.algorithm, given).output
    assert_right(forward(case, given), answers(case, INTEGERS, np.float32).output, bound, case)


def test_explain_names_the_algorithm_that_was_asked_for(algorithm):
    x, w = np.zeros((1, 8, 8, 3), np.float32), np.zeros((1, 3, 3, 5), np.float32)
    text = str(fc.explain(x, w, padding=(0, 1), algorithm=algorithm))
    assert algorithm in text and "bytes" in text.lower()
    assert not any(other in text.replace("backward_", "") for other in fc.algorithms() if other != algorithm), text


def test_direct_and_im2col_are_among_the_algorithms():
    assert {"direct", "im2col"} <= set(fc.algorithms())


def test_the_exercise_by_hand(algorithm, dtype, isa):
    x, w = INPUT.astype(dtype)[None, ..., None], FILTER.astype(dtype)[..., None, None]
    skip_unless_supported(algorithm, x, w)
    output = fc.conv2d(x, w, algorithm=algorithm)[0, ..., 0]
    assert_right(output, OUTPUT.astype(dtype), rounding(algorithm, x, w), algorithm, isa)


def test_mathematical_convolution_is_the_flipped_weight(dtype):
    """As the documents say: what is called convolution here correlates; `weight[::-1]` gives the other one."""
    x, w = numbers(INTEGERS, (20,), dtype), numbers(INTEGERS, (4,), dtype)
    output = fc.conv1d(x[None, :, None], w[::-1, None, None], padding="full")
    assert_equal(output[0, :, 0], np.convolve(x, w))


# What is not finite reaches exactly the results whose sums hold it: the oracle's are NaN or infinite there and there
# alone, and all others are those of clean data.


@functools.cache
def poisoned(case, data, where, value):
    """The problem with one value in the middle of the input or of grad_output, and the oracle's answers to it."""
    given = problem(case, data, np.float32)
    array = getattr(given, where).copy()
    array.flat[array.size // 2] = value
    given = given._replace(**{where: array})
    with np.errstate(invalid="ignore"):
        output = oracle.conv(given.input, given.weight, given.bias, **case.keywords)
        return given, Answers(
            output, *oracle.conv_backward(given.grad_output, given.input, given.weight, **case.keywords)
        )


def spread_over(clean, poison):
    return np.where(np.isfinite(poison), clean, poison)


poisonable = pytest.mark.parametrize("case", [case for case in CONV if case.input[0]], ids=str)


@poisonable
@pytest.mark.parametrize("value", [np.nan, np.inf], ids=str)
def test_what_is_not_finite_reaches_exactly_the_outputs_that_see_it(case, exact_algorithm, value, isa):
    given, poison = poisoned(case, GAUSSIAN, "input", value)
    clean = forward(case, problem(case, GAUSSIAN, np.float32), given.bias, algorithm=exact_algorithm)
    output = forward(case, given, given.bias, algorithm=exact_algorithm)
    assert_equal(output, spread_over(clean, poison.output), case, exact_algorithm, isa)


@poisonable
@pytest.mark.parametrize("where", ["input", "grad_output"])
def test_nan_reaches_exactly_the_gradients_that_see_it(case, exact_algorithm, where, isa):
    """On integers, because sums that are not finite may be made again in another order."""
    given, poison = poisoned(case, INTEGERS, where, np.nan)
    found = backward(case, given, algorithm=exact_algorithm)
    for name in ("input", "weight", "bias"):
        assert_equal(getattr(found, name), getattr(poison, name), case, exact_algorithm, isa, f"gradient of the {name}")


@pytest.mark.parametrize("at", [0, -1])
@pytest.mark.parametrize("where", ["input", "grad_output"])
@pytest.mark.parametrize("sliding", [{"padding": 1}, {"padding": 2}, {"padding": 3, "dilation": 2}], ids=str)
@pytest.mark.parametrize("filters", [1, 9], ids="filters={}".format)
def test_nan_at_a_corner_reaches_the_taps_that_see_it(filters, sliding, where, at, exact_algorithm, dtype, isa):
    x, weight = numbers(INTEGERS, (2, 9, 11, 16), dtype), numbers(INTEGERS, (3, 3, 16, filters), dtype)
    given = {"input": x, "grad_output": numbers(INTEGERS, fc.conv2d(x, weight, **sliding).shape, dtype)}
    skip_unless_supported(exact_algorithm, x, weight, **sliding)
    given[where].flat[at] = np.nan
    found = fc.conv2d_backward(
        given["grad_output"], x, weight, **sliding, algorithm=exact_algorithm, wrt=("weight",)
    ).weight
    with np.errstate(invalid="ignore"):
        expected = oracle.conv_backward(given["grad_output"], x, weight, **sliding)[1]
    assert_equal(found, expected, exact_algorithm, isa)


@pytest.mark.parametrize("value", [1, np.nan, np.inf], ids=str)
@pytest.mark.parametrize(
    "sliding",
    [{"padding": 5, "dilation": 5}, {"padding": 6, "dilation": 6, "stride": (1, 2), "groups": 2}, {"padding": 2}],
    ids=str,
)
def test_gradients_of_the_weight_that_leave_out_padding_see_what_is_not_finite_there(sliding, value, dtype, isa):
    groups = sliding.get("groups", 1)
    x, weight = (
        numbers(INTEGERS, (5, 14, 15, 220), dtype),
        numbers(INTEGERS, (3, 3, 220 // groups, 144 * groups), dtype),
    )
    gradient = numbers(INTEGERS, fc.conv2d(x, weight, **sliding).shape, dtype)
    gradient.flat[0] = value
    with np.errstate(invalid="ignore"):
        expected = oracle.conv_backward(gradient, x, weight, **sliding)[1]
    for threads in (1, 3):
        with fc.options(num_threads=threads):
            found = fc.conv2d_backward(gradient, x, weight, **sliding, algorithm="direct", wrt=("weight",)).weight
        assert_equal(found, expected, threads, isa)


@poisonable
@pytest.mark.parametrize("where", ["input", "grad_output"])
def test_whatever_sees_nan_is_nan(case, algorithm, where):
    given, poison = poisoned(case, GAUSSIAN, where, np.nan)
    found = [forward(case, given, given.bias, algorithm=algorithm), *backward(case, given, algorithm=algorithm)]
    for result, expected in zip(found, poison, strict=True):
        assert np.isnan(result[np.isnan(expected)]).all(), (case, algorithm, where)


def test_fused_relu_passes_nan_through(algorithm, isa):
    x, w = np.full((1, 4, 4, 3), np.nan, np.float32), np.ones((1, 3, 3, 17), np.float32)
    assert np.isnan(fc.conv2d(x, w, activation="relu", algorithm=algorithm)).all(), isa


@pytest.mark.parametrize(
    "wrt", [("input",), ("weight",), ("bias",), ("input", "bias"), ["weight", "input"], ()], ids=" ".join
)
@pytest.mark.parametrize("case", named("1d_causal_dilated", "2d_groups_2", "3d_plain"), ids=str)
def test_only_the_gradients_asked_for_are_computed(case, wrt, algorithm):
    given, every = problem(case, INTEGERS, np.float32), answers(case, INTEGERS, np.float32)
    gradients, bound = backward(case, given, wrt=wrt, algorithm=algorithm), roundings(algorithm, given)
    for name in ("input", "weight", "bias"):
        gradient = getattr(gradients, name)
        if name in wrt:
            assert_right(gradient, getattr(every, name), getattr(bound, name), case, algorithm, wrt)
        else:
            assert gradient is None
    assert isinstance(gradients, fc.ConvGradients) and gradients._fields == ("input", "weight", "bias")


@pytest.mark.parametrize("case", [case for case in CONV if case.input[0] == 0], ids=str)
def test_a_batch_of_none_has_an_empty_output_and_no_gradient(case, algorithm, dtype):
    given = problem(case, INTEGERS, dtype)
    assert forward(case, given, given.bias, algorithm=algorithm).shape == case.output
    gradients = backward(case, given, algorithm=algorithm)
    assert gradients.input.shape == case.input
    assert_equal(gradients.weight, np.zeros(case.weight), case)
    assert_equal(gradients.bias, np.zeros(case.filters), case)


@pytest.mark.parametrize(
    "case",
    named(
        "1d_same_stride_3",
        "1d_full_even_kernel",
        "2d_stride_2_dilation_2",
        "2d_groups_2",
        "2d_padding_over_kernel",
        "3d_mixed_per_axis",
    ),
    ids=str,
)
def test_gradients_agree_with_finite_differences_of_the_forward_pass(case, algorithm):
    given = problem(case, GAUSSIAN, np.float64)
    gradients = backward(case, given, algorithm=algorithm)
    for name in ("input", "weight", "bias"):

        def loss(array, name=name):
            moved = given._replace(**{name: array})
            return (forward(case, moved, moved.bias, algorithm=algorithm) * given.grad_output).sum()

        numeric = slope(loss, getattr(given, name))
        assert_close(getattr(gradients, name), numeric, 1e-10, case, algorithm, f"gradient of the {name}")


def test_one_dimensional_arguments_are_ints_or_tuples_of_one(dtype):
    x, w = numbers(INTEGERS, (2, 12, 3), dtype), numbers(INTEGERS, (3, 3, 5), dtype)
    expected = oracle.conv(x, w, stride=2, padding=1, dilation=2)
    for stride, padding, dilation in (
        (2, 1, 2),
        ((2,), (1,), (2,)),
        ([2], [[1, 1]], [2]),
        (np.int64(2), np.int32(1), 2),
    ):
        assert_equal(fc.conv1d(x, w, stride=stride, padding=padding, dilation=dilation), expected, stride, padding)


def test_two_dimensions_are_the_third_with_an_axis_of_length_one(algorithm, isa):
    x, w = numbers(GAUSSIAN, (2, 9, 8, 5), np.float32), numbers(GAUSSIAN, (3, 2, 5, 7), np.float32)
    skip_unless_supported(algorithm, x, w, stride=(2, 1), padding=(1, 0))
    flat = fc.conv3d(x[:, None], w[None], stride=(1, 2, 1), padding=(0, 1, 0), algorithm=algorithm)
    assert_same_bits(flat[:, 0], fc.conv2d(x, w, stride=(2, 1), padding=(1, 0), algorithm=algorithm), algorithm, isa)


def test_one_dimension_is_the_second_with_an_axis_of_length_one(algorithm, isa):
    x, w = numbers(GAUSSIAN, (2, 9, 8, 5), np.float32), numbers(GAUSSIAN, (3, 2, 5, 7), np.float32)
    skip_unless_supported(algorithm, x[:, 0], w[0], padding=1)
    flat = fc.conv2d(x[:, :1], w[:1], padding=(0, 1), algorithm=algorithm)
    assert_same_bits(flat[:, 0], fc.conv1d(x[:, 0], w[0], padding=1, algorithm=algorithm), algorithm, isa)


@pytest.mark.parametrize("rows", [1, 7, 8, 11, 12, 13, 24, 31])
@pytest.mark.parametrize("filters", [16, 150, 192])
def test_a_weight_is_packed_by_the_first_rows_that_meet_it_even_by_padding(rows, filters, dtype, isa):
    x, w = numbers(INTEGERS, (1, rows, 700), dtype), numbers(INTEGERS, (1, 700, filters), dtype)
    bias = numbers(INTEGERS, (filters,), dtype)
    for padding in (0, ((13, 2),)):  # 13 rows: more than a tile has
        for stride in (1, 2):
            keywords = {"stride": stride, "padding": padding}
            found = fc.conv1d(x, w, bias, **keywords, algorithm="direct")
            assert_equal(found, oracle.conv(x, w, bias, **keywords), rows, filters, keywords, isa)
    many = fc.conv1d(np.repeat(x, 40, axis=0), w, bias, padding=((13, 2),), algorithm="direct")  # packed before
    assert_same_bits(many[7], fc.conv1d(x, w, bias, padding=((13, 2),), algorithm="direct")[0], rows, filters, isa)
