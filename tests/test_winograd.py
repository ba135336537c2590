"""Winograd's algorithm: its ways through a problem, how it is chosen and switched off, and what it costs in accuracy.

The named geometries of cases.py go through it with all other algorithms (test_conv.py). Here are larger ones, one for
each way: few tiles or many, one round or several, one slice or several, several blocks of the reduction, segments of
columns, groups.
"""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

import fastconv as fc
from algorithms import rounding
from problems import GAUSSIAN, INTEGERS, assert_close, assert_same_bits, numbers

# (input, weight, keywords)
WAYS = {
    "few_tiles": ((1, 14, 13, 130), (3, 3, 130, 70), {"padding": 1}),
    "many_tiles": ((2, 41, 39, 24), (3, 3, 24, 40), {"padding": 1}),
    "long_reduction": ((3, 27, 26, 700), (3, 3, 700, 33), {"padding": 1}),
    "local_sums": ((1, 21, 22, 190), (3, 3, 190, 210), {"padding": 1}),
    "several_rounds": ((2, 90, 90, 40), (3, 3, 40, 24), {"padding": 1}),
    "slices": ((5, 95, 93, 12), (3, 3, 12, 20), {"padding": 1}),
    "slices_of_a_signal": ((3, 5000, 8), (3, 4, 24), {"padding": 1, "groups": 2}),
    "groups": ((4, 29, 31, 64), (3, 3, 32, 96), {"padding": ((2, 0), (1, 3)), "groups": 2}),
    "bands_of_groups": ((2, 29, 31, 160), (3, 3, 32, 200), {"padding": 1, "groups": 5}),
    "bands_of_phases": ((2, 33, 30, 128), (4, 4, 32, 80), {"padding": 1, "stride": 2, "groups": 4}),
    "bands_of_single_channels": ((2, 23, 21, 40), (5, 5, 1, 40), {"padding": 2, "groups": 40}),
    "volume": ((1, 7, 30, 30, 20), (3, 3, 3, 20, 24), {"padding": 1}),
    "5x5": ((2, 27, 27, 48), (5, 5, 48, 40), {"padding": 2}),
    "3x5": ((2, 27, 27, 20), (3, 5, 20, 20), {"padding": ((1, 1), (2, 2))}),
    "2x2": ((2, 27, 26, 20), (2, 2, 20, 24), {"padding": ((1, 0), (0, 1))}),
    "signal": ((3, 1000, 20), (3, 20, 30), {"padding": "same"}),
    "signal_5": ((3, 500, 20), (5, 20, 30), {"padding": "causal"}),
    "column": ((2, 40, 9, 16), (3, 1, 16, 24), {}),
    "phases": ((2, 33, 30, 20), (4, 4, 20, 24), {"padding": 1, "stride": 2}),
    "unequal_phases": ((2, 33, 30, 20), (3, 5, 20, 24), {"padding": ((1, 0), (2, 1)), "stride": 2}),
    "phases_of_three": ((2, 33, 31, 20), (4, 8, 20, 24), {"padding": 2, "stride": 3}),
    "phases_along_one_axis": ((2, 31, 30, 20), (3, 3, 20, 24), {"padding": 1, "stride": (1, 2)}),
    "phases_and_other_taps": ((2, 31, 30, 20), (4, 4, 20, 24), {"padding": 1, "stride": (2, 1)}),
    "phases_without_taps": ((2, 31, 30, 20), (1, 4, 20, 24), {"stride": 2}),
    "phases_one_after_the_other": ((2, 60, 60, 180), (3, 4, 180, 200), {"padding": 1, "stride": 2}),
    "phases_of_one_and_two_taps": ((2, 33, 31, 20), (3, 3, 20, 24), {"padding": 1, "stride": 2}),
    "phases_of_few_channels": ((2, 45, 61, 3), (11, 11, 3, 130), {"padding": 2, "stride": 4}),
    "phases_of_few_channels_of_slices": ((3, 131, 190, 3), (6, 7, 3, 20), {"padding": 2, "stride": (2, 3)}),
    "phases_of_few_tiles": ((1, 20, 20, 180), (5, 5, 180, 60), {"padding": 2, "stride": 2}),
    "phases_of_groups": ((2, 33, 30, 40), (4, 4, 20, 24), {"padding": 1, "stride": 2, "groups": 2}),
    "phases_of_a_volume": ((1, 9, 20, 21, 16), (3, 4, 4, 16, 20), {"padding": 1, "stride": 2}),
    "phases_of_a_signal": ((3, 500, 20), (4, 20, 30), {"padding": 1, "stride": 2}),
    "dilated": ((2, 33, 30, 20), (3, 3, 20, 24), {"padding": 2, "dilation": 2}),
    "unequally_dilated": ((2, 33, 30, 20), (5, 3, 20, 24), {"padding": ((4, 0), (7, 9)), "dilation": (2, 5)}),
    "dilated_beyond_the_map": ((2, 6, 5, 20), (3, 2, 20, 24), {"padding": ((9, 8), (7, 9)), "dilation": 9}),
    "dilated_and_phases": ((2, 31, 30, 20), (3, 4, 20, 24), {"padding": 2, "dilation": (3, 1), "stride": (1, 2)}),
    "dilated_few_tiles": ((1, 14, 13, 130), (3, 3, 130, 70), {"padding": 2, "dilation": 2}),
    "dilated_volume": ((1, 7, 20, 21, 20), (3, 3, 3, 20, 24), {"padding": 2, "dilation": 2}),
    "dilated_groups": ((4, 29, 31, 64), (3, 3, 32, 96), {"padding": 3, "dilation": 3, "groups": 2}),
    "dilated_signal": ((3, 500, 20), (3, 20, 30), {"padding": "causal", "dilation": 16}),
}


