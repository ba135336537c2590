"""Flatten: from feature maps to vectors."""

from __future__ import annotations

import math
from typing import Any

from fastconv._arguments import Array
from fastconv.nn.layer import Layer


class Flatten(Layer):
    """All axes but the first become one: (N, *shape) becomes (N, product of shape).

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> nn.Flatten()(np.zeros((2, 5, 5, 16))).shape
    (2, 400)
    """

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        batch, *shape = input.shape
        return input.reshape(batch, math.prod(shape)), (input.shape,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        (input_shape,) = saved
        return grad_output.reshape(input_shape) if input_gradient else None
