"""The other libraries: which of them are here, and which are asked for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
from contextlib import AbstractContextManager
from typing import Protocol

from fastconv.benchmark.contender import Contender, Problem
from fastconv.benchmark.ncnn_runtime import Ncnn
from fastconv.benchmark.onnx_runtime import OnnxRuntime
from fastconv.benchmark.pytorch import PyTorch


class Peer(Protocol):
    """Another library, on a fixed number of threads."""

    packages: tuple[str, ...]
    pause: float  # seconds until its threads have come to rest after a turn

    def context(self) -> AbstractContextManager[object]:
        """Return what its arrays have to be made and its passes to be run in."""

    def contenders(self, problem: Problem) -> list[Contender]:
        """Return its ways to run a problem; none where it can't."""


_PEERS: dict[str, type[PyTorch] | type[OnnxRuntime] | type[Ncnn]] = {
    "torch": PyTorch,
    "onnxruntime": OnnxRuntime,
    "ncnn": Ncnn,
}
NAMES = tuple(_PEERS)


def load_peers(names: str | None, threads: int) -> dict[str, Peer]:
    """Import other libraries and return them by name.

    Parameters
    ----------
    names : str or None
        Names with commas between them; "none"; or None for whatever is installed.
    threads : int
        How many each may use.

    Raises
    ------
    ValueError
        If a name isn't known, or a library that is asked for isn't installed.
    """
    if names is None:
        return {name: peer(threads) for name, peer in _PEERS.items() if not _missing(peer.packages)}
    asked = [] if names == "none" else [name.strip() for name in names.split(",")]
    for name in asked:
        if name not in _PEERS:
            raise ValueError(f"unknown library {name!r}, expected 'none' or some of {', '.join(_PEERS)}")
        if missing := _missing(_PEERS[name].packages):
            raise ValueError(f"not installed: {', '.join(missing)}, which --peers {name} needs")
    return {name: _PEERS[name](threads) for name in asked}


def versions(peers: dict[str, Peer]) -> dict[str, str]:
    """Return the version of each library."""
    return {name: importlib.metadata.version(name) for name in peers}


def _missing(packages: tuple[str, ...]) -> list[str]:
    return [package for package in packages if importlib.util.find_spec(package) is None]
