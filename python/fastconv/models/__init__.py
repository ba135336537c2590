"""Well-known networks, by function and by name."""

from __future__ import annotations

from collections.abc import Callable

from numpy.typing import DTypeLike

from fastconv.models.lenet import lenet5
from fastconv.models.simple import simple_cnn
from fastconv.nn import Sequential

MODELS: dict[str, Callable[..., Sequential]] = {"lenet5": lenet5, "simple_cnn": simple_cnn}
"""The models that `create` and the command line know."""


def create(name: str, *, num_classes: int = 10, seed: int | None = 0, dtype: DTypeLike = "float32") -> Sequential:
    """Return a new model by its name.

    Parameters
    ----------
    name : str
        One of `MODELS`.
    num_classes, seed, dtype
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
    """
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}, expected one of: {', '.join(MODELS)}")
    return MODELS[name](num_classes=num_classes, seed=seed, dtype=dtype)


__all__ = ["MODELS", "create", "lenet5", "simple_cnn"]
