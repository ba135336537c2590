"""Checkpoints: safetensors files that are whole at any moment, whatever happens to the process.

Format: https://github.com/huggingface/safetensors. The tensors carry their names; everything else is one JSON document
in the file's metadata, under the key "fastconv".
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from fastconv._arguments import Array
from fastconv._extras import require

_KEY = "fastconv"


def save(path: str | Path, tensors: Mapping[str, Array], metadata: Mapping[str, Any]) -> None:
    """Write a checkpoint; a file of that name stays whole until the new one has taken its place.

    Parameters
    ----------
    path : str or Path
        Where to. The folder must exist.
    tensors : mapping of str to ndarray
        Arrays by name.
    metadata : mapping
        Whatever JSON can hold.

    Raises
    ------
    OSError
        If the file can't be written.
    ImportError
        If safetensors isn't installed.

    Examples
    --------
    >>> import numpy as np, pathlib, tempfile
    >>> from fastconv import checkpoint
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "model.safetensors"
    >>> checkpoint.save(path, {"weight": np.ones(3)}, {"epoch": 7})
    >>> checkpoint.load(path)
    ({'weight': array([1., 1., 1.])}, {'epoch': 7})
    """
    # The memory of other arrays than C-contiguous ones would be written in the wrong order.
    contiguous = {name: np.asarray(value, order="C") for name, value in tensors.items()}
    write_atomically(path, require("safetensors.numpy").save(contiguous, {_KEY: json.dumps(metadata)}))


def load(path: str | Path) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read a checkpoint that `save` has written.

    Returns
    -------
    tensors : dict of str to ndarray
        Arrays by name.
    metadata : dict
        As given to `save`.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged or isn't a checkpoint of this package.
    ImportError
        If safetensors isn't installed.
    """
    safetensors = require("safetensors")
    with open(path, "rb"):  # What is missing, a folder or unreadable gets the system's own words.
        pass
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            document = (file.metadata() or {}).get(_KEY, "")
            tensors = {name: file.get_tensor(name) for name in file.keys()}
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file: {error}") from error
    try:
        metadata = json.loads(document)
    except ValueError as error:
        raise ValueError(f"{path}: a safetensors file, but not a checkpoint of fastconv") from error
    return tensors, metadata


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write a file that appears whole or not at all, and stays after a power cut.

    The content goes to a temporary file in the same folder first, which then replaces the file of that name in one
    step of the file system.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    """Make the new name in the folder last, where the system allows opening folders."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
