"""A network layer by layer: shapes, parameters, operations, memory, and what an output sees."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from fastconv import conv, nn, pool, resample
from fastconv._arguments import Array, Padding, Size
from fastconv.analysis.receptive_field import PIXEL, Axis, ReceptiveField, join, longest, steps

_CONV = {1: conv.conv1d, 2: conv.conv2d, 3: conv.conv3d}
_POOL = {1: pool.max_pool1d, 2: pool.max_pool2d, 3: pool.max_pool3d}


@dataclass(frozen=True)
class LayerSummary:
    """What a layer makes of one image.

    Attributes
    ----------
    name, kind : str
        Its name in the model, and its class.
    output_shape : tuple of int
        Without the batch axis.
    parameters : int
        Numbers to train.
    flops : int
        Two for each multiply-add of convolutions and dense layers; what others do isn't counted, as is usual.
    activation_bytes : int
        Memory of the output; none where that is a view of the input.
    receptive_field : ReceptiveField
        What one output depends on.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    flops: int
    activation_bytes: int
    receptive_field: ReceptiveField


def output_size(
    input_size: Size,
    kernel_size: Size,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Size:
    """Return how many positions a window takes: ``floor((input + pads - dilation * (kernel - 1) - 1) / stride) + 1``.

    Parameters
    ----------
    input_size : int or tuple of int
        Spatial extents: one, or one to three of them.
    kernel_size, stride, dilation : int or tuple of int
        As of `fastconv.conv2d`.
    padding : int, tuple or str
        As of `fastconv.conv2d`.
    ceil_mode : bool, default False
        As of `fastconv.max_pool2d`: round up, where that last window begins inside.

    Returns
    -------
    int or tuple of int
        As ``input_size``.

    Raises
    ------
    ValueError, TypeError
        As `fastconv.conv2d`, or `fastconv.max_pool2d` with ``ceil_mode``.

    Examples
    --------
    >>> from fastconv import analysis
    >>> analysis.output_size(224, 7, stride=2, padding=3)
    112
    >>> analysis.output_size((112, 112), 3, stride=2, padding=1)
    (56, 56)
    """
    extents = (input_size,) if isinstance(input_size, int) else tuple(input_size)
    rank = len(extents)
    if rank not in _CONV:
        raise ValueError(f"output_size: input_size is {input_size!r}, expected one to three extents")
    images = np.empty((0, *extents, 1), np.float32)
    if ceil_mode:
        output = _POOL[rank](
            images, kernel_size, stride=stride, padding=padding, dilation=dilation, ceil_mode=ceil_mode
        )
    else:
        kernel = (kernel_size,) * rank if isinstance(kernel_size, int) else kernel_size
        weight = np.empty((*kernel, 1, 1), np.float32)
        output = _CONV[rank](images, weight, stride=stride, padding=padding, dilation=dilation)
    found = tuple(output.shape[1:-1])
    return found[0] if isinstance(input_size, int) else found


def summarize(model: nn.Layer, input_shape: tuple[int, ...] | None = None) -> list[LayerSummary]:
    """Return what each layer of a model does with one image.

    Parameters
    ----------
    model : Layer
        Stays as it is, and isn't run.
    input_shape : tuple of int, optional
        Shape of one image, (*spatial, channels); by default the model's ``input_shape``.

    Returns
    -------
    list of LayerSummary
        In the order of the forward pass: every layer that isn't a `Sequential`; a `Residual` or `Concatenate`, which
        joins its branches, after what they consist of.

    Raises
    ------
    ValueError
        If there is no input shape, or the model doesn't take it.

    Notes
    -----
    Where branches meet, the longest path counts for the receptive field. What lies beside that path in a
    `SqueezeExcitation`, a mean over the whole image, isn't counted. A kind of layer that isn't known here is taken to
    see every pixel by itself.

    Examples
    --------
    >>> from fastconv import analysis, models
    >>> for row in analysis.summarize(models.lenet5())[:3]:
    ...     print(row.name, row.kind, row.output_shape, row.parameters, row.flops, row.receptive_field.size)
    conv1 Conv2d (28, 28, 6) 156 235200 (5, 5)
    pool1 MaxPool2d (14, 14, 6) 0 0 (6, 6)
    conv2 Conv2d (10, 10, 16) 2416 480000 (14, 14)
    """
    shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    if shape is None:
        raise ValueError("summarize: input_shape is None, and the model has none; expected (*spatial, channels)")
    dtype = next((value.dtype for value in model.parameters.values()), np.dtype(np.float32))
    images = np.empty((0, *shape), dtype)
    walk = _Walk()
    walk.visit(model.twin().eval(), "", images, (PIXEL,) * (len(shape) - 1))
    return walk.rows


def receptive_field(model: nn.Layer, input_shape: tuple[int, ...] | None = None) -> dict[str, ReceptiveField]:
    """Return what an output of each layer depends on, by the layer's name; the last one is the model's.

    Parameters and errors are those of `summarize`.

    Examples
    --------
    >>> from fastconv import analysis, nn
    >>> model = nn.Sequential(one=nn.Conv2d(1, 1, 3, stride=2, padding=1), two=nn.Conv2d(1, 1, 3, dilation=2))
    >>> analysis.receptive_field(model, (32, 32, 1))["two"]
    ReceptiveField(size=(11, 11), stride=(2, 2), centre=(4, 4))
    """
    return {row.name: row.receptive_field for row in summarize(model, input_shape)}


class _Walk:
    """A way through a model with a batch of no images, which has shapes, and costs nothing."""

    def __init__(self) -> None:
        self.rows: list[LayerSummary] = []

    def visit(
        self, layer: nn.Layer, name: str, input: Array, field: tuple[Axis, ...]
    ) -> tuple[Array, tuple[Axis, ...]]:
        """Go through a layer; return its output and the field of that."""
        if isinstance(layer, nn.Sequential):
            for inner_name, inner in layer.layers.items():
                input, field = self.visit(inner, _nested(name, inner_name), input, field)
            return input, field
        if isinstance(layer, nn.Residual | nn.Concatenate):
            output, field = self._branches(layer, name, input, field)
            own = 0
        else:
            output = layer(input)
            inner_steps = steps(layer, input.shape[1:-1], output.shape[1:-1])
            if inner_steps is not None:
                field = tuple(step.after(axis) for step, axis in zip(inner_steps, field, strict=True))
            own = sum(value.size for value in layer.parameters.values())
        shape = tuple(output.shape[1:])
        memory = 0 if isinstance(layer, nn.Flatten) else math.prod(shape) * output.itemsize
        flops = 2 * multiply_adds(layer, tuple(input.shape[1:]), shape)
        self.rows.append(LayerSummary(name, type(layer).__name__, shape, own, flops, memory, join(field)))
        return output, field

    def _branches(
        self, layer: nn.Residual | nn.Concatenate, name: str, input: Array, field: tuple[Axis, ...]
    ) -> tuple[Array, tuple[Axis, ...]]:
        ends = [self.visit(branch, _nested(name, key), input, field) for key, branch in layer.layers.items()]
        if isinstance(layer, nn.Residual) and "shortcut" not in layer.layers:
            ends.append((input, field))
        outputs, fields = [output for output, _ in ends], [reached for _, reached in ends]
        for other in fields[1:]:
            fields[0] = longest(fields[0], other)
        return resample.concatenate(outputs) if isinstance(layer, nn.Concatenate) else outputs[0], fields[0]


def multiply_adds(layer: nn.Layer, input_shape: tuple[int, ...], output_shape: tuple[int, ...]) -> int:
    """Return the multiply-adds of a layer for one image: each weight of a convolution takes part once a position."""
    size = sum(value.size for name, value in layer.parameters.items() if name.endswith("weight"))
    if isinstance(layer, nn.ConvTranspose):
        return size * math.prod(input_shape[:-1])
    if isinstance(layer, nn.Conv | nn.SeparableConv | nn.Linear):
        return size * math.prod(output_shape[:-1])
    return size if isinstance(layer, nn.SqueezeExcitation) else 0


def _nested(outer: str, inner: str) -> str:
    return f"{outer}.{inner}" if outer else inner
