"""Which sources every target along an axis meets, and with what weights: interpolation and averages as sparse matrices.

Target q sits at a coordinate of the source's axis. Its neighbours within a distance of one (or where antialiasing
widens the triangle, of the number of sources per target) get weights that fall off linearly, and sum up to one.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

from fastconv import _core
from fastconv._arguments import Array

Mode: TypeAlias = Literal["nearest", "linear"]
Coordinates: TypeAlias = Literal[
    "half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric", "tf_crop_and_resize"
]
Nearest: TypeAlias = Literal["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]

MODES: tuple[str, ...] = get_args(Mode)
COORDINATES: tuple[str, ...] = get_args(Coordinates)
NEAREST: tuple[str, ...] = get_args(Nearest)


class Matrix(NamedTuple):
    """A sparse matrix in rows: row q has the entries from start[q] up to start[q + 1], each a column and a weight."""

    start: Array
    column: Array
    weight: Array


class AxisMatrix(NamedTuple):
    """A matrix from the sources to the targets of an axis, its transpose, and which targets lie outside (or None)."""

    forward: Matrix
    adjoint: Matrix
    outside: Array | None = None


class AxisRule(NamedTuple):
    """How an axis is resampled. The scale is targets per source, where it isn't the quotient of the two extents."""

    extent: int
    targets: int
    scale: float | None
    mode: Mode
    coordinates: Coordinates
    nearest: Nearest
    antialias: bool
    exclude_outside: bool
    region: tuple[float, float]


# Matrices are kept for axes as images have them: 256 of at most a megabyte or so. Longer ones are work enough to make
# theirs a small part of it.
_LONGEST_KEPT = 16384


def axis_weights(rule: AxisRule) -> AxisMatrix:
    """Return the matrix of an axis that is resampled by this rule."""
    kept = rule.extent + rule.targets <= _LONGEST_KEPT
    return _kept_interpolation(rule) if kept else _interpolation(rule)


def adaptive_weights(extent: int, targets: int) -> AxisMatrix:
    """Return the averages over adaptive pooling's windows of an axis."""
    kept = extent + targets <= _LONGEST_KEPT
    return _kept_averages(extent, targets) if kept else _averages(extent, targets)


def _interpolation(rule: AxisRule) -> AxisMatrix:
    places = _places(rule)
    if rule.mode == "nearest":
        index = _nearest(places, rule.nearest)[:, None]
        weight = np.ones(index.shape)
    else:
        scale = rule.targets / rule.extent if rule.scale is None else rule.scale
        reach = max(1.0, 1 / scale) if rule.antialias else 1.0
        first = np.ceil(places - reach).astype(np.int64)
        index = first[:, None] + np.arange(int(2 * reach) + 2)
        weight = np.maximum(1 - np.abs(index - places[:, None]) / reach, 0)
        if rule.exclude_outside:
            weight[(index < 0) | (index >= rule.extent)] = 0
        weight /= np.maximum(weight.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    outside = None
    if rule.coordinates == "tf_crop_and_resize":
        outside = (places < 0) | (places > rule.extent - 1)
        weight[outside] = 0
    return _sparse(rule.extent, np.clip(index, 0, rule.extent - 1), weight, outside)


def _averages(extent: int, targets: int) -> AxisMatrix:
    first = np.arange(targets) * extent // max(targets, 1)
    last = -(-(np.arange(targets) + 1) * extent // max(targets, 1))
    index = first[:, None] + np.arange(int((last - first).max(initial=0)))
    count = (last - first)[:, None]
    weight = np.where(index < last[:, None], 1 / np.maximum(count, 1), 0)
    return _sparse(extent, index, weight, None)


_kept_interpolation = functools.lru_cache(maxsize=256)(_interpolation)
_kept_averages = functools.lru_cache(maxsize=256)(_averages)


def apply(operation: str, input: Array, matrices: Mapping[int, AxisMatrix]) -> Array:
    """Resample these axes of a C-ordered array, those first that leave the least to do for the others."""
    parts = {axis: matrix.forward for axis, matrix in matrices.items()}
    return _apply(operation, input, parts, sorted(matrices, key=lambda axis: _growth(matrices[axis])))


def apply_adjoint(operation: str, grad_output: Array, matrices: Mapping[int, AxisMatrix]) -> Array:
    """Return the gradient of `apply` with respect to its input."""
    parts = {axis: matrix.adjoint for axis, matrix in matrices.items()}
    return _apply(operation, grad_output, parts, sorted(matrices, key=lambda axis: -_growth(matrices[axis])))


def _apply(operation: str, array: Array, parts: Mapping[int, Matrix], order: list[int]) -> Array:
    if not parts:
        return np.array(array, order="C")
    result, last = array, max(parts)
    plane = (last - 1, last) if last - 1 in parts else ()  # together: nothing between the two goes through memory
    for axis in order:
        if axis not in plane:
            result = _core.resample_axis(operation, result, axis, *parts[axis])
        elif axis == next(a for a in order if a in plane):
            result = _core.resample_plane(operation, result, last - 1, parts[last - 1], parts[last])
    return result


def _growth(matrix: AxisMatrix) -> float:
    return len(matrix.forward.start) / len(matrix.adjoint.start)


def _places(rule: AxisRule) -> Array:
    """Return the coordinates of the targets, in units of the source's positions."""
    targets, extent = rule.targets, rule.extent
    at = np.arange(targets, dtype=np.float64)
    if rule.scale is None:  # one division of whole numbers is all that rounds: ties come out as such
        length: float = targets
        corners, centers = at * extent / targets, ((2 * at + 1) * extent - targets) / (2 * targets)
    else:
        length = rule.scale * extent
        corners, centers = at / rule.scale, (at + 0.5) / rule.scale - 0.5
    if rule.coordinates == "half_pixel":
        return centers
    if rule.coordinates == "half_pixel_symmetric":
        return centers + extent / 2 * (1 - targets / length)
    if rule.coordinates == "pytorch_half_pixel":
        return centers if length != 1 else np.full(targets, -0.5)
    if rule.coordinates == "asymmetric":
        return corners
    if rule.coordinates == "align_corners":
        return at * (extent - 1) / (length - 1) if length != 1 else np.zeros(targets)
    begin, end = rule.region
    if length == 1:
        return np.full(targets, (begin + end) * (extent - 1) / 2)
    return at * (end - begin) * (extent - 1) / (length - 1) + begin * (extent - 1)


def _nearest(places: Array, rounding: Nearest) -> Array:
    if rounding == "floor":
        rounded = np.floor(places)
    elif rounding == "ceil":
        rounded = np.ceil(places)
    elif rounding == "round_prefer_floor":
        rounded = np.ceil(places - 0.5)
    else:
        rounded = np.floor(places + 0.5)
    return rounded.astype(np.int64)


def _sparse(extent: int, index: Array, weight: Array, outside: Array | None) -> AxisMatrix:
    """Return the matrix with these entries in its rows, but for those without weight: a NaN there isn't met."""
    present = weight != 0
    rows = np.broadcast_to(np.arange(len(index))[:, None], index.shape)[present]
    columns, weights = index[present], weight[present]
    by_column = np.argsort(columns, kind="stable")
    forward = Matrix(_starts(rows, len(index)), columns, weights)
    adjoint = Matrix(_starts(columns, extent), rows[by_column], weights[by_column])
    return AxisMatrix(forward, adjoint, outside)


def _starts(sorted_or_not: Array, rows: int) -> Array:
    """Return where the entries of each row begin, once they are sorted by row."""
    return np.concatenate([[0], np.cumsum(np.bincount(sorted_or_not, minlength=rows))]).astype(np.int64)
