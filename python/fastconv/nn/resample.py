"""Layers that change sizes without parameters: interpolation, pixels from channels, borders, branches side by side."""

from __future__ import annotations

from typing import Any

from fastconv import resample
from fastconv._arguments import Array, Size
from fastconv.nn.container import Container, named
from fastconv.nn.layer import Layer
from fastconv.resample.rearrange import Border
from fastconv.resample.resize import Scale
from fastconv.resample.weights import Mode


class Upsample(Layer):
    """Resize the spatial axes by a factor, or to a size.

    Parameters
    ----------
    scale : float or tuple of float, optional
        How many times larger the output is.
    mode : "nearest" or "linear", default "nearest"
        As in `fastconv.resize`.
    size : int or tuple of int, optional
        Spatial extents of the output, instead of a scale.
    align_corners, antialias : bool, default False
        As in `fastconv.resize`.

    Notes
    -----
    Inputs are (N, *spatial, C), one to three spatial axes.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Upsample(2)(np.array([1.0, 2.0]).reshape(1, 2, 1)).ravel()
    array([1., 1., 2., 2.])
    """

    def __init__(
        self,
        scale: Scale | None = None,
        mode: Mode = "nearest",
        *,
        size: Size | None = None,
        align_corners: bool = False,
        antialias: bool = False,
    ) -> None:
        super().__init__()
        if (scale is None) == (size is None):
            raise ValueError(f"Upsample: scale is {scale!r} and size is {size!r}, expected one of the two")
        self.mode, self.align_corners, self.antialias = mode, align_corners, antialias
        self._size = size
        self._rule: dict[str, Any] = {
            "scale": scale,
            "mode": mode,
            "align_corners": align_corners,
            "antialias": antialias,
        }

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return resample.resize(input, size=self._size, **self._rule), (input.shape,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input_shape,) = saved
        return resample.resize_backward(grad_output, input_shape, **self._rule) if input_gradient else None

    def _describe(self) -> str:
        shown = {"size": self._size, **self._rule}
        return ", ".join(f"{name}={value!r}" for name, value in shown.items() if value not in (None, False))


class PixelShuffle(Layer):
    """Spread groups of channels over blocks of pixels: (N, H, W, C * factor**2) becomes (N, H * factor, W * factor, C).

    Parameters
    ----------
    factor : int

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.PixelShuffle(2)(np.ones((1, 3, 4, 12), np.float32)).shape
    (1, 6, 8, 3)
    """

    def __init__(self, factor: int) -> None:
        super().__init__()
        self.factor = factor

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return resample.pixel_shuffle(input, self.factor), ()

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return resample.pixel_unshuffle(grad_output, self.factor) if input_gradient else None

    def _describe(self) -> str:
        return repr(self.factor)


class ZeroPad(Layer):
    """Put zeros around the spatial axes.

    Parameters
    ----------
    padding : int, one int per axis or one (before, after) pair per axis

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.ZeroPad(((1, 0),))(np.ones((1, 2, 1))).ravel()
    array([0., 1., 1.])
    """

    def __init__(self, padding: Border) -> None:
        super().__init__()
        self.padding = padding

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return resample.zero_pad(input, self.padding), ()

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return resample.zero_pad_backward(grad_output, self.padding) if input_gradient else None

    def _describe(self) -> str:
        return repr(self.padding)


class Crop(Layer):
    """Cut the border off the spatial axes.

    Parameters
    ----------
    cropping : int, one int per axis or one (before, after) pair per axis

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Crop(((1, 0),))(np.arange(3.0).reshape(1, 3, 1)).ravel()
    array([1., 2.])
    """

    def __init__(self, cropping: Border) -> None:
        super().__init__()
        self.cropping = cropping

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        return resample.crop(input, self.cropping), ()

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return resample.crop_backward(grad_output, self.cropping) if input_gradient else None

    def _describe(self) -> str:
        return repr(self.cropping)


class Concatenate(Container):
    """Branches that all see the same input, their outputs side by side along the channels.

    Parameters
    ----------
    *layers : Layer
        Branches without a name get their position: their parameters are "0.weight", "0.bias", ...
    **named_layers : Layer
        Branches with a name, after the others.

    Notes
    -----
    A branch that passes the input through is an empty `Sequential`.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> layer = nn.Concatenate(nn.Conv2d(3, 4, 1), nn.Sequential(), pooled=nn.MaxPool2d(3, stride=1, padding=1))
    >>> layer(np.ones((2, 8, 8, 3), np.float32)).shape
    (2, 8, 8, 10)
    """

    def __init__(self, *layers: Layer, **named_layers: Layer) -> None:
        super().__init__(named(layers, named_layers))
        if not self.layers:
            raise ValueError("Concatenate: there are no branches, expected at least one")

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        outputs = [layer(input) for layer in self.layers.values()]
        return resample.concatenate(outputs), tuple(output.shape[-1] for output in outputs)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        parts = resample.concatenate_backward(grad_output, saved)
        total: Array | None = None
        for layer, part in zip(self.layers.values(), parts, strict=True):
            gradient = layer.backward(part, input_gradient=input_gradient)
            if gradient is not None:
                total = gradient if total is None else total + gradient
        return total
