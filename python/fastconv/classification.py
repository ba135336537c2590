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
    logits = _arguments.floats("softmax", "input", input)
    axis = _axis("softmax", axis, logits)
    exponentials, sums = _exponentials(logits, axis)[1:]  # which lets go of the third array
    result: Array = exponentials / sums
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
    gradient = _arguments.floats("softmax_backward", "grad_output", grad_output)
    probabilities = _arguments.floats("softmax_backward", "output", output)
    if gradient.shape != probabilities.shape or gradient.dtype != probabilities.dtype:
        raise ValueError(
            f"softmax_backward: grad_output {gradient.shape} {gradient.dtype} and output "
            f"{probabilities.shape} {probabilities.dtype} must have one shape and dtype"
        )
    axis = _axis("softmax_backward", axis, gradient)
    inner = (gradient * probabilities).sum(axis=axis, keepdims=True)
    result: Array = probabilities * (gradient - inner)
    return result


def cross_entropy(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0, reduction: Reduction = "mean"
) -> float:
    """Return the loss ``-log(softmax(logits)[label])``, averaged or summed over the batch.

    Parameters
    ----------
    logits : (N, classes) array of float32 or float64
    labels : (N,) array of integers in [0, classes), or (N, classes) array of floats
        The right classes, or the probability of each class t: the loss is then ``-sum(t * log(softmax(logits)))``.
    label_smoothing : float, default 0
        Share of the probability, in [0, 1), that is spread evenly over all classes.
    reduction : "mean" or "sum"

    Raises
    ------
    ValueError
        If shapes don't agree, a label isn't a class, a row of probabilities doesn't sum to 1, or an option is out of
        range.
    TypeError
        If the logits are no floats, or the labels neither integers nor probabilities.

    References
    ----------
    C. Szegedy et al.: Rethinking the Inception architecture for computer vision. CVPR 2016, section 7 (smoothing).

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> round(fc.cross_entropy(np.zeros((4, 10)), np.arange(4)), 6)
    2.302585
    >>> round(fc.cross_entropy(np.array([[2.0, 0.0]]), np.array([[0.5, 0.5]])), 6)
    1.126928
    """
    logits, labels, scale = _classification("cross_entropy", logits, labels, label_smoothing, reduction)
    shifted, _, sums = _exponentials(logits)
    return _loss(shifted, sums, labels, label_smoothing, scale)


def cross_entropy_backward(
    logits: Array, labels: Array, *, label_smoothing: float = 0.0, reduction: Reduction = "mean"
) -> Array:
    """Return the gradient of `cross_entropy` with respect to the logits: softmax minus the target probabilities.

    Parameters
    ----------
    logits, labels, label_smoothing, reduction
        As in the forward call.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.cross_entropy_backward(np.zeros((1, 2)), np.array([1]))
    array([[ 0.5, -0.5]])
    >>> fc.cross_entropy_backward(np.zeros((1, 2)), np.array([1]), label_smoothing=0.2)
    array([[ 0.4, -0.4]])
    """
    logits, labels, scale = _classification("cross_entropy_backward", logits, labels, label_smoothing, reduction)
    exponentials, sums = _exponentials(logits)[1:]
    return _gradient(exponentials, sums, labels, label_smoothing, scale)


