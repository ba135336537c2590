"""Pooling at every instruction set, over the named geometries, against the oracle."""

from __future__ import annotations

import functools

import numpy as np
import pytest

import fastconv as fc
import oracle
from cases import POOL
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers, slope

every_case = pytest.mark.parametrize("case", POOL, ids=str)
RULES = [{}, {"count_include_pad": False}, {"divisor_override": 3}]
every_rule = pytest.mark.parametrize("rule", RULES, ids=lambda rule: " ".join(rule) or "default")


def function(kind, case, suffix=""):
    return getattr(fc, f"{kind}_pool{case.rank}d{suffix}")


@functools.cache
def maxima(case, kind, dtype):
    x = numbers(kind, case.input, dtype)
    return x, *oracle.max_pool(x, case.kernel, **case.keywords)


@every_case
@pytest.mark.parametrize("kind", [INTEGERS, GAUSSIAN])  # integers have many ties
def test_maxima_and_indices_equal_the_oracle(case, kind, dtype, isa):
    x, expected, places = maxima(case, kind, dtype)
    alone = function("max", case)(x, case.kernel, **case.keywords)
    output, indices = function("max", case)(x, case.kernel, **case.keywords, return_indices=True)
    assert_equal(output, expected, case, dtype, isa)
    assert_equal(indices, places, case, dtype, isa, "indices")
    assert_same_bits(alone, output, case, dtype, isa, "without indices")
    assert output.dtype == dtype and indices.dtype == np.int64


@every_case
def test_gradients_of_maxima_equal_the_oracle(case, dtype, isa):
    _, expected, indices = maxima(case, INTEGERS, dtype)
    grad_output = numbers(INTEGERS, expected.shape, dtype, "grad")
    keywords = {"kernel_size": case.kernel, **case.keywords}
    found = function("max", case, "_backward")(grad_output, indices, case.input, **keywords)
    assert_equal(found, oracle.max_pool_backward(grad_output, indices, case.input), case, dtype, isa)
    assert found.dtype == dtype


@every_case
def test_the_first_nan_of_a_window_wins_and_infinity_is_a_number(case, dtype, isa):
    x = numbers(INTEGERS, case.input, dtype)
    x[x == 1], x[x >= 7], x[x <= -5] = np.nan, np.inf, -np.inf
    output, indices = function("max", case)(x, case.kernel, **case.keywords, return_indices=True)
    expected, places = oracle.max_pool(x, case.kernel, **case.keywords)
    assert_equal(output, expected, case, dtype, isa)
    assert_equal(indices, places, case, dtype, isa, "indices")
    assert_equal(function("max", case)(x, case.kernel, **case.keywords), expected, case, dtype, isa, "no indices")


def test_a_window_of_minus_infinity_has_its_first_position_as_index(isa):
    x = np.full((1, 4, 4, 9), -np.inf, np.float32)
    output, indices = fc.max_pool2d(x, 2, return_indices=True)
    assert_equal(output, np.full((1, 2, 2, 9), -np.inf))
    assert_equal(indices[0, ..., 0], np.array([[0, 2], [8, 10]]))


def test_a_window_of_padding_alone_is_minus_infinity_and_its_gradient_goes_nowhere(isa):
    x = np.ones((1, 2, 2, 5), np.float32)
    output, indices = fc.max_pool2d(x, 1, padding=1, return_indices=True)
    border = np.pad(np.zeros((2, 2), bool), 1, constant_values=True)
    assert (output[0, border] == -np.inf).all() and (indices[0, border] == -1).all()
    grad = fc.max_pool2d_backward(np.full_like(output, 3), indices, x.shape, kernel_size=1, padding=1)
    assert_equal(grad, np.full(x.shape, 3.0))


@every_case
@every_rule
def test_averages_are_within_rounding(case, rule, dtype, isa):
    x, keywords = numbers(GAUSSIAN, case.input, dtype), {**case.keywords, **rule}
    expected = oracle.avg_pool(x, case.kernel, **keywords)
    # all roundings together, those of the sum and that of the division, are no more than one per term of the sum
    terms = np.prod(oracle.per_axis(case.kernel, case.rank)) + 2
    bound = terms * np.finfo(dtype).eps * oracle.avg_pool(np.abs(x), case.kernel, **keywords)
    output = function("avg", case)(x, case.kernel, **keywords)
    assert_close(output, expected, bound, case, rule, dtype, isa)
    assert output.dtype == dtype


