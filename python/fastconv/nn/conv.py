"""Convolution layers: one for any rank; `Conv1d`, `Conv2d` and `Conv3d` only fix it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import DTypeLike

from fastconv import _core
from fastconv._arguments import Activation, Array, Padding, PaddingMode, Size, per_axis
from fastconv.conv import ConvGradients, passes
from fastconv.nn.activation import activation_backward, check_activation, finish_activation, fused_activation
from fastconv.nn.initialize import Initializer, Seed, floating, he_uniform
from fastconv.nn.layer import Layer

if TYPE_CHECKING:
    from typing_extensions import Self  # typing has it from Python 3.11 on


_OPERATIONS = {rank: f"conv{rank}d" for rank in (1, 2, 3)}


def _is_immutable(array: object) -> bool:
    """Return whether nobody can write to an array: its memory is that of bytes."""
    while isinstance(array, np.ndarray):
        if array.flags.writeable:
            return False
        array = array.base
    return isinstance(array, bytes)


class Conv(Layer):
    """Convolution over ``rank`` spatial axes; use `Conv1d`, `Conv2d` or `Conv3d`.

    Parameters
    ----------
    in_channels, out_channels : int
        Channels of the input and of the output. Both are multiples of ``groups``.
    kernel_size : int or tuple of int
        Extent of the kernel; one int stands for all axes.
    stride, dilation : int or tuple of int, default 1
        Steps between outputs, and between taps of the kernel.
    padding : int, tuple or str, default 0
        As of `fastconv.conv2d`: an int, one an axis, one (before, after) pair an axis, or a name such as "same".
    groups : int, default 1
        Number of groups that channels are split into; each sees its own only.
    padding_mode : str, default "zeros"
        What stands in the padding: as of `fastconv.conv2d`.
    bias : bool, default True
        Whether there is a bias, which starts at zero.
    activation : str or None, default None
        A name such as "relu" or "gelu", as of `fastconv.conv2d`; "relu" costs no pass over the output of its own.
    algorithm : str, default "auto"
        One of `fastconv.algorithms()`.
    initializer : callable, default `initialize.he_uniform`
        Draws the weight: any function of `fastconv.nn.initialize`.
    seed : int or numpy.random.Generator, optional
        Where the weight comes from; None is different each time.
    dtype : dtype, default float32
        float32 or float64, of parameters, inputs and outputs.

    Raises
    ------
    ValueError
        If channels aren't multiples of ``groups``, ``kernel_size`` doesn't fit the rank, or ``activation`` is unknown.
    TypeError
        If ``dtype`` is neither float32 nor float64.

    Notes
    -----
    Inputs are (N, *spatial, in_channels) and outputs (N, *spatial, out_channels). ``parameters`` are ``weight``,
    (*kernel_size, in_channels // groups, out_channels), and ``bias``, (out_channels,).
    """

    rank: ClassVar[int]

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        *,
        stride: Size = 1,
        padding: Padding = 0,
        dilation: Size = 1,
        groups: int = 1,
        padding_mode: PaddingMode = "zeros",
        bias: bool = True,
        activation: Activation | None = None,
        algorithm: str = "auto",
        initializer: Initializer = he_uniform,
        seed: Seed = None,
        dtype: DTypeLike = np.float32,
    ) -> None:
        name = type(self).__name__
        kernel = per_axis(name, "kernel_size", kernel_size, self.rank)
        if groups < 1 or in_channels % groups or out_channels % groups:
            raise ValueError(
                f"{name}: in_channels={in_channels}, out_channels={out_channels}, expected multiples of groups={groups}"
            )
        check_activation(name, activation)
        channels = self._weight_channels(in_channels, out_channels, groups)
        parameters = {"weight": initializer((*kernel, *channels), seed, dtype)}
        if bias:
            parameters["bias"] = np.zeros(out_channels, floating(dtype))
        super().__init__(parameters)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.activation = activation
        self._algorithm = algorithm
        self._kept: _core.KeptWeight | None = None  # in evaluation mode
        self._sliding = (stride, padding, dilation, groups, padding_mode)

    @property
    def window(self) -> dict[str, Any]:
        """How the kernel slides, as ``kernel_size``, ``stride``, ``padding`` and ``dilation``."""
        kernel_size = self.parameters["weight"].shape[:-2]
        stride, padding, dilation, _, _ = self._sliding
        return {"kernel_size": kernel_size, "stride": stride, "padding": padding, "dilation": dilation}

    @staticmethod
    def _weight_channels(in_channels: int, out_channels: int, groups: int) -> tuple[int, int]:
        return in_channels // groups, out_channels

    def _convolve(self, input: Array, activation: Activation | None) -> Array:
        weight, bias, operation = self._parameters["weight"], self._parameters.get("bias"), _OPERATIONS[self.rank]
        return passes.forward(
            operation, self.rank, input, weight, bias, *self._sliding, activation, self._algorithm, None, self._kept
        )

    def _convolve_backward(self, grad_output: Array, input: Array, wrt: tuple[str, ...]) -> ConvGradients:
        weight, operation = self._parameters["weight"], f"conv{self.rank}d_backward"
        return passes.backward(operation, self.rank, grad_output, input, weight, *self._sliding, self._algorithm, wrt)

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        if not self.training:
            return self._convolve(input, self.activation), ()
        output = self._convolve(input, fused_activation(self.activation, self.training))
        output, kept = finish_activation(self.activation, self.training, output)
        return output, (input, kept)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        input, kept = saved
        wrt = self._wrt(input_gradient)
        gradients = self._convolve_backward(activation_backward(self.activation, grad_output, kept), input, wrt)
        self._accumulate(weight=gradients.weight, bias=gradients.bias)
        return gradients.input

    def _leave_relu_to_next(self) -> bool:
        """Let the next layer go back through the ReLU at the end, if there is one; return whether it has to."""
        if self._saved is None or self.activation != "relu" or type(self)._backward is not Conv._backward:
            return False
        self._saved = (self._saved[0], None)
        return True

    def train(self) -> Self:
        """Enter training mode, in which the weight changes and nothing is kept of it. Return the layer."""
        self._kept = None
        if not self.parameters["weight"].flags.writeable:
            self._have_own({name: value.copy() for name, value in self.parameters.items()})
        return super().train()

    def eval(self) -> Self:
        """Enter evaluation mode: a transformed weight is kept until the weight's values change. Return the layer."""
        self._kept = _core.KeptWeight(_is_immutable(self.parameters["weight"]))
        return super().eval()

    def fix_weight(self) -> None:
        """Have parameters of its own, of which the weight is read-only until `train` is called.

        In evaluation mode the layer then keeps what kernels make of the weight, and needn't look whether its values are
        still the same. `fold_batch_norm` does this with all convolutions of a model.
        """
        parameters = {name: value.copy() for name, value in self.parameters.items()}
        weight = parameters["weight"]
        # Memory of bytes can't be made writable again.
        parameters["weight"] = np.frombuffer(weight.tobytes(), weight.dtype).reshape(weight.shape)
        self._have_own(parameters)
        self._kept = None if self.training else _core.KeptWeight(constant=True)

    def _have_own(self, parameters: dict[str, Array]) -> None:
        """Take these parameters, and share gradients with no twin any longer."""
        self._parameters = parameters
        self._gradients = {}

    def _shown(self) -> dict[str, tuple[object, object]]:
        """Return the arguments that `repr` shows where they aren't the default: (value, default) by name."""
        stride, padding, dilation, groups, padding_mode = self._sliding
        return {
            "stride": (stride, 1),
            "padding": (padding, 0),
            "dilation": (dilation, 1),
            "groups": (groups, 1),
            "padding_mode": (padding_mode, "zeros"),
        }

    def _describe(self) -> str:
        given = self._shown() | {"bias": ("bias" in self.parameters, True), "activation": (self.activation, None)}
        shown: dict[str, object] = {"kernel_size": self.parameters["weight"].shape[:-2]}
        shown |= {name: value for name, (value, default) in given.items() if value != default}
        options = ", ".join(f"{name}={value!r}" for name, value in shown.items())
        return f"{self.in_channels}, {self.out_channels}, {options}"


class Conv1d(Conv):
    """Convolution of sequences, (N, L, C). See `Conv` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Conv1d(3, 8, 5, padding="causal", seed=0)
    >>> layer(np.zeros((2, 100, 3), np.float32)).shape
    (2, 100, 8)
    """

    rank = 1


class Conv2d(Conv):
    """Convolution of images, (N, H, W, C). See `Conv` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Conv2d(3, 8, 3, stride=2, padding=1, activation="relu", seed=0)
    >>> layer
    Conv2d(3, 8, kernel_size=(3, 3), stride=2, padding=1, activation='relu')
    >>> output = layer(np.zeros((2, 32, 32, 3), np.float32))
    >>> output.shape
    (2, 16, 16, 8)
    >>> layer.backward(np.ones_like(output)).shape
    (2, 32, 32, 3)
    """

    rank = 2


class Conv3d(Conv):
    """Convolution of volumes, (N, D, H, W, C). See `Conv` for the arguments.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Conv3d(1, 4, 3, padding="same", seed=0)
    >>> layer(np.zeros((1, 8, 8, 8, 1), np.float32)).shape
    (1, 8, 8, 8, 4)
    """

    rank = 3
