"""Denormals count as zero inside a call, where they would slow it down, and nowhere else."""

from __future__ import annotations

import threading

import numpy as np
import pytest

import fastconv as fc
from algorithms import skip_unless_supported
from fastconv import nn

SMALL, TINY = {np.float32: 1e-20, np.float64: 1e-160}, {np.float32: 1e-40, np.float64: 1e-310}
IMAGE, PLANE = (3, 18, 17, 12), (3, 9, 8, 12)


def filled(shape, value, dtype):
    """Of both signs: relu would hide a negative one."""
    array = np.full(shape, value, dtype)
    array[..., ::3] *= -1
    return array


def computed_by_numpy(dtype):
    """Whether NumPy, on this thread, computes with denormals."""
    tiny = np.full(100, TINY[dtype], dtype)
    return bool((tiny + tiny > tiny).all() and (np.full(100, SMALL[dtype], dtype) ** 2 > 0).all())


CALLS = {
    "conv2d": lambda x, w: fc.conv2d(x, w, padding=1),
    "grouped": lambda x, w: fc.conv2d(x, w[:, :, :4], padding=1, groups=3),
    "depthwise": lambda x, w: fc.conv2d(x, w[:, :, :1], padding=1, groups=12),
    "linear": lambda x, w: fc.linear(x, w[0, 0]),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_denormal_inputs_weights_and_products_are_zero(isa, call, dtype):
    one, small, tiny = (filled((3, 3, 12, 12), value, dtype) for value in (1, SMALL[dtype], TINY[dtype]))
    assert call(filled(IMAGE, 1, dtype), one).any()
    assert not call(filled(IMAGE, TINY[dtype], dtype), one).any()
    assert not call(filled(IMAGE, 1e9, dtype), tiny).any()
    assert not call(filled(IMAGE, SMALL[dtype], dtype), small).any()


def weight(dtype, shape=(3, 3, 12, 12)):
    return np.ones(shape, dtype)


OPERATIONS = {
    "conv_transpose2d": lambda x: fc.conv_transpose2d(x, weight(x.dtype), stride=2),
    "conv2d, circular": lambda x: fc.conv2d(x, weight(x.dtype), padding=1, padding_mode="circular"),
    "linear, few rows": lambda x: fc.linear(x[0, :5].reshape(5, 17 * 12), weight(x.dtype, (17 * 12, 2600))),
    "linear_backward, few rows": lambda x: (
        fc.linear_backward(
            np.ones((5, 2600), x.dtype), x[0, :5].reshape(5, 17 * 12), weight(x.dtype, (17 * 12, 2600)), wrt=["weight"]
        ).weight
    ),
    "batch_norm": lambda x: fc.batch_norm(
        x, running_mean=np.zeros(12, x.dtype), running_var=np.ones(12, x.dtype), training=False
    ),
    "resize, linear": lambda x: fc.resize(x, scale=1.5, mode="linear"),
    "silu": fc.silu,
    "tanh": fc.tanh,
    "residual sum": nn.Residual(nn.Sequential()),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_denormals_are_zero_in_every_operation(name, isa, dtype):
    x = filled(IMAGE, 1, dtype)
    assert OPERATIONS[name](x).any()
    assert not OPERATIONS[name](x * dtype(TINY[dtype])).any(), name


@pytest.mark.parametrize("groups", [1, 3, 12])
def test_denormal_gradients_are_zero(isa, algorithm, groups, dtype):
    x, w = filled(IMAGE, 1, dtype), filled((3, 3, 12 // groups, 12), 1, dtype)
    skip_unless_supported(algorithm, x, w, padding=1, groups=groups)
    gradients = fc.conv2d_backward(
        filled(IMAGE, TINY[dtype], dtype), x, w, padding=1, groups=groups, algorithm=algorithm
    )
    assert not any(gradient.any() for gradient in gradients)


def test_relu_of_a_denormal_is_zero(isa, dtype):
    x = filled(IMAGE, TINY[dtype], dtype)
    assert not fc.relu(x).any()
    assert not fc.conv2d(x, np.eye(12, dtype=dtype).reshape(1, 1, 12, 12), activation="relu").any()


def test_averages_of_denormals_and_their_gradients_are_zero(isa, dtype):
    assert not fc.avg_pool2d(filled(IMAGE, TINY[dtype], dtype), 3).any()
    assert not fc.avg_pool2d_backward(filled(PLANE, TINY[dtype], dtype), IMAGE, 2).any()


def test_denormals_are_zero_on_all_threads(dtype):
    x, w = filled((8, 64, 64, 16), TINY[dtype], dtype), filled((3, 3, 16, 16), 1, dtype)
    with fc.options(num_threads=3):
        assert not fc.conv2d(x, w).any()


@pytest.mark.parametrize("threads", [1, 2])
def test_numpy_computes_with_denormals_before_and_after(isa, threads, dtype):
    x, w = filled((4, 64, 64, 16), TINY[dtype], dtype), filled((3, 3, 16, 16), 1, dtype)
    elsewhere = []

    def work():
        elsewhere.append(computed_by_numpy(dtype))
        fc.conv2d(x, w)
        elsewhere.append(computed_by_numpy(dtype))

    with fc.options(num_threads=threads):
        assert computed_by_numpy(dtype)
        fc.conv2d(x, w)
        assert computed_by_numpy(dtype)
        thread = threading.Thread(target=work)
        thread.start()
        fc.conv2d_backward(fc.conv2d(x, w), x, w)
        assert computed_by_numpy(dtype)
        thread.join()
        assert elsewhere == [True, True]
        assert computed_by_numpy(dtype)
