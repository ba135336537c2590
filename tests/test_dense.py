"""The dense layer: `linear` and its gradients at every instruction set, and the softmax and cross-entropy behind it."""

from __future__ import annotations

import math

import numpy as np
import pytest

import fastconv as fc
import oracle
from fastconv import nn
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers, tolerance

# (leading axes of the input, in features, out features)
SHAPES = [
    ((1,), 1, 1),
    ((5,), 1, 17),
    ((7,), 13, 1),
    ((1,), 400, 120),  # a single row
    ((), 84, 10),  # no leading axis at all
    ((3,), 2, 2),
    ((6,), 8, 16),
    ((97,), 33, 65),
    ((145,), 300, 50),
    ((64,), 84, 10),
    ((2, 3, 5), 7, 100),
    ((200,), 260, 33),
    ((29,), 520, 530),
    ((9,), 300, 2600),  # deeper than a block of the transposed weight
    ((0,), 5, 3),
    # few rows
    ((1,), 400, 120),
    ((5,), 33, 17),
    ((2,), 300, 7),
    ((8,), 120, 84),
    # and a weight beyond the second-level cache: two megabytes and a little
    ((1,), 1030, 513),
    ((3,), 2051, 257),
    ((4,), 131, 4101),
    ((8,), 515, 1030),
    ((9,), 515, 1030),
]
every_shape = pytest.mark.parametrize("shape", SHAPES, ids=str)


def drawn(kind, shape, dtype):
    leading, features, filters = shape
    shapes = (*leading, features), (features, filters), (filters,), (*leading, filters)
    return [numbers(kind, one, dtype, which) for which, one in enumerate(shapes)]


@every_shape
def test_linear_of_integers_equals_the_oracle(shape, dtype, isa):
    x, w, b, grad = drawn(INTEGERS, shape, dtype)
    for bias in (None, b):
        for activation in (None, "relu"):
            expected = oracle.linear(x, w, bias, activation=activation)
            assert_equal(fc.linear(x, w, bias, activation=activation), expected, shape, dtype, isa, activation)
    gradients = fc.linear_backward(grad, x, w)
    for name, expected in zip(("input", "weight", "bias"), oracle.linear_backward(grad, x, w), strict=True):
        found = getattr(gradients, name)
        assert_equal(found, expected, shape, dtype, isa, f"gradient of the {name}")
        assert found.dtype == dtype


@every_shape
def test_linear_of_gaussian_numbers_is_within_rounding(shape, dtype, isa):
    x, w, b, grad = drawn(GAUSSIAN, shape, dtype)
    leading, features, filters = shape
    squares = [np.square(array, dtype=np.float64) for array in (x, w, b, grad)]
    bound = tolerance(features + 1, oracle.linear(*squares[:3]), dtype)
    assert_close(fc.linear(x, w, b), oracle.linear(x, w, b), bound, shape, dtype, isa)
    found, expected = fc.linear_backward(grad, x, w), oracle.linear_backward(grad, x, w)
    rows = math.prod(leading)
    sums = zip((filters, rows, rows), oracle.linear_backward(squares[3], squares[0], squares[1]), strict=True)
    for name, result, answer, (terms, square) in zip(("input", "weight", "bias"), found, expected, sums, strict=True):
        assert_close(result, answer, tolerance(terms, square, dtype), shape, dtype, isa, f"gradient of the {name}")


@every_shape
def test_bits_do_not_depend_on_the_number_of_threads(shape, dtype):
    x, w, b, grad = drawn(GAUSSIAN, shape, dtype)
    results = []
    for threads in (1, 2, 3):
        with fc.options(num_threads=threads):
            results.append([fc.linear(x, w, b), *fc.linear_backward(grad, x, w), fc.softmax(x)])
    for several in results[1:]:
        for found, alone in zip(several, results[0], strict=True):
            assert_same_bits(found, alone, shape, dtype)


@pytest.mark.parametrize("wrt", [("input",), ("weight", "bias"), ()], ids=" ".join)
def test_only_the_gradients_asked_for_are_computed(wrt):
    x, w, _, grad = drawn(INTEGERS, ((5,), 7, 3), np.float32)
    gradients, every = fc.linear_backward(grad, x, w, wrt=wrt), fc.linear_backward(grad, x, w)
    assert isinstance(gradients, fc.LinearGradients)
    for name in ("input", "weight", "bias"):
        if name in wrt:
            assert_same_bits(getattr(gradients, name), getattr(every, name))
        else:
            assert getattr(gradients, name) is None


