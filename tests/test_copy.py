"""Arrays in any layout come in as if they were C-contiguous: their copies are exact.

`relu` takes arrays of any shape and leaves positive values as they are; a pooling window of 1 hands the input on.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import fastconv as fc
from problems import assert_same_bits

EXTENTS = [1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33]


def positive(shape, dtype):
    return np.arange(1, 1 + np.prod(shape, dtype=int), dtype=dtype).reshape(shape)


@st.composite
def layouts(draw):
    """An array of up to five axes: permuted, with steps, reversed, standing still, a part of a larger one."""
    axes = draw(st.integers(1, 5))
    extents = [draw(st.sampled_from(EXTENTS if axis < 3 else EXTENTS[:4])) for axis in range(axes)]
    steps = [draw(st.sampled_from([1, 1, 1, 2, 3])) for _ in extents]
    frame = [extent * step + draw(st.integers(0, 1)) for extent, step in zip(extents, steps, strict=True)]
    array = positive(frame, draw(st.sampled_from([np.float32, np.float64])))
    ends = zip(extents, steps, strict=True)
    array = array[tuple(slice(0, extent * step, step) for extent, step in ends)].transpose(
        draw(st.permutations(range(axes)))
    )
    for axis in range(axes):
        match draw(st.sampled_from(["as it is", "as it is", "as it is", "reversed", "still"])):
            case "reversed":
                array = np.flip(array, axis)
            case "still":
                array = np.broadcast_to(array.take([0], axis), array.shape)
    return array


@settings(max_examples=300)
@given(array=layouts(), threads=st.integers(1, 3))
def test_copies_of_any_layout_are_exact(array, threads):
    for isa in fc.info()["isa_available"]:
        with fc.options(isa=isa, num_threads=threads):
            assert_same_bits(fc.relu(array), np.ascontiguousarray(array), array.shape, array.strides, isa)


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5, 8, 15, 16, 24, 64, 100])
@pytest.mark.parametrize("turned", [False, True])
def test_channels_first_comes_in_as_a_view(channels, turned, dtype, isa):
    first = positive((2, channels, 21, 30), dtype)
    view = (first[..., ::-1] if turned else first).transpose(0, 2, 3, 1)
    for x in (view, view[0]):
        assert_same_bits(fc.avg_pool2d(x, 1), np.ascontiguousarray(x), channels, isa)
        assert_same_bits(fc.max_pool2d(x, 1), np.ascontiguousarray(x), channels, isa)


@pytest.mark.parametrize("channels", [3, 32, 40, 64])
def test_arrays_larger_than_the_caches_are_copied_exactly(channels, dtype, isa):
    """Here the copy may write past the caches, and several threads take part."""
    first = positive((channels, 700, -(-20_000_000 // 700 // channels // dtype(0).nbytes)), dtype)
    view = first.transpose(1, 2, 0)
    for threads in (1, 2):
        with fc.options(num_threads=threads):
            assert_same_bits(fc.relu(view), np.ascontiguousarray(view), isa, threads)


@pytest.mark.parametrize("kernel", [(1,), (3,), (2, 2), (3, 3), (5, 7), (2, 3, 3)])
def test_weights_with_output_channels_first_come_in_as_a_view(kernel, dtype, isa):
    weight = np.random.default_rng(0).integers(-3, 4, (20, 6, *kernel)).astype(dtype)
    view = weight.transpose(*range(2, weight.ndim), 1, 0)
    x = positive((2, *(extent + 1 for extent in kernel), 6), dtype)
    convolve = getattr(fc, f"conv{len(kernel)}d")
    assert_same_bits(convolve(x, view), convolve(x, np.ascontiguousarray(view)), isa)


def test_more_axes_than_an_operation_has_and_elements_between_two_places_are_copied_too(dtype):
    many = positive((2, 3, 2, 2, 3, 2, 2), dtype).T
    assert_same_bits(fc.relu(many), np.ascontiguousarray(many))
    records = np.zeros(10, [("tag", np.int8), ("value", dtype)])
    records["value"] = np.arange(1, 11)
    assert_same_bits(fc.relu(records["value"]), np.arange(1, 11, dtype=dtype))
    assert_same_bits(fc.avg_pool1d(records["value"][None, :, None], 1), np.arange(1, 11, dtype=dtype)[None, :, None])


def test_an_empty_array_of_any_layout_stays_empty(dtype):
    empty = np.empty((4, 0, 3, 5), dtype).transpose(3, 1, 0, 2)[::-1]
    assert fc.relu(empty).shape == empty.shape
