"""Weights from PyTorch: the same networks under torchvision's names, in PyTorch's layouts.

PyTorch puts channels first: (out, in, height, width) for convolutions, (out, in) for dense layers, and what a dense
layer sees of an image lies channel by channel. Here channels are last everywhere. torch itself isn't needed.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fastconv import nn
from fastconv._arguments import Array
from fastconv._extras import require

_SHOWN_FAULTS = 5

# Positions in the blocks of MobileNet v2; the first doesn't widen.
_INVERTED = {"expand": "0.0", "bn1": "0.1", "depthwise": "1.0", "bn2": "1.1", "project": "2", "bn3": "3"}
_FIRST_INVERTED = {"depthwise": "0.0", "bn2": "0.1", "project": "1", "bn3": "2"}


def load_torch_state_dict(model: nn.Sequential, state: Mapping[str, Any] | str | Path) -> None:
    """Overwrite parameters and buffers of a model with weights as PyTorch and torchvision name and lay them out.

    Parameters
    ----------
    model : Sequential
        An AlexNet (`alexnet`), VGG, ResNet or MobileNet v2 of this package. Where the number of classes differs from
        that of the weights, load them into a model of theirs and replace its head.
    state : mapping of str to array, or path
        What ``module.state_dict()`` returns, with tensors on the CPU or arrays; or a safetensors file of it. Dtypes
        become the model's.

    Raises
    ------
    ValueError
        If the model is of no family that is known here; a name is missing or unexpected, or a shape differs: nothing
        is written then; or the file is damaged.
    FileNotFoundError
        If there is no such file.
    ImportError
        If a path is given and safetensors isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> model = models.resnet18(num_classes=5)
    >>> models.load_torch_state_dict(model, {"fc.weight": np.zeros((5, 512))})
    Traceback (most recent call last):
    ...
    ValueError: load_torch_state_dict: missing conv1.weight; missing bn1.weight; ...; and 96 faults more
    """
    given = _read(state) if isinstance(state, (str, Path)) else dict(state)
    given = {name: np.asarray(value) for name, value in given.items() if not name.endswith("num_batches_tracked")}
    entries = {entry.theirs: entry for entry in _entries(model)}
    faults = [f"missing {name}" for name in entries if name not in given]
    faults += [f"unexpected {name}" for name in given if name not in entries]
    faults += [
        f"{name} has shape {given[name].shape}, expected {entry.shape}"
        for name, entry in entries.items()
        if name in given and given[name].shape != entry.shape
    ]
    if faults:
        more = f"; and {len(faults) - _SHOWN_FAULTS} faults more" if len(faults) > _SHOWN_FAULTS else ""
        raise ValueError(f"load_torch_state_dict: {'; '.join(faults[:_SHOWN_FAULTS])}{more}")
    dtype = next(iter(model.parameters.values())).dtype
    model.load_state_dict({entry.ours: entry.convert(given[name]).astype(dtype) for name, entry in entries.items()})


def _read(path: str | Path) -> dict[str, Array]:
    safetensors = require("safetensors", "safetensors.numpy")
    with open(path, "rb"):  # What is missing, a folder or unreadable gets the system's own words.
        pass
    try:
        tensors: dict[str, Array] = safetensors.load_file(path)
    except require("safetensors").SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file: {error}") from error
    return tensors


class _Entry(NamedTuple):
    """An array: its name here and there, its shape there, and how its layout is changed."""

    ours: str
    theirs: str
    shape: tuple[int, ...]
    convert: Callable[[Array], Array]


def _entries(model: nn.Sequential) -> Iterator[_Entry]:
    rename = _renaming(model)
    channels, flattened = 0, False
    for name, layer in _leaves(model):
        for parameter, value in (*layer.parameters.items(), *layer.buffers.items()):
            theirs = f"{rename(name)}.{'weight' if parameter == 'scale' else parameter}"
            shape: tuple[int, ...] = value.shape
            convert: Callable[[Array], Array] = np.asarray
            if parameter == "weight" and isinstance(layer, nn.Conv2d):
                height, width, inner, outer = value.shape
                shape, convert = (outer, inner, height, width), _from_oihw
            elif parameter == "weight":
                shape, convert = value.shape[::-1], _from_flattened(channels) if flattened else np.transpose
            yield _Entry(f"{name}.{parameter}", theirs, shape, convert)
        if isinstance(layer, nn.Conv2d):
            channels = layer.out_channels
        flattened = isinstance(layer, nn.Flatten) or (flattened and isinstance(layer, nn.Dropout))


def _from_oihw(weight: Array) -> Array:
    moved: Array = weight.transpose(2, 3, 1, 0)
    return moved


def _from_flattened(channels: int) -> Callable[[Array], Array]:
    """Return the conversion of a dense weight whose inputs are a square image, flattened channel by channel."""

    def convert(weight: Array) -> Array:
        side = math.isqrt(weight.shape[1] // channels)
        image = weight.reshape(-1, channels, side, side)
        return _from_oihw(image).reshape(weight.shape[::-1])

    return convert


def _leaves(layer: nn.Layer, name: str = "") -> Iterator[tuple[str, nn.Layer]]:
    """Walk through all layers that aren't made of layers, in order, with their names."""
    if isinstance(layer, nn.Container):
        for inner_name, inner in layer.layers.items():
            yield from _leaves(inner, f"{name}.{inner_name}" if name else inner_name)
    else:
        yield name, layer


def _renaming(model: nn.Sequential) -> Callable[[str], str]:
    """Return the function from names of layers here to torchvision's."""
    if "layer1" in model.layers:
        return _resnet_name
    if {"block17", "conv2"} <= set(model.layers):
        return _mobilenet_v2_name
    if {"average", "flatten"} <= set(model.layers):
        return _numbered(model).__getitem__
    raise ValueError("load_torch_state_dict: the model is neither an AlexNet, VGG, ResNet nor MobileNet v2")


def _resnet_name(name: str) -> str:
    return name.replace("body.", "").replace("shortcut.conv", "downsample.0").replace("shortcut.bn", "downsample.1")


def _mobilenet_v2_name(name: str) -> str:
    outside = {"conv1": "0.0", "bn1": "0.1", "conv2": "18.0", "bn2": "18.1"}
    if name in outside:
        return f"features.{outside[name]}"
    if name == "fc":
        return "classifier.1"
    if found := re.fullmatch(r"block(\d+)\.(?:body\.)?(\w+)", name):
        block, layer = found.groups()
        return f"features.{block}.conv.{(_INVERTED if block != '1' else _FIRST_INVERTED)[layer]}"
    return name  # of a layer without parameters


def _numbered(model: nn.Sequential) -> dict[str, str]:
    """Return names that count positions: torchvision's AlexNet and VGG, where an activation is a layer of its own."""
    names, part, position = {}, "features", 0
    for name, layer in model.layers.items():
        names[name] = f"{part}.{position}"
        position += 2 if getattr(layer, "activation", None) else 1
        if isinstance(layer, nn.Flatten):
            part, position = "classifier", 0
    return names
