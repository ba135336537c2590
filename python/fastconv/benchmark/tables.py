"""Layer tables: CSV files with one convolution or pooling a row, and what each row costs at least.

The columns are those of ``bench/layers/*.csv``; the C++ benchmarks read the same files. ``dtype`` (float32 unless
given) and ``layout`` (channels_last unless given) may be absent. A pool's row reads like a depthwise convolution's.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

DEFAULT_TABLES = ("overview", "cliffs")
CONVOLUTIONS = ("conv", "conv_transpose")
POOLS = ("max_pool", "avg_pool", "global_avg_pool")
ACTIVATIONS = ("relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu")
NORMS = ("batch_norm", "group_norm", "instance_norm", "layer_norm", "local_response_norm")
RESAMPLINGS = ("upsample_nearest", "upsample_linear", "adaptive_avg_pool", "lp_pool", "pixel_shuffle")
OTHERS = (*ACTIVATIONS, *NORMS, *RESAMPLINGS)
OPERATIONS = (*CONVOLUTIONS, *POOLS, *OTHERS)
LAYOUTS = ("channels_last", "channels_first")
DTYPES = ("float32", "float64")
CONVOLUTION_PASSES = ("forward", "grad_input", "grad_weight")
MAX_POOL_PASSES = ("forward", "forward_indices", "grad_input")
PASSES = ("forward", "forward_indices", "grad_input", "grad_weight")

_INDEX_BYTES = 8  # indices are int64, here and in PyTorch
_HERE = Path(__file__).resolve()


@dataclass(frozen=True)
class Layer:
    """One row of a table; spatial axes are (depth,) (height,) width.

    Only convolutions have a weight; of everything else it has no values, but the shape ``(*kernel, 1, channels)``. What
    makes images larger does so by its stride; an adaptive pool's kernel is the size of its output.
    """

    table: str
    name: str
    op: str
    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: tuple[int, ...]
    dilation: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    groups: int
    dtype: str = "float32"
    layout: str = "channels_last"
    output_padding: tuple[int, ...] = ()

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.stride)

    @property
    def kernel(self) -> tuple[int, ...]:
        """Spatial extents of the kernel."""
        return self.weight[:-2]

    @property
    def output(self) -> tuple[int, ...]:
        """Shape of the output."""
        if self.op in (*ACTIVATIONS, *NORMS):
            return self.input
        if self.op.startswith("upsample"):
            larger = (size * scale for size, scale in zip(self.input[1:-1], self.stride, strict=True))
            return (self.input[0], *larger, self.input[-1])
        if self.op == "pixel_shuffle":
            shuffled = (size * scale for size, scale in zip(self.input[1:-1], self.stride, strict=True))
            return (self.input[0], *shuffled, self.input[-1] // math.prod(self.stride))
        if self.op == "adaptive_avg_pool":
            return (self.input[0], *self.kernel, self.input[-1])
        if self.op == "conv_transpose":
            extents = (
                (size - 1) * stride + dilation * (kernel - 1) + 1 - sum(pads) + more
                for size, kernel, stride, dilation, pads, more in zip(
                    self.input[1:-1], self.kernel, self.stride, self.dilation, self.padding, self.output_padding,
                    strict=True,
                )
            )  # fmt: skip
            return (self.input[0], *extents, self.weight[-2] * self.groups)
        spatial = (
            (size + sum(pads) - dilation * (kernel - 1) - 1) // stride + 1
            for size, kernel, stride, dilation, pads in zip(
                self.input[1:-1], self.kernel, self.stride, self.dilation, self.padding, strict=True
            )
        )
        return (self.input[0], *spatial, self.weight[-1])

    @property
    def symmetric_padding(self) -> tuple[int, ...] | None:
        """One number per axis, or None if the padding isn't the same before and after."""
        return None if any(before != after for before, after in self.padding) else tuple(p for p, _ in self.padding)

    @property
    def passes(self) -> tuple[str, ...]:
        """Names of the passes that the layer has."""
        if self.op in CONVOLUTIONS:
            return CONVOLUTION_PASSES
        return MAX_POOL_PASSES if self.op == "max_pool" else ("forward", "grad_input")

    @property
    def operations(self) -> int:
        """Multiplications and additions of one pass by the direct algorithm; 0 of everything but convolutions."""
        if self.op not in CONVOLUTIONS:
            return 0
        pixels = self.output if self.op == "conv" else self.input
        return 2 * math.prod(pixels[:-1]) * math.prod(self.weight)

    def bytes(self, which: str) -> int:
        """Return how many bytes a pass has to move at least: every array that it reads or writes, once."""
        values = math.prod(self.input) + math.prod(self.output)
        if self.op in CONVOLUTIONS:
            values += math.prod(self.weight)
        if self.op in (*ACTIVATIONS, *NORMS, "lp_pool") and which == "grad_input":
            values += math.prod(self.input)  # which the gradient needs, or the output
        indices = 0
        if self.op == "max_pool" and which != "forward":
            indices = math.prod(self.output) * _INDEX_BYTES
        return values * np.dtype(self.dtype).itemsize + indices


