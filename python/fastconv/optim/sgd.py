"""Stochastic gradient descent, plain, with momentum and with Nesterov's."""

from __future__ import annotations

from collections.abc import Sequence

from fastconv import _core
from fastconv._arguments import Array
from fastconv.nn import Layer
from fastconv.optim.group import Group, Rates
from fastconv.optim.optimizer import Optimizer


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
    groups : sequence of Group, default ()
        Parameters with a learning rate or weight decay of their own.

    Raises
    ------
    ValueError
        If an argument is out of range or a group has no parameters, or ``nesterov`` comes without
        momentum.

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
        groups: Sequence[Group] = (),
    ) -> None:
        super().__init__(model, learning_rate, weight_decay, groups)
        self._check_range(1, momentum=momentum)
        if nesterov and not momentum:
            raise ValueError("SGD: nesterov=True needs a momentum")
        self.momentum = momentum
        self.nesterov = nesterov

    def _update(self, parameter: Array, gradient: Array, moments: list[Array], rates: Rates) -> None:
        (velocity,) = moments
        _core.sgd_step(
            type(self).__name__, parameter, gradient, velocity, rates.learning_rate, self.momentum, rates.weight_decay,
            self.nesterov,
        )  # fmt: skip
