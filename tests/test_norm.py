"""Normalizations: values against the oracle, every gradient against differences, statistics, threads and errors."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle_elements as oracle_of
from problems import GAUSSIAN, assert_close, assert_equal, assert_same_bits, numbers, slope

SHAPES = [(5, 1), (64, 3), (1, 4, 7), (3, 9, 17), (2, 5, 6, 3), (3, 17, 9, 64), (2, 33, 31, 7), (2, 3, 4, 5, 96),
          (1, 40, 40, 1), (2, 13, 300), (700, 130)]  # fmt: skip
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)
SMALL = [(4, 3), (2, 3, 4), (2, 3, 2, 6), (2, 2, 1, 3, 4)]
GROUPS = {1: 1, 3: 3, 7: 1, 17: 1, 64: 16, 96: 4, 300: 75, 130: 13}


def drawn(shape, dtype, offset=0.0):
    """Input, scale, bias and gradient. Channels have means and deviations of their own."""
    x, scale, bias = (numbers(GAUSSIAN, s, dtype, i) for i, s in enumerate((shape, shape[-1:], shape[-1:])))
    spread = np.linspace(0.5, 3, shape[-1]).astype(dtype)
    return (
        (x * spread + np.asarray(offset + spread, dtype)).astype(dtype),
        scale,
        bias,
        numbers(GAUSSIAN, shape, dtype, 3),
    )


def allowed(expected, scale, bias, dtype):
    """Roundings of a value and of its statistics, in which those of many values average out."""
    doubt = 12 if dtype == np.float64 else 6
    return doubt * np.finfo(dtype).eps * (np.abs(expected) + np.abs(scale) + np.abs(bias))


def forms(x, groups):
    """(name, function, oracle) of the normalizations with a scale and a bias."""
    return {
        "batch_norm": (fc.batch_norm, oracle_of.batch_norm),
        "group_norm": (
            lambda x, *rest, **options: fc.group_norm(x, groups, *rest, **options),
            lambda x, *rest, **options: oracle_of.group_norm(x, groups, *rest, **options),
        ),
        "instance_norm": (fc.instance_norm, oracle_of.instance_norm),
        "layer_norm": (fc.layer_norm, oracle_of.layer_norm),
    }


NAMES = ["batch_norm", "group_norm", "instance_norm", "layer_norm"]
every_name = pytest.mark.parametrize("name", NAMES)


@every_name
@every_shape
def test_values_are_the_oracles_within_rounding(name, shape, dtype, isa):
    x, scale, bias, _ = drawn(shape, dtype)
    function, expected_of = forms(x, GROUPS[shape[-1]])[name]
    expected = expected_of(x, scale, bias)
    bound = allowed(expected, scale, bias, dtype)
    assert_close(function(x, scale, bias), expected.astype(float), bound, name, shape, isa)
    expected = expected_of(x, epsilon=0.25)
    assert_close(function(x, epsilon=0.25), expected.astype(float), allowed(expected, 1, 0, dtype), name, shape, isa)


@every_name
def test_a_mean_far_from_zero_costs_no_digits(name, dtype, isa):
    """In float32, numbers near 1e4 are 1e-3 apart; the sum of their squares has no digit of their variance."""
    x, scale, bias, _ = drawn((4, 20, 30, 64), dtype, offset=1e4)
    x[0, 0, 0] = 0  # an outlier, where others take their shift from
    function, expected_of = forms(x, 4)[name]
    expected = expected_of(x, scale, bias)
    rounded_mean = np.finfo(float).eps * 1e4 / 0.5 * np.abs(scale)  # it is a double; the deviation is 0.5 or more
    bound = allowed(expected, scale, bias, dtype) + rounded_mean
    assert_close(function(x, scale, bias), expected.astype(float), bound, name, isa)


@every_name
def test_bits_do_not_depend_on_the_number_of_threads(name, dtype):
    for shape in ((4, 65, 63, 17), (2, 300, 300, 3), (40, 20, 20, 64)):
        x, scale, bias, grad = drawn(shape, dtype)
        function, _ = forms(x, 1)[name]
        options = {"num_groups": 1} if name == "group_norm" else {}
        results = []
        for threads in (1, 2, 3):
            with fc.options(num_threads=threads):
                gradients = getattr(fc, f"{name}_backward")(grad, x, scale=scale, **options)
                results.append((function(x, scale, bias), *gradients))
        for several in results[1:]:
            for found, alone in zip(several, results[0], strict=True):
                assert_same_bits(found, alone, name, shape)


@every_name
@pytest.mark.parametrize("shape", SMALL, ids=str)
def test_every_gradient_agrees_with_differences_of_the_oracle(name, shape, isa):
    x, scale, bias, grad = drawn(shape, np.float64)
    groups = 2 if shape[-1] % 2 == 0 else 3
    _, expected_of = forms(x, groups)[name]
    options = {"num_groups": groups} if name == "group_norm" else {}
    found = getattr(fc, f"{name}_backward")(grad, x, scale=scale, **options)

    def loss(input=x, scale=scale, bias=bias):
        return (expected_of(input, scale, bias) * grad).sum()

    for gradient, argument in zip(found._fields, (x, scale, bias), strict=True):
        expected = slope(lambda value: loss(**{gradient: value}), argument.astype(oracle_of.LONG), step=1e-5)  # noqa: B023
        largest = np.abs(expected).max()
        assert_close(getattr(found, gradient), expected, 1e-8 * (1 + largest), name, gradient, shape, isa)
        assert getattr(found, gradient).dtype == np.float64
    plain = getattr(fc, f"{name}_backward")(grad, x, **options)
    expected = slope(lambda value: loss(value, 1), x.astype(oracle_of.LONG), step=1e-5)
    assert_close(plain.input, expected, 1e-8 * (1 + np.abs(expected).max()), name, shape, isa)


@every_name
@every_shape
def test_gradients_in_float32_are_those_in_float64_within_rounding(name, shape, isa):
    x, scale, _, grad = drawn(shape, np.float32)
    options = {"num_groups": GROUPS[shape[-1]]} if name == "group_norm" else {}
    found = getattr(fc, f"{name}_backward")(grad, x, scale=scale, **options)
    exact = getattr(fc, f"{name}_backward")(*(a.astype(float) for a in (grad, x)), scale=scale.astype(float), **options)
    eps = np.finfo(np.float32).eps
    # Where a set has one or two values, gradients are zeros made of large numbers: 1 / sqrt(epsilon) = 316.
    expected, many = exact.input, x.size / shape[-1]
    steep = 316 if name != "batch_norm" and min(shape[-1], np.prod(shape[1:-1])) < 8 else 4
    assert_close(found.input, expected, 32 * eps * (np.abs(expected) + steep * np.abs(scale).max() + 4), name, shape)
    assert_close(found.scale, exact.scale, 32 * eps * (np.sqrt(many) + np.abs(exact.scale)), name, shape)
    assert_close(found.bias, exact.bias, 8 * eps * (np.sqrt(many) + np.abs(exact.bias)), name, shape)


ACTIVATIONS = [None, "relu", "gelu", "hardswish", "leaky_relu"]


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("name", NAMES[:3])
def test_an_activation_on_the_way_is_the_one_after_it(name, activation, dtype, isa):
    for shape in ((2, 9, 8, 3), (3, 5, 70)):
        x, scale, bias, grad = drawn(shape, dtype)
        function, _ = forms(x, 1)[name]
        plain = function(x, scale, bias)
        after = plain if activation is None else getattr(fc, activation)(plain)
        assert_equal(function(x, scale, bias, activation=activation), after, name, activation, isa)
        if activation == "relu":
            options = {"num_groups": 1} if name == "group_norm" else {}
            apart = getattr(fc, f"{name}_backward")(fc.relu_backward(grad, after), x, scale=scale, **options)
            fused = getattr(fc, f"{name}_backward")(grad, x, scale=scale, output=after, **options)
            for found, expected in zip(fused, apart, strict=True):
                assert_same_bits(found, expected, name, isa)


@every_shape
def test_running_statistics_are_used_in_inference(shape, dtype, isa):
    x, scale, bias, grad = drawn(shape, dtype)
    mean, var = numbers(GAUSSIAN, shape[-1:], dtype, 4), np.square(numbers(GAUSSIAN, shape[-1:], dtype, 5)) + dtype(0.1)
    kept = mean.copy(), var.copy()
    output = fc.batch_norm(x, scale, bias, running_mean=mean, running_var=var, training=False)
    expected = oracle_of.batch_norm_of(x, mean, var, scale, bias)
    shift = np.abs(scale * mean / np.sqrt(var))
    assert_close(output, expected.astype(float), allowed(expected, scale, np.abs(bias) + shift, dtype), shape, isa)
    assert_same_bits(mean, kept[0])
    assert_same_bits(var, kept[1])

    inverse = 1 / np.sqrt(var.astype(float) + 1e-5)
    found = fc.batch_norm_backward(grad, x, scale, mean=mean, inverse_std=inverse, training=False)
    size = np.abs(grad) * np.abs(scale) * inverse
    assert_close(found.input, grad * scale.astype(float) * inverse, 4 * np.finfo(dtype).eps * size, shape, isa)
    normalized = ((x - mean.astype(float)) * inverse * grad).reshape(-1, shape[-1])
    roundings = 16 * np.finfo(dtype).eps * np.abs(normalized).sum(axis=0)
    assert_close(found.scale, normalized.sum(axis=0), roundings + np.finfo(dtype).tiny, shape, isa)


def test_running_statistics_move_towards_those_of_the_batch(dtype):
    x, *_ = drawn((4, 5, 6, 7), dtype)
    mean, var = np.full(7, 2, dtype), np.full(7, 3, dtype)
    fc.batch_norm(x, running_mean=mean, running_var=var, momentum=0.25)
    flat = x.reshape(-1, 7).astype(float)
    near = {"rtol": 8 * np.finfo(dtype).eps}
    np.testing.assert_allclose(mean, 0.75 * 2 + 0.25 * flat.mean(axis=0), **near)
    np.testing.assert_allclose(var, 0.75 * 3 + 0.25 * flat.var(axis=0, ddof=1), **near)
    before = mean.copy(), var.copy()
    fc.batch_norm(x[:1, :1, :1], running_mean=mean, running_var=var)
    assert not np.array_equal(mean, before[0]) and np.array_equal(var, before[1])


def test_statistics_that_are_given_are_not_computed_again(dtype):
    x, scale, _, grad = drawn((3, 9, 17), dtype)
    flat = x.reshape(-1, 17).astype(float)
    inverse = 1 / np.sqrt(flat.var(axis=0) + 1e-5)
    given = fc.batch_norm_backward(grad, x, scale, mean=flat.mean(axis=0), inverse_std=inverse)
    for found, expected in zip(given, fc.batch_norm_backward(grad, x, scale), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    other = fc.batch_norm_backward(grad, x, scale, mean=flat.mean(axis=0), inverse_std=2 * inverse)
    np.testing.assert_allclose(other.scale, 2 * given.scale, rtol=1e-5)


@every_name
def test_a_batch_of_nothing_gives_nothing(name, dtype):
    for shape in ((0, 4, 4, 6), (2, 0, 4, 6)):
        x = np.empty(shape, dtype)
        options = {"num_groups": 2} if name == "group_norm" else {}
        assert getattr(fc, name)(x, **options).shape == shape
        gradients = getattr(fc, f"{name}_backward")(x, x, **options)
        assert gradients.input.shape == shape
        assert_equal(gradients.scale, np.zeros(6))
        assert_equal(gradients.bias, np.zeros(6))
    mean, var = np.ones(6, dtype), np.full(6, 2, dtype)
    fc.batch_norm(np.empty((0, 6), dtype), running_mean=mean, running_var=var)
    assert (mean == 1).all() and (var == 2).all()


@every_name
def test_arrays_of_other_strides_and_outputs_that_are_given(name, dtype):
    x, scale, bias, _ = drawn((3, 7, 6, 9), dtype)
    function, _ = forms(x, 3)[name]
    expected, out = function(x, scale, bias), np.empty_like(x)
    assert function(x, scale, bias, out=out) is out
    assert_same_bits(out, expected)
    spread = np.ascontiguousarray(x.transpose(3, 0, 1, 2)).transpose(1, 2, 3, 0)
    assert_same_bits(function(spread, np.repeat(scale, 2)[::2], bias[::-1].copy()[::-1]), expected)
    with pytest.raises(ValueError, match=f"^{name}: out must not share memory with an input"):
        function(x, scale, bias, out=x)


def test_constant_channels_become_the_bias(dtype, isa):
    x, bias = np.full((2, 8, 9, 5), 7, dtype), np.arange(5, dtype=dtype)
    for function in (fc.batch_norm, fc.instance_norm, fc.layer_norm):
        assert_equal(function(x, None, bias), np.broadcast_to(bias, x.shape), function.__name__, isa)


def test_nan_reaches_its_own_channel_or_pixel_alone(dtype, isa):
    x = drawn((2, 9, 8, 17), dtype)[0]
    x[1, 3, 4, 5] = np.nan
    assert_equal(np.isnan(fc.batch_norm(x)), np.broadcast_to(np.arange(17) == 5, x.shape), isa)
    expected = np.zeros(x.shape, bool)
    expected[1, ..., 5] = True
    assert_equal(np.isnan(fc.instance_norm(x)), expected, isa)
    expected = np.zeros(x.shape, bool)
    expected[1, 3, 4] = True
    assert_equal(np.isnan(fc.layer_norm(x)), expected, isa)
    expected[1, 3, 4] = np.abs(np.arange(17) - 5) <= 2
    assert_equal(np.isnan(fc.local_response_norm(x)), expected, isa)


# Local response normalization

WINDOWS = [{}, {"size": 1}, {"size": 2, "alpha": 0.5}, {"size": 3, "alpha": 1.0, "beta": 0.5}, {"size": 4, "beta": 1.0},
           {"size": 7, "alpha": 2.0, "beta": 0.6, "k": 2.0}, {"size": 50, "alpha": 0.1}, {"size": 2**62}]  # fmt: skip
every_window = pytest.mark.parametrize("window", WINDOWS, ids=str)


@every_window
@pytest.mark.parametrize("shape", [(1,), (5, 3), (2, 3, 4, 17), (3, 64), (2, 5, 96), (0, 4)], ids=str)
def test_local_response_is_the_oracles_within_rounding(window, shape, dtype, isa):
    x = numbers(GAUSSIAN, shape, dtype) * 3
    expected = oracle_of.local_response_norm(x, **window)
    # A sum of squares errs by less than an eps for each of eight in a chain; a power of it by beta times that.
    bound = (16 if dtype == np.float64 else 8) * np.finfo(dtype).eps * np.abs(expected)
    assert_close(fc.local_response_norm(x, **window), expected.astype(float), bound, window, shape, isa)


@every_window
def test_the_gradient_of_local_response_agrees_with_differences(window, isa):
    for shape in ((2, 3), (1, 2, 9), (1, 17)):
        x, grad = numbers(GAUSSIAN, shape, np.float64), numbers(GAUSSIAN, shape, np.float64, 1)

        def loss(x):
            return (oracle_of.local_response_norm(x, **window) * grad).sum()  # noqa: B023

        expected = slope(loss, x.astype(oracle_of.LONG), step=1e-5)
        assert_close(fc.local_response_norm_backward(grad, x, **window), expected, 1e-8, window, shape, isa)
        single = fc.local_response_norm_backward(grad.astype(np.float32), x.astype(np.float32), **window)
        assert_close(single, expected, 1e-5, window, shape, isa)


X = np.ones((2, 3, 4), np.float32)
C = np.ones(4, np.float32)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: fc.batch_norm(X, C[:3]), ValueError, r"batch_norm: scale must have shape \(4,\), got \(3,\)"),
    (lambda: fc.batch_norm(X, C, C[:1]), ValueError, r"batch_norm: bias must have shape \(4,\), got \(1,\)"),
    (lambda: fc.batch_norm(C), ValueError, r"batch_norm: input must have at least 2 axes.*got shape \(4,\)"),
    (lambda: fc.batch_norm(X[..., :0]), ValueError, r"batch_norm: input must have at least 1 channel"),
    (lambda: fc.batch_norm(X, epsilon=-1), ValueError, r"batch_norm: epsilon must be finite and not negative, got -1"),
    (lambda: fc.batch_norm(X, momentum=1.5), ValueError, r"batch_norm: momentum must be between 0 and 1, got 1\.5"),
    (lambda: fc.batch_norm(X, training=False), ValueError, r"batch_norm: training=False needs running_mean and"),
    (lambda: fc.batch_norm(X, running_mean=C), TypeError, r"batch_norm: running_var must be a NumPy array .*NoneType"),
    (lambda: fc.batch_norm(X, running_mean=C[:3], running_var=C), ValueError,
     r"batch_norm: running_mean must have shape \(4,\), got \(3,\)"),
    (lambda: fc.batch_norm(X, activation="swoosh"), ValueError, r"batch_norm: activation .*'swoosh'"),
    (lambda: fc.batch_norm(X.astype(int)), TypeError, r"batch_norm: input must be float32 or float64"),
    (lambda: fc.batch_norm(X, C.astype(float)), TypeError, r"batch_norm: scale must be float32"),
    (lambda: fc.batch_norm([1.0]), TypeError, r"batch_norm: input must be an array, got list"),
    (lambda: fc.batch_norm(X, out=X[0]), ValueError, r"batch_norm: out must have shape \(2, 3, 4\)"),
    (lambda: fc.batch_norm_backward(X[:1], X), ValueError, r"batch_norm_backward: grad_output must have shape"),
    (lambda: fc.batch_norm_backward(X, X, output=X[:1]), ValueError, r"batch_norm_backward: output must have shape"),
    (lambda: fc.batch_norm_backward(X, X, mean=C), ValueError, r"batch_norm_backward: mean and inverse_std .* given"),
    (lambda: fc.batch_norm_backward(X, X, training=False), ValueError, r"batch_norm_backward: mean .* training=False"),
    (lambda: fc.batch_norm_backward(X, X, mean=C[:2], inverse_std=C), ValueError,
     r"batch_norm_backward: mean must have 4 values, got shape \(2,\)"),
    (lambda: fc.group_norm(X, 3), ValueError, r"group_norm: num_groups must divide the 4 channels .*, got 3"),
    (lambda: fc.group_norm(X, 0), ValueError, r"group_norm: num_groups must be at least 1, got 0"),
    (lambda: fc.group_norm_backward(X, X, 2.0), TypeError, r"group_norm_backward: num_groups must be an integer"),
    (lambda: fc.instance_norm(C), ValueError, r"instance_norm: input must have at least 2 axes"),
    (lambda: fc.instance_norm(X[0, 0, 0]), ValueError, r"instance_norm: input must have at least 2 axes"),
    (lambda: fc.instance_norm_backward(X, X, C[:2]), ValueError, r"instance_norm_backward: scale must have shape"),
    (lambda: fc.layer_norm(X, epsilon=np.inf), ValueError, r"layer_norm: epsilon must be finite"),
    (lambda: fc.layer_norm(X, C[:2]), ValueError, r"layer_norm: scale must have shape \(4,\), got \(2,\)"),
    (lambda: fc.layer_norm(X[0, 0, 0]), ValueError, r"layer_norm: input must have at least 1 axis,"),
    (lambda: fc.layer_norm_backward(X, X[0]), ValueError, r"layer_norm_backward: grad_output must have shape"),
    (lambda: fc.local_response_norm(X, 0), ValueError, r"local_response_norm: size must be at least 1, got 0"),
    (lambda: fc.local_response_norm(X, 2.5), TypeError, r"local_response_norm: size must be an integer"),
    (lambda: fc.local_response_norm(X, alpha=np.nan), ValueError, r"local_response_norm: alpha must be finite"),
    (lambda: fc.local_response_norm_backward(X, X[0]), ValueError, r"local_response_norm_backward: grad_output must"),
])  # fmt: skip
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
