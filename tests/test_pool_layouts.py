"""Pooling where vectors don't run over the channels alone: few channels, and inputs whose channels lie in planes."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
from cases import POOL
from problems import GAUSSIAN, INTEGERS, assert_equal, assert_same_bits, numbers


def in_planes(array, memory=np.ascontiguousarray):
    """Return the array with the memory of one whose channels come first."""
    return np.moveaxis(memory(np.moveaxis(array, -1, 1)), 1, -1)


def drawn(seed):
    """A geometry of one to three axes, wide ones among them: (input shape, kernel size, other arguments)."""
    rng = np.random.default_rng(seed)
    rank = int(rng.integers(1, 4))
    spatial = [int(rng.integers(1, 9)) for _ in range(rank - 1)] + [int(rng.integers(1, 90))]
    dilation = [int(rng.integers(1, 3)) for _ in spatial]
    kernel = [int(rng.integers(1, max(2, min(6, (n - 1) // d + 2)))) for n, d in zip(spatial, dilation, strict=True)]
    keywords = {
        "stride": tuple(int(rng.integers(1, 5)) for _ in spatial),
        "padding": tuple(int(rng.integers(0, d * (k - 1) + 1)) for k, d in zip(kernel, dilation, strict=True)),
        "dilation": tuple(dilation),
        "ceil_mode": bool(rng.integers(2)),
    }
    return (int(rng.integers(1, 3)), *spatial, int(rng.integers(1, 11))), tuple(kernel), keywords


def pools(rank):
    return getattr(fc, f"max_pool{rank}d"), getattr(fc, f"avg_pool{rank}d"), getattr(fc, f"avg_pool{rank}d_backward")


@pytest.mark.parametrize("seed", range(60))
def test_few_channels_equal_the_oracle(seed, dtype, isa):
    shape, kernel, keywords = drawn(seed)
    maxima, average, spread = pools(len(kernel))
    x = numbers(INTEGERS, shape, dtype, seed)
    expected, places = oracle.max_pool(x, kernel, **keywords)
    for view in (x, in_planes(x)):
        output, indices = maxima(view, kernel, **keywords, return_indices=True)
        assert_equal(output, expected, shape, kernel, keywords, isa)
        assert_equal(indices, places, shape, kernel, keywords, isa, "indices")
        assert_equal(maxima(view, kernel, **keywords), expected, shape, kernel, keywords, isa, "no indices")
        total = average(view, kernel, **keywords, divisor_override=1)
        assert_equal(total, oracle.avg_pool(x, kernel, **keywords, divisor_override=1), shape, kernel, keywords, isa)
    grad = numbers(INTEGERS, expected.shape, dtype, seed)
    for rule in ({"divisor_override": 1}, {"count_include_pad": False}):
        right = oracle.avg_pool_backward(grad, shape, kernel, **keywords, **rule)
        found = spread(grad, shape, kernel, **keywords, **rule)
        bound = 0 if "divisor_override" in rule else 64 * np.finfo(dtype).eps * 8
        assert np.abs(found - right).max(initial=0) <= bound, (shape, kernel, keywords, rule, isa)


@pytest.mark.parametrize("seed", range(20))
def test_few_channels_keep_nan_and_infinity_apart(seed, dtype, isa):
    shape, kernel, keywords = drawn(seed)
    x = numbers(INTEGERS, shape, dtype, seed)
    x[x == 1], x[x >= 7], x[x <= -5] = np.nan, np.inf, -np.inf
    expected, places = oracle.max_pool(x, kernel, **keywords)
    for view in (x, in_planes(x)):
        output, indices = pools(len(kernel))[0](view, kernel, **keywords, return_indices=True)
        assert_equal(output, expected, shape, kernel, keywords, isa)
        assert_equal(indices, places, shape, kernel, keywords, isa, "indices")


@pytest.mark.parametrize("case", POOL, ids=str)
def test_planes_give_the_bits_of_pixels(case, dtype, isa):
    x = numbers(GAUSSIAN, case.input, dtype)
    maxima, average, _ = pools(case.rank)
    output, indices = maxima(x, case.kernel, **case.keywords, return_indices=True)
    padded = np.zeros((*x.shape[:-2], x.shape[-2] + 3, x.shape[-1]), dtype)
    padded[..., :-3, :] = x
    for view in (in_planes(x), in_planes(padded)[..., :-3, :], in_planes(x, np.asfortranarray)):
        found = maxima(view, case.kernel, **case.keywords, return_indices=True)
        assert_same_bits(found[0], output, case, dtype, isa)
        assert_equal(found[1], indices, case, dtype, isa)
        assert_same_bits(average(view, case.kernel, **case.keywords), average(x, case.kernel, **case.keywords), case)


def test_large_planes_are_cut_and_give_the_same_bits_with_any_number_of_threads(dtype):
    for shape in ((2, 70, 300, 40), (1, 300, 700, 3), (1, 2, 5000, 17)):
        x = numbers(GAUSSIAN, shape, dtype)
        whole = fc.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
        means = fc.avg_pool2d(x, 3, stride=1, padding=1)
        for threads in (1, 2, 3, 8):
            with fc.options(num_threads=threads):
                found = fc.max_pool2d(in_planes(x), 3, stride=2, padding=1, return_indices=True)
                assert_same_bits(found[0], whole[0], shape, threads)
                assert_equal(found[1], whole[1], shape, threads)
                assert_same_bits(fc.avg_pool2d(in_planes(x), 3, stride=1, padding=1), means, shape, threads)


def test_adaptive_maxima_of_planes(dtype, isa):
    for shape, size in (((2, 11, 13, 20), (4, 5)), ((1, 40, 90, 3), (7, 11)), ((1, 3, 4, 5), (6, 9))):
        x = numbers(GAUSSIAN, shape, dtype)
        output, indices = fc.adaptive_max_pool2d(x, size, return_indices=True)
        found = fc.adaptive_max_pool2d(in_planes(x), size, return_indices=True)
        assert_same_bits(found[0], output, shape, size, isa)
        assert_equal(found[1], indices, shape, size, isa)


def test_indices_of_maxima_may_have_any_strides(dtype):
    x = numbers(GAUSSIAN, (2, 9, 12, 20), dtype)
    output, indices = fc.max_pool2d(x, 3, stride=2, padding=1, return_indices=True)
    keywords = {"kernel_size": 3, "stride": 2, "padding": 1}
    expected = fc.max_pool2d_backward(output, indices, x.shape, **keywords)
    for view in (in_planes(indices), np.repeat(indices, 2, axis=-1)[..., ::2]):
        assert_same_bits(fc.max_pool2d_backward(output, view, x.shape, **keywords), expected)


def test_planes_with_odd_strides_are_read_where_they_are(dtype, isa):
    x = numbers(INTEGERS, (2, 9, 21, 20), dtype)
    planes = in_planes(x)
    one = x[:1, ..., :1]
    broadcast = np.broadcast_to(in_planes(one), (2, 9, 21, 20))
    shifted = np.zeros(x.nbytes + 1, np.uint8)[1:].view(dtype).reshape(2, 20, 9, 21)
    shifted[...] = np.moveaxis(x, -1, 1)
    every_other = np.repeat(planes, 2, axis=1)[:, ::2]
    views = {
        "channels from the last one on": (planes[..., ::-1], x[..., ::-1]),
        "lines from the last one on": (planes[:, ::-1], x[:, ::-1]),
        "pixels from the last one on": (planes[:, :, ::-1], x[:, :, ::-1]),
        "every third channel": (planes[..., ::3], x[..., ::3]),
        "one channel for all": (broadcast, np.ascontiguousarray(broadcast)),
        "every other line": (in_planes(every_other), x),
        "not aligned": (np.moveaxis(shifted, 1, -1), x),
        "one image": (planes[0], x[0]),
        "one pixel a line": (planes[:, :, 3:4], x[:, :, 3:4]),
        "one line": (planes[:, 2:3], x[:, 2:3]),
        "no image": (planes[:0], x[:0]),
    }
    for name, (view, same) in views.items():
        dense = np.ascontiguousarray(same)
        for keywords in ({"kernel_size": 3, "stride": 2, "padding": 1}, {"kernel_size": 1, "stride": 1, "padding": 0}):
            expected = fc.max_pool2d(dense, **keywords, return_indices=True)
            found = fc.max_pool2d(view, **keywords, return_indices=True)
            assert_equal(found[0], expected[0], name, keywords, isa)
            assert_equal(found[1], expected[1], name, keywords, isa)
            assert_same_bits(fc.avg_pool2d(view, **keywords), fc.avg_pool2d(dense, **keywords), name, keywords, isa)
