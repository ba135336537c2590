"""Timing in turns: noise meets everybody alike, and the best of many runs is what the code can do."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

_SHORTEST = 100e-6  # what is timed at once: the clock, and the call of the clock, are then within a thousandth
# How long one library goes on before it is another's turn: its first run finds threads asleep and other data in caches.
_BURST = 20e-3
_LEAST_TURNS = 3
_CHEAP = 0.1  # seconds that may be spent on more turns than were asked for


@dataclass(frozen=True)
class Effort:
    """How long to go on.

    ``repeats`` turns are wished for; from the third on they end when ``seconds`` have gone by, and short runs take more
    turns until a tenth of a second has. After a turn of one library, ``pause`` seconds pass, for its threads that still
    spin.
    """

    repeats: int = 7
    seconds: float = 2.0
    pause: float = 0.5e-3


def best_seconds(runs: Mapping[str, Callable[[], object]], effort: Effort) -> dict[str, float]:
    """Run all in turns and return the shortest time of each, in seconds.

    The first run of each warms up: it counts as well, as slow as it may be, because only the best one matters.
    """
    start = time.perf_counter()
    best = {name: _time(run, 1) for name, run in runs.items()}
    turns = 1
    while _go_on(turns, time.perf_counter() - start, effort):
        for name, run in runs.items():
            best[name] = min(best[name], _burst(run, best[name]))
            if len(runs) > 1:
                time.sleep(effort.pause)
        turns += 1
    return best


def _go_on(turns: int, elapsed: float, effort: Effort) -> bool:
    if turns <= min(effort.repeats, _LEAST_TURNS - 1):
        return True
    if turns <= effort.repeats:
        return elapsed < effort.seconds
    return elapsed < min(_CHEAP, effort.seconds) and effort.repeats > 1


def _burst(run: Callable[[], object], expected: float) -> float:
    """Time a run a few times, or a group of runs if one is too short for the clock, and return the best."""
    loops = max(1, math.ceil(_SHORTEST / max(expected, 1e-9)))
    best, end = math.inf, time.perf_counter() + _BURST
    while True:
        best = min(best, _time(run, loops))
        if time.perf_counter() > end:
            return best


def _time(run: Callable[[], object], loops: int) -> float:
    start = time.perf_counter()
    for _ in range(loops):
        run()
    return (time.perf_counter() - start) / loops
