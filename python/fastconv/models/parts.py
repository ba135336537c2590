"""What models are put together from: layers of one data type, whose values come from one seed."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv._arguments import Activation
from fastconv.nn.initialize import Initializer


class Parts:
    """Makes the layers of a model, and draws their values in the order in which they are made.

    Parameters
    ----------
    seed : int or None
        Where all that is random comes from; None is different each time.
    dtype : dtype
        float32 or float64.
    initializer : callable or None
        Draws all weights; None means `initialize.he_uniform`, and `initialize.glorot_uniform` for the last layer.
    """

    def __init__(self, seed: int | None, dtype: DTypeLike, initializer: Initializer | None) -> None:
        self._generator = np.random.default_rng(seed)
        self._dtype = dtype
        self._initializer = initializer or nn.initialize.he_uniform
        self._last_initializer = initializer or nn.initialize.glorot_uniform

    @property
    def _common(self) -> dict[str, Any]:
        return {"seed": self._generator, "dtype": self._dtype, "initializer": self._initializer}

    def conv(self, in_channels: int, out_channels: int, kernel_size: int, **options: Any) -> nn.Conv2d:
        """Return a convolution."""
        return nn.Conv2d(in_channels, out_channels, kernel_size, **self._common, **options)

    def enlarge(self, in_channels: int, out_channels: int) -> nn.ConvTranspose2d:
        """Return a transposed convolution that doubles height and width."""
        return nn.ConvTranspose2d(in_channels, out_channels, 2, stride=2, **self._common)

    def norm(self, channels: int, activation: Activation | None = None, **options: Any) -> nn.BatchNorm:
        """Return a batch normalization."""
        return nn.BatchNorm(channels, activation=activation, dtype=self._dtype, **options)

    def linear(self, in_features: int, out_features: int, activation: Activation | None = None) -> nn.Linear:
        """Return a dense layer."""
        return nn.Linear(in_features, out_features, activation=activation, **self._common)

    def head(self, in_features: int, num_classes: int) -> nn.Linear:
        """Return the dense layer that ends a classifier."""
        common = self._common | {"initializer": self._last_initializer}
        return nn.Linear(in_features, num_classes, **common)

    def gate(self, channels: int, reduced: int, activation: Activation) -> nn.SqueezeExcitation:
        """Return a squeeze-and-excitation block."""
        return nn.SqueezeExcitation(channels, reduced, activation=activation, **self._common)

    def dropout(self, rate: float) -> nn.Dropout:
        """Return a dropout with a generator of its own."""
        return nn.Dropout(rate, seed=self._generator.spawn(1)[0])

    def stochastic_depth(self, rate: float) -> nn.StochasticDepth:
        """Return a stochastic depth with a generator of its own."""
        return nn.StochasticDepth(rate, seed=self._generator.spawn(1)[0])


def rounded(channels: float) -> int:
    """Return a scaled number of channels, as MobileNets and EfficientNets round it.

    It is the nearest multiple of 8, but at least 8, and never less than nine tenths of what was asked for.
    """
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest + 8 if nearest < 0.9 * channels else nearest
