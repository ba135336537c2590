"""Arguments as users write them, understood once: array-likes, integers or tuples, named paddings.

What is checked here are kinds (is it an integer, is it an array); values and shapes are checked by the
geometry in the core, which knows all of them. Callers ask for the usual kinds in place (``x if type(x) is ndarray
else array(...)``): that takes a tenth of a microsecond less than to call a function, for every argument.
"""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from typing import Any, Literal, SupportsIndex, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt
from numpy import ndarray

from fastconv import _core

Array: TypeAlias = npt.NDArray[Any]
Size: TypeAlias = "int | tuple[int, ...]"
Padding: TypeAlias = "int | tuple[int, ...] | tuple[tuple[int, int], ...] | str"
PaddingMode: TypeAlias = Literal["zeros", "reflect", "replicate", "circular"]
Activation: TypeAlias = Literal["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu"]

_Name = TypeVar("_Name", bound=str)

_INT64_MAX = 2**63 - 1
_MOST = 2**30 - 1  # of sizes as they occur
LARGEST = 2**31 - 1  # of the extents and sizes that the core takes


def array(operation: str, name: str, value: object, dtype: str = "np.float32") -> Array:
    """Return the array itself, or what an object that speaks ``__array__`` or DLPack holds."""
    if type(value) is ndarray:
        return value
    if isinstance(value, ndarray) or hasattr(value, "__array__"):
        converted = np.asarray(value)
    elif hasattr(value, "__dlpack__"):
        converted = np.from_dlpack(value)
    elif isinstance(value, (int, float, complex, list, tuple)):
        raise TypeError(
            f"{operation}: {name} must be an array, got {type(value).__name__}; "
            f"convert it with np.asarray({name}, dtype={dtype})"
        )
    else:
        raise TypeError(f"{operation}: {name} must be an array, got {type(value).__name__}")
    return converted


def floats(operation: str, name: str, value: object) -> Array:
    """Return the argument as an array of floats of one of the two kinds that the core computes in."""
    result = array(operation, name, value)
    if result.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{operation}: {name} must be float32 or float64, got {result.dtype}; "
            f"convert it with {name}.astype(np.float32)"
        )
    return result


def output(operation: str, value: object) -> Array | None:
    """Return the array to fill, or None."""
    if value is not None and not isinstance(value, np.ndarray):
        raise TypeError(f"{operation}: out must be a NumPy array or None, got {type(value).__name__}")
    return value


def integer(operation: str, name: str, value: SupportsIndex) -> int:
    """Return the value as an int; floats and bools, which are mistakes more often than sizes, are TypeErrors."""
    if type(value) is int and 0 <= value <= _MOST:  # the usual case, made cheap
        return value
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{operation}: {name} must be an integer, got {value!r}")
    try:
        number = operator.index(value)
    except TypeError:
        raise TypeError(f"{operation}: {name} must be an integer, got {value!r}") from None
    return max(-_INT64_MAX, min(number, _INT64_MAX))  # the core names the range that it takes


def per_axis(operation: str, name: str, value: object, rank: int) -> tuple[int, ...]:
    """Return one int per spatial axis, from one for all or one each."""
    if type(value) is int and 0 <= value <= _MOST:
        return (value,) * rank
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        return (integer(operation, name, value),) * rank  # type: ignore[arg-type]
    numbers = tuple([integer(operation, name, number) for number in value])
    if len(numbers) != rank:
        raise ValueError(f"{operation}: {name} must be one integer or {rank} of them, got {value!r}")
    return numbers


def spatial_rank(operation: str, axes: int, name: str) -> int:
    """Return the number of spatial axes of an array with batch and channels."""
    if 3 <= axes <= 5:
        return axes - 2
    raise ValueError(f"{operation}: {name} must have 3 to 5 axes (batch, 1 to 3 spatial, channels), got {axes}")


@_core.remembered
def shape(operation: str, input_shape: Iterable[SupportsIndex]) -> tuple[int, ...]:
    """Return the shape of an input that a gradient is to get."""
    if not isinstance(input_shape, Iterable):
        raise TypeError(f"{operation}: input_shape must be a tuple of integers, got {input_shape!r}")
    return tuple(integer(operation, "input_shape", extent) for extent in input_shape)


def _pads(operation: str, padding: object, rank: int) -> tuple[str, tuple[int, ...], tuple[int, ...]]:
    """Return (name or "", pads before, pads after)."""
    none = (0,) * rank
    if isinstance(padding, str):
        if not padding:
            raise ValueError(f"{operation}: padding must not be an empty string")
        return padding, none, none
    pairs = border(operation, "padding", padding, rank)
    return "", tuple(before for before, _ in pairs), tuple(after for _, after in pairs)


