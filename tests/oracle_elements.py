"""The oracle of what goes element by element and channel by channel: activations and normalizations.

As in `oracle.py`, NumPy alone, as plain as the formulas. Activations are computed in long double, which on most
machines has digits to spare, so that units in the last place of a double can be counted.
"""

from __future__ import annotations

import math

import numpy as np

LONG = np.longdouble

# Activations: a function of the input, and its slope, which multiplies the gradient.


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def normal_below(x):
    """The distribution function of a normal variable, elementwise."""
    return np.array([_below(value) for value in np.ravel(x)], LONG).reshape(np.shape(x))


def normal_density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * LONG(math.pi) + LONG(2.4492935982947064e-16))  # pi - math.pi is 1.22e-16


def _below(x):
    """The power series near zero, a continued fraction in the tails (Abramowitz and Stegun, 26.2.11 and 26.2.14)."""
    if np.isnan(x):
        return x
    if abs(x) < 3:
        term, total = x, x
        for odd in range(3, 101, 2):
            term = term * x * x / odd
            total += term
        return LONG(0.5) + normal_density(x) * total
    fraction = abs(x)
    for number in range(200, 0, -1):
        fraction = abs(x) + number / fraction
    tail = normal_density(x) / fraction
    return tail if x < 0 else 1 - tail


def activate(name, x, slope=0.01):
    x = np.asarray(x, LONG)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return {
            "relu": lambda: np.where(x > 0, x, 0 * x),
            "relu6": lambda: np.clip(x, 0, 6),
            "leaky_relu": lambda: np.where(x > 0, x, slope * x),
            "sigmoid": lambda: sigmoid(x),
            "tanh": lambda: np.tanh(x),
            "silu": lambda: x * sigmoid(x),
            "hardswish": lambda: x * np.clip(x + 3, 0, 6) / 6,
            "gelu": lambda: x * normal_below(x),
        }[name]()


def activation_slope(name, x, slope=0.01):
    x = np.asarray(x, LONG)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        return {
            "relu": lambda: np.where(x > 0, 1, LONG(0)),
            "relu6": lambda: np.where((x > 0) & (x < 6), 1, LONG(0)),
            "leaky_relu": lambda: np.where(x > 0, 1, LONG(slope)),
            "sigmoid": lambda: sigmoid(x) * sigmoid(-x),
            "tanh": lambda: 1 / np.cosh(x) ** 2,
            "silu": lambda: sigmoid(x) * (1 + x * sigmoid(-x)),
            "hardswish": lambda: np.where(x <= -3, 0, np.where(x >= 3, 1, (2 * x + 3) / 6)),
            "gelu": lambda: normal_below(x) + x * normal_density(x),
        }[name]()


# Normalizations. Every value minus the mean of its set, over the deviation of that set; sets differ.


def _normalized(x, axes, epsilon):
    mean = x.mean(axis=axes, keepdims=True)
    return (x - mean) / np.sqrt(np.square(x - mean).mean(axis=axes, keepdims=True) + LONG(epsilon))


def batch_norm(x, scale=1, bias=0, *, epsilon=1e-5):
    x = np.asarray(x, LONG)
    return _normalized(x, tuple(range(x.ndim - 1)), epsilon) * scale + bias


def batch_norm_of(x, mean, variance, scale=1, bias=0, *, epsilon=1e-5):
    """With statistics that are given."""
    return (np.asarray(x, LONG) - mean) / np.sqrt(np.asarray(variance, LONG) + LONG(epsilon)) * scale + bias


def group_norm(x, num_groups, scale=1, bias=0, *, epsilon=1e-5):
    x = np.asarray(x, LONG)
    groups = x.reshape(x.shape[0], math.prod(x.shape[1:-1]), num_groups, x.shape[-1] // num_groups)
    return _normalized(groups, (1, 3), epsilon).reshape(x.shape) * scale + bias


def instance_norm(x, scale=1, bias=0, *, epsilon=1e-5):
    x = np.asarray(x, LONG)
    return _normalized(x, tuple(range(1, x.ndim - 1)), epsilon) * scale + bias


def layer_norm(x, scale=1, bias=0, *, epsilon=1e-5):
    return _normalized(np.asarray(x, LONG), -1, epsilon) * scale + bias


def local_response_norm(x, size=5, *, alpha=1e-4, beta=0.75, k=1.0):
    x = np.asarray(x, LONG)
    channels = x.shape[-1]
    sums = np.zeros_like(x)
    for c in range(channels):
        first, last = max(c - (size - 1) // 2, 0), min(c + size // 2, channels - 1)
        sums[..., c] = np.square(x[..., first : last + 1]).sum(axis=-1)
    return x / (LONG(k) + LONG(alpha) / size * sums) ** LONG(beta)
