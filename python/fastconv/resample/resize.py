"""Arrays made larger or smaller along their spatial axes, by nearest neighbours or linear interpolation."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from fastconv import _arguments
from fastconv._arguments import Array, Size
from fastconv._half import accepts_half
from fastconv.resample.weights import (
    COORDINATES,
    MODES,
    NEAREST,
    AxisMatrix,
    AxisRule,
    Coordinates,
    Mode,
    Nearest,
    apply,
    apply_adjoint,
    axis_weights,
)

Scale: TypeAlias = "float | tuple[float, ...]"
Region: TypeAlias = "tuple[tuple[float, float], ...]"


class _Rule(NamedTuple):
    """What doesn't depend on an axis."""

    mode: Mode
    align_corners: bool
    antialias: bool
    coordinates: Coordinates | None
    nearest: Nearest | None
    exclude_outside: bool | None
    region: Region | None


def resize(
    input: Array,
    *,
    size: Size | None = None,
    scale: Scale | None = None,
    mode: Mode = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
    coordinates: Coordinates | None = None,
    nearest: Nearest | None = None,
    exclude_outside: bool | None = None,
    region: Region | None = None,
    extrapolation_value: float = 0.0,
) -> Array:
    """Resample all spatial axes to another size.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64, or float16 or bfloat16; one to three spatial axes
    size : int or one per axis, optional
        Spatial extents of the output.
    scale : float or one per axis, optional
        How many times larger the output is: its extents are ``floor(input * scale)``, unless ``size`` says them, and
        coordinates are computed with this very number.
    mode : "nearest" or "linear"
        Linear interpolation goes axis by axis: bilinear for images, trilinear for volumes.
    align_corners : bool
        Whether the centers of the outermost pixels lie on each other, instead of their outer edges; for "linear". They
        do so whatever the scale, unlike with ONNX's coordinates of this name, which a scale moves.
    antialias : bool
        Whether a smaller output averages over all pixels that it stands for, with triangular weights; for "linear".
    coordinates : str, optional
        Where the targets lie: "half_pixel" (what "linear" takes), "asymmetric" (what "nearest" takes), "align_corners",
        "half_pixel_symmetric", "pytorch_half_pixel" or "tf_crop_and_resize", as the ONNX operator Resize defines them.
    nearest : str, optional
        How "nearest" rounds: "floor" (taken where not given), "ceil", "round_prefer_floor" or "round_prefer_ceil".
    exclude_outside : bool, optional
        Whether neighbours outside the input have no weight; otherwise the nearest pixel inside stands for them. Where
        not given: with antialiasing, they have none.
    region : one (begin, end) pair per axis, optional
        The part of the input that "tf_crop_and_resize" takes, in units of its extent less one.
    extrapolation_value : float
        What "tf_crop_and_resize" puts where the region leaves the input.

    Returns
    -------
    (N, *size, C) array

    Raises
    ------
    ValueError
        Shapes that don't fit, values out of range or unknown names, neither size nor scale.
    TypeError
        Another dtype.

    Notes
    -----
    Without other arguments, the results are those of torch's ``interpolate`` ("bilinear" and the like for "linear").
    Sources without weight aren't met: a NaN spreads only where it counts.

    References
    ----------
    ONNX operators, Resize, version 19.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([0.0, 4.0]).reshape(1, 2, 1)
    >>> fc.resize(x, scale=2).ravel()
    array([0., 0., 4., 4.])
    >>> fc.resize(x, size=4, mode="linear").ravel()
    array([0., 1., 3., 4.])
    """
    rule = _Rule(mode, align_corners, antialias, coordinates, nearest, exclude_outside, region)
    return _resize(input, size, scale, rule, extrapolation_value)


def resize_backward(
    grad_output: Array,
    input_shape: tuple[int, ...],
    *,
    scale: Scale | None = None,
    mode: Mode = "nearest",
    align_corners: bool = False,
    antialias: bool = False,
    coordinates: Coordinates | None = None,
    nearest: Nearest | None = None,
    exclude_outside: bool | None = None,
    region: Region | None = None,
) -> Array:
    """Return the gradient of `resize`: every gradient goes back with the weights of the way forward.

    Parameters
    ----------
    grad_output : (N, *size, C) array
    input_shape : (N, *spatial, C)
    scale, mode, align_corners, antialias, coordinates, nearest, exclude_outside, region
        As in the forward call.

    Returns
    -------
    array of input_shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.resize_backward(np.array([1.0, 2.0, 3.0, 4.0]).reshape(1, 4, 1), (1, 2, 1)).ravel()
    array([3., 7.])
    """
    rule = _Rule(mode, align_corners, antialias, coordinates, nearest, exclude_outside, region)
    return _backward(grad_output, input_shape, scale, rule)


@accepts_half
def _resize(input: object, size: object, scale: object, rule: _Rule, extrapolation_value: float) -> Array:
    source = _arguments.floats("resize", "input", input)
    rank = _arguments.spatial_rank("resize", source.ndim, "input")
    scales = _scales("resize", scale, rank)
    if size is not None:
        extents = _arguments.per_axis("resize", "size", size, rank)
    elif scales is not None:
        axes = zip(source.shape[1:-1], scales, strict=True)
        extents = tuple(math.floor(extent * factor) for extent, factor in axes)
    else:
        raise ValueError("resize: either size or scale must be given")
    matrices = _matrices("resize", source.shape, extents, scales, rule)
    output = apply("resize", source, matrices)
    for axis, matrix in matrices.items():
        if matrix.outside is not None:
            output[(slice(None),) * axis + (matrix.outside,)] = extrapolation_value
    return output


