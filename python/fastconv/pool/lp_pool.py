"""Pooling by the p-norm in one, two and three dimensions, and its gradient.

Every output is ``(sum of |x| ** norm_type) ** (1 / norm_type)`` over its window: powers and roots around the sum that
`avg_pool2d` takes with a divisor of one. A norm of 1 is that sum itself, a large one comes near the maximum.
"""

from __future__ import annotations

import numpy as np

from fastconv import _arguments, _core
from fastconv._arguments import Array, Padding, Size
from fastconv._half import accepts_half


def _norm(operation: str, norm_type: object) -> float:
    try:
        norm = float(norm_type)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        raise TypeError(f"{operation}: norm_type must be a number, got {norm_type!r}") from None
    if not 1 <= norm < np.inf:
        raise ValueError(f"{operation}: norm_type must be at least 1 and finite, got {norm_type!r}")
    return norm


def _power(values: Array, exponent: float) -> Array:
    """Return ``values ** exponent`` in their dtype, by the cheapest way."""
    if exponent == 1:
        return values
    if exponent == 2:
        return np.square(values)
    if exponent == 0.5:
        return np.sqrt(values)
    result: Array = np.power(values, values.dtype.type(exponent))
    return result


@accepts_half
def lp_forward(
    operation: str,
    rank: int,
    input: object,
    kernel_size: object,
    norm_type: float,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
    out: Array | None,
) -> Array:
    """Pool; what the functions of all ranks share."""
    source = _arguments.floats(operation, "input", input)
    norm = _norm(operation, norm_type)
    window = _arguments.pool_window(
        operation, rank, kernel_size, stride, padding, dilation, "ceil" if ceil_mode else "floor"
    )
    powers = _power(np.abs(source), norm)
    sums = _core.avg_pool_forward(powers, window, True, 1, _arguments.output(operation, out))
    sums[...] = _power(sums, 1 / norm)
    return sums


@accepts_half
def lp_backward(
    operation: str,
    rank: int,
    grad_output: object,
    input: object,
    output: object,
    kernel_size: object,
    norm_type: float,
    stride: object,
    padding: object,
    dilation: object,
    ceil_mode: bool,
) -> Array:
    """Return the gradient; what the functions of all ranks share."""
    gradient = _arguments.floats(operation, "grad_output", grad_output)
    source = _arguments.floats(operation, "input", input)
    norms = _arguments.floats(operation, "output", output)
    norm = _norm(operation, norm_type)
    if not gradient.dtype == source.dtype == norms.dtype:
        raise TypeError(
            f"{operation}: grad_output, input and output must have one dtype, "
            f"got {gradient.dtype}, {source.dtype} and {norms.dtype}"
        )
    if norms.shape != gradient.shape:
        raise ValueError(f"{operation}: output must have the shape of grad_output {gradient.shape}, got {norms.shape}")
    window = _arguments.pool_window(
        operation, rank, kernel_size, stride, padding, dilation, "ceil" if ceil_mode else "floor"
    )
    # d(output) / d(x) = sign(x) * (|x| / output) ** (norm - 1), and a window of zeros has no slope: it gets none.
    nothing = norms == 0
    shares = np.where(nothing, 0, gradient / _power(np.where(nothing, 1, norms), norm - 1)).astype(source.dtype)
    spread = _core.avg_pool_backward(shares, source.shape, window, True, 1)
    spread *= np.sign(source) * (_power(np.abs(source), norm - 1) if norm != 1 else 1)
    return spread


