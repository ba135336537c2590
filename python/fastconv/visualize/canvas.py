"""Images as what is learned: a layer whose parameters are pixels, with what is known of images as a pull on them.

Gradient descent on the pixels alone ends in noise that a network takes for anything. A total variation keeps neighbours
alike, a norm keeps values in the range of images, and jitter keeps the result from hanging on the exact position.

A. Mahendran, A. Vedaldi: Understanding deep image representations by inverting them. CVPR 2015, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv import nn, optim
from fastconv._arguments import Array, integer

_POWER = 6  # of the norm: nearly nothing inside the range, and steep outside


class Canvas(nn.Layer):
    """A layer that makes images of its parameters; called with how far to move them, in pixels along each axis.

    Parameters
    ----------
    like : ndarray, (N, *spatial, C)
        Images of the shape and the data type that are wanted.
    bounds : pair of float
        The range of their values, within which pixels count from -1 to 1.
    total_variation, norm : float
        Weights of the two penalties, which are means over an image: the squares of the differences of neighbours,
        summed over the axes, and the sixth powers of pixels.
    clipped : bool
        Whether pixels stay in that range.
    rng : numpy.random.Generator
        Where the first pixels come from: noise of a small part of the range, around its middle.
    start : ndarray, optional
        Other images to begin with.
    """

    def __init__(
        self,
        like: Array,
        bounds: tuple[float, float],
        total_variation: float,
        norm: float,
        clipped: bool,
        rng: np.random.Generator,
        start: Array | None = None,
    ) -> None:
        self._middle, self._half = (bounds[0] + bounds[1]) / 2, (bounds[1] - bounds[0]) / 2 or 1.0
        pixels = 0.1 * rng.standard_normal(like.shape) if start is None else (start - self._middle) / self._half
        self._pixels = pixels.astype(like.dtype)
        super().__init__({"pixels": self._pixels})
        self._weights = total_variation, norm
        self._smoothing = 1.0
        self._clipped = clipped
        self._spatial = tuple(range(1, like.ndim - 1))

    def _forward(self, input: Array) -> tuple[Array, tuple[Any, ...]]:
        shift = tuple(int(step) for step in input)
        return np.roll(self._pixels * self._half + self._middle, shift, self._spatial), (shift,)

    def _backward(self, grad_output: Array, saved: tuple[Any, ...], input_gradient: bool) -> None:
        (shift,) = saved
        gradient = np.roll(grad_output, tuple(-step for step in shift), self._spatial) * self._half
        variation, norm = self._weights
        pixels = self._pixels
        scale = len(pixels) / pixels.size  # penalties are means over an image
        gradient += (norm * scale * _POWER) * pixels ** (_POWER - 1)
        for axis in self._spatial:
            step = (2 * variation * self._smoothing * scale) * np.diff(pixels, axis=axis)
            gradient[_but(0, axis)] += step
            gradient[_but(-1, axis)] -= step
        self._accumulate(pixels=gradient)

    def images(self) -> Array:
        """Return the images where they are."""
        return self._forward(np.zeros(len(self._spatial), int))[0]

    def penalties(self) -> Array:
        """Return the weighted penalties of each image, (N,)."""
        variation, norm = self._weights
        axes = tuple(range(1, self._pixels.ndim))
        total = norm * (self._pixels**_POWER).mean(axis=axes)
        for axis in self._spatial:
            steps = np.diff(self._pixels, axis=axis) ** 2
            total += variation * steps.sum(axis=axes) * (len(self._pixels) / self._pixels.size)
        return np.asarray(total)

    def paint(
        self,
        look: Callable[[Array], tuple[Array, Array]],
        *,
        steps: int,
        learning_rate: float,
        jitter: int,
        smoothing: float,
        rng: np.random.Generator,
        on_step: Callable[[], object],
    ) -> Array:
        """Move the pixels along a gradient, with steps of Adam that become smaller and smaller.

        ``look`` takes images, moved by up to ``jitter`` pixels, and returns a number for each of them to be kept and
        the gradient to descend. Return these numbers, (steps + 1, N); the last ones are those of the result, not moved.
        The total variation weighs ``smoothing`` times as much at the beginning: large shapes come first, and the
        descent isn't caught by small ones.
        """
        # Short averages, for what a ReLU or a maximum lets through changes all the time.
        optimizer = optim.Adam(self, learning_rate, betas=(0.5, 0.9))
        history = []
        for step in range(steps + 1):
            left = (1 + math.cos(math.pi * step / steps)) / 2
            optimizer.learning_rate = learning_rate * left
            self._smoothing = 1 + (smoothing - 1) * left
            shift = rng.integers(-jitter, jitter + 1, len(self._spatial)) * (step < steps)
            values, gradient = look(self(shift))
            history.append(values)
            if step < steps:
                self.backward(gradient)
                optimizer.step()
                if self._clipped:
                    np.clip(self._pixels, -1, 1, out=self._pixels)
                on_step()
        return np.array(history)


def check_painting(operation: str, steps: int, jitter: int, **positive: float) -> None:
    """Raise ValueError where what the two ways of painting have in common is out of range."""
    if integer(operation, "steps", steps) < 1 or integer(operation, "jitter", jitter) < 0:
        raise ValueError(f"{operation}: steps={steps}, jitter={jitter}, expected at least 1 and at least 0")
    for name, value in positive.items():
        if not 0 <= value < math.inf:
            raise ValueError(f"{operation}: {name} is {value}, expected 0 or more")


def _but(end: int, axis: int) -> tuple[slice, ...]:
    """Return an index of all but the first or the last along an axis."""
    return (*(slice(None),) * axis, slice(1, None) if end == 0 else slice(None, -1))
