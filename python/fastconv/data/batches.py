"""From a data set to batches: shuffled and augmented in a way that can be taken up anywhere.

All randomness of an epoch is a function of (seed, epoch), and that of one batch's augmentation of (seed, epoch, number
of the batch). So a run that was interrupted goes on in the middle of an epoch without doing again what came before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from fastconv.data.dataset import Dataset

Augmentation: TypeAlias = Callable[[NDArray[np.float32], np.random.Generator], NDArray[np.float32]]


def batches(
    dataset: Dataset,
    batch_size: int,
    *,
    shuffle: bool = False,
    seed: int = 0,
    epoch: int = 0,
    start: int = 0,
    drop_last: bool = False,
    augment: Augmentation | None = None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
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
    augment : callable, optional
        ``augment(images, generator)`` returns changed images, for example `RandomAffine`.

    Yields
    ------
    images : ndarray of float32, (batch_size, H, W, C)
    labels : ndarray of int64, (batch_size,)

    Raises
    ------
    ValueError
        If ``batch_size`` isn't positive, or ``seed``, ``epoch`` or ``start`` is negative.

    Examples
    --------
    >>> from fastconv import data
    >>> train, test = data.digits()
    >>> [len(labels) for images, labels in data.batches(test, batch_size=400, shuffle=True, seed=0)]
    [400, 400, 400, 300]
    """
    if batch_size < 1 or min(seed, epoch, start) < 0:
        raise ValueError(
            f"batches: batch_size={batch_size}, seed={seed}, epoch={epoch}, start={start}, "
            "expected a positive batch_size and no negative number"
        )
    return _generate(dataset, batch_size, shuffle, seed, epoch, start, drop_last, augment)


def _generate(
    dataset: Dataset,
    batch_size: int,
    shuffle: bool,
    seed: int,
    epoch: int,
    start: int,
    drop_last: bool,
    augment: Augmentation | None,
) -> Iterator[tuple[NDArray[np.float32], NDArray[np.int64]]]:
    count = number_of_batches(len(dataset), batch_size, drop_last=drop_last)
    order = _generator(seed, epoch).permutation(len(dataset)) if shuffle else np.arange(len(dataset))
    for index in range(start, count):
        chosen = order[index * batch_size : (index + 1) * batch_size]
        images, labels = dataset[chosen].arrays()
        if augment is not None:
            images = augment(images, _generator(seed, epoch, index))
        yield images, labels


def number_of_batches(images: int, batch_size: int, *, drop_last: bool = False) -> int:
    """Return how many batches `batches` yields from its start."""
    return images // batch_size if drop_last else -(-images // batch_size)


def _generator(seed: int, *key: int) -> np.random.Generator:
    # A spawn key, unlike a longer list of entropy, tells (1,) from (1, 0).
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
