"""2,000 random geometries in 1-D, 2-D and 3-D, the same ones every time: integers equal the oracle's in all passes.

hypothesis looks for the smallest failure in a few dozen geometries that it draws anew (`test_properties.py`); this goes
through many, of every operation that slides a window.
"""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
from algorithms import assert_right, rounding
from problems import assert_equal

ROUNDS, EACH = 20, 25  # of four operations: 2,000 in all
LARGEST_EXTENT = {1: 40, 2: 11, 3: 6}
EXACT = "direct", "im2col", "grouped", "planar"


class Draw:
    """Random arguments of an operation that slides a window."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)
        self.rank = self.number(1, 3)
        self.spatial = self.numbers(1, LARGEST_EXTENT[self.rank])
        self.kernel = self.numbers(1, 7 if self.rank == 1 else 4)
        self.stride, self.dilation = self.numbers(1, 4), self.numbers(1, 3)
        self.batch = self.number(0, 3)

    def number(self, low, high):
        return int(self.rng.integers(low, high + 1))

    def numbers(self, low, high):
        return tuple(self.number(low, high) for _ in range(self.rank))

    def one_of(self, *values):
        return values[self.number(0, len(values) - 1)]

    def integers(self, *shape):
        return self.rng.integers(-8, 9, shape).astype(self.one_of(np.float32, np.float64))

    def padding(self, *names):
        pairs = tuple((self.number(0, 4), self.number(0, 4)) for _ in range(self.rank))
        return self.one_of(pairs, self.number(0, 3), *names)

    def channels(self):
        """(groups, input channels, output channels)."""
        groups = self.one_of(1, 1, 1, 2, 3, 9)
        return groups, groups * self.one_of(1, 2, 3, 8, 17), groups * self.one_of(1, 2, 5, 16, 25)

    def call(self, name, suffix=""):
        return getattr(fc, f"{name}{self.rank}d{suffix}")


def fitting(start, make):
    """The first `EACH` drawn cases whose output has a pixel; `make` returns None for the others."""
    found, seed = 0, start
    while found < EACH:
        case = make(Draw((start, seed)))
        seed += 1
        if case is not None:
            found += 1
            yield case


def check(found, expected, doubts, *context):
    for array, right, doubt in zip(found, expected, doubts, strict=True):
        assert_right(array, right, doubt, *context)


def fits(shape, kernel, **keywords):
    return min(oracle.Sliding(shape, kernel, **keywords).output) >= 1


@pytest.mark.parametrize("start", range(ROUNDS))
def test_convolutions(start):
    def make(draw):
        groups, channels, filters = draw.channels()
        mode = draw.one_of("zeros", "zeros", "reflect", "replicate", "circular")
        named = ("valid", "same", "same_lower", "full", *(["causal"] if draw.rank == 1 else []))
        keywords = {"stride": draw.stride, "padding": draw.padding(*named), "dilation": draw.dilation}
        shape = (draw.batch, *draw.spatial, channels)
        if not fits(shape, draw.kernel, **keywords):
            return None
        pads = oracle.Sliding(shape, draw.kernel, **keywords).pads
        farthest = {"reflect": -1, "circular": 0}.get(mode)
        if farthest is not None and any(max(p) > e + farthest for p, e in zip(pads, draw.spatial, strict=True)):
            mode = "replicate"
        keywords |= {"groups": groups, "padding_mode": mode}
        x = draw.integers(*shape)
        return draw, x, draw.integers(*draw.kernel, channels // groups, filters).astype(x.dtype), keywords

    for draw, x, w, keywords in fitting(start, make):
        algorithm = draw.one_of(*EXACT, "auto")
        output = draw.call("conv")(x, w, algorithm=algorithm, **keywords)
        grad = draw.integers(*output.shape).astype(x.dtype)
        gradients = draw.call("conv", "_backward")(grad, x, w, algorithm=algorithm, **keywords)
        expected = oracle.conv(x, w, **keywords), *oracle.conv_backward(grad, x, w, **keywords)
        pairs = (x, w), (grad, w), (x, grad)
        doubts = (*((0.0,) * 3 if algorithm in EXACT else (rounding("winograd", *pair) for pair in pairs)), 0.0)
        check((output, *gradients), expected, doubts, x.shape, w.shape, algorithm, keywords)


@pytest.mark.parametrize("start", range(ROUNDS))
def test_transposed_convolutions(start):
    def make(draw):
        groups, channels, filters = draw.channels()
        padding = draw.padding("valid", "same", "same_lower")
        more = tuple(draw.number(0, max(pair) - 1) for pair in zip(draw.stride, draw.dilation, strict=True))
        keywords = {"stride": draw.stride, "padding": padding, "dilation": draw.dilation}
        keywords["output_padding"] = 0 if padding in ("same", "same_lower") else more
        if min(oracle.Transposed(draw.spatial, draw.kernel, **keywords).output) < 1:
            return None
        x = draw.integers(draw.batch, *draw.spatial, channels)
        w = draw.integers(*draw.kernel, filters // groups, channels).astype(x.dtype)
        return draw, x, w, keywords | {"groups": groups}

    for draw, x, w, keywords in fitting(start, make):
        algorithm = draw.one_of(*EXACT, "auto")
        output = draw.call("conv_transpose")(x, w, algorithm=algorithm, **keywords)
        grad = draw.integers(*output.shape).astype(x.dtype)
        gradients = draw.call("conv_transpose", "_backward")(grad, x, w, algorithm=algorithm, **keywords)
        expected = oracle.conv_transpose(x, w, **keywords), *oracle.conv_transpose_backward(grad, x, w, **keywords)
        pairs = (x, w), (grad, w), (x, grad)
        doubts = (*((0.0,) * 3 if algorithm in EXACT else (rounding("winograd", *pair) for pair in pairs)), 0.0)
        check((output, *gradients), expected, doubts, x.shape, w.shape, algorithm, keywords)


def pooling(draw):
    shape = (draw.batch, *draw.spatial, draw.one_of(1, 3, 8, 17, 40))
    stride = draw.one_of(None, draw.stride)
    keywords = {"stride": stride, "padding": draw.padding("valid", "same", "same_lower", "full")}
    keywords |= {"ceil_mode": draw.one_of(False, True), "dilation": draw.dilation}
    if not fits(shape, draw.kernel, **keywords):
        return None
    return draw, draw.integers(*shape), keywords


@pytest.mark.parametrize("start", range(ROUNDS))
def test_maximum_poolings(start):
    for draw, x, keywords in fitting(start, pooling):
        output, indices = draw.call("max_pool")(x, draw.kernel, return_indices=True, **keywords)
        for found, right in zip((output, indices), oracle.max_pool(x, draw.kernel, **keywords), strict=True):
            assert_equal(found, right, x.shape, draw.kernel, keywords)
        grad = draw.integers(*output.shape).astype(x.dtype)
        back = draw.call("max_pool", "_backward")(grad, indices, x.shape, kernel_size=draw.kernel, **keywords)
        assert_equal(back, oracle.max_pool_backward(grad, indices, x.shape), x.shape, draw.kernel, keywords)


@pytest.mark.parametrize("start", range(ROUNDS))
def test_sums_of_windows(start):
    """Average pooling whose divisor is a power of two, so that nothing is rounded."""
    for draw, x, keywords in fitting(start, pooling):
        del keywords["dilation"]
        if not fits(x.shape, draw.kernel, **keywords):
            continue
        keywords["divisor_override"] = draw.one_of(1, 2, 8)
        output = draw.call("avg_pool")(x, draw.kernel, **keywords)
        assert_equal(output, oracle.avg_pool(x, draw.kernel, **keywords), x.shape, draw.kernel, keywords)
        grad = draw.integers(*output.shape).astype(x.dtype)
        back = draw.call("avg_pool", "_backward")(grad, x.shape, draw.kernel, **keywords)
        right = oracle.avg_pool_backward(grad, x.shape, draw.kernel, **keywords)
        assert_equal(back, right, x.shape, draw.kernel, keywords)
