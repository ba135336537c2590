"""What every layer is: a function with parameters, and the memory that its backward pass needs.

A layer computes through two hooks, `_forward` and `_backward`, that keep nothing themselves. `Layer` stands around
them and owns all state: parameters, their gradients, and between a forward pass in training mode and its backward
pass the few arrays that the gradient needs.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np

from fastconv import activation as activations
from fastconv._arguments import Activation, Array

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


class Layer(ABC):
    """Base of all layers: call it, then go back through it.

    A layer starts in training mode. There ``layer(input)`` keeps what the gradient needs until ``backward`` uses it;
    in evaluation mode nothing is kept, so that several threads may call the same layer.

    Parameters
    ----------
    parameters : mapping of str to ndarray, optional
        Arrays to train, by name. The layer keeps these very arrays and makes a gradient of zeros beside each.
    buffers : mapping of str to ndarray, optional
        Arrays that the forward pass in training mode changes, and that belong to the state as parameters do.

    Attributes
    ----------
    training : bool
        True in training mode. Changed by `train` and `eval`.
    frozen : bool
        True where the parameters are to stay as they are. Changed by `freeze` and `unfreeze`, or by hand. Of a layer
        made of layers it is true if all of them are frozen, and what is set goes to all of them.

    Notes
    -----
    A new kind of layer defines ``_forward(input)``, which returns the output and whatever its gradient will need, and
    ``_backward(grad_output, saved, input_gradient)``, which adds to ``gradients`` and returns the gradient of the
    input, or None where ``input_gradient`` is false.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.ReLU()
    >>> layer(np.array([-1.0, 2.0]))
    array([0., 2.])
    >>> layer.backward(np.array([5.0, 5.0]))
    array([0., 5.])
    """

    def __init__(
        self, parameters: Mapping[str, Array] | None = None, buffers: Mapping[str, Array] | None = None
    ) -> None:
        self._parameters = dict(parameters or {})
        self._buffers = dict(buffers or {})
        self._gradients: dict[str, Array] = {}  # those that aren't zero
        self._saved: tuple[Any, ...] | None = None
        self._frozen = False
        self.training = True

    def __call__(self, input: Array) -> Array:
        """Return the output of the layer; in training mode, keep what `backward` will need."""
        output, saved = self._forward(input)
        if self.training:
            self._saved = saved
        return output

    @overload
    def backward(self, grad_output: Array, *, input_gradient: Literal[True] = True) -> Array: ...
    @overload
    def backward(self, grad_output: Array, *, input_gradient: bool) -> Array | None: ...
    def backward(self, grad_output: Array, *, input_gradient: bool = True) -> Array | None:
        """Go back through the last forward pass.

        Parameters
        ----------
        grad_output : ndarray
            Gradient of the loss with respect to the output, of the output's shape and dtype.
        input_gradient : bool, default True
            Whether the gradient with respect to the input is wanted. The first layer of a model can save that work.

        Returns
        -------
        ndarray or None
            Gradient of the loss with respect to the input; None where it isn't wanted. Then the way back ends at the
            first layer whose parameters aren't frozen.

        Raises
        ------
        RuntimeError
            If there is no forward pass to go back through: none was made, it was made in evaluation mode, or an
            earlier call has used it up.
        """
        if self._saved is None:
            reason = "call the layer first" if self.training else "in eval mode nothing is kept; call train() first"
            raise RuntimeError(f"{type(self).__name__}.backward: no forward pass to go back through: {reason}")
        saved, self._saved = self._saved, None
        if not input_gradient and not self.trainable_parameters:
            self._release()
            return None
        return self._backward(grad_output, saved, input_gradient)

    @abstractmethod
    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        """Return the output, and what `_backward` will need."""

    @abstractmethod
    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        """Add to the gradients of the parameters; return that of the input, or None where it isn't wanted."""

    @property
    def parameters(self) -> Mapping[str, Array]:
        """The arrays to train, by name. Write into the arrays; the mapping itself is read-only."""
        return MappingProxyType(self._parameters)

    @property
    def gradients(self) -> Mapping[str, Array]:
        """The sum of gradients since the last `zero_gradients`, by the names of `parameters`.

        The arrays are others after every `zero_gradients`: the first backward pass hands over its own, which saves a
        pass over them, and zeros are written for those who look.
        """
        for name, value in self._parameters.items():
            if name not in self._gradients:
                self._gradients[name] = np.zeros(value.shape, value.dtype)
        return MappingProxyType({name: self._gradients[name] for name in self._parameters})

    @property
    def buffers(self) -> Mapping[str, Array]:
        """Arrays that forward passes in training mode change, and no gradient, by name; averages over batches."""
        return MappingProxyType(self._buffers)

    @property
    def frozen(self) -> bool:
        """Whether the parameters stay as they are, with no gradient computed for them and no optimizer moving them."""
        return self._frozen

    @frozen.setter
    def frozen(self, frozen: bool) -> None:
        self._frozen = frozen

    def freeze(self) -> Self:
        """Let the parameters stay as they are. Return the layer.

        A frozen `BatchNorm` normalizes with its averages, as in evaluation mode, and leaves them alone; a frozen
        `Dropout` drops all the same. ``backward(..., input_gradient=False)`` then ends at the lowest layer that isn't
        frozen; otherwise it goes through all of them, for the gradient of the input.
        """
        self.frozen = True
        return self

    def unfreeze(self) -> Self:
        """Let the parameters be trained again. Return the layer."""
        self.frozen = False
        return self

    @property
    def trainable_parameters(self) -> Mapping[str, Array]:
        """Those of `parameters` that aren't frozen."""
        return MappingProxyType({} if self._frozen else self._parameters)

    @property
    def generators(self) -> Mapping[str, np.random.Generator]:
        """The sources of randomness of the forward pass, by name. With `state_dict`, all that a run must restore."""
        return MappingProxyType({})

    def _call_adding(self, input: Array, addend: Array, activation: Activation | None) -> Array:
        """Return ``activation(layer(input) + addend)``; `backward` takes the gradient of the sum.

        What a residual block does with its body. A layer that can add on the way saves a pass over both.
        """
        output = self(input)
        check_sum(output, addend)
        return activations.add("Residual", activation, output, addend)

    def _accumulate(self, **gradients: Array | None) -> None:
        """Add to the gradients of the parameters of these names, unless the layer is frozen."""
        for name, gradient in gradients.items():
            if gradient is None or self._frozen:
                continue
            if name in self._gradients:
                self._gradients[name] += gradient
            else:
                self._gradients[name] = gradient

    def _wrt(self, input_gradient: bool) -> tuple[str, ...]:
        """Return the names of the arrays that a gradient is wanted for."""
        return (*self.trainable_parameters, *(("input",) if input_gradient else ()))

    def _release(self) -> None:
        """Drop what was kept for a backward pass."""
        self._saved = None

    def zero_gradients(self) -> None:
        """Set all gradients to zero: their memory is free for those of the next pass."""
        self._gradients.clear()

    def train(self) -> Self:
        """Enter training mode: forward passes keep what their gradients need, and Dropout drops. Return the layer."""
        self.training = True
        return self

    def eval(self) -> Self:
        """Enter evaluation mode: nothing is kept, and nothing is random. Return the layer."""
        self.training = False
        self._saved = None
        return self

    def twin(self) -> Self:
        """Return another layer over the same parameters, gradients, buffers and generators, with a mode of its own."""
        twin = copy.copy(self)
        twin._saved = None
        return twin

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of every parameter and buffer, by name."""
        return {name: value.copy() for name, value in (*self.parameters.items(), *self.buffers.items())}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Overwrite parameters and buffers with the arrays of ``state``.

        Raises
        ------
        ValueError
            If a name is missing or unexpected, a shape differs, or an array is read-only: all of these are named, and
            nothing is written.
        TypeError
            If a dtype differs.
        """
        own = {**self.parameters, **self.buffers}
        faults = [f"missing {name}" for name in own if name not in state]
        faults += [f"unexpected {name}" for name in state if name not in own]
        common = [(name, own[name], state[name]) for name in own if name in state]
        faults += [
            f"{name} has shape {new.shape}, expected {old.shape}" for name, old, new in common if old.shape != new.shape
        ]
        faults += [f"{name} is read-only: call train() first" for name in own if not own[name].flags.writeable]
        if faults:
            raise ValueError(f"load_state_dict: {'; '.join(faults)}")
        for name, old, new in common:
            if old.dtype != new.dtype:
                raise TypeError(f"load_state_dict: {name} is {new.dtype}, expected {old.dtype}")
        for _, old, new in common:
            old[...] = new

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._describe()})"

    def _describe(self) -> str:
        """Return the arguments that `repr` shows."""
        return ""


def check_sum(branch: Array, straight: Array) -> None:
    """Raise ValueError unless the two branches of a residual block have the same shape."""
    if branch.shape != straight.shape:
        raise ValueError(f"Residual: body gives {branch.shape} and shortcut {straight.shape}, expected the same")
