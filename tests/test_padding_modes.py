"""Padding with what stands in the input: every algorithm and pass against the oracle, which pads a copy."""

from __future__ import annotations

import numpy as np
import pytest

import fastconv as fc
import oracle
from algorithms import assert_right, rounding, supports
from cases import ConvCase
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers, slope

MODES = ("reflect", "replicate", "circular")
CASES = [
    ConvCase("1d_causal", (2, 9, 3), (4,), 5, padding="causal"),
    ConvCase("1d_long", (1, 40, 2), (33,), 3, padding=16),
    ConvCase("2d_3x3", (2, 7, 8, 5), (3, 3), 7, padding=1),
    ConvCase("2d_3x3_many_channels", (1, 12, 13, 33), (3, 3), 35, padding=1),
    ConvCase("2d_one_side", (1, 5, 6, 3), (4, 3), 4, padding=((3, 0), (0, 2))),
    ConvCase("2d_every_window_leaves", (1, 3, 3, 3), (5, 5), 4, padding=2),
    ConvCase("2d_same_stride_2", (2, 8, 7, 3), (5, 4), 4, stride=2, padding="same"),
    ConvCase("2d_stride_over_kernel", (1, 9, 9, 3), (2, 2), 4, stride=3, padding=1),
    ConvCase("2d_dilation", (1, 9, 8, 3), (3, 3), 4, padding=(4, 2), dilation=(4, 2)),
    ConvCase("2d_groups", (2, 6, 5, 6), (3, 3), 8, padding=2, groups=2),
    ConvCase("2d_depthwise", (2, 6, 5, 37), (3, 3), 37, padding=1, groups=37),
    ConvCase("2d_no_images", (0, 6, 5, 3), (3, 3), 4, padding=1),
    ConvCase("3d", (1, 4, 3, 5, 3), (3, 2, 3), 4, stride=(1, 1, 2), padding=(1, 1, 2)),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)
every_mode = pytest.mark.parametrize("mode", MODES)


def forward(case, *arrays, **options):
    return getattr(fc, f"conv{case.rank}d")(*arrays, **case.keywords, **options)


def backward(case, *arrays, **options):
    return getattr(fc, f"conv{case.rank}d_backward")(*arrays, **case.keywords, **options)


def arrays(case, kind, dtype):
    shapes = case.input, case.weight, case.output
    return tuple(numbers(kind, shape, dtype, which) for which, shape in enumerate(shapes))


@every_case
@every_mode
def test_all_passes_of_integers_equal_the_oracle(case, mode, algorithm, dtype):
    x, w, grad = arrays(case, INTEGERS, dtype)
    bias = numbers(INTEGERS, (case.filters,), dtype)
    for offset, activation in ((None, None), (bias, "relu")):
        expected = oracle.conv(x, w, offset, activation=activation, padding_mode=mode, **case.keywords)
        output = forward(case, x, w, offset, activation=activation, padding_mode=mode, algorithm=algorithm)
        assert_right(output, expected, rounding(algorithm, x, w), case, mode, algorithm, activation)
    gradients = backward(case, grad, x, w, padding_mode=mode, algorithm=algorithm)
    doubts = rounding(algorithm, grad, w), rounding(algorithm, x, grad), 0.0
    expected = oracle.conv_backward(grad, x, w, padding_mode=mode, **case.keywords)
    for name, found, right, doubt in zip(gradients._fields, gradients, expected, doubts, strict=True):
        assert_right(found, right, doubt, case, mode, algorithm, name)


@every_mode
def test_every_instruction_set_agrees(mode, isa):
    case = CASES[3]
    x, w, grad = arrays(case, INTEGERS, np.float32)
    output = forward(case, x, w, padding_mode=mode, algorithm="direct")
    assert_equal(output, oracle.conv(x, w, padding_mode=mode, **case.keywords), isa)
    gradients = backward(case, grad, x, w, padding_mode=mode, algorithm="direct")
    for found, right in zip(
        gradients, oracle.conv_backward(grad, x, w, padding_mode=mode, **case.keywords), strict=True
    ):
        assert_equal(found, right, isa)


