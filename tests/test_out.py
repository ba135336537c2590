"""Errors about `out`: an array that doesn't fit is refused, and on any error nothing is written to it."""

from __future__ import annotations

import functools
import re

import numpy as np
import pytest

import fastconv as fc


def floats(*shape):
    return np.ones(shape, np.float32)


X, W = floats(2, 8, 8, 4), floats(3, 3, 4, 16)
conv = functools.partial(fc.conv2d, X, W)
SHAPE = (2, 6, 6, 16)


def read_only():
    out = np.zeros(SHAPE, np.float32)
    out.flags.writeable = False
    return out


OUT = {
    r"out .*\(2, 6, 6, 16\), got \(2, 6, 6, 15\)": lambda: np.zeros((2, 6, 6, 15), np.float32),
    r"out .*\(2, 6, 6, 16\), got \(6, 6, 16\)": lambda: np.zeros((6, 6, 16), np.float32),
    r"out .*contiguous": lambda: np.zeros((2, 6, 6, 32), np.float32)[..., ::2],
    r"out .*contiguous.*": lambda: np.zeros(SHAPE[::-1], np.float32).T,
    r"out .*(read-only|writ[e]?able)": read_only,
    r"out .*aligned": lambda: np.zeros(4 * 1152 + 1, np.uint8)[1:].view(np.float32).reshape(SHAPE),
}
OUT_KINDS = {
    r"out .*float64.*float32": lambda: np.zeros(SHAPE),
    r"out .*(byte|[<>]f4)": lambda: np.zeros(SHAPE, np.dtype(np.float32).newbyteorder()),
    r"out .*list": lambda: [],
}


@pytest.mark.parametrize("message", OUT)
def test_an_unfit_out_is_a_value_error_and_stays_as_it_was(message):
    out = OUT[message]()
    with pytest.raises(ValueError, match=f"^conv2d: {message}"):
        conv(out=out)
    assert not np.any(out)


@pytest.mark.parametrize("message", OUT_KINDS)
def test_an_out_of_another_kind_is_a_type_error_and_stays_as_it_was(message):
    out = OUT_KINDS[message]()
    with pytest.raises(TypeError, match=f"^conv2d: {message}"):
        conv(out=out)
    assert not np.any(out)


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d", "linear"])
def test_out_that_shares_memory_with_an_input_is_refused(name):
    x, w, b = floats(1, 6, 6, 16), floats(1, 1, 16, 16), floats(16)
    calls = {
        "conv2d": lambda: fc.conv2d(x, w, out=x),
        "max_pool2d": lambda: fc.max_pool2d(x, 1, out=x),
        "avg_pool2d": lambda: fc.avg_pool2d(x, 1, out=x),
        "linear": lambda: fc.linear(x, w[0, 0], out=x),
    }
    with pytest.raises(ValueError, match=f"^{name}: out .*input"):
        calls[name]()
    if name == "conv2d":
        with pytest.raises(ValueError, match=r"^conv2d: out .*(weight|input)"):
            fc.conv2d(floats(1, 1, 16, 16), w, out=w.reshape(1, 1, 16, 16))
        with pytest.raises(ValueError, match=r"^conv2d: out .*(bias|input)"):
            fc.conv2d(floats(1, 1, 1, 16), w, b, out=b.reshape(1, 1, 1, 16))
    assert (x == 1).all()


@pytest.mark.parametrize("name", ["max_pool2d", "avg_pool2d", "linear", "relu"])
def test_other_functions_check_out_too(name):
    calls = {
        "max_pool2d": lambda out: fc.max_pool2d(X, 2, out=out),
        "avg_pool2d": lambda out: fc.avg_pool2d(X, 2, out=out),
        "linear": lambda out: fc.linear(X, W[0, 0], out=out),
        "relu": lambda out: fc.relu(X, out=out),
    }
    expected = calls[name](None)
    with pytest.raises(ValueError, match=rf"^{name}: out .*{re.escape(str(expected.shape))}.*\(3,\)"):
        calls[name](np.zeros(3, np.float32))
    with pytest.raises(TypeError, match=f"^{name}: out .*float64"):
        calls[name](np.zeros(expected.shape))


def test_nothing_is_written_to_out_when_another_argument_is_wrong():
    out = np.full(SHAPE, 99, np.float32)
    wrong = {"stride": 0, "padding": -1, "activation": "swoosh", "algorithm": "magic", "groups": 3, "dilation": 1.5}
    for name, value in wrong.items():
        with pytest.raises((ValueError, TypeError)):
            conv(**{name: value}, out=out)
    with pytest.raises(ValueError):
        fc.conv2d(X, W, floats(3), out=out)
    assert (out == 99).all()
