"""``fastconv show conv``: a convolution by hand, window after window, with small whole numbers."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

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
        "the sums of their rows, and the sum of these. The numbers are whole, small, and drawn from the seed."
    )
    extents = f"height and width, at most {_MOST}x{_MOST}"
    conv.add_argument("--input", type=_extents, default=(5, 5), metavar="HxW", help=f"{extents} (default: 5x5)")
    conv.add_argument("--kernel", type=_extents, default=(3, 3), metavar="HxW", help=f"{extents} (default: 3x3)")
    conv.add_argument("--stride", type=int, default=1, metavar="N", help="steps between windows (default: 1)")
    conv.add_argument("--padding", type=int, default=0, metavar="N", help="zeros around the input (default: 0)")
    conv.add_argument("--out", type=Path, metavar="FILE", help="draw it as well, as FILE.png or FILE.svg")
    conv.add_argument("--seed", type=int, default=0, metavar="N", help="of the numbers (default: 0)")


def main(options: argparse.Namespace) -> int:
    """Show what the arguments ask for."""
    (height, width), (kernel_h, kernel_w) = options.input, options.kernel
    stride, padding = options.stride, options.padding
    for name, value, least, most in (
        ("stride", stride, 1, _MOST),
        ("padding", padding, 0, min(kernel_h, kernel_w) - 1),  # with more, some windows would see zeros only
        ("seed", options.seed, 0, 2**32 - 1),
    ):
        if not least <= value <= most:
            raise ValueError(f"show conv: {name} is {value}, expected {least} to {most}")
    padded_h, padded_w = height + 2 * padding, width + 2 * padding
    if kernel_h > padded_h or kernel_w > padded_w:
        raise ValueError(
            f"show conv: kernel is {kernel_h}x{kernel_w}, expected at most {padded_h}x{padded_w}, "
            "the input with its padding"
        )
    rng = np.random.default_rng(options.seed)
    image = rng.integers(0, 10, (height, width))
    kernel = rng.integers(-2, 3, (kernel_h, kernel_w))
    steps = convolution_steps(image, kernel, stride=stride, padding=padding)
    if options.out is not None:
        picture = draw_convolution(steps, format=options.out.suffix.removeprefix(".").lower())
        checkpoint.write_atomically(options.out, picture)
    print("\n".join(_lines(steps)))
    return 0


def _extents(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"([1-9]\d?)x([1-9]\d?)", text)
    extents = (int(match[1]), int(match[2])) if match else (0, 0)
    if not match or max(extents) > _MOST:
        raise argparse.ArgumentTypeError(f"{text!r} isn't HxW with 1 to {_MOST} rows and columns, such as 5x5")
    return extents


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
            *([*middle, "|"], _rows(steps.partial_sums[at][:, None]), [*middle, f"sum {output[at]}"]),
        )
    yield ""
    yield from ["output", *_rows(output)]


def _rows(numbers: Array, padding: int = 0) -> list[str]:
    """Return a matrix as lines of one width, with dots for the zeros of that much padding."""
    texts = [[str(number) for number in line] for line in numbers]
    for row, column in np.ndindex(numbers.shape):
        beyond = min(row, column, len(texts) - 1 - row, len(texts[0]) - 1 - column) < padding
        texts[row][column] = "." if beyond else texts[row][column]
    width = max(len(text) for line in texts for text in line)
    return [" ".join(text.rjust(width) for text in line) for line in texts]


def _beside(*blocks: Sequence[str]) -> Iterator[str]:
    """Yield blocks of lines side by side."""
    widths = [max(map(len, block)) for block in blocks]
    for lines in zip_longest(*blocks, fillvalue=""):
        yield "   ".join(line.ljust(width) for line, width in zip(lines, widths, strict=True)).rstrip()
