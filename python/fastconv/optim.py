"""Optimizers: how parameters move along their gradients; and the schedule of the learning rate.

An optimizer reads the gradients that `Layer.backward` has summed up, moves the parameters in place, and sets the
gradients to zero. It computes in scratch memory of its own, so that a step allocates nothing.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from fastconv._arguments import Array
from fastconv.nn import Layer


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

    Raises
    ------
    ValueError
        If ``learning_rate`` or ``weight_decay`` is negative or not finite.
    """

    moments: ClassVar[tuple[str, ...]]
    """Names of the running averages that are kept for each parameter."""

    def __init__(self, model: Layer, learning_rate: float, weight_decay: float) -> None:
        self._check_range(math.inf, learning_rate=learning_rate, weight_decay=weight_decay)
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self._steps = 0
        self._model = model
        self._parameters = dict(model.parameters)
        self._gradients = dict(model.gradients)
        self._moments = {
            name: [np.zeros_like(parameter) for _ in self.moments] for name, parameter in self._parameters.items()
        }
        self._scratch = np.empty(max((value.nbytes for value in self._parameters.values()), default=0), np.uint8)

    def step(self) -> None:
        """Move the parameters along their gradients, then set the gradients to zero."""
        self._steps += 1
        trainable = self._model.trainable_parameters
        for name, parameter in self._parameters.items():
            if name not in trainable:
                continue
            gradient = self._gradients[name]
            scratch = self._scratch[: parameter.nbytes].view(parameter.dtype).reshape(parameter.shape)
            self._update(parameter, gradient, self._moments[name], scratch)
            gradient.fill(0)

    @abstractmethod
    def _update(self, parameter: Array, gradient: Array, moments: list[Array], scratch: Array) -> None:
        """Move one parameter; ``gradient`` and ``scratch`` may be overwritten."""

    def _decay_gradient(self, parameter: Array, gradient: Array, scratch: Array) -> None:
        """Add the gradient of ``weight_decay / 2 * |parameter|^2``."""
        if self.weight_decay:
            np.multiply(parameter, self.weight_decay, out=scratch)
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