@every_case
@every_rule
def test_gradients_of_averages_are_within_rounding(case, rule, dtype, isa):
    keywords = {**case.keywords, **rule}
    shape = oracle.avg_pool(np.zeros(case.input), case.kernel, **keywords).shape
    grad_output = numbers(GAUSSIAN, shape, dtype)
    expected = oracle.avg_pool_backward(grad_output, case.input, case.kernel, **keywords)
    terms = np.prod(oracle.per_axis(case.kernel, case.rank)) + 2
    bound = (
        terms * np.finfo(dtype).eps * oracle.avg_pool_backward(np.abs(grad_output), case.input, case.kernel, **keywords)
    )
    found = function("avg", case, "_backward")(grad_output, case.input, case.kernel, **keywords)
    assert_close(found, expected, bound, case, rule, dtype, isa)
    assert found.dtype == dtype


@every_case
def test_sums_of_integers_are_exact(case, dtype, isa):
    x, keywords = numbers(INTEGERS, case.input, dtype), {**case.keywords, "divisor_override": 1}
    expected = oracle.avg_pool(x, case.kernel, **keywords)
    assert_equal(function("avg", case)(x, case.kernel, **keywords), expected, case, dtype, isa)
    grad = numbers(INTEGERS, expected.shape, dtype)
    found = function("avg", case, "_backward")(grad, case.input, case.kernel, **keywords)
    assert_equal(found, oracle.avg_pool_backward(grad, case.input, case.kernel, **keywords), case, dtype, isa)


@every_case
def test_nan_and_infinity_reach_exactly_the_averages_that_see_them(case, isa):
    x, keywords = numbers(GAUSSIAN, case.input, np.float32), case.keywords
    clean = function("avg", case)(x, case.kernel, **keywords)
    for value in (np.nan, np.inf):
        if x.size:
            x.flat[x.size // 2] = value
        expected = oracle.avg_pool(x, case.kernel, **keywords)
        output = function("avg", case)(x, case.kernel, **keywords)
        assert_equal(output, np.where(np.isfinite(expected), clean, expected), case, value, isa)


@every_case
def test_bits_do_not_depend_on_the_number_of_threads(case, dtype):
    x, keywords = numbers(GAUSSIAN, case.input, dtype), case.keywords
    results = []
    for threads in (1, 2, 3, 8):
        with fc.options(num_threads=threads):
            output, indices = function("max", case)(x, case.kernel, **case.keywords, return_indices=True)
            average = function("avg", case)(x, case.kernel, **keywords)
            scatter = function("max", case, "_backward")
            spread = function("avg", case, "_backward")
            results.append([
                output,
                indices,
                scatter(output, indices, case.input, kernel_size=case.kernel, **case.keywords),
                average,
                spread(average, case.input, case.kernel, **keywords),
            ])  # fmt: skip
    for several in results[1:]:
        for found, alone in zip(several, results[0], strict=True):
            assert_same_bits(found, alone, case, dtype)


GLOBAL = [
    (2, 7, 3),
    (3, 5, 6, 17),
    (1, 13, 11, 1),
    (2, 3, 4, 5, 33),
    (1, 1, 1, 65),
    (1, 40, 41, 40),
    (0, 4, 4, 3),
    (2, 4, 4, 0),
]


@pytest.mark.parametrize("shape", GLOBAL, ids=str)
def test_global_average_is_the_mean_over_space(shape, dtype, isa):
    x, pixels = numbers(GAUSSIAN, shape, dtype), np.prod(shape[1:-1])
    axes = tuple(range(1, len(shape) - 1))
    expected = x.astype(np.float64).mean(axis=axes)
    bound = 8 * np.finfo(dtype).eps * np.sqrt(pixels) * np.abs(x).mean(axis=axes, dtype=np.float64)
    assert_close(fc.global_avg_pool(x), expected, bound, shape, dtype, isa)
    planes = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, -1, 1)), 1, -1)
    assert_close(fc.global_avg_pool(planes), expected, bound, shape, dtype, isa, "channels first")
    grad = numbers(GAUSSIAN, (shape[0], shape[-1]), dtype)
    expected = np.broadcast_to(np.expand_dims(grad / dtype(pixels), axes), shape)
    assert_close(fc.global_avg_pool_backward(grad, shape), expected, np.finfo(dtype).eps * np.abs(expected), shape, isa)


