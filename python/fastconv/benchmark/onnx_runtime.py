"""ONNX Runtime's forward passes: a model of one node, with its arrays bound beforehand. float32 alone."""

from __future__ import annotations

import importlib
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from fastconv._arguments import Array
from fastconv.benchmark.contender import (
    Contender,
    Problem,
    channels_first,
    with_channels_first,
    with_channels_last,
)

_OPERATORS = {
    "conv": "Conv",
    "max_pool": "MaxPool",
    "avg_pool": "AveragePool",
    "global_avg_pool": "GlobalAveragePool",
}
_OPSET, _IR_VERSION = 13, 8  # old enough for every runtime of these years


class OnnxRuntime:
    """ONNX Runtime, if it and ``onnx`` are installed."""

    packages: tuple[str, ...] = ("onnxruntime", "onnx")
    pause = 0.5e-3

    def __init__(self, threads: int) -> None:
        self._runtime: Any = importlib.import_module("onnxruntime")
        self._onnx: Any = importlib.import_module("onnx")
        self._threads = threads

    def context(self) -> AbstractContextManager[object]:
        """Return what its passes have to be run in: nothing."""
        return nullcontext()

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return the contender for a float32 layer."""
        layer = problem.layer
        if layer.op not in _OPERATORS or layer.dtype != "float32":
            return []
        # It knows one layout: for a pool whose channels come last, it would need a transposition as long as the pool.
        if layer.op != "conv" and layer.layout != "channels_first":
            return []
        x = with_channels_first(problem.input)
        y = np.empty([layer.output[axis] for axis in channels_first(layer.rank + 2)], x.dtype)
        arrays = {"x": x, "y": y}  # bound by their addresses, and kept alive by `run`
        session = self._session(problem, x, y)
        binding = session.io_binding()
        for bind, name in ((binding.bind_input, "x"), (binding.bind_output, "y")):
            bind(name, "cpu", 0, np.float32, arrays[name].shape, arrays[name].ctypes.data)

        def run() -> Array:
            session.run_with_iobinding(binding)
            return arrays["y"]

        return [Contender("onnxruntime", {"forward": run}, lambda _, result: (with_channels_last(result),))]

    def _session(self, problem: Problem, x: Array, y: Array) -> Any:
        helper, layer = self._onnx.helper, problem.layer
        attributes: dict[str, Any] = {}
        if layer.op != "global_avg_pool":
            before, after = zip(*layer.padding, strict=True)
            attributes = {"kernel_shape": layer.kernel, "strides": layer.stride, "pads": [*before, *after]}
        inputs, weights = ["x"], []
        if layer.op == "conv":
            attributes |= {"dilations": layer.dilation, "group": layer.groups}
            weights = [self._onnx.numpy_helper.from_array(with_channels_first(problem.weight, weight=True), "w")]
            inputs.append("w")
        elif layer.op == "avg_pool":
            attributes["count_include_pad"] = 1
        node = helper.make_node(_OPERATORS[layer.op], inputs, ["y"], **attributes)
        infos = [
            helper.make_tensor_value_info(n, self._onnx.TensorProto.FLOAT, a.shape) for n, a in (("x", x), ("y", y))
        ]
        graph = helper.make_graph([node], "layer", infos[:1], infos[1:], weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR_VERSION)
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = self._threads
        options.log_severity_level = 3
        # Its threads go on spinning after a run; whoever is timed next should have the processors.
        options.add_session_config_entry("session.force_spinning_stop", "1")
        return self._runtime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
