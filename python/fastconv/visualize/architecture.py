"""A picture of a model: its blocks side by side, the extents of their maps to scale.

A model has more layers than a picture has room for. What takes every pixel by itself (normalization, activation,
dropout) belongs to the layer before; a residual block, and a sequence of plain layers inside a model, are one block;
and where there still are too many, neighbours that make the same shape are one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from fastconv import analysis, nn
from fastconv._extras import require
from fastconv.analysis import LayerSummary
from fastconv.visualize.drawing import check_format, file, new_figure


class Block(NamedTuple):
    """What is drawn as one box.

    Attributes
    ----------
    name : str
        The dotted name of its layer, or of the first of several; "input" for the images.
    kind : str
        "input", "convolution", "pooling", "dense", "enlarging", "residual", "concatenation", "layers" of several kinds,
        or "other".
    shape : tuple of int
        What it makes of one image, (*spatial, channels) or (units,).
    times : int
        How many layers or residual blocks it stands for.
    parameters : int
        Numbers to train in all of it.
    sources : tuple of int
        Positions of the blocks that it takes its input from; of the input none.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    times: int
    parameters: int
    sources: tuple[int, ...]


_KINDS: dict[str, tuple[type[nn.Layer], ...]] = {
    "enlarging": (nn.ConvTranspose, nn.Upsample, nn.PixelShuffle, nn.MaxUnpool),
    "convolution": (nn.Conv, nn.SeparableConv),
    "pooling": (
        *(nn.MaxPool, nn.AvgPool, nn.LpPool, nn.AdaptiveAvgPool, nn.AdaptiveMaxPool),
        *(nn.GlobalAvgPool, nn.GlobalMaxPool),
    ),
    "dense": (nn.Linear,),
    "residual": (nn.Residual,),
}
_RESHAPING = (nn.Flatten, nn.Crop, nn.ZeroPad)  # which only lead from one box to the next


def architecture(model: nn.Layer, input_shape: tuple[int, ...] | None = None, *, most: int = 28) -> list[Block]:
    """Return the blocks of a model, as they are drawn.

    Parameters
    ----------
    model : Layer
        Stays as it is, and isn't run.
    input_shape : tuple of int, optional
        Shape of one image, (*spatial, channels); by default the model's ``input_shape``.
    most : int, default 28
        Where there are more blocks, neighbours of the same kind and shape are joined to one.

    Returns
    -------
    list of Block
        In the order of the forward pass, the input first.

    Raises
    ------
    ValueError
        If there is no input shape, or the model doesn't take it.

    Examples
    --------
    >>> from fastconv import models, visualize
    >>> for block in visualize.architecture(models.lenet5())[:3]:
    ...     print(block.name, block.kind, block.shape, block.parameters, block.sources)
    input input (32, 32, 1) 0 ()
    conv1 convolution (28, 28, 6) 156 (0,)
    pool1 pooling (14, 14, 6) 0 (1,)
    """
    rows = analysis.summarize(model, input_shape)
    shape = getattr(model, "input_shape", None) if input_shape is None else input_shape
    assert shape is not None  # or there would be no summary
    walk = _Walk(rows, tuple(shape))
    walk.visit(model, "", 0)
    return _joined(walk.blocks) if len(walk.blocks) > most else walk.blocks


class _Walk:
    """A way through a model that turns its layers into blocks."""

    def __init__(self, rows: list[LayerSummary], shape: tuple[int, ...]) -> None:
        self._rows = rows
        self.blocks = [Block("input", "input", shape, 1, 0, ())]

    def visit(self, layer: nn.Layer, name: str, source: int) -> int:
        """Add the blocks of a layer whose input another block makes; return the position of the last one."""
        rows = [row for row in self._rows if not name or row.name == name or row.name.startswith(f"{name}.")]
        if isinstance(layer, nn.Concatenate):
            ends = [self.visit(inner, _nested(name, key), source) for key, inner in layer.layers.items()]
            return self._add(Block(name, "concatenation", rows[-1].output_shape, 1, 0, tuple(ends)))
        if isinstance(layer, nn.Sequential) and (not name or any(map(_is_made_of_layers, layer.layers.values()))):
            for key, inner in layer.layers.items():
                source = self.visit(inner, _nested(name, key), source)
            return source
        if not rows:
            return source
        inside = list(layer.layers.values()) if isinstance(layer, nn.Sequential) else [layer]
        major = [kind for kind in map(_kind, inside) if kind is not None]
        before, shape = self.blocks[source], rows[-1].output_shape
        parameters = sum(row.parameters for row in rows)
        if not major and (shape == before.shape or all(isinstance(inner, _RESHAPING) for inner in inside)):
            self.blocks[source] = before._replace(parameters=before.parameters + parameters)
            return source
        kind = major[0] if len(set(major)) == 1 else "layers" if major else "other"
        times = 1 if kind == "layers" else max(len(major), 1)
        return self._add(Block(name, kind, shape, times, parameters, (source,)))

    def _add(self, block: Block) -> int:
        self.blocks.append(block)
        return len(self.blocks) - 1


