"""The same network in PyTorch, with the same weights: what speed and learning curves are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import nn
from fastconv._arguments import Array


def torch_twin(torch: Any, layer: nn.Layer) -> Any:
    """Return a module that computes what a layer computes, on (N, C, H, W), from a copy of its parameters.

    Parameters
    ----------
    torch : module
        PyTorch.
    layer : Layer
        Of images; containers, convolutions, dense layers, batch normalization, pools, dropout, activations.

    Raises
    ------
    ValueError
        If there is no twin of a layer, or of one of its arguments.
    """
    return _Twins(torch).of(layer)


class _Twins:
    def __init__(self, torch: Any) -> None:
        self._torch = torch

    def of(self, layer: nn.Layer) -> Any:
        make = getattr(self, f"_{type(layer).__name__.lower()}", None)
        if make is None:
            raise ValueError(f"torch_twin: there is no twin of {type(layer).__name__}")
        return make(layer)

    def _with_activation(self, module: Any, name: str | None) -> Any:
        if name is None:
            return module
        kinds = {"relu": "ReLU", "relu6": "ReLU6", "silu": "SiLU", "gelu": "GELU", "tanh": "Tanh", "sigmoid": "Sigmoid"}
        in_place = {"inplace": True} if name in ("relu", "relu6", "silu") else {}
        return self._torch.nn.Sequential(module, getattr(self._torch.nn, kinds[name])(**in_place))

    def _fill(self, module: Any, **arrays: Array | None) -> None:
        """Replace the parameters of a module by copies of arrays, whose dtype they take."""
        for name, array in arrays.items():
            if array is not None:
                tensor = self._torch.from_numpy(np.ascontiguousarray(array)).clone()
                setattr(module, name, self._torch.nn.Parameter(tensor))

    def _sequential(self, layer: nn.Sequential) -> Any:
        return self._torch.nn.Sequential(*map(self.of, layer.layers.values()))

    def _residual(self, layer: nn.Residual) -> Any:
        torch = self._torch
        body, shortcut = self.of(layer.layers["body"]), torch.nn.Identity()
        if "shortcut" in layer.layers:
            shortcut = self.of(layer.layers["shortcut"])

        class Sum(torch.nn.Module):  # type: ignore[misc, name-defined]
            def __init__(self) -> None:
                super().__init__()
                self.body, self.shortcut = body, shortcut

            def forward(self, x: Any) -> Any:
                return self.body(x) + self.shortcut(x)

        return self._with_activation(Sum(), layer.activation)

    def _conv2d(self, layer: nn.Conv2d) -> Any:
        window, weight = layer.window, layer.parameters["weight"]
        module = self._torch.nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            weight.shape[:2],
            stride=window["stride"],
            padding=window["padding"],
            dilation=window["dilation"],
            groups=layer.in_channels // weight.shape[-2],
            bias="bias" in layer.parameters,
        )
        self._fill(module, weight=weight.transpose(3, 2, 0, 1), bias=layer.parameters.get("bias"))
        return self._with_activation(module, layer.activation)

    def _linear(self, layer: nn.Linear) -> Any:
        weight = layer.parameters["weight"]
        module = self._torch.nn.Linear(*weight.shape, bias="bias" in layer.parameters)
        self._fill(module, weight=weight.T, bias=layer.parameters.get("bias"))
        return self._with_activation(module, layer.activation)

    def _batchnorm(self, layer: nn.BatchNorm) -> Any:
        parameters, buffers = layer.parameters, layer.buffers
        module = self._torch.nn.BatchNorm2d(len(parameters["scale"]), eps=layer.epsilon, momentum=layer.momentum)
        self._fill(module, weight=parameters["scale"], bias=parameters["bias"])
        module = module.to(getattr(self._torch, str(parameters["scale"].dtype)))
        for name, array in buffers.items():
            getattr(module, name).copy_(self._torch.from_numpy(array))
        return self._with_activation(module, layer.activation)

    def _maxpool2d(self, layer: nn.MaxPool2d) -> Any:
        window = {name: value for name, value in layer.window.items() if name in _POOL and value is not None}
        return self._torch.nn.MaxPool2d(**window)

    def _avgpool2d(self, layer: nn.AvgPool2d) -> Any:
        window = {name: value for name, value in layer.window.items() if name in _POOL and name != "dilation"}
        return self._torch.nn.AvgPool2d(**{name: value for name, value in window.items() if value is not None})

    def _globalavgpool(self, layer: nn.GlobalAvgPool) -> Any:
        return self._torch.nn.Sequential(self._torch.nn.AdaptiveAvgPool2d(1), self._torch.nn.Flatten())

    def _adaptiveavgpool2d(self, layer: nn.AdaptiveAvgPool2d) -> Any:
        return self._torch.nn.AdaptiveAvgPool2d(layer._output_size)

    def _flatten(self, layer: nn.Flatten) -> Any:
        torch = self._torch

        class ChannelsLast(torch.nn.Module):  # type: ignore[misc, name-defined]
            """Our order, so that the dense layers' weights are the same."""

            def forward(self, x: Any) -> Any:
                return x.permute(0, 2, 3, 1).flatten(1)

        return ChannelsLast()

    def _dropout(self, layer: nn.Dropout) -> Any:
        return self._torch.nn.Dropout(layer.rate)

    def _relu(self, layer: nn.ReLU) -> Any:
        return self._torch.nn.ReLU()


_POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode")
