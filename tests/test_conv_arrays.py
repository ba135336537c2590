"""What kinds of array come in and go out: strides, alignment, ownership, `out`, other libraries' arrays."""

from __future__ import annotations

import gc
import sys
import weakref

import numpy as np
import pytest
from numpy.lib.stride_tricks import as_strided

import fastconv as fc
import oracle
from algorithms import skip_unless_supported, supports
from cases import ConvCase
from problems import GAUSSIAN, INTEGERS, assert_equal, assert_same_bits, numbers, problem

CASE = ConvCase("arrays", (2, 8, 9, 6), (3, 2), 10, stride=(2, 1), padding=((1, 2), (0, 1)), groups=2)
FLAT_CASE = ConvCase("arrays_flat_kernel", (2, 3, 17, 6), (1, 5), 10, padding=((0, 0), (2, 1)), groups=2)
SAME_CHANNELS = ConvCase("arrays", (2, 7, 7, 5), (3, 3), 7, padding=1)


def transposed(array):
    """The same numbers stored channels first (or filters first): what NCHW and OIHW look like from here."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 0)), 0, -1)


def reversed_axes(array):
    """Stored in Fortran's order."""
    return np.asfortranarray(array)


def every_second(array):
    wide = np.full(tuple(2 * n for n in array.shape), np.nan, array.dtype)
    view = wide[tuple(slice(1, None, 2) for _ in array.shape)]
    view[...] = array
    return view


def cut_out(array):
    """Contiguous channels, rows with something else between them."""
    wide = np.full(tuple(n + 3 for n in array.shape), np.nan, array.dtype)
    view = wide[tuple(slice(2, -1) for _ in array.shape)]
    view[...] = array
    return view


def negative(array):
    flip = (slice(None, None, -1),) * array.ndim
    return np.ascontiguousarray(array[flip])[flip]


def negative_channels(array):
    return np.ascontiguousarray(array[..., ::-1])[..., ::-1]


def read_only(array):
    copy = array.copy()
    copy.flags.writeable = False
    return copy


def off_alignment(array):
    """Aligned for its type, as views into files often are, but for no vector."""
    memory = np.empty(array.size + 1, array.dtype)[1:].reshape(array.shape)
    memory[...] = array
    return memory


def unaligned(array):
    """Not even aligned for its type."""
    memory = np.empty(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


LAYOUTS = [
    transposed, reversed_axes, every_second, cut_out, negative, negative_channels, read_only, off_alignment, unaligned
]  # fmt: skip
every_layout = pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)


def case_for(algorithm):
    return next(case for case in (CASE, FLAT_CASE) if supports(algorithm, case))


def results(input, weight, bias, grad_output, case=CASE, **options):
    keywords = {**case.keywords, **options}
    return [
        fc.conv2d(input, weight, bias, **keywords),
        *fc.conv2d_backward(grad_output, input, weight, **keywords),
        fc.im2col(input, case.kernel, **case.sliding),
        *fc.max_pool2d(input, 3, stride=2, padding=1, return_indices=True),
        fc.avg_pool2d(input, 2),
        fc.global_avg_pool(input),
        fc.linear(input, weight[0, 0].repeat(2, axis=0), bias),
        fc.relu(input),
        fc.softmax(input),
    ]


@every_layout
@pytest.mark.parametrize("which", range(4), ids=["input", "weight", "bias", "grad_output"])
def test_any_strides_give_the_bits_of_a_contiguous_copy(layout, which, algorithm, dtype, isa):
    case = case_for(algorithm)
    given = list(problem(case, GAUSSIAN, dtype))
    expected = results(*given, case, algorithm=algorithm)
    given[which] = layout(given[which])
    for result, contiguous in zip(results(*given, case, algorithm=algorithm), expected, strict=True):
        assert_same_bits(result, contiguous, layout.__name__, which, algorithm, dtype, isa)


