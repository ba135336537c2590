"""What the library runs on: instruction set, threads, memory; to ask for and to choose.

Environment variables, read once: ``FASTCONV_NUM_THREADS`` (before ``OMP_NUM_THREADS``, before the
processors that the affinity mask and the control group's quota grant), ``FASTCONV_ISA`` and
``FASTCONV_WINOGRAD`` (0 for no Winograd, 2, 4 or 6 for its largest tile).
"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from fastconv import _arguments, _core

_DEFAULT_WINOGRAD = 4


def info() -> dict[str, Any]:
    """Return versions, instruction set, threads and memory, as one puts them into a report of a problem.

    Examples
    --------
    >>> import fastconv as fc
    >>> sorted(fc.info())[:4]
    ['algorithms', 'cached_bytes', 'compiler', 'cpu_quota']
    """
    return {
        "version": _core.__version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "platform": platform.platform(),
        "compiler": _core.compiler,
        "openmp": _core.openmp_version(),
        "isa": _core.current_isa(),
        "isa_available": tuple(_core.available_isas()),
        "num_threads": _core.num_threads(),
        "cpu_quota": _core.cpu_quota() or None,
        "algorithms": algorithms(),
        "winograd": _core.winograd_limit(),
        "cached_bytes": _core.cached_bytes(),
    }


def algorithms() -> tuple[str, ...]:
    """Return the names that ``algorithm=`` takes beside "auto".

    Examples
    --------
    >>> import fastconv as fc
    >>> sorted(fc.algorithms())
    ['direct', 'fft', 'grouped', 'im2col', 'planar', 'winograd']
    """
    return tuple(_core.algorithm_names())


def get_num_threads() -> int:
    """Return how many threads a call may use."""
    return _core.num_threads()


def set_num_threads(count: int) -> None:
    """Choose how many threads a call may use. Results have the same bits with any number.

    Parameters
    ----------
    count : int
        From 1 to 4096.
    """
    _core.set_num_threads(_arguments.integer("set_num_threads", "num_threads", count))


def empty_cache() -> None:
    """Give the memory of dead outputs and workspaces, kept for the next calls, back to the system."""
    _core.empty_buffer_cache()


def measure_machine() -> dict[str, float]:
    """Measure what the machine can do with the current threads and instruction set, in about a second.

    Returns
    -------
    dict
        ``peak_float32`` and ``peak_float64`` in GFLOP/s (chains of fused multiply-adds in registers),
        ``bandwidth`` in GB/s (reading an array larger than the caches) and ``copy_bandwidth`` (copying one, with
        the bytes read and the bytes written): the roofline that benchmarks are held against. Other programs on
        the machine make the figures smaller, never larger.
    """
    threads = _core.num_threads()
    return {
        "peak_float32": _core.measure_peak(False, threads) / 1e9,
        "peak_float64": _core.measure_peak(True, threads) / 1e9,
        "bandwidth": _core.measure_bandwidth(threads) / 1e9,
        "copy_bandwidth": _core.measure_copy_bandwidth(threads) / 1e9,
    }


@contextmanager
def options(
    *, num_threads: int | None = None, isa: str | None = None, winograd: bool | int | None = None
) -> Iterator[None]:
    """Choose threads, instruction set and Winograd's tiles for the calls inside a ``with`` block (of all threads).

    Parameters
    ----------
    num_threads : int, optional
    isa : str, optional
        One of ``info()["isa_available"]``.
    winograd : bool or int, optional
        False, or 0: "auto" never takes Winograd's algorithm. Or the largest tile that it may take: 2 for F(2x2, 3x3),
        4 for F(4x4, 3x3), which is True and the default, or 6 for F(6x6, 3x3), faster still and with eight times the
        rounding error of direct summation, where F(4x4, 3x3) has twice that.

    Examples
    --------
    >>> import fastconv as fc
    >>> with fc.options(num_threads=1, isa="baseline"):
    ...     fc.get_num_threads(), fc.info()["isa"]
    (1, 'baseline')
    """
    threads_before, isa_before, winograd_before = _core.num_threads(), _core.current_isa(), _core.winograd_limit()
    try:
        if num_threads is not None:
            set_num_threads(num_threads)
        if isa is not None:
            _core.set_isa(isa)
        if winograd is not None:
            limit = (_DEFAULT_WINOGRAD if winograd else 0) if isinstance(winograd, bool) else winograd
            _core.set_winograd_limit(_arguments.integer("options", "winograd", limit))
        yield
    finally:
        _core.set_num_threads(threads_before)
        _core.set_isa(isa_before)
        _core.set_winograd_limit(winograd_before)