def test_nan_stays_in_its_row(dtype, isa):
    x, w, b, _ = drawn(GAUSSIAN, ((13,), 17, 33), dtype)
    clean = fc.linear(x, w, b)
    x[5, 16] = np.nan
    expected = clean.copy()
    expected[5] = np.nan
    assert_equal(fc.linear(x, w, b), expected, dtype, isa)


SOFTMAX = [((5, 10), -1), ((3, 1), -1), ((2, 7, 3, 5), 1), ((4, 6), 0), ((17,), 0), ((2, 3, 33), -2), ((0, 4), 1)]
every_softmax = pytest.mark.parametrize(("shape", "axis"), SOFTMAX, ids=str)


@every_softmax
def test_softmax_is_within_rounding(shape, axis, dtype, isa):
    x = 3 * numbers(GAUSSIAN, shape, dtype)
    output, eps = fc.softmax(x, axis=axis), np.finfo(dtype).eps
    assert output.dtype == dtype
    # exp(x - max) carries the rounding of x - max, |x| < 16 here; the rest is a few roundings and the sum's
    assert_close(output, oracle.softmax(x.astype(np.float64), axis), eps * (16 + shape[axis]) * 1.0, shape, axis, isa)
    total = np.asarray(output.sum(axis=axis))
    assert_close(total, np.ones(total.shape), 8 * shape[axis] * eps, shape, axis, isa)
    grad = numbers(GAUSSIAN, shape, dtype, 1)
    expected = oracle.softmax_backward(grad.astype(np.float64), output.astype(np.float64), axis)
    found = fc.softmax_backward(grad, output, axis=axis)
    assert_close(found, expected, 8 * eps * (shape[axis] + 4), shape, axis, dtype, isa)


def test_softmax_of_large_numbers_neither_overflows_nor_vanishes(dtype):
    x = np.array([[1000, 1000, -1000], [-2000, -2000, -2000], [0, 1e30, 0]], dtype)
    expected = [[0.5, 0.5, 0], [1 / 3, 1 / 3, 1 / 3], [0, 1, 0]]
    assert_close(fc.softmax(x), np.array(expected), 1e-6)


def test_softmax_takes_minus_infinity_as_a_mask_and_passes_nan_through(dtype):
    output = fc.softmax(np.array([[0, -np.inf, 0], [1, np.nan, 2]], dtype))
    assert_close(output, np.array([[0.5, 0, 0.5], [np.nan, np.nan, np.nan]]), 1e-6)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("shape", [(1, 2), (7, 10), (64, 10), (5, 1), (3, 100)], ids=str)
def test_cross_entropy_and_its_gradient_are_within_rounding(shape, reduction, dtype):
    logits = 3 * numbers(GAUSSIAN, shape, dtype)
    labels = np.random.default_rng(0).integers(0, shape[1], shape[0])
    loss, eps = fc.cross_entropy(logits, labels, reduction=reduction), float(np.finfo(dtype).eps)
    assert isinstance(loss, float)
    expected = oracle.cross_entropy(logits, labels, reduction=reduction)
    assert loss == pytest.approx(expected, rel=4 * eps * (shape[1] + 16), abs=32 * eps * shape[0])
    grad = fc.cross_entropy_backward(logits, labels, reduction=reduction)
    expected = oracle.cross_entropy_backward(logits, labels, reduction=reduction)
    assert grad.dtype == dtype
    assert_close(grad, expected, eps * (16 + shape[1]), shape, reduction, dtype)


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_labels_are_integers_of_any_width(kind):
    logits = numbers(GAUSSIAN, (3, 10), np.float32)
    labels = np.array([2, 0, 9], kind)
    assert fc.cross_entropy(logits, labels) == fc.cross_entropy(logits, np.array([2, 0, 9]))
    assert_same_bits(fc.cross_entropy_backward(logits, labels), fc.cross_entropy_backward(logits, np.array([2, 0, 9])))


