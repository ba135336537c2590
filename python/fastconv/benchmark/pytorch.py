"""PyTorch's passes, in each of its two memory layouts.

The operators that its autograd calls are called directly, so that no graph is built or kept.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from fastconv._arguments import Array
from fastconv.benchmark.contender import Contender, Problem, Run, with_channels_first, with_channels_last
from fastconv.benchmark.pytorch_operations import runs_of
from fastconv.benchmark.tables import CONVOLUTIONS, OTHERS, Layer

FIRST, LAST = "torch channels first", "torch channels last"


class PyTorch:
    """PyTorch, if it is installed."""

    packages: tuple[str, ...] = ("torch",)
    pause = 8e-3  # its OpenMP spins for some milliseconds

    def __init__(self, threads: int) -> None:
        self._torch: Any = importlib.import_module("torch")
        self._torch.set_num_threads(threads)

    def context(self) -> AbstractContextManager[object]:
        """Return what its tensors have to be made and its passes to be run in."""
        mode: AbstractContextManager[object] = self._torch.inference_mode()
        return mode

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return a contender for each layout that can do this.

        A pool's input arrives in a layout, and changing it would cost as much as the pool: only that layout counts. A
        convolution's input that arrives with channels first is laid out anew inside the run, as it is in ours.
        """
        layer = problem.layer
        if layer.symmetric_padding is None:
            return []
        names = [FIRST] if layer.rank == 1 else [FIRST, LAST]
        if layer.op not in CONVOLUTIONS:
            names = [name for name in names if name == f"torch {layer.layout.replace('_', ' ')}"]
        return [Contender(name, self._runs(problem, name == LAST), self._read) for name in names]

    def _runs(self, problem: Problem, channels_last: bool) -> dict[str, Run]:
        formats = {2: self._torch.channels_last, 3: self._torch.channels_last_3d}

        def tensor(array: Array, weight: bool = False) -> Any:
            result = self._torch.from_numpy(with_channels_first(array, weight))
            return result.contiguous(memory_format=formats[problem.layer.rank]) if channels_last else result

        layer = problem.layer
        if layer.op in OTHERS:
            return runs_of(self._torch, layer, tensor(problem.input), tensor(problem.grad_output))
        if layer.op not in CONVOLUTIONS:
            return self._pool(problem, tensor(problem.input), tensor(problem.grad_output))
        weight = tensor(problem.weight, weight=True)
        if not channels_last or layer.layout == "channels_last":
            return self._conv(layer, tensor(problem.input), weight, tensor(problem.grad_output), lambda array: array)
        x, dy = map(self._torch.from_numpy, map(with_channels_first, (problem.input, problem.grad_output)))
        return self._conv(layer, x, weight, dy, lambda array: array.contiguous(memory_format=formats[layer.rank]))

    def _conv(self, layer: Layer, x: Any, w: Any, dy: Any, arrive: Callable[[Any], Any]) -> dict[str, Run]:
        transposed = layer.op == "conv_transpose"
        more = list(layer.output_padding) if transposed else [0] * layer.rank
        aten = self._torch.ops.aten
        how = (layer.stride, layer.symmetric_padding, layer.dilation)

        function = aten.convolution_backward
        there = arrive(x)  # the gradient of the input takes its layout, not its values

        def backward(input: Callable[[], Any], which: int) -> Run:
            mask = [place == which for place in range(3)]
            return lambda: function(arrive(dy), input(), w, None, *how, transposed, more, layer.groups, mask)[which]

        return {
            "forward": lambda: aten.convolution(arrive(x), w, None, *how, transposed, more, layer.groups),
            "grad_input": backward(lambda: there, 0),
            "grad_weight": backward(lambda: arrive(x), 1),
        }

    def _pool(self, problem: Problem, x: Any, dy: Any) -> dict[str, Run]:
        layer, torch, aten = problem.layer, self._torch, self._torch.ops.aten
        window = (layer.kernel, layer.stride, layer.symmetric_padding)
        if layer.op == "global_avg_pool":
            axes, pixels = tuple(range(2, layer.rank + 2)), math.prod(layer.kernel)
            return {
                "forward": lambda: torch.mean(x, axes, keepdim=True),
                "grad_input": lambda: dy.expand(x.shape) / pixels,
            }
        if layer.rank == 1:
            return {}
        if layer.op == "avg_pool":
            forward = getattr(aten, f"avg_pool{layer.rank}d")
            backward = getattr(aten, f"avg_pool{layer.rank}d_backward")
            return {
                "forward": lambda: forward(x, *window),
                "grad_input": lambda: backward(dy, x, *window, False, True, None),
            }
        forward = getattr(torch, f"max_pool{layer.rank}d")
        with_indices = getattr(aten, f"max_pool{layer.rank}d_with_indices")
        backward = getattr(aten, f"max_pool{layer.rank}d_with_indices_backward")
        _, indices = with_indices(x, *window, layer.dilation)
        return {
            "forward": lambda: forward(x, *window, layer.dilation),
            "forward_indices": lambda: with_indices(x, *window, layer.dilation),
            "grad_input": lambda: backward(dy, x, *window, layer.dilation, False, indices),
        }

    @staticmethod
    def _read(which: str, result: Any) -> tuple[Array, ...]:
        tensors = result if isinstance(result, tuple) else (result,)
        return tuple(with_channels_last(tensor.numpy(), which == "grad_weight") for tensor in tensors)
