"""The way back from a maximum pooling: values where the maxima were, zeros elsewhere."""

from __future__ import annotations

from typing import Any

from fastconv import pool
from fastconv._arguments import Array
from fastconv.nn.layer import Layer
from fastconv.nn.pool import MaxPool

_FORWARD = {1: pool.max_unpool1d, 2: pool.max_unpool2d, 3: pool.max_unpool3d}
_BACKWARD = {1: pool.max_unpool1d_backward, 2: pool.max_unpool2d_backward, 3: pool.max_unpool3d_backward}


class MaxUnpool(Layer):
    """Puts values where a `MaxPool` layer of the same network found its maxima.

    Parameters
    ----------
    pool : MaxPool
        A layer that runs before this one, on the same batch. From now on it keeps the places of its last maxima, in
        evaluation mode too; a network that has an unpooling is therefore not for several threads at once.

    Raises
    ------
    RuntimeError
        If the pooling hasn't run yet.

    References
    ----------
    V. Badrinarayanan, A. Kendall, R. Cipolla, "SegNet", IEEE TPAMI 39, 2017, section 3.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> down = nn.MaxPool2d(2)
    >>> model = nn.Sequential(down, nn.MaxUnpool(down))
    >>> model(np.array([[1.0, 2], [4, 3]]).reshape(1, 2, 2, 1))[0, :, :, 0]
    array([[0., 0.],
           [4., 0.]])
    """

    def __init__(self, pool: MaxPool) -> None:
        super().__init__()
        self._pool = pool
        pool.remembers = True

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        if self._pool.maxima is None:
            raise RuntimeError("MaxUnpool: its pooling has no maxima yet; it has to run before, on the same batch")
        indices, input_shape = self._pool.maxima
        window, rank = self._pool.window, self._pool.rank
        spatial = input_shape[len(input_shape) - 1 - rank : -1]
        return _FORWARD[rank](input, indices, window["kernel_size"], output_size=spatial), (indices,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> Array | None:
        return _BACKWARD[self._pool.rank](grad_output, *saved) if input_gradient else None

    def _describe(self) -> str:
        return repr(self._pool)
