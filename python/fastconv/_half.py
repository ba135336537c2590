"""Half precision as a format of storage: float16 and bfloat16 arrays come in and go out, with float32 between.

bfloat16 is the dtype of the package ml_dtypes; an array of it comes from there, so nothing is imported here. What a
call costs in either format is a conversion of its arrays; what it computes is what float32 computes, rounded once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

import numpy as np

from fastconv._arguments import Array

_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")


def accepts_half(function: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]:
    """Let a function of float32 arrays take float16 or bfloat16 arrays, all of one kind, and answer in that kind.

    The function is called as it is first. Only where it refuses a dtype are its arguments looked at.
    """

    @functools.wraps(function)
    def call(*arguments: _Parameters.args, **keywords: _Parameters.kwargs) -> _Result:
        try:
            return function(*arguments, **keywords)
        except TypeError:
            half = _common_half([*arguments, *keywords.values()])
            if half is None:
                raise
        widened = [_widen(value, half) for value in arguments]
        named = {name: _widen(value, half) for name, value in keywords.items()}
        result = function(*widened, **named)  # type: ignore[arg-type]
        before, after = [*arguments, *keywords.values()], [*widened, *named.values()]
        return _narrow(result, half, before, after)  # type: ignore[no-any-return]

    return call


def is_half(dtype: np.dtype[Any]) -> bool:
    """Whether this is float16 or bfloat16, in the machine's byte order."""
    return dtype.isnative and (dtype == np.float16 or dtype.name == "bfloat16")


def widened(array: Array) -> Array:
    """Return a half-precision array as float32, any other as it is."""
    return array.astype(np.float32) if is_half(array.dtype) else array


def rounded(array: Array, dtype: np.dtype[Any]) -> Array:
    """Return the array in another format; what is too large for it becomes infinite, as rounding says."""
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _dtype(value: object) -> np.dtype[Any] | None:
    """Return the dtype of an array of floats, None for everything else."""
    dtype = getattr(value, "dtype", None) if hasattr(value, "__array__") else None
    if isinstance(value, np.generic) or not isinstance(dtype, np.dtype):
        return None
    return dtype if dtype.kind == "f" or is_half(dtype) else None


def _common_half(values: list[object]) -> np.dtype[Any] | None:
    """Return the half precision that all arrays of floats are in, None where there is none."""
    dtypes = {dtype for value in values if (dtype := _dtype(value)) is not None}
    return dtypes.pop() if len(dtypes) == 1 and all(map(is_half, dtypes)) else None


def _widen(value: object, half: np.dtype[Any]) -> object:
    return np.asarray(value).astype(np.float32) if _dtype(value) == half else value


def _narrow(result: Any, half: np.dtype[Any], before: list[object], after: list[object]) -> Any:
    """Return the result in half precision. Where it is the float32 copy of `out`, fill that and return it."""
    if isinstance(result, tuple):
        parts = [_narrow(part, half, before, after) for part in result]
        return tuple.__new__(type(result), parts)
    if not isinstance(result, np.ndarray) or result.dtype != np.float32:
        return result
    for original, copy in zip(before, after, strict=True):
        if copy is result and isinstance(original, np.ndarray):
            with np.errstate(over="ignore"):
                original[...] = result
            return original
    return rounded(result, half)
