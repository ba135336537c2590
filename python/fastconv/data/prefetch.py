"""Preparing ahead: what the loop will need next is made by threads while the loop computes.

Kernels and most of NumPy let other threads run, so preparation costs a training loop no time of its own. What is
prepared is a function of its number, so threads change neither what comes nor in which order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def prefetch(
    prepare: Callable[[int], T], numbers: Iterable[int], *, workers: int = 1, ahead: int | None = None
) -> Generator[T, None, None]:
    """Yield ``prepare(number)`` for all numbers in their order, prepared by threads ahead of its use.

    Parameters
    ----------
    prepare : callable
        Called in other threads, and where there are several in any order.
    numbers : iterable of int
        What it is called with.
    workers : int, default 1
        Number of threads.
    ahead : int, optional
        How many results are prepared or being prepared at most, beside the one in use; by default one more than there
        are threads.

    Yields
    ------
    T
        The results. Where ``prepare`` raises an exception, that is raised here in its turn.

    Raises
    ------
    ValueError
        If ``workers`` or ``ahead`` isn't positive.

    Notes
    -----
    Threads begin with the first result that is asked for. They end when the iterator is used up, is closed or
    forgotten, or raises: then nothing new is begun, and what has begun is waited for.

    Examples
    --------
    >>> from fastconv import data
    >>> list(data.prefetch(lambda number: number**2, range(5), workers=2))
    [0, 1, 4, 9, 16]
    """
    ahead = workers + 1 if ahead is None else ahead
    if workers < 1 or ahead < 1:
        raise ValueError(f"prefetch: workers={workers}, ahead={ahead}, expected positive numbers")
    return _prefetch(prepare, iter(numbers), workers, ahead)


def _prefetch(
    prepare: Callable[[int], T], numbers: Iterator[int], workers: int, ahead: int
) -> Generator[T, None, None]:
    executor = ThreadPoolExecutor(workers, thread_name_prefix="fastconv-prefetch")
    try:
        pending: deque[Future[T]] = deque(executor.submit(prepare, number) for number in islice(numbers, ahead))
        while pending:
            result = pending.popleft().result()
            pending.extend(executor.submit(prepare, number) for number in islice(numbers, 1))
            yield result
    finally:
        executor.shutdown(cancel_futures=True)
