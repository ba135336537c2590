"""Convolutions of arrays whose channels lie in planes, as PyTorch has them: the bits of a contiguous copy."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import numpy as np
import pytest

import fastconv as fc
import oracle
from algorithms import skip_unless_supported
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers


def in_planes(array):
    """Return the array with the memory of one whose channels come first."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, -1, 1)), 1, -1)


def among_others(array):
    """Every third plane of every second image, at an address that no vector is aligned to."""
    first = np.moveaxis(array, -1, 1)
    shape = (2 * first.shape[0], 3 * first.shape[1], *first.shape[2:])
    memory = np.full(np.prod(shape) + 1, np.nan, array.dtype)[1:].reshape(shape)
    view = memory[1::2, 2::3]
    view[...] = first
    return np.moveaxis(view, 1, -1)


def turned_round(array):
    """The last plane first."""
    return in_planes(array[..., ::-1])[..., ::-1]


def one_for_all(array):
    return np.broadcast_to(in_planes(array[..., :1]), array.shape)


def lines_apart(array):
    """Planes with something between their lines (but in 1-D), which no pass reads as they are."""
    wide = np.full((*array.shape[:-2], array.shape[-2] + 3, array.shape[-1]), np.nan, array.dtype)
    wide = in_planes(wide)
    wide[..., 1:-2, :] = array
    return wide[..., 1:-2, :]


LAYOUTS = [in_planes, among_others, turned_round, one_for_all, lines_apart]

# (input, kernel, outputs, other arguments): of one tap, at least 1024 pixels in blocks that end in the middle of
# images, and others.
LAYERS = {
    "more outputs": ((3, 19, 23, 17), (1, 1), 67, {}),
    "more inputs": ((3, 19, 23, 130), (1, 1), 35, {}),
    "many of both": ((2, 19, 31, 130), (1, 1), 140, {}),
    "very many inputs": ((2, 19, 31, 650), (1, 1), 40, {}),
    "very many inputs, few outputs": ((2, 19, 31, 1030), (1, 1), 3, {}),
    "very many outputs": ((2, 19, 31, 36), (1, 1), 520, {}),
    "large groups": ((2, 19, 31, 192), (1, 1), 192, {"groups": 3}),
    "groups": ((5, 13, 17, 24), (1, 1), 33, {"groups": 3}),
    "few outputs": ((3, 19, 23, 21), (1, 1), 3, {}),
    "few inputs": ((3, 19, 23, 3), (1, 1), 40, {}),
    "1-D": ((9, 131, 20), (1,), 24, {}),
    "3-D": ((2, 9, 7, 11, 13), (1, 1, 1), 19, {}),
    "one wide": ((9, 131, 1, 20), (1, 1), 24, {}),
    "one image": ((1, 40, 29, 31), (1, 1), 17, {}),
    "many small images": ((400, 2, 2, 18), (1, 1), 20, {}),
    "few pixels": ((2, 7, 9, 40), (1, 1), 56, {}),
    "padding": ((3, 19, 23, 17), (1, 1), 20, {"padding": 1}),
    "stride": ((3, 19, 23, 17), (3, 3), 24, {"stride": 2, "padding": 1}),
    "first layer": ((2, 23, 31, 3), (3, 3), 16, {"padding": 1}),
    "small groups": ((2, 13, 17, 24), (3, 3), 16, {"padding": 1, "groups": 2}),
    "5x5": ((2, 13, 17, 12), (5, 3), 20, {"dilation": 2, "padding": "same"}),
    "depthwise": ((2, 13, 17, 83), (3, 3), 83, {"groups": 83, "padding": 1}),
    "depthwise at a stride": ((2, 13, 17, 21), (3, 3), 21, {"groups": 21, "stride": 2, "padding": 1}),
    "depthwise with dilation": ((3, 11, 29, 17), (3, 5), 17, {"groups": 17, "dilation": (1, 3), "padding": (2, 6)}),
    "depthwise 7x7": ((1, 23, 19, 128), (7, 7), 128, {"groups": 128, "padding": 3}),
    "depthwise 1-D": ((2, 150, 20), (21,), 20, {"groups": 20, "padding": 10}),
    "depthwise 3-D": ((2, 5, 7, 19, 20), (3, 3, 2), 20, {"groups": 20, "padding": 1}),
    "depthwise, long": ((1, 17000, 6), (11,), 6, {"groups": 6}),
    "depthwise 1-D, in pieces": ((1, 6000, 20), (5,), 20, {"groups": 20, "stride": 3}),
    "multiplier of 2 in 1-D, in pieces": ((2, 700, 131), (3,), 262, {"groups": 131, "padding": 1}),
    "depthwise, short lines": ((2, 13, 5, 20), (3, 3), 20, {"groups": 20, "padding": 1}),
    "multiplier of 2": ((2, 13, 17, 11), (3, 3), 22, {"groups": 11, "padding": 1}),
    "multiplier of 3": ((2, 13, 17, 7), (3, 3), 21, {"groups": 7, "padding": 1}),
    "groups of 4": ((2, 13, 17, 20), (3, 3), 20, {"groups": 5, "padding": 1}),
    "groups of 2 and 6": ((2, 13, 17, 10), (3, 3), 30, {"groups": 5, "stride": (2, 1)}),
    "wrapped": ((2, 17, 37, 12), (1, 1), 20, {"padding": (0, 2), "padding_mode": "reflect"}),
}
every_layer = pytest.mark.parametrize("layer", LAYERS.values(), ids=LAYERS)


