"""The oracle against numbers worked out by hand, finite differences, and SciPy. Needs no compiled extension."""

from __future__ import annotations

import ast
import math
import sys
from pathlib import Path

import numpy as np
import pytest

import oracle
from cases import CONV, POOL, named
from exercise import FILTER, INPUT, OUTPUT
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, numbers, problem, slope


def image(plane):
    return np.asarray(plane, np.float64)[None, ..., None]


def weights(plane):
    return np.asarray(plane, np.float64)[..., None, None]


def test_the_exercise_by_hand():
    assert_equal(oracle.conv(image(INPUT), weights(FILTER)), image(OUTPUT))


def test_the_exercise_with_bias_and_relu():
    expected = [[0, 0, 0], [2, 9, 0], [0, 0, 0]]
    assert_equal(oracle.conv(image(INPUT), weights(FILTER), [-9], activation="relu"), image(expected))


def test_the_exercise_with_stride_2_takes_the_corners():
    assert_equal(oracle.conv(image(INPUT), weights(FILTER), stride=2), image([[8, 8], [4, 8]]))


def test_the_exercise_with_padding_by_hand():
    # (0,0) sees the four numbers of the input's upper left corner under the filter's lower right one:
    #       -1*1 + 1*2 + 1*0 + 0*1 = 1; the lower right corner of the input under the upper left of the filter is
    #       1*0 + 0*2 + 0*2 - 1*1 = -1
    padded = oracle.conv(image(INPUT), weights(FILTER), padding=1)[0, ..., 0]
    assert padded[0, 0] == 1 and padded[4, 4] == -1
    assert_equal(padded[1:4, 1:4], OUTPUT.astype(float))


def test_dilation_by_hand():
    # One output: taps at 0 and 4 alone when a 2x2 filter is dilated by 4; 1*1 + 2*3 + 3*0 + 4*1 = 11
    assert_equal(oracle.conv(image(INPUT), weights([[1, 2], [3, 4]]), dilation=4), image([[11]]))


def test_gradients_by_hand():
    # A filter (a, b) = (2, 3) over (x0, x1, x2) = (5, 7, 11) gives (a x0 + b x1, a x1 + b x2); with (g0, g1) = (1, 10)
    # grad x = (a g0, b g0 + a g1, b g1) = (2, 3 + 20, 30); grad (a, b) = (x0 g0 + x1 g1, x1 g0 + x2 g1) = (75, 117)
    grads = oracle.conv_backward(image([1, 10]), image([5, 7, 11]), weights([2, 3]))
    for actual, expected in zip(grads, (image([2, 23, 30]), weights([75, 117]), np.array([11.0])), strict=True):
        assert_equal(actual, expected)


def test_groups_by_hand():
    # Two channels, four filters: the first two see channel 0 alone, the others channel 1.
    output = oracle.conv(np.array([[[3.0, 5.0]]]), np.array([[[1.0, 2.0, 10.0, 20.0]]]), groups=2)
    assert_equal(output, np.array([[[3.0, 6.0, 50.0, 100.0]]]))


def test_groups_are_convolutions_side_by_side():
    x, w = numbers(INTEGERS, (2, 6, 5, 6), np.float64), numbers(INTEGERS, (3, 2, 2, 9), np.float64)
    apart = [oracle.conv(x[..., 2 * g : 2 * g + 2], w[..., 3 * g : 3 * g + 3], padding=1) for g in range(3)]
    assert_equal(oracle.conv(x, w, padding=1, groups=3), np.concatenate(apart, axis=-1))


