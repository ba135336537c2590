"""Normalizations as layers."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastconv import norm
from fastconv._arguments import Activation, Array, array, integer
from fastconv.nn.activation import activation_backward, check_activation, finish_activation, fused_activation
from fastconv.nn.initialize import floating
from fastconv.nn.layer import Layer, check_sum
from fastconv.norm.statistics import (
    ALL_SAMPLES,
    Statistics,
    check_epsilon,
    normalize,
    normalize_backward,
    of_running,
    statistics,
    update_running,
)


def _affine(name: str, channels: int, dtype: DTypeLike) -> dict[str, Array]:
    """Return a scale of ones and a bias of zeros."""
    if integer(name, "channels", channels) < 1:
        raise ValueError(f"{name}: channels={channels}, expected 1 or more")
    return {"scale": np.ones(channels, floating(dtype)), "bias": np.zeros(channels, floating(dtype))}


class _ChannelNorm(Layer):
    """What batch, group and instance normalization share: a number of groups, and whose statistics are meant."""

    operation: ClassVar[str]

    def __init__(
        self,
        channels: int,
        groups: int,
        parameters: dict[str, Array],
        buffers: dict[str, Array],
        epsilon: float,
        activation: Activation | None,
    ) -> None:
        name = type(self).__name__
        check_epsilon(name, epsilon)
        check_activation(name, activation)
        super().__init__(parameters, buffers)
        self.epsilon = epsilon
        self.activation = activation
        self._channels = channels
        self._groups = groups

    @property
    def _constant(self) -> bool:
        """Whether the statistics don't depend on the input."""
        return False

    def _statistics(self, input: Array) -> Statistics:
        return statistics(self.operation, input, self._groups, self.epsilon)

    def _call_adding(self, input: Array, addend: Array, activation: Activation | None) -> Array:
        # A subclass may compute something else.
        if self.activation is not None or type(self)._forward is not _ChannelNorm._forward:
            return super()._call_adding(input, addend, activation)
        check_sum(input, addend)
        output, saved = self._normalize(input, addend, activation)
        if self.training:
            self._saved = saved
        return output

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return self._normalize(input, None, fused_activation(self.activation, self.training))

    def _normalize(self, input: Array, addend: Array | None, fused: Activation | None) -> tuple[Array, tuple[Any, ...]]:
        input = array(self.operation, "input", input)
        if input.shape[-1:] != (self._channels,):
            raise ValueError(
                f"{type(self).__name__}: input {input.shape} must have {self._channels} channels on its last axis"
            )
        found = self._statistics(input)
        scale, bias = self._parameters.get("scale"), self._parameters.get("bias")
        output = normalize(self.operation, input, self._groups, found, scale, bias, fused, None, addend)
        output, kept = finish_activation(self.activation, self.training, output)
        if self.activation == "relu":  # the way back works out again where it was positive
            kept = None
        return output, (input, kept, found, self._constant)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        input, kept, found, constant = saved
        if self.activation != "relu":
            grad_output = activation_backward(self.activation, grad_output, kept)
        grad_input, grad_scale, grad_bias = normalize_backward(
            f"{self.operation}_backward",
            grad_output,
            input,
            self._groups,
            found.mean,
            found.inverse_std,
            self._parameters.get("scale"),
            bias=self._parameters.get("bias"),
            relu=self.activation == "relu",
            constant=constant,
            with_input=input_gradient,
        )
        if self._parameters:
            self._accumulate(scale=grad_scale, bias=grad_bias)
        return grad_input

    def _options(self, first: Mapping[str, object] = MappingProxyType({})) -> str:
        shown = {**first, **({} if self.epsilon == 1e-5 else {"epsilon": self.epsilon})}
        shown |= {"activation": self.activation} if self.activation else {}
        return "".join(f", {name}={value!r}" for name, value in shown.items())


