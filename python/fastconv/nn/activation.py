"""Activations, as layers and as what other layers end with."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from fastconv import _core, activation
from fastconv._arguments import Activation, Array
from fastconv.nn.layer import Layer

_NAMES = _core.activation_names()
_NEED_INPUT = frozenset(name for name in _NAMES if _core.gradient_needs_input(name))


def check_activation(layer: str, name: str | None) -> None:
    """Raise ValueError unless ``name`` is an activation that layers can end with."""
    if name is not None and name not in _NAMES:
        *others, last = map(repr, _NAMES)
        raise ValueError(f"{layer}: activation is {name!r}, expected None, {', '.join(others)} or {last}")


def fused_activation(name: Activation | None, training: bool) -> Activation | None:
    """Return what a layer is to compute on the way: in training, not an activation whose input has to be kept."""
    return None if training and name in _NEED_INPUT else name


def finish_activation(name: Activation | None, training: bool, output: Array) -> tuple[Array, Array | None]:
    """Return the output of a layer that has computed `fused_activation`, and what `activation_backward` will need."""
    if name is None:
        return output, None
    if training and name in _NEED_INPUT:
        return activation.forward(name, output, None), output
    return output, output


def activation_backward(name: Activation | None, grad_output: Array, saved: Array | None) -> Array:
    """Return the gradient before an activation, from what `finish_activation` kept."""
    if name is None or saved is None:
        return grad_output
    return activation.backward(name, grad_output, saved)


class _Elementwise(Layer):
    """What all activations share: no parameters, any shape, and one array to keep."""

    name: ClassVar[Activation]

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        output: Array = getattr(activation, self.name)(input)
        return output, (np.asarray(input) if self.name in _NEED_INPUT else output,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return activation_backward(self.name, grad_output, saved[0]) if input_gradient else None


class ReLU(_Elementwise):
    """max(input, 0), for any shape.

    `Conv2d` and `Linear` compute it on the way with ``activation="relu"``, which is faster.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ReLU()(np.array([-1.0, 0.0, 2.0]))
    array([0., 0., 2.])
    """

    name = "relu"


class ReLU6(_Elementwise):
    """min(max(input, 0), 6), for any shape.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ReLU6()(np.array([-1.0, 2.0, 9.0]))
    array([0., 2., 6.])
    """

    name = "relu6"


class LeakyReLU(_Elementwise):
    """input above zero, ``negative_slope * input`` below.

    Parameters
    ----------
    negative_slope : float, default 0.01
        Above 0.

    Raises
    ------
    ValueError
        If ``negative_slope`` isn't positive and finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.LeakyReLU(0.5)(np.array([-2.0, 0.0, 2.0]))
    array([-1.,  0.,  2.])
    """

    name = "leaky_relu"

    def __init__(self, negative_slope: float = 0.01) -> None:
        if not 0 < negative_slope < np.inf:
            raise ValueError(f"LeakyReLU: negative_slope is {negative_slope}, expected a positive number")
        super().__init__()
        self.negative_slope = negative_slope

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        output = activation.leaky_relu(input, self.negative_slope)
        return output, (output,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return activation.leaky_relu_backward(grad_output, saved[0], self.negative_slope) if input_gradient else None

    def _describe(self) -> str:
        return f"{self.negative_slope}"


class Sigmoid(_Elementwise):
    """1 / (1 + exp(-input)), for any shape; see `fastconv.sigmoid`."""

    name = "sigmoid"


class Tanh(_Elementwise):
    """The hyperbolic tangent, for any shape; see `fastconv.tanh`."""

    name = "tanh"


class SiLU(_Elementwise):
    """input * sigmoid(input), for any shape; see `fastconv.silu`."""

    name = "silu"


class Hardswish(_Elementwise):
    """input * relu6(input + 3) / 6, for any shape; see `fastconv.hardswish`."""

    name = "hardswish"


class GELU(_Elementwise):
    """The exact Gaussian error linear unit, for any shape; see `fastconv.gelu`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.GELU()
    >>> layer(np.array([-1.0, 0.0, 1.0])).round(4)
    array([-0.1587,  0.    ,  0.8413])
    >>> layer.backward(np.ones(3)).round(4)
    array([-0.0833,  0.5   ,  1.0833])
    """

    name = "gelu"
