"""Receptive fields: which pixels of the image an output depends on.

Along an axis, the field of output i is ``size`` pixels wide and centred at ``centre + i * stride``, in pixels of the
image, whose first is 0. A window of k taps adds ``(k - 1) * dilation`` steps of what it slides over, and its own stride
multiplies theirs.

A. Araujo, W. Norris, J. Sim: Computing receptive fields of convolutional neural networks. Distill, 2019, section
"Computing the receptive field".
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import NamedTuple

from fastconv import nn
from fastconv._arguments import border, per_axis

Shape = tuple[int, ...]


class ReceptiveField(NamedTuple):
    """What one output depends on, for every spatial axis of the image.

    Attributes
    ----------
    size : tuple of float
        Number of pixels, those beyond the edges included.
    stride : tuple of float
        Pixels from one output's field to the next one's; below 1 where a layer enlarges.
    centre : tuple of float
        Middle of the first output's field; negative where it reaches far beyond the edge.
    """

    size: tuple[float, ...]
    stride: tuple[float, ...]
    centre: tuple[float, ...]


class Axis(NamedTuple):
    """A receptive field along one axis."""

    size: float
    stride: float
    centre: float


class Step(NamedTuple):
    """What a layer does along one axis, in steps of its input.

    ``seen`` inputs belong to an output; ``step`` inputs lie between neighbouring outputs; the first output's are
    centred ``offset`` inputs after the first.
    """

    seen: float
    step: float
    offset: float

    def after(self, axis: Axis) -> Axis:
        """Return the field of an output, given that of an input."""
        return Axis(
            axis.size + (self.seen - 1) * axis.stride, axis.stride * self.step, axis.centre + self.offset * axis.stride
        )


PIXEL = Axis(1, 1, 0)


def join(axes: Iterable[Axis]) -> ReceptiveField:
    """Put the axes together."""
    columns = list(axes)
    return ReceptiveField(*(tuple(map(_tidy, (axis[part] for axis in columns))) for part in range(3)))


def _tidy(number: float) -> float:
    """Return a whole number as an int."""
    return int(number) if number == int(number) else number


def longest(first: tuple[Axis, ...], second: tuple[Axis, ...]) -> tuple[Axis, ...]:
    """Return the larger field of two ways to the same output, axis by axis."""
    return tuple(max(one, other, key=lambda axis: axis.size) for one, other in zip(first, second, strict=True))


def steps(layer: nn.Layer, input: Shape, output: Shape) -> list[Step] | None:
    """Return what a layer does along each axis, or None if it takes every pixel by itself, or there are none left.

    Parameters
    ----------
    layer : Layer
        One that isn't made of layers.
    input, output : tuple of int
        Spatial extents; the output may have none.
    """
    if not input:
        return None
    if isinstance(layer, nn.ConvTranspose):
        return _enlarging(layer, input, output)
    if isinstance(layer, nn.Conv | nn.SeparableConv | nn.MaxPool | nn.AvgPool | nn.LpPool):
        return _sliding(layer.window, input, output)
    if isinstance(layer, nn.AdaptiveAvgPool | nn.AdaptiveMaxPool):
        return [_adaptive(before, after) for before, after in zip(input, output, strict=True)]
    if isinstance(layer, nn.GlobalAvgPool | nn.GlobalMaxPool | nn.Flatten):
        return [Step(extent, extent, (extent - 1) / 2) for extent in input]
    if isinstance(layer, nn.Upsample):
        return [_resized(layer, before, after) for before, after in zip(input, output, strict=True)]
    if isinstance(layer, nn.PixelShuffle):
        return [Step(1, 1 / layer.factor, 0.5 / layer.factor - 0.5) for _ in input]
    if isinstance(layer, nn.ZeroPad | nn.Crop):
        edges = layer.padding if isinstance(layer, nn.ZeroPad) else layer.cropping
        sign = -1 if isinstance(layer, nn.ZeroPad) else 1
        return [Step(1, 1, sign * before) for before, _ in border("receptive_field", "border", edges, len(input))]
    return None


def _sliding(window: dict[str, object], input: Shape, output: Shape) -> list[Step]:
    kernels, strides, dilations, befores = _per_axis(window, input, output)
    return [
        Step((kernel - 1) * dilation + 1, stride, (kernel - 1) * dilation / 2 - before)
        for kernel, stride, dilation, before in zip(kernels, strides, dilations, befores, strict=True)
    ]


def _enlarging(layer: nn.ConvTranspose, input: Shape, output: Shape) -> list[Step]:
    # It is the gradient of a convolution from output to input: tap t of input i falls on i * stride + t - before.
    kernels, strides, dilations, befores = _per_axis(layer.window, output, input)
    return [
        Step(-(-((kernel - 1) * dilation + 1) // stride), 1 / stride, (before - (kernel - 1) * dilation / 2) / stride)
        for kernel, stride, dilation, before in zip(kernels, strides, dilations, befores, strict=True)
    ]


def _per_axis(window: dict[str, object], input: Shape, output: Shape) -> tuple[Shape, Shape, Shape, list[int]]:
    """Return kernel sizes, strides, dilations and paddings at the beginning."""
    rank = len(input)
    kernels = per_axis("receptive_field", "kernel_size", window["kernel_size"], rank)
    given = window["stride"]
    strides = kernels if given is None else per_axis("receptive_field", "stride", given, rank)
    dilations = per_axis("receptive_field", "dilation", window.get("dilation", 1), rank)
    padding = window["padding"]
    if not isinstance(padding, str):
        return (
            kernels,
            strides,
            dilations,
            [before for before, _ in border("receptive_field", "padding", padding, rank)],
        )
    befores = []
    for kernel, stride, dilation, entering, leaving in zip(kernels, strides, dilations, input, output, strict=True):
        reach = (kernel - 1) * dilation
        missing = max((leaving - 1) * stride + reach + 1 - entering, 0)
        named = {"valid": 0, "same": missing // 2, "same_lower": missing - missing // 2, "full": reach, "causal": reach}
        befores.append(named[padding])
    return kernels, strides, dilations, befores


def _adaptive(entering: int, leaving: int) -> Step:
    ends = [(i * entering // leaving, -(-(i + 1) * entering // leaving)) for i in range(leaving)]
    return Step(max((end - start for start, end in ends), default=0), entering / leaving, (ends[0][1] - 1) / 2)


def _resized(layer: nn.Upsample, entering: int, leaving: int) -> Step:
    if layer.align_corners and leaving > 1:
        return Step(2, (entering - 1) / (leaving - 1), 0)
    step = Fraction(entering, leaving)
    if layer.mode == "nearest":  # floor(i * step), whose mean over i lies this far below i * step
        return Step(1, float(step), -(step.denominator - 1) / (2 * step.denominator))
    seen = 2 * max(step, Fraction(1)) if layer.antialias else Fraction(2)
    return Step(float(seen), float(step), float(step / 2) - 0.5)
