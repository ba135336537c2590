"""A convolution of one channel done by hand: each window, its products with the kernel, and how they add up.

V. Dumoulin, F. Visin: A guide to convolution arithmetic for deep learning. arXiv:1603.07285, 2016, chapter 2.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from fastconv import conv2d
from fastconv._arguments import Array
from fastconv.visualize.drawing import check_format, file, new_figure


class ConvolutionSteps(NamedTuple):
    """All numbers on the way from an input to the output, int64 or float64.

    Attributes
    ----------
    input : ndarray, (H + 2 * padding, W + 2 * padding)
        With the zeros of the padding around it.
    kernel : ndarray, (h, w)
        As given.
    windows, products : ndarray, (output_h, output_w, h, w)
        What each output sees of the input, and that times the kernel.
    partial_sums : ndarray, (output_h, output_w, h)
        The sums of the products' rows.
    output : ndarray, (output_h, output_w)
        The sums of these.
    stride, padding : int
        As given.
    """

    input: Array
    kernel: Array
    windows: Array
    products: Array
    partial_sums: Array
    output: Array
    stride: int
    padding: int


def convolution_steps(image: Array, kernel: Array, *, stride: int = 1, padding: int = 0) -> ConvolutionSteps:
    """Return a convolution step by step, as `fastconv.conv2d` does it with one channel.

    Parameters
    ----------
    image : ndarray, (H, W)
        The input, of whole numbers or floats.
    kernel : ndarray, (h, w)
        Not turned around, as everywhere in deep learning.
    stride : int, default 1
        Steps between windows.
    padding : int, default 0
        Zeros around the input.

    Returns
    -------
    ConvolutionSteps
        Named tuple of all numbers.

    Raises
    ------
    ValueError
        If one of the arrays hasn't two axes, or the kernel is larger than the input with its padding.
    TypeError
        If one of the arrays holds no numbers.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> steps = visualize.convolution_steps(np.arange(9).reshape(3, 3), np.array([[1, 0], [0, -1]]))
    >>> steps.products[0, 1]
    array([[ 1,  0],
           [ 0, -5]])
    >>> steps.partial_sums[0, 1], steps.output
    (array([ 1, -5]), array([[-4, -4],
           [-4, -4]]))
    """
    image, kernel = _wide("image", image), _wide("kernel", kernel)
    if image.ndim != 2 or kernel.ndim != 2:
        raise ValueError(f"convolution_steps: shapes are {image.shape} and {kernel.shape}, expected two axes each")
    dtype = np.result_type(image, kernel)
    inputs, weight = image[None, :, :, None].astype(np.float64), kernel[:, :, None, None].astype(np.float64)
    output = conv2d(inputs, weight, stride=stride, padding=padding)[0, :, :, 0]
    output = np.rint(output).astype(dtype) if np.issubdtype(dtype, np.integer) else output
    padded = np.pad(image, padding)
    windows = np.lib.stride_tricks.sliding_window_view(padded, kernel.shape)[::stride, ::stride]
    products = windows * kernel
    return ConvolutionSteps(padded, kernel, windows, products, products.sum(axis=-1), output, stride, padding)


def _wide(name: str, numbers: Array) -> Array:
    """Return numbers in a type that holds their products and sums, which that of a picture's bytes doesn't."""
    array = np.asarray(numbers)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"convolution_steps: {name} is {array.dtype}, expected whole numbers or floats")
    return array.astype(np.float64 if array.dtype.kind == "f" else np.int64)


_CELL = 0.32  # inches
_GAP = 1.4  # cells between the arrays of a step
_WINDOW, _CURRENT, _PADDING, _PLAIN = "#fdd0a2", "#a1d99b", "#eeeeee", "#ffffff"


def draw_convolution(steps: ConvolutionSteps, *, most: int = 12, format: str = "png") -> bytes:
    """Draw a convolution step by step, a row for each window.

    Parameters
    ----------
    steps : ConvolutionSteps
        As of `convolution_steps`.
    most : int, default 12
        How many steps to draw at most: the first ones.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file. From left to right: the input, with the window marked and the padding grey; the kernel; their
        products; the sums of the rows; and the output as far as it is known, the new value marked.

    Raises
    ------
    ValueError
        If ``format`` is unknown or ``most`` isn't 1 or more.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> visualize.draw_convolution(visualize.convolution_steps(np.eye(3), np.ones((2, 2))))[1:4]
    b'PNG'
    """
    check_format("draw_convolution", format)
    if most < 1:
        raise ValueError(f"draw_convolution: most is {most}, expected 1 or more")
    positions = list(np.ndindex(steps.output.shape))[:most]
    kernel_h, kernel_w = steps.kernel.shape
    height = max(len(steps.input), len(steps.output)) + 1
    lefts = np.cumsum([0, *(width + _GAP for width in (steps.input.shape[1], kernel_w, kernel_w, 1))])
    right = lefts[-1] + steps.output.shape[1]
    figure = new_figure((right + 1) * _CELL, (len(positions) * height + 1.6) * _CELL)
    axes = figure.subplots()
    names = ("input", "kernel", "products", "row sums", "output")
    for name, left, width in zip(
        names, lefts, (steps.input.shape[1], kernel_w, kernel_w, 1, right - lefts[-1]), strict=True
    ):
        axes.text(left + width / 2, -0.4, name, ha="center", fontsize=8)
    for number, (row, column) in enumerate(positions):
        top, at = number * height, (row * steps.stride, column * steps.stride)
        seen = np.full(steps.input.shape, _PADDING, object)
        inner = slice(steps.padding, -steps.padding or None)
        seen[inner, inner] = _PLAIN
        seen[at[0] : at[0] + kernel_h, at[1] : at[1] + kernel_w] = _WINDOW
        known = np.full(steps.output.shape, _PLAIN, object)
        known[row, column] = _CURRENT
        so_far = np.arange(steps.output.size).reshape(steps.output.shape) <= number
        middle = top + (kernel_h - 1) / 2 + 0.5
        _draw_cells(axes, steps.input, (lefts[0], top), seen)
        _draw_cells(axes, steps.kernel, (lefts[1], top))
        _draw_cells(axes, steps.products[row, column], (lefts[2], top))
        _draw_cells(axes, steps.partial_sums[row, column][:, None], (lefts[3], top))
        _draw_cells(axes, np.where(so_far, steps.output, 0), (lefts[4], top), known, so_far)
        for sign, left in zip("∗=Σ→", lefts[1:], strict=True):
            axes.text(left - _GAP / 2, middle, sign, ha="center", va="center", fontsize=9)
    shown = f"the first {len(positions)} of {steps.output.size} steps" if len(positions) < steps.output.size else ""
    axes.text(0, len(positions) * height - 0.3, shown, fontsize=8, va="top")
    axes.set(xlim=(-0.5, right + 0.5), ylim=(len(positions) * height + 0.3, -1.3), aspect="equal")
    axes.axis("off")
    return file(figure, format)


def _draw_cells(
    axes: Any, numbers: Array, corner: tuple[float, float], colours: Array | None = None, shown: Array | None = None
) -> None:
    """Draw a matrix as cells with numbers, from a corner on; without a colour they are white."""
    left, top = corner
    for row, column in np.ndindex(numbers.shape):
        colour = _PLAIN if colours is None else colours[row, column]
        x, y = left + column, top + row
        axes.fill([x, x + 1, x + 1, x], [y, y, y + 1, y + 1], facecolor=colour, edgecolor="#888888", linewidth=0.5)
        if shown is None or shown[row, column]:
            text = f"{numbers[row, column]:.3g}"
            axes.text(x + 0.5, y + 0.5, text, ha="center", va="center", fontsize=7 if len(text) < 4 else 5)
