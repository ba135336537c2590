"""Squeeze and excitation: channels weighted by what the whole image shows."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import pool
from fastconv._arguments import Activation, Array
from fastconv.nn.container import Container
from fastconv.nn.initialize import Initializer, Seed, glorot_uniform, he_uniform
from fastconv.nn.linear import Linear


class SqueezeExcitation(Container):
    """``input * sigmoid(excite(squeeze(mean of input over all spatial axes)))``, a factor for each sample and channel.

    Parameters
    ----------
    channels : int
        Inputs and outputs are (N, *spatial, channels).
    reduced : int
        Units between the two dense layers.
    activation : str, default "relu"
        Of these units.
    initializer : callable, optional
        Draws both weights; by default `initialize.he_uniform` and, where the sigmoid follows,
        `initialize.glorot_uniform`.
    seed, dtype
        As of `Linear`.

    Raises
    ------
    ValueError
        If ``activation`` is unknown; when called, if the input has another number of channels.
    TypeError
        If ``dtype`` is neither float32 nor float64.

    Notes
    -----
    ``parameters`` are "squeeze.weight", (channels, reduced), "excite.weight", (reduced, channels), and two biases.

    References
    ----------
    J. Hu, L. Shen, G. Sun: Squeeze-and-excitation networks. CVPR 2018, equations 2 to 4.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.SqueezeExcitation(8, 2, seed=0)
    >>> output = layer(np.ones((2, 5, 5, 8), np.float32))
    >>> output.shape, bool((output < 1).all())
    ((2, 5, 5, 8), True)
    """

    def __init__(
        self,
        channels: int,
        reduced: int,
        *,
        activation: Activation = "relu",
        initializer: Initializer | None = None,
        seed: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        rng = np.random.default_rng(seed)
        first, second = initializer or he_uniform, initializer or glorot_uniform
        squeeze = Linear(channels, reduced, activation=activation, initializer=first, seed=rng, dtype=dtype)
        excite = Linear(reduced, channels, activation="sigmoid", initializer=second, seed=rng, dtype=dtype)
        super().__init__({"squeeze": squeeze, "excite": excite})

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        mean = pool.global_avg_pool(input)
        factors = self.layers["excite"](self.layers["squeeze"](mean))
        factors = factors.reshape(_beside(input.shape))
        return input * factors, (input, factors)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        input, factors = saved
        _, *spatial, _ = input.shape
        # A sum over pixels, as the mean that the core computes accurately and with threads.
        gradient = pool.global_avg_pool(grad_output * input) * math.prod(spatial)
        gradient = self.layers["excite"].backward(gradient)
        through_mean = self.layers["squeeze"].backward(gradient, input_gradient=input_gradient)
        if through_mean is None:
            return None
        result: Array = grad_output * factors
        result += through_mean.reshape(_beside(input.shape)) / math.prod(spatial)
        return result


def _beside(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape in which values by sample and channel meet an array of this shape."""
    return (shape[0], *(1 for _ in shape[1:-1]), shape[-1])
