"""Unpooling: the way back from maxima to where they were."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle_resample
from fastconv import nn
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, numbers, slope

CASES = {
    "1d": ((2, 10, 3), 2, None, 0),
    "2d": ((2, 8, 6, 5), 2, None, 0),
    "2d_overlapping": ((1, 9, 9, 2), 3, 2, 0),
    "2d_padded": ((1, 8, 10, 4), (2, 4), (2, 4), (1, 1)),
    "3d": ((1, 4, 6, 2, 3), 2, None, 0),
    "2d_batch_of_none": ((0, 4, 4, 3), 2, None, 0),
    "2d_no_channels": ((2, 4, 4, 0), 2, None, 0),
}
every_case = pytest.mark.parametrize(("shape", "kernel", "stride", "padding"), CASES.values(), ids=CASES)


def pooled(shape, kernel, stride, padding, dtype):
    x = numbers(INTEGERS, shape, dtype)
    keywords = {"stride": stride, "padding": padding}
    return getattr(fc, f"max_pool{len(shape) - 2}d")(x, kernel, **keywords, return_indices=True)


@every_case
def test_maxima_go_back_to_where_they_were(shape, kernel, stride, padding, dtype):
    values, indices = pooled(shape, kernel, stride, padding, dtype)
    unpool = getattr(fc, f"max_unpool{len(shape) - 2}d")
    found = unpool(values, indices, kernel, stride=stride, padding=padding, output_size=shape[1:-1])
    assert_equal(found, oracle_resample.max_unpool(values, indices, shape[1:-1]), shape, kernel)
    assert found.dtype == dtype
    # these kernels, strides and paddings give back the very extents
    assert_equal(unpool(values, indices, kernel, stride=stride, padding=padding), found, shape, kernel)


@every_case
def test_the_gradient_is_what_stands_where_each_value_was_put(shape, kernel, stride, padding, dtype):
    _, indices = pooled(shape, kernel, stride, padding, dtype)
    grad = numbers(INTEGERS, shape, dtype, "grad")
    found = getattr(fc, f"max_unpool{len(shape) - 2}d_backward")(grad, indices)
    flat = grad.reshape(shape[0], np.prod(shape[1:-1]), shape[-1])
    for at in np.ndindex(indices.shape):
        assert found[at] == flat[at[0], indices[at], at[-1]]
    assert found.dtype == dtype and found.shape == indices.shape


def test_gradients_agree_with_finite_differences():
    values, indices = pooled((1, 6, 4, 2), 2, None, 0, np.float64)
    weights = numbers(INTEGERS, (1, 6, 4, 2), np.float64, "weights")
    expected = slope(lambda v: (fc.max_unpool2d(v, indices, 2) * weights).sum(), values)
    assert_close(fc.max_unpool2d_backward(weights, indices), expected, 1e-12)


def test_values_of_padding_alone_are_left_out():
    x = np.ones((1, 2, 3), np.float32)
    values, indices = fc.max_pool1d(x, 1, padding=2, return_indices=True)
    assert (indices == -1).sum() == 12
    assert_equal(fc.max_unpool1d(values, indices, 1, padding=2), x)
    assert_equal(fc.max_unpool1d_backward(x * 7, indices), np.where(indices < 0, 0, 7))


def test_any_output_size_in_which_the_indices_fit_will_do_and_the_batch_may_lack():
    values, indices = pooled((2, 9, 9, 5), 2, None, 0, np.float32)  # the last row and column are met by no window
    found = fc.max_unpool2d(values, indices, 2, output_size=(9, 9))
    assert_equal(found, oracle_resample.max_unpool(values, indices, (9, 9)))
    assert_equal(fc.max_unpool2d(values[0], indices[0], 2, output_size=(9, 9)), found[0])
    assert_equal(fc.max_unpool2d_backward(found[0], indices[0]), values[0])
    with pytest.raises(ValueError, match=r"max_unpool2d: indices must be between 0 and 63.*got \d+"):
        fc.max_unpool2d(values, indices, 2)


def test_unpooling_agrees_with_torch():
    torch = pytest.importorskip("torch")
    for shape, kernel, stride, padding in CASES.values():
        if 0 in shape:
            continue
        values, indices = pooled(shape, kernel, stride, padding, np.float64)
        first = [torch.from_numpy(np.ascontiguousarray(np.moveaxis(a, -1, 1))) for a in (values, indices)]
        name = f"max_unpool{len(shape) - 2}d"
        expected = getattr(torch.nn.functional, name)(*first, kernel, stride, padding).numpy()
        found = getattr(fc, name)(values, indices, kernel, stride=stride, padding=padding)
        assert_equal(found, np.moveaxis(expected, 1, -1), shape)


Y, PLACES = np.ones((1, 2, 2, 3), np.float32), np.zeros((1, 2, 2, 3), np.int64)
ERRORS = [
    (lambda: fc.max_unpool2d(Y, PLACES + 16, 2), ValueError, r"max_unpool2d: indices must be between 0 and 15.*got 16"),
    (lambda: fc.max_unpool2d(Y, PLACES - 2, 2), ValueError, r"max_unpool2d: indices .*got -2"),
    (lambda: fc.max_unpool2d(Y, PLACES.astype(np.int32), 2), TypeError, r"max_unpool2d: indices .*int64, got int32"),
    (lambda: fc.max_unpool2d(Y, Y, 2), TypeError, r"max_unpool2d: indices must be int64, got float32"),
    (lambda: fc.max_unpool2d(Y, PLACES[:, :1], 2), ValueError, r"max_unpool2d: indices must have shape \(1, 2, 2, 3\)"),
    (lambda: fc.max_unpool1d(Y, PLACES, 2), ValueError, r"max_unpool1d: input must have 3 axes.*\(1, 2, 2, 3\)"),
    (lambda: fc.max_unpool2d(Y, PLACES, 2, padding=4), ValueError, r"max_unpool2d: the output would have .*\(-4, -4\)"),
    (lambda: fc.max_unpool2d(Y, PLACES, 2, output_size=(4,)), ValueError, r"max_unpool2d: output_size .*2.*\(4,\)"),
    (lambda: fc.max_unpool2d(Y, PLACES, 2.5), TypeError, r"max_unpool2d: kernel_size .*2\.5"),
    (lambda: fc.max_unpool2d_backward(Y, PLACES + 4), ValueError, r"max_unpool2d_backward: indices .*0 and 3.*got 4"),
    (lambda: fc.max_unpool2d_backward(Y, PLACES[..., :1]), ValueError, r"max_unpool2d_backward: indices .*channels"),
    (lambda: fc.max_unpool2d_backward(Y[0, 0], PLACES), ValueError, r"max_unpool2d_backward: .*4 axes"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^({message})"):
        call()


def test_the_layer_unpools_what_its_pooling_pooled_and_goes_back():
    down = nn.MaxPool2d(2, ceil_mode=True)
    model = nn.Sequential(down, nn.Conv2d(3, 3, 1, seed=0, dtype="float64"), nn.MaxUnpool(down))
    x = numbers(GAUSSIAN, (2, 5, 6, 3), np.float64)
    output = model(x)
    assert output.shape == x.shape and np.count_nonzero(output) == 2 * 3 * 3 * 3
    grad = numbers(GAUSSIAN, output.shape, np.float64, 1)
    back = model.backward(grad)
    assert_close(back, slope(lambda x: (model(x) * grad).sum(), x, 1e-6), 1e-7)


def test_the_layer_works_in_evaluation_mode_and_needs_its_pooling_to_have_run():
    down = nn.MaxPool1d(2)
    up = nn.MaxUnpool(down)
    with pytest.raises(RuntimeError, match="MaxUnpool: its pooling has no maxima yet"):
        up(np.ones((1, 2, 1)))
    model = nn.Sequential(down, up).eval()
    assert_equal(model(np.array([1.0, 3, 2, 2, 9]).reshape(1, 5, 1)).ravel(), np.array([0.0, 3, 2, 0, 0]))