@pytest.mark.parametrize(
    ("padding", "extent", "kernel", "stride", "dilation", "expected"),
    [
        ("valid", 9, 3, 2, 1, (0, 0)),
        ("full", 9, 3, 1, 2, (4, 4)),
        ("causal", 9, 3, 1, 2, (4, 0)),
        ("same", 9, 3, 1, 1, (1, 1)),
        ("same", 9, 4, 1, 1, (1, 2)),
        ("same_lower", 9, 4, 1, 1, (2, 1)),
        ("same", 9, 3, 2, 1, (1, 1)),  # 5 outputs need 4 * 2 + 3 = 11 positions, 2 more than there are
        ("same", 10, 3, 2, 1, (0, 1)),  # 5 outputs need 11 positions, 1 more than there are
        ("same_lower", 10, 3, 2, 1, (1, 0)),
        ("same", 10, 2, 3, 1, (0, 1)),  # 4 outputs need 3 * 3 + 2 = 11
        ("same", 9, 2, 3, 1, (0, 0)),  # 3 outputs need 8: one position stays unseen
        ("same", 9, 3, 1, 3, (3, 3)),
        (2, 9, 3, 1, 1, (2, 2)),
        ((2,), 9, 3, 1, 1, (2, 2)),
        (((2, 5),), 9, 3, 1, 1, (2, 5)),
    ],
)
def test_padding_by_hand(padding, extent, kernel, stride, dilation, expected):
    assert oracle.resolve_padding(padding, (extent,), (kernel,), (stride,), (dilation,)) == [expected]


@pytest.mark.parametrize("case", CONV, ids=str)
def test_output_sizes_follow_the_formula(case):
    sliding = oracle.Sliding(case.input, case.kernel, **case.sliding)
    assert min(sliding.output) >= 1
    for axis, (before, after) in enumerate(sliding.pads):
        reach = sliding.dilation[axis] * (case.kernel[axis] - 1)
        extent, stride = case.input[1 + axis], sliding.stride[axis]
        assert sliding.output[axis] == (extent + before + after - reach - 1) // stride + 1
        if case.padding in ("same", "same_lower"):
            assert sliding.output[axis] == math.ceil(extent / stride)
        if case.padding == "full" and stride == 1:
            assert sliding.output[axis] == extent + reach


@pytest.mark.parametrize("case", [case for case in CONV if case.input[0]], ids=str)
def test_convolution_agrees_with_scipy(case):
    """Correlate every channel with SciPy, which knows neither stride nor dilation: spread the filter, skip outputs."""
    signal = pytest.importorskip("scipy.signal")
    given, sliding = problem(case, INTEGERS, np.float64), oracle.Sliding(case.input, case.kernel, **case.sliding)
    every = tuple(slice(None, None, step) for step in sliding.dilation)
    spread = np.zeros(
        (*(d * (k - 1) + 1 for k, d in zip(case.kernel, sliding.dilation, strict=True)), *case.weight[-2:])
    )
    spread[every] = given.weight
    padded = np.pad(given.input, [(0, 0), *sliding.pads, (0, 0)])
    kept = tuple(slice(None, None, step) for step in sliding.stride)
    expected, per_group = np.zeros(case.output), case.filters // case.groups
    for k in range(min(case.filters, 5)):
        for c in range(case.weight[-2]):
            channel = k // per_group * case.weight[-2] + c
            for n in range(case.input[0]):
                found = signal.correlate(padded[n, ..., channel], spread[..., c, k], mode="valid", method="direct")
                expected[n, ..., k] += found[kept]
    assert_equal(oracle.conv(given.input, given.weight, **case.keywords)[..., :5], expected[..., :5], case)


FINITE = named("1d_causal_stride_2", "1d_asymmetric", "2d_padding_over_kernel", "2d_groups_2", "2d_stride_2_dilation_2")
FINITE += named("2d_full", "2d_mixed_per_axis", "3d_mixed_per_axis", "3d_kernel_over_input")


@pytest.mark.parametrize("case", FINITE, ids=str)
def test_gradients_agree_with_finite_differences(case):
    x, w, b, g = problem(case, INTEGERS, np.float64)
    grads = oracle.conv_backward(g, x, w, **case.keywords)
    assert_equal(grads[0], slope(lambda x: (oracle.conv(x, w, **case.keywords) * g).sum(), x), case)
    assert_equal(grads[1], slope(lambda w: (oracle.conv(x, w, **case.keywords) * g).sum(), w), case)
    assert_equal(grads[2], slope(lambda b: (oracle.conv(x, w, b, **case.keywords) * g).sum(), b), case)


@pytest.mark.parametrize("case", [case for case in CONV if case.groups == 1], ids=str)
def test_patch_matrix_times_weight_is_the_convolution(case):
    given = problem(case, INTEGERS, np.float64)
    patches = oracle.im2col(given.input, case.kernel, **case.sliding)
    product = patches @ given.weight.reshape(-1, case.filters)
    assert_equal(product, oracle.conv(given.input, given.weight, **case.keywords), case)
    other = numbers(INTEGERS, patches.shape, np.float64)
    back = oracle.col2im(other, case.input, case.kernel, **case.sliding)
    assert (patches * other).sum() == (given.input * back).sum()


