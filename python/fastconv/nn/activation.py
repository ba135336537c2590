"""ReLU, as a layer and as the activation that other layers fuse into their output."""

from __future__ import annotations

from typing import Any

from fastconv import activation
from fastconv._arguments import Activation, Array
from fastconv.nn.layer import Layer


def check_activation(layer: str, name: str | None) -> None:
    """Raise ValueError unless ``name`` is an activation that layers can fuse."""
    if name not in (None, "relu"):
        raise ValueError(f"{layer}: activation is {name!r}, expected None or 'relu'")


def activation_backward(name: Activation | None, grad_output: Array, output: Array) -> Array:
    """Return the gradient before a fused activation, from its output: the input isn't needed."""
    return grad_output if name is None else activation.relu_backward(grad_output, output)


class ReLU(Layer):
    """max(input, 0), for any shape.

    `Conv2d` and `Linear` compute it on the way with ``activation="relu"``, which is faster.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ReLU()(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        output = activation.relu(input)
        return output, (output,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (output,) = saved
        return activation.relu_backward(grad_output, output) if input_gradient else None
