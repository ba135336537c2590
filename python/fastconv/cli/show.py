"""``fastconv show conv``: a convolution by hand, window after window, with small whole numbers or the user's own."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from fastconv import checkpoint
from fastconv._arguments import Array
from fastconv.visualize import ConvolutionSteps, convolution_steps, draw_convolution

_MOST = 12  # rows and columns that fit a terminal


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    shown = parser.add_subparsers(title="what to show", required=True, metavar="WHAT")
    conv = shown.add_parser("conv", help="a convolution step by step")
    conv.description = (
        "Show how a convolution of one channel is computed: each window of the input, its products with the kernel, "
        "the sums of their rows, and the sum of these. The numbers are your own, or whole, small, and drawn from the "
        'seed. Your own are an NPY file or rows, "1,2;3,4" (after an equals sign if there is a minus in front: '
        '--kernel="-1,0,1").'
    )
    numbers = f"rows of numbers, an NPY file, or HxW for such numbers as the seed gives; at most {_MOST}x{_MOST}"
    conv.add_argument("--input", type=_matrix, default=(5, 5), metavar="NUMBERS", help=f"{numbers} (default: 5x5)")
    conv.add_argument("--kernel", type=_matrix, default=(3, 3), metavar="NUMBERS", help=f"{numbers} (default: 3x3)")
    conv.add_argument("--stride", type=int, default=1, metavar="N", help="steps between windows (default: 1)")
    conv.add_argument("--padding", type=int, default=0, metavar="N", help="zeros around the input (default: 0)")
    conv.add_argument("--out", type=Path, metavar="FILE", help="draw it as well, as FILE.png or FILE.svg")
    conv.add_argument("--seed", type=int, default=0, metavar="N", help="of the numbers (default: 0)")


def main(options: argparse.Namespace) -> int:
    """Show what the arguments ask for."""
    if not 0 <= options.seed < 2**32:
        raise ValueError(f"show conv: seed is {options.seed}, expected 0 to {2**32 - 1}")
    rng = np.random.default_rng(options.seed)
    image = rng.integers(0, 10, options.input) if isinstance(options.input, tuple) else options.input
    kernel = rng.integers(-2, 3, options.kernel) if isinstance(options.kernel, tuple) else options.kernel
    (height, width), (kernel_h, kernel_w) = image.shape, kernel.shape
    stride, padding = options.stride, options.padding
    for name, value, least, most in (
        ("stride", stride, 1, _MOST),
        ("padding", padding, 0, min(kernel_h, kernel_w) - 1),  # with more, some windows would see zeros only
    ):
        if not least <= value <= most:
            raise ValueError(f"show conv: {name} is {value}, expected {least} to {most}")
    padded_h, padded_w = height + 2 * padding, width + 2 * padding
    if kernel_h > padded_h or kernel_w > padded_w:
        raise ValueError(
            f"show conv: kernel is {kernel_h}x{kernel_w}, expected at most {padded_h}x{padded_w}, "
            "the input with its padding"
        )
    steps = convolution_steps(image, kernel, stride=stride, padding=padding)
    if options.out is not None:
        picture = draw_convolution(steps, format=options.out.suffix.removeprefix(".").lower())
        checkpoint.write_atomically(options.out, picture)
    print("\n".join(_lines(steps)))
    return 0


def _matrix(text: str) -> tuple[int, int] | Array:
    """Return numbers that are given, in the text or in a file, or only how many rows and columns there are to be."""
    match = re.fullmatch(r"(\d+)x(\d+)", text)
    try:
        found = (int(match[1]), int(match[2])) if match else _own_numbers(text)
    except (OSError, ValueError) as error:
        raise argparse.ArgumentTypeError(
            f"{text!r} isn't HxW such as 5x5, rows such as 1,2;3,4, or a file: {error}"
        ) from None
    extents = found if isinstance(found, tuple) else found.shape
    if len(extents) != 2 or not 1 <= min(extents) <= max(extents) <= _MOST:
        shape = "x".join(map(str, extents)) or "a single number"
        raise argparse.ArgumentTypeError(f"{text!r} is {shape}, expected 1 to {_MOST} rows and columns")
    return found


def _own_numbers(text: str) -> Array:
    if text.lower().endswith(".npy"):
        numbers = np.load(text, allow_pickle=False)
        if numbers.dtype.kind not in "biuf":
            raise ValueError(f"it holds {numbers.dtype}, expected numbers")
    else:
        rows = [row.replace(",", " ").split() for row in text.strip("; ").split(";")]
        if len(set(map(len, rows))) > 1:
            raise ValueError(f"its rows have {', '.join(str(len(row)) for row in rows)} numbers")
        try:
            numbers = np.array([[int(number) for number in row] for row in rows], np.int64)
        except (ValueError, OverflowError):
            numbers = np.array([[float(number) for number in row] for row in rows])
    if not np.isfinite(numbers).all():
        raise ValueError("not all of its numbers are finite")
    return np.asarray(numbers)


def _lines(steps: ConvolutionSteps) -> Iterator[str]:
    """Yield what is shown, line by line."""
    kernel, padding, stride, output = steps.kernel, steps.padding, steps.stride, steps.output
    yield from _beside(["input", *_rows(steps.input, padding)], ["kernel", *_rows(kernel)])
    yield ""
    for axis, name in enumerate(("rows", "columns")):
        extent, taps = steps.input.shape[axis] - 2 * padding, kernel.shape[axis]
        yield f"{name} of the output: ({extent} + 2*{padding} - {taps}) // {stride} + 1 = {output.shape[axis]}"
    for at in np.ndindex(output.shape):
        middle = [""] * (len(kernel) // 2)
        yield ""
        yield f"output[{at[0]}, {at[1]}]"
        yield from _beside(
            *(_rows(steps.windows[at]), [*middle, "*"], _rows(kernel), [*middle, "="], _rows(steps.products[at])),
            *([*middle, "|"], _rows(steps.partial_sums[at][:, None]), [*middle, f"sum {_text(output[at])}"]),
        )
    yield ""
    yield from ["output", *_rows(output)]


def _rows(numbers: Array, padding: int = 0) -> list[str]:
    """Return a matrix as lines of one width, with dots for the zeros of that much padding."""
    texts = [[_text(number) for number in line] for line in numbers]
    for row, column in np.ndindex(numbers.shape):
        beyond = min(row, column, len(texts) - 1 - row, len(texts[0]) - 1 - column) < padding
        texts[row][column] = "." if beyond else texts[row][column]
    width = max(len(text) for line in texts for text in line)
    return [" ".join(text.rjust(width) for text in line) for line in texts]


def _text(number: Any) -> str:
    return f"{number:.4g}" if isinstance(number, np.floating) else str(number)


def _beside(*blocks: Sequence[str]) -> Iterator[str]:
    """Yield blocks of lines side by side."""
    widths = [max(map(len, block)) for block in blocks]
    for lines in zip_longest(*blocks, fillvalue=""):
        yield "   ".join(line.ljust(width) for line, width in zip(lines, widths, strict=True)).rstrip()
