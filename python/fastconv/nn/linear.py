"""The fully connected layer."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from fastconv import dense
from fastconv._arguments import Activation, Array
from fastconv.nn.activation import activation_backward, check_activation, finish_activation, fused_activation
from fastconv.nn.initialize import Initializer, Seed, floating, he_uniform
from fastconv.nn.layer import Layer


class Linear(Layer):
    """``input @ weight + bias``.

    Parameters
    ----------
    in_features, out_features : int
        Inputs are (N, in_features), outputs (N, out_features).
    bias : bool, default True
        Whether there is a bias, which starts at zero.
    activation : str or None, default None
        A name such as "relu" or "gelu", as of `fastconv.conv2d`; "relu" costs no pass over the output of its own.
    initializer : callable, default `initialize.he_uniform`
        Draws the weight. `initialize.glorot_uniform` suits a last layer, which no ReLU follows.
    seed : int or numpy.random.Generator, optional
        Where the weight comes from; None is different each time.
    dtype : dtype, default float32
        float32 or float64, of parameters, inputs and outputs.

    Raises
    ------
    ValueError
        If ``activation`` is unknown.
    TypeError
        If ``dtype`` is neither float32 nor float64.

    Notes
    -----
    ``parameters`` are ``weight``, (in_features, out_features), and ``bias``, (out_features,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Linear(4, 2, seed=0)
    >>> layer
    Linear(4, 2)
    >>> layer(np.ones((3, 4), np.float32)).shape
    (3, 2)
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        *,
        bias: bool = True,
        activation: Activation | None = None,
        initializer: Initializer = he_uniform,
        seed: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        check_activation("Linear", activation)
        parameters = {"weight": initializer((in_features, out_features), seed, dtype)}
        if bias:
            parameters["bias"] = np.zeros(out_features, floating(dtype))
        super().__init__(parameters)
        self.activation = activation

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        weight, bias = self._parameters["weight"], self._parameters.get("bias")
        if not self.training:
            return dense.linear(input, weight, bias, activation=self.activation), ()
        output = dense.linear(input, weight, bias, activation=fused_activation(self.activation, self.training))
        output, kept = finish_activation(self.activation, self.training, output)
        return output, (input, kept)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        input, kept = saved
        gradients = dense.linear_backward(
            activation_backward(self.activation, grad_output, kept),
            input,
            self._parameters["weight"],
            wrt=self._wrt(input_gradient),
        )
        self._accumulate(weight=gradients.weight, bias=gradients.bias)
        return gradients.input

    def _describe(self) -> str:
        in_features, out_features = self.parameters["weight"].shape
        bias = "" if "bias" in self.parameters else ", bias=False"
        activation = f", activation={self.activation!r}" if self.activation else ""
        return f"{in_features}, {out_features}{bias}{activation}"