class BatchNorm(_ChannelNorm):
    """Batch normalization, for any number of spatial axes; see `fastconv.batch_norm`.

    In training mode a batch is normalized with its own mean and variance, and averages of these are kept; in
    evaluation mode, and where the layer is frozen, the averages are used.

    Parameters
    ----------
    channels : int
        Inputs are (N, *spatial, channels).
    momentum : float, default 0.1
        The share of the new batch in the averages.
    epsilon : float, default 1e-5
        Added to variances.
    activation : str or None, default None
        Applied as the output is stored.
    dtype : dtype, default float32
        float32 or float64, of parameters, buffers, inputs and outputs.

    Raises
    ------
    ValueError
        If an argument is out of range, or ``activation`` is unknown.
    TypeError
        If ``dtype`` is neither float32 nor float64.

    Notes
    -----
    ``parameters`` are ``scale`` and ``bias``, ``buffers`` are ``running_mean`` and ``running_var``, all (channels,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.BatchNorm(1, dtype="float64")
    >>> layer(np.array([[1.0], [3.0]])).round(3).ravel()
    array([-1.,  1.])
    >>> layer.buffers["running_mean"], layer.buffers["running_var"]
    (array([0.2]), array([1.1]))
    """

    operation = "batch_norm"

    def __init__(
        self,
        channels: int,
        *,
        momentum: float = 0.1,
        epsilon: float = 1e-5,
        activation: Activation | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"BatchNorm: momentum is {momentum}, expected 0 <= momentum <= 1")
        parameters = _affine("BatchNorm", channels, dtype)
        zeros, ones = np.zeros(channels, floating(dtype)), np.ones(channels, floating(dtype))
        buffers = {"running_mean": zeros, "running_var": ones}
        super().__init__(channels, ALL_SAMPLES, parameters, buffers, epsilon, activation)
        self.momentum = momentum

    @property
    def _constant(self) -> bool:
        return self.frozen or not self.training

    def _statistics(self, input: Array) -> Statistics:
        mean, variance = self.buffers["running_mean"], self.buffers["running_var"]
        if self._constant:
            return of_running(mean, variance, self.epsilon)
        found = super()._statistics(input)
        update_running(mean, variance, found, input.size // self._channels, self.momentum)
        return found

    def _describe(self) -> str:
        momentum = {} if self.momentum == 0.1 else {"momentum": self.momentum}
        return f"{self._channels}{self._options(momentum)}"


class GroupNorm(_ChannelNorm):
    """Group normalization; see `fastconv.group_norm`.

    Parameters
    ----------
    num_groups : int
        A divisor of ``channels``.
    channels : int
        Inputs are (N, *spatial, channels).
    epsilon, activation, dtype
        As of `BatchNorm`.

    Notes
    -----
    ``parameters`` are ``scale`` and ``bias``, (channels,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.GroupNorm(2, 4)(np.array([[1.0, 3.0, 8.0, 6.0]], np.float32)).round(2)
    array([[-1.,  1.,  1., -1.]], dtype=float32)
    """

    operation = "group_norm"

    def __init__(
        self,
        num_groups: int,
        channels: int,
        *,
        epsilon: float = 1e-5,
        activation: Activation | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        parameters = _affine("GroupNorm", channels, dtype)
        if integer("GroupNorm", "num_groups", num_groups) < 1 or channels % num_groups:
            raise ValueError(f"GroupNorm: channels={channels}, expected a multiple of num_groups={num_groups}")
        super().__init__(channels, num_groups, parameters, {}, epsilon, activation)

    def _describe(self) -> str:
        return f"{self._groups}, {self._channels}{self._options()}"


class InstanceNorm(_ChannelNorm):
    """Instance normalization; see `fastconv.instance_norm`.

    Parameters
    ----------
    channels : int
        Inputs are (N, *spatial, channels).
    affine : bool, default False
        Whether there are a ``scale`` and a ``bias``, (channels,), to train.
    epsilon, activation, dtype
        As of `BatchNorm`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.InstanceNorm(1)(np.array([[[1.0], [3.0]], [[8.0], [6.0]]], np.float32)).round(2).ravel()
    array([-1.,  1.,  1., -1.], dtype=float32)
    """

    operation = "instance_norm"

    def __init__(
        self,
        channels: int,
        affine: bool = False,
        *,
        epsilon: float = 1e-5,
        activation: Activation | None = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        parameters = _affine("InstanceNorm", channels, dtype)
        super().__init__(channels, channels, parameters if affine else {}, {}, epsilon, activation)

    def _describe(self) -> str:
        return f"{self._groups}{self._options({'affine': True} if self.parameters else {})}"


class LayerNorm(Layer):
    """Layer normalization over the channels of every pixel; see `fastconv.layer_norm`.

    Parameters
    ----------
    channels : int
        Inputs are (..., channels).
    epsilon, dtype
        As of `BatchNorm`.

    Notes
    -----
    ``parameters`` are ``scale`` and ``bias``, (channels,).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.LayerNorm(2)(np.array([[1.0, 3.0], [8.0, 6.0]], np.float32)).round(2)
    array([[-1.,  1.],
           [ 1., -1.]], dtype=float32)
    """

    def __init__(self, channels: int, *, epsilon: float = 1e-5, dtype: DTypeLike = np.float32) -> None:
        check_epsilon("LayerNorm", epsilon)
        super().__init__(_affine("LayerNorm", channels, dtype))
        self.epsilon = epsilon

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        scale, bias = self.parameters["scale"], self.parameters["bias"]
        return norm.layer_norm(input, scale, bias, epsilon=self.epsilon), (input,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input,) = saved
        gradients = norm.layer_norm_backward(grad_output, input, self.parameters["scale"], epsilon=self.epsilon)
        self._accumulate(scale=gradients.scale, bias=gradients.bias)
        return gradients.input if input_gradient else None

    def _describe(self) -> str:
        epsilon = "" if self.epsilon == 1e-5 else f", epsilon={self.epsilon}"
        return f"{self.parameters['scale'].size}{epsilon}"


class LocalResponseNorm(Layer):
    """Local response normalization; see `fastconv.local_response_norm` for the arguments.

    Parameters
    ----------
    size : int, default 5
    alpha, beta, k : float

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.LocalResponseNorm(3, alpha=3.0, beta=0.5, k=0.0)(np.array([[1.0, 2.0, 2.0]])).round(3)
    array([[0.447, 0.667, 0.707]])
    """

    def __init__(self, size: int = 5, *, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        if integer("LocalResponseNorm", "size", size) < 1:
            raise ValueError(f"LocalResponseNorm: size is {size}, expected 1 or more")
        super().__init__()
        self.size = size
        self.alpha, self.beta, self.k = alpha, beta, k

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return norm.local_response_norm(input, self.size, alpha=self.alpha, beta=self.beta, k=self.k), (input,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input,) = saved
        if not input_gradient:
            return None
        return norm.local_response_norm_backward(
            grad_output, input, self.size, alpha=self.alpha, beta=self.beta, k=self.k
        )

    def _describe(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
