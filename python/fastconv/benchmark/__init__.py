"""The scoreboard: layers from tables, measured beside other libraries and the machine's own limits.

``fastconv bench`` runs it. ``tables`` reads the layers, ``contender`` and ``peers`` hold what runs them, ``timing``
takes the times, ``results`` and ``report`` say what they mean.
"""

from __future__ import annotations

from fastconv.benchmark.command import add_arguments, main
from fastconv.benchmark.contender import WrongResult

__all__ = ["WrongResult", "add_arguments", "main"]
