"""Where images come from: the digits in this package, MNIST's files, folders of pictures, and NumPy's NPZ files."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fastconv._extras import require
from fastconv.data.dataset import Dataset, digits, mnist
from fastconv.data.images import is_grey, read_picture

_TRAIN, _TEST = "train", ("test", "val", "valid", "validation")


def load(source: str | Path, *, input_shape: Sequence[int] | None = None) -> tuple[Dataset, Dataset | None]:
    """Read images to train with, and images to test if there are any.

    Parameters
    ----------
    source : str or Path
        One of:

        - "digits": the digits that come with this package, see `digits`;
        - a folder with MNIST's files, see `mnist`;
        - a folder of pictures, in one folder for each class: ``cat/1.jpg``, ``dog/2.png``, see `image_folder`; or a
          folder ``train`` that holds such folders, and beside it, if wanted, one ``test`` (or ``val``, ``valid``,
          ``validation``) with the same classes;
        - an NPZ file, see `npz`.
    input_shape : (height, width, channels), optional
        What pictures are made to fit: needed for folders of these, and for nothing else.

    Returns
    -------
    train : Dataset
        All images, where there is no test set; `split` can hold some out.
    test : Dataset or None
        None, where there is no test set.

    Raises
    ------
    FileNotFoundError
        If there is no such file or folder.
    ValueError
        If it is none of these, or damaged.
    ImportError
        If Pillow is needed, and not installed.

    Examples
    --------
    >>> from fastconv import data
    >>> data.load("digits")
    (Dataset(7500 images of 28×28×1), Dataset(1500 images of 28×28×1))
    """
    if source == "digits":
        return digits()
    path = Path(source).expanduser()
    if path.is_file():
        return npz(path)
    if not path.is_dir():
        raise FileNotFoundError(f"{path}: no such file or folder")
    if any(path.glob("*-ubyte*")):
        return mnist(path)
    return _pictures(path, input_shape)


def is_white_on_black(source: str | Path) -> bool:
    """Return whether a source that `load` reads holds digits as MNIST does: grey, white on black."""
    return source == "digits" or any(Path(source).expanduser().glob("*-ubyte*"))


def number_of_channels(source: str | Path) -> int:
    """Return how many channels the images have in a source that `load` reads.

    Returns
    -------
    int
        1 for digits, for MNIST's files and where all pictures of a folder (of ``train``, where there is one) are stored
        as grey ones; 3 for other folders of pictures; for an NPZ file what it holds.

    Raises
    ------
    FileNotFoundError, ValueError, ImportError
        As `load`.

    Examples
    --------
    >>> from fastconv import data
    >>> data.number_of_channels("digits")
    1
    """
    if is_white_on_black(source):
        return 1
    path = Path(source).expanduser()
    if not path.is_dir():
        return int(load(path)[0].images.shape[-1])
    train = path / _TRAIN if _has_train(path) else path
    pictures = (picture for folder in _folders(train) for picture in _files(folder))
    return 1 if all(map(is_grey, pictures)) else 3


def npz(path: str | Path) -> tuple[Dataset, Dataset | None]:
    """Read a data set from a file of ``numpy.savez``.

    Parameters
    ----------
    path : str or Path
        The file. It holds ``images``, (N, H, W) or (N, H, W, C), as uint8 or as floats in [0, 1], and ``labels``, (N,),
        integers from 0; if wanted, ``test_images`` and ``test_labels`` as well, and ``classes``, the names of the
        classes.

    Returns
    -------
    train : Dataset
    test : Dataset or None
        None, where the file holds no test set.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or its arrays aren't what they should be.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import data
    >>> np.savez("a.npz", images=np.zeros((3, 8, 8), np.uint8), labels=[0, 1, 1])
    >>> data.npz("a.npz")
    (Dataset(3 images of 8×8×1), None)
    """
    arrays = _read_npz(Path(path))
    if not {"images", "labels"} <= arrays.keys():
        raise ValueError(f"{path}: holds {', '.join(arrays) or 'nothing'}, expected images and labels")
    parts = {part: _pair(path, part, arrays) for part in ("", "test_") if f"{part}images" in arrays}
    highest = max(int(labels.max()) for _, labels in parts.values())
    classes = tuple(map(str, arrays.get("classes", range(highest + 1))))
    if highest >= len(classes):
        raise ValueError(f"{path}: there is a label {highest}, but {len(classes)} names of classes")
    train, test = (Dataset(*parts[part], classes) if part in parts else None for part in ("", "test_"))
    assert train is not None
    return train, test


def _read_npz(path: Path) -> dict[str, NDArray[Any]]:
    with open(path, "rb"):  # What is missing, a folder or unreadable gets the system's own words.
        pass
    if not zipfile.is_zipfile(path):
        raise ValueError(f"{path}: not an NPZ file")
    try:
        with np.load(path, allow_pickle=False) as file:
            return dict(file)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path}: not an NPZ file that can be read: {error}") from error


def _pair(
    path: str | Path, part: str, arrays: dict[str, NDArray[Any]]
) -> tuple[NDArray[np.float32] | NDArray[np.uint8], NDArray[np.int64]]:
    images, labels = arrays[f"{part}images"], arrays.get(f"{part}labels", np.zeros(0))
    if images.ndim not in (3, 4) or not images.size:
        raise ValueError(f"{path}: {part}images have shape {images.shape}, expected (N, H, W) or (N, H, W, C)")
    if labels.shape != images.shape[:1] or not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0:
        raise ValueError(f"{path}: {part}labels must be {len(images)} integers from 0, one for each image")
    if images.dtype != np.uint8:
        if not np.issubdtype(images.dtype, np.floating):
            raise ValueError(f"{path}: {part}images are {images.dtype}, expected uint8, or floats in [0, 1]")
        if not (images.min() >= 0 and images.max() <= 1):
            raise ValueError(
                f"{path}: {part}images have values from {images.min():g} to {images.max():g}, expected [0, 1]"
            )
        images = images.astype(np.float32)
    return images.reshape(*images.shape[:3], -1), labels.astype(np.int64)


def image_folder(
    directory: str | Path, *, height: int, width: int, channels: int = 3, classes: Sequence[str] | None = None
) -> Dataset:
    """Read pictures that lie in one folder for each class: ``cat/1.jpg``, ``dog/2.png``, ...

    Parameters
    ----------
    directory : str or Path
        The folder that holds these folders.
    height, width, channels : int
        What every picture is made to fit, see `read_picture`.
    classes : sequence of str, optional
        The names of the classes, in order; by default those of the folders, in alphabetical order.

    Returns
    -------
    Dataset
        The pictures, as uint8, in the order of their names, with the names of the classes.

    Raises
    ------
    FileNotFoundError
        If there is no such folder.
    ValueError
        If it holds no folders, one of them no pictures or of no class in ``classes``, or a picture can't be read.
    ImportError
        If Pillow isn't installed.

    Examples
    --------
    >>> from fastconv import data
    >>> pets = data.image_folder("~/pets", height=64, width=64)           # doctest: +SKIP
    """
    directory = Path(directory).expanduser()
    if not directory.is_dir():
        raise FileNotFoundError(f"{directory}: no such folder")
    folders = _folders(directory)
    if not folders:
        raise ValueError(f"{directory}: holds no folder of pictures, one for each class")
    names = tuple(folder.name for folder in folders) if classes is None else tuple(classes)
    paths, labels = [], []
    for folder in folders:
        if folder.name not in names:
            raise ValueError(f"{folder}: there is no such class, expected one of: {', '.join(names)}")
        pictures = _files(folder)
        if not pictures:
            raise ValueError(f"{folder}: holds no pictures")
        paths += pictures
        labels += [names.index(folder.name)] * len(pictures)
    with ThreadPoolExecutor() as executor:  # Pillow decodes without Python's lock.
        images = list(executor.map(partial(read_picture, height=height, width=width, channels=channels), paths))
    return Dataset(np.stack(images), np.array(labels, np.int64), names)


def _pictures(path: Path, input_shape: Sequence[int] | None) -> tuple[Dataset, Dataset | None]:
    names = [folder.name for folder in _folders(path)]
    if not names:
        raise ValueError(f"{path}: holds neither MNIST's files nor a folder of pictures for each class")
    if input_shape is None:
        raise ValueError(f"{path}: folders of pictures need the input_shape that they are to fit")
    height, width, channels = input_shape
    read = partial(image_folder, height=height, width=width, channels=channels)
    if not _has_train(path):
        return read(path), None
    train, tests = read(path / _TRAIN), [name for name in _TEST if name in names]
    return train, read(path / tests[0], classes=train.classes) if tests else None


def _has_train(path: Path) -> bool:
    return (path / _TRAIN).is_dir() and bool(_folders(path / _TRAIN))


def _folders(path: Path) -> list[Path]:
    return sorted(folder for folder in path.iterdir() if folder.is_dir() and not folder.name.startswith("."))


def _files(folder: Path) -> list[Path]:
    known = require("PIL.Image").registered_extensions()
    return sorted(path for path in folder.iterdir() if path.suffix.lower() in known and not path.name.startswith("."))
