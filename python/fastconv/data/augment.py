"""Augmentation: images that are new to a network, and still what their labels say.

Each works on whole batches in NumPy, with a random amount for every image, and draws from the generator that it is
given; `fastconv.data.batches` makes one for each batch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv.data.affine import RandomAffine

Images: TypeAlias = NDArray[np.float32]
Augmentation: TypeAlias = Callable[[Images, np.random.Generator], Images]

_LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""How bright red, green and blue look: ITU-R BT.601."""


@dataclass(frozen=True)
class RandomFlip:
    """Mirror images left to right, each with a given probability.

    Parameters
    ----------
    probability : float, default 0.5
        In [0, 1].

    Raises
    ------
    ValueError
        If ``probability`` is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> image = np.arange(3, dtype=np.float32).reshape(1, 1, 3, 1)
    >>> data.RandomFlip(1.0)(image, np.random.default_rng(0)).ravel()
    array([2., 1., 0.], dtype=float32)
    """

    probability: float = 0.5

    def __post_init__(self) -> None:
        _check("RandomFlip", "probability", self.probability, 1)

    def __call__(self, images: Images, generator: np.random.Generator) -> Images:
        """Return changed copies of ``images``, (N, H, W, C)."""
        flipped = generator.random(len(images)) < self.probability
        return np.where(flipped[:, np.newaxis, np.newaxis, np.newaxis], images[:, :, ::-1], images)


@dataclass(frozen=True)
class RandomCrop:
    """Put zeros around images and cut a piece of the old size out at random: a shift by whole pixels.

    Parameters
    ----------
    padding : int, default 4
        Width of the border on each side, and so the largest shift.

    Raises
    ------
    ValueError
        If ``padding`` is negative.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> data.RandomCrop(4)(np.ones((5, 32, 32, 3), np.float32), np.random.default_rng(0)).shape
    (5, 32, 32, 3)
    """

    padding: int = 4

    def __post_init__(self) -> None:
        _check("RandomCrop", "padding", self.padding, math.inf)

    def __call__(self, images: Images, generator: np.random.Generator) -> Images:
        """Return changed copies of ``images``, (N, H, W, C)."""
        n, height, width, _ = images.shape
        border = (self.padding, self.padding)
        padded = np.pad(images, ((0, 0), border, border, (0, 0)))
        top, left = generator.integers(0, 2 * self.padding, (2, n, 1, 1), endpoint=True)
        rows, columns = np.arange(height)[:, np.newaxis], np.arange(width)
        cut: Images = padded[np.arange(n)[:, np.newaxis, np.newaxis], top + rows, left + columns]
        return cut


@dataclass(frozen=True)
class ColorJitter:
    """Change brightness, contrast and saturation, in this order, each by a random factor.

    A factor f comes from a uniform distribution over [1 - strength, 1 + strength]. The image x becomes f x; then
    m + f (x - m) with m the mean of its luma; then l + f (x - l) with l the luma of each pixel. Values are kept in
    [0, 1].

    Parameters
    ----------
    brightness, contrast, saturation : float, default 0.2
        Strengths, in [0, 1]. Saturation changes nothing about grey images.

    Raises
    ------
    ValueError
        If a strength is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> grey = np.full((1, 2, 2, 3), 0.5, np.float32)
    >>> changed = data.ColorJitter(brightness=0)(grey, np.random.default_rng(0))
    >>> np.allclose(changed, grey)
    True
    """

    brightness: float = 0.2
    contrast: float = 0.2
    saturation: float = 0.2

    def __post_init__(self) -> None:
        for name in ("brightness", "contrast", "saturation"):
            _check("ColorJitter", name, getattr(self, name), 1)

    def __call__(self, images: Images, generator: np.random.Generator) -> Images:
        """Return changed copies of ``images``, (N, H, W, C)."""
        strengths = np.array([self.brightness, self.contrast, self.saturation])[:, np.newaxis, np.newaxis]
        factors = generator.uniform(1 - strengths, 1 + strengths, (3, len(images), 1)).astype(np.float32)
        brightness, contrast, saturation = factors[..., np.newaxis, np.newaxis]
        changed = images * brightness
        changed = _away_from(_luma(changed).mean(axis=(1, 2), keepdims=True), changed, contrast)
        changed = _away_from(_luma(changed), changed, saturation)
        np.clip(changed, 0, 1, out=changed)
        return changed


