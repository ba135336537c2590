"""ncnn's forward passes in 1-D and 2-D, float32: a network of one layer. It has no batch: images go one by one."""

from __future__ import annotations

import importlib
import tempfile
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from fastconv._arguments import Array
from fastconv.benchmark.contender import Contender, Problem, with_channels_first, with_channels_last
from fastconv.benchmark.tables import POOLS, Layer


class Ncnn:
    """ncnn, if it is installed."""

    packages: tuple[str, ...] = ("ncnn",)
    # Its OpenMP spins for some milliseconds, and takes a core from whoever is next: our 3x3 with stride 2 came out at
    # 84 GFLOP/s after half a millisecond, at 200 after 15.
    pause = 15e-3

    def __init__(self, threads: int) -> None:
        self._ncnn: Any = importlib.import_module("ncnn")
        self._threads = threads

    def context(self) -> AbstractContextManager[object]:
        """Return what its passes have to be run in: nothing."""
        return nullcontext()

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return the contender for a float32 layer of at most two spatial axes."""
        layer = problem.layer
        if layer.op not in ("conv", *POOLS) or layer.dtype != "float32" or layer.rank > 2:
            return []
        if layer.op != "conv" and layer.layout != "channels_first":
            return []
        images = with_channels_first(problem.input)
        if layer.rank == 1:
            images = images[:, :, np.newaxis]  # an image of one line
        net = self._net(problem)
        mats = [self._ncnn.Mat(image).clone() for image in images]

        def run() -> list[Any]:
            results = []
            for mat in mats:
                extractor = net.create_extractor()
                extractor.input("x", mat)
                results.append(extractor.extract("y")[1])
            return results

        shape = (layer.output[0], layer.output[-1], *layer.output[1:-1])

        def read(_: str, result: list[Any]) -> tuple[Array, ...]:
            return (with_channels_last(np.stack([np.array(mat) for mat in result]).reshape(shape)),)

        return [Contender("ncnn", {"forward": run}, read)]

    def _net(self, problem: Problem) -> Any:
        net = self._ncnn.Net()
        net.opt.num_threads = self._threads
        for name in dir(net.opt):  # float32 means float32
            if name.startswith(("use_fp16", "use_bf16", "use_int8")):
                setattr(net.opt, name, False)
        net.load_param_mem(f"7767517\n2 2\nInput input 0 1 x\n{_layer(problem.layer)}\n")
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "weights"
            is_float32 = np.zeros(1, np.int32).tobytes()
            weight = with_channels_first(problem.weight, weight=True) if problem.layer.op == "conv" else problem.weight
            file.write_bytes(is_float32 + weight.tobytes() if weight.size else b"")
            net.load_model(str(file))
        return net


def _layer(layer: Layer) -> str:
    """Return the line of ncnn's parameter file that describes the layer; its parameters have numbers."""

    def pair(values: tuple[int, ...]) -> tuple[int, int]:
        return (values[-2] if len(values) > 1 else 1, values[-1])

    lines = [(0, 0), *layer.padding][-2:]
    (top, bottom), (left, right) = lines
    (kernel_h, kernel_w), (stride_h, stride_w) = pair(layer.kernel), pair(layer.stride)
    parameters = {1: kernel_w, 11: kernel_h}
    if layer.op == "conv":
        kind = "Convolution" if layer.groups == 1 else "ConvolutionDepthWise"
        dilation_h, dilation_w = pair(layer.dilation)
        size = int(np.prod(layer.weight))
        parameters |= {0: layer.weight[-1], 2: dilation_w, 12: dilation_h, 3: stride_w, 13: stride_h}
        parameters |= {4: left, 14: top, 15: right, 16: bottom, 6: size}
        if layer.groups > 1:
            parameters[7] = layer.groups
    else:
        kind = "Pooling"
        valid, is_average = 1, int(layer.op != "max_pool")
        parameters |= {0: is_average, 2: stride_w, 12: stride_h, 3: left, 13: top, 14: right, 15: bottom, 5: valid}
        parameters |= {4: int(layer.op == "global_avg_pool"), 6: 1}
    return f"{kind} layer 1 1 x y " + " ".join(f"{number}={value}" for number, value in parameters.items())
