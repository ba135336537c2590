"""The IDX file format of MNIST: a magic number, the extents in big-endian order, then bytes.

Described at the foot of http://yann.lecun.com/exdb/mnist/. The magic number holds two zero bytes, the type of the
elements (8: unsigned bytes, the only one here) and the number of axes: 3 for images, 1 for labels.
"""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

_KINDS = {1: "labels", 3: "images"}


def read_idx(path: str | Path, axes: int) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Parameters
    ----------
    path : str or Path
        The file. Whether it is gzipped shows in its content, not in its name.
    axes : int
        How many axes it must have: 3 for images, 1 for labels.

    Returns
    -------
    ndarray of uint8
        The content.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is damaged, or isn't an IDX file of that many axes.
    """
    content = _read(Path(path))
    wanted = f"expected {_KINDS.get(axes, 'an array')} in IDX format (0x{0x800 + axes:08x})"
    header = 4 + 4 * axes
    if len(content) < 4:
        raise ValueError(f"{path}: holds {len(content)} bytes, {wanted}")
    (magic,) = struct.unpack(">I", content[:4])
    if magic != 0x800 + axes:
        found = _KINDS.get(magic - 0x800)
        raise ValueError(f"{path}: starts with 0x{magic:08x}{f' ({found})' if found else ''}, {wanted}")
    if len(content) < header:
        raise ValueError(f"{path}: holds {len(content)} bytes, expected a header of {header}")
    shape = struct.unpack(f">{axes}I", content[4:header])
    size = header + math.prod(shape)
    if len(content) != size:
        raise ValueError(f"{path}: holds {len(content)} bytes, expected {size} for the shape {shape} that it states")
    return np.frombuffer(content, np.uint8, offset=header).reshape(shape)


def _read(path: Path) -> bytes:
    content = path.read_bytes()
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise ValueError(f"{path}: the gzip file is damaged: {error}") from error
