"""The compiled core. Arguments have been understood by ``_arguments``; shapes and values are checked here."""

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

_Array = npt.NDArray[Any]

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

def conv_forward(
    input: _Array,
    weight: _Array,
    bias: _Array | None,
    sliding: Sliding,
    groups: int,
    activation: str | None,
    algorithm: str,
    out: _Array | None,
) -> _Array: ...
def conv_backward(
    grad_output: _Array,
    input: _Array,
    weight: _Array,
    sliding: Sliding,
    groups: int,
    algorithm: str,
    with_input: bool,
    with_weight: bool,
    with_bias: bool,
) -> tuple[_Array | None, _Array | None, _Array | None]: ...
def conv_explain(
    input: _Array, weight: _Array, sliding: Sliding, groups: int, algorithm: str, which_pass: int
) -> tuple[str, str, int]: ...
def im2col(input: _Array, sliding: Sliding, kernel: Sequence[int]) -> _Array: ...
def col2im(patches: _Array, sliding: Sliding, input_shape: Sequence[int], kernel: Sequence[int]) -> _Array: ...
def max_pool_forward(
    input: _Array, kernel: Sequence[int], sliding: Sliding, return_indices: bool, out: _Array | None
) -> Any: ...
def max_pool_backward(
    grad_output: _Array, indices: _Array, input_shape: Sequence[int], kernel: Sequence[int], sliding: Sliding
) -> _Array: ...
def avg_pool_forward(
    input: _Array,
    kernel: Sequence[int],
    sliding: Sliding,
    count_include_pad: bool,
    divisor_override: int | None,
    out: _Array | None,
) -> _Array: ...
def avg_pool_backward(
    grad_output: _Array,
    input_shape: Sequence[int],
    kernel: Sequence[int],
    sliding: Sliding,
    count_include_pad: bool,
    divisor_override: int | None,
) -> _Array: ...
def linear_forward(
    input: _Array, weight: _Array, bias: _Array | None, activation: str | None, out: _Array | None
) -> _Array: ...
def linear_backward(
    grad_output: _Array, input: _Array, weight: _Array, with_input: bool, with_weight: bool, with_bias: bool
) -> tuple[_Array | None, _Array | None, _Array | None]: ...
def relu_forward(input: _Array, out: _Array | None) -> _Array: ...
def relu_backward(grad_output: _Array, output: _Array) -> _Array: ...
