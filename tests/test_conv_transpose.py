"""Transposed convolution: every algorithm and instruction set against the oracle, and what makes it a gradient."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

import fastconv as fc
import oracle
from algorithms import assert_right, is_exact, rounding, supports
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers, slope


@dataclass(frozen=True)
class Case:
    name: str
    input: tuple  # (N, *spatial, C)
    kernel: tuple
    filters: int  # output channels
    stride: object = 1
    padding: object = 0
    output_padding: object = 0
    dilation: object = 1
    groups: int = 1
    transposed = True

    def __str__(self):
        return self.name

    @property
    def weight(self):
        return (*self.kernel, self.filters // self.groups, self.input[-1])

    @property
    def keywords(self):
        names = ("stride", "padding", "output_padding", "dilation", "groups")
        return {name: getattr(self, name) for name in names}

    def function(self, suffix=""):
        return getattr(fc, f"conv_transpose{len(self.kernel)}d{suffix}")

    def arrays(self, kind, dtype):
        """Input, weight, bias and gradient of the output."""
        x, w = numbers(kind, self.input, dtype, 0), numbers(kind, self.weight, dtype, 1)
        output = oracle.conv_transpose(x, w, **self.keywords)
        return x, w, numbers(kind, (self.filters,), dtype, 2), numbers(kind, output.shape, dtype, 3)


CASES = [
    Case("1d_single_number", (1, 1, 1), (1,), 1),
    Case("1d_overlap_and_add", (2, 9, 5), (8,), 3, stride=4),
    Case("1d_long_kernel_few_channels", (1, 7, 19), (64,), 1, stride=16, padding=24),
    Case("1d_causal", (1, 9, 3), (4,), 5, stride=2, padding="causal"),
    Case("1d_kernel_shorter_than_stride", (2, 5, 3), (2,), 7, stride=5),
    Case("1d_same_kernel_shorter_than_stride", (2, 5, 3), (2,), 7, stride=5, padding="same"),
    Case("2d_unet_2x2_stride_2", (2, 5, 7, 17), (2, 2), 9, stride=2),
    Case("2d_4x4_stride_2_padding_1", (2, 5, 4, 7), (4, 4), 13, stride=2, padding=1),
    Case("2d_3x3_stride_2_output_padding", (1, 4, 5, 6), (3, 3), 5, stride=2, padding=1, output_padding=1),
    Case("2d_output_padding_on_one_axis", (1, 4, 5, 3), (3, 3), 5, stride=(2, 3), padding=1, output_padding=(0, 2)),
    Case("2d_output_padding_over_stride", (1, 4, 5, 3), (3, 2), 4, stride=(1, 2), output_padding=(2, 1), dilation=3),
    Case("2d_3x3_stride_1_same", (1, 9, 8, 19), (3, 3), 17, padding="same"),
    Case("2d_same_stride_3", (2, 4, 5, 3), (5, 4), 6, stride=3, padding="same"),
    Case("2d_same_lower_stride_2", (2, 4, 5, 3), (5, 4), 6, stride=2, padding="same_lower"),
    Case("2d_full", (1, 8, 9, 3), (3, 4), 5, padding="full"),
    Case("2d_asymmetric_padding", (1, 5, 5, 3), (4, 3), 5, stride=2, padding=((0, 2), (1, 0))),
    Case("2d_groups_2", (1, 5, 4, 6), (3, 3), 8, stride=2, groups=2),
    Case("2d_depthwise", (2, 5, 4, 19), (3, 3), 19, stride=2, padding=1, groups=19),
    Case("2d_stride_2_dilation_3", (1, 5, 4, 3), (3, 2), 5, stride=2, dilation=3),
    Case("2d_to_an_image", (1, 9, 9, 33), (5, 5), 3, stride=2, padding=2),
    Case("2d_no_images", (0, 5, 4, 3), (2, 2), 5, stride=2),
    Case("3d_2x2x2_stride_2", (1, 3, 4, 5, 9), (2, 2, 2), 7, stride=2),
    Case("3d_mixed_per_axis", (2, 3, 2, 4, 6), (3, 1, 2), 4, stride=(1, 2, 3), padding=(1, 0, 1), groups=2,
         output_padding=(0, 1, 2)),
]  # fmt: skip
every_case = pytest.mark.parametrize("case", CASES, ids=str)


@every_case
def test_forward_of_integers_equals_the_oracle(case, algorithm, dtype, isa):
    x, w, bias, _ = case.arrays(INTEGERS, dtype)
    for offset, activation in ((None, None), (bias, None), (None, "relu"), (bias, "relu")):
        expected = oracle.conv_transpose(x, w, offset, activation=activation, **case.keywords)
        output = case.function()(x, w, offset, activation=activation, algorithm=algorithm, **case.keywords)
        assert output.dtype == dtype
        assert_right(output, expected, rounding(algorithm, x, w), case, algorithm, dtype, isa, activation)


@every_case
def test_gradients_of_integers_equal_the_oracle(case, algorithm, dtype, isa):
    x, w, _, grad = case.arrays(INTEGERS, dtype)
    gradients = case.function("_backward")(grad, x, w, algorithm=algorithm, **case.keywords)
    expected = oracle.conv_transpose_backward(grad, x, w, **case.keywords)
    doubts = rounding(algorithm, grad, w), rounding(algorithm, grad, x), 0.0
    for name, found, right, doubt in zip(gradients._fields, gradients, expected, doubts, strict=True):
        assert_right(found, right, doubt, case, algorithm, dtype, isa, f"gradient of the {name}")


@every_case
def test_it_is_the_adjoint_of_the_convolution_with_the_same_weight(case):
    x, w, _, grad = case.arrays(INTEGERS, np.float64)
    gradients = case.function("_backward")(grad, x, w, algorithm="direct", **case.keywords)
    output = case.function()(x, w, algorithm="direct", **case.keywords)
    assert (output * grad).sum() == (x * gradients.input).sum() == (w * gradients.weight).sum()


@pytest.mark.parametrize("case", [case for case in CASES if "3x3" in case.name or "mixed" in case.name], ids=str)
def test_gradients_agree_with_finite_differences(case):
    x, w, bias, grad = case.arrays(GAUSSIAN, np.float64)
    gradients = case.function("_backward")(grad, x, w, **case.keywords)
    run = case.function()
    losses = {
        "input": (x, lambda x: (run(x, w, bias, **case.keywords) * grad).sum()),
        "bias": (bias, lambda bias: (run(x, w, bias, **case.keywords) * grad).sum()),
        "weight": (w[..., :2, :], lambda part: (run(x, np.concatenate([part, w[..., 2:, :]], -2), bias,
                                                    **case.keywords) * grad).sum()),
    }  # fmt: skip
    for name, (array, loss) in losses.items():
        found = getattr(gradients, name)
        found = found[..., :2, :] if name == "weight" else found
        assert_close(found, slope(loss, array), 1e-9, case, name)


@pytest.mark.parametrize("stride", [1, 2, 3, (3, 1)])
@pytest.mark.parametrize("padding", ["same", "same_lower"])
def test_same_makes_the_output_as_large_as_the_input_times_the_stride(stride, padding):
    for kernel in range(1, 6):
        output = fc.conv_transpose2d(
            np.ones((1, 4, 5, 2)), np.ones((kernel, kernel, 3, 2)), stride=stride, padding=padding
        )
        steps = (stride, stride) if isinstance(stride, int) else stride
        assert output.shape == (1, 4 * steps[0], 5 * steps[1], 3)


def test_output_padding_chooses_the_size_that_the_convolution_came_from():
    w = numbers(INTEGERS, (3, 3, 4, 6), np.float64)
    for extent in range(5, 12):
        x = numbers(INTEGERS, (1, extent, extent, 4), np.float64)
        y = fc.conv2d(x, w, stride=3, padding=1)
        more = extent - ((y.shape[1] - 1) * 3 + 1)
        back = fc.conv_transpose2d(y, w, stride=3, padding=1, output_padding=more)
        assert_equal(back, fc.conv2d_backward(y, x, w, stride=3, padding=1).input)


def test_an_input_without_batch_gives_an_output_without():
    case = CASES[6]
    x, w, bias, grad = case.arrays(INTEGERS, np.float32)
    assert_same_bits(
        fc.conv_transpose2d(x[0], w, bias, **case.keywords), fc.conv_transpose2d(x[:1], w, bias, **case.keywords)[0]
    )
    gradients = fc.conv_transpose2d_backward(grad[0], x[0], w, **case.keywords)
    assert gradients.input.shape == x[0].shape


def test_channels_first_views_come_in_and_out_is_filled():
    case = CASES[7]
    x, w, bias, grad = case.arrays(INTEGERS, np.float32)
    first, oihw = (
        x.transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1),
        w.transpose(3, 2, 0, 1).copy().transpose(2, 3, 1, 0),
    )
    expected = oracle.conv_transpose(x, w, bias, **case.keywords)
    out = np.empty(expected.shape, np.float32)
    assert fc.conv_transpose2d(first, oihw, bias, out=out, algorithm="direct", **case.keywords) is out
    assert_equal(out, expected)
    spread = grad.transpose(0, 3, 1, 2).copy().transpose(0, 2, 3, 1)
    gradients = fc.conv_transpose2d_backward(spread, first, oihw, algorithm="direct", **case.keywords)
    for found, right in zip(gradients, oracle.conv_transpose_backward(grad, x, w, **case.keywords), strict=True):
        assert_equal(found, right)


@pytest.mark.parametrize("wrt", [("input",), ("weight",), ("bias",), ("bias", "input")])
def test_only_what_is_asked_for_is_computed(wrt):
    case = CASES[7]
    x, w, _, grad = case.arrays(INTEGERS, np.float32)
    gradients = fc.conv_transpose2d_backward(grad, x, w, wrt=wrt, **case.keywords)
    assert {name for name, value in gradients._asdict().items() if value is not None} == set(wrt)


def test_bits_do_not_depend_on_the_number_of_threads(algorithm):
    case = Case("large", (2, 16, 15, 24), (4, 4), 40, stride=2, padding=1)
    if not supports(algorithm, case):
        pytest.skip(f"{algorithm} doesn't support this case")
    x, w, bias, grad = case.arrays(GAUSSIAN, np.float32)
    runs = []
    for threads in (1, 2, 3):
        with fc.options(num_threads=threads):
            output = fc.conv_transpose2d(x, w, bias, algorithm=algorithm, **case.keywords)
            runs.append((output, *fc.conv_transpose2d_backward(grad, x, w, algorithm=algorithm, **case.keywords)))
    for run in runs[1:]:
        for found, first in zip(run, runs[0], strict=True):
            assert_same_bits(found, first, algorithm)


def test_what_is_not_finite_reaches_exactly_the_outputs_that_see_it(algorithm):
    if not is_exact(algorithm):
        pytest.skip("transforms spread it")
    x, w = np.ones((1, 5, 5, 3)), np.ones((3, 3, 4, 3))
    x[0, 2, 2, 1] = np.nan
    output = fc.conv_transpose2d(x, w, stride=2, padding=1, algorithm=algorithm)
    seen = np.isnan(oracle.conv_transpose(x, w, stride=2, padding=1))
    assert_equal(np.isnan(output), seen)


X, W = np.zeros((1, 4, 4, 6), np.float32), np.zeros((3, 3, 5, 6), np.float32)
ERRORS = [
    (
        lambda: fc.conv_transpose2d(X, W[..., :4]),
        ValueError,
        r"input has 6 channels, but weight \(3, 3, 5, 4\).*expects 4",
    ),
    (lambda: fc.conv_transpose2d(X, W, groups=4), ValueError, r"groups must divide the channels.*groups=4"),
    (lambda: fc.conv_transpose2d(X, W[0]), ValueError, r"weight must have 4 axes.*out_channels // groups, in_channels"),
    (lambda: fc.conv_transpose2d(X, W, output_padding=1), ValueError, r"output_padding must be smaller.*got 1"),
    (lambda: fc.conv_transpose2d(X, W, output_padding=-1), ValueError, r"output_padding must be between 0"),
    (lambda: fc.conv_transpose2d(X, W, stride=2, padding="same", output_padding=1), ValueError, r"must be 0 .*'same'"),
    (lambda: fc.conv_transpose2d(X, W, padding=4), ValueError, r"the output would have an extent of -2 along axis 0"),
    (lambda: fc.conv_transpose2d(X[:, :0], W), ValueError, r"the output would have an extent of 2 .*input 0"),
    (lambda: fc.conv_transpose2d(X, W, stride=0), ValueError, r"stride must be between 1"),
    (lambda: fc.conv_transpose2d(X, W, dilation=-1), ValueError, r"dilation must be between 1"),
    (lambda: fc.conv_transpose2d(X, W, stride=2**31 - 1), ValueError, r"an array of shape .* is too large"),
    (lambda: fc.conv_transpose2d(X, W, W[0, 0, 0]), ValueError, r"bias .*\(5,\), got \(6,\)"),
    (lambda: fc.conv_transpose2d(X, W, activation="swoosh"), ValueError, r"activation .*'swoosh'"),
    (lambda: fc.conv_transpose2d(X, W, algorithm="magic"), ValueError, r"algorithm .*'magic'"),
    (lambda: fc.conv_transpose2d(X, W, output_padding=0.5), TypeError, r"output_padding must be an integer, got 0.5"),
    (lambda: fc.conv_transpose2d(X, W.astype(float)), TypeError, r"weight .*float64.*float32"),
    (lambda: fc.conv_transpose2d(X.astype(int), W), TypeError, r"input .*int64.*astype"),
    (lambda: fc.conv_transpose2d_backward(X, X, W), ValueError, r"grad_output .*\(1, 6, 6, 5\)"),
]


@pytest.mark.parametrize(("call", "error", "message"), ERRORS)
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^conv_transpose2d(_backward)?: .*{message}"):
        call()