def _kind(layer: nn.Layer) -> str | None:
    return next((kind for kind, types in _KINDS.items() if isinstance(layer, types)), None)


def _is_made_of_layers(layer: nn.Layer) -> bool:
    return isinstance(layer, nn.Sequential | nn.Residual | nn.Concatenate)


def _nested(outer: str, inner: str) -> str:
    return f"{outer}.{inner}" if outer else inner


def _joined(blocks: list[Block]) -> list[Block]:
    """Join neighbours of the same kind and shape, unless another block takes what the first of them makes."""
    elsewhere = {source for position, block in enumerate(blocks) for source in block.sources if source < position - 1}
    joined: list[Block] = []
    positions: list[int] = []
    for position, block in enumerate(blocks):
        before = joined[-1] if joined and position - 1 not in elsewhere else None
        if before is not None and (before.kind, before.shape) == (block.kind, block.shape):
            times, parameters = before.times + block.times, before.parameters + block.parameters
            joined[-1] = before._replace(times=times, parameters=parameters)
        else:
            joined.append(block._replace(sources=tuple(positions[source] for source in block.sources)))
        positions.append(len(joined) - 1)
    return joined


_COLOURS = {
    "input": "#d9d9d9",
    "convolution": "#fdb462",
    "residual": "#80b1d3",
    "layers": "#bebada",
    "pooling": "#fb8072",
    "enlarging": "#b3de69",
    "concatenation": "#ffed6f",
    "dense": "#8dd3c7",
    "other": "#fccde5",
}

# In inches: the largest map, the widest box, the least of a side, of a gap, and of the way from one box to the next.
_HEIGHT, _WIDTH, _SIDE, _GAP, _PITCH = 2.2, 0.9, 0.05, 0.08, 0.21
_SLANT = 0.3  # how far the depth of a box goes to the right and up, for each unit


def draw_architecture(blocks: Sequence[Block], *, format: str = "png") -> bytes:
    """Draw the blocks of a model as boxes, from left to right.

    Parameters
    ----------
    blocks : sequence of Block
        As of `architecture`.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file. A box's height and depth are the extents of the map, on one scale for all; its width goes with the
        square root of the number of channels; the least that is drawn is a twentieth of an inch. A line over the boxes
        leads to where a map comes in that wasn't made just before.

    Raises
    ------
    ValueError
        If ``format`` is unknown, or there are no blocks.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> from fastconv import models, visualize
    >>> visualize.draw_architecture(visualize.architecture(models.lenet5()))[1:4]
    b'PNG'
    """
    check_format("draw_architecture", format)
    if not blocks:
        raise ValueError("draw_architecture: there are no blocks")
    boxes = _boxes(blocks)
    top = max(box.top for box in boxes)
    right = max(box.right for box in boxes)
    figure = new_figure(right + 1.4, top + boxes[0].floor + 2.0)
    axes = figure.subplots()
    axes.set(xlim=(-1.1, right + 0.3), aspect="equal")
    axes.axis("off")
    for block, box in zip(blocks, boxes, strict=True):
        _draw_box(axes, box, _COLOURS[block.kind])
        middle = box.left + box.width / 2
        axes.plot([middle, middle], [-box.height / 2, -box.floor], ":", color="#bbbbbb", linewidth=0.6, zorder=0)
        axes.text(middle, -box.floor - 0.05, _label(block), ha="right", va="top", rotation=50, fontsize=7,
                  rotation_mode="anchor")  # fmt: skip
    for position, block in enumerate(blocks):
        for source in block.sources:
            if source < position - 1:
                top = max(top, _draw_way(axes, boxes[source : position + 1]))
    axes.set_ylim(-boxes[0].floor - 1.2, top + 0.3)
    parameters = sum(block.parameters for block in blocks)
    axes.text(right / 2, top + 0.15, f"{parameters:,} parameters", ha="center", fontsize=9)
    patch = require("matplotlib.patches").Patch
    kinds = [kind for kind in _COLOURS if any(block.kind == kind for block in blocks)]
    handles = [patch(facecolor=_COLOURS[kind], edgecolor="black", linewidth=0.4, label=kind) for kind in kinds]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(kinds), fontsize=7, frameon=False)
    return file(figure, format)


