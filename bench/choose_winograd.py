"""Where Winograd's algorithm pays: measure it against the best of the others on a grid of layers, and check the choice.

    python bench/choose_winograd.py [--seconds 0.3] [--filter TEXT] [--csv FILE] [TABLE ...]

The grid goes through channels, map sizes and batches around the border between the two; tables of layers, files or
names of shipped ones, are measured instead where they are given. Printed are, for each pass, GFLOP/s with Winograd, the
ratio to the others, a star where "auto" takes it, and what is wrong: LOSS where it takes it and is more than 5 %
slower, miss where it leaves more than 10 % behind. The costs in cpp/conv/winograd.cpp stand on this table.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Iterator
from pathlib import Path

from tqdm import tqdm

import fastconv as fc
from fastconv.benchmark.contender import Problem, ours
from fastconv.benchmark.tables import CONVOLUTION_PASSES, Layer, read_layers
from fastconv.benchmark.timing import Effort, best_seconds

MOST_OPERATIONS = 4e9


def grid() -> Iterator[Layer]:
    """Yield layers with square maps and as many channels in as out, and some others."""
    for channels, size, batch in itertools.product((8, 16, 32, 64, 128, 256, 512), (4, 7, 14, 28, 56), (1, 4, 16)):
        yield layer((batch, size, size), (3, 3), channels, channels)
    for few, many in itertools.product((1, 3, 8, 16), (16, 64)):
        yield layer((4, 56, 56), (3, 3), few, many)
        yield layer((4, 56, 56), (3, 3), many, few)
    for channels, size in itertools.product((8, 32, 128), (7, 14, 28)):
        yield layer((4, size, size), (5, 5), channels, channels)
    for kernel, channels, size in itertools.product((3, 5), (16, 64, 256), (100, 1000)):
        yield layer((4, size), (kernel,), channels, channels)
    for channels, size in itertools.product((8, 16, 32, 64), (7, 14, 28)):
        yield layer((1, 8, size, size), (3, 3, 3), channels, channels)
    for groups, channels in itertools.product((4, 16), (8, 16, 32, 64)):
        yield layer((4, 28, 28), (3, 3), groups * channels, groups * channels, groups)
    for (kernel, stride), channels, size, batch in itertools.product(
        ((2, 1), (3, 2), (4, 2), (5, 2)), (16, 64, 256), (14, 28, 56), (1, 8)
    ):
        yield layer((batch, size, size), (kernel, kernel), channels, channels, stride=stride)
    for dilation, channels, size, batch in itertools.product((2, 6), (16, 64, 256), (28, 56), (1, 4)):
        yield layer((batch, size, size), (3, 3), channels, channels, dilation=dilation)


def layer(
    input: tuple[int, ...],
    kernel: tuple[int, ...],
    channels: int,
    filters: int,
    groups: int = 1,
    *,
    stride: int = 1,
    dilation: int = 1,
) -> Layer:
    """Return a layer whose outputs are as many as its inputs, or as those by the stride."""
    shape = f"{'x'.join(map(str, input))} {'x'.join(map(str, kernel))}" + f" s{stride}" * (stride > 1)
    shape += f" d{dilation}" * (dilation > 1)
    name = f"{shape} {channels}->{filters}" + f" /{groups}" * (groups > 1)
    reach = tuple(dilation * (size - 1) + 1 - stride for size in kernel)
    padding = tuple(((size + 1) // 2, size // 2) for size in reach)
    weight = (*kernel, channels // groups, filters)
    strides, dilations = (stride,) * len(kernel), (dilation,) * len(kernel)
    return Layer("grid", name, "conv", (*input, channels), weight, strides, dilations, padding, groups)


def takes_winograd(problem: Problem, algorithm: str) -> list[bool]:
    """Tell for each pass whether the algorithm is Winograd's; none where it doesn't support the layer."""
    how = {name: getattr(problem.layer, name) for name in ("stride", "padding", "dilation", "groups")}
    try:
        plans = fc.explain(problem.input, problem.weight, **how, algorithm=algorithm)
    except ValueError:
        return []
    return [plan.algorithm == "winograd" for plan in plans]


def measure(problem: Problem, which: str, effort: Effort) -> tuple[float, float]:
    """Return the seconds of the best of the others, and of Winograd's."""
    others, winograd = (ours(problem, algorithm).runs[which] for algorithm in ("auto", "winograd"))

    def without() -> object:
        with fc.options(winograd=False):
            return others()

    best = best_seconds({"others": without, "winograd": winograd}, effort)
    return best["others"], best["winograd"]


def main() -> int:
    """Measure and print; return how many choices lose more than 5 %."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="*", metavar="TABLE")
    parser.add_argument("--seconds", type=float, default=0.3, help="for each pass (default: %(default)s)")
    parser.add_argument("--filter", default="", metavar="TEXT", help="only layers whose name contains this")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="also write what is measured here")
    options = parser.parse_args()
    layers = read_layers(options.tables) if options.tables else list(grid())
    layers = [one for one in layers if one.op == "conv" and options.filter in one.name]
    layers = [one for one in layers if options.tables or one.operations <= MOST_OPERATIONS]
    rows, losses = [], 0
    for one in tqdm(layers, disable=not sys.stderr.isatty()):
        problem = Problem.of(one)
        if not takes_winograd(problem, "winograd"):
            continue
        cells = []
        for which, chosen in zip(CONVOLUTION_PASSES, takes_winograd(problem, "auto"), strict=True):
            others, winograd = measure(problem, which, Effort(9, options.seconds))
            ratio = others / winograd
            wrong = "LOSS" if chosen and ratio < 0.95 else "miss" if not chosen and ratio > 1.1 else ""
            losses += wrong == "LOSS"
            cells.append(f"{one.operations / winograd / 1e9:6.0f} {ratio:5.2f}{'*' if chosen else ' '} {wrong:4}")
            rows.append([one.name, which, others, winograd, ratio, int(chosen)])
        tqdm.write(f"{one.name[:40]:40}" + " |".join(cells))
    if options.csv:
        with options.csv.open("w", newline="") as file:
            csv.writer(file).writerows([["layer", "pass", "others_s", "winograd_s", "ratio", "chosen"], *rows])
    print(f"{losses} choices lose more than 5 %")
    return int(losses > 0)


if __name__ == "__main__":
    raise SystemExit(main())
