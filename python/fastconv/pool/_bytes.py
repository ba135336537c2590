"""Maxima of uint8 and int8 arrays, as quantized networks have them: exact by way of float32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv._arguments import Array


def are_bytes(array: Array) -> bool:
    """Whether these are numbers of one byte, which float32 holds exactly."""
    return array.dtype in (np.uint8, np.int8)


def maxima(operation: str, input: Array, out: Array | None, compute: Callable[[Array, Array | None], Any]) -> Any:
    """Return the maxima (and what comes with them) in the input's dtype; a window of padding alone has its lowest."""
    if out is not None and out.dtype != input.dtype:
        raise TypeError(f"{operation}: out must be {input.dtype} like the input, got {out.dtype}")
    result = compute(input.astype(np.float32), None if out is None else out.astype(np.float32))
    values, *indices = result if isinstance(result, tuple) else (result,)
    lowest = np.float32(np.iinfo(input.dtype).min)
    narrow = np.maximum(values, lowest).astype(input.dtype)
    if out is not None:
        out[...] = narrow
        narrow = out
    return (narrow, *indices) if indices else narrow
