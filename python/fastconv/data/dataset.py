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
    images : ndarray of float32, (N, H, W, C)
        Values in [0, 1].
    labels : ndarray of int64, (N,)
        Classes, from 0.

    Raises
    ------
    ValueError
        If there aren't as many labels as images.

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

    images: NDArray[np.float32]
    labels: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.labels.shape != self.images.shape[:1]:
            raise ValueError(f"Dataset: labels have shape {self.labels.shape}, expected {self.images.shape[:1]}")

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
            return self.images[index], int(self.labels[index])
        return Dataset(self.images[index], self.labels[index])

    def arrays(self) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Return ``(images, labels)``."""
        return self.images, self.labels

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
    return _read_pair(folder, "train"), _read_pair(folder, "t10k")


def _read_pair(folder: Path, part: str) -> Dataset:
    images_path = _find(folder, f"{part}-images-idx3-ubyte")
    labels_path = _find(folder, f"{part}-labels-idx1-ubyte")
    images, labels = read_idx(images_path, 3), read_idx(labels_path, 1)
    if len(images) != len(labels):
        raise ValueError(f"{labels_path}: holds {len(labels)} labels, expected {len(images)}, one for each image")
    if not len(images):
        raise ValueError(f"{images_path}: holds no images")
    return Dataset(images[..., np.newaxis].astype(np.float32) / np.float32(255), labels.astype(np.int64))


def _find(folder: Path, name: str) -> Path:
    for path in (folder / name, folder / f"{name}.gz"):
        if path.exists():
            return path
    raise FileNotFoundError(f"{folder}: holds neither {name} nor {name}.gz")
