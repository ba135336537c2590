"""Layers that are made of layers: one after another, and a body beside its shortcut.

Whatever a container does with its layers, their parameters, gradients, buffers and generators are its own under the
names "layer.parameter", and modes and freezing go down to all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from fastconv import activation as activations
from fastconv._arguments import Activation, Array
from fastconv.nn.activation import activation_backward, check_activation, finish_activation, fused_activation
from fastconv.nn.conv import Conv
from fastconv.nn.layer import Layer
from fastconv.nn.pool import MaxPool

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


class Container(Layer):
    """Base of all layers that are made of layers.

    Parameters
    ----------
    layers : mapping of str to Layer
        The layers by name, in order.

    Attributes
    ----------
    layers : dict of str to Layer
        The same. A layer may be replaced here; an optimizer that exists already doesn't see the new one.

    Notes
    -----
    A new kind of container defines ``_forward`` and ``_backward`` as every layer does, with calls of its layers and of
    their ``backward``.
    """

    def __init__(self, layers: Mapping[str, Layer]) -> None:
        super().__init__()
        self.layers = dict(layers)

    @property
    def parameters(self) -> Mapping[str, Array]:
        """The parameters of all layers, as "layer.parameter"."""
        return self._nested("parameters")

    @property
    def trainable_parameters(self) -> Mapping[str, Array]:
        """Those of `parameters` that aren't frozen."""
        return self._nested("trainable_parameters")

    @property
    def gradients(self) -> Mapping[str, Array]:
        """The gradients of all layers, by the names of `parameters`."""
        return self._nested("gradients")

    @property
    def buffers(self) -> Mapping[str, Array]:
        """The buffers of all layers, as "layer.buffer"."""
        return self._nested("buffers")

    @property
    def generators(self) -> Mapping[str, np.random.Generator]:
        """The sources of randomness of all layers, as "layer.generator"."""
        return self._nested("generators")

    def _nested(self, attribute: str) -> Mapping[str, Any]:
        return MappingProxyType(
            {
                f"{layer_name}.{name}": value
                for layer_name, layer in self.layers.items()
                for name, value in getattr(layer, attribute).items()
            }
        )

    @property
    def frozen(self) -> bool:
        """Whether all layers are frozen."""
        return all(layer.frozen for layer in self.layers.values())

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        for layer in self.layers.values():
            layer.frozen = frozen

    def zero_gradients(self) -> None:
        """Set the gradients of all layers to zero."""
        for layer in self.layers.values():
            layer.zero_gradients()

    def train(self) -> Self:
        """Put all layers in training mode. Return the container."""
        for layer in self.layers.values():
            layer.train()
        return super().train()

    def eval(self) -> Self:
        """Put all layers in evaluation mode. Return the container."""
        for layer in self.layers.values():
            layer.eval()
        return super().eval()

    def twin(self) -> Self:
        """Return another container, of twins of all layers."""
        twin = super().twin()
        twin.layers = {name: layer.twin() for name, layer in self.layers.items()}
        return twin

    def _release(self) -> None:
        for layer in self.layers.values():
            layer._release()
        super()._release()

    def __repr__(self) -> str:
        lines = [f"({name}): {layer!r}".replace("\n", "\n  ") for name, layer in self.layers.items()]
        return "\n  ".join([f"{type(self).__name__}({self._describe()}", *lines]) + "\n)"


def named(layers: Iterable[Layer], named_layers: Mapping[str, Layer]) -> dict[str, Layer]:
    """Return layers by name: those without one by their position, then the others."""
    return {str(position): layer for position, layer in enumerate(layers)} | dict(named_layers)


def call_in_turn(layers: Iterable[Layer], input: Array, training: bool) -> Array:
    """Return what the last of the layers makes of it. A maximum after a ReLU takes the way back through both."""
    if not training:
        for layer in layers:
            input = layer(input)
        return input
    before: Layer | None = None
    for layer in layers:
        input = layer(input)
        if isinstance(layer, MaxPool) and isinstance(before, Conv):
            layer._take_relu_from(before, input)
        before = layer
    return input


