"""Measure convolution layers side by side with other libraries, in one process.

    python bench/compare.py bench/layers/vgg16.csv --batch 4

Every case is run in turns (ours, theirs, ours, ...) and the best of several runs counts, because machines are
noisy. The machine's peak and bandwidth are measured first; the roofline of a case is
min(peak, operations / compulsory bytes * bandwidth), with the operations of the direct algorithm and every array
read or written once. PyTorch, when installed, runs in both its layouts, and the better one counts.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import fastconv as fc

PASSES = ("forward", "grad_input", "grad_weight")
Run = Callable[[], object]


@dataclass(frozen=True)
class Layer:
    """One convolution, as a row of the layer tables describes it; spatial axes are depth, height, width."""

    name: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the output."""
        spatial = (
            (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation, pads in zip(
                self.input[1:-1], self.weight, self.stride, self.dilation, self.padding, strict=False
            )
        )
        return (self.input[0], *spatial, self.weight[-1])

    @property
    def operations(self) -> int:
        """Multiplications and additions of one pass, by the direct algorithm."""
        return 2 * math.prod(self.output[:-1]) * math.prod(self.weight)

    @property
    def bytes(self) -> int:
        """Bytes that one pass has to move at least: each of the three arrays once."""
        return 4 * (math.prod(self.input) + math.prod(self.weight) + math.prod(self.output))


def read_layers(path: Path, batch: int | None) -> Iterator[Layer]:
    """Yield the convolutions of a table, without leading spatial axes that are 1 throughout."""
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["op"] != "conv":
                continue

            def numbers(*names: str, row: dict[str, str] = row) -> tuple[int, ...]:
                return tuple(int(row[name]) for name in names)

            groups = int(row["groups"])
            extents, kernel = numbers("d", "h", "w"), numbers("kd", "kh", "kw")
            skip = 0
            while skip < 2 and extents[skip] == kernel[skip] == 1:
                skip += 1
            pads = zip(numbers("pad_d", "pad_h", "pad_w"), numbers("pad_d_end", "pad_h_end", "pad_w_end"), strict=True)
            yield Layer(
                row["name"],
                (batch or int(row["n"]), *extents[skip:], int(row["cin"])),
                (*kernel[skip:], int(row["cin"]) // groups, int(row["cout"])),
                numbers("stride_d", "stride_h", "stride_w")[skip:],
                numbers("dil_d", "dil_h", "dil_w")[skip:],
                tuple(pads)[skip:],
                groups,
            )


def ours(layer: Layer, x: Any, w: Any, dy: Any, algorithm: str) -> dict[str, Run]:
    """Return what runs each pass in fastconv."""
    rank = len(layer.stride)
    forward = getattr(fc, f"conv{rank}d")
    backward = getattr(fc, f"conv{rank}d_backward")
    how = {name: getattr(layer, name) for name in ("stride", "padding", "dilation", "groups")}
    how["algorithm"] = algorithm
    return {
        "forward": lambda: forward(x, w, **how),
        "grad_input": lambda: backward(dy, x, w, wrt=["input"], **how),
        "grad_weight": lambda: backward(dy, x, w, wrt=["weight"], **how),
    }


def pytorch(layer: Layer, x: Any, w: Any, dy: Any, channels_last: bool) -> dict[str, Run]:
    """Return what runs each pass in PyTorch, in one of its two memory layouts."""
    import torch

    rank = len(layer.stride)
    formats = {2: torch.channels_last, 3: torch.channels_last_3d}
    if channels_last and rank not in formats:
        return {}

    def tensor(array: Any, axes: list[int]) -> Any:
        result = torch.from_numpy(np.ascontiguousarray(array.transpose(axes)))
        return result.contiguous(memory_format=formats[rank]) if channels_last else result

    pixels = [0, rank + 1, *range(1, rank + 1)]
    inputs, outputs, weight = tensor(x, pixels), tensor(dy, pixels), tensor(w, [rank + 1, rank, *range(rank)])
    if any(before != after for before, after in layer.padding):
        return {}
    padding = [before for before, _ in layer.padding]
    convolution = {1: torch.conv1d, 2: torch.conv2d, 3: torch.conv3d}[rank]
    zeros = [0] * rank

    def backward(mask: list[bool]) -> Run:
        return lambda: torch.ops.aten.convolution_backward(
            outputs, inputs, weight, None, layer.stride, padding, layer.dilation, False, zeros, layer.groups, mask
        )

    return {
        "forward": lambda: convolution(inputs, weight, None, layer.stride, padding, layer.dilation, layer.groups),
        "grad_input": backward([True, False, False]),
        "grad_weight": backward([False, True, False]),
    }


def best_seconds(runs: dict[str, Run], repeats: int) -> dict[str, float]:
    """Run everything in turns, and return the best time of each; short runs are repeated more often."""
    best = dict.fromkeys(runs, math.inf)
    turn, start = 0, time.perf_counter()
    while turn <= repeats or (time.perf_counter() - start < 0.1 and turn < 1000):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            if turn:  # the first turn warms up
                best[name] = min(best[name], time.perf_counter() - begin)
        turn += 1
    return best


@dataclass(frozen=True)
class Result:
    """One pass of one layer: speed, share of the roofline, and speed relative to the best peer."""

    layer: str
    which: str
    microseconds: float
    gflops: float
    roofline_share: float
    peers: dict[str, float]

    @property
    def ratio(self) -> float | None:
        """Return how many times as fast as the best peer."""
        return min(self.peers.values()) / self.microseconds if self.peers else None


def measure(layer: Layer, machine: dict[str, float], with_torch: bool, repeats: int, algorithm: str) -> list[Result]:
    """Measure the three passes of a layer."""
    rng = np.random.default_rng(0)
    x, w, dy = (rng.standard_normal(shape, np.float32) for shape in (layer.input, layer.weight, layer.output))
    libraries = {"fastconv": ours(layer, x, w, dy, algorithm)}
    if with_torch:
        libraries["torch channels first"] = pytorch(layer, x, w, dy, channels_last=False)
        libraries["torch channels last"] = pytorch(layer, x, w, dy, channels_last=True)
    roofline = min(machine["peak_float32"], layer.operations / layer.bytes * machine["bandwidth"])
    results = []
    for which in PASSES:
        best = best_seconds({name: runs[which] for name, runs in libraries.items() if runs}, repeats)
        own = best.pop("fastconv")
        gflops = layer.operations / own / 1e9
        peers = {name: seconds * 1e6 for name, seconds in best.items()}
        results.append(Result(layer.name, which, own * 1e6, gflops, gflops / roofline, peers))
    return results


def geometric_mean(values: list[float]) -> float:
    """Return the geometric mean."""
    return math.exp(sum(map(math.log, values)) / len(values))


def report(results: list[Result], machine: dict[str, float]) -> None:
    """Print a line per result, and the summary of each pass."""
    print(
        f"{fc.info()['isa']}, {fc.get_num_threads()} threads; measured peak {machine['peak_float32']:.0f} GFLOP/s, "
        f"bandwidth {machine['bandwidth']:.0f} GB/s"
    )
    print(f"{'layer':40} {'pass':12} {'us':>10} {'GFLOP/s':>8} {'roofline':>8} {'x PyTorch':>9}")
    for result in results:
        ratio = f"{result.ratio:9.2f}" if result.ratio else f"{'-':>9}"
        print(
            f"{result.layer[-40:]:40} {result.which:12} {result.microseconds:10.0f} {result.gflops:8.1f} "
            f"{result.roofline_share:8.0%} {ratio}"
        )
    for which in PASSES:
        shares = [r.roofline_share for r in results if r.which == which]
        ratios = [r.ratio for r in results if r.which == which and r.ratio]
        line = f"{which}: roofline, geometric mean {geometric_mean(shares):.0%}, worst {min(shares):.0%}"
        if ratios:
            below = sum(ratio < 1 for ratio in ratios)
            line += (
                f"; x PyTorch {geometric_mean(ratios):.2f}, worst {min(ratios):.2f}, below 1: {below} of {len(ratios)}"
            )
        print(line)


def markdown(results: list[Result]) -> str:
    """Return a table with a row per layer: GFLOP/s of each pass and, in brackets, the ratio to the best peer."""
    lines = ["| layer | " + " | ".join(PASSES) + " |", "|---" * (1 + len(PASSES)) + "|"]
    for layer in dict.fromkeys(result.layer for result in results):
        cells = [
            f"{result.gflops:.0f}" + (f" ({result.ratio:.1f}×)" if result.ratio else "")
            for result in results
            if result.layer == layer
        ]
        lines.append(f"| {layer} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tables", nargs="+", type=Path, help="layer tables, such as bench/layers/vgg16.csv")
    parser.add_argument("--batch", type=int, help="batch size instead of the table's")
    parser.add_argument("--repeats", type=int, default=7, help="turns per case; the best one counts")
    parser.add_argument("--algorithm", default="auto", help="fastconv's algorithm")
    parser.add_argument("--filter", default="", help="only layers whose name contains this")
    parser.add_argument("--markdown", action="store_true", help="also print the table of README.md")
    parser.add_argument("--json", type=Path, help="also write the results here")
    arguments = parser.parse_args()

    try:
        import torch

        torch.set_num_threads(fc.get_num_threads())
        with_torch = True
    except ModuleNotFoundError:
        print("PyTorch isn't installed: measuring fastconv alone", file=sys.stderr)
        with_torch = False
    try:
        from tqdm import tqdm
    except ModuleNotFoundError:
        tqdm = lambda items, **_: items  # noqa: E731

    layers = [layer for table in arguments.tables for layer in read_layers(table, arguments.batch)]
    layers = [layer for layer in layers if arguments.filter in layer.name]
    if not layers:
        parser.error("no layer of these tables has such a name")
    machine = fc.measure_machine()
    results = []
    for layer in tqdm(layers, unit="layer", file=sys.stderr):
        results += measure(layer, machine, with_torch, arguments.repeats, arguments.algorithm)
    report(results, machine)
    if arguments.markdown:
        print(markdown(results))
    if arguments.json:
        arguments.json.write_text(json.dumps({"machine": machine, "results": [asdict(r) for r in results]}, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
