"""Adam, and Adam with a weight decay beside it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from fastconv import _core
from fastconv._arguments import Array
from fastconv.nn import Layer
from fastconv.optim.group import Group, Rates
from fastconv.optim.optimizer import Optimizer


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
    groups : sequence of Group, default ()
        Parameters with a learning rate or weight decay of their own.

    Raises
    ------
    ValueError
        If an argument is out of range or a group has no parameters.

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
    _decoupled: ClassVar[bool] = False  # whether the decay is none of the gradient

    def __init__(
        self,
        model: Layer,
        learning_rate: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.0,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(model, learning_rate, weight_decay, groups)
        beta1, beta2 = betas
        self._check_range(1, beta1=beta1, beta2=beta2, epsilon=epsilon)
        self.betas = beta1, beta2
        self.epsilon = epsilon

    def _update(self, parameter: Array, gradient: Array, moments: list[Array], rates: Rates) -> None:
        first, second = moments
        _core.adam_step(
            type(self).__name__, parameter, gradient, first, second, rates.learning_rate, *self.betas, self.epsilon,
            rates.weight_decay, self._decoupled, self._steps,
        )  # fmt: skip


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
    groups : sequence of Group, default ()
        Parameters with a learning rate or weight decay of their own.

    Raises
    ------
    ValueError
        If an argument is out of range or a group has no parameters.

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

    _decoupled = True

    def __init__(
        self,
        model: Layer,
        learning_rate: float = 0.001,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
        weight_decay: float = 0.01,
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(model, learning_rate, betas=betas, epsilon=epsilon, weight_decay=weight_decay, groups=groups)