class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if wanted.

    With gradient g (plus ``weight_decay`` times the parameter) and velocity v::

        v <- momentum * v + g
        parameter <- parameter - learning_rate * v                      (momentum)
        parameter <- parameter - learning_rate * (g + momentum * v)     (Nesterov)

    Parameters
    ----------
    model : Layer
        Whose parameters to train.
    learning_rate : float, default 0.01
        Size of a step.
    momentum : float, default 0
        Share of the velocity that a step keeps, in [0, 1).
    nesterov : bool, default False
        Whether the gradient counts as if it had been taken one step ahead.
    weight_decay : float, default 0
        Strength of the pull towards zero, as part of the gradient.

    Raises
    ------
    ValueError
        If an argument is out of range, or ``nesterov`` comes without momentum.

    References
    ----------
    I. Sutskever, J. Martens, G. Dahl, G. Hinton: On the importance of initialization and momentum in deep learning.
    ICML 2013, sections 2 and 7 (Nesterov's momentum in terms of the parameters that are at hand).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> layer = nn.Linear(1, 1, seed=0)
    >>> layer.parameters["weight"][...] = 1
    >>> optimizer = optim.SGD(layer, learning_rate=0.1)
    >>> grad_input = layer.backward(layer(np.ones((1, 1), np.float32)))
    >>> optimizer.step()
    >>> layer.parameters["weight"], layer.gradients["weight"]
    (array([[0.9]], dtype=float32), array([[0.]], dtype=float32))
    """

    moments = ("velocity",)

    def __init__(
        self,
        model: Layer,
        learning_rate: float = 0.01,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay)
        self._check_range(1, momentum=momentum)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum")
        self.momentum = momentum
        self.nesterov = nesterov

    def _update(self, parameter: Array, gradient: Array, moments: list[Array], scratch: Array) -> None:
        (velocity,) = moments
        self._decay_gradient(parameter, gradient, scratch)
        velocity *= self.momentum
        velocity += gradient
        if self.nesterov:
            np.multiply(velocity, self.momentum, out=scratch)
            scratch += gradient
            scratch *= self.learning_rate
        else:
            np.multiply(velocity, self.learning_rate, out=scratch)
        parameter -= scratch


class Adam(Optimizer):
    """Adam: steps of a size that the gradient's own scale doesn't change.

    With gradient g (plus ``weight_decay`` times the parameter) and t the number of the step::

        m <- beta1 * m + (1 - beta1) * g
        v <- beta2 * v + (1 - beta2) * g^2
        parameter <- parameter - learning_rate * (m / (1 - beta1^t)) / (sqrt(v / (1 - beta2^t)) + epsilon)

    Parameters
    ----------
    model : Layer
        Whose parameters to train.
    learning_rate : float, default 0.001
        Size of a step.
    betas : pair of float, default (0.9, 0.999)
        Shares of the running averages of the gradient and of its square that a step keeps, in [0, 1).
    epsilon : float, default 1e-8
        What keeps the quotient finite.
    weight_decay : float, default 0
        Strength of the pull towards zero, as part of the gradient. `AdamW` does it better.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    D. P. Kingma, J. Ba: Adam: a method for stochastic optimization. ICLR 2015, algorithm 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> layer = nn.Linear(1, 1, seed=0)
    >>> layer.parameters["weight"][...] = 1
    >>> optimizer = optim.Adam(layer, learning_rate=0.1)
    >>> grad_input = layer.backward(layer(np.ones((1, 1), np.float32)))
    >>> optimizer.step()
    >>> layer.parameters["weight"]
    array([[0.9]], dtype=float32)
    """

    moments = ("first_moment", "second_moment")

    def __init__(
        self,
        model: Layer,
        learning_rate: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(model, learning_rate, weight_decay)
        beta1, beta2 = betas
        self._check_range(1, beta1=beta1, beta2=beta2, epsilon=epsilon)
        self.betas = beta1, beta2
        self.epsilon = epsilon

    def _update(self, parameter: Array, gradient: Array, moments: list[Array], scratch: Array) -> None:
        self._decay(parameter, gradient, scratch)
        first, second = moments
        beta1, beta2 = self.betas
        first *= beta1
        np.multiply(gradient, 1 - beta1, out=scratch)
        first += scratch
        second *= beta2
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1 - beta2
        second += scratch

        np.sqrt(second, out=scratch)
        scratch *= 1 / math.sqrt(1 - beta2**self._steps)
        scratch += self.epsilon
        np.divide(first, scratch, out=scratch)
        scratch *= self.learning_rate / (1 - beta1**self._steps)
        parameter -= scratch

    def _decay(self, parameter: Array, gradient: Array, scratch: Array) -> None:
        self._decay_gradient(parameter, gradient, scratch)


class AdamW(Adam):
    """Adam whose weight decay doesn't pass through the running averages.

    Before Adam's own step, ``parameter <- parameter * (1 - learning_rate * weight_decay)``.

    Parameters
    ----------
    model : Layer
        Whose parameters to train.
    learning_rate : float, default 0.001
        Size of a step.
    betas : pair of float, default (0.9, 0.999)
        As of `Adam`.
    epsilon : float, default 1e-8
        As of `Adam`.
    weight_decay : float, default 0.01
        Strength of the pull towards zero, relative to the learning rate.

    Raises
    ------
    ValueError
        If an argument is out of range.

    References
    ----------
    I. Loshchilov, F. Hutter: Decoupled weight decay regularization. ICLR 2019, algorithm 2.

    Examples
    --------
    >>> from fastconv import nn, optim
    >>> optimizer = optim.AdamW(nn.Linear(3, 2), learning_rate=0.002)
    >>> optimizer.weight_decay
    0.01
    """

    def __init__(
        self,
        model: Layer,
        learning_rate: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
    ) -> None:
        super().__init__(model, learning_rate, betas=betas, epsilon=epsilon, weight_decay=weight_decay)

    def _decay(self, parameter: Array, gradient: Array, scratch: Array) -> None:
        parameter *= 1 - self.learning_rate * self.weight_decay


def warmup_cosine(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the full learning rate that a step takes: a linear rise, then half a cosine down to zero.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    total_steps, warmup_steps : int
        Length of the run, and of the rise at its beginning.

    Returns
    -------
    float
        In (0, 1].

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts. ICLR 2017, equation 5.
    P. Goyal et al.: Accurate, large minibatch SGD: training ImageNet in 1 hour. arXiv:1706.02677, section 2.2.

    Examples
    --------
    >>> from fastconv import optim
    >>> [round(optim.warmup_cosine(step, total_steps=6, warmup_steps=2), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    if step < warmup_steps:
        return (step + 1) / warmup_steps
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))
