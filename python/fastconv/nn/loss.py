"""Losses: each returns its value and the gradient that the backward pass starts from."""

from __future__ import annotations

from fastconv import classification
from fastconv._arguments import Array


def cross_entropy(logits: Array, labels: Array, *, label_smoothing: float = 0.0) -> tuple[float, Array]:
    """Return the mean cross-entropy of the softmax of ``logits``, and its gradient.

    Parameters
    ----------
    logits : ndarray, (N, classes)
        Scores, float32 or float64.
    labels : ndarray of int, (N,), or of float, (N, classes)
        The right classes, 0 to ``classes - 1``, or the probability of each class.
    label_smoothing : float, default 0
        Share of the probability, in [0, 1), that is spread evenly over all classes.

    Returns
    -------
    loss : float
        The mean of ``log(sum(exp(logits))) - logits[label]``, of probabilities the sum over classes weighted with them.
    grad_logits : ndarray, (N, classes)
        Gradient of the loss: ``(softmax(logits) - probabilities) / N``.

    Raises
    ------
    ValueError
        If the shapes don't agree, a label isn't a class, or probabilities don't sum to 1.

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
    return classification.cross_entropy_and_gradient(logits, labels, label_smoothing=label_smoothing)