def test_cross_entropy_of_large_logits_is_finite(dtype):
    logits = np.array([[1000, 0, 0], [0, -1000, 0]], dtype)
    assert fc.cross_entropy(logits, np.array([0, 0])) == pytest.approx(math.log(2) / 2)
    assert fc.cross_entropy(logits, np.array([1, 1])) == pytest.approx((1000 + 1000 + math.log(2)) / 2)
    assert np.isfinite(fc.cross_entropy_backward(logits, np.array([1, 1]))).all()


def test_cross_entropy_passes_nan_through(dtype):
    assert math.isnan(fc.cross_entropy(np.array([[np.nan, 0], [0, 1]], dtype), np.array([1, 0])))


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
def test_labels_may_be_probabilities_and_smoothed(smoothing, dtype):
    rng = np.random.default_rng(0)
    logits, targets = rng.standard_normal((6, 5)).astype(dtype), rng.dirichlet(np.ones(5), 6)
    mixed = (1 - smoothing) * targets + smoothing / 5
    log_softmax = np.log(oracle.softmax(logits.astype(np.float64), -1))
    eps = float(np.finfo(dtype).eps)
    loss = fc.cross_entropy(logits, targets.astype(dtype), label_smoothing=smoothing)
    assert loss == pytest.approx(-(mixed * log_softmax).sum() / 6, rel=100 * eps)
    found = fc.cross_entropy_backward(logits, targets, label_smoothing=smoothing)
    assert found.dtype == dtype
    assert_close(found, (np.exp(log_softmax) - mixed) / 6, 16 * eps, smoothing)


def test_smoothed_classes_are_the_probabilities_of_their_definition(dtype):
    logits, labels = numbers(GAUSSIAN, (4, 3), dtype), np.array([2, 0, 1, 1])
    probabilities = np.eye(3, dtype=dtype)[labels]
    for smoothing in (0.0, 0.3):
        options = {"label_smoothing": smoothing, "reduction": "sum"}
        one, other = (fc.cross_entropy(logits, which, **options) for which in (labels, probabilities))
        assert one == pytest.approx(other, rel=1e-6)
        one, other = (fc.cross_entropy_backward(logits, which, **options) for which in (labels, probabilities))
        assert_close(one, other, 8 * float(np.finfo(dtype).eps), smoothing)


@pytest.mark.parametrize(("labels", "smoothing", "error", "message"), [
    (np.array([[1, 0]]), 0.0, TypeError, r"labels of shape \(N, classes\) must be floats, got int64"),
    (np.array([[0.7, 0.7]]), 0.0, ValueError, r"must be probabilities, got values from 0.7 and sums from 1.4 to 1.4"),
    (np.array([[1.5, -0.5]]), 0.0, ValueError, "must be probabilities, got values from -0.5"),
    (np.array([0]), 1.0, ValueError, "label_smoothing is 1.0, expected 0 <= label_smoothing < 1"),
    (np.array([0]), math.nan, ValueError, "label_smoothing is nan"),
])  # fmt: skip
def test_what_is_no_probability_is_refused(labels, smoothing, error, message):
    with pytest.raises(error, match=message):
        fc.cross_entropy(np.zeros((1, 2)), labels, label_smoothing=smoothing)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_loss_and_gradient_of_one_call_are_those_of_two(dtype, smoothing):
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((4, 7)).astype(dtype).T
    for labels in (rng.integers(0, 4, 7), np.full((7, 4), 0.25)):
        loss, gradient = nn.cross_entropy(logits, labels, label_smoothing=smoothing)
        assert loss == fc.cross_entropy(logits, labels, label_smoothing=smoothing)
        np.testing.assert_array_equal(gradient, fc.cross_entropy_backward(logits, labels, label_smoothing=smoothing))


def test_a_weight_that_no_cache_holds_meets_few_rows_as_part_of_it_does(isa):
    """Where the last cache has less than 36 MB; elsewhere it is a product like others."""
    x, w = numbers(GAUSSIAN, (11, 2203), np.float32, 0), numbers(GAUSSIAN, (2203, 4102), np.float32, 1)
    found = []
    for threads in (1, 2, 16):
        with fc.options(num_threads=threads):
            found.append(fc.linear(x, w))
    assert all(np.array_equal(one, found[0]) for one in found), isa
    few = slice(4090, 4102)
    np.testing.assert_allclose(found[0][:, few], x.astype(float) @ w[:, few], rtol=0, atol=1e-3)