def arrays(way, dtype=np.float32):
    shape, weight, keywords = WAYS[way]
    x, w = numbers(INTEGERS, shape, dtype), numbers(INTEGERS, weight, dtype)
    forward = getattr(fc, f"conv{len(shape) - 2}d")
    expected = forward(x, w, **keywords, algorithm="im2col")
    return x, w, numbers(INTEGERS, expected.shape, dtype), keywords


def passes(x, w, grad, algorithm, **keywords):
    rank = x.ndim - 2
    forward, backward = getattr(fc, f"conv{rank}d"), getattr(fc, f"conv{rank}d_backward")
    gradients = backward(grad, x, w, **keywords, algorithm=algorithm, wrt=("input", "weight"))
    return forward(x, w, **keywords, algorithm=algorithm), gradients.input, gradients.weight


@pytest.mark.parametrize("tile", [2, 4, 6])
@pytest.mark.parametrize("way", WAYS)
def test_integers_come_out_within_rounding(way, tile, dtype, isa):
    x, w, grad, keywords = arrays(way, dtype)
    with fc.options(winograd=tile):
        found = passes(x, w, grad, "winograd", **keywords)
    pairs = ((x, w), (grad, w), (x, grad))
    for one, other, pair in zip(found, passes(x, w, grad, "im2col", **keywords), pairs, strict=True):
        assert_close(one, other, rounding("winograd", *pair), way, tile, isa)


@pytest.mark.parametrize("way", WAYS)
def test_any_number_of_threads_gives_the_same_bits(way, isa):
    """Of numbers that are rounded: without masks, the values at the ends of vectors are computed in another loop."""
    x, w, grad, keywords = arrays(way)
    x, w, grad = (numbers(GAUSSIAN, array.shape, array.dtype.type) for array in (x, w, grad))
    with fc.options(num_threads=1):
        expected = passes(x, w, grad, "winograd", **keywords)
    for threads in (2, 3, 8, 16):
        with fc.options(num_threads=threads):
            for one, other in zip(passes(x, w, grad, "winograd", **keywords), expected, strict=True):
                assert_same_bits(one, other, way, isa, threads)


@pytest.mark.parametrize(("extents", "which"), [
    ((66, 70, 244, 245), "weight"),  # 8.2 MB of sums: three rounds of 128 tiles
    ((41, 43, 420, 424), "output"),  # 25 MB of a transformed weight: blocks of 64 tiles, and there are 121
    ((41, 43, 420, 424), "input"),
])  # fmt: skip
def test_what_no_cache_holds_comes_out_as_for_a_few_channels(extents, which, isa):
    height, width, channels, filters = extents
    x = numbers(GAUSSIAN, (1, height, width, channels), np.float32, 0)
    w = numbers(GAUSSIAN, (3, 3, channels, filters), np.float32, 1)
    grad = numbers(GAUSSIAN, (1, height, width, filters), np.float32, 2)
    few = slice(7, 12)

    def compute(x, w, grad, algorithm):
        if which == "output":
            return fc.conv2d(x, w, padding=1, algorithm=algorithm)
        return getattr(fc.conv2d_backward(grad, x, w, padding=1, wrt=(which,), algorithm=algorithm), which)

    found = []
    for threads in (1, 3):
        with fc.options(num_threads=threads):
            found.append(compute(x, w, grad, "winograd"))
    assert_same_bits(*found, which, isa)
    part = (x, w[..., few], grad[..., few]) if which != "input" else (x[..., few], w[:, :, few], grad)
    expected = compute(*part, "direct")
    assert np.abs(found[0][..., few] - expected).max() < 1e-5 * np.abs(expected).max(), isa


