"""The oracle of what resamples: pooling to a number of outputs and by p-norms, unpooling, resizing, rearranging.

As in `oracle.py`: NumPy float64, as plain as the definition, names and arguments of the public functions, every array
with its batch axis. A resampled axis is a dense matrix here, filled one target after the other.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

import oracle

# Adaptive pooling: output i along an axis meets the positions from floor(i * in / out) up to ceil((i + 1) * in / out).


def windows(spatial, output_size):
    """(output position, index of its window) of all outputs."""
    for position in np.ndindex(*output_size):
        axes = zip(position, spatial, output_size, strict=True)
        edges = [(i * extent // count, math.ceil((i + 1) * extent / count)) for i, extent, count in axes]
        yield position, (slice(None), *(slice(first, last) for first, last in edges))


def adaptive_avg_pool(input, output_size):
    input = np.asarray(input, np.float64)
    output = np.zeros((input.shape[0], *output_size, input.shape[-1]))
    for position, window in windows(input.shape[1:-1], output_size):
        output[(slice(None), *position)] = input[window].mean(axis=tuple(range(1, input.ndim - 1)))
    return output


def adaptive_avg_pool_backward(grad_output, input_shape):
    grad_input, spatial = np.zeros(input_shape), input_shape[1:-1]
    for position, window in windows(spatial, grad_output.shape[1:-1]):
        pixels = math.prod(grad_input[window].shape[1:-1])
        share = grad_output[(slice(None), *position)] / pixels
        grad_input[window] += np.expand_dims(share, tuple(range(1, len(input_shape) - 1)))
    return grad_input


def adaptive_max_pool(input, output_size):
    """(output, indices): of each window what max pooling says, its indices moved to where the window begins."""
    input = np.asarray(input, np.float64)
    shape, spatial = (input.shape[0], *output_size, input.shape[-1]), input.shape[1:-1]
    output, indices = np.zeros(shape), np.zeros(shape, np.int64)
    for position, window in windows(spatial, output_size):
        here, part = (slice(None), *position), input[window]
        values, places = oracle.max_pool(part, part.shape[1:-1])
        output[here] = values.reshape(output[here].shape)
        inside = np.unravel_index(places.reshape(output[here].shape), part.shape[1:-1])
        moved = [place + edge.start for place, edge in zip(inside, window[1:], strict=True)]
        indices[here] = np.ravel_multi_index(moved, spatial)
    return output, indices


# The p-norm of every window: ((sum of |x|^p))^(1/p).


def lp_pool(input, kernel_size, *, norm_type=2.0, **keywords):
    powers = np.abs(np.asarray(input, np.float64)) ** norm_type
    return oracle.avg_pool(powers, kernel_size, divisor_override=1, **keywords) ** (1 / norm_type)


def lp_pool_backward(grad_output, input, kernel_size, *, norm_type=2.0, **keywords):
    """d(output) / d(x) = sign(x) |x|^(p-1) / output^(p-1), and none where the output is zero."""
    input = np.asarray(input, np.float64)
    output = lp_pool(input, kernel_size, norm_type=norm_type, **keywords)
    slopes = np.where(output == 0, 0, grad_output / np.where(output == 0, 1, output) ** (norm_type - 1))
    spread = oracle.avg_pool_backward(slopes, input.shape, kernel_size, divisor_override=1, **keywords)
    return spread * np.sign(input) * np.abs(input) ** (norm_type - 1)


def max_unpool(input, indices, output_size):
    output = np.zeros((input.shape[0], math.prod(output_size), input.shape[-1]))
    for at in np.ndindex(input.shape):
        if indices[at] >= 0:
            output[at[0], indices[at], at[-1]] = input[at]
    return output.reshape(input.shape[0], *output_size, input.shape[-1])


# Resizing, axis by axis. Where target q lies in the source, in the words of the ONNX operator Resize; `length` is the
# exact extent of the target, scale * extent.


def coordinate(q, extent, targets, scale, coordinates, region):
    length = targets if scale is None else scale * extent
    scale = targets / extent if scale is None else scale
    half_pixel = (q + 0.5) / scale - 0.5
    if coordinates == "half_pixel":
        return half_pixel
    if coordinates == "half_pixel_symmetric":
        return extent / 2 * (1 - targets / length) + half_pixel
    if coordinates == "pytorch_half_pixel":
        return half_pixel if length > 1 else -0.5
    if coordinates == "asymmetric":
        return q / scale
    if coordinates == "align_corners":
        return 0.0 if length == 1 else q * (extent - 1) / (length - 1)
    begin, end = region
    if length == 1:
        return 0.5 * (begin + end) * (extent - 1)
    return begin * (extent - 1) + q * (end - begin) * (extent - 1) / (length - 1)


def rounded(x, nearest):
    floor, ceil = math.floor(x), math.ceil(x)
    if nearest == "floor" or (nearest == "round_prefer_floor" and x - floor <= 0.5):
        return floor
    if nearest == "round_prefer_ceil" and ceil - x > 0.5:
        return floor
    return ceil


def axis_matrix(
    extent,
    targets,
    *,
    scale=None,
    mode="nearest",
    antialias=False,
    coordinates="asymmetric",
    nearest="floor",
    exclude_outside=False,
    region=(0.0, 1.0),
):
    """(matrix of (targets, extent) weights, whether each target lies outside)."""
    matrix, outside = np.zeros((targets, extent)), np.zeros(targets, bool)
    for q in range(targets):
        x = coordinate(q, extent, targets, scale, coordinates, region)
        if coordinates == "tf_crop_and_resize" and not 0 <= x <= extent - 1:
            outside[q] = True
            continue
        if mode == "nearest":
            matrix[q, min(max(rounded(x, nearest), 0), extent - 1)] = 1
            continue
        reach = max(1, 1 / (targets / extent if scale is None else scale)) if antialias else 1
        near = range(math.floor(x - reach), math.ceil(x + reach) + 1)
        weights = {i: max(1 - abs(i - x) / reach, 0) for i in near if not exclude_outside or 0 <= i < extent}
        for i, weight in weights.items():
            matrix[q, min(max(i, 0), extent - 1)] += weight / sum(weights.values())
    return matrix, outside


def resize(input, size, *, scale=None, region=None, extrapolation_value=0.0, **rule):
    output = np.asarray(input, np.float64)
    for axis, (targets, factor, part) in enumerate(_axes(size, scale, region), start=1):
        matrix, outside = axis_matrix(output.shape[axis], targets, scale=factor, region=part, **rule)
        output = np.moveaxis(np.tensordot(matrix, output, (1, axis)), 0, axis)
        output[(slice(None),) * axis + (outside,)] = extrapolation_value
    return output


def resize_backward(grad_output, input_shape, *, scale=None, region=None, **rule):
    grad_input = np.asarray(grad_output, np.float64)
    for axis, (targets, factor, part) in enumerate(_axes(grad_output.shape[1:-1], scale, region), start=1):
        matrix, _ = axis_matrix(input_shape[axis], targets, scale=factor, region=part, **rule)
        grad_input = np.moveaxis(np.tensordot(matrix.T, grad_input, (1, axis)), 0, axis)
    return grad_input


def _axes(size, scale, region):
    return zip(size, scale or (None,) * len(size), region or ((0.0, 1.0),) * len(size), strict=True)


# Rearranging


def pixel_shuffle(input, factor):
    """output[n, y * r + i, x * r + j, c] = input[n, y, x, c * r^2 + i * r + j]."""
    batch, height, width, channels = input.shape
    output = np.zeros((batch, height * factor, width * factor, channels // factor**2), input.dtype)
    for i, j, c in itertools.product(range(factor), range(factor), range(output.shape[-1])):
        output[:, i::factor, j::factor, c] = input[..., c * factor**2 + i * factor + j]
    return output
