"""Clipping: a gradient that is too long is made shorter, as a whole, so that its direction stays."""

from __future__ import annotations

import math

import numpy as np

from fastconv.nn import Layer


def clip_gradients(model: Layer, max_norm: float) -> float:
    """Scale the gradients of a model so that their common norm is ``max_norm`` at most.

    Parameters
    ----------
    model : Layer
        Whose ``gradients`` to scale, in place.
    max_norm : float
        The longest that all gradients together, seen as one vector, may be.

    Returns
    -------
    float
        The norm as it was before, summed in double precision.

    Raises
    ------
    ValueError
        If ``max_norm`` isn't positive.

    References
    ----------
    R. Pascanu, T. Mikolov, Y. Bengio: On the difficulty of training recurrent neural networks. ICML 2013, section 3.2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import nn, optim
    >>> layer = nn.Linear(2, 1, bias=False)
    >>> layer.gradients["weight"][...] = [[3], [4]]
    >>> optim.clip_gradients(layer, 1.0)
    5.0
    >>> layer.gradients["weight"].ravel()
    array([0.6, 0.8], dtype=float32)
    """
    if not max_norm > 0:
        raise ValueError(f"clip_gradients: max_norm is {max_norm}, expected a positive number")
    # einsum sums in order, in double, and without a copy; BLAS would sum in an order that depends on its threads.
    flat = [gradient.ravel() for gradient in model.gradients.values()]
    norm = math.sqrt(sum(float(np.einsum("i,i->", one, one, dtype=np.float64)) for one in flat))
    if norm > max_norm:
        for gradient in model.gradients.values():
            gradient *= max_norm / norm
    return norm
