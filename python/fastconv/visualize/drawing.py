"""What all pictures share: figures, rows of images, and the bytes of a file.

They are drawn on matplotlib's Figure objects without pyplot, so that no display is needed and no global state changes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from fastconv._arguments import Array
from fastconv._extras import require


def check_format(operation: str, format: str) -> None:
    """Raise ValueError unless the format of a file is known."""
    if format not in ("png", "svg"):
        raise ValueError(f"{operation}: format is {format!r}, expected 'png' or 'svg'")


def new_figure(width: float, height: float) -> Any:
    """Return an empty figure of this size in inches."""
    return require("matplotlib.figure").Figure(figsize=(width, height), dpi=120, layout="constrained")


def file(figure: Any, format: str) -> bytes:
    """Return what a file with the figure holds, the same bytes every time."""
    written = io.BytesIO()
    with require("matplotlib").rc_context({"svg.hashsalt": "fastconv"}):  # else the names inside are drawn at random
        figure.savefig(written, format=format, metadata={"Date": None} if format == "svg" else None)
    return written.getvalue()


def grid(figure: Any, rows: int, columns: int) -> Any:
    """Return axes in rows and columns that show nothing yet."""
    cells = figure.subplots(rows, columns, squeeze=False)
    for axes in cells.flat:
        axes.axis("off")
    return cells


def show_image(axes: Any, image: Array, bounds: tuple[float, float] | None = None, **style: Any) -> None:
    """Draw an image of (H, W), (H, W, 1) or (H, W, 3), or others by their mean; black to white are its own bounds."""
    if image.ndim == 3 and image.shape[-1] != 3:
        image = image.mean(axis=-1)
    low, high = bounds or (float(image.min()), float(image.max()))
    scaled = np.clip((image - low) / (high - low), 0, 1) if high > low else np.zeros_like(image)
    axes.imshow(scaled, **({"cmap": "gray", "vmin": 0, "vmax": 1} | style))


def show_signed(axes: Any, values: Array, reach: float) -> None:
    """Draw numbers of both signs: blue below zero, red above, white at zero."""
    axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach)


def reach_of(values: Iterable[Array]) -> float:
    """Return the largest absolute value of several arrays; 1 where all are zero, for a scale needs some extent."""
    return max((float(np.abs(value).max(initial=0)) for value in values), default=0.0) or 1.0


def labels_of(operation: str, names: Sequence[str], count: int, end: str) -> list[str]:
    """Return the beginnings of titles, empty ones without names; raise ValueError unless each picture has one."""
    if len(names) not in (0, count):
        raise ValueError(f"{operation}: there are {len(names)} names, expected {count}")
    return [f"{name}{end}" for name in names] or [""] * count


def check_planes(operation: str, name: str, array: Array, ranks: tuple[int, ...]) -> None:
    """Raise ValueError unless an array has as many axes as pictures need, and at least one picture."""
    if array.ndim not in ranks or not array.size:
        expected = " or ".join(map(str, ranks))
        raise ValueError(f"{operation}: {name} has shape {array.shape}, expected {expected} axes, none of them empty")
