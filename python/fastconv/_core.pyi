"""The compiled core. Arguments have been understood by ``_arguments``; shapes and values are checked here."""

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy.typing as npt

_Array = npt.NDArray[Any]
_Parameters = ParamSpec("_Parameters")
_Result = TypeVar("_Result")

__version__: str
compiler: str

def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
def cpu_quota() -> float: ...
def openmp_version() -> str: ...
def available_isas() -> list[str]: ...
def current_isa() -> str: ...
def set_isa(name: str) -> None: ...
def algorithm_names() -> list[str]: ...
def algorithm_is_exact(name: str) -> bool: ...
def winograd_limit() -> int: ...
def set_winograd_limit(limit: int) -> None: ...
def measure_peak(float64: bool, threads: int) -> float: ...
def measure_bandwidth(threads: int) -> float: ...
def measure_copy_bandwidth(threads: int) -> float: ...
def empty_buffer_cache() -> None: ...
def cached_bytes() -> int: ...

class Sliding:
    def __init__(
        self,
        operation: str,
        rank: int,
        stride: Sequence[int],
        dilation: Sequence[int],
        padding: str,
        pad_before: Sequence[int],
        pad_after: Sequence[int],
        ceil_mode: bool,
    ) -> None: ...
    @property
    def operation(self) -> str: ...
    @property
    def rank(self) -> int: ...

class ConvWindow(Sliding):
    def __init__(self, sliding: Sliding, groups: int, padding_mode: str) -> None: ...

class TransposedWindow(ConvWindow):
    def __init__(self, window: ConvWindow, output_padding: Sequence[int]) -> None: ...

class PoolWindow(Sliding):
    def __init__(self, sliding: Sliding, kernel: Sequence[int]) -> None: ...

class KeptWeight:
    def __init__(self, constant: bool = False) -> None: ...
    @property
    def bytes(self) -> int: ...
    def __getstate__(self) -> tuple[()]: ...
    def __setstate__(self, state: tuple[()]) -> None: ...

def remembered(make: Callable[_Parameters, _Result]) -> Callable[_Parameters, _Result]: ...
def conv_forward(
    input: _Array,
    weight: _Array,
    bias: _Array | None,
    window: ConvWindow,
    activation: str | None,
    algorithm: str,
    out: _Array | None,
    kept: KeptWeight | None = None,
) -> _Array: ...
def conv_backward(
    grad_output: _Array,
    input: _Array,
    weight: _Array,
    window: ConvWindow,
    algorithm: str,
    with_input: bool,
    with_weight: bool,
    with_bias: bool,
) -> tuple[_Array | None, _Array | None, _Array | None]: ...
def conv_explain(
    input: _Array, weight: _Array, window: ConvWindow, algorithm: str, which_pass: int
) -> tuple[str, str, int]: ...
def conv_transpose_forward(
    input: _Array,
    weight: _Array,
    bias: _Array | None,
    window: TransposedWindow,
    activation: str | None,
    algorithm: str,
    out: _Array | None,
) -> _Array: ...
def conv_transpose_backward(
    grad_output: _Array,
    input: _Array,
    weight: _Array,
    window: TransposedWindow,
    algorithm: str,
    with_input: bool,
    with_weight: bool,
    with_bias: bool,
) -> tuple[_Array | None, _Array | None, _Array | None]: ...
def conv_transpose_explain(
    input: _Array, weight: _Array, window: TransposedWindow, algorithm: str, which_pass: int
) -> tuple[str, str, int]: ...
def im2col(input: _Array, sliding: Sliding, kernel: Sequence[int]) -> _Array: ...
def col2im(patches: _Array, sliding: Sliding, input_shape: Sequence[int], kernel: Sequence[int]) -> _Array: ...
def max_pool_forward(input: _Array, window: PoolWindow, return_indices: bool, out: _Array | None) -> Any: ...
def max_pool_backward(
    grad_output: _Array, indices: _Array, input_shape: tuple[int, ...], window: PoolWindow
) -> _Array: ...
def adaptive_max_forward(operation: str, input: _Array, output_size: tuple[int, ...], return_indices: bool) -> Any: ...
def adaptive_max_backward(
    operation: str, grad_output: _Array, indices: _Array, input_shape: tuple[int, ...], output_size: tuple[int, ...]
) -> _Array: ...
def average_rows(matrix: _Array) -> _Array: ...
def avg_pool_forward(
    input: _Array,
    window: PoolWindow,
    count_include_pad: bool,
    divisor_override: int | None,
    out: _Array | None,
) -> _Array: ...
def avg_pool_backward(
    grad_output: _Array,
    input_shape: tuple[int, ...],
    window: PoolWindow,
    count_include_pad: bool,
    divisor_override: int | None,
) -> _Array: ...
def add(operation: str, activation: str | None, input: _Array, other: _Array) -> _Array: ...
def copied(operation: str, input: _Array) -> _Array: ...
def resample_axis(operation: str, input: _Array, axis: int, start: _Array, index: _Array, weight: _Array) -> _Array: ...
def resample_plane(
    operation: str,
    input: _Array,
    axis: int,
    height: tuple[_Array, _Array, _Array],
    width: tuple[_Array, _Array, _Array],
) -> _Array: ...
def linear_forward(
    input: _Array, weight: _Array, bias: _Array | None, activation: str | None, out: _Array | None
) -> _Array: ...
def linear_backward(
    grad_output: _Array, input: _Array, weight: _Array, with_input: bool, with_weight: bool, with_bias: bool
) -> tuple[_Array | None, _Array | None, _Array | None]: ...
def activation_names() -> list[str]: ...
def gradient_needs_input(name: str) -> bool: ...
def activation_forward(name: str, input: _Array, out: _Array | None, slope: float = ...) -> _Array: ...
def activation_backward(name: str, grad_output: _Array, saved: _Array, slope: float = ...) -> _Array: ...
def sgd_step(
    operation: str,
    parameter: _Array,
    gradient: _Array,
    velocity: _Array,
    learning_rate: float,
    momentum: float,
    weight_decay: float,
    nesterov: bool,
) -> None: ...
def adam_step(
    operation: str,
    parameter: _Array,
    gradient: _Array,
    first_moment: _Array,
    second_moment: _Array,
    learning_rate: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool,
    number: int,
) -> None: ...
def channel_statistics(operation: str, input: _Array, groups: int) -> tuple[_Array, _Array]: ...
def channel_norm_forward(
    operation: str,
    input: _Array,
    groups: int,
    mean: _Array,
    inverse_std: _Array,
    scale: _Array | None,
    bias: _Array | None,
    addend: _Array | None,
    activation: str | None,
    out: _Array | None,
) -> _Array: ...
def channel_norm_backward(
    operation: str,
    grad_output: _Array,
    input: _Array,
    output: _Array | None,
    groups: int,
    mean: _Array,
    inverse_std: _Array,
    scale: _Array | None,
    bias: _Array | None,
    relu: bool,
    constant_statistics: bool,
    with_input: bool,
) -> tuple[_Array | None, _Array, _Array]: ...
def layer_norm_forward(
    input: _Array, scale: _Array | None, bias: _Array | None, epsilon: float, out: _Array | None
) -> _Array: ...
def layer_norm_backward(
    grad_output: _Array, input: _Array, scale: _Array | None, epsilon: float
) -> tuple[_Array, _Array, _Array]: ...
def local_response_forward(
    input: _Array, size: int, alpha: float, beta: float, k: float, out: _Array | None
) -> _Array: ...
def local_response_backward(
    grad_output: _Array, input: _Array, size: int, alpha: float, beta: float, k: float
) -> _Array: ...
