"""``fastconv summary``: a model as a table."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from fastconv import models, nn
from fastconv.analysis.summary import LayerSummary, summarize

_HEADINGS = ("layer", "kind", "output", "parameters", "MFLOP", "KiB", "sees", "every")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the arguments to a parser."""
    parser.description = (
        "Show a model layer by layer: shape of the output, parameters, operations for one image (two a multiply-add of "
        "convolutions and dense layers), memory of the output, and how many pixels of the image an output sees, "
        "and at which distance its neighbour does."
    )
    parser.add_argument("model", metavar="MODEL", help=", ".join(models.MODELS))
    parser.add_argument("--input", type=_shape, metavar="HxWxC", help="shape of an image (default: the model's)")
    parser.add_argument("--classes", type=int, metavar="N", help="number of classes (default: the model's)")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Print the summary that the arguments ask for."""
    given: dict[str, Any] = {"in_channels": options.input[-1]} if options.input else {}
    model = models.create(options.model, num_classes=options.classes, initializer=nn.initialize.zeros, **given)
    rows = summarize(model, options.input)
    if options.json:
        print(json.dumps(_document(options.model, options.input or model.input_shape, rows)))
    else:
        print(_table(rows))
    return 0


def _shape(text: str) -> tuple[int, ...]:
    if not re.fullmatch(r"[1-9]\d*x[1-9]\d*x[1-9]\d*", text):
        raise argparse.ArgumentTypeError(f"{text!r} isn't a shape such as 224x224x3")
    return tuple(int(extent) for extent in text.split("x"))


def _totals(rows: Sequence[LayerSummary]) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in rows) for name in ("parameters", "flops", "activation_bytes")}


def _document(model: str, shape: Sequence[int] | None, rows: Sequence[LayerSummary]) -> dict[str, Any]:
    layers = [asdict(row) | {"receptive_field": row.receptive_field._asdict()} for row in rows]
    return {"model": model, "input_shape": shape, **_totals(rows), "layers": layers}


def _table(rows: Sequence[LayerSummary]) -> str:
    totals = _totals(rows)
    lines = [_HEADINGS]
    for row in rows:
        numbers = _numbers(row.parameters, row.flops, row.activation_bytes)
        field = row.receptive_field
        shape = _times(row.output_shape)
        lines.append((row.name, row.kind, shape, *numbers, _alike(field.size), _alike(field.stride)))
    lines.append(("total", "", "", *_numbers(**totals), "", ""))
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column < 3 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def _numbers(parameters: int, flops: int, activation_bytes: int) -> tuple[str, str, str]:
    return f"{parameters:,}", f"{flops / 1e6:,.1f}", f"{activation_bytes / 1024:,.0f}"


def _times(extents: Sequence[float]) -> str:
    """Return 3x5 for (3, 5)."""
    return "x".join(f"{extent:g}" for extent in extents)


def _alike(extents: Sequence[float]) -> str:
    """Return 3 for (3, 3), and 3x5 for (3, 5)."""
    return _times(extents[:1] if len(set(extents)) == 1 else extents)
