"""From a data set to batches: shuffled and augmented in a way that can be taken up anywhere.

All randomness of an epoch is a function of (seed, epoch), and that of one batch's augmentation of (seed, epoch, number
of the batch). So a run that was interrupted goes on in the middle of an epoch without doing again what came before, and
batches may be prepared in several threads.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv.data.augment import Augmentation, Mixup
from fastconv.data.dataset import Dataset
from fastconv.data.prefetch import prefetch

Batch: TypeAlias = tuple[NDArray[np.float32], NDArray[Any]]


def batches(
    dataset: Dataset,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    epoch: int = 0,
    start: int = 0,
    drop_last: bool = False,
    augment: Augmentation | Sequence[Augmentation] | None = None,
    mixup: Mixup | None = None,
    workers: int = 0,
) -> Generator[Batch, None, None]:
    """Yield the batches of one epoch.

    Parameters
    ----------
    dataset : Dataset
        What to go through.
    batch_size : int
        Number of images a batch.
    shuffle : bool, default False
        Whether to take the images in random order.
    seed, epoch : int, default 0
        What the order and the augmentation depend on.
    start : int, default 0
        Number of the first batch to yield. Those before it cost nothing.
    drop_last : bool, default False
        Whether to leave out a last batch that isn't full.
    augment : callable or sequence of callable, optional
        ``augment(images, generator)`` returns changed images, for example `RandomAffine`. Several are applied in their
        order.
    mixup : Mixup, optional
        What mixes the images and the labels of each batch, after all else.
    workers : int, default 0
        Number of threads that prepare batches ahead of their use, while others compute; the batches are the same. With
        0 each batch is made when it is asked for.

    Yields
    ------
    images : ndarray of float32, (batch_size, H, W, C)
    labels : ndarray of int64, (batch_size,); with ``mixup`` of float32, (batch_size, classes)

    Raises
    ------
    ValueError
        If ``batch_size`` isn't positive, or ``seed``, ``epoch``, ``start`` or ``workers`` is negative.

    Examples
    --------
    >>> from fastconv import data
    >>> train, test = data.digits()
    >>> [len(labels) for images, labels in data.batches(test, batch_size=400, shuffle=True, seed=0)]
    [400, 400, 400, 300]
    """
    if batch_size < 1 or min(seed, epoch, start, workers) < 0:
        raise ValueError(
            f"batches: batch_size={batch_size}, seed={seed}, epoch={epoch}, start={start}, workers={workers}, "
            "expected a positive batch_size and no negative number"
        )
    order = _generator(seed, epoch).permutation(len(dataset)) if shuffle else np.arange(len(dataset))
    changes = [augment] if callable(augment) else list(augment or ())

    def prepare(index: int) -> Batch:
        images, labels = dataset[order[index * batch_size : (index + 1) * batch_size]].arrays()
        generator = _generator(seed, epoch, index)
        for change in changes:
            images = change(images, generator)
        return (images, labels) if mixup is None else mixup(images, labels, generator)

    numbers = range(start, number_of_batches(len(dataset), batch_size, drop_last=drop_last))
    return prefetch(prepare, numbers, workers=workers) if workers else _one_by_one(prepare, numbers)


def _one_by_one(prepare: Callable[[int], Batch], numbers: range) -> Generator[Batch, None, None]:
    yield from map(prepare, numbers)


def number_of_batches(images: int, batch_size: int, *, drop_last: bool = False) -> int:
    """Return how many batches `batches` yields from its start."""
    return images // batch_size if drop_last else -(-images // batch_size)


def _generator(seed: int, *key: int) -> np.random.Generator:
    # A spawn key, unlike a longer list of entropy, tells (1,) from (1, 0).
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