@pytest.mark.parametrize("shape", GLOBAL, ids=str)
def test_global_maximum_is_a_window_over_everything(shape, dtype, isa):
    x = numbers(INTEGERS, shape, dtype)
    x[x == -8] = np.nan
    expected, places = (a.reshape(shape[0], shape[-1]) for a in oracle.max_pool(x, shape[1:-1]))
    output, indices = fc.global_max_pool(x, return_indices=True)
    assert_equal(output, expected, shape, dtype, isa)
    assert_equal(indices, places, shape, dtype, isa)
    assert_equal(fc.global_max_pool(x), expected, shape, dtype, isa)
    grad = numbers(INTEGERS, expected.shape, dtype)
    expected = oracle.max_pool_backward(grad, places, shape)
    assert_equal(fc.global_max_pool_backward(grad, indices, shape), expected, shape, dtype, isa)


@pytest.mark.parametrize("dilation, padding", [(1, 0), (2, 1), ((3, 1), ((2, 0), (0, 3)))], ids=str)
def test_gradients_agree_with_finite_differences(dilation, padding, isa):
    # no two numbers are nearer than one: a step of a quarter changes no maximum
    x = np.random.default_rng(0).permutation(np.arange(60.0)).reshape(1, 5, 6, 2)
    keywords = {"stride": (1, 2), "padding": padding, "dilation": dilation}
    output, indices = fc.max_pool2d(x, 2, **keywords, return_indices=True)
    weights = numbers(GAUSSIAN, output.shape, np.float64)
    found = fc.max_pool2d_backward(weights, indices, x.shape, kernel_size=2, **keywords)
    expected = slope(lambda x: (np.maximum(fc.max_pool2d(x, 2, **keywords), -99) * weights).sum(), x, 0.25)
    assert_close(found, expected, 1e-11)
    for rule in RULES:
        found = fc.avg_pool2d_backward(weights, x.shape, 2, **keywords, **rule)
        average = functools.partial(fc.avg_pool2d, kernel_size=2, **keywords, **rule)
        assert_close(found, slope(lambda x, pool=average: (pool(x) * weights).sum(), x), 1e-11, rule)


CHANNELS = (1, 2, 3, 5, 8, 9, 17, 64, 100)
SLIDES = [(2, 2, 0), (3, 2, 1), (3, 1, 1), (2, 3, 1), ((4, 3), (1, 2), 1)]  # kernel, stride, padding


@pytest.mark.parametrize("channels", CHANNELS)
@pytest.mark.parametrize("kernel, stride, padding", SLIDES, ids=str)
def test_every_number_of_channels_pools_alike(channels, kernel, stride, padding, dtype, isa):
    """Vectors, their first lanes and joined windows against the oracle, forward and back; integers are exact."""
    case = channels, kernel, stride, padding, dtype, isa
    x, keywords = numbers(INTEGERS, (2, 9, 11, channels), dtype), {"stride": stride, "padding": padding}
    expected, places = oracle.max_pool(x, kernel, **keywords)
    output, indices = fc.max_pool2d(x, kernel, **keywords, return_indices=True)
    assert_equal(output, expected, case)
    assert_equal(indices, places, case)
    assert_same_bits(fc.max_pool2d(x, kernel, **keywords), output, case)
    grad = numbers(INTEGERS, expected.shape, dtype, "grad")
    back = fc.max_pool2d_backward(grad, indices, x.shape, kernel_size=kernel, **keywords)
    assert_equal(back, oracle.max_pool_backward(grad, places, x.shape), case)
    keywords["divisor_override"] = 1
    assert_equal(fc.avg_pool2d(x, kernel, **keywords), oracle.avg_pool(x, kernel, **keywords), case)
    back = fc.avg_pool2d_backward(grad, x.shape, kernel, **keywords)
    assert_equal(back, oracle.avg_pool_backward(grad, x.shape, kernel, **keywords), case)