def shipped_tables() -> dict[str, Path]:
    """Return the tables that come with the package, by name."""
    # Beside this file in a wheel; in the source tree that an editable install points to, where the C++ benchmarks look.
    for folder in (_HERE.parent / "layers", _HERE.parents[3] / "bench" / "layers"):
        if folder.is_dir():
            return {path.stem: path for path in sorted(folder.glob("*.csv"))}
    return {}


def find_table(name: str) -> Path:
    """Return the file of a table, given by its path or, if it ships with the package, by its name."""
    path = Path(name).expanduser()
    if path.suffix == ".csv" or path.is_file():
        return path
    shipped = shipped_tables()
    if name not in shipped:
        raise ValueError(f"no table {name!r}: give the path of a CSV file, or one of {', '.join(shipped) or 'none'}")
    return shipped[name]


def read_table(path: Path) -> list[Layer]:
    """Return the layers of a table. Rows of unknown operations are passed over.

    Raises
    ------
    ValueError
        If a row lacks a number, or describes no layer; the message names file, line and row.
    """
    with path.open(newline="") as file:
        reader = csv.DictReader(file)
        layers = []
        for row in reader:
            if row.get("op") in OPERATIONS:
                try:
                    layers.append(_layer(path.stem, row))
                except (KeyError, TypeError, ValueError) as error:
                    reason = f"no column {error}" if isinstance(error, KeyError) else str(error)
                    raise ValueError(f"{path}, line {reader.line_num}, {row.get('name')!r}: {reason}") from error
        if "op" not in (reader.fieldnames or ()):
            raise ValueError(f"{path}: is no layer table, it has no column 'op'")
    return layers


def _layer(table: str, row: dict[str, str]) -> Layer:
    def number(name: str) -> int:
        try:
            return int(row[name])
        except (TypeError, ValueError):
            raise ValueError(f"expected a whole number as {name}, got {row[name]!r}") from None

    def numbers(*names: str) -> tuple[int, ...]:
        return tuple(map(number, names))

    groups, channels = number("groups"), number("cin")
    extents, kernel = numbers("d", "h", "w"), numbers("kd", "kh", "kw")
    skip = 0  # leading axes that are 1 throughout
    while skip < 2 and extents[skip] == kernel[skip] == 1:
        skip += 1
    pads = zip(numbers("pad_d", "pad_h", "pad_w"), numbers("pad_d_end", "pad_h_end", "pad_w_end"), strict=True)
    layer = Layer(
        table,
        row["name"],
        row["op"],
        (number("n"), *extents[skip:], channels),
        _weight(row["op"], kernel[skip:], channels, number("cout"), groups),
        numbers("stride_d", "stride_h", "stride_w")[skip:],
        numbers("dil_d", "dil_h", "dil_w")[skip:],
        tuple(pads)[skip:],
        groups,
        row.get("dtype") or "float32",
        row.get("layout") or "channels_last",
        (number("out_pad"),) * (3 - skip) if row["op"] == "conv_transpose" else (),
    )
    _check(layer)
    return layer


def _weight(op: str, kernel: tuple[int, ...], channels: int, filters: int, groups: int) -> tuple[int, ...]:
    if groups < 1:
        return (*kernel, 0, filters)
    return (*kernel, filters // groups, channels) if op == "conv_transpose" else (*kernel, channels // groups, filters)


def _check(layer: Layer) -> None:
    at_least_1 = (*layer.input, *layer.kernel, layer.weight[-1], *layer.stride, *layer.dilation, layer.groups)
    if min(at_least_1) < 1 or min(min(pads) for pads in layer.padding) < 0:
        raise ValueError("extents, strides, dilations and groups have to be at least 1, paddings at least 0")
    if layer.op in CONVOLUTIONS and (layer.input[-1] % layer.groups or layer.weight[-1] % layer.groups):
        raise ValueError(f"{layer.groups} groups don't divide {layer.input[-1]} and {layer.weight[-1]} channels")
    if layer.op in POOLS and not layer.input[-1] == layer.weight[-1] == layer.groups:
        raise ValueError("a pool has as many groups and output channels as input channels")
    if min(layer.output) < 1:
        raise ValueError(f"the kernel {layer.kernel} doesn't fit into {layer.input[1:-1]}")
    for what, value, known in (("dtype", layer.dtype, DTYPES), ("layout", layer.layout, LAYOUTS)):
        if value not in known:
            raise ValueError(f"{what} has to be {' or '.join(known)}, got {value!r}")


def read_layers(
    names: Sequence[str], *, batch: int | None = None, dtype: str | None = None, containing: str = ""
) -> list[Layer]:
    """Return the layers of several tables whose name contains a text, with another batch size or dtype if asked for.

    Where another dtype makes two layers the same, the first one stays.
    """
    layers = [layer for name in names for layer in read_table(find_table(name)) if containing in layer.name]
    if batch is not None:
        layers = [replace(layer, input=(batch, *layer.input[1:])) for layer in layers]
    if dtype is not None:
        different: dict[Layer, Layer] = {}
        for layer in layers:
            different.setdefault(replace(layer, name="", dtype=dtype), replace(layer, dtype=dtype))
        layers = list(different.values())
    if not layers:
        which = f" whose name contains {containing!r}" if containing else ""
        raise ValueError(f"{', '.join(names)}: no layer{which}")
    return layers