def test_channels_first_arrays_come_in_as_views(algorithm, dtype):
    images, weight = numbers(INTEGERS, (2, 3, 9, 8), dtype), numbers(INTEGERS, (5, 3, 1, 3), dtype)  # NCHW, OIHW
    views, options = (images.transpose(0, 2, 3, 1), weight.transpose(2, 3, 1, 0)), {"padding": (0, 1)}
    expected = fc.conv2d(*map(np.ascontiguousarray, views), **options, algorithm=algorithm)
    assert_same_bits(fc.conv2d(*views, **options, algorithm=algorithm), expected, algorithm)


def test_overlapping_and_broadcast_arrays_are_read_as_they_look(algorithm, dtype):
    samples, case = numbers(INTEGERS, (40,), dtype), case_for(algorithm)
    step = samples.itemsize
    frames = as_strided(samples, (2, 9, 6, 6), (3 * step, 2 * step, step, 2 * step))
    weight = np.broadcast_to(numbers(INTEGERS, (10,), dtype), case.weight)
    bias, keywords = np.broadcast_to(dtype(3), 10), {**case.keywords, "algorithm": algorithm}
    output = fc.conv2d(frames, weight, bias, **keywords)
    assert_same_bits(output, fc.conv2d(frames.copy(), weight.copy(), bias.copy(), **keywords))
    grad = np.broadcast_to(dtype(2), output.shape)
    gradients = fc.conv2d_backward(grad, frames, weight, **keywords)
    for found, expected in zip(
        gradients, fc.conv2d_backward(grad.copy(), frames.copy(), weight.copy(), **keywords), strict=True
    ):
        assert_same_bits(found, expected, algorithm)


def test_inputs_are_never_modified(algorithm, dtype):
    case = case_for(algorithm)
    given = [array.copy() for array in problem(case, GAUSSIAN, dtype)]
    results(*given, case, algorithm=algorithm)
    fc.conv2d(*given[:3], **case.keywords, activation="relu", algorithm=algorithm)
    for array, before in zip(given, problem(case, GAUSSIAN, dtype), strict=True):
        assert_same_bits(array, before)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_without_a_batch_axis_the_result_has_none(rank, algorithm, dtype):
    x, w = numbers(INTEGERS, (*(7, 6, 5)[:rank], 3), dtype), numbers(INTEGERS, (*(3, 2, 2)[:rank], 3, 5), dtype)
    skip_unless_supported(algorithm, x, w, padding=1)
    conv, backward = getattr(fc, f"conv{rank}d"), getattr(fc, f"conv{rank}d_backward")
    max_pool, avg_pool = getattr(fc, f"max_pool{rank}d"), getattr(fc, f"avg_pool{rank}d")
    output = conv(x, w, padding=1, algorithm=algorithm)
    assert_same_bits(output, conv(x[None], w, padding=1, algorithm=algorithm)[0])
    grads, batched = backward(output, x, w, padding=1), backward(output[None], x[None], w, padding=1)
    assert_same_bits(grads.input, batched.input[0])
    assert_same_bits(grads.weight, batched.weight)
    pooled, indices = max_pool(x, 2, return_indices=True)
    for found, one_of_many in zip((pooled, indices), max_pool(x[None], 2, return_indices=True), strict=True):
        assert_same_bits(found, one_of_many[0])
    pool_backward = getattr(fc, f"max_pool{rank}d_backward")
    expected = pool_backward(pooled[None], indices[None], (1, *x.shape), kernel_size=2)[0]
    assert_same_bits(pool_backward(pooled, indices, x.shape, kernel_size=2), expected)
    assert_same_bits(avg_pool(x, 2), avg_pool(x[None], 2)[0])
    expected = getattr(fc, f"avg_pool{rank}d_backward")(pooled[None], (1, *x.shape), 2)[0]
    assert_same_bits(getattr(fc, f"avg_pool{rank}d_backward")(pooled, x.shape, 2), expected)


def test_out_is_filled_and_returned(algorithm, dtype, isa):
    case = case_for(algorithm)
    given = problem(case, INTEGERS, dtype)
    expected = fc.conv2d(*given[:3], **case.keywords, algorithm=algorithm)
    out = np.full(expected.shape, np.nan, dtype)
    assert fc.conv2d(*given[:3], **case.keywords, algorithm=algorithm, out=out) is out
    assert_same_bits(out, expected, algorithm, isa)


