"""What all optimizers share: the walk over the parameters, their state, and groups."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import ClassVar

import numpy as np

from fastconv import runtime
from fastconv._arguments import Array, check_writable
from fastconv.nn import Layer
from fastconv.optim.group import Group, Rates, resolve

_PIECE = 1 << 17
"""Values of a parameter that are updated at a time: an update goes over them several times, while a cache has them."""

_FEWEST_PIECES = 8
"""For each thread; fewer are done before a thread has started."""


def _pieces(arrays: list[Array]) -> Iterator[list[Array]]:
    """Cut arrays of one shape into the same pieces; not the small ones, nor what can't be seen as one row of values."""
    if arrays[0].size <= _PIECE or not all(array.flags.c_contiguous for array in arrays):
        yield arrays
        return
    flat = [array.reshape(-1) for array in arrays]
    for first in range(0, flat[0].size, _PIECE):
        yield [one[first : first + _PIECE] for one in flat]


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
            name: [np.zeros_like(parameter) for _ in self.moments] for name, parameter in self._parameters.items()
        }
        self._scratch: list[Array] = []  # for each thread

    def step(self) -> None:
        """Move the parameters along their gradients, then set the gradients to zero."""
        self._steps += 1
        # Asked for at every step: layers may be frozen meanwhile, or others put in their place.
        gradients, trainable = self._model.gradients, self._model.trainable_parameters
        pieces: list[tuple[Array, Array, list[Array], Rates]] = []
        for name, parameter in self._parameters.items():
            gradient = gradients.get(name)
            if gradient is None or trainable.get(name) is not parameter:
                continue
            factors = self._factors[name]
            rates = Rates(self.learning_rate * factors.learning_rate, self.weight_decay * factors.weight_decay)
            if factors.learning_rate:
                arrays = [parameter, gradient, *self._moments[name]]
                pieces += [(first, second, rest, rates) for first, second, *rest in _pieces(arrays)]
        self._update_all(pieces)
        self._model.zero_gradients()

    def _update_all(self, pieces: list[tuple[Array, Array, list[Array], Rates]]) -> None:
        """Update all pieces, in threads where there are many: NumPy's loops let go of the interpreter."""
        threads = min(runtime.get_num_threads(), len(pieces) // _FEWEST_PIECES) or 1
        while len(self._scratch) < threads:
            self._scratch.append(np.empty(0, np.uint8))

        def work(thread: int) -> None:
            for parameter, gradient, moments, rates in pieces[thread::threads]:
                if self._scratch[thread].size < parameter.nbytes:
                    self._scratch[thread] = np.empty(parameter.nbytes, np.uint8)
                scratch = self._scratch[thread][: parameter.nbytes].view(parameter.dtype).reshape(parameter.shape)
                self._update(parameter, gradient, moments, scratch, rates)

        if threads == 1:
            return work(0)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(work, range(threads)))  # which raises what they raise

    @abstractmethod
    def _update(self, parameter: Array, gradient: Array, moments: list[Array], scratch: Array, rates: Rates) -> None:
        """Move a piece of a parameter, value by value; ``gradient`` and ``scratch`` may be overwritten."""

    def _decay_gradient(self, parameter: Array, gradient: Array, scratch: Array, rates: Rates) -> None:
        """Add the gradient of ``weight_decay / 2 * |parameter|^2``."""
        if rates.weight_decay:
            np.multiply(parameter, rates.weight_decay, out=scratch)
            gradient += scratch

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
