"""Single images: from a file of any common format to what a model for MNIST digits expects."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._extras import require


def read_image(path: str | Path, *, height: int = 28, width: int = 28) -> tuple[NDArray[np.float32], bool]:
    """Read an image file as a grey image, white on black as in MNIST.

    Colours become grey and transparent pixels white; an image whose border is bright is inverted; one that isn't of
    the wanted size is padded to its proportions and resized.

    Parameters
    ----------
    path : str or Path
        File in a format that Pillow reads: PNG, JPEG, ...
    height, width : int, default 28
        Size of the result.

    Returns
    -------
    image : ndarray of float32, (height, width, 1)
        Values in [0, 1].
    inverted : bool
        Whether the image was dark on bright.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If Pillow can't read it as an image.
    ImportError
        If Pillow isn't installed.
    """
    grey = _read_grey(Path(path))
    border = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    inverted = bool(border.mean() > 0.5)
    if inverted:
        grey = 1 - grey
    return _resize(grey, height, width)[..., np.newaxis], inverted


def pad_images(images: NDArray[Any], height: int, width: int) -> NDArray[Any]:
    """Return images (N, H, W, C) with zeros around them, as (N, height, width, C).

    Raises
    ------
    ValueError
        If the images are larger than that.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> data.pad_images(np.ones((5, 28, 28, 1)), 32, 32).shape
    (5, 32, 32, 1)
    """
    n, old_height, old_width, channels = images.shape
    if (old_height, old_width) == (height, width):
        return images
    if old_height > height or old_width > width:
        raise ValueError(f"images are {old_height}×{old_width}, expected {height}×{width} at most")
    top, left = (height - old_height) // 2, (width - old_width) // 2
    padded = np.zeros((n, height, width, channels), images.dtype)
    padded[:, top : top + old_height, left : left + old_width] = images
    return padded


def _read_grey(path: Path) -> NDArray[np.float32]:
    pillow = require("PIL.Image")
    try:
        with pillow.open(path) as image:
            if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would cut off.
                return _scaled(image, 65535)
            opaque = pillow.new("RGBA", image.size, "white")
            opaque.alpha_composite(image.convert("RGBA"))
            return _scaled(opaque.convert("L"), 255)
    except (FileNotFoundError, IsADirectoryError):
        raise
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ValueError(f"{path}: not an image that can be read: {error}") from error


def _scaled(image: Any, white: int) -> NDArray[np.float32]:
    scaled: NDArray[np.float32] = np.asarray(image, np.float32) / np.float32(white)
    return scaled


def _resize(grey: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    if grey.shape == (height, width):
        return grey
    scale = max(grey.shape[0] / height, grey.shape[1] / width)
    frame = max(round(height * scale), grey.shape[0]), max(round(width * scale), grey.shape[1])
    framed = pad_images(grey[np.newaxis, ..., np.newaxis], *frame)[0, ..., 0]
    pillow = require("PIL.Image")
    resized = pillow.fromarray(framed).resize((width, height), pillow.Resampling.BILINEAR)
    return np.clip(np.asarray(resized, np.float32), 0, 1)