@every_mode
@pytest.mark.parametrize("case", [CASES[0], CASES[4], CASES[9], CASES[12]], ids=str)
def test_gradients_agree_with_finite_differences(case, mode):
    x, w, grad = arrays(case, GAUSSIAN, np.float64)
    gradients = backward(case, grad, x, w, padding_mode=mode)
    numeric = slope(lambda x: (forward(case, x, w, padding_mode=mode) * grad).sum(), x)
    assert_close(gradients.input, numeric, 1e-10, case, mode)
    numeric = slope(lambda w: (forward(case, x, w, padding_mode=mode) * grad).sum(), w)
    assert_close(gradients.weight, numeric, 1e-10, case, mode)


@every_mode
def test_bits_do_not_depend_on_the_number_of_threads(mode, algorithm):
    case = ConvCase("large", (3, 20, 21, 24), (3, 3), 40, padding=1)
    if not supports(algorithm, case):
        pytest.skip(f"{algorithm} doesn't support this case")
    x, w, grad = arrays(case, GAUSSIAN, np.float32)
    runs = []
    for threads in (1, 2, 3):
        with fc.options(num_threads=threads):
            output = forward(case, x, w, padding_mode=mode, algorithm=algorithm)
            runs.append((output, *backward(case, grad, x, w, padding_mode=mode, algorithm=algorithm)))
    for run in runs[1:]:
        for found, first in zip(run, runs[0], strict=True):
            assert_same_bits(found, first, mode, algorithm)


def test_modes_by_hand():
    row = np.array([[[1.0], [2.0], [3.0]]])
    taps = np.eye(5).reshape(5, 5, 1, 1)  # the k-th kernel picks the k-th number of the padded row
    for mode, padded in (
        ("zeros", [0, 0, 1, 2, 3, 0, 0]),
        ("reflect", [3, 2, 1, 2, 3, 2, 1]),
        ("replicate", [1, 1, 1, 2, 3, 3, 3]),
        ("circular", [2, 3, 1, 2, 3, 1, 2]),
    ):
        picked = [fc.conv1d(row, tap, padding=2, padding_mode=mode)[0, :, 0] for tap in taps]
        assert_equal(np.array([*(p[0] for p in picked), *picked[-1][1:]]), np.array(padded, float), mode)


X, W = np.zeros((1, 4, 5, 2)), np.zeros((9, 9, 2, 3))


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"padding": 4, "padding_mode": "reflect"}, ValueError, "'reflect' takes a padding of at most 3 along axis 0"),
        (
            {"padding": (3, 5), "padding_mode": "reflect"},
            ValueError,
            "at most 4 along axis 1, whose extent is 5, got 5",
        ),
        (
            {"padding": 5, "padding_mode": "circular"},
            ValueError,
            "'circular' takes a padding of at most 4 along axis 0",
        ),
        ({"padding": 4, "padding_mode": "mirror"}, ValueError, "padding_mode must be 'zeros', .* got 'mirror'"),
        ({"padding": 4, "padding_mode": 3}, TypeError, "padding_mode must be a string, got 3"),
    ],
)
def test_padding_that_reaches_too_far_is_an_error(keywords, error, message):
    with pytest.raises(error, match=rf"^conv2d: .*{message}"):
        fc.conv2d(X, W, **keywords)


def test_an_explanation_counts_the_memory_of_what_is_added():
    x, w = np.zeros((1, 16, 16, 128), np.float32), np.zeros((3, 3, 128, 128), np.float32)
    plain, wrapped = (
        fc.explain(x, w, padding=1, padding_mode=mode, algorithm="direct") for mode in ("zeros", "circular")
    )
    rows = 1024 * (128 + 128) * 4  # of both sides of a piece of what is added
    for before, after in zip(plain, wrapped, strict=True):
        assert after.workspace_bytes >= max(before.workspace_bytes, rows)
    assert plain.backward_weight.workspace_bytes > 0