def calls_with_out():
    x = numbers(INTEGERS, (2, 6, 8, 5), np.float32)
    return {
        "conv2d": lambda out: fc.conv2d(x, numbers(INTEGERS, (3, 3, 5, 7), np.float32), out=out),
        "max_pool2d": lambda out: fc.max_pool2d(x, 2, out=out),
        "avg_pool2d": lambda out: fc.avg_pool2d(x, 2, out=out),
        "linear": lambda out: fc.linear(x, numbers(INTEGERS, (5, 3), np.float32), out=out),
        "relu": lambda out: fc.relu(x, out=out),
    }


@pytest.mark.parametrize("name", calls_with_out())
def test_out_may_be_a_part_of_a_larger_array(name):
    call = calls_with_out()[name]
    expected = call(None)
    frame = np.full((3, *expected.shape), 99, np.float32)
    assert np.shares_memory(call(frame[1]), frame)
    assert_same_bits(frame[1], expected)
    assert (frame[[0, 2]] == 99).all()


def test_out_with_relu_in_place_of_another_call():
    given = problem(SAME_CHANNELS, INTEGERS, np.float32)
    out = np.empty(SAME_CHANNELS.output, np.float32)
    for _ in range(3):
        fc.conv2d(given.input, given.weight, padding=1, activation="relu", out=out)
    assert_same_bits(out, fc.relu(fc.conv2d(given.input, given.weight, padding=1)))


def test_results_are_contiguous_writable_arrays_of_their_own(algorithm, dtype):
    case = case_for(algorithm)
    given = problem(case, GAUSSIAN, dtype)
    found = results(*given, case, algorithm=algorithm)
    for number, result in enumerate(found):
        assert type(result) is np.ndarray and result.flags.c_contiguous and result.flags.writeable, number
        assert result.flags.aligned and result.dtype.isnative
        others = [*given, *found[:number]]
        assert not any(np.shares_memory(result, other) for other in others), number


def test_results_stay_valid_through_many_calls_and_after_the_cache_is_emptied(dtype):
    given = problem(CASE, GAUSSIAN, dtype)
    kept = results(*given)
    copies = [array.copy() for array in kept]
    views = [array[..., 1:] for array in results(*given)]  # nothing but a view holds on to the buffer
    seen = [view.copy() for view in views]
    for _ in range(50):
        for array in results(*(2 * a for a in given)):
            array.fill(7)
    fc.empty_cache()
    gc.collect()
    for array in results(*(3 * a for a in given)):
        array.fill(8)
    for found, before in zip(kept + views, copies + seen, strict=True):
        assert_same_bits(np.ascontiguousarray(found), before)


def test_calls_leave_no_reference_to_their_arguments_nor_to_their_results():
    given = [array.copy() for array in problem(CASE, GAUSSIAN, np.float32)]
    out = np.empty(CASE.output, np.float32)
    before = [sys.getrefcount(array) for array in [*given, out]]
    for _ in range(3):
        results(*given)
        fc.conv2d(*given[:3], **CASE.keywords, out=out)
        with pytest.raises(ValueError):
            fc.conv2d(*given[:2], given[3], **CASE.keywords, out=out)
    gc.collect()
    assert [sys.getrefcount(array) for array in [*given, out]] == before
    dropped = [weakref.ref(result) for result in results(*given)]
    assert [reference() for reference in dropped] == [None] * len(dropped)


def test_results_can_be_resized_pickled_and_kept_like_any_array():
    import pickle

    output = fc.relu(numbers(GAUSSIAN, (3, 4), np.float32))
    assert_same_bits(pickle.loads(pickle.dumps(output)), output)
    assert output.reshape(-1).base is not None and output.astype(np.float64).dtype == np.float64


class Speaks:
    """An array of another library: it has one of the protocols and nothing else."""

    def __init__(self, array, *protocols):
        for name in protocols:
            setattr(type(self), name, lambda self, *a, _n=name, **k: getattr(array, _n)(*a, **k))

    @classmethod
    def array(cls, array):
        return type("ArrayOnly", (cls,), {})(array, "__array__")

    @classmethod
    def dlpack(cls, array):
        return type("DLPackOnly", (cls,), {})(array, "__dlpack__", "__dlpack_device__")


