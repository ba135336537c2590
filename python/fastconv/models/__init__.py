"""Well-known networks, by function and by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from numpy.typing import DTypeLike

from fastconv.models.alexnet import alexnet, alexnet_2012
from fastconv.models.efficientnet import (
    efficientnet,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
)
from fastconv.models.lenet import lenet5
from fastconv.models.mobilenet import mobilenet_v1, mobilenet_v2
from fastconv.models.resnet import resnet, resnet18, resnet34, resnet50, resnet101, resnet152, small_resnet
from fastconv.models.simple import simple_cnn
from fastconv.models.torch_weights import load_torch_state_dict
from fastconv.models.unet import unet
from fastconv.models.vgg import vgg, vgg11, vgg13, vgg16, vgg19
from fastconv.nn import Sequential

_FUNCTIONS: tuple[Callable[..., Sequential], ...] = (
    lenet5,
    simple_cnn,
    small_resnet,
    alexnet,
    alexnet_2012,
    vgg11,
    vgg13,
    vgg16,
    vgg19,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    mobilenet_v1,
    mobilenet_v2,
    efficientnet_b0,
    efficientnet_b1,
    efficientnet_b2,
    efficientnet_b3,
    efficientnet_b4,
    efficientnet_b5,
    efficientnet_b6,
    efficientnet_b7,
    unet,
)

MODELS: dict[str, Callable[..., Sequential]] = {function.__name__: function for function in _FUNCTIONS}
"""The models that `create` and the command line know."""


def create(
    name: str,
    *,
    num_classes: int | None = None,
    seed: int | None = 0,
    dtype: DTypeLike = "float32",
    **options: Any,
) -> Sequential:
    """Return a new model by its name.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    num_classes : int, optional
        Number of outputs; by default what the model was published with.
    seed, dtype, **options
        As of the model's function, `lenet5` for example.

    Raises
    ------
    ValueError
        If there is no model of this name.

    Examples
    --------
    >>> from fastconv import models
    >>> models.create("lenet5").input_shape
    (32, 32, 1)
    >>> models.create("small_resnet", in_channels=3, depth=14).input_shape
    (32, 32, 3)
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}, expected one of: {', '.join(MODELS)}")
    if num_classes is not None:
        options["num_classes"] = num_classes
    return MODELS[name](seed=seed, dtype=dtype, **options)


__all__ = [
    "MODELS",
    "create",
    *MODELS,
    "efficientnet",
    "load_torch_state_dict",
    "resnet",
    "vgg",
]
