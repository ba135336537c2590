"""The explicit patch matrix of a convolution, and its adjoint."""

from __future__ import annotations

from fastconv import _arguments, _core
from fastconv._arguments import Array, Padding, Size
from fastconv._half import accepts_half


def im2col(input: Array, kernel_size: Size, *, stride: Size = 1, padding: Padding = 0, dilation: Size = 1) -> Array:
    """Write out the patch under every window: the matrix that turns a convolution into a matrix product.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64, one to three spatial axes
    kernel_size : int or one per spatial axis
    stride, padding, dilation
        As in `conv2d`.

    Returns
    -------
    (N, *spatial_out, taps * C) array
        Taps in the order of the weight's leading axes, the channels of a tap together.

    References
    ----------
    K. Chellapilla, S. Puri and P. Simard, "High performance convolutional neural networks for document
    processing", 2006, section 3.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> rng = np.random.default_rng(0)
    >>> x, w = rng.normal(size=(2, 8, 8, 3)), rng.normal(size=(3, 3, 3, 16))
    >>> patches = fc.im2col(x, 3)
    >>> patches.shape
    (2, 6, 6, 27)
    >>> np.allclose(patches @ w.reshape(27, 16), fc.conv2d(x, w))
    True
    """
    return _im2col(input, kernel_size, stride, padding, dilation)


@accepts_half
def _im2col(input: object, kernel_size: object, stride: object, padding: object, dilation: object) -> Array:
    source = _arguments.array("im2col", "input", input)
    rank = _arguments.spatial_rank("im2col", source.ndim, "input")
    return _core.im2col(
        source,
        _arguments.sliding("im2col", rank, stride, padding, dilation),
        _arguments.per_axis("im2col", "kernel_size", kernel_size, rank),
    )


def col2im(
    patches: Array,
    input_shape: tuple[int, ...],
    kernel_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
) -> Array:
    """Add every value of a patch matrix to the position that it came from: the adjoint of `im2col`.

    Parameters
    ----------
    patches : (N, *spatial_out, taps * C) array of float32 or float64
    input_shape : (N, *spatial, C)
        Shape of the array that the patches were taken from.
    kernel_size, stride, padding, dilation
        As in `im2col`.

    Returns
    -------
    (N, *spatial, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.col2im(np.ones((1, 3, 2)), (1, 4, 1), 2)[0, :, 0]
    array([1., 2., 2., 1.])
    """
    return _col2im(patches, input_shape, kernel_size, stride, padding, dilation)


@accepts_half
def _col2im(
    patches: object,
    input_shape: tuple[int, ...],
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
) -> Array:
    shape = _arguments.shape("col2im", input_shape)
    rank = _arguments.spatial_rank("col2im", len(shape), "input_shape")
    return _core.col2im(
        _arguments.array("col2im", "patches", patches),
        _arguments.sliding("col2im", rank, stride, padding, dilation),
        shape,
        _arguments.per_axis("col2im", "kernel_size", kernel_size, rank),
    )