class Sequential(Container):
    """Layers one after another, as one layer.

    Parameters
    ----------
    *layers : Layer
        Layers without a name get their position: their parameters are "0.weight", "0.bias", ...
    **named_layers : Layer
        Layers with a name, after the others: "conv1.weight", ...

    Attributes
    ----------
    layers : dict of str to Layer
        The layers by name, in order.
    input_shape : tuple of int or None
        Shape of one input, without the batch axis, where a model is made for one.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> model = nn.Sequential(conv=nn.Conv2d(1, 4, 3), flatten=nn.Flatten(), head=nn.Linear(16, 2))
    >>> model(np.zeros((5, 4, 4, 1), np.float32)).shape
    (5, 2)
    >>> list(model.parameters)
    ['conv.weight', 'conv.bias', 'head.weight', 'head.bias']

    A trained model gets another head, which alone is trained:

    >>> model = model.freeze()
    >>> model.layers["head"] = nn.Linear(16, 7)
    >>> list(model.trainable_parameters)
    ['head.weight', 'head.bias']
    """

    def __init__(self, *layers: Layer, **named_layers: Layer) -> None:
        super().__init__(named(layers, named_layers))
        self.input_shape: tuple[int, ...] | None = None

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return call_in_turn(self.layers.values(), input, self.training), ()

    def _call_adding(self, input: Array, addend: Array, activation: Activation | None) -> Array:
        # A subclass may do more than call its layers.
        if not self.layers or type(self)._forward is not Sequential._forward:
            return super()._call_adding(input, addend, activation)
        *layers, last = self.layers.values()
        output = last._call_adding(call_in_turn(layers, input, self.training), addend, activation)
        if self.training:
            self._saved = ()
        return output

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        gradient: Array | None = grad_output
        layers = list(self.layers.values())
        # Below the lowest layer that has something to learn, nobody asks for a gradient.
        lowest = 0 if input_gradient else [bool(layer.trainable_parameters) for layer in layers].index(True)
        for position in reversed(range(lowest, len(layers))):
            assert gradient is not None
            gradient = layers[position].backward(gradient, input_gradient=input_gradient or position > lowest)
        for layer in layers[:lowest]:
            layer._release()
        return gradient


class Residual(Container):
    """``activation(body(input) + shortcut(input))``.

    Parameters
    ----------
    body : Layer
        What is learned beside the shortcut.
    shortcut : Layer, optional
        What brings the input to the shape of the body's output, a 1×1 convolution for example; without it the input is
        added as it is.
    activation : str or None, default None
        A name such as "relu", as of `fastconv.conv2d`, applied to the sum.

    Raises
    ------
    ValueError
        If ``activation`` is unknown; when called, if body and shortcut give arrays of different shapes.

    Notes
    -----
    Parameters are "body.…" and "shortcut.…".

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition. CVPR 2016, equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Residual(nn.Conv2d(8, 8, 3, padding="same", seed=0), activation="relu")
    >>> output = layer(np.ones((2, 5, 5, 8), np.float32))
    >>> layer.backward(output).shape
    (2, 5, 5, 8)
    """

    def __init__(self, body: Layer, shortcut: Layer | None = None, activation: Activation | None = None) -> None:
        check_activation("Residual", activation)
        super().__init__({"body": body} if shortcut is None else {"body": body, "shortcut": shortcut})
        self.activation = activation

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        straight = self.layers["shortcut"](input) if "shortcut" in self.layers else input
        fused = fused_activation(self.activation, self.training)
        output = self.layers["body"]._call_adding(input, straight, fused)
        output, kept = finish_activation(self.activation, self.training, output)
        return output, (kept,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (kept,) = saved
        gradient = activation_backward(self.activation, grad_output, kept)
        branch = self.layers["body"].backward(gradient, input_gradient=input_gradient)
        straight: Array | None = gradient
        if "shortcut" in self.layers:
            straight = self.layers["shortcut"].backward(gradient, input_gradient=input_gradient)
        return None if branch is None or straight is None else activations.add("Residual", None, branch, straight)

    def _describe(self) -> str:
        return f"activation={self.activation!r}" if self.activation else ""
