"""``fastconv show``: what is printed adds up."""

from __future__ import annotations

import re

import numpy as np
import pytest

from fastconv import cli, visualize


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
        four = matrix(re.sub(r"[*=|]|sum.*", " ", line) for line in step[1:])
        products = windows[at] * kernel
        np.testing.assert_array_equal(
            four, np.hstack([windows[at], kernel, products, products.sum(axis=1, keepdims=True)])
        )


def test_the_seed_chooses_the_numbers_which_are_small(capsys):
    shown = []
    for seed in ("0", "0", "1"):
        assert cli.main(["show", "conv", "--seed", seed]) == 0
        shown.append(capsys.readouterr().out)
    assert shown[0] == shown[1] != shown[2]
    assert max(map(len, shown[0].splitlines())) < 80


def test_the_steps_of_a_convolution_of_the_user_s_own_numbers_add_up():
    rng = np.random.default_rng(0)
    for image, kernel in ((rng.standard_normal((6, 5)), rng.standard_normal((3, 2))), (np.eye(4, dtype=int), [[2, 1]])):
        steps = visualize.convolution_steps(image, kernel, stride=2, padding=1)
        np.testing.assert_array_equal(steps.input, np.pad(image, 1))
        np.testing.assert_array_equal(steps.products, steps.windows * np.asarray(kernel))
        np.testing.assert_array_equal(steps.partial_sums, steps.products.sum(axis=-1))
        np.testing.assert_allclose(steps.partial_sums.sum(axis=-1), steps.output, atol=1e-14)
        for row, column in np.ndindex(steps.output.shape):
            window = steps.input[2 * row :, 2 * column :][: len(kernel), : np.shape(kernel)[1]]
            np.testing.assert_array_equal(steps.windows[row, column], window)
    assert steps.output.dtype == np.int64
    with pytest.raises(ValueError, match=r"shapes are \(4,\) and \(1, 2\), expected two axes each"):
        visualize.convolution_steps(np.ones(4), kernel)


def test_own_numbers_are_taken_from_the_command_line_and_from_files(capsys, tmp_path):
    np.save(tmp_path / "edge.npy", np.array([[1, -1]], np.int8))
    assert cli.main(["show", "conv", "--input", "1, 2, 250; 3, 4, 5", "--kernel", str(tmp_path / "edge.npy")]) == 0
    blocks = capsys.readouterr().out.strip().split("\n\n")
    np.testing.assert_array_equal(matrix(blocks[-1].split("\n")[1:]), [[-1, -248], [-1, -1]])
    assert cli.main(["show", "conv", "--input", "1 2;3 4", "--kernel=-.5;.25"]) == 0
    assert capsys.readouterr().out.endswith("output\n0.25    0\n")
    for array, message in (
        (np.zeros((2, 2, 1)), "is 2x2x1, expected 1 to 12 rows"),
        (np.array([["a"]]), "expected num"),
    ):
        np.save(tmp_path / "bad.npy", array)
        with pytest.raises(SystemExit):
            cli.main(["show", "conv", "--input", str(tmp_path / "bad.npy")])
        assert message in capsys.readouterr().err


def test_bytes_do_not_overflow_in_the_steps_of_a_convolution():
    steps = visualize.convolution_steps(np.full((2, 2), 200, np.uint8), np.full((2, 2), 3, np.uint8))
    assert steps.products.max() == 600 and steps.output.item() == 2400 == steps.partial_sums.sum()
    with pytest.raises(TypeError, match="kernel is <U1, expected whole numbers or floats"):
        visualize.convolution_steps(np.eye(2), np.array([["a"]]))


def test_the_picture_shows_the_numbers_of_the_terminal_s_view(capsys, tmp_path):
    pytest.importorskip("matplotlib")
    words = "show conv --input 4x5 --kernel 2x3 --stride 2 --padding 1 --out".split()
    assert cli.main([*words, str(tmp_path / "conv.svg")]) == 0
    printed = capsys.readouterr().out
    drawing = (tmp_path / "conv.svg").read_text()
    texts = re.findall(r"<!-- (.*?) -->", drawing)
    numbers = [int(text) for text in texts if re.fullmatch(r"-?\d+", text)]
    blocks = [block.split("\n") for block in printed.strip().split("\n\n")]
    steps = blocks[2:-1]
    assert len(steps) == 9 and texts.count("∗") == 9
    # A step has the padded input, kernel, products, sums of rows, and as many outputs as there are by then.
    assert len(numbers) == 9 * (6 * 7 + 2 * 3 + 2 * 3 + 2) + sum(range(1, 10))
    assert drawing.count("fill: #fdd0a2") == 9 * 6 and drawing.count("fill: #a1d99b") == 9
    totals = [int(re.search(r"sum (-?\d+)", "\n".join(step))[1]) for step in steps]
    assert numbers[-9:] == totals


def test_many_steps_are_cut_and_said(tmp_path):
    pillow = pytest.importorskip("PIL.Image")
    pytest.importorskip("matplotlib")
    steps = visualize.convolution_steps(np.ones((6, 6)), np.ones((3, 3)))
    drawing = visualize.draw_convolution(steps, most=2, format="svg").decode()
    assert "<!-- the first 2 of 16 steps -->" in drawing and drawing.count("fill: #a1d99b") == 2
    (tmp_path / "a.png").write_bytes(visualize.draw_convolution(steps, most=2))
    assert np.ptp(np.asarray(pillow.open(tmp_path / "a.png").convert("L"))) > 200
    with pytest.raises(ValueError, match="most is 0, expected 1 or more"):
        visualize.draw_convolution(steps, most=0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ("--input 5x13", "argument --input: '5x13' is 5x13, expected 1 to 12 rows and columns"),
        ("--kernel 0x1", "argument --kernel: '0x1' is 0x1, expected 1 to 12 rows and columns"),
        ("--kernel 3xa", "argument --kernel: '3xa' isn't HxW such as 5x5, rows such as 1,2;3,4, or a file"),
        (
            "--input 1,2;3",
            "argument --input: '1,2;3' isn't HxW such as 5x5, rows such as 1,2;3,4, or a file: "
            "its rows have 2, 1 numbers",
        ),
        ("--input 1,nan", "not all of its numbers are finite"),
        ("--input nowhere.npy", "No such file"),
        ("--input 2x9", "show conv: kernel is 3x3, expected at most 2x9, the input with its padding"),
        ("--padding 3", "show conv: padding is 3, expected 0 to 2"),
        ("--out a.jpg", "draw_convolution: format is 'jpg', expected 'png' or 'svg'"),
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
