"""Batch, group and instance normalization: one operation, with the statistics of different sets of values."""

from __future__ import annotations

import numpy as np

from fastconv import _arguments
from fastconv._arguments import Activation, Array
from fastconv.norm.statistics import (
    ALL_SAMPLES,
    NormGradients,
    as_gradients,
    check_epsilon,
    normalize,
    normalize_backward,
    of_running,
    statistics,
    update_running,
)


def batch_norm(
    input: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    training: bool = True,
    momentum: float = 0.1,
    epsilon: float = 1e-5,
    activation: Activation | None = None,
    out: Array | None = None,
) -> Array:
    """Return ``(input - mean) / sqrt(variance + epsilon) * scale + bias``, channel by channel.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64, any number of spatial axes
    scale, bias : (C,) arrays, dtype of the input, optional
        1 and 0 where they are left out.
    running_mean, running_var : (C,) arrays of floats, optional
        Averages over batches. In training they are updated in place: ``running = (1 - momentum) * running +
        momentum * new``, with the unbiased variance of the batch; nothing changes with an empty batch, and the
        variance doesn't with a single value.
    training : bool
        Whether to normalize with mean and (biased) variance of this batch, or with ``running_mean`` and
        ``running_var``, which have to be there then.
    momentum : float between 0 and 1
    epsilon : float, not negative
    activation : None or str
        As of `conv2d`; applied on the way.
    out : C-contiguous array of the input's shape and dtype, optional
        Filled and returned. It must not share memory with an input.

    Returns
    -------
    array shaped like the input

    Raises
    ------
    ValueError
        Shapes that don't fit, a momentum or an epsilon out of range, statistics that are missing.
    TypeError
        A dtype other than float32 or float64, or a mix of both.

    Notes
    -----
    Sums are shifted by the mean of 64 rows and put together in double precision: the mean may be larger than the
    deviation by many orders of magnitude, and the result still errs by a few eps. The bits don't depend on the
    number of threads.

    References
    ----------
    S. Ioffe, C. Szegedy, "Batch normalization: accelerating deep network training by reducing internal covariate
    shift", ICML 2015, algorithms 1 and 2.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.batch_norm(np.array([[1.0, 5.0], [3.0, 5.0]]), epsilon=0.25, bias=np.array([0.0, 7.0])).round(3)
    array([[-0.894,  7.   ],
           [ 0.894,  7.   ]])
    """
    name = "batch_norm"
    input = _arguments.array(name, "input", input)
    if not 0 <= momentum <= 1:
        raise ValueError(f"{name}: momentum must be between 0 and 1, got {momentum}")
    check_epsilon(name, epsilon)
    running = _running(name, input, running_mean, running_var)
    if training:
        found = statistics(name, input, ALL_SAMPLES, epsilon)
    elif running is None:
        raise ValueError(f"{name}: training=False needs running_mean and running_var")
    else:
        found = of_running(*running, epsilon)
    output = normalize(name, input, ALL_SAMPLES, found, scale, bias, activation, out)
    if training and running is not None:
        update_running(*running, found, input.size // input.shape[-1], momentum)
    return output


def batch_norm_backward(
    grad_output: Array,
    input: Array,
    scale: Array | None = None,
    *,
    mean: Array | None = None,
    inverse_std: Array | None = None,
    training: bool = True,
    epsilon: float = 1e-5,
    output: Array | None = None,
) -> NormGradients:
    """Return the gradients of a loss with respect to what went into `batch_norm`.

    Parameters
    ----------
    grad_output : (N, *spatial, C) array
        Gradient with respect to the output, in front of the activation if there was one; but see ``output``.
    input, scale
        As in the forward call.
    mean, inverse_std : (C,) arrays of floats, optional
        What the input was normalized with, ``inverse_std = 1 / sqrt(variance + epsilon)``. In training they are
        computed again if they aren't given; otherwise they are the running ones, and needed.
    training : bool
        Whether mean and variance depend on the input, as in training, or are constants.
    epsilon : float
        As in the forward call.
    output : array, optional
        What a forward call with ``activation="relu"`` returned: the gradient goes through the ReLU on the way.

    Returns
    -------
    NormGradients
        Named tuple (input, scale, bias).

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([[1.0], [3.0]])
    >>> gradients = fc.batch_norm_backward(np.array([[1.0], [0.0]]), x, mean=[2.0], inverse_std=[1.0], training=False)
    >>> gradients.input.ravel(), gradients.scale, gradients.bias
    (array([1., 0.]), array([-1.]), array([1.]))
    """
    name = "batch_norm_backward"
    input = _arguments.array(name, "input", input)
    check_epsilon(name, epsilon)
    if mean is not None and inverse_std is not None:
        constants = np.asarray(mean, np.float64), np.asarray(inverse_std, np.float64)
    elif mean is not None or inverse_std is not None or not training:
        condition = "with training=False" if mean is None and inverse_std is None else "where one of them is given"
        raise ValueError(f"{name}: mean and inverse_std are both needed {condition}")
    else:
        found = statistics(name, input, ALL_SAMPLES, epsilon)
        constants = found.mean, found.inverse_std
    return as_gradients(
        normalize_backward(name, grad_output, input, ALL_SAMPLES, *constants, scale, output, constant=not training)
    )


def group_norm(
    input: Array,
    num_groups: int,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-5,
    activation: Activation | None = None,
    out: Array | None = None,
) -> Array:
    """Normalize groups of neighbouring channels, sample by sample; see `batch_norm`.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64
    num_groups : int
        A divisor of C. Mean and variance are those of all pixels and channels of a group in a sample.
    scale, bias : (C,) arrays, optional
    epsilon, activation, out
        As of `batch_norm`.

    References
    ----------
    Y. Wu, K. He, "Group normalization", ECCV 2018.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.group_norm(np.array([[1.0, 3.0, 8.0, 8.0]]), 2, epsilon=0.0001).round(2)
    array([[-1.,  1.,  0.,  0.]])
    """
    name, groups = "group_norm", _groups("group_norm", num_groups)
    return _by_sample(name, input, groups, scale, bias, epsilon, activation, out)


def group_norm_backward(
    grad_output: Array,
    input: Array,
    num_groups: int,
    scale: Array | None = None,
    *,
    epsilon: float = 1e-5,
    output: Array | None = None,
) -> NormGradients:
    """Return the gradients of `group_norm`; see `batch_norm_backward`.

    Parameters
    ----------
    grad_output : (N, *spatial, C) array
    input, num_groups, scale, epsilon
        As in the forward call.
    output : array, optional
        What a forward call with ``activation="relu"`` returned.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.group_norm_backward(np.ones((1, 4)), np.array([[1.0, 3.0, 8.0, 8.0]]), 2).bias
    array([1., 1., 1., 1.])
    """
    name, groups = "group_norm_backward", _groups("group_norm_backward", num_groups)
    return _by_sample_backward(name, grad_output, input, groups, scale, epsilon, output)


def instance_norm(
    input: Array,
    scale: Array | None = None,
    bias: Array | None = None,
    *,
    epsilon: float = 1e-5,
    activation: Activation | None = None,
    out: Array | None = None,
) -> Array:
    """Normalize every channel of every sample over its pixels; see `batch_norm`.

    Parameters
    ----------
    input : (N, *spatial, C) array of float32 or float64
    scale, bias : (C,) arrays, optional
    epsilon, activation, out
        As of `batch_norm`.

    References
    ----------
    D. Ulyanov, A. Vedaldi, V. Lempitsky, "Instance normalization: the missing ingredient for fast stylization",
    arXiv:1607.08022.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.instance_norm(np.array([[[1.0], [3.0]], [[8.0], [6.0]]]), epsilon=0.0).ravel()
    array([-1.,  1.,  1., -1.])
    """
    input = _arguments.array("instance_norm", "input", input)
    return _by_sample("instance_norm", input, _channels(input), scale, bias, epsilon, activation, out)


def instance_norm_backward(
    grad_output: Array,
    input: Array,
    scale: Array | None = None,
    *,
    epsilon: float = 1e-5,
    output: Array | None = None,
) -> NormGradients:
    """Return the gradients of `instance_norm`; see `batch_norm_backward`.

    Parameters
    ----------
    grad_output : (N, *spatial, C) array
    input, scale, epsilon
        As in the forward call.
    output : array, optional
        What a forward call with ``activation="relu"`` returned.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> gradients = fc.instance_norm_backward(np.ones((1, 2, 1)), np.array([[[1.0], [3.0]]]))
    >>> gradients.input.ravel(), gradients.scale, gradients.bias
    (array([0., 0.]), array([0.]), array([2.]))
    """
    input = _arguments.array("instance_norm_backward", "input", input)
    return _by_sample_backward("instance_norm_backward", grad_output, input, _channels(input), scale, epsilon, output)


def _by_sample(
    operation: str,
    input: Array,
    groups: int,
    scale: Array | None,
    bias: Array | None,
    epsilon: float,
    activation: Activation | None,
    out: Array | None,
) -> Array:
    input = _arguments.array(operation, "input", input)
    check_epsilon(operation, epsilon)
    found = statistics(operation, input, groups, epsilon)
    return normalize(operation, input, groups, found, scale, bias, activation, out)


def _by_sample_backward(
    operation: str,
    grad_output: Array,
    input: Array,
    groups: int,
    scale: Array | None,
    epsilon: float,
    output: Array | None,
) -> NormGradients:
    input = _arguments.array(operation, "input", input)
    check_epsilon(operation, epsilon)
    found = statistics(operation, input, groups, epsilon)
    return as_gradients(
        normalize_backward(operation, grad_output, input, groups, found.mean, found.inverse_std, scale, output)
    )


def _groups(operation: str, num_groups: int) -> int:
    number = _arguments.integer(operation, "num_groups", num_groups)
    if number < 1:
        raise ValueError(f"{operation}: num_groups must be at least 1, got {num_groups}")
    return number


def _channels(input: Array) -> int:
    """Return the number of channels; 1 where the core will find fault with the shape."""
    return max(input.shape[-1], 1) if input.ndim else 1


def _running(
    operation: str, input: Array, running_mean: Array | None, running_var: Array | None
) -> tuple[Array, Array] | None:
    if running_mean is None and running_var is None:
        return None
    for name, value in (("running_mean", running_mean), ("running_var", running_var)):
        if not isinstance(value, np.ndarray) or not np.issubdtype(value.dtype, np.floating):
            kind = value.dtype if isinstance(value, np.ndarray) else type(value).__name__
            raise TypeError(f"{operation}: {name} must be a NumPy array of floats beside the other, got {kind}")
        if value.shape != input.shape[-1:]:
            raise ValueError(f"{operation}: {name} must have shape {input.shape[-1:]}, got {value.shape}")
    assert running_mean is not None and running_var is not None
    return running_mean, running_var