def test_patch_matrix_by_hand():
    x = np.array([[[1, 10], [2, 20], [3, 30]]])
    assert_equal(oracle.im2col(x, 2), np.array([[[1, 10, 2, 20], [2, 20, 3, 30]]]))
    ones = np.ones((1, 2, 4))
    assert_equal(oracle.col2im(ones, (1, 3, 2), 2), np.array([[[1.0, 1], [2, 2], [1, 1]]]))


def test_max_pooling_by_hand():
    nan = np.nan
    plane = [[1, 5, 5, 0], [2, 5, nan, nan], [-1, -1, -np.inf, 7], [-1, -1, -np.inf, 7]]
    output, indices = oracle.max_pool(image(plane), 2)
    assert_equal(output, image([[5, nan], [-1, 7]]))
    assert_equal(indices, image([[1, 6], [8, 11]]).astype(int))
    back = oracle.max_pool_backward(image([[1, 2], [3, 4]]), indices, (1, 4, 4, 1))
    assert_equal(back, image([[0, 1, 0, 0], [0, 0, 2, 0], [3, 0, 0, 4], [0, 0, 0, 0]]))


def test_max_pooling_of_padding_alone_and_of_minus_infinity():
    output, indices = oracle.max_pool(image([-np.inf, 3]), 1, padding=1)
    assert_equal(output, image([-np.inf, -np.inf, 3, -np.inf]))
    assert_equal(indices, image([-1, 0, 1, -1]).astype(int))
    assert_equal(oracle.max_pool_backward(image([1, 2, 3, 4]), indices, (1, 2, 1)), image([2, 3]))


def test_average_pooling_by_hand():
    x = image([2, 4, 6, 8, 10])
    # windows of 3 at -1, 1, 3 (and with ceil at 5, in the far padding: dropped; 6 positions would end it)
    assert_equal(oracle.avg_pool(x, 3, stride=2, padding=1), image([2, 6, 6]))
    assert_equal(oracle.avg_pool(x, 3, stride=2, padding=1, count_include_pad=False), image([3, 6, 9]))
    assert_equal(oracle.avg_pool(x, 3, stride=2, padding=1, divisor_override=2), image([3, 9, 9]))
    # windows of 2 at 0, 3 reach 4; ceil gives no more. Of 4 at 0, 3: the second is cut off by the end
    assert_equal(oracle.avg_pool(x, 4, stride=3, ceil_mode=True), image([5, 9]))
    # of 4 at -1, 2: the second covers 2..5, of which 5 is padding; a third would start at 5, in the padding: dropped
    assert_equal(oracle.avg_pool(x, 4, stride=3, padding=1, ceil_mode=True), image([3, 6]))
    assert_equal(oracle.avg_pool(x, 1, padding=1, count_include_pad=False), image([0, 2, 4, 6, 8, 10, 0]))
    # two positions, 3 apart: (2 + 8) / 2, (4 + 10) / 2, and with zeros around: (0 6), (2 8), (4 10), (6 0)
    assert_equal(oracle.avg_pool(x, 2, stride=1, dilation=3), image([5, 7]))
    assert_equal(oracle.avg_pool(x, 2, stride=1, dilation=3, padding=1), image([3, 5, 7, 3]))
    back = oracle.avg_pool_backward(image([3, 6, 12]), x.shape, 3, stride=2, padding=1)
    assert_equal(back, image([1, 3, 2, 6, 4]))


@pytest.mark.parametrize("case", POOL, ids=str)
def test_pooling_gradients_are_adjoint(case):
    """Both are linear maps for given indices: <pool(x), g> = <x, pool_backward(g)>."""
    x = numbers(INTEGERS, case.input, np.float64)
    output, indices = oracle.max_pool(x, case.kernel, **case.keywords)
    g = numbers(INTEGERS, output.shape, np.float64)
    seen = indices >= 0
    assert (output[seen] * g[seen]).sum() == (x * oracle.max_pool_backward(g, indices, x.shape)).sum()
    keywords = case.keywords
    for options in ({}, {"count_include_pad": False}, {"divisor_override": 4}):
        average = oracle.avg_pool(x, case.kernel, **keywords, **options)
        g = numbers(INTEGERS, average.shape, np.float64)
        back = oracle.avg_pool_backward(g, x.shape, case.kernel, **keywords, **options)
        assert (average * g).sum() == pytest.approx((x * back).sum(), abs=1e-9)