def drawn(layer, kind, dtype):
    """Return input, weight, gradient of the output, the layer's two passes, and its other arguments."""
    shape, kernel, outputs, keywords = layer
    rank = len(kernel)
    forward, backward = getattr(fc, f"conv{rank}d"), getattr(fc, f"conv{rank}d_backward")
    input = numbers(kind, shape, dtype, 1)
    weight = numbers(kind, (*kernel, shape[-1] // keywords.get("groups", 1), outputs), dtype, 2)
    grad_output = numbers(kind, forward(input, weight, **keywords).shape, dtype, 3)
    return input, weight, grad_output, forward, backward, keywords


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("chosen", ["auto", "direct"])
@every_layer
def test_planes_give_the_bits_of_a_contiguous_copy(layer, chosen, layout, dtype, isa):
    input, weight, grad_output, forward, backward, keywords = drawn(layer, GAUSSIAN, dtype)
    keywords = {**keywords, "algorithm": chosen}
    spread_input, spread_gradient = layout(input), layout(grad_output)
    input, grad_output = np.ascontiguousarray(spread_input), np.ascontiguousarray(spread_gradient)
    assert_same_bits(forward(spread_input, weight, **keywords), forward(input, weight, **keywords), isa)
    for wrt in (("input",), ("weight",), ("input", "weight"), ("input", "weight", "bias")):
        expected = backward(grad_output, input, weight, wrt=wrt, **keywords)
        for given in ((spread_gradient, spread_input), (spread_gradient, input), (grad_output, spread_input)):
            for found, gradient in zip(backward(*given, weight, wrt=wrt, **keywords), expected, strict=True):
                if gradient is not None:
                    assert_same_bits(found, gradient, layout.__name__, wrt, isa)


# More than 8 MiB of float32, which grouped reads line by line in all passes.
LARGE = {
    "depthwise": ((2, 67, 131, 132), (3, 3), 132, {"groups": 132, "padding": 1}),
    "groups of 4": ((2, 67, 131, 132), (3, 3), 132, {"groups": 33, "padding": 1}),
    "multiplier of 2": ((1, 31, 1031, 68), (3, 3), 136, {"groups": 68, "padding": 1}),
    "groups of 2 and 4": ((2, 67, 131, 140), (3, 3), 280, {"groups": 70, "dilation": (3, 2)}),
    "1-D, one line": ((1, 17003, 132), (3,), 132, {"groups": 132}),
    "1-D with dilation": ((3, 11003, 68), (5,), 68, {"groups": 68, "dilation": 3, "padding": 6}),
    "1-D of few lines": ((1, 16001, 132), (9,), 132, {"groups": 132}),
    "3-D": ((2, 5, 31, 59, 133), (3, 3, 2), 133, {"groups": 133, "padding": 1}),
    "stride and dilation": ((2, 67, 131, 132), (3, 3), 132, {"groups": 132, "stride": (2, 3), "dilation": (1, 2)}),
}


@pytest.mark.parametrize("layout", [among_others, turned_round], ids=lambda layout: layout.__name__)
@pytest.mark.parametrize("layer", LARGE.values(), ids=LARGE)
def test_large_arrays_are_read_line_by_line(layer, layout, isa):
    input, weight, grad_output, forward, backward, keywords = drawn(layer, GAUSSIAN, np.float32)
    spread = layout(input)
    bias = np.full(weight.shape[-1], -0.0, np.float32)
    for how in ({}, {"bias": bias, "activation": "relu"}):
        expected = forward(input, weight, **how, **keywords)
        assert_same_bits(forward(spread, weight, **how, **keywords), expected, isa)
    found = backward(layout(grad_output), spread, weight, wrt=("input", "weight"), **keywords)
    expected = backward(grad_output, input, weight, wrt=("input", "weight"), **keywords)
    for gradient, known in zip(found[:2], expected[:2], strict=True):
        assert_same_bits(gradient, known, isa)


def test_zeros_of_a_relu_have_no_sign_whatever_the_layout_and_the_number_of_threads(isa):
    """Fewer channels than a vector are computed one by one: 64 and a few of planes; of long lines, many threads'."""
    input, weight = np.zeros((1, 16001, 132), np.float32), np.full((9, 1, 132), -1, np.float32)
    bias = np.full(132, -0.0, np.float32)
    for threads in (1, 2, 8):
        with fc.options(num_threads=threads):
            for array in (input, in_planes(input)):
                output = fc.conv1d(array, weight, bias, groups=132, activation="relu", algorithm="grouped")
                assert not np.signbit(output).any(), threads


@pytest.mark.parametrize("chosen", ["direct", "grouped"])
@every_layer
def test_planes_give_the_oracles_values_whatever_the_number_of_threads(layer, chosen, dtype):
    input, weight, grad_output, forward, backward, keywords = drawn(layer, INTEGERS, dtype)
    skip_unless_supported(chosen, input, weight, **keywords)
    expected = oracle.conv(input, weight, **keywords)
    gradients = oracle.conv_backward(grad_output, input, weight, **keywords)[:2]
    for threads in (1, 2, 3, 8):
        with fc.options(num_threads=threads):
            assert_equal(forward(in_planes(input), weight, algorithm=chosen, **keywords), expected, threads)
            how = {"wrt": ("input", "weight"), "algorithm": chosen, **keywords}
            found = backward(in_planes(grad_output), in_planes(input), weight, **how)
            for values, known in zip(found[:2], gradients, strict=True):
                assert_equal(values, known, threads)


COPIES = """
import numpy as np, fastconv as fc
x = np.zeros((2, 128, 96, 96), np.float32).transpose(0, 2, 3, 1)
def pass_of(weight, wrt, **keywords):
    if wrt == "forward":
        return lambda: fc.conv2d(x, weight, **keywords)
    return lambda: fc.conv2d_backward(x, x, weight, wrt=(wrt,), **keywords)
pointwise, depthwise = np.zeros((1, 1, 128, 128), np.float32), np.zeros((3, 3, 1, 128), np.float32)
for weight, keywords in ((pointwise, {}), (depthwise, {"groups": 128, "padding": 1})):
    for wrt in ("forward", "input", "weight"):
        fc.empty_cache()
        result = pass_of(weight, wrt, **keywords)()
        print(fc.info()["cached_bytes"] / x.nbytes)
        del result
"""


def test_large_planes_are_not_copied():
    """What is cached while the result lives is what the call needed beside it."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run([sys.executable, "-c", COPIES], env=environment, capture_output=True, text=True, check=True)
    shares = [float(line) for line in done.stdout.split()]
    assert len(shares) == 6 and max(shares) < 0.8


def test_options_of_another_thread_may_change_the_algorithm_meanwhile():
    """One that reads planes was asked; Winograd's, which doesn't, may run."""
    layer = ((4, 28, 28, 64), (3, 3), 64, {"padding": 1})
    input, weight, grad_output, _, backward, keywords = drawn(layer, INTEGERS, np.float32)
    given = in_planes(grad_output), in_planes(input), weight
    assert fc.explain(input, weight, **keywords).backward_weight.algorithm == "winograd"
    expected = backward(grad_output, input, weight, algorithm="direct", wrt=("weight",), **keywords)[1]
    done = threading.Event()

    def toggle():
        while not done.is_set():
            with fc.options(winograd=False):
                pass

    other = threading.Thread(target=toggle)
    other.start()
    try:
        for _ in range(40):
            assert_close(backward(*given, wrt=("weight",), **keywords)[1], expected, 1e-4 * np.abs(expected).max())
    finally:
        done.set()
        other.join()


@pytest.mark.parametrize("name", ["more outputs", "many small images"])
def test_one_image_without_a_batch_axis_may_be_planes(name, dtype):
    (_, *_, channels), _, outputs, _ = LAYERS[name]
    input = in_planes(numbers(GAUSSIAN, (1, 40, 29, channels), dtype))[0]
    weight = numbers(GAUSSIAN, (1, 1, channels, outputs), dtype)
    copy = np.ascontiguousarray(input)
    output = fc.conv2d(input, weight)
    assert_same_bits(output, fc.conv2d(copy, weight))
    gradient = in_planes(output[None])[0]
    found = fc.conv2d_backward(gradient, input, weight, wrt=("input", "weight"))
    for values, expected in zip(found, fc.conv2d_backward(output, copy, weight, wrt=("input", "weight")), strict=True):
        assert (values is None) == (expected is None)
        if values is not None:
            assert_same_bits(values, expected)


@pytest.mark.parametrize("value", [1, np.nan], ids=str)
@pytest.mark.parametrize(
    ("shape", "taps", "sliding"),
    [
        ((3, 300, 130), (3,), {"padding": 40, "dilation": 40}),
        ((2, 20, 30, 180), (5, 3), {"padding": ((3, 4), (2, 0))}),
        ((9, 9, 9, 200), (3, 3), {"padding": 2, "dilation": 2, "stride": 3}),
        ((2, 6, 12, 11, 110), (3, 3, 3), {"padding": 2, "dilation": 2}),
    ],
    ids=str,
)
def test_gradients_of_the_weight_that_leave_out_padding(shape, taps, sliding, value, dtype, isa):
    """Or do not, where the windows are too few; the corner of the gradient meets padding."""
    x, weight = numbers(INTEGERS, shape, dtype), numbers(INTEGERS, (*taps, shape[-1], 128), dtype)
    gradient = numbers(INTEGERS, getattr(fc, f"conv{len(taps)}d")(x, weight, **sliding).shape, dtype)
    gradient.flat[0] = value
    with np.errstate(invalid="ignore"):
        expected = oracle.conv_backward(gradient, x, weight, **sliding)[1]
    backward = getattr(fc, f"conv{len(taps)}d_backward")
    for arrived in (gradient, in_planes(gradient)):
        found = backward(arrived, x, weight, **sliding, algorithm="direct", wrt=("weight",)).weight
        assert_equal(found, expected, isa)


@pytest.mark.parametrize("channels", [128, 100])
def test_sums_are_cut_in_the_same_way_whatever_the_distance_of_pixels(channels, isa):
    """Pixels a power of two apart are copied before they are summed, those of a part of wider ones aren't."""
    apart, near = (numbers(GAUSSIAN, (1, 64, 64, wide), np.float64, 1) for wide in (128, 129))
    apart[..., :channels] = near[..., :channels]
    input, weight = near[..., :channels], numbers(GAUSSIAN, (7, 7, 1, channels), np.float64, 2)
    keywords = {"groups": channels, "padding": 3, "algorithm": "grouped", "wrt": ("weight",)}
    found = fc.conv2d_backward(input, input, weight, **keywords).weight
    for other in (np.ascontiguousarray(input), apart[..., :channels]):
        assert_same_bits(found, fc.conv2d_backward(other, other, weight, **keywords).weight, isa)


def at_distance_from_line(array, distance):
    """A copy that begins so many bytes behind the beginning of a line of the cache."""
    memory = np.empty(array.nbytes + 128, np.uint8)
    begin = -memory.ctypes.data % 64 + distance
    copy = memory[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


@pytest.mark.parametrize(
    ("channels", "groups", "length", "sliding"),
    [
        (128, 128, 1111, {"padding": 15}),
        (512, 512, 777, {"padding": ((40, 3),), "dilation": 3}),
        (512, 512, 1555, {"padding": 7, "stride": 2}),
        (256, 256, 900, {"padding": 15}),
        (64, 64, 5000, {"stride": 8}),
        (512, 128, 600, {"padding": 15}),
    ],
    ids=str,
)
def test_values_do_not_depend_on_whether_lines_of_many_taps_are_copied(channels, groups, length, sliding, dtype, isa):
    """Which depends on where arrays begin, and on how far apart their pixels are."""
    weight = numbers(GAUSSIAN, (31, channels // groups, channels), dtype, 2)
    keywords = {"groups": groups, "algorithm": "grouped", **sliding}
    x = numbers(INTEGERS, (1, length, channels), dtype, 1)
    gradient = numbers(INTEGERS, fc.conv1d(x, weight, **keywords).shape, dtype, 3)
    expected = oracle.conv_backward(gradient, x, weight, **sliding, groups=groups)[1]
    x[:, :, 0] = numbers(GAUSSIAN, x.shape[:2], dtype, 4)

    def results(place):
        backward = fc.conv1d_backward(place(gradient), place(x), weight, wrt=("input", "weight"), **keywords)
        return fc.conv1d(place(x), weight, **keywords), backward.input, backward.weight

    alone = results(lambda array: at_distance_from_line(array, 0))
    assert_equal(alone[2][..., 4:], expected[..., 4:], isa)
    places = [
        lambda array: at_distance_from_line(array, 16),
        lambda array: np.append(array, array[..., :3], axis=-1)[..., :channels],
    ]
    for place in places:
        for found, other, what in zip(results(place), alone, ("output", "grad input", "grad weight"), strict=True):
            assert_same_bits(found, other, isa, what)
