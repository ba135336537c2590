"""Resizing against the oracle and torch: every mode, every way to place coordinates, gradients, errors."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

import fastconv as fc
import oracle_resample
from problems import GAUSSIAN, INTEGERS, assert_close, assert_equal, assert_same_bits, numbers, slope

SIZES = {
    "1d_up": ((2, 5, 3), (13,)),
    "1d_down": ((1, 17, 1), (4,)),
    "1d_from_one": ((1, 1, 2), (3,)),
    "1d_to_one": ((2, 7, 2), (1,)),
    "2d_up": ((2, 4, 5, 17), (8, 10)),
    "2d_down": ((1, 9, 13, 4), (4, 5)),
    "2d_up_and_down": ((1, 3, 11, 2), (7, 4)),
    "2d_one_axis": ((2, 5, 6, 33), (5, 12)),
    "2d_same": ((1, 5, 6, 3), (5, 6)),
    "2d_for_threads": ((2, 40, 37, 24), (61, 80)),
    "2d_batch_of_none": ((0, 4, 4, 3), (2, 9)),
    "2d_no_channels": ((2, 4, 4, 0), (2, 9)),
    "3d_mixed": ((1, 3, 6, 4, 5), (5, 3, 4)),
}
every_size = pytest.mark.parametrize(("shape", "size"), SIZES.values(), ids=SIZES)
RULES = {
    "nearest": {},
    "nearest_exact": {"coordinates": "half_pixel", "nearest": "round_prefer_ceil"},
    "nearest_ceil_half_pixel": {"coordinates": "half_pixel", "nearest": "ceil"},
    "nearest_onnx": {"coordinates": "half_pixel", "nearest": "round_prefer_floor"},
    "nearest_aligned": {"coordinates": "align_corners", "nearest": "round_prefer_floor"},
    "linear": {"mode": "linear"},
    "linear_aligned": {"mode": "linear", "align_corners": True},
    "linear_asymmetric": {"mode": "linear", "coordinates": "asymmetric"},
    "linear_pytorch_half_pixel": {"mode": "linear", "coordinates": "pytorch_half_pixel"},
    "linear_symmetric": {"mode": "linear", "coordinates": "half_pixel_symmetric"},
    "antialiased": {"mode": "linear", "antialias": True},
    "antialiased_over_the_edge": {"mode": "linear", "antialias": True, "exclude_outside": False},
    "antialiased_aligned": {"mode": "linear", "antialias": True, "align_corners": True},
    "excluded": {"mode": "linear", "exclude_outside": True},
}
every_rule = pytest.mark.parametrize("rule", RULES.values(), ids=RULES)


def as_the_oracle_has_it(rule):
    """The rule with the defaults that the function fills in."""
    rule = dict(rule)
    if rule.pop("align_corners", False):
        rule["coordinates"] = "align_corners"
    linear = rule.setdefault("mode", "nearest") == "linear"
    rule.setdefault("coordinates", "half_pixel" if linear else "asymmetric")
    rule.setdefault("exclude_outside", rule.get("antialias", False))
    return rule


def test_the_oracle_by_hand():
    x = np.array([0.0, 4, 8]).reshape(1, 3, 1)
    half = {"mode": "linear", "coordinates": "half_pixel"}
    assert_equal(oracle_resample.resize(x, (6,)).ravel(), np.array([0.0, 0, 4, 4, 8, 8]))
    assert_equal(oracle_resample.resize(x, (6,), **half).ravel(), np.array([0.0, 1, 3, 5, 7, 8]))
    aligned = {"mode": "linear", "coordinates": "align_corners"}
    assert_equal(oracle_resample.resize(x, (5,), **aligned).ravel(), np.array([0.0, 2, 4, 6, 8]))
    # four to two: targets at 0.5 and 2.5, a triangle of reach 2: weights 3, 3, 1 and 1, 3, 3 of seven
    x = np.array([7.0, 14, 21, 28]).reshape(1, 4, 1)
    smooth = {**half, "antialias": True, "exclude_outside": True}
    assert_close(oracle_resample.resize(x, (2,), **smooth).ravel(), np.array([12.0, 23.0]), 1e-12)


@every_size
@every_rule
def test_results_and_gradients_agree_with_the_oracle(shape, size, rule, dtype):
    x, plain = numbers(GAUSSIAN, shape, dtype), as_the_oracle_has_it(rule)
    found = fc.resize(x, size=size, **rule)
    # weights that add up to one, of numbers of a few units, along at most three axes; and coordinates in float64, whose
    # error grows with the extent, between numbers that differ by a few units
    close = 64 * np.finfo(dtype).eps + 16 * max(shape) * np.finfo(np.float64).eps
    assert_close(found, oracle_resample.resize(x, size, **plain), close, shape, size, rule, dtype)
    grad = numbers(GAUSSIAN, found.shape, dtype)
    expected = oracle_resample.resize_backward(grad, shape, **plain)
    bound = close * (1 + oracle_resample.resize_backward(np.abs(grad), shape, **plain))
    back = fc.resize_backward(grad, shape, **rule)
    assert_close(back, expected, bound, shape, size, rule, dtype)
    assert found.dtype == back.dtype == dtype


@pytest.mark.parametrize("scale", [0.3, 0.6, 1.0, 1.7, 2.5, (0.6, 3.0)], ids=str)
@every_rule
def test_a_scale_says_extents_and_coordinates(scale, rule, dtype):
    x, plain = numbers(GAUSSIAN, (1, 7, 9, 3), dtype), as_the_oracle_has_it(rule)
    scales = scale if isinstance(scale, tuple) else (scale, scale)
    size = tuple(int(np.floor(extent * s)) for extent, s in zip((7, 9), scales, strict=True))
    found = fc.resize(x, scale=scale, **rule)
    assert found.shape[1:-1] == size
    close = 64 * np.finfo(dtype).eps
    plain["scale"] = None if "align_corners" in rule else scales  # corners lie on corners whatever the scale
    assert_close(found, oracle_resample.resize(x, size, **plain), close, scale, rule)
    back = fc.resize_backward(found, x.shape, scale=scale, **rule)
    expected = oracle_resample.resize_backward(found, x.shape, **plain)
    assert_close(back, expected, 4 * close * (1 + np.abs(expected)), scale, rule)


REGIONS = [((0.1, 0.9), (0.25, 0.75)), ((-0.3, 1.2), (0.5, 1.5)), ((0.8, 0.2), (0.0, 1.0))]


@pytest.mark.parametrize("region", REGIONS, ids=str)
@pytest.mark.parametrize("size", [(4, 7), (1, 3)], ids=str)
@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_a_region_is_cropped_and_what_lies_outside_is_given(region, size, mode, dtype):
    x = numbers(GAUSSIAN, (2, 5, 6, 3), dtype)
    rule = {"mode": mode, "coordinates": "tf_crop_and_resize", "region": region}
    found = fc.resize(x, size=size, **rule, extrapolation_value=9)
    expected = oracle_resample.resize(x, size, **rule, extrapolation_value=9)
    assert_close(found, expected, 64 * np.finfo(dtype).eps, region, size, mode)
    back = fc.resize_backward(found, x.shape, **rule)
    expected = oracle_resample.resize_backward(np.where(found == 9, 0, found), x.shape, **rule)
    assert_close(back, expected, 256 * np.finfo(dtype).eps * (1 + np.abs(expected)), region, size, mode)


@every_rule
def test_gradients_agree_with_finite_differences(rule):
    x = numbers(GAUSSIAN, (1, 4, 5, 2), np.float64)
    for size in ((7, 3), (2, 11)):
        weights = numbers(GAUSSIAN, (1, *size, 2), np.float64)
        expected = slope(lambda x, size=size, w=weights: (fc.resize(x, size=size, **rule) * w).sum(), x)
        assert_close(fc.resize_backward(weights, x.shape, **rule), expected, 1e-12, rule, size)


def test_integers_are_copied_exactly_and_twice_the_size_is_a_repetition():
    x = numbers(INTEGERS, (2, 3, 5, 7), np.float32)
    assert_equal(fc.resize(x, scale=2), x.repeat(2, axis=1).repeat(2, axis=2))
    assert_equal(fc.resize(x, size=(3, 1)), x[:, :, :1])
    grad = numbers(INTEGERS, (2, 6, 10, 7), np.float32)
    assert_equal(fc.resize_backward(grad, x.shape), grad.reshape(2, 3, 2, 5, 2, 7).sum(axis=(2, 4)))


def test_aligned_corners_keep_what_they_align():
    x = numbers(INTEGERS, (1, 4, 4, 3), np.float32)
    found = fc.resize(x, size=(7, 10), mode="linear", align_corners=True)
    assert_equal(found[:, ::2, ::3], x)


def test_a_nan_spreads_only_where_it_counts():
    x = np.ones((1, 4, 1), np.float32)
    x[0, 1] = np.nan
    nan = np.isnan(fc.resize(x, size=7, mode="linear", align_corners=True)).ravel()
    assert nan.tolist() == [False, True, True, True, False, False, False]
    assert np.isnan(fc.resize(x, scale=2)).ravel().tolist() == [False, False, True, True, False, False, False, False]


def test_the_same_size_is_a_copy():
    x = numbers(GAUSSIAN, (2, 3, 5, 7), np.float32)
    for rule in RULES.values():
        found = fc.resize(x, size=(3, 5), **rule)
        assert_same_bits(found, x, rule)
        assert not np.shares_memory(found, x)
        assert not np.shares_memory(fc.resize_backward(x, x.shape, **rule), x)


def test_long_axes_are_resampled_like_short_ones():
    x = numbers(INTEGERS, (1, 9000, 2), np.float32)
    assert_equal(fc.resize(x, size=18000), x.repeat(2, axis=1))
    assert_equal(fc.resize(x, size=4500), x[:, ::2])
    assert_close(fc.adaptive_avg_pool1d(x, 8999)[:, :4000], (x[:, :4000] + x[:, 1:4001]) / 2, 1e-6)


def test_strides_of_any_kind_come_in():
    x = numbers(GAUSSIAN, (2, 3, 9, 16), np.float32).transpose(0, 3, 2, 1)[:, ::-2]
    for rule in RULES.values():
        assert_same_bits(fc.resize(x, size=(5, 20), **rule), fc.resize(np.ascontiguousarray(x), size=(5, 20), **rule))


def test_bits_do_not_depend_on_the_number_of_threads(dtype):
    x, results = numbers(GAUSSIAN, (2, 40, 37, 24), dtype), []
    for threads in (1, 2, 3, 8):
        with fc.options(num_threads=threads):
            found = fc.resize(x, size=(61, 20), mode="linear", antialias=True)
            results.append((found, fc.resize_backward(found, x.shape, mode="linear", antialias=True)))
    for several in results[1:]:
        for found, alone in zip(several, results[0], strict=True):
            assert_same_bits(found, alone)


def test_resizing_agrees_with_torch():
    torch = pytest.importorskip("torch")
    modes = {1: "linear", 2: "bilinear", 3: "trilinear"}
    for (shape, size), dtype in itertools.product(SIZES.values(), (np.float32, np.float64)):
        if 0 in shape:
            continue
        x = numbers(GAUSSIAN, shape, dtype)
        first = torch.from_numpy(np.ascontiguousarray(np.moveaxis(x, -1, 1)))
        rules = [
            ({}, {"mode": "nearest"}),
            (RULES["nearest_exact"], {"mode": "nearest-exact"}),
            (RULES["linear"], {"mode": modes[len(size)], "align_corners": False}),
            (RULES["linear_aligned"], {"mode": modes[len(size)], "align_corners": True}),
        ]
        if len(size) == 2:
            rules.append((RULES["antialiased"], {"mode": "bilinear", "antialias": True}))
        for ours, theirs in rules:
            expected = np.moveaxis(torch.nn.functional.interpolate(first, size=size, **theirs).numpy(), 1, -1)
            close = 1e-4 if dtype == np.float32 else 1e-12  # its coordinates are float32's for float32 arrays
            assert_close(fc.resize(x, size=size, **ours), expected, close, shape, size, theirs, dtype)


X = np.ones((1, 4, 6, 3), np.float32)
CROP = {"size": 2, "coordinates": "tf_crop_and_resize"}
ERRORS = [
    (lambda: fc.resize(X), ValueError, r"resize: either size or scale"),
    (lambda: fc.resize(X, size=0), ValueError, r"resize: .*extents must be between 1 and .*\(0, 0\)"),
    (lambda: fc.resize(X, size=-2), ValueError, r"resize: .*\(-2, -2\)"),
    (lambda: fc.resize(X, scale=0.1), ValueError, r"resize: .*\(0, 0\)"),
    (lambda: fc.resize(X, scale=0), ValueError, r"resize: scale .*0"),
    (lambda: fc.resize(X, scale=np.inf), ValueError, r"resize: scale .*inf"),
    (lambda: fc.resize(X, scale=np.nan), ValueError, r"resize: scale .*nan"),
    (lambda: fc.resize(X, scale="2"), TypeError, r"resize: scale .*'2'"),
    (lambda: fc.resize(X, scale=True), TypeError, r"resize: scale .*True"),
    (lambda: fc.resize(X, scale=(2, 2, 2)), ValueError, r"resize: scale .*2 of them.*\(2, 2, 2\)"),
    (lambda: fc.resize(X, size=(2, 2, 2)), ValueError, r"resize: size .*2 of them.*\(2, 2, 2\)"),
    (lambda: fc.resize(X, size=2.5), TypeError, r"resize: size .*2\.5"),
    (lambda: fc.resize(X, size=2**40), ValueError, r"resize: .*extents .*2147483647.*1099511627776"),
    (lambda: fc.resize(X[0, 0], size=2), ValueError, r"resize: input must have 3 to 5 axes"),
    (lambda: fc.resize(X[:, :0], size=2), ValueError, r"resize: .*no pixels.*\(1, 0, 6, 3\)"),
    (lambda: fc.resize(X.astype(int), size=2), TypeError, r"resize: input .*int64.*astype"),
    (lambda: fc.resize(X, size=2, mode="cubic"), ValueError, r"resize: mode must be one of 'nearest'.*'cubic'"),
    (lambda: fc.resize(X, size=2, coordinates="corner"), ValueError, r"resize: coordinates .*'asymmetric'.*'corner'"),
    (lambda: fc.resize(X, size=2, nearest="round"), ValueError, r"resize: nearest .*'ceil'.*'round'"),
    (lambda: fc.resize(X, size=2, align_corners=True), ValueError, r"resize: align_corners .*mode='linear'"),
    (lambda: fc.resize(X, size=2, antialias=True), ValueError, r"resize: .*antialias .*mode='linear'"),
    (lambda: fc.resize(X, size=2, mode="linear", align_corners=True, coordinates="asymmetric"), ValueError,
     r"resize: align_corners=True and coordinates='asymmetric'"),
    (lambda: fc.resize(X, **CROP), ValueError, r"resize: region .*2 in all.*None"),
    (lambda: fc.resize(X, **CROP, region=((0, 1),)), ValueError, r"resize: region .*2 in all"),
    (lambda: fc.resize(X, size=2, region=((0, 1), (0, 1))), ValueError, r"resize: region is for .*tf_crop_and_resize"),
    (lambda: fc.resize_backward(X, (1, 4, 3)), ValueError, r"resize_backward: grad_output .*\(1, \*, 3\).*\(1, 4, 6"),
    (lambda: fc.resize_backward(X, (2, 4, 6, 3)), ValueError, r"resize_backward: grad_output .*\(2, \*, \*, 3\)"),
    (lambda: fc.resize_backward(X, 4), TypeError, r"resize_backward: input_shape .*4"),
    (lambda: fc.resize_backward(X, (1, 4)), ValueError, r"resize_backward: input_shape must have 3 to 5 axes"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "error", "message"), ERRORS, ids=[message for _, _, message in ERRORS])
def test_a_wrong_argument_is_named_with_what_was_expected(call, error, message):
    with pytest.raises(error, match=rf"^({message})"):
        call()
