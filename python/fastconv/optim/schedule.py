"""Schedules: the share of the full learning rate that a step takes, by the number of the step.

All of them begin with a linear rise, if one is wanted: the first steps of a network whose values are still random, and
of running averages that hold little yet, go astray at full size.
"""

from __future__ import annotations

import math


def warmup_cosine(step: int, *, total_steps: int, warmup_steps: int) -> float:
    """Return the share of the full learning rate that a step takes: a linear rise, then half a cosine down to zero.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    total_steps, warmup_steps : int
        Length of the run, and of the rise at its beginning.

    Returns
    -------
    float
        In (0, 1].

    References
    ----------
    I. Loshchilov, F. Hutter: SGDR: stochastic gradient descent with warm restarts. ICLR 2017, equation 5.
    P. Goyal et al.: Accurate, large minibatch SGD: training ImageNet in 1 hour. arXiv:1706.02677, section 2.2.

    Examples
    --------
    >>> from fastconv import optim
    >>> [round(optim.warmup_cosine(step, total_steps=6, warmup_steps=2), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    if step < warmup_steps:
        return warmup(step, warmup_steps=warmup_steps)
    progress = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return 0.5 * (1 + math.cos(math.pi * progress))


def warmup_step(step: int, *, decay_steps: int, factor: float = 0.1, warmup_steps: int = 0) -> float:
    """Return the share of the full learning rate that a step takes: a linear rise, then stairs going down.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    decay_steps : int
        Length of a stair, counted from the beginning of the run.
    factor : float, default 0.1
        What the share is multiplied with from one stair to the next.
    warmup_steps : int, default 0
        Length of the rise at the beginning of the run.

    Returns
    -------
    float
        ``factor ** (step // decay_steps)``, and less in the rise.

    References
    ----------
    K. He, X. Zhang, S. Ren, J. Sun: Deep residual learning for image recognition. CVPR 2016, section 3.4 (stairs).

    Examples
    --------
    >>> from fastconv import optim
    >>> [round(optim.warmup_step(step, decay_steps=3, warmup_steps=2), 3) for step in range(7)]
    [0.5, 1.0, 1.0, 0.1, 0.1, 0.1, 0.01]
    """
    share: float = factor ** (step // decay_steps)
    return share * warmup(step, warmup_steps=warmup_steps)


def warmup(step: int, *, warmup_steps: int) -> float:
    """Return the share of the full learning rate that a step takes: a linear rise, then all of it.

    Parameters
    ----------
    step : int
        Number of the step, from 0.
    warmup_steps : int
        Length of the rise.

    Examples
    --------
    >>> from fastconv import optim
    >>> [optim.warmup(step, warmup_steps=4) for step in range(6)]
    [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]
    """
    return (step + 1) / warmup_steps if step < warmup_steps else 1.0
