"""Pixels and channels rearranged, borders added and cut off: what networks do without arithmetic, of any dtype."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import TypeAlias

import numpy as np

from fastconv import _arguments, _core
from fastconv._arguments import Array

Border: TypeAlias = "int | tuple[int, ...] | tuple[tuple[int, int], ...]"


def pixel_shuffle(input: Array, factor: int) -> Array:
    """Spread groups of channels over blocks of pixels: an image ``factor`` times as high and wide.

    Parameters
    ----------
    input : (N, H, W, C * factor**2) or (H, W, C * factor**2) array of any dtype
    factor : int

    Returns
    -------
    (N, H * factor, W * factor, C) array, without the batch axis where the input has none
        Channel ``c * factor**2 + i * factor + j`` of a pixel becomes channel c of pixel (i, j) of its block: the order
        of torch's ``pixel_shuffle`` (TensorFlow's ``depth_to_space`` has c last).

    References
    ----------
    W. Shi et al., "Real-time single image and video super-resolution using an efficient sub-pixel convolutional neural
    network", 2016, section 3.2.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.pixel_shuffle(np.arange(4.0).reshape(1, 1, 1, 4), 2)[0, :, :, 0]
    array([[0., 1.],
           [2., 3.]])
    """
    source, factor = _image("pixel_shuffle", input, factor)
    *batch, height, width, channels = source.shape
    if channels % factor**2:
        raise ValueError(f"pixel_shuffle: factor={factor} needs a multiple of {factor**2} channels, got {channels}")
    blocks = source.reshape(math.prod(batch) * height, width, channels // factor**2, factor, factor)
    shape = (*batch, height * factor, width * factor, channels // factor**2)
    # NumPy's one thread writes these runs of channels in half the time that our squares of two pixels take.
    return np.ascontiguousarray(blocks.transpose(0, 3, 1, 4, 2)).reshape(shape)


def pixel_unshuffle(input: Array, factor: int) -> Array:
    """Gather blocks of pixels as channels: the inverse of `pixel_shuffle`, and its gradient.

    Parameters
    ----------
    input : (N, H * factor, W * factor, C) array of any dtype, or without the batch axis
    factor : int

    Returns
    -------
    (N, H, W, C * factor**2) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.pixel_unshuffle(np.arange(4.0).reshape(1, 2, 2, 1), 2).ravel()
    array([0., 1., 2., 3.])
    """
    source, factor = _image("pixel_unshuffle", input, factor)
    *batch, height, width, channels = source.shape
    if height % factor or width % factor:
        raise ValueError(f"pixel_unshuffle: factor={factor} must divide height and width, got shape {source.shape}")
    height, width = height // factor, width // factor
    blocks = source.reshape(math.prod(batch) * height, factor, width, factor, channels)
    shape = (*batch, height, width, channels * factor**2)
    view = blocks.transpose(0, 2, 4, 1, 3)
    ours = view.dtype in (np.float32, np.float64) and view.dtype.isnative and view.flags.aligned
    return (_core.copied("pixel_unshuffle", view) if ours else np.ascontiguousarray(view)).reshape(shape)


def zero_pad(input: Array, padding: Border) -> Array:
    """Put zeros around the spatial axes.

    Parameters
    ----------
    input : (N, *spatial, C) array of any dtype, one to three spatial axes
    padding : int, one int per axis or one (before, after) pair per axis

    Returns
    -------
    (N, *spatial, C) array, larger by the padding

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.zero_pad(np.ones((1, 2, 1)), ((1, 2),)).ravel()
    array([0., 1., 1., 0., 0.])
    """
    source, pairs = _bordered("zero_pad", "input", input, "padding", padding)
    return np.pad(source, [(0, 0), *pairs, (0, 0)])


def zero_pad_backward(grad_output: Array, padding: Border) -> Array:
    """Return the gradient of `zero_pad`: what isn't padding.

    Parameters
    ----------
    grad_output : (N, *spatial, C) array
    padding : int, one int per axis or one (before, after) pair per axis

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.zero_pad_backward(np.arange(4.0).reshape(1, 4, 1), 1).ravel()
    array([1., 2.])
    """
    return _cropped("zero_pad_backward", "grad_output", grad_output, "padding", padding)


def crop(input: Array, cropping: Border) -> Array:
    """Cut the border off the spatial axes.

    Parameters
    ----------
    input : (N, *spatial, C) array of any dtype, one to three spatial axes
    cropping : int, one int per axis or one (before, after) pair per axis

    Returns
    -------
    (N, *spatial, C) array, smaller by the cropping

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.crop(np.arange(4.0).reshape(1, 4, 1), ((1, 0),)).ravel()
    array([1., 2., 3.])
    """
    return _cropped("crop", "input", input, "cropping", cropping)


def crop_backward(grad_output: Array, cropping: Border) -> Array:
    """Return the gradient of `crop`: zeros where the border was.

    Parameters
    ----------
    grad_output : (N, *spatial, C) array
    cropping : int, one int per axis or one (before, after) pair per axis

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.crop_backward(np.ones((1, 2, 1)), ((1, 0),)).ravel()
    array([0., 1., 1.])
    """
    gradient, pairs = _bordered("crop_backward", "grad_output", grad_output, "cropping", cropping)
    return np.pad(gradient, [(0, 0), *pairs, (0, 0)])


def concatenate(inputs: Sequence[Array]) -> Array:
    """Put arrays side by side along the channels, as the branches of a network.

    Parameters
    ----------
    inputs : sequence of (..., C_i) arrays of one dtype, alike in all axes but the last

    Returns
    -------
    (..., sum of C_i) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.concatenate([np.ones((1, 2, 1)), np.zeros((1, 2, 2))]).shape
    (1, 2, 3)
    """
    arrays = [_arguments.array("concatenate", "inputs", one) for one in inputs]
    if not arrays:
        raise ValueError("concatenate: inputs must have at least one array")
    if len({one.dtype for one in arrays}) > 1:
        raise TypeError(f"concatenate: inputs must have one dtype, got {', '.join(str(one.dtype) for one in arrays)}")
    if len({one.shape[:-1] for one in arrays}) > 1 or not arrays[0].ndim:
        shapes = ", ".join(str(one.shape) for one in arrays)
        raise ValueError(f"concatenate: inputs must be alike in all axes but the last, got shapes {shapes}")
    return np.concatenate(arrays, axis=-1)


def concatenate_backward(grad_output: Array, channels: Iterable[int]) -> tuple[Array, ...]:
    """Return the gradients of `concatenate`: the parts of the output's.

    Parameters
    ----------
    grad_output : (..., sum of channels) array
    channels : one int for each input
        How many channels it has.

    Returns
    -------
    tuple of arrays, views of the gradient

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> [part.shape for part in fc.concatenate_backward(np.ones((1, 2, 3)), (1, 2))]
    [(1, 2, 1), (1, 2, 2)]
    """
    gradient = _arguments.array("concatenate_backward", "grad_output", grad_output)
    counts = [_arguments.integer("concatenate_backward", "channels", count) for count in channels]
    if not gradient.ndim or sum(counts) != gradient.shape[-1] or min(counts, default=0) < 0:
        raise ValueError(
            f"concatenate_backward: channels must add up to those of grad_output {gradient.shape}, got {counts}"
        )
    ends = np.cumsum(counts)
    return tuple(gradient[..., end - count : end] for count, end in zip(counts, ends, strict=True))


def _image(operation: str, input: object, factor: int) -> tuple[Array, int]:
    source, factor = _arguments.array(operation, "input", input), _arguments.integer(operation, "factor", factor)
    if source.ndim not in (3, 4):
        raise ValueError(
            f"{operation}: input must have 4 axes (batch, height, width, channels) or 3 without the batch, "
            f"got shape {source.shape}"
        )
    if factor < 1:
        raise ValueError(f"{operation}: factor must be at least 1, got {factor}")
    return source, factor


def _bordered(
    operation: str, name: str, value: object, border_name: str, border: object
) -> tuple[Array, list[tuple[int, int]]]:
    """Return the array and a (before, after) pair for each of its spatial axes."""
    source = _arguments.array(operation, name, value)
    rank = _arguments.spatial_rank(operation, source.ndim, name)
    pairs = _arguments.border(operation, border_name, border, rank)
    if any(extent < 0 for pair in pairs for extent in pair):
        raise ValueError(f"{operation}: {border_name} must not be negative, got {border!r}")
    return source, pairs


def _cropped(operation: str, name: str, value: object, border_name: str, border: object) -> Array:
    source, pairs = _bordered(operation, name, value, border_name, border)
    spatial = source.shape[1:-1]
    if any(before + after > extent for (before, after), extent in zip(pairs, spatial, strict=True)):
        raise ValueError(
            f"{operation}: {border_name} {border!r} is more than there is, {name} has shape {source.shape}"
        )
    kept = [slice(before, extent - after) for (before, after), extent in zip(pairs, spatial, strict=True)]
    inside = (slice(None), *kept)
    return np.ascontiguousarray(source[inside])