def border(operation: str, name: str, value: object, rank: int) -> list[tuple[int, int]]:
    """Return one (before, after) pair per axis, from one int, one per axis or one pair per axis."""
    if isinstance(value, Iterable) and not isinstance(value, str):
        entries = tuple(value)
        if entries and all(isinstance(entry, Iterable) and not isinstance(entry, str) for entry in entries):
            if len(entries) != rank:
                raise ValueError(
                    f"{operation}: {name} must have one (before, after) pair per axis, {rank} in all, got {value!r}"
                )
            pairs = [per_axis(operation, name, entry, 2) for entry in entries]
            return [(before, after) for before, after in pairs]
        value = entries
    return [(extent, extent) for extent in per_axis(operation, name, value, rank)]


def _slide(
    operation: str, rank: int, strides: tuple[int, ...], padding: object, dilation: object, ceil_mode: bool
) -> _core.Sliding:
    dilations = per_axis(operation, "dilation", dilation, rank)
    name, before, after = _pads(operation, padding, rank)
    return _core.Sliding(operation, rank, strides, dilations, name, before, after, ceil_mode)


@_core.remembered
def sliding(operation: str, rank: int, stride: object, padding: object, dilation: object) -> _core.Sliding:
    """Return how a window slides."""
    return _slide(operation, rank, per_axis(operation, "stride", stride, rank), padding, dilation, False)


@_core.remembered
def conv_window(
    operation: str,
    rank: int,
    stride: object,
    padding: object,
    dilation: object,
    groups: SupportsIndex,
    padding_mode: object,
) -> _core.ConvWindow:
    """Return how the window of a convolution slides, over how many groups, and what stands in the padding."""
    slide = sliding(operation, rank, stride, padding, dilation)
    if not isinstance(padding_mode, str):
        raise TypeError(f"{operation}: padding_mode must be a string, got {padding_mode!r}")
    return _core.ConvWindow(slide, integer(operation, "groups", groups), padding_mode)


@_core.remembered
def transposed_window(
    operation: str,
    rank: int,
    stride: object,
    padding: object,
    output_padding: object,
    dilation: object,
    groups: SupportsIndex,
) -> _core.TransposedWindow:
    """Return the window of a transposed convolution."""
    window = conv_window(operation, rank, stride, padding, dilation, groups, "zeros")
    return _core.TransposedWindow(window, per_axis(operation, "output_padding", output_padding, rank))


@_core.remembered
def pool_window(
    operation: str,
    rank: int,
    kernel_size: object,
    stride: object,
    padding: object,
    dilation: object,
    rounding: Literal["floor", "ceil"],
) -> _core.PoolWindow:
    """Return the window of a pooling and how it slides; without a stride, by its own size."""
    kernel = per_axis(operation, "kernel_size", kernel_size, rank)
    strides = () if stride is None else per_axis(operation, "stride", stride, rank)
    return _core.PoolWindow(_slide(operation, rank, strides, padding, dilation, rounding == "ceil"), kernel)


def check_writable(owner: str, arrays: Mapping[str, Array]) -> None:
    """Raise ValueError if an array is read-only."""
    if fixed := [name for name, array in arrays.items() if not array.flags.writeable]:
        raise ValueError(f"{owner}: {', '.join(fixed)}: read-only, as in a folded model; call its train() first")


def name_or_none(operation: str, name: str, value: _Name | None) -> _Name | None:
    """Return a name such as an activation's; anything but a string or None is a TypeError."""
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"{operation}: {name} must be a string or None, got {value!r}")


def wanted(operation: str, wrt: Iterable[str]) -> tuple[bool, bool, bool]:
    """Return which of the gradients of input, weight and bias are asked for."""
    if type(wrt) is tuple and wrt == ("input", "weight", "bias"):
        return True, True, True
    if not isinstance(wrt, Iterable):
        raise TypeError(f"{operation}: wrt must be names among 'input', 'weight' and 'bias', got {wrt!r}")
    asked = [wrt] if isinstance(wrt, str) else list(wrt)
    if unknown := [name for name in asked if name not in ("input", "weight", "bias")]:
        raise ValueError(f"{operation}: wrt must name 'input', 'weight' or 'bias', got {unknown}")
    return "input" in asked, "weight" in asked, "bias" in asked
