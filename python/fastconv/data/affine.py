"""Shifts and turns: digits that a little of both has made new."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class RandomAffine:
    """Shift and turn each image by a random amount, with bilinear interpolation and zeros around.

    Every pixel (y, x) of the output takes the value that the input has at R (y, x) + t, where R turns around the
    centre and t shifts. Both come from a uniform distribution, for each image anew.

    Parameters
    ----------
    shift : float, default 2
        Largest shift in pixels along each axis.
    rotation : float, default 10
        Largest angle in degrees.

    Raises
    ------
    ValueError
        If one of them is negative or not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> augment = data.RandomAffine(shift=2, rotation=10)
    >>> augment(np.ones((5, 28, 28, 1), np.float32), np.random.default_rng(0)).shape
    (5, 28, 28, 1)
    """

    shift: float = 2.0
    rotation: float = 10.0

    def __post_init__(self) -> None:
        if not (0 <= self.shift < math.inf and 0 <= self.rotation < math.inf):
            raise ValueError(
                f"RandomAffine: shift is {self.shift} and rotation {self.rotation}, expected finite numbers from 0"
            )

    def __call__(self, images: NDArray[np.float32], generator: np.random.Generator) -> NDArray[np.float32]:
        """Return changed copies of ``images``, (N, H, W, C)."""
        n = len(images)
        shifts = generator.uniform(-self.shift, self.shift, (2, n)).astype(np.float32)
        angles = np.radians(generator.uniform(-self.rotation, self.rotation, n)).astype(np.float32)
        return self._warp(images, shifts, np.cos(angles), np.sin(angles))

    def _warp(
        self,
        images: NDArray[np.float32],
        shifts: NDArray[np.float32],
        cos: NDArray[np.float32],
        sin: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        n, height, width, channels = images.shape
        margin = self._reach(height, width)
        # With a margin that no coordinate leaves, there are no borders to look after, and no negative indices.
        padded = np.pad(images, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
        row = width + 2 * margin
        plane = row * (height + 2 * margin)

        y = np.arange(height, dtype=np.float32)[:, np.newaxis] - (height - 1) / 2
        x = np.arange(width, dtype=np.float32) - (width - 1) / 2
        cos, sin, (shift_y, shift_x) = cos[:, None, None], sin[:, None, None], shifts[:, :, None, None]
        source_y = (cos * y + (shift_y + (height - 1) / 2 + margin)) - sin * x
        source_x = (sin * y + (shift_x + (width - 1) / 2 + margin)) + cos * x

        top, left = np.floor(source_y), np.floor(source_x)
        weight_y, weight_x = (source_y - top)[..., np.newaxis], (source_x - left)[..., np.newaxis]
        corner = top.astype(np.intp) * row + left.astype(np.intp) + np.arange(n)[:, None, None] * plane
        # The four neighbours lie at constant distances, so one index array serves four views.
        pixels = padded.reshape(n * plane, channels)
        upper = _mix(pixels[corner], pixels[1:][corner], weight_x)
        lower = _mix(pixels[row:][corner], pixels[row + 1 :][corner], weight_x)
        return _mix(upper, lower, weight_y)

    def _reach(self, height: int, width: int) -> int:
        """Return how far outside of the image a coordinate can lie, at most, with one more for interpolation."""
        radius = math.hypot(height - 1, width - 1) / 2
        chord = 2 * radius * math.sin(math.radians(min(self.rotation, 180)) / 2)
        return math.ceil(self.shift + chord) + 2


def _mix(first: NDArray[np.float32], second: NDArray[np.float32], weight: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return ``first + weight * (second - first)``, in the memory of ``second``."""
    second -= first
    second *= weight
    second += first
    return second
