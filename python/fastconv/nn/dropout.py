"""Dropout: noise that keeps units from relying on one another, and layers from relying on those before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv._arguments import Array
from fastconv.nn.initialize import Seed
from fastconv.nn.layer import Layer


class Dropout(Layer):
    """Set elements to zero at random in training; do nothing in evaluation.

    Parameters
    ----------
    rate : float, default 0.5
        Probability that an element is dropped. The others are divided by ``1 - rate``, so that means stay.
    seed : int or numpy.random.Generator, optional
        Where the choice comes from; None is different each time.

    Raises
    ------
    ValueError
        If ``rate`` isn't in [0, 1).

    References
    ----------
    N. Srivastava et al.: Dropout: a simple way to prevent neural networks from overfitting. JMLR 15, 2014, section 4.
    The scaling stands in training here ("inverted dropout", section 10), so that evaluation costs nothing.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Dropout(0.5, seed=0)
    >>> layer(np.ones(6, np.float32))
    array([2., 2., 2., 0., 0., 0.], dtype=float32)
    >>> layer = layer.eval()
    >>> layer(np.ones(6, np.float32))
    array([1., 1., 1., 1., 1., 1.], dtype=float32)
    """

    def __init__(self, rate: float = 0.5, *, seed: Seed = None) -> None:
        if not 0 <= rate < 1:
            raise ValueError(f"{type(self).__name__}: rate is {rate}, expected 0 <= rate < 1")
        super().__init__()
        self.rate = rate
        self._generator = np.random.default_rng(seed)

    @property
    def generators(self) -> Mapping[str, np.random.Generator]:
        """The one generator, under the name "generator"."""
        return {"generator": self._generator}

    def _units(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape, beside an input's, of what is dropped or kept as a whole."""
        return shape

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        if not self.training:
            return input, ()
        kept = self._generator.random(self._units(input.shape), np.float32) >= self.rate
        scale = kept * input.dtype.type(1 / (1 - self.rate))
        return input * scale, (scale,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (scale,) = saved
        return grad_output * scale if input_gradient else None

    def _describe(self) -> str:
        return f"{self.rate}"


class StochasticDepth(Dropout):
    """Drop whole samples at random in training: the end of the body of a `Residual`, whose shortcut then stays alone.

    Parameters
    ----------
    rate : float, default 0.2
        Probability that a sample is dropped. The others are divided by ``1 - rate``, so that means stay.
    seed : int or numpy.random.Generator, optional
        Where the choice comes from; None is different each time.

    Raises
    ------
    ValueError
        If ``rate`` isn't in [0, 1).

    References
    ----------
    G. Huang, Y. Sun, Z. Liu, D. Sedra, K. Weinberger: Deep networks with stochastic depth. ECCV 2016, section 3. Each
    sample is dropped by itself here, not the batch as a whole, and the scaling stands in training.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.StochasticDepth(0.5, seed=0)(np.ones((4, 2), np.float32))
    array([[2., 2.],
           [2., 2.],
           [2., 2.],
           [0., 0.]], dtype=float32)
    """

    def __init__(self, rate: float = 0.2, *, seed: Seed = None) -> None:
        super().__init__(rate, seed=seed)

    def _units(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        return (shape[0], *(1 for _ in shape[1:]))
