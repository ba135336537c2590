"""What all optimizers share: the walk over the parameters, their state, and groups."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import ClassVar

import numpy as np

from fastconv._arguments import Array, check_writable
from fastconv.nn import Layer
from fastconv.optim.group import Group, Rates, resolve


class Optimizer(ABC):
    """Base of all optimizers.

    Parameters
    ----------
    model : Layer
        Whose parameters to train. Frozen ones are passed over as long as they are frozen. Layers that are put into the
        model later aren't seen.
    learning_rate : float
        Size of a step. The attribute of this name may be changed between steps.
    weight_decay : float
        Strength of the pull towards zero.
    groups : sequence of Group, default ()
        Parameters with a learning rate or weight decay of their own.

    Raises
    ------
    ValueError
        If ``learning_rate`` or ``weight_decay`` is negative or not finite, a group has no parameters, or a parameter is
        read-only, as in a folded model until its ``train()`` is called.
    """

    moments: ClassVar[tuple[str, ...]]
    """Names of the running averages that are kept for each parameter."""

    def __init__(self, model: Layer, learning_rate: float, weight_decay: float, groups: Sequence[Group] = ()) -> None:
        self._check_range(math.inf, learning_rate=learning_rate, weight_decay=weight_decay)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self._steps = 0
        self._model = model
        self._parameters = dict(model.parameters)
        check_writable(type(self).__name__, self._parameters)
        self._factors = resolve(type(self).__name__, self._parameters, groups)
        self._moments = {
            name: [np.zeros(parameter.shape, parameter.dtype) for _ in self.moments]
            for name, parameter in self._parameters.items()
        }

    def step(self) -> None:
        """Move the parameters along their gradients, then set the gradients to zero.

        Raises
        ------
        TypeError
            If a parameter is neither float32 nor float64, or its gradient has another dtype.
        """
        self._steps += 1
        # Asked for at every step: layers may be frozen meanwhile, or others put in their place.
        gradients, trainable = self._model.gradients, self._model.trainable_parameters
        for name, parameter in self._parameters.items():
            gradient = gradients.get(name)
            if gradient is None or trainable.get(name) is not parameter:
                continue
            factors = self._factors[name]
            if not factors.learning_rate:
                continue
            rates = Rates(self.learning_rate * factors.learning_rate, self.weight_decay * factors.weight_decay)
            if parameter.flags.carray:  # contiguous, aligned and writable
                self._update(parameter, gradient, self._moments[name], rates)
                continue
            in_order = np.require(parameter, requirements=("C", "A"))
            self._update(in_order, gradient, self._moments[name], rates)
            parameter[...] = in_order
        self._model.zero_gradients()

    @abstractmethod
    def _update(self, parameter: Array, gradient: Array, moments: list[Array], rates: Rates) -> None:
        """Move a parameter, which is C-contiguous as its moments are, and these with it, in place."""

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of all that the next step depends on, besides parameters and gradients."""
        state: dict[str, Array] = {"steps": np.array(self._steps, np.int64)}
        for name, moments in self._moments.items():
            state |= {f"{moment}.{name}": value.copy() for moment, value in zip(self.moments, moments, strict=True)}
        return state

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Go on from the state of an optimizer of the same kind for the same model.

        Raises
        ------
        ValueError
            If names or shapes don't agree; nothing is written then.
        """
        current = self.state_dict()
        if {name: value.shape for name, value in state.items()} != {n: v.shape for n, v in current.items()}:
            raise ValueError(f"{type(self).__name__}.load_state_dict: the state is of another optimizer or model")
        self._steps = int(state["steps"])
        for name, moments in self._moments.items():
            for moment, value in zip(self.moments, moments, strict=True):
                value[...] = state[f"{moment}.{name}"]

    def _check_range(self, high: float, **values: float) -> None:
        for name, value in values.items():
            if not 0 <= value < high:
                raise ValueError(f"{type(self).__name__}: {name} is {value}, expected 0 <= {name} < {high}")