@pytest.mark.parametrize("protocol", ["array", "dlpack"])
def test_anything_that_speaks_array_or_dlpack_comes_in(protocol, dtype):
    given = [array.copy() for array in problem(CASE, INTEGERS, dtype)]
    foreign = [getattr(Speaks, protocol)(array) for array in given]
    output = fc.conv2d(*foreign[:3], **CASE.keywords)
    assert_same_bits(output, fc.conv2d(*given[:3], **CASE.keywords), protocol)
    gradients = fc.conv2d_backward(foreign[3], *foreign[:2], **CASE.keywords)
    for found, expected in zip(gradients, fc.conv2d_backward(given[3], *given[:2], **CASE.keywords), strict=True):
        assert_same_bits(found, expected, protocol)


def test_subclasses_of_arrays_come_in_and_plain_arrays_go_out(tmp_path):
    given = problem(CASE, INTEGERS, np.float32)
    mapped = np.memmap(tmp_path / "input", np.float32, "w+", shape=CASE.input)
    mapped[...] = given.input
    output = fc.conv2d(mapped, given.weight, **CASE.keywords)
    assert type(output) is np.ndarray
    assert_equal(output, fc.conv2d(given.input, given.weight, **CASE.keywords))


def test_lists_of_ints_are_a_type_error_that_says_what_to_do():
    with pytest.raises(TypeError, match=r"conv1d: input .*list.*np.asarray"):
        fc.conv1d([[[1], [2], [3]]], np.ones((2, 1, 1), np.float32))


@pytest.mark.parametrize("which", ["input", "weight", "bias"])
def test_byte_swapped_arrays_are_a_type_error_that_names_them(which, dtype):
    given = {name: getattr(problem(CASE, INTEGERS, dtype), name) for name in ("input", "weight", "bias")}
    given[which] = given[which].astype(given[which].dtype.newbyteorder())
    with pytest.raises(TypeError, match=rf"conv2d: {which} .*(byte|[<>]f)"):
        fc.conv2d(**given, **CASE.keywords)


def test_positions_past_two_to_the_31_are_addressed_rightly(algorithm):
    """Four billion values, of which only a few are ever touched: the system gives memory to pages in use alone."""
    if algorithm in ("grouped", "planar", "fft", "winograd"):
        pytest.skip("two would lay out a line of 2^31 values anew, the others have no strides; all decline")
    try:
        x = np.zeros((1, 2**29 + 1, 8), np.float32)
    except MemoryError:
        pytest.skip("this machine doesn't grant 16 GiB of address space")
    x[0, -1] = np.arange(8)
    w = np.arange(24, dtype=np.float32).reshape(1, 8, 3)
    output = fc.conv1d(x, w, stride=2**20, algorithm=algorithm)
    assert output.shape == (1, 513, 3) and not output[0, :-1].any()
    np.testing.assert_array_equal(output[0, -1], x[0, -1] @ w[0])
    grad_output = np.ones_like(output)
    gradients = fc.conv1d_backward(grad_output, x, w, stride=2**20, algorithm=algorithm, wrt=["weight"])
    np.testing.assert_array_equal(gradients.weight[0], np.repeat(x[0, -1][:, None], 3, axis=1))
    pooled, indices = fc.max_pool1d(x, 1, stride=2**20, return_indices=True)
    np.testing.assert_array_equal(pooled[0, -1], x[0, -1])
    assert (indices[0, -1] == 2**29).all()


@pytest.mark.parametrize("filters", [64, 68])
def test_outputs_larger_than_the_caches_are_whole(filters, dtype, isa):
    """They may be written past the caches; 68 filters leave vectors that aren't full."""
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (1, 224, 224, 3)).astype(dtype)
    w = rng.integers(-4, 5, (1, 1, 3, filters)).astype(dtype)
    assert_equal(fc.conv2d(x, w), x @ w[0, 0], isa)
    assert_equal(fc.conv2d(x, w, activation="relu"), np.maximum(x @ w[0, 0], 0), isa)


