"""Losses: each returns its value and the gradient that the backward pass starts from."""

from __future__ import annotations

from fastconv import classification
from fastconv._arguments import Array


def cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean cross-entropy of the softmax of ``logits``, and its gradient.

    Parameters
    ----------
    logits : ndarray, (N, classes)
        Scores, float32 or float64.
    labels : ndarray of int, (N,)
        The right classes, 0 to ``classes - 1``.

    Returns
    -------
    loss : float
        The mean of ``log(sum(exp(logits))) - logits[label]``.
    grad_logits : ndarray, (N, classes)
        Gradient of the loss: ``(softmax(logits) - one_hot(labels)) / N``.

    Raises
    ------
    ValueError
        If the shapes don't agree or a label isn't a class.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn
    >>> loss, grad = nn.cross_entropy(np.zeros((1, 4)), np.array([2]))
    >>> round(loss, 4)  # log(4)
    1.3863
    >>> grad
    array([[ 0.25,  0.25, -0.75,  0.25]])
    """
    return classification.cross_entropy(logits, labels), classification.cross_entropy_backward(logits, labels)
