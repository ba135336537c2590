"""``fastconv show``: what is printed adds up."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastconv import cli


def matrix(lines):
    return np.array([[int(number.replace(".", "0")) for number in line.split()] for line in lines])


@pytest.mark.parametrize(
    "size, kernel_size, stride, padding",
    [
        ((5, 5), (3, 3), 1, 0),
        ((5, 6), (3, 2), 2, 1),
        ((1, 1), (1, 1), 1, 0),
        ((12, 12), (12, 11), 1, 0),
        ((2, 4), (3, 3), 1, 1),
    ],
)
def test_windows_products_and_sums_of_a_convolution_add_up(capsys, size, kernel_size, stride, padding):
    words = f"show conv --input {size[0]}x{size[1]} --kernel {kernel_size[0]}x{kernel_size[1]}".split()
    assert cli.main([*words, "--stride", str(stride), "--padding", str(padding)]) == 0
    first, *steps, last = (block.split("\n") for block in capsys.readouterr().out.strip().split("\n\n"))
    padded_width = size[1] + 2 * padding
    numbers = [re.findall(r"-?\d+|\.", line) for line in first[1:]]
    image = matrix(" ".join(line[:padded_width]) for line in numbers)
    kernel = matrix(" ".join(line[padded_width:]) for line in numbers[: kernel_size[0]])
    output = matrix(last[1:])
    assert image.shape == (size[0] + 2 * padding, padded_width) and last[0] == "output"
    assert [int(line.rpartition(" ")[2]) for line in steps[0]] == list(output.shape)
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel_size)[::stride, ::stride]
    np.testing.assert_array_equal(output, (windows * kernel).sum(axis=(-1, -2)))
    for (at, total), step in zip(np.ndenumerate(output), steps[1:], strict=True):
        assert step[0] == f"output[{at[0]}, {at[1]}]"
        assert re.search(r"sum (-?\d+)", "\n".join(step))[1] == str(total)
        three = matrix(re.sub(r"[*=]|sum.*", " ", line) for line in step[1:])
        np.testing.assert_array_equal(three, np.hstack([windows[at], kernel, windows[at] * kernel]))


def test_the_seed_chooses_the_numbers_which_are_small(capsys):
    shown = []
    for seed in ("0", "0", "1"):
        assert cli.main(["show", "conv", "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]
    assert max(map(len, shown[0].splitlines())) < 80


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--input 5x13", "argument --input: '5x13' isn't HxW with 1 to 12 rows and columns, such as 5x5"),
        ("--kernel 3", "argument --kernel: '3' isn't HxW"),
        ("--input 2x9", "show conv: kernel is 3x3, expected at most 2x9, the input with its padding"),
        ("--padding 3", "show conv: padding is 3, expected 0 to 2"),
        ("--stride 0", "show conv: stride is 0, expected 1 to 12"),
        ("--seed -1", "show conv: seed is -1, expected 0 to"),
    ],
)
def test_bad_arguments_end_in_one_line(capsys, arguments, message):
    try:
        code = cli.main(["show", "conv", *arguments.split()])
    except SystemExit as exit:
        code = exit.code
    told = capsys.readouterr()
    assert code == 2 and message in told.err and told.err.count("\n") == 1 and not told.out