@accepts_half
def _backward(grad_output: object, input_shape: tuple[int, ...], scale: object, rule: _Rule) -> Array:
    name = "resize_backward"
    gradient = _arguments.floats(name, "grad_output", grad_output)
    shape = _arguments.shape(name, input_shape)
    rank = _arguments.spatial_rank(name, len(shape), "input_shape")
    if gradient.ndim != len(shape) or (gradient.shape[0], gradient.shape[-1]) != (shape[0], shape[-1]):
        expected = (shape[0], *("*" for _ in range(rank)), shape[-1])
        raise ValueError(f"{name}: grad_output must have shape ({', '.join(map(str, expected))}), got {gradient.shape}")
    matrices = _matrices(name, shape, gradient.shape[1:-1], _scales(name, scale, rank), rule)
    return apply_adjoint(name, gradient, matrices)


def _matrices(
    operation: str, shape: tuple[int, ...], extents: tuple[int, ...], scales: tuple[float, ...] | None, rule: _Rule
) -> dict[int, AxisMatrix]:
    """Return the matrices of the axes that something is to be done along."""
    mode, coordinates, nearest, exclude_outside = _understood(operation, rule)
    spatial = shape[1:-1]
    if min(extents) < 1 or max(extents) > _arguments.LARGEST:
        raise ValueError(
            f"{operation}: the output's spatial extents must be between 1 and {_arguments.LARGEST}, got {extents}"
        )
    if min(spatial) < 1:
        raise ValueError(f"{operation}: the input has no pixels, its shape is {shape}")
    regions = _regions(operation, rule.region, len(spatial), coordinates)
    matrices = {}
    for i, (extent, targets) in enumerate(zip(spatial, extents, strict=True)):
        factor = None if scales is None else scales[i]
        if rule.align_corners or (factor is not None and factor * extent == targets):
            factor = None  # corners lie on corners whatever the scale; or the quotient of the extents says it exactly
        if extent == targets and factor is None and coordinates != "tf_crop_and_resize":
            continue
        matrices[1 + i] = axis_weights(
            AxisRule(extent, targets, factor, mode, coordinates, nearest, rule.antialias, exclude_outside, regions[i])
        )
    return matrices


def _understood(operation: str, rule: _Rule) -> tuple[Mode, Coordinates, Nearest, bool]:
    """Return mode, coordinates, rounding and whether neighbours outside are excluded, the defaults filled in."""
    for name, value, known in (
        ("mode", rule.mode, MODES),
        ("coordinates", rule.coordinates, (*COORDINATES, None)),
        ("nearest", rule.nearest, (*NEAREST, None)),
    ):
        if value not in known:
            raise ValueError(f"{operation}: {name} must be one of {', '.join(map(repr, known))}, got {value!r}")
    if rule.mode == "nearest" and (rule.align_corners or rule.antialias):
        raise ValueError(f"{operation}: align_corners and antialias are for mode='linear'")
    if rule.align_corners and rule.coordinates not in (None, "align_corners"):
        raise ValueError(f"{operation}: align_corners=True and coordinates={rule.coordinates!r} contradict each other")
    usual: Coordinates = "align_corners" if rule.align_corners else "half_pixel"
    coordinates = rule.coordinates or ("asymmetric" if rule.mode == "nearest" else usual)
    exclude_outside = rule.antialias if rule.exclude_outside is None else rule.exclude_outside
    return rule.mode, coordinates, rule.nearest or "floor", bool(exclude_outside)


def _scales(operation: str, scale: object, rank: int) -> tuple[float, ...] | None:
    if scale is None:
        return None
    values: tuple[Any, ...] = (scale,) * rank
    if isinstance(scale, Iterable) and not isinstance(scale, str):
        values = tuple(scale)
    if len(values) != rank:
        raise ValueError(f"{operation}: scale must be one number or {rank} of them, got {scale!r}")
    for value in values:
        if not isinstance(value, Real | np.floating | np.integer) or isinstance(value, bool):
            raise TypeError(f"{operation}: scale must be a number, got {value!r}")
        if not 0 < float(value) < 2**31:
            raise ValueError(f"{operation}: scale must be positive and finite, got {value!r}")
    return tuple([float(value) for value in values])


def _regions(
    operation: str, region: Region | None, rank: int, coordinates: Coordinates
) -> tuple[tuple[float, float], ...]:
    if coordinates != "tf_crop_and_resize":
        if region is not None:
            raise ValueError(f"{operation}: region is for coordinates='tf_crop_and_resize', got {coordinates!r}")
        return ((0.0, 1.0),) * rank
    pairs = () if region is None else tuple(tuple(float(edge) for edge in pair) for pair in region)
    if len(pairs) != rank or any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"{operation}: region must have one (begin, end) pair per axis, {rank} in all, got {region!r}")
    return pairs  # type: ignore[return-value]
