"""Transposed convolution layers: one for any rank; `ConvTranspose1d`, `2d` and `3d` only fix it."""

from __future__ import annotations

import numpy as np
from numpy.typing import DTypeLike

from fastconv._arguments import Activation, Array, Padding, Size
from fastconv.conv import ConvGradients, passes
from fastconv.nn.conv import Conv
from fastconv.nn.initialize import Initializer, Seed, he_uniform


class ConvTranspose(Conv):
    """Transposed convolution over ``rank`` spatial axes; use `ConvTranspose1d`, `ConvTranspose2d` or `ConvTranspose3d`.

    Parameters
    ----------
    in_channels, out_channels, kernel_size, stride, dilation, groups, bias
        As of `Conv`.
    padding : int, tuple or str, default 0
        What is cut off at the edges of the output; "same" makes it input * stride.
    output_padding : int or tuple of int, default 0
        Positions added at the end of each axis.
    activation, algorithm, initializer, seed, dtype
        As of `Conv`.

    Raises
    ------
    ValueError, TypeError
        As `Conv`.

    Notes
    -----
    Inputs are (N, *spatial, in_channels) and outputs (N, *spatial, out_channels), larger by the stride. ``parameters``
    are ``weight``, (*kernel_size, out_channels // groups, in_channels), and ``bias``, (out_channels,).
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Padding = 0,
        output_padding: Size = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        activation: Activation | None = None,
        algorithm: str = "auto",
        initializer: Initializer = he_uniform,
        seed: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            bias=bias,
            activation=activation,
            algorithm=algorithm,
            initializer=initializer,
            seed=seed,
            dtype=dtype,
        )
        self._output_padding = output_padding
        self._window = (stride, padding, output_padding, dilation, groups)

    @staticmethod
    def _weight_channels(in_channels: int, out_channels: int, groups: int) -> tuple[int, int]:
        return out_channels // groups, in_channels

    def _convolve(self, input: Array, activation: Activation | None) -> Array:
        weight, bias = self._parameters["weight"], self._parameters.get("bias")
        operation, algorithm = f"conv_transpose{self.rank}d", self._algorithm
        return passes.transposed_forward(
            operation, self.rank, input, weight, bias, *self._window, activation, algorithm, None
        )

    def _convolve_backward(self, grad_output: Array, input: Array, wrt: tuple[str, ...]) -> ConvGradients:
        weight, operation = self._parameters["weight"], f"conv_transpose{self.rank}d_backward"
        return passes.transposed_backward(
            operation, self.rank, grad_output, input, weight, *self._window, self._algorithm, wrt
        )

    def _shown(self) -> dict[str, tuple[object, object]]:
        return super()._shown() | {"output_padding": (self._output_padding, 0)}


class ConvTranspose1d(ConvTranspose):
    """Transposed convolution of sequences, (N, L, C). See `ConvTranspose` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.ConvTranspose1d(8, 1, 16, stride=8, padding=4, seed=0)
    >>> layer(np.zeros((2, 100, 8), np.float32)).shape
    (2, 800, 1)
    """

    rank = 1


class ConvTranspose2d(ConvTranspose):
    """Transposed convolution of images, (N, H, W, C). See `ConvTranspose` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.ConvTranspose2d(8, 4, 2, stride=2, activation="relu", seed=0)
    >>> layer
    ConvTranspose2d(8, 4, kernel_size=(2, 2), stride=2, activation='relu')
    >>> output = layer(np.zeros((2, 16, 16, 8), np.float32))
    >>> output.shape
    (2, 32, 32, 4)
    >>> layer.backward(np.ones_like(output)).shape
    (2, 16, 16, 8)
    """

    rank = 2


class ConvTranspose3d(ConvTranspose):
    """Transposed convolution of volumes, (N, D, H, W, C). See `ConvTranspose` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.ConvTranspose3d(4, 2, 2, stride=2, seed=0)
    >>> layer(np.zeros((1, 4, 4, 4, 4), np.float32)).shape
    (1, 8, 8, 8, 2)
    """

    rank = 3
