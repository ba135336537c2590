"""What was measured, and what follows from it: shares of the roofline, ratios to the others, summaries."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from fastconv.benchmark.tables import CONVOLUTIONS, PASSES, POOLS, Layer

Machine = dict[str, float]


@dataclass(frozen=True)
class Measurement:
    """The best times of one pass of one layer, in seconds: ours, and each other library's."""

    layer: Layer
    which: str
    seconds: float
    peers: dict[str, float]

    @property
    def gflops(self) -> float:
        """Operations of the direct algorithm per second, in 10^9; 0 for pools."""
        return self.layer.operations / self.seconds / 1e9

    @property
    def gbps(self) -> float:
        """Compulsory bytes per second, in 10^9."""
        return self.layer.bytes(self.which) / self.seconds / 1e9

    def share(self, machine: Machine) -> float:
        """Return the share of the roofline; of a pool, of the bandwidth."""
        return roofline_seconds(self.layer, self.which, machine) / self.seconds

    @property
    def best_peer(self) -> str | None:
        """Name of the fastest other library."""
        return min(self.peers, key=self.peers.__getitem__) if self.peers else None

    @property
    def ratio(self) -> float | None:
        """How many times as fast as the fastest other library."""
        return min(self.peers.values()) / self.seconds if self.peers else None

    @property
    def torch_ratio(self) -> float | None:
        """How many times as fast as PyTorch in the better of its layouts."""
        layouts = [seconds for name, seconds in self.peers.items() if name.startswith("torch")]
        return min(layouts) / self.seconds if layouts else None

    def record(self, machine: Machine) -> dict[str, Any]:
        """Return everything as one flat row."""
        layer = self.layer
        return {
            "table": layer.table,
            "name": layer.name,
            "op": layer.op,
            "dtype": layer.dtype,
            "layout": layer.layout,
            "pass": self.which,
            "microseconds": self.seconds * 1e6,
            "operations": layer.operations,
            "bytes": layer.bytes(self.which),
            "gflops": self.gflops,
            "gbps": self.gbps,
            "roofline_share": self.share(machine),
            "best_peer": self.best_peer,
            "ratio": self.ratio,
            "torch_ratio": self.torch_ratio,
            "peer_microseconds": {name: seconds * 1e6 for name, seconds in self.peers.items()},
        }


def best_of(machines: Iterable[Machine]) -> Machine:
    """Join several measurements of one machine: what disturbs it makes figures smaller, never larger."""
    best: Machine = {}
    for machine in machines:
        best = {name: max(value, best.get(name, 0.0)) for name, value in machine.items()}
    return best


def stream_bandwidth(machine: Machine) -> float:
    """Return the bandwidth that the roofline counts with, in GB/s: reading or copying, whichever moves more bytes."""
    return max(machine["bandwidth"], machine["copy_bandwidth"])


def stream_kind(machine: Machine) -> str:
    """Say which of the two `stream_bandwidth` is."""
    return "reading" if machine["bandwidth"] >= machine["copy_bandwidth"] else "copying"


def roofline_seconds(layer: Layer, which: str, machine: Machine) -> float:
    """Return the least time that a pass needs: for its operations, or for its bytes."""
    arithmetic = layer.operations / (machine[f"peak_{layer.dtype}"] * 1e9)
    return max(arithmetic, layer.bytes(which) / (stream_bandwidth(machine) * 1e9))


@dataclass(frozen=True)
class Summary:
    """Many ratios in four numbers and a name."""

    count: int
    mean: float
    worst: float
    worst_name: str
    below_1: int
    below_095: int

    @staticmethod
    def of(measurements: Sequence[Measurement], value: Callable[[Measurement], float | None]) -> Summary | None:
        """Summarise what ``value`` gives, where it gives anything: geometric mean, worst, how many below."""
        values = [(number, one.layer.name) for one in measurements if (number := value(one)) is not None]
        if not values:
            return None
        numbers = [number for number, _ in values]
        mean = math.exp(math.fsum(map(math.log, numbers)) / len(numbers))
        worst, name = min(values)
        return Summary(len(values), mean, worst, name, sum(n < 1 for n in numbers), sum(n < 0.95 for n in numbers))


@dataclass(frozen=True)
class Summaries:
    """One pass of the convolutions, of the pools, or of the other operations of a set of layers."""

    layers: str
    operation: str
    which: str
    roofline: Summary
    torch: Summary | None
    peers: Summary | None


def _kind(layer: Layer) -> str:
    return "convolution" if layer.op in CONVOLUTIONS else "pool" if layer.op in POOLS else "other"


def summarise(measurements: Sequence[Measurement], machine: Machine) -> list[Summaries]:
    """Summarise every pass: over everything, and for each table if there are several."""
    tables = list(dict.fromkeys(one.layer.table for one in measurements))
    found = []
    for layers in ("all", *(tables if len(tables) > 1 else ())):
        for operation in ("convolution", "pool", "other"):
            for which in PASSES:
                some = [
                    one
                    for one in measurements
                    if one.which == which and layers in ("all", one.layer.table) and _kind(one.layer) == operation
                ]
                roofline = Summary.of(some, lambda one: one.share(machine))
                if roofline is not None:
                    torch = Summary.of(some, lambda one: one.torch_ratio)
                    peers = Summary.of(some, lambda one: one.ratio)
                    found.append(Summaries(layers, operation, which, roofline, torch, peers))
    return found


def float64_beside_float32(measurements: Sequence[Measurement], machine: Machine) -> Summary | None:
    """Summarise how large the share of float64's roofline is, as a share of float32's, where a layer has both."""

    def key(one: Measurement) -> tuple[Layer, str]:
        return replace(one.layer, table="", name="", dtype=""), one.which

    shares = {key(one): one.share(machine) for one in measurements if one.layer.dtype == "float32"}
    doubles = [one for one in measurements if one.layer.dtype == "float64" and key(one) in shares]
    return Summary.of(doubles, lambda one: one.share(machine) / shares[key(one)])
