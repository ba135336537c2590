"""What long work shows, and how it is interrupted."""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from fastconv._extras import require
from fastconv.training import EpochResult, Run


def bar(total: int, unit: str, initial: int = 0) -> Any:
    """Return a bar of tqdm over so many units; where the standard error is no terminal, it isn't shown."""
    return require("tqdm").tqdm(
        total=total,
        initial=initial,
        unit=f" {unit}",
        disable=None,
        dynamic_ncols=True,
        bar_format="{desc}{percentage:3.0f} % |{bar}| {rate_fmt}, {remaining} left{postfix}",
    )


class Progress:
    """A bar over all images of the run, and a line for each epoch."""

    def __init__(self, run: Run, images: int) -> None:
        self._bar = bar(run.recipe.epochs * images, "images", run.epoch * images + run.sums.images)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def step(self, run: Run, images: int) -> None:
        """Show that a step with so many images is done."""
        self._bar.set_description_str(f"epoch {run.epoch + 1}/{run.recipe.epochs} ", refresh=False)
        self._bar.set_postfix_str(f"loss {run.sums.loss:.4f}, {100 * run.sums.accuracy:.2f} % right", refresh=False)
        self._bar.update(images)

    def epoch(self, result: EpochResult) -> None:
        """Write the line of an epoch above the bar."""
        self._bar.write(
            f"epoch {result.epoch:3d}   train: loss {result.train_loss:.4f}, {100 * result.train_accuracy:5.2f} %   "
            f"test: loss {result.test_loss:.4f}, {100 * result.test_accuracy:5.2f} %   {result.seconds:.1f} s"
        )


@contextlib.contextmanager
def interruption() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request, which the training meets after a whole step; the second acts as ever."""
    requested = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        requested.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, request)
    try:
        yield requested
    finally:
        signal.signal(signal.SIGINT, previous)