def _luma(images: Images) -> Images:
    """Return how bright each pixel looks, (N, H, W, 1)."""
    weights = _LUMA if images.shape[-1] == 3 else np.float32(1 / images.shape[-1])
    luma: Images = (images * weights).sum(axis=-1, keepdims=True)
    return luma


def _away_from(middle: Images, images: Images, factor: Images) -> Images:
    result: Images = middle + factor * (images - middle)
    return result


@dataclass(frozen=True)
class Mixup:
    """Mix each image with another one of its batch, and their labels in the same proportion.

    With a share s from the distribution Beta(alpha, alpha), for each image anew, image and one-hot label x become
    s x + (1 - s) x', where x' is another image's.

    Parameters
    ----------
    alpha : float
        Strength: near 0 the images stay almost as they are, at 1 every share is as likely as any other.
    num_classes : int
        Number of classes.

    Raises
    ------
    ValueError
        If ``alpha`` or ``num_classes`` isn't positive.

    References
    ----------
    H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz: mixup: beyond empirical risk minimization. ICLR 2018, section 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> mixup = data.Mixup(0.2, num_classes=3)
    >>> images, targets = mixup(np.ones((2, 4, 4, 1), np.float32), np.array([0, 2]), np.random.default_rng(0))
    >>> targets.shape, targets.sum(axis=1)
    ((2, 3), array([1., 1.], dtype=float32))
    """

    alpha: float
    num_classes: int

    def __post_init__(self) -> None:
        if not 0 < self.alpha < math.inf or self.num_classes < 1:
            raise ValueError(
                f"Mixup: alpha is {self.alpha} and num_classes {self.num_classes}, expected positive numbers"
            )

    def __call__(
        self, images: Images, labels: NDArray[np.int64], generator: np.random.Generator
    ) -> tuple[Images, NDArray[np.float32]]:
        """Return mixed copies of images (N, H, W, C), and the probability of each class, (N, num_classes)."""
        n = len(images)
        share = generator.beta(self.alpha, self.alpha, n).astype(np.float32)
        other = generator.permutation(n)
        targets = np.zeros((n, self.num_classes), np.float32)
        targets[np.arange(n), labels] = 1
        mixed = _away_from(images[other], images, share[:, np.newaxis, np.newaxis, np.newaxis])
        return mixed, _away_from(targets[other], targets, share[:, np.newaxis])


def augmentation(text: str) -> Augmentation:
    """Return the augmentation that a short text names, as on the command line.

    Parameters
    ----------
    text : str
        "affine" (a little shift and turn), "shift=PIXELS", "rotate=DEGREES", "flip", "crop=PIXELS" or "color=STRENGTH".
        The numbers may be left out.

    Raises
    ------
    ValueError
        If there is no such augmentation, or its number is out of range.

    Examples
    --------
    >>> from fastconv import data
    >>> data.augmentation("crop=4"), data.augmentation("flip")
    (RandomCrop(padding=4), RandomFlip(probability=0.5))
    """
    name, given, number = text.partition("=")
    if name not in _BY_NAME:
        raise ValueError(f"unknown augmentation {text!r}, expected some of: {', '.join(_BY_NAME)}")
    kind, make, usual = _BY_NAME[name]
    try:
        value = kind(number) if given else usual
    except ValueError as error:
        raise ValueError(f"augmentation {text!r}: {number!r} is no number of the kind {kind.__name__}") from error
    return make(value)


_BY_NAME: dict[str, tuple[Callable[[str], float], Callable[[float], Augmentation], float]] = {
    "affine": (float, lambda scale: RandomAffine(2 * scale, 10 * scale), 1.0),
    "shift": (float, lambda pixels: RandomAffine(pixels, 0), 2.0),
    "rotate": (float, lambda degrees: RandomAffine(0, degrees), 10.0),
    "flip": (float, RandomFlip, 0.5),
    "crop": (int, lambda pixels: RandomCrop(int(pixels)), 4),
    "color": (float, lambda strength: ColorJitter(strength, strength, strength), 0.2),
}


def _check(owner: str, name: str, value: float, most: float) -> None:
    if not 0 <= value <= most or math.isinf(value):
        raise ValueError(f"{owner}: {name} is {value}, expected 0 <= {name}{'' if most == math.inf else f' <= {most}'}")
