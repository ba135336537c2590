"""What each algorithm supports, and which one is taken: nothing leaves the other tests unseen."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
from algorithms import is_exact, supports
from cases import CONV, named
from problems import INTEGERS, problem


@pytest.mark.parametrize("name", ["direct", "im2col", "grouped", "planar"])
def test_those_that_add_up_products_support_every_case_and_are_exact(name):
    assert name in fc.algorithms() and is_exact(name)
    assert not [case for case in CONV if not supports(name, case)]


def is_for_fourier(case):
    """Stride one; and but along the width, a kernel of one without padding."""

    def is_of(value, wanted):
        return value == wanted or (isinstance(value, tuple) and all(is_of(one, wanted) for one in value))

    flat = case.kernel[:-1]
    padding = case.padding if isinstance(case.padding, tuple) else (case.padding,) * case.rank
    named_padding = isinstance(case.padding, str)  # of no effect on a kernel of one
    unpadded = named_padding or all(is_of(pad, 0) for pad in padding[: len(flat)])
    return is_of(case.stride, 1) and is_of(flat, 1) and unpadded


def test_fourier_transforms_serve_kernels_along_the_width_with_stride_one():
    assert not is_exact("fft")
    expected = {str(case) for case in CONV if is_for_fourier(case)}
    assert {str(case) for case in CONV if supports("fft", case)} == expected
    assert len(expected) > 20


def test_an_unknown_algorithm_is_exact_in_nothing():
    assert not is_exact("magic")


def taken(case):
    given = problem(case, INTEGERS, np.float32)
    return {plan.algorithm for plan in fc.explain(given.input, given.weight, **case.keywords)}


def test_auto_transforms_where_the_kernel_is_long_and_the_signal_too():
    x, w = np.zeros((1, 16384, 16), np.float32), np.zeros((1024, 16, 16), np.float32)
    plan = fc.explain(x, w)
    assert {one.algorithm for one in plan} == {"fft"} and "long kernel" in plan.forward.reason


@pytest.mark.parametrize("case", named("1d_long_kernel_one_filter", "1d_depthwise_31_taps", "2d_flat_kernel"), ids=str)
def test_auto_adds_up_where_the_kernel_is_short(case):
    assert "fft" not in taken(case)


def test_the_workspace_of_long_signals_is_bounded():
    w = np.zeros((512, 4, 4), np.float32)
    few, many = (
        fc.explain(np.zeros((1, length, 4), np.float32), w, algorithm="fft").forward.workspace_bytes
        for length in (200_000, 2_000_000)
    )
    assert few == many


@pytest.mark.parametrize(
    ("input", "weight", "groups"), [((32, 32, 1), (5, 5, 1, 6), 1), ((64, 64, 3), (5, 5, 1, 3), 3)], ids=str
)
def test_auto_runs_along_the_width_where_channels_are_few(input, weight, groups):
    plan = fc.explain(np.zeros((1, *input), np.float32), np.zeros(weight, np.float32), groups=groups, padding=2)
    assert {one.algorithm for one in plan} == {"planar"} and "few channels" in plan.forward.reason


def test_auto_runs_along_the_width_where_many_channels_become_few():
    plan = fc.explain(np.zeros((1, 14, 14, 6), np.float32), np.zeros((5, 5, 6, 16), np.float32))
    assert plan.backward_input.algorithm == "planar"


def test_auto_runs_across_the_channels_where_they_are_many():
    plan = fc.explain(np.zeros((1, 32, 32, 64), np.float32), np.zeros((3, 3, 64, 32), np.float32))
    assert "planar" not in {one.algorithm for one in plan}


@pytest.mark.parametrize(
    ("channels", "stride", "chosen"),
    [(3, 1, "grouped"), (3, 2, "grouped"), (6, 2, "direct"), (9, 2, "direct"), (12, 2, "direct")],
)
def test_auto_runs_across_groups_where_their_channels_are_few(channels, stride, chosen, isa):
    plan = fc.explain(
        np.zeros((4, 28, 28, 10 * channels), np.float32),
        np.zeros((3, 3, channels, 10 * channels), np.float32),
        groups=10,
        stride=stride,
        padding=1,
    )
    assert {one.algorithm for one in plan} == {chosen}, isa


@pytest.mark.parametrize(
    ("inputs", "outputs", "dtype"), [(1, 1, "float32"), (1, 1, "float64"), (1, 2, "float32"), (2, 2, "float32")]
)
def test_auto_runs_across_groups_of_one_or_two_channels(inputs, outputs, dtype, isa):
    x, w = np.zeros((4, 28, 28, 20 * inputs), dtype), np.zeros((3, 3, inputs, 20 * outputs), dtype)
    plan = fc.explain(x, w, groups=20, stride=2, padding=1)
    assert {one.algorithm for one in plan} == {"grouped"}, isa


def test_the_workspace_of_planes_is_bounded():
    w = np.zeros((5, 5, 1, 6), np.float32)
    few, many = (
        fc.explain(np.zeros((1, lines, 100, 1), np.float32), w, algorithm="planar").forward.workspace_bytes
        for lines in (1_000, 100_000)
    )
    assert many < 1.5 * few  # lines are cut evenly


@pytest.mark.parametrize(
    ("stride", "dilation", "groups"), [(1, 1, 1), ((2, 1), 1, 1), (2, (3, 2), 1), (1, 2, 3), (3, 1, 3)], ids=str
)
@pytest.mark.parametrize("size", [(301, 83), (11, 4101)], ids=["tall", "wide"])
def test_planes_of_large_images_come_in_blocks_that_fit_together(size, stride, dilation, groups, isa):
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (2, *size, 3)).astype(np.float32)
    weight = rng.integers(-4, 5, (5, 3, 3 // groups, 6)).astype(np.float32)
    sliding = {"stride": stride, "dilation": dilation, "groups": groups, "padding": ((3, 1), (2, 2))}
    found, expected = (fc.conv2d(x, weight, **sliding, algorithm=name) for name in ("planar", "direct"))
    np.testing.assert_array_equal(found, expected, isa)
    grad = rng.integers(-4, 5, found.shape).astype(np.float32)
    for one, other in zip(
        *(fc.conv2d_backward(grad, x, weight, **sliding, algorithm=name) for name in ("planar", "direct")), strict=True
    ):
        np.testing.assert_array_equal(one, other, isa)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("kernel", "channels", "stride"), [(3, 16, 1), (3, 23, 2), (5, 40, 1), (7, 20, 1), (7, 23, 2)])
def test_lines_of_every_width_are_added_up_exactly(kernel, channels, stride, dtype, isa):
    """Tiles of lines have 1, 4, 7 or 8 pixels, of one vector of channels or two, by the width and the taps."""
    rng = np.random.default_rng(0)
    how = {"stride": stride, "padding": kernel // 2, "groups": channels}
    w = rng.integers(-4, 5, (kernel, kernel, 1, channels)).astype(dtype)
    for width in (*range(1, 37), 41, 42, 49, 56, 64, 65, 70):
        x = rng.integers(-4, 5, (1, 4, width, channels)).astype(dtype)
        found, expected = (fc.conv2d(x, w, algorithm=name, **how) for name in ("grouped", "im2col"))
        np.testing.assert_array_equal(found, expected, f"{width}")
        found, expected = (fc.conv2d_backward(expected, x, w, algorithm=name, **how) for name in ("grouped", "im2col"))
        np.testing.assert_array_equal(found.input, expected.input, f"{width}")
        np.testing.assert_array_equal(found.weight, expected.weight, f"{width}")