@pytest.mark.parametrize("channels", (3, 64))
@pytest.mark.parametrize("kernel, stride, padding", SLIDES, ids=str)
def test_indices_that_no_forward_pass_made_are_taken_as_they_are(channels, kernel, stride, padding, dtype, isa):
    shape = (2, 9, 11, channels)
    pooled = oracle.avg_pool(np.zeros(shape), kernel, stride=stride, padding=padding).shape
    grad = numbers(INTEGERS, pooled, dtype)
    anywhere = np.random.default_rng(1).integers(-1, 9 * 11, pooled)
    keywords = {"kernel_size": kernel, "stride": stride, "padding": padding}
    for indices in (anywhere, np.zeros(pooled, np.int64), np.full(pooled, 98), np.full(pooled, -1)):
        found = fc.max_pool2d_backward(grad, indices, shape, **keywords)
        assert_equal(found, oracle.max_pool_backward(grad, indices, shape), channels, keywords, isa)
    for wrong in (99, -2, 2**31, 2**32 + 5, -(2**32) + 5, -(2**63), 2**63 - 1):
        indices = anywhere.copy()
        indices[1, -1, -1, -1] = wrong
        with pytest.raises(ValueError, match=f"got {wrong}$"):
            fc.max_pool2d_backward(grad, indices, shape, **keywords)


@pytest.mark.parametrize("channels", (7, 64))  # lines that begin anywhere, and at a line of the cache
def test_targets_written_past_the_caches_are_the_same(channels, dtype, isa):
    """Which they are from four MiB on: the batch is that large, the images alone aren't."""
    x, keywords = numbers(GAUSSIAN, (12, 60, 1900 // channels, channels), dtype), {"stride": 1, "padding": 1}

    def passes(x):
        output, indices = fc.max_pool2d(x, 3, **keywords, return_indices=True)
        back = fc.max_pool2d_backward(output, indices, x.shape, kernel_size=3, **keywords)
        return output, indices, back, fc.avg_pool2d(x, 3, **keywords), fc.avg_pool2d_backward(x, x.shape, 3, **keywords)

    alone = [passes(x[image : image + 1]) for image in range(len(x))]
    for found, parts in zip(passes(x), zip(*alone, strict=True), strict=True):
        assert_same_bits(found, np.concatenate(parts), channels, dtype, isa)


def test_a_window_nearly_all_padding_costs_only_what_it_meets():
    size = 2**28
    x = np.arange(6, dtype=np.float32).reshape(1, 3, 2)
    output = fc.avg_pool1d(x, size, stride=1, padding=size // 2 - 1)
    assert_equal(output, np.full((1, 2, 2), 1 / size) * x.sum(1))
    keywords = {"stride": 1, "padding": size // 2 - 1, "count_include_pad": False}
    assert_equal(fc.avg_pool1d(x, size, **keywords), np.tile(x.mean(1), (1, 2, 1)))
    assert_equal(fc.max_pool1d(x, size, stride=1, padding=size // 2 - 1), np.tile(x.max(1), (1, 2, 1)))
    found = fc.avg_pool1d_backward(np.ones((1, 2, 2), np.float32), x.shape, size, **keywords)
    assert_close(found, np.full(x.shape, 2 / 3), 1e-6)


def test_named_paddings_hold_for_pooling_too():
    x = numbers(INTEGERS, (1, 7, 8, 3), np.float32)
    expected, _ = oracle.max_pool(x, 3, stride=2, padding="same")
    assert_equal(fc.max_pool2d(x, 3, stride=2, padding="same"), expected)
    expected = oracle.avg_pool(x, 2, padding="same", count_include_pad=False)
    assert_close(fc.avg_pool2d(x, 2, padding="same", count_include_pad=False), expected, 1e-6)


def test_pooling_agrees_with_torch(isa):
    """Our oracle reads torch's rules from its documents; where torch is installed, ask it."""
    torch = pytest.importorskip("torch")
    x = numbers(INTEGERS, (2, 9, 11, 3), np.float64)
    nchw = torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))
    for kernel, stride, padding, ceil in (
        (3, 2, 1, True),
        (3, 2, 0, True),
        (2, 3, 1, True),
        ((3, 2), (2, 1), (1, 0), False),
    ):
        keywords = {"stride": stride, "padding": padding, "ceil_mode": ceil}
        output, indices = fc.max_pool2d(x, kernel, **keywords, return_indices=True)
        expected, places = torch.nn.functional.max_pool2d(nchw, kernel, **keywords, return_indices=True)
        assert_equal(output, expected.numpy().transpose(0, 2, 3, 1), keywords, isa)
        assert_equal(indices, places.numpy().transpose(0, 2, 3, 1), keywords, isa)
        for rule in RULES:
            expected = torch.nn.functional.avg_pool2d(nchw, kernel, **keywords, **rule).numpy().transpose(0, 2, 3, 1)
            assert_close(fc.avg_pool2d(x, kernel, **keywords, **rule), expected, 1e-12, keywords, rule, isa)