def test_average_pooling_is_a_depthwise_convolution_with_equal_weights():
    x = numbers(GAUSSIAN, (2, 7, 8, 3), np.float64)
    equal = np.full((3, 2, 1, 3), 1 / 6)
    expected = oracle.conv(x, equal, stride=2, padding=1, groups=3)
    assert_close(oracle.avg_pool(x, (3, 2), stride=2, padding=1), expected, 1e-12)


def test_max_pooling_agrees_with_sliding_windows():
    x = numbers(INTEGERS, (2, 9, 8, 3), np.float64)
    windows = np.lib.stride_tricks.sliding_window_view(x, (3, 2), axis=(1, 2))[:, ::2, ::3]
    output, indices = oracle.max_pool(x, (3, 2), stride=(2, 3))
    assert_equal(output, windows.max(axis=(-2, -1)))
    assert_equal(np.take_along_axis(x.reshape(2, 72, 3), indices.reshape(2, -1, 3), 1).reshape(output.shape), output)


def test_linear_softmax_and_cross_entropy_by_hand():
    assert_equal(oracle.linear([[1, 2]], [[1, 0, 3], [2, -4, 5]], [1, 1, 1]), np.array([[6.0, -7, 14]]))
    assert_equal(oracle.linear([[1, 2]], [[1, 0, 3], [2, -4, 5]], activation="relu"), np.array([[5.0, 0, 13]]))
    assert oracle.softmax(np.log([[1.0, 2, 5]])) == pytest.approx(np.array([[0.125, 0.25, 0.625]]))
    logits, labels = np.log([[1.0, 2, 5], [1, 1, 2]]), [2, 0]
    losses = [-math.log(5 / 8), -math.log(1 / 4)]
    assert oracle.cross_entropy(logits, labels) == pytest.approx(sum(losses) / 2)
    assert oracle.cross_entropy(logits, labels, reduction="sum") == pytest.approx(sum(losses))
    gradient = oracle.cross_entropy_backward(logits, labels, reduction="sum")
    assert gradient == pytest.approx(np.array([[1 / 8, 2 / 8, 5 / 8 - 1], [1 / 4 - 1, 1 / 4, 2 / 4]]))


def test_dense_gradients_agree_with_finite_differences():
    x, w, b, g = (numbers(INTEGERS, shape, np.float64) for shape in ((2, 3, 4), (4, 5), (5,), (2, 3, 5)))
    grads = oracle.linear_backward(g, x, w)
    assert_equal(grads[0], slope(lambda x: (oracle.linear(x, w, b) * g).sum(), x))
    assert_equal(grads[1], slope(lambda w: (oracle.linear(x, w, b) * g).sum(), w))
    assert_equal(grads[2], slope(lambda b: (oracle.linear(x, w, b) * g).sum(), b))
    logits, step = numbers(GAUSSIAN, (3, 5), np.float64), 1e-5
    grad = oracle.softmax_backward(numbers(GAUSSIAN, (3, 5), np.float64, 1), oracle.softmax(logits))
    finite = slope(lambda z: (oracle.softmax(z) * numbers(GAUSSIAN, (3, 5), np.float64, 1)).sum(), logits, step)
    assert_close(grad, finite, 1e-9)
    for reduction in ("mean", "sum"):
        grad = oracle.cross_entropy_backward(logits, [1, 4, 0], reduction=reduction)
        finite = slope(lambda z, r=reduction: oracle.cross_entropy(z, [1, 4, 0], reduction=r), logits, step)
        assert_close(grad, finite, 1e-9)


def test_oracle_imports_numpy_and_the_standard_library_alone():
    tree = ast.parse(Path(oracle.__file__).read_text())
    names = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in names} - sys.stdlib_module_names == {"numpy"}
