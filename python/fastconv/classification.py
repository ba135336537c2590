"""Softmax and the loss of classification, each with its gradient: a few numbers per image, and therefore NumPy."""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from fastconv import _arguments
from fastconv._arguments import Array

Reduction: TypeAlias = Literal["mean", "sum"]


def softmax(input: Array, axis: int = -1) -> Array:
    """Return ``exp(input) / sum(exp(input))`` along an axis, without overflow.

    Parameters
    ----------
    input : array of float32 or float64
    axis : int

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.softmax(np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    logits = _floats("softmax", "input", input)
    axis = _axis("softmax", axis, logits)
    exponentials = np.exp(logits - logits.max(axis=axis, keepdims=True))
    result: Array = exponentials / exponentials.sum(axis=axis, keepdims=True)
    return result


def softmax_backward(grad_output: Array, output: Array, axis: int = -1) -> Array:
    """Return the gradient of `softmax` with respect to its input, from its output.

    Parameters
    ----------
    grad_output, output : arrays of one shape and dtype
    axis : int
        As in the forward call.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.softmax_backward(np.array([1.0, 0.0]), np.array([0.25, 0.75]))
    array([ 0.1875, -0.1875])
    """
    gradient = _floats("softmax_backward", "grad_output", grad_output)
    probabilities = _floats("softmax_backward", "output", output)
    if gradient.shape != probabilities.shape or gradient.dtype != probabilities.dtype:
        raise ValueError(
            f"softmax_backward: grad_output {gradient.shape} {gradient.dtype} and output "
            f"{probabilities.shape} {probabilities.dtype} must have one shape and dtype"
        )
    axis = _axis("softmax_backward", axis, gradient)
    inner = (gradient * probabilities).sum(axis=axis, keepdims=True)
    result: Array = probabilities * (gradient - inner)
    return result


def cross_entropy(logits: Array, labels: Array, *, reduction: Reduction = "mean") -> float:
    """Return the loss ``-log(softmax(logits)[label])``, averaged or summed over the batch.

    Parameters
    ----------
    logits : (N, classes) array of float32 or float64
    labels : (N,) array of integers in [0, classes)
    reduction : "mean" or "sum"

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> round(fc.cross_entropy(np.zeros((4, 10)), np.arange(4)), 6)
    2.302585
    """
    logits, labels, scale = _classification("cross_entropy", logits, labels, reduction)
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_sums = np.log(np.exp(shifted).sum(axis=1))
    losses = log_sums - shifted[np.arange(len(labels)), labels]
    return float(losses.sum(dtype=np.float64) * scale)


def cross_entropy_backward(logits: Array, labels: Array, *, reduction: Reduction = "mean") -> Array:
    """Return the gradient of `cross_entropy` with respect to the logits: softmax minus one-hot.

    Parameters
    ----------
    logits, labels, reduction
        As in the forward call.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.cross_entropy_backward(np.zeros((1, 2)), np.array([1]))
    array([[ 0.5, -0.5]])
    """
    logits, labels, scale = _classification("cross_entropy_backward", logits, labels, reduction)
    gradient = softmax(logits)
    gradient[np.arange(len(labels)), labels] -= 1
    gradient *= scale
    return gradient


def _floats(operation: str, name: str, value: object) -> Array:
    """Return the argument as an array of floats of one of the two supported kinds."""
    result = _arguments.array(operation, name, value)
    if result.dtype not in (np.float32, np.float64):
        raise TypeError(
            f"{operation}: {name} must be float32 or float64, got {result.dtype}; "
            f"convert it with {name}.astype(np.float32)"
        )
    return result


def _axis(operation: str, axis: int, array: Array) -> int:
    number = _arguments.integer(operation, "axis", axis)
    if not -array.ndim <= number < array.ndim:
        raise ValueError(f"{operation}: axis must be between {-array.ndim} and {array.ndim - 1}, got {axis}")
    return number


def _classification(operation: str, logits: object, labels: object, reduction: str) -> tuple[Array, Array, float]:
    """Check the arguments of the loss; also return what its sum is to be multiplied with."""
    scores = _floats(operation, "logits", logits)
    classes = _arguments.array(operation, "labels", labels, dtype="np.int64")
    if scores.ndim != 2 or classes.shape != scores.shape[:1]:
        raise ValueError(
            f"{operation}: logits must have shape (N, classes) and labels (N,), got {scores.shape} and {classes.shape}"
        )
    if not np.issubdtype(classes.dtype, np.integer):
        raise TypeError(f"{operation}: labels must be integers, got {classes.dtype}")
    if classes.size and not (0 <= classes.min() and classes.max() < scores.shape[1]):
        raise ValueError(
            f"{operation}: labels must be between 0 and {scores.shape[1] - 1}, "
            f"got values from {classes.min()} to {classes.max()}"
        )
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{operation}: reduction must be 'mean' or 'sum', got {reduction!r}")
    if reduction == "mean" and not classes.size:
        raise ValueError(f"{operation}: an empty batch has no mean")
    return scores, classes, 1 / len(classes) if reduction == "mean" else 1.0