def cross_entropy_and_gradient(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> tuple[float, Array]:
    """Return what `cross_entropy` and `cross_entropy_backward` do, with one look at the arguments and one softmax."""
    logits, labels, scale = _classification("cross_entropy", logits, labels, label_smoothing, "mean")
    shifted, exponentials, sums = _exponentials(logits)
    loss = _loss(shifted, sums, labels, label_smoothing, scale)
    return loss, _gradient(exponentials, sums, labels, label_smoothing, scale)


def _exponentials(logits: Array, axis: int = -1) -> tuple[Array, Array, Array]:
    """Return the logits less their maximum, the exponentials of these, and the sums of those."""
    shifted = logits - logits.max(axis=axis, keepdims=True)
    exponentials = np.exp(shifted)
    return shifted, exponentials, exponentials.sum(axis=axis, keepdims=True)


def _loss(shifted: Array, sums: Array, labels: Array, label_smoothing: float, scale: float) -> float:
    log_sums = np.log(sums)
    if labels.ndim == 2 or label_smoothing:
        losses = (_targets(labels, label_smoothing, shifted) * (log_sums - shifted)).sum(axis=1)
    else:
        losses = log_sums[:, 0] - shifted[np.arange(len(labels)), labels]
    return float(losses.sum(dtype=np.float64) * scale)


def _gradient(exponentials: Array, sums: Array, labels: Array, label_smoothing: float, scale: float) -> Array:
    gradient: Array = exponentials / sums
    if labels.ndim == 2 or label_smoothing:
        gradient -= _targets(labels, label_smoothing, gradient)
    else:
        gradient[np.arange(len(labels)), labels] -= 1
    gradient *= scale
    return gradient


def _targets(labels: Array, label_smoothing: float, logits: Array) -> Array:
    """Return the probability of each class, (N, classes), in the dtype of the logits."""
    classes = logits.shape[1]
    if labels.ndim == 2:
        targets = labels.astype(logits.dtype)
    else:
        targets = np.zeros(logits.shape, logits.dtype)
        targets[np.arange(len(labels)), labels] = 1
    targets *= 1 - label_smoothing
    targets += label_smoothing / classes
    return targets


def _axis(operation: str, axis: int, array: Array) -> int:
    number = _arguments.integer(operation, "axis", axis)
    if not -array.ndim <= number < array.ndim:
        raise ValueError(f"{operation}: axis must be between {-array.ndim} and {array.ndim - 1}, got {axis}")
    return number


def _classification(
    operation: str, logits: object, labels: object, label_smoothing: float, reduction: str
) -> tuple[Array, Array, float]:
    """Check the arguments of the loss; also return what its sum is to be multiplied with."""
    scores = _arguments.floats(operation, "logits", logits)
    targets = _arguments.array(operation, "labels", labels, dtype="np.int64")
    if scores.ndim != 2 or targets.shape not in (scores.shape[:1], scores.shape):
        raise ValueError(
            f"{operation}: logits must have shape (N, classes) and labels (N,) or (N, classes), "
            f"got {scores.shape} and {targets.shape}"
        )
    if targets.ndim == 2:
        _check_probabilities(operation, targets)
    else:
        _check_classes(operation, targets, scores.shape[1])
    if not 0 <= label_smoothing < 1:
        raise ValueError(f"{operation}: label_smoothing is {label_smoothing}, expected 0 <= label_smoothing < 1")
    if reduction not in ("mean", "sum"):
        raise ValueError(f"{operation}: reduction must be 'mean' or 'sum', got {reduction!r}")
    if reduction == "mean" and not targets.size:
        raise ValueError(f"{operation}: an empty batch has no mean")
    return scores, targets, 1 / len(targets) if reduction == "mean" else 1.0


def _check_classes(operation: str, labels: Array, classes: int) -> None:
    if not np.issubdtype(labels.dtype, np.integer):
        raise TypeError(f"{operation}: labels must be integers, got {labels.dtype}")
    if labels.size and not (0 <= labels.min() and labels.max() < classes):
        raise ValueError(
            f"{operation}: labels must be between 0 and {classes - 1}, got values from {labels.min()} to {labels.max()}"
        )


def _check_probabilities(operation: str, targets: Array) -> None:
    if not np.issubdtype(targets.dtype, np.floating):
        raise TypeError(f"{operation}: labels of shape (N, classes) must be floats, got {targets.dtype}")
    sums = targets.sum(axis=1)
    # What rounding leaves of 1 in a thousand float16 probabilities; mistakes, such as logits, are further away.
    if targets.size and not (targets.min() >= 0 and np.abs(sums - 1).max() < 1e-2):
        raise ValueError(
            f"{operation}: labels of shape (N, classes) must be probabilities, "
            f"got values from {targets.min()} and sums from {sums.min()} to {sums.max()}"
        )
