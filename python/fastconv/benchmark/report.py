"""Measurements as text, as a Markdown table, as JSON and CSV."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastconv.benchmark.results import (
    Machine,
    Measurement,
    Summary,
    float64_beside_float32,
    stream_bandwidth,
    stream_kind,
    summarise,
)
from fastconv.benchmark.tables import PASSES

_TITLES = {"grad_input": "gradient of the input", "grad_weight": "gradient of the weight"}


def text(measurements: Sequence[Measurement], machine: Machine, about: dict[str, Any]) -> str:
    """Return a line per measurement, and the summaries."""
    peers = ", ".join(f"{name} {version}" for name, version in about["peers"].items())
    width = max(20, *(len(one.layer.name) for one in measurements))
    lines = [
        f"{about['isa']}, {about['threads']} threads; measured peak {machine['peak_float32']:.0f} GFLOP/s in float32, "
        f"{machine['peak_float64']:.0f} in float64, {stream_bandwidth(machine):.1f} GB/s {stream_kind(machine)}; "
        f"beside {peers or 'nobody'}",
        f"{'layer':{width}} {'dtype':7} {'pass':15} {'us':>10} {'GFLOP/s':>10} {'roofline':>8} {'ratio':>6} best other",
    ]
    for one in measurements:
        speed = f"{one.gflops:10.1f}" if one.layer.operations else f"{one.gbps:5.1f} GB/s"
        ratio = f"{'-':>6}" if one.ratio is None else f"{one.ratio:6.2f}"
        lines.append(
            f"{one.layer.name:{width}} {one.layer.dtype:7} {one.which:15} {one.seconds * 1e6:10.1f} {speed} "
            f"{one.share(machine):8.0%} {ratio} {one.best_peer or ''}".rstrip()
        )
    return "\n".join([*lines, *_summary_lines(measurements, machine)])


def _summary_lines(measurements: Sequence[Measurement], machine: Machine) -> list[str]:
    lines = []
    for found in summarise(measurements, machine):
        lines.append(f"\n{found.layers}, {found.operation}, {found.which}: {found.roofline.count} cases")
        lines.append(f"  share of the roofline      {_summary(found.roofline, '.0%', counts=False)}")
        for name, summary in (("x PyTorch's better layout", found.torch), ("x the best of the others", found.peers)):
            if summary is not None:
                lines.append(f"  {name:26} {_summary(summary, '.2f')}")
    both = float64_beside_float32(measurements, machine)
    if both is not None:
        lines.append(f"\nfloat64's share / float32's   {_summary(both, '.2f', counts=False)}")
    return lines


def _summary(summary: Summary, form: str, counts: bool = True) -> str:
    line = f"geometric mean {summary.mean:{form}}, worst {summary.worst:{form}} ({summary.worst_name})"
    if counts:
        line += f", below 1: {summary.below_1} of {summary.count}, below 0.95: {summary.below_095}"
    return line


def markdown(measurements: Sequence[Measurement]) -> str:
    """Return a table with a row per layer: the speed of each pass and, in brackets, the ratio to the best other."""
    passes = [which for which in PASSES if any(one.which == which for one in measurements)]
    titles = [_TITLES.get(which, which.replace("_", ", with ")) for which in passes]
    lines = ["| layer | " + " | ".join(titles) + " |", "|---" * (1 + len(titles)) + "|"]
    rows: dict[tuple[str, str, str], dict[str, str]] = {}
    for one in measurements:
        speed = _short(one.gflops) if one.layer.operations else f"{_short(one.gbps)} GB/s"
        ratio = "" if one.ratio is None else f" ({_short(one.ratio)}×)"
        rows.setdefault((one.layer.table, one.layer.name, one.layer.dtype), {})[one.which] = speed + ratio
    for (_, name, dtype), row in rows.items():
        wide = f", {dtype}" if dtype != "float32" and dtype not in name else ""
        lines.append(f"| {name}{wide} | " + " | ".join(row.get(which, "") for which in passes) + " |")
    return "\n".join(lines)


def _short(value: float) -> str:
    """Write two digits, or more where there are more before the point."""
    return f"{value:.0f}" if value >= 9.95 else f"{value:.1f}" if value >= 0.995 else f"{value:.2f}"


def as_json(measurements: Sequence[Measurement], machine: Machine, about: dict[str, Any]) -> str:
    """Return everything, machine and summaries included, as a JSON document."""
    both = float64_beside_float32(measurements, machine)
    document = {
        "about": about,
        "machine": machine,
        "results": [one.record(machine) for one in measurements],
        "summaries": [asdict(found) for found in summarise(measurements, machine)],
        "float64_beside_float32": None if both is None else asdict(both),
    }
    return json.dumps(document, indent=1) + "\n"


def as_csv(measurements: Sequence[Measurement], machine: Machine) -> str:
    """Return a line per measurement, with a column of microseconds for each other library."""
    peers = list(dict.fromkeys(name for one in measurements for name in one.peers))
    rows = []
    for one in measurements:
        row = one.record(machine)
        times = row.pop("peer_microseconds")
        rows.append({**row, **{f"{name} microseconds": times.get(name) for name in peers}})
    written = io.StringIO()
    writer = csv.DictWriter(written, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return written.getvalue()
