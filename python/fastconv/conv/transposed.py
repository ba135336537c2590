"""Transposed convolution in one, two and three dimensions, and its gradients.

It is the gradient of a convolution with respect to its input, taken for an operation of its own: every value of the
input is multiplied with the whole kernel, and what falls on the same place of the output is added,

    output[n, p * stride - pad + t * dilation, k] += input[n, p, c] * weight[t, k, c]

so that it makes images larger where a convolution makes them smaller. The number of outputs along an axis is
``(input - 1) * stride - pads + dilation * (kernel - 1) + 1 + output_padding``.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastconv._arguments import Activation, Array, Padding, Size
from fastconv.conv.passes import ConvGradients, transposed_backward, transposed_forward


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of images transposed: the gradient of a convolution, as an operation that enlarges.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64
        Images, channels last, any strides.
    weight : (kernel_h, kernel_w, K // groups, C) array, dtype of the input
        The weight of the convolution that this is the gradient of: from K channels to C. PyTorch's, (C, K // groups,
        kernel_h, kernel_w), comes in as ``w.transpose(2, 3, 1, 0)``; Keras's as it is.
    bias : (K,) array, optional
    stride : int or (int, int)
        How far apart neighbouring pixels of the input land.
    padding : int, (int, int), ((before, after), (before, after)) or str
        What is cut off at the edges of the output. "same": the output is input * stride; other names, "valid" (nothing
        cut off) first of all, as in the convolution that this is the gradient of.
    output_padding : int or (int, int)
        Rows and columns added after the others: which of the sizes that a strided convolution brings to the size of
        the input. Smaller than the stride or the dilation; 0 with "same".
    dilation, groups, activation, algorithm, out
        As in `conv2d`.

    Returns
    -------
    (N, H_out, W_out, K) array, or (H_out, W_out, K) where the input has no batch axis
        ``H_out = (H - 1) * stride - pads + dilation * (kernel - 1) + 1 + output_padding``.

    Raises
    ------
    ValueError
        Shapes that don't fit, values out of range, an output without pixels.
    TypeError
        A dtype other than float32 or float64, or a mix of both.

    Notes
    -----
    It runs on the algorithms of the gradient of a convolution's input, with their accuracy (`conv2d`): no zeros are
    inserted, and nothing is prepared for a shape.

    References
    ----------
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016, section 4.
    M. Zeiler et al., "Deconvolutional networks", CVPR 2010.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.array([[1.0, 2], [3, 4]]).reshape(1, 2, 2, 1)
    >>> fc.conv_transpose2d(image, np.ones((2, 2, 1, 1)), stride=2)[0, :, :, 0]
    array([[1., 1., 2., 2.],
           [1., 1., 2., 2.],
           [3., 3., 4., 4.],
           [3., 3., 4., 4.]])
    """
    return transposed_forward(
        "conv_transpose2d",
        2,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        activation,
        algorithm,
        out,
    )


def conv_transpose1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of sequences transposed; see `conv_transpose2d` for everything that the ranks share.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
    weight : (kernel, K // groups, C) array, dtype of the input
    bias : (K,) array, optional
    stride, padding, output_padding, dilation, groups, activation, algorithm, out
        As in `conv_transpose2d`, with one axis.

    Returns
    -------
    (N, L_out, K) array, or (L_out, K) where the input has no batch axis

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> frames = np.array([[[1.0], [2.0], [3.0]]])
    >>> fc.conv_transpose1d(frames, np.ones((4, 1, 1)), stride=2)[0, :, 0]  # overlap and add
    array([1., 1., 3., 3., 5., 5., 3., 3.])
    """
    return transposed_forward(
        "conv_transpose1d",
        1,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        activation,
        algorithm,
        out,
    )


def conv_transpose3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of volumes transposed; see `conv_transpose2d` for everything that the ranks share.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
    weight : (kernel_d, kernel_h, kernel_w, K // groups, C) array, dtype of the input
    bias : (K,) array, optional
    stride, padding, output_padding, dilation, groups, activation, algorithm, out
        As in `conv_transpose2d`, with three axes.

    Returns
    -------
    (N, D_out, H_out, W_out, K) array, without the batch axis where the input has none

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> volume = np.ones((1, 4, 4, 4, 8), np.float32)
    >>> fc.conv_transpose3d(volume, np.ones((2, 2, 2, 3, 8), np.float32), stride=2).shape
    (1, 8, 8, 8, 3)
    """
    return transposed_forward(
        "conv_transpose3d",
        3,
        input,
        weight,
        bias,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        activation,
        algorithm,
        out,
    )


def conv_transpose2d_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    algorithm: str = "auto",
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> ConvGradients:
    """Return the gradients of a loss with respect to what went into `conv_transpose2d`.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, K) or (H_out, W_out, K) array
        Gradient with respect to the output, in front of an activation.
    input, weight, stride, padding, output_padding, dilation, groups, algorithm
        As in the forward call.
    wrt : names among "input", "weight" and "bias"

    Returns
    -------
    ConvGradients
        Named tuple (input, weight, bias); None where not asked for.

    Notes
    -----
    grad_input is the convolution of grad_output with the weight; grad_weight is that convolution's gradient.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 2, 1)), np.ones((2, 2, 1, 1))
    >>> fc.conv_transpose2d_backward(np.ones((1, 4, 4, 1)), x, w, stride=2).input[0, :, :, 0]
    array([[4., 4.],
           [4., 4.]])
    """
    return transposed_backward(
        "conv_transpose2d_backward",
        2,
        grad_output,
        input,
        weight,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        algorithm,
        wrt,
    )


def conv_transpose1d_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    algorithm: str = "auto",
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> ConvGradients:
    """Return the gradients of `conv_transpose1d`; takes the arguments of `conv_transpose2d_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 3, 1)), np.ones((4, 1, 1))
    >>> fc.conv_transpose1d_backward(np.ones((1, 8, 1)), x, w, stride=2).input[0, :, 0]
    array([4., 4., 4.])
    """
    return transposed_backward(
        "conv_transpose1d_backward",
        1,
        grad_output,
        input,
        weight,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        algorithm,
        wrt,
    )


def conv_transpose3d_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    output_padding: Size = 0,
    dilation: Size = 1,
    groups: int = 1,
    algorithm: str = "auto",
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> ConvGradients:
    """Return the gradients of `conv_transpose3d`; takes the arguments of `conv_transpose2d_backward`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 1, 1, 1, 1)), np.ones((2, 2, 2, 1, 1))
    >>> fc.conv_transpose3d_backward(np.ones((1, 2, 2, 2, 1)), x, w, stride=2).input.ravel()
    array([8.])
    """
    return transposed_backward(
        "conv_transpose3d_backward",
        3,
        grad_output,
        input,
        weight,
        stride,
        padding,
        output_padding,
        dilation,
        groups,
        algorithm,
        wrt,
    )
