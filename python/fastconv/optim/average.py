"""The exponential moving average of a model's weights, which often does better than the weights themselves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import numpy as np

from fastconv._arguments import Array, check_writable
from fastconv.nn import Layer


class ExponentialMovingAverage:
    """An average over the steps of training of a model's parameters and buffers.

    With t the number of the update, from 0, and w a parameter or buffer::

        average <- average + (1 - min(decay, (1 + t) / (10 + t))) * (w - average)

    so that the first steps, whose weights are still far off, are forgotten sooner.

    Parameters
    ----------
    model : Layer
        Whose weights to average. The average begins with what they are now.
    decay : float, default 0.999
        Share of the average that an update keeps at most, in [0, 1).

    Raises
    ------
    ValueError
        If ``decay`` is out of range, or a parameter is read-only, as in a folded model until its ``train()`` is called.

    References
    ----------
    B. T. Polyak, A. B. Juditsky: Acceleration of stochastic approximation by averaging. SIAM J. Control Optim. 30,
    1992. The rise of the decay is that of TensorFlow's ``tf.train.ExponentialMovingAverage``.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> layer = nn.Linear(1, 1, bias=False)
    >>> layer.parameters["weight"][...] = 0
    >>> average = optim.ExponentialMovingAverage(layer)
    >>> layer.parameters["weight"][...] = 1
    >>> average.update()
    >>> with average.applied():
    ...     layer.parameters["weight"].item()
    0.8999999761581421
    >>> layer.parameters["weight"].item()
    1.0
    """

    def __init__(self, model: Layer, decay: float = 0.999) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ExponentialMovingAverage: decay is {decay}, expected 0 <= decay < 1")
        self.decay = decay
        self._updates = 0
        self._values: dict[str, Array] = {**model.parameters, **model.buffers}
        check_writable("ExponentialMovingAverage", self._values)
        self._averages = {name: value.copy() for name, value in self._values.items()}

    def update(self) -> None:
        """Let the weights as they are now into the average."""
        share = 1 - min(self.decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        for name, average in self._averages.items():
            average += share * (self._values[name] - average)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Let the model have the averages in place of its weights, bit by bit, for the duration of a ``with`` block."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, average in self._averages.items():
            value = self._values[name]
            kept = value.copy()
            value[...] = average
            average[...] = kept

    def state_dict(self) -> dict[str, Array]:
        """Return a copy of the averages by the names of what they average, and the number of updates."""
        return {"updates": np.array(self._updates, np.int64)} | {n: v.copy() for n, v in self._averages.items()}

    def load_state_dict(self, state: Mapping[str, Array]) -> None:
        """Go on from the state of an average over the same model.

        Raises
        ------
        ValueError
            If names or shapes don't agree; nothing is written then.
        """
        current = self.state_dict()
        if {name: value.shape for name, value in state.items()} != {n: v.shape for n, v in current.items()}:
            raise ValueError("ExponentialMovingAverage.load_state_dict: the state is of another model")
        self._updates = int(state["updates"])
        for name, average in self._averages.items():
            average[...] = state[name]