@pytest.mark.parametrize("groups", [64, 32])
def test_outputs_of_groups_larger_than_the_caches_are_whole(groups, isa):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, 160, 161, 64)).astype(np.float32)
    for kernel, keywords in ((3, {"padding": 1}), (3, {"padding": 1, "stride": 2}), (5, {"padding": 2})):
        w = rng.integers(-4, 5, (kernel, kernel, 64 // groups, 64)).astype(np.float32)
        keywords["groups"] = groups
        output, expected = (fc.conv2d(x, w, **keywords, algorithm=name) for name in ("grouped", "im2col"))
        assert_equal(output, expected, isa)
        found, expected = (
            fc.conv2d_backward(output, x, w, **keywords, algorithm=name, wrt=["input"]).input
            for name in ("grouped", "im2col")
        )
        assert_equal(found, expected, isa)


@pytest.mark.parametrize(
    ("chosen", "groups", "channels"),
    [("grouped", 8, 160), ("grouped", 16, 112), ("direct", 2, 112), ("direct", 10, 240)],
)
def test_groups_of_outputs_larger_than_the_caches_begin_inside_of_their_lines(chosen, groups, channels, dtype, isa):
    rng = np.random.default_rng(0)
    x = rng.integers(-1, 2, (1, 131, 132, channels)).astype(dtype)
    w = rng.integers(-1, 2, (2, 1, channels // groups, channels)).astype(dtype)
    output, expected = (fc.conv2d(x, w, groups=groups, algorithm=name) for name in (chosen, "im2col"))
    assert_equal(output, expected, isa)
    found, expected = (
        fc.conv2d_backward(output, x, w, groups=groups, algorithm=name, wrt=["input"]).input
        for name in (chosen, "im2col")
    )
    assert_equal(found, expected, isa)


@pytest.mark.parametrize(("inputs", "repeats", "groups"), [(1, 3, 2), (1, 5, 1), (2, 3, 1), (3, 3, 3), (5, 7, 2)])
@pytest.mark.parametrize("shape", [(1, 6, 9), (2, 7, 40), (1, 1, 90)], ids=str)
def test_few_channels_of_many_are_spread_as_if_alone(shape, inputs, repeats, groups, dtype, isa):
    """Vectors of such pixels read what lies between them, and write past rows of a few values."""
    rng = np.random.default_rng(0)
    wide = np.full((*shape, 64), np.nan, dtype)
    x = wide[..., 3 : 3 + groups * inputs]
    x[...] = rng.integers(-4, 5, x.shape)
    w = rng.integers(-4, 5, (3, 3, inputs, groups * repeats)).astype(dtype)
    keywords = {"groups": groups, "padding": 1, "algorithm": "grouped"}
    output = fc.conv2d(x, w, **keywords)
    assert_equal(output, oracle.conv(x.copy(), w, groups=groups, padding=1), isa)
    for found, right in zip(
        fc.conv2d_backward(output, x, w, **keywords),
        oracle.conv_backward(output, x.copy(), w, groups=groups, padding=1),
        strict=True,
    ):
        assert_equal(found, right, isa)


@pytest.mark.parametrize(("channels", "filters"), [(0, 3), (3, 0), (0, 0)])
def test_no_channels_make_sums_over_nothing(channels, filters):
    x, w, bias = np.ones((2, 5, 4, channels)), np.ones((3, 2, channels, filters)), np.arange(-1.0, filters - 1)
    output = fc.conv2d(x, w, bias, padding=1, activation="relu")
    assert_equal(output, oracle.conv(x, w, bias, padding=1, activation="relu"))
    for found, right in zip(
        fc.conv2d_backward(output, x, w, padding=1), oracle.conv_backward(output, x, w, padding=1), strict=True
    ):
        assert_equal(found, right)
    back = w.transpose(0, 1, 3, 2)
    output = fc.conv_transpose2d(x, back, bias, stride=2)
    assert_equal(output, oracle.conv_transpose(x, back, bias, stride=2))
    for found, right in zip(
        fc.conv_transpose2d_backward(output, x, back, stride=2),
        oracle.conv_transpose_backward(output, x, back, stride=2),
        strict=True,
    ):
        assert_equal(found, right)
    assert fc.explain(x, w).forward.algorithm == "none"
