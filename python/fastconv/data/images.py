"""Single images: from a file of any common format to what a model for digits, or for pictures, expects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


def read_picture(path: str | Path, *, height: int, width: int, channels: int = 3) -> NDArray[np.uint8]:
    """Read an image file as a picture of a given size.

    The picture is resized until it covers that size, and what then juts out is cut off on both sides. It is turned as
    its EXIF data say; transparent pixels become white.

    Parameters
    ----------
    path : str or Path
        File in a format that Pillow reads: PNG, JPEG, ...
    height, width : int
        Size of the result.
    channels : {1, 3}
        Grey, or red, green and blue.

    Returns
    -------
    ndarray of uint8, (height, width, channels)

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If Pillow can't read it as an image, or ``channels`` is neither 1 nor 3.
    ImportError
        If Pillow isn't installed.
    """
    if channels not in (1, 3):
        raise ValueError(f"read_picture: channels is {channels}, expected 1 or 3")
    pillow, operations = require("PIL.Image"), require("PIL.ImageOps")
    with _opened(Path(path)) as image:
        if image.mode.startswith("I"):
            image = pillow.fromarray(np.rint(_scaled(image, 65535) * 255).astype(np.uint8))
        image = _opaque(operations.exif_transpose(image)).convert("L" if channels == 1 else "RGB")
        fitted = operations.fit(image, (width, height), pillow.Resampling.BILINEAR)
        return np.asarray(fitted, np.uint8).reshape(height, width, channels)


def is_grey(path: str | Path) -> bool:
    """Return whether an image file holds shades of grey only, by the way in which it is stored.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `read_picture`.
    """
    with _opened(Path(path)) as image:
        return image.mode.partition(";")[0] in ("1", "L", "LA", "La", "I", "F")


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


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """Open an image with Pillow; what goes wrong with its content, now or in the ``with`` block, is a ValueError."""
    pillow = require("PIL.Image")
    try:
        with pillow.open(path) as image:
            yield image
    except (FileNotFoundError, IsADirectoryError):
        raise
    except (OSError, SyntaxError, ValueError, pillow.DecompressionBombError) as error:
        raise ValueError(f"{path}: not an image that can be read: {error}") from error


def _read_grey(path: Path) -> NDArray[np.float32]:
    with _opened(path) as image:
        if image.mode.startswith("I"):  # 16 bits a pixel, which Pillow's own conversion would cut off.
            return _scaled(image, 65535)
        return _scaled(_opaque(image).convert("L"), 255)


def _opaque(image: Any) -> Any:
    """Return the image on white paper."""
    paper = require("PIL.Image").new("RGBA", image.size, "white")
    paper.alpha_composite(image.convert("RGBA"))
    return paper


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
