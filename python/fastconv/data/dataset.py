"""Images with their labels, and where they come from: the digits in this package, or a folder with MNIST."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from fastconv.data.idx import read_idx

_DIGITS = Path(__file__).parent / "digits"


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images and their labels.

    Parameters
    ----------
    images : ndarray of float32 or uint8, (N, H, W, C)
        Values in [0, 1], or bytes, which take a quarter of the memory and become such values when they are asked for.
    labels : ndarray of int64, (N,)
        Classes, from 0.
    classes : tuple of str, optional
        The names of the classes.

    Raises
    ------
    ValueError
        If there aren't as many labels as images, or a label has no name.

    Examples
    --------
    >>> from fastconv import data
    >>> train, test = data.digits()
    >>> train
    Dataset(7500 images of 28×28×1)
    >>> image, label = train[0]
    >>> image.shape, label
    ((28, 28, 1), 5)
    >>> len(train[:100])
    100
    """

    images: NDArray[np.float32] | NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"Dataset: labels have shape {self.labels.shape}, expected {self.images.shape[:1]}")
        if self.classes and len(self) and self.labels.max() >= len(self.classes):
            raise ValueError(f"Dataset: there is a label {self.labels.max()}, but {len(self.classes)} names of classes")

    def __len__(self) -> int:
        return len(self.labels)

    @overload
    def __getitem__(self, index: int | np.integer[Any]) -> tuple[NDArray[np.float32], int]: ...
    @overload
    def __getitem__(self, index: slice | NDArray[Any]) -> Dataset: ...
    def __getitem__(
        self, index: int | np.integer[Any] | slice | NDArray[Any]
    ) -> tuple[NDArray[np.float32], int] | Dataset:
        """Return one image and its label, or a `Dataset` of a slice or of an array of positions."""
        if isinstance(index, (int, np.integer)):
            return _floats(self.images[index]), int(self.labels[index])
        return Dataset(self.images[index], self.labels[index], self.classes)

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return ``(images, labels)``, the images as float32 with values in [0, 1]."""
        return _floats(self.images), self.labels

    def __repr__(self) -> str:
        return f"Dataset({len(self)} images of {'×'.join(map(str, self.images.shape[1:]))})"


def digits() -> tuple[Dataset, Dataset]:
    """Return the digits that come with the package: 7,500 to train with and 1,500 to test.

    They are handwritten digits of the MNIST database by Yann LeCun and Corinna Cortes (CC BY-SA 3.0), all from its
    first 10,000 training images, shuffled.

    Returns
    -------
    train, test : Dataset
        Images (N, 28, 28, 1), white on black, and labels 0 to 9.

    References
    ----------
    Y. LeCun, L. Bottou, Y. Bengio, P. Haffner: Gradient-based learning applied to document recognition. Proceedings of
    the IEEE 86, 1998, section III.A.

    Examples
    --------
    >>> from fastconv import data
    >>> train, test = data.digits()
    >>> len(train), len(test), train.images.dtype
    (7500, 1500, dtype('float32'))
    """
    return mnist(_DIGITS)


def mnist(directory: str | Path) -> tuple[Dataset, Dataset]:
    """Read the four files of MNIST, or of a data set in the same format, such as Fashion-MNIST.

    Parameters
    ----------
    directory : str or Path
        Folder with ``train-images-idx3-ubyte``, ``train-labels-idx1-ubyte``, ``t10k-images-idx3-ubyte`` and
        ``t10k-labels-idx1-ubyte``, each as it is or with ``.gz`` at the end.

    Returns
    -------
    train, test : Dataset
        Images (N, H, W, 1) with values in [0, 1], and labels.

    Raises
    ------
    FileNotFoundError
        If the folder or one of the files is missing.
    ValueError
        If a file is damaged or isn't what its name says, or if there aren't as many labels as images.

    Examples
    --------
    >>> from fastconv import data
    >>> train, test = data.mnist("~/mnist")                               # doctest: +SKIP
    """
    folder = Path(directory).expanduser()
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder}: no such folder")
    pairs = [_read_pair(folder, part) for part in ("train", "t10k")]
    classes = tuple(map(str, range(1 + max(int(labels.max()) for _, labels in pairs))))
    train, test = (Dataset(images, labels, classes) for images, labels in pairs)
    return train, test


def split(dataset: Dataset, share: float, *, seed: int = 0) -> tuple[Dataset, Dataset]:
    """Hold out a share of a data set, the same of each class, chosen at random.

    Parameters
    ----------
    dataset : Dataset
        What to divide.
    share : float
        Of each class, how much the second part gets, in (0, 1): rounded, but at least one image of two or more.
    seed : int, default 0
        Where the choice comes from.

    Returns
    -------
    rest, held_out : Dataset
        Both in the order of the whole.

    Raises
    ------
    ValueError
        If ``share`` is out of range, or a part would be empty.

    Examples
    --------
    >>> from fastconv import data
    >>> train, test = data.digits()
    >>> data.split(test, 0.2)
    (Dataset(1201 images of 28×28×1), Dataset(299 images of 28×28×1))
    """
    if not 0 < share < 1:
        raise ValueError(f"split: share is {share}, expected 0 < share < 1")
    generator = np.random.default_rng(seed)
    chosen = np.zeros(len(dataset), bool)
    for label in np.unique(dataset.labels):
        members = generator.permutation(np.flatnonzero(dataset.labels == label))
        count = min(max(round(share * len(members)), 1), len(members) - 1)
        chosen[members[:count]] = True
    if not chosen.any():
        raise ValueError(f"split: {len(dataset)} images are too few to hold out any; each class needs two")
    return dataset[~chosen], dataset[chosen]


def _read_pair(folder: Path, part: str) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: holds {len(labels)} labels, expected {len(images)}, one for each image")
    if not len(images):
        raise ValueError(f"{images_path}: holds no images")
    return _floats(images[..., np.newaxis]), labels.astype(np.int64)


def _floats(images: NDArray[np.float32] | NDArray[np.uint8]) -> NDArray[np.float32]:
    floats: NDArray[np.float32] = images.astype(np.float32, copy=False)
    return floats / np.float32(255) if images.dtype == np.uint8 else floats


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise FileNotFoundError(f"{folder}: holds neither {name} nor {name}.gz")
