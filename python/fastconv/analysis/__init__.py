"""What a network costs and sees, without running it: shapes, receptive fields, parameters, operations, memory.

``fastconv summary`` prints it. Shapes are those of the layers themselves, called with a batch of no images.
"""

from __future__ import annotations

from fastconv.analysis.command import add_arguments, main
from fastconv.analysis.receptive_field import ReceptiveField
from fastconv.analysis.summary import LayerSummary, output_size, receptive_field, summarize

__all__ = [
    "LayerSummary",
    "ReceptiveField",
    "add_arguments",
    "main",
    "output_size",
    "receptive_field",
    "summarize",
]
