"""Activations and their gradients: exact where they are, within units in the last place where they can't be."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastconv as fc
import oracle
import oracle_elements as oracle_of
from fastconv import nn
from problems import GAUSSIAN, assert_close, assert_equal, assert_same_bits, numbers

EXACT = ["relu", "relu6", "leaky_relu", "hardswish"]
SMOOTH = ["sigmoid", "tanh", "silu", "gelu"]
FROM_INPUT = ["silu", "hardswish", "gelu"]
every_name = pytest.mark.parametrize("name", EXACT + SMOOTH)

SHAPES = [(), (1,), (7,), (97,), (5, 3), (2, 9, 7, 13), (4, 33, 31, 17), (0, 3)]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def backward(name, grad, input, output):
    return getattr(fc, f"{name}_backward")(grad, input if name in FROM_INPUT else output)


def mixed(shape, dtype, seed=0):
    """Gaussian numbers with every kind of special one among them."""
    x = numbers(GAUSSIAN, shape, dtype, seed)
    special = [0.0, -0.0, np.nan, np.inf, -np.inf, np.finfo(dtype).tiny / 8, -np.finfo(dtype).tiny / 8]
    for number, value in enumerate(special):
        x.reshape(-1)[number::29] = value
    return x


def spread(dtype):
    """Numbers of all sizes: around zero, across the bends, and out to where results underflow."""
    rng = np.random.default_rng(0)
    far = 100 if dtype == np.float32 else 740
    small = rng.standard_normal(1000) * 10.0 ** rng.uniform(-30, 0, 1000)
    return np.concatenate([rng.uniform(-far, far, 2000), rng.uniform(-14, 14, 4000), small, [-3, 3, 6]]).astype(dtype)


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


@every_name
def test_values_are_within_four_eps_of_exact_ones(name, dtype, isa):
    """Relative to the result, in the tails too. Sigmoids below the smallest normal number count as zero."""
    x = spread(dtype)
    expected = oracle_of.activate(name, x)
    bound = 4 * np.finfo(dtype).eps * np.abs(expected) + 1000 * np.finfo(dtype).tiny
    assert_close(getattr(fc, name)(x).astype(oracle_of.LONG), expected, bound, name, dtype, isa)


@every_name
def test_gradients_are_within_four_eps_of_exact_ones(name, dtype, isa):
    """Relative to the arriving gradient: a slope may be a small difference, and an output near 1 has lost digits."""
    x = spread(dtype)
    grad = numbers(GAUSSIAN, x.shape, dtype)
    expected = grad * oracle_of.activation_slope(name, x)
    bound = 4 * np.finfo(dtype).eps * np.abs(grad) + 1000 * np.finfo(dtype).tiny
    found = backward(name, grad, x, getattr(fc, name)(x))
    assert_close(found.astype(oracle_of.LONG), expected, bound, name, dtype, isa)


@every_name
@every_shape
def test_every_size_is_computed_to_its_end_and_not_beyond(name, shape, dtype, isa):
    x, grad = numbers(GAUSSIAN, shape, dtype), numbers(GAUSSIAN, shape, dtype, 1)
    output = getattr(fc, name)(x)
    whole = getattr(fc, name)(np.tile(x.reshape(-1), 8))
    assert_equal(output.reshape(-1), whole[: x.size], name, shape, isa)
    found = backward(name, grad, x, output)
    assert found.shape == shape and found.dtype == dtype
    expected = oracle_of.activation_slope(name, x) * grad
    assert_close(found, expected.astype(np.float64), 1e-5 * np.abs(grad) + 1e-30, name, shape, isa)
    guarded = np.full(x.size + 2, 7, dtype)
    getattr(fc, name)(x.reshape(-1), out=guarded[1:-1])
    assert guarded[0] == 7 and guarded[-1] == 7


SPECIAL = [np.nan, np.inf, -np.inf, 0.0, -0.0]
LIMITS = {
    "relu": [np.nan, np.inf, 0, 0, 0],
    "relu6": [np.nan, 6, 0, 0, 0],
    "leaky_relu": [np.nan, np.inf, -np.inf, 0, 0],
    "sigmoid": [np.nan, 1, 0, 0.5, 0.5],
    "tanh": [np.nan, 1, -1, 0, 0],
    "silu": [np.nan, np.inf, 0, 0, 0],
    "hardswish": [np.nan, np.inf, 0, 0, 0],
    "gelu": [np.nan, np.inf, 0, 0, 0],
}
SLOPES = {"silu": [np.nan, 1, 0, 0.5, 0.5], "hardswish": [np.nan, 1, 0, 0.5, 0.5], "gelu": [np.nan, 1, 0, 0.5, 0.5]}


@every_name
def test_infinities_give_limits_and_nan_stays_nan(name, dtype, isa):
    x = np.tile(np.array(SPECIAL, dtype), 9)
    assert_equal(getattr(fc, name)(x), np.tile(LIMITS[name], 9), name, isa)
    if name in SLOPES:
        assert_equal(backward(name, np.ones_like(x), x, None), np.tile(SLOPES[name], 9), name, isa)
    greatest = np.finfo(dtype).max
    assert_equal(getattr(fc, name)(np.array([greatest], dtype)),
                 np.array([{"relu6": 6, "sigmoid": 1, "tanh": 1}.get(name, greatest)], dtype), name, isa)  # fmt: skip


def test_tanh_is_odd_down_to_the_sign_of_zero(dtype, isa):
    x = spread(dtype)
    assert_same_bits(fc.tanh(-x), -fc.tanh(x))
    assert np.signbit(fc.tanh(np.array([-0.0], dtype)))[0]


def test_tails_agree_with_the_standard_library(isa):
    x = np.linspace(-37, 0, 300)
    expected = np.array([value * math.erfc(-value / math.sqrt(2)) / 2 for value in x])
    # The argument of erfc is rounded, which its logarithm's slope, x^2, magnifies.
    assert_close(fc.gelu(x), expected, (4 + x * x) * np.finfo(float).eps * np.abs(expected), isa)


@every_name
def test_bits_do_not_depend_on_the_number_of_threads(name, dtype):
    x, grad = numbers(GAUSSIAN, (4, 65, 63, 17), dtype), numbers(GAUSSIAN, (4, 65, 63, 17), dtype, 1)
    results = []
    for threads in (1, 2, 3):
        with fc.options(num_threads=threads):
            output = getattr(fc, name)(x)
            results.append((output, backward(name, grad, x, output)))
    for several in results[1:]:
        for found, alone in zip(several, results[0], strict=True):
            assert_same_bits(found, alone)


def test_relu_fused_into_a_convolution_is_relu_after_it(dtype, algorithm, isa):
    x, w = numbers(GAUSSIAN, (2, 9, 8, 5), dtype), numbers(GAUSSIAN, (1, 3, 5, 17), dtype)
    fused = fc.conv2d(x, w, activation="relu", algorithm=algorithm)
    assert_equal(fused, fc.relu(fc.conv2d(x, w, algorithm=algorithm)), algorithm, isa)


@every_name
def test_an_activation_of_a_convolution_or_a_dense_layer_is_the_one_after_it(name, dtype, isa):
    x, w, b = (numbers(GAUSSIAN, shape, dtype) for shape in ((2, 9, 8, 5), (1, 3, 5, 17), (17,)))
    assert_equal(fc.conv2d(x, w, b, activation=name), getattr(fc, name)(fc.conv2d(x, w, b)), name, isa)
    out = np.empty((2, 9, 6, 17), dtype)
    assert fc.conv2d(x, w, b, activation=name, out=out) is out
    assert_equal(out, getattr(fc, name)(fc.conv2d(x, w, b)), name, isa)
    x, w = x[:, :, :3], w[0, 0]
    assert_equal(fc.linear(x, w, b, activation=name), getattr(fc, name)(fc.linear(x, w, b)), name, isa)


@every_name
def test_out_may_be_the_input_itself(name, dtype):
    x = numbers(GAUSSIAN, (3, 7), dtype)
    expected = getattr(fc, name)(x)
    assert getattr(fc, name)(x, out=x) is x
    assert_same_bits(x, expected)
    with pytest.raises(ValueError, match=f"^{name}: out must not share memory"):
        getattr(fc, name)(x[:, ::-1], out=x)


@every_name
def test_arrays_of_other_strides_are_understood(name, dtype):
    x = numbers(GAUSSIAN, (6, 5, 4), dtype).transpose(2, 0, 1)[::-1]
    assert_equal(getattr(fc, name)(x), getattr(fc, name)(x.copy()))
    assert_equal(backward(name, x, x, x), backward(name, x.copy(), x.copy(), x.copy()))


def test_the_slope_of_leaky_relu_can_be_chosen(dtype, isa):
    x, grad = spread(dtype), numbers(GAUSSIAN, spread(dtype).shape, dtype)
    slope = dtype(0.3)
    assert_equal(fc.leaky_relu(x, slope), np.where(x > 0, x, slope * x))
    assert_equal(fc.leaky_relu_backward(grad, fc.leaky_relu(x, slope), slope), np.where(x > 0, grad, slope * grad))


X = np.ones((2, 3), np.float32)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: fc.linear(X, X.T.copy(), activation="swoosh"), ValueError,
     r"linear: activation must be None, 'relu', 'relu6', .* or 'gelu', got 'swoosh'"),
    (lambda: fc.leaky_relu(X, np.nan), ValueError, r"leaky_relu: negative_slope must be finite, got nan"),
    (lambda: fc.leaky_relu_backward(X, X, 0), ValueError, r"leaky_relu_backward: negative_slope .* above 0.*got 0"),
    (lambda: fc.leaky_relu_backward(X, X, -1), ValueError, r"leaky_relu_backward: negative_slope must be above 0"),
    (lambda: fc.gelu(X.astype(int)), TypeError, r"gelu: input must be float32 or float64"),
    (lambda: fc.gelu([1.0]), TypeError, r"gelu: input must be an array, got list"),
    (lambda: fc.gelu_backward(X, X.astype(float)), TypeError, r"gelu_backward: input must be float32"),
    (lambda: fc.tanh_backward(X, X[:1]), ValueError, r"tanh_backward: output must have shape \(2, 3\), got \(1, 3\)"),
    (lambda: fc.silu_backward(X, X[:1]), ValueError, r"silu_backward: input must have shape \(2, 3\), got \(1, 3\)"),
    (lambda: fc.sigmoid(X, out=X[:1]), ValueError, r"sigmoid: out must have shape \(2, 3\)"),
    (lambda: nn.LeakyReLU(0), ValueError, r"LeakyReLU: negative_slope is 0, expected a positive number"),
    (lambda: nn.Linear(2, 2, activation="swoosh"), ValueError,
     r"Linear: activation is 'swoosh', expected None, 'relu', .* or 'gelu'"),
])  # fmt: skip
def test_wrong_arguments_are_named(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()


LAYERS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "sigmoid": nn.Sigmoid, "tanh": nn.Tanh,
          "silu": nn.SiLU, "hardswish": nn.Hardswish, "gelu": nn.GELU}  # fmt: skip


@every_name
def test_a_layer_is_its_function_and_goes_back_through_it(name, dtype):
    layer, x, grad = LAYERS[name](), numbers(GAUSSIAN, (4, 5), dtype), numbers(GAUSSIAN, (4, 5), dtype, 1)
    output = layer(x)
    assert_same_bits(output, getattr(fc, name)(x))
    assert_same_bits(layer.backward(grad), backward(name, grad, x, output))
    layer(x)
    assert layer.backward(grad, input_gradient=False) is None


@every_name
@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_an_activation_at_the_end_of_a_layer_is_a_layer_after_it(name, kind):
    def make(**options):
        return nn.Conv1d(3, 4, 2, seed=0, **options) if kind == "conv" else nn.Linear(3, 4, seed=0, **options)

    x = numbers(GAUSSIAN, (2, 5, 3), np.float32)
    ending, apart = make(activation=name), nn.Sequential(make(), LAYERS[name]())
    output = ending(x)
    assert_same_bits(output, apart(x))
    grad = numbers(GAUSSIAN, output.shape, np.float32)
    assert_same_bits(ending.backward(grad), apart.backward(grad))
    assert_same_bits(ending.gradients["weight"], apart.gradients["0.weight"])
    assert_same_bits(ending.eval()(x), output)
