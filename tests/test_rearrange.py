"""Pixels and channels rearranged, borders added and cut off: exact for every dtype, and each other's gradients."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle_resample
from problems import INTEGERS, assert_equal, numbers


@pytest.mark.parametrize("shape", [(2, 3, 4, 8), (1, 1, 1, 4), (0, 2, 2, 4), (2, 3, 1, 12), (2, 3, 4, 0)], ids=str)
def test_shuffled_pixels_equal_the_oracle_and_come_back(shape):
    x = numbers(INTEGERS, shape, np.float32)
    shuffled = fc.pixel_shuffle(x, 2)
    assert_equal(shuffled, oracle_resample.pixel_shuffle(x, 2), shape)
    assert_equal(fc.pixel_unshuffle(shuffled, 2), x, shape)
    assert_equal(fc.pixel_shuffle(x, 1), x, shape)


def test_shuffled_pixels_agree_with_torch():
    torch = pytest.importorskip("torch")
    x = numbers(INTEGERS, (2, 3, 4, 18), np.float32)
    first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
    expected = torch.nn.functional.pixel_shuffle(first, 3).numpy()
    assert_equal(fc.pixel_shuffle(x, 3), np.moveaxis(expected, 1, -1))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8, np.int64, bool], ids=str)
def test_every_dtype_may_be_rearranged(dtype):
    x = numbers(INTEGERS, (1, 4, 6, 4), dtype)
    results = (
        fc.pixel_shuffle(x, 2), fc.pixel_unshuffle(x, 2), fc.zero_pad(x, 1), fc.crop(x, 1), fc.concatenate([x, x]),
    )  # fmt: skip
    assert all(found.dtype == dtype for found in results)


def test_an_image_without_batch_is_one_of_a_batch():
    x = numbers(INTEGERS, (3, 4, 8), np.float32)
    assert_equal(fc.pixel_shuffle(x, 2), fc.pixel_shuffle(x[None], 2)[0])
    assert_equal(fc.pixel_unshuffle(fc.pixel_shuffle(x, 2), 2), x)


PADDINGS = [((1, 3), 2), ((1, 3, 4), (1, 0)), ((2, 3, 4), ((0, 2), (3, 1))), ((2, 2, 1, 3), (0, 1, 2))]


@pytest.mark.parametrize(("spatial", "padding"), PADDINGS, ids=str)
def test_padding_and_cropping_undo_each_other(spatial, padding):
    x = numbers(INTEGERS, (2, *spatial[1:], 3), np.float32)
    pairs = [(p, p) if isinstance(p, int) else p for p in (padding if isinstance(padding, tuple) else (padding,))]
    padded = fc.zero_pad(x, padding)
    assert_equal(padded, np.pad(x, [(0, 0), *pairs, (0, 0)]), padding)
    assert_equal(fc.crop(padded, padding), x, padding)
    assert_equal(fc.zero_pad_backward(padded + 1, padding), x + 1, padding)
    assert_equal(fc.crop_backward(x, padding), padded, padding)


def test_nothing_is_left_of_an_axis_cropped_altogether():
    assert fc.crop(np.ones((1, 4, 3)), ((1, 3),)).shape == (1, 0, 3)


def test_concatenated_channels_lie_side_by_side_and_gradients_are_their_parts():
    parts = [numbers(INTEGERS, (2, 3, channels), np.float32) for channels in (2, 0, 5)]
    together = fc.concatenate(parts)
    assert_equal(together, np.concatenate(parts, axis=-1))
    for found, part in zip(fc.concatenate_backward(together, (2, 0, 5)), parts, strict=True):
        assert_equal(found, part)


X = np.ones((1, 4, 6, 6), np.float32)
ERRORS = [
    (lambda: fc.pixel_shuffle(X, 2), ValueError, r"pixel_shuffle: factor=2 needs a multiple of 4 channels, got 6"),
    (lambda: fc.pixel_shuffle(X, 0), ValueError, r"pixel_shuffle: factor .*0"),
    (lambda: fc.pixel_shuffle(X, 2.0), TypeError, r"pixel_shuffle: factor .*2\.0"),
    (lambda: fc.pixel_shuffle(X[0, 0], 1), ValueError, r"pixel_shuffle: input must have 4 axes.*\(6, 6\)"),
    (lambda: fc.pixel_unshuffle(X, 4), ValueError, r"pixel_unshuffle: factor=4 .*\(1, 4, 6, 6\)"),
    (lambda: fc.zero_pad(X, -1), ValueError, r"zero_pad: padding .*-1"),
    (lambda: fc.zero_pad(X, (1, 2, 3)), ValueError, r"zero_pad: padding .*2.*\(1, 2, 3\)"),
    (lambda: fc.zero_pad(X, ((1, 1),)), ValueError, r"zero_pad: padding .*pair per axis, 2"),
    (lambda: fc.zero_pad(X, "same"), TypeError, r"zero_pad: padding .*'same'"),
    (lambda: fc.zero_pad(X[0, 0], 1), ValueError, r"zero_pad: input must have 3 to 5 axes"),
    (lambda: fc.crop(X, 3), ValueError, r"crop: cropping 3 is more than there is.*\(1, 4, 6, 6\)"),
    (lambda: fc.crop(X, 1.5), TypeError, r"crop: cropping .*1\.5"),
    (lambda: fc.zero_pad_backward(X, 3), ValueError, r"zero_pad_backward: padding 3 .*grad_output"),
    (lambda: fc.crop_backward(X, -1), ValueError, r"crop_backward: cropping .*-1"),
    (lambda: fc.concatenate([]), ValueError, r"concatenate: .*at least one"),
    (lambda: fc.concatenate([X, X[:, :2]]), ValueError, r"concatenate: .*\(1, 4, 6, 6\), \(1, 2, 6, 6\)"),
    (lambda: fc.concatenate([X, X.astype(float)]), TypeError, r"concatenate: .*one dtype.*float32, float64"),
    (lambda: fc.concatenate_backward(X, (2, 3)), ValueError, r"concatenate_backward: channels .*\[2, 3\]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^({message})"):
        call()
