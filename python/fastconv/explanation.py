"""Which algorithm a convolution takes, why, and what memory it needs."""

from __future__ import annotations

from typing import NamedTuple

from fastconv import _arguments, _core
from fastconv._arguments import Activation, Array, Padding, PaddingMode, Size
from fastconv._half import widened


class PassPlan(NamedTuple):
    """What one pass of a convolution will do: algorithm, why it was chosen, and scratch memory in bytes."""

    algorithm: str
    reason: str
    workspace_bytes: int

    def __str__(self) -> str:
        return f"{self.algorithm} ({self.reason}), workspace {self.workspace_bytes:,} bytes"


class Explanation(NamedTuple):
    """What the three passes of a convolution will do."""

    forward: PassPlan
    backward_input: PassPlan
    backward_weight: PassPlan

    def __str__(self) -> str:
        return "\n".join(f"{name}: {plan}" for name, plan in self._asdict().items())


def explain(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    output_padding: Size = 0,
    transposed: bool = False,
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Explanation:
    """Tell which algorithm a convolution with these arguments takes, why, and the memory that it needs.

    Takes the arguments of `conv1d`, `conv2d` or `conv3d` (the weight tells which), and computes nothing. With
    ``transposed=True`` they are those of `conv_transpose1d`, `conv_transpose2d` or `conv_transpose3d`.

    Returns
    -------
    Explanation
        Named tuple (forward, backward_input, backward_weight) of (algorithm, reason, workspace_bytes), the last of
        them without what laying out arrays takes whose channels aren't contiguous.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.zeros((1, 32, 32, 64), np.float32), np.zeros((3, 3, 64, 64), np.float32)
    >>> fc.explain(x, w, padding="same").forward.algorithm
    'winograd'
    """
    del bias, activation, out  # they change nothing, but a call is explained by its own arguments
    source = widened(_arguments.array("explain", "input", input))
    matrix = widened(_arguments.array("explain", "weight", weight))
    rank = _arguments.spatial_rank("explain", matrix.ndim, "weight")
    if transposed:
        slide = _arguments.transposed_window("explain", rank, stride, padding, output_padding, dilation, groups)
        plans = [_core.conv_transpose_explain(source, matrix, slide, algorithm, which) for which in range(3)]
        return Explanation(*(PassPlan(*plan) for plan in plans))
    window = _arguments.conv_window("explain", rank, stride, padding, dilation, groups, padding_mode)
    return Explanation(*(PassPlan(*_core.conv_explain(source, matrix, window, algorithm, which)) for which in range(3)))