class _Box(NamedTuple):
    """Where a block is drawn: around the line y = 0; ``floor`` lies below all boxes."""

    left: float
    width: float
    height: float
    depth: float
    floor: float

    @property
    def right(self) -> float:
        return self.left + self.width + _SLANT * self.depth

    @property
    def top(self) -> float:
        return self.height / 2 + _SLANT * self.depth


def _boxes(blocks: Sequence[Block]) -> list[_Box]:
    # A line is drawn upright; of a volume, a picture shows the last two axes.
    planes = [(1, 1, *block.shape[:-1])[-2:] if len(block.shape) != 2 else (block.shape[0], 1) for block in blocks]
    scale = _HEIGHT / max(max(plane) for plane in planes)
    unit = _WIDTH / math.sqrt(max(block.shape[-1] for block in blocks) or 1)
    boxes: list[_Box] = []
    left = 0.0
    for block, plane in zip(blocks, planes, strict=True):
        height, depth = (max(extent * scale, _SIDE) for extent in plane)
        width = max(math.sqrt(block.shape[-1]) * unit, _SIDE)
        if boxes:
            before = boxes[-1]
            # A smaller box stands beside the one before, not in front of it.
            left = before.left + before.width + max(_GAP, _SLANT * (before.depth - depth))
            left = max(left, before.left + before.width / 2 + _PITCH - width / 2)
        boxes.append(_Box(left, width, height, depth, _HEIGHT / 2 + 0.1))
    return boxes


def _draw_box(axes: Any, box: _Box, colour: str) -> None:
    polygon, rgb = require("matplotlib.patches").Polygon, require("matplotlib.colors").to_rgb(colour)
    left, right, bottom, top = box.left, box.left + box.width, -box.height / 2, box.height / 2
    back = _SLANT * box.depth
    front = [(left, bottom), (right, bottom), (right, top), (left, top)]
    lid = [(left, top), (right, top), (right + back, top + back), (left + back, top + back)]
    side = [(right, bottom), (right + back, bottom + back), (right + back, top + back), (right, top)]
    for corners, shade in ((side, 0.8), (lid, 1.1), (front, 1.0)):
        face = [min(part * shade, 1.0) for part in rgb]
        axes.add_patch(polygon(corners, facecolor=face, edgecolor="black", linewidth=0.4))


def _draw_way(axes: Any, boxes: Sequence[_Box]) -> float:
    """Draw a line from the first box over those between to the last one; return how high it goes."""
    first, last = boxes[0], boxes[-1]
    height = max(box.top for box in boxes) + 0.1
    start, end = (box.left + box.width / 2 + _SLANT * box.depth / 2 for box in (first, last))
    style = {"color": "#444444", "linewidth": 0.8}
    axes.plot([start, start, end], [first.height / 2 + _SLANT * first.depth / 2, height, height], **style)
    target = (end, last.height / 2 + _SLANT * last.depth / 2)
    axes.annotate("", target, (end, height), arrowprops={"arrowstyle": "->", "shrinkA": 0, "shrinkB": 0} | style)
    return height


def _label(block: Block) -> str:
    parts = block.name.split(".")
    # Deep down, the last part says what it is, unless that is a number.
    name = block.name if len(block.name) <= 12 else ".".join(parts[-2:] if parts[-1].isdigit() else parts[-1:])
    times = f" (×{block.times})" if block.times > 1 else ""
    return f"{name}{times}  {'×'.join(map(str, block.shape))}"