def lp_pool2d(
    input: Array,
    kernel_size: Size,
    *,
    norm_type: float = 2.0,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of every window of a batch of images.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64, or float16 or bfloat16
    kernel_size, stride, padding, dilation, ceil_mode, out
        As in `max_pool2d`; padding counts as zero.
    norm_type : float, at least 1
        The p of the norm.

    Returns
    -------
    (N, H_out, W_out, C) array, without the batch axis where the input has none

    Raises
    ------
    ValueError
        Shapes that don't fit, values out of range.
    TypeError
        Another dtype.

    Notes
    -----
    Powers overflow where values are large: in float32 and with a norm of 2 beyond 1e19.

    References
    ----------
    P. Sermanet, S. Chintala and Y. LeCun, "Convolutional neural networks applied to house numbers digit
    classification", 2012, section 2.2.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.lp_pool2d(np.array([3.0, -4.0, 0.0, 0.0]).reshape(1, 2, 2, 1), (1, 2)).ravel()
    array([5., 0.])
    """
    return lp_forward("lp_pool2d", 2, input, kernel_size, norm_type, stride, padding, dilation, ceil_mode, out)


def lp_pool2d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    kernel_size: Size,
    *,
    norm_type: float = 2.0,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return the gradient of `lp_pool2d`.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, C) array
    input : (N, H, W, C) array
    output : (N, H_out, W_out, C) array
        What the forward call returned.
    kernel_size, norm_type, stride, padding, dilation, ceil_mode
        As in the forward call.

    Returns
    -------
    array of the input's shape; zero where all windows of a pixel are zero throughout, which have no slope

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([3.0, -4.0]).reshape(1, 1, 2, 1)
    >>> y = fc.lp_pool2d(x, (1, 2))
    >>> fc.lp_pool2d_backward(np.ones_like(y), x, y, (1, 2)).ravel()
    array([ 0.6, -0.8])
    """
    return lp_backward(
        "lp_pool2d_backward",
        2,
        grad_output,
        input,
        output,
        kernel_size,
        norm_type,
        stride,
        padding,
        dilation,
        ceil_mode,
    )


def lp_pool1d(
    input: Array,
    kernel_size: Size,
    *,
    norm_type: float = 2.0,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of every window of a batch of sequences; see `lp_pool2d`.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
    kernel_size, norm_type, stride, padding, dilation, ceil_mode, out
        As in `lp_pool2d`, with one axis.

    Returns
    -------
    (N, L_out, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.lp_pool1d(np.array([3.0, -4.0]).reshape(1, 2, 1), 2).ravel()
    array([5.])
    """
    return lp_forward("lp_pool1d", 1, input, kernel_size, norm_type, stride, padding, dilation, ceil_mode, out)


def lp_pool1d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    kernel_size: Size,
    *,
    norm_type: float = 2.0,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return the gradient of `lp_pool1d`; see `lp_pool2d_backward`.

    Parameters
    ----------
    grad_output, output : (N, L_out, C) arrays
    input : (N, L, C) array
    kernel_size, norm_type, stride, padding, dilation, ceil_mode
        As in the forward call.

    Returns
    -------
    array of the input's shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([3.0, -4.0]).reshape(1, 2, 1)
    >>> y = fc.lp_pool1d(x, 2)
    >>> fc.lp_pool1d_backward(np.ones_like(y), x, y, 2).ravel()
    array([ 0.6, -0.8])
    """
    return lp_backward(
        "lp_pool1d_backward",
        1,
        grad_output,
        input,
        output,
        kernel_size,
        norm_type,
        stride,
        padding,
        dilation,
        ceil_mode,
    )


def lp_pool3d(
    input: Array,
    kernel_size: Size,
    *,
    norm_type: float = 2.0,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    out: Array | None = None,
) -> Array:
    """Take the p-norm of every window of a batch of volumes; see `lp_pool2d`.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
    kernel_size, norm_type, stride, padding, dilation, ceil_mode, out
        As in `lp_pool2d`, with three axes.

    Returns
    -------
    (N, D_out, H_out, W_out, C) array

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> fc.lp_pool3d(np.array([3.0, -4.0]).reshape(1, 1, 1, 2, 1), (1, 1, 2)).ravel()
    array([5.])
    """
    return lp_forward("lp_pool3d", 3, input, kernel_size, norm_type, stride, padding, dilation, ceil_mode, out)


def lp_pool3d_backward(
    grad_output: Array,
    input: Array,
    output: Array,
    kernel_size: Size,
    *,
    norm_type: float = 2.0,
    stride: Size | None = None,
    padding: Padding = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> Array:
    """Return the gradient of `lp_pool3d`; see `lp_pool2d_backward`.

    Parameters
    ----------
    grad_output, output : (N, D_out, H_out, W_out, C) arrays
    input : (N, D, H, W, C) array
    kernel_size, norm_type, stride, padding, dilation, ceil_mode
        As in the forward call.

    Returns
    -------
    array of the input's shape

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x = np.array([3.0, -4.0]).reshape(1, 1, 1, 2, 1)
    >>> y = fc.lp_pool3d(x, (1, 1, 2))
    >>> fc.lp_pool3d_backward(np.ones_like(y), x, y, (1, 1, 2)).ravel()
    array([ 0.6, -0.8])
    """
    return lp_backward(
        "lp_pool3d_backward",
        3,
        grad_output,
        input,
        output,
        kernel_size,
        norm_type,
        stride,
        padding,
        dilation,
        ceil_mode,
    )