def test_bias_and_activation_are_part_of_the_result(dtype, isa):
    x, w, _, keywords = arrays("many_tiles", dtype)
    bias = numbers(INTEGERS, w.shape[-1:], dtype)
    found = fc.conv2d(x, w, bias, **keywords, activation="relu", algorithm="winograd")
    expected = fc.conv2d(x, w, bias, **keywords, activation="relu", algorithm="im2col")
    assert_close(found, expected, rounding("winograd", x, w), isa)


@pytest.mark.parametrize("filters", [32, 33])
def test_outputs_larger_than_the_caches_are_whole(filters, isa):
    """They may be written past the caches; 33 filters leave vectors that aren't full."""
    x, w = numbers(INTEGERS, (1, 301, 303, 8), np.float32), numbers(INTEGERS, (3, 3, 8, filters), np.float32)
    found, expected = (fc.conv2d(x, w, padding=1, algorithm=name) for name in ("winograd", "im2col"))
    assert_close(found, expected, rounding("winograd", x, w), isa)


def test_an_input_of_any_strides_is_read_where_it_is():
    x, w, _, keywords = arrays("many_tiles")
    wide = np.zeros((2, 41, 2 * 39, 24), np.float32)
    wide[:, :, ::2] = x
    for view in (wide[:, :, ::2], np.ascontiguousarray(x[:, ::-1, ::-1])[:, ::-1, ::-1]):
        assert_same_bits(
            fc.conv2d(view, w, **keywords, algorithm="winograd"), fc.conv2d(x, w, **keywords, algorithm="winograd")
        )


# The choice

LAYER = np.zeros((2, 28, 28, 128), np.float32), np.zeros((3, 3, 128, 128), np.float32)


def algorithms_of(x, w, **keywords):
    return {plan.algorithm for plan in fc.explain(x, w, **keywords)}


def test_auto_takes_it_for_layers_of_networks_and_tells_the_tile():
    plan = fc.explain(*LAYER, padding=1)
    assert {one.algorithm for one in plan} == {"winograd"}
    assert plan.forward.reason.startswith("F(4x4, 3x3): 36 multiplications instead of 144")
    assert plan.forward.workspace_bytes > 36 * 128 * 128 * 4


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [((5, 5), "F(2x2, 5x5): 36 multiplications instead of 100"), ((3, 5), "F(4x2, 3x5): 36 multiplications instead of"),
     ((3,), "F(1x4, 1x3): 6 multiplications instead of 12"), ((5,), "F(1x2, 1x5): 6 multiplications instead of 10"),
     ((3, 1), "F(4x1, 3x1): 6 multiplications instead of 12"), ((3, 3, 3), "F(4x4, 3x3): 36 multiplications"),
     ((2, 2), "F(4x4, 2x2): 25 multiplications instead of 64")],
)  # fmt: skip
def test_the_reason_tells_the_tile_of_every_kernel(kernel, reason):
    x = np.broadcast_to(np.float32(0), (20, *(40,) * len(kernel), 256))
    w = np.broadcast_to(np.float32(0), (*kernel, 256, 256))
    assert fc.explain(x, w, padding="same").forward.reason.startswith(reason)


def test_the_reason_tells_of_dilation():
    for plan in fc.explain(*LAYER, padding="same", dilation=2):
        assert plan.reason.startswith("F(4x4, 3x3) of pixels as far apart as the dilation: 36 multiplications")


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [(4, "F(4x4, 2x2) in each phase of the stride: 25 multiplications instead of 64"),
     (5, "F(4x4, 3x3) in each phase of the stride: 36 multiplications instead of 144")],
)  # fmt: skip
def test_the_reason_tells_of_phases(kernel, reason):
    x, w = np.zeros((8, 56, 56, 128), np.float32), np.zeros((kernel, kernel, 128, 128), np.float32)
    for plan in fc.explain(x, w, padding="same", stride=2):
        assert plan.reason.startswith(reason)


def test_the_reason_tells_of_phases_only_where_transformed_axes_have_some():
    x, w = (np.broadcast_to(np.float32(0), shape) for shape in ((2, 9, 30, 30, 128), (3, 3, 3, 128, 128)))
    for plan in fc.explain(x, w, padding=1, stride=(2, 1, 1)):
        assert plan.reason.startswith("F(4x4, 3x3): 36 multiplications instead of 144")


