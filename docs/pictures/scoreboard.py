"""What `fastconv bench` has measured, read back from its JSON, for the pages that show it."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from fastconv.benchmark.results import Machine, Measurement
from fastconv.benchmark.tables import Layer, find_table, read_table

FILE = Path(__file__).resolve().parents[1] / "measured" / "two_cores.json"
SLOWER = 0.95  # of the best peer: below that it isn't noise any more


def read(file: Path = FILE) -> tuple[list[Measurement], Machine, dict[str, Any]]:
    """Return the measurements, the machine's limits, and what else is known about the run."""
    document = json.loads(file.read_text())
    tables = {result["table"] for result in document["results"]}
    layers = {(layer.table, layer.name): layer for table in tables for layer in read_table(find_table(table))}
    measurements = [
        Measurement(
            layers[result["table"], result["name"]],
            result["pass"],
            result["microseconds"] / 1e6,
            {name: microseconds / 1e6 for name, microseconds in result["peer_microseconds"].items()},
        )
        for result in document["results"]
    ]
    return measurements, document["machine"], document["about"]


def slower(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Return the passes that are slower than the best peer by more than noise, the slowest first."""
    with_ratio = [(one.ratio, one) for one in measurements if one.ratio is not None]
    return [one for ratio, one in sorted(with_ratio, key=lambda pair: pair[0]) if ratio < SLOWER]


def _channels_a_group(layer: Layer) -> int:
    return layer.weight[-1] // layer.groups


# (title, which layers, why): the first that fits a layer counts.
_GROUPS: tuple[tuple[str, Callable[[Layer], bool], str], ...] = (
    (
        "Channels first",
        lambda layer: layer.layout == "channels_first",
        "Arrays that arrive with channels first are laid out anew inside the call, at the speed of memory. PyTorch "
        "has kernels of their own for them.",
    ),
    (
        "Depthwise",
        lambda layer: layer.groups > 1 and layer.groups == layer.input[-1],
        "Hardly any arithmetic for each byte. Results of more than a third of the last cache are written past it, "
        "which is faster in a network and slower in a loop over the same arrays.",
    ),
    (
        "Groups of 16 channels and more",
        lambda layer: layer.groups > 1 and _channels_a_group(layer) >= 16,
        "A matrix product for each group, whose few columns fill a part of the tile: with one or two vectors of them, "
        "broadcasts are what it waits for.",
    ),
    (
        "Groups of few channels at a stride",
        lambda layer: layer.groups > 1,
        "With a stride, a value that is loaded and permuted meets fewer taps.",
    ),
    (
        "Few pixels",
        lambda layer: math.prod(layer.output[:-1]) <= 64,
        "The weight is larger than everything else together, and used once: what counts is how it streams from memory.",
    ),
    (
        "Dilated",
        lambda layer: max(layer.dilation) > 1,
        "Where the dilation is near the size of the map, tiles of pixels that far apart are nearly empty, and "
        "Winograd's algorithm doesn't pay. Both libraries run a direct product, and PyTorch's, which is generated for "
        "the very shape, is nearer to the peak.",
    ),
    (
        "1×1",
        lambda layer: set(layer.kernel) == {1},
        "Plain matrix products, in which there is nothing to save. Ours are further from the peak where the columns "
        "don't fill the tile (2, 21 or 116 of them), and in the gradient of the weight, whose source is laid out anew.",
    ),
    (
        "Little work",
        lambda layer: layer.operations < 50e6,
        "What is around the arithmetic counts, and few channels fill no tile.",
    ),
    (
        "At a stride",
        lambda layer: max(layer.stride) > 1,
        "A 3×3 kernel has one or two taps in a phase of a stride of 2: Winograd's algorithm does with 81 products "
        "instead of 144, which small maps use up; kernels with other than 2, 3 or 5 taps in a phase have none.",
    ),
    (
        "Channels that fill no vector",
        lambda layer: bool(layer.weight[-1] % 16 or layer.weight[-2] % 16),
        "The last vector of columns is partly empty.",
    ),
    (
        "Not explained",
        lambda layer: True,
        "No reason is known. If a second run doesn't show it, another program was running beside this one.",
    ),
)


def grouped(measurements: Iterable[Measurement]) -> list[tuple[str, str, list[Measurement]]]:
    """Return (title, why, passes) of each group that has some, in the order of the groups."""
    found: dict[str, list[Measurement]] = {}
    for one in measurements:
        title = next(title for title, fits, _ in _GROUPS if fits(one.layer))
        found.setdefault(title, []).append(one)
    return [(title, why, found[title]) for title, _, why in _GROUPS if title in found]
