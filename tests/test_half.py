"""float16 and bfloat16: the results are float32's, rounded once; and nothing else becomes possible by the way."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import fastconv as fc
from problems import GAUSSIAN, numbers


@pytest.fixture(params=["float16", "bfloat16"])
def half(request):
    if request.param == "float16":
        return np.dtype(np.float16)
    return np.dtype(pytest.importorskip("ml_dtypes").bfloat16)


def drawn(shape, half):
    return numbers(GAUSSIAN, shape, np.float32).astype(half)


X, W, GRAD, M = (2, 8, 8, 4), (3, 3, 4, 5), (2, 6, 6, 5), (4, 5)
POOLED, INDICES = (2, 4, 4, 4), np.arange(2 * 4 * 4 * 4).reshape(2, 4, 4, 4) % 64

# Shapes of the arrays that become half precision, and the call.
CALLS = {
    "conv2d": ([X, W, W[-1:]], lambda x, w, b: fc.conv2d(x, w, b, activation="relu")),
    "conv1d": ([X[1:], W[1:]], fc.conv1d),
    "conv3d": ([(1, *X), (1, *W)], fc.conv3d),
    "conv2d_backward": ([GRAD, X, W], fc.conv2d_backward),
    "conv2d_backward of the weight": ([GRAD, X, W], lambda g, x, w: fc.conv2d_backward(g, x, w, wrt="weight")),
    "linear": ([X, M, M[-1:]], fc.linear),
    "linear_backward": ([(3, 5), (3, 4), M], fc.linear_backward),
    "relu": ([X], fc.relu),
    "relu_backward": ([X, X], fc.relu_backward),
    "im2col": ([X], lambda x: fc.im2col(x, 3)),
    "col2im": ([(2, 6, 6, 36)], lambda p: fc.col2im(p, X, 3)),
    "max_pool2d": ([X], lambda x: fc.max_pool2d(x, 2)),
    "max_pool2d with indices": ([X], lambda x: fc.max_pool2d(x, 2, return_indices=True)),
    "max_pool2d_backward": ([POOLED], lambda g: fc.max_pool2d_backward(g, INDICES, X, kernel_size=2)),
    "avg_pool2d": ([X], lambda x: fc.avg_pool2d(x, 3, padding=1)),
    "avg_pool2d_backward": ([POOLED], lambda g: fc.avg_pool2d_backward(g, X, 2)),
    "lp_pool2d": ([X], lambda x: fc.lp_pool2d(x, 2)),
    "lp_pool2d_backward": ([POOLED, X, POOLED], lambda g, x, y: fc.lp_pool2d_backward(g, x, y, 2)),
    "adaptive_avg_pool2d": ([X], lambda x: fc.adaptive_avg_pool2d(x, 3)),
    "adaptive_avg_pool2d_backward": ([POOLED], lambda g: fc.adaptive_avg_pool2d_backward(g, X)),
    "adaptive_max_pool2d": ([X], lambda x: fc.adaptive_max_pool2d(x, 3, return_indices=True)),
    "adaptive_max_pool2d_backward": ([POOLED], lambda g: fc.adaptive_max_pool2d_backward(g, INDICES, X)),
    "max_unpool2d": ([POOLED], lambda y: fc.max_unpool2d(y, INDICES, 2)),
    "max_unpool2d_backward": ([X], lambda g: fc.max_unpool2d_backward(g, INDICES)),
    "global_avg_pool": ([X], fc.global_avg_pool),
    "global_avg_pool_backward": ([(2, 4)], lambda g: fc.global_avg_pool_backward(g, X)),
    "global_max_pool": ([X], lambda x: fc.global_max_pool(x, return_indices=True)),
    "global_max_pool_backward": ([(2, 4)], lambda g: fc.global_max_pool_backward(g, INDICES[:, 0, 0], X)),
    "resize": ([X], lambda x: fc.resize(x, size=(5, 11), mode="linear")),
    "resize_backward": ([X], lambda g: fc.resize_backward(g, (2, 3, 4, 4), mode="linear")),
}


def parts(result):
    return result if isinstance(result, tuple) else (result,)


@pytest.mark.parametrize("name", CALLS)
def test_results_are_those_of_float32_rounded_once(name, half):
    shapes, call = CALLS[name]
    arrays = [drawn(shape, half) for shape in shapes]
    found, wide = call(*arrays), call(*(array.astype(np.float32) for array in arrays))
    assert type(found) is type(wide)
    for one, other in zip(parts(found), parts(wide), strict=True):
        if other is None or other.dtype == np.int64:
            assert np.array_equal(one, other) if other is not None else one is None
            continue
        assert one.dtype == half, name
        np.testing.assert_array_equal(one.astype(np.float32), other.astype(half).astype(np.float32))


@pytest.mark.parametrize("name", ["conv2d", "max_pool2d", "avg_pool2d", "lp_pool2d", "linear", "relu"])
def test_out_is_filled_and_returned(name, half):
    x = drawn(X, half)
    calls = {
        "conv2d": lambda out=None: fc.conv2d(x, drawn(W, half), out=out),
        "max_pool2d": lambda out=None: fc.max_pool2d(x, 2, out=out),
        "avg_pool2d": lambda out=None: fc.avg_pool2d(x, 2, out=out),
        "lp_pool2d": lambda out=None: fc.lp_pool2d(x, 2, out=out),
        "linear": lambda out=None: fc.linear(x, drawn(M, half), out=out),
        "relu": lambda out=None: fc.relu(x, out=out),
    }
    expected = calls[name]()
    out = np.zeros_like(expected)
    assert calls[name](out) is out
    np.testing.assert_array_equal(out.astype(np.float32), expected.astype(np.float32))
    with pytest.raises(ValueError, match=rf"^{name}: out .*\(3,\)"):
        calls[name](np.zeros(3, half))
    if name == "relu":
        assert fc.relu(x, out=x) is x
        np.testing.assert_array_equal(x.astype(np.float32), expected.astype(np.float32))


def test_too_large_a_result_is_infinite_and_no_warning():
    x = np.full((1, 4, 4, 1), 60000, np.float16)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        out = np.zeros((1, 2, 2, 1), np.float16)
        assert np.isinf(fc.avg_pool2d(x, 2, divisor_override=1)).all()
        assert np.isinf(fc.avg_pool2d(x, 2, divisor_override=1, out=out)).all()
    assert (fc.avg_pool2d(x, 2) == 60000).all()


def test_layers_go_forward_in_half_precision_of_their_input():
    from fastconv import nn

    x = drawn(X, np.float16)
    model = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(2, dilation=2), nn.GlobalAvgPool())
    output = model(x)
    assert output.dtype == np.float16
    assert model.backward(output).dtype == np.float16


def test_a_layer_keeps_the_weight_of_its_own_precision():
    with pytest.raises(TypeError, match=r"conv2d: input .*float16"):
        fc.conv2d(drawn(X, np.float16), numbers(GAUSSIAN, W, np.float32))


def test_mixtures_stay_errors_that_name_an_argument(half):
    x, w = drawn(X, half), drawn(W, half)
    with pytest.raises(TypeError, match=r"conv2d: weight must be float32.*float16"):
        fc.conv2d(x.astype(np.float32), w.astype(np.float16))
    with pytest.raises(TypeError, match=r"conv2d: input .*float16"):
        fc.conv2d(x.astype(np.float16), w.astype(np.float64))
    with pytest.raises(TypeError, match=r"relu_backward: .*"):
        fc.relu_backward(x, x.astype(np.float32))
    with pytest.raises(TypeError, match=r"avg_pool2d: .*"):
        fc.avg_pool2d(x, 2, out=np.zeros(POOLED, np.float32))
    ml_dtypes = pytest.importorskip("ml_dtypes")
    with pytest.raises(TypeError, match=r"conv2d: input .*float16"):
        fc.conv2d(x.astype(np.float16), w.astype(ml_dtypes.bfloat16))
    with pytest.raises(TypeError, match=r"relu: input .*float8"):
        fc.relu(np.ones(3).astype(ml_dtypes.float8_e4m3fn))


def test_other_errors_are_those_of_float32(half):
    x = drawn(X, half)
    with pytest.raises(ValueError, match=r"^max_pool2d: kernel_size .*0"):
        fc.max_pool2d(x, 0)
    with pytest.raises(TypeError, match=r"^max_pool2d: kernel_size .*2\.5"):
        fc.max_pool2d(x, 2.5)
    with pytest.raises(TypeError, match=r"^conv2d: stride .*1\.5"):
        fc.conv2d(x, drawn(W, half), stride=1.5)


def test_strides_and_batchless_arrays_come_in(half):
    x = drawn(X, half)
    np.testing.assert_array_equal(fc.max_pool2d(x[0, ::-1, 1::2], 2), fc.max_pool2d(x[:1, ::-1, 1::2].copy(), 2)[0])
    assert (
        fc.explain(x, drawn(W, half)).forward.algorithm
        == fc.explain(x.astype(np.float32), drawn(W, half).astype(np.float32)).forward.algorithm
    )