@pytest.mark.parametrize(
    ("x", "w", "keywords"),
    [((2, 42, 79, 1), (2, 7, 1, 16), {"stride": (2, 3), "padding": (4, 2), "dilation": (2, 1)}),
     ((2, 2, 38, 16), (5, 3, 16, 13), {"stride": (4, 1), "padding": ((2, 8), (0, 1))})],
)  # fmt: skip
def test_auto_never_takes_it_where_it_would_transform_nothing(x, w, keywords):
    plan = fc.explain(np.zeros(x, np.float32), np.zeros(w, np.float32), **keywords)
    assert "F(1x1, 1x1)" not in plan.backward_input.reason


@pytest.mark.parametrize(
    ("x", "w"),
    [((8, 56, 56, 3), (3, 3, 3, 64)), ((8, 56, 56, 64), (3, 3, 64, 2)), ((1, 4, 4, 512), (3, 3, 512, 512)),
     ((4, 30, 30, 4096), (3, 3, 4096, 4096))],
)  # fmt: skip
def test_auto_leaves_few_channels_few_pixels_and_huge_weights_to_others(x, w):
    assert "winograd" not in algorithms_of(np.zeros(x, np.float32), np.broadcast_to(np.float32(0), w), padding=1)


def test_options_switch_it_off_and_larger_tiles_on():
    with fc.options(winograd=False):
        assert "winograd" not in algorithms_of(*LAYER, padding=1) and fc.info()["winograd"] == 0
        with fc.options(winograd=True):
            assert algorithms_of(*LAYER, padding=1) == {"winograd"}
    with fc.options(winograd=2):
        assert fc.explain(*LAYER, padding=1).forward.reason.startswith("F(2x2, 3x3)")
    with fc.options(winograd=6):
        plan = fc.explain(np.zeros((2, 60, 60, 128), np.float32), LAYER[1], padding=1)
        assert plan.forward.reason.startswith("F(6x6, 3x3)")
        assert plan.backward_weight.reason.startswith("F(4x4, 3x3)")
    assert fc.info()["winograd"] == 4


@pytest.mark.parametrize(("value", "error"), [(3, ValueError), (-1, ValueError), (1.5, TypeError), ("on", TypeError)])
def test_an_impossible_tile_is_an_error_that_names_it(value, error):
    with pytest.raises(error, match=rf"winograd .*{value}"):
        fc.options(winograd=value).__enter__()
    assert fc.info()["winograd"] == 4


@pytest.mark.parametrize(("value", "limit"), [("0", 0), ("2", 2), ("6", 6), ("", 4)])
def test_the_environment_switches_it(value, limit, monkeypatch):
    monkeypatch.setenv("FASTCONV_WINOGRAD", value)
    code = "import fastconv; print(fastconv.info()['winograd'])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == str(limit)


# Accuracy: what docs/winograd.md promises.


def errors_over_direct(kernel, stride, channels, size, data, outputs=48):
    """Return the root mean square errors of the passes relative to those of "direct", and which passes "auto" takes."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, size, size, channels), np.float32)
    w = rng.standard_normal((kernel, kernel, channels, outputs), np.float32)
    how = {"padding": kernel // 2, "stride": stride}
    grad = rng.standard_normal(fc.conv2d(x, w, **how).shape, np.float32)
    if data == "after_relu":
        x = np.maximum(x, 0)
        grad[rng.random(grad.shape) < 0.5] = 0
    exact = passes(*(a.astype(np.float64) for a in (x, w, grad)), "direct", **how)
    error = {
        name: [np.sqrt(np.mean((a - b) ** 2)) for a, b in zip(passes(x, w, grad, name, **how), exact, strict=True)]
        for name in ("winograd", "direct")
    }
    taken = np.array([plan.algorithm == "winograd" for plan in fc.explain(x, w, **how)])
    return np.divide(error["winograd"], error["direct"]), taken


@pytest.mark.parametrize("data", ["gaussian", "after_relu"])
@pytest.mark.parametrize(
    ("kernel", "stride", "channels", "size"),
    [(3, 1, 64, 56), (3, 1, 256, 14), (5, 1, 64, 27), (2, 1, 64, 56), (3, 2, 64, 56), (4, 2, 64, 56), (5, 2, 64, 56)],
)
def test_the_error_is_at_most_three_times_that_of_direct_summation(kernel, stride, channels, size, data, isa):
    ratios, _ = errors_over_direct(kernel, stride, channels, size, data)
    assert (ratios < 3).all(), (ratios, isa)


@pytest.mark.parametrize("data", ["gaussian", "after_relu"])
def test_the_error_is_small_where_few_channels_in_many_phases_are_taken(data, isa):
    ratios, taken = errors_over_direct(kernel=11, stride=4, channels=3, size=227, data=data, outputs=64)
    assert list(taken) == [True, False, True] and (ratios[taken] < 3).all(), (ratios, isa)
