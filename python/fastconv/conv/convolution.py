"""Convolution in one, two and three dimensions, and its gradients.

What CNNs call convolution is the cross-correlation of input and weight:

    output[n, p, k] = bias[k] + sum over taps t, channels c of
                      input[n, p * stride - pad + t * dilation, c] * weight[t, c, k]

with zeros where a position lies in the padding (or what ``padding_mode`` says), p and t running over the spatial axes.
The convolution of mathematics is the same with ``weight[::-1, ::-1]``. The number of outputs along an axis is
``(input + pads - dilation * (kernel - 1) - 1) // stride + 1``.
"""

from __future__ import annotations

from collections.abc import Iterable

from fastconv._arguments import Activation, Array, Padding, PaddingMode, Size
from fastconv.conv.passes import ConvGradients, backward, forward


def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of sequences; see `conv2d` for everything that the ranks share.

    Parameters
    ----------
    input : (N, L, C) or (L, C) array of float32 or float64
        Sequences, channels last.
    weight : (kernel, C // groups, K) array, dtype of the input
    bias : (K,) array, optional
    stride, dilation : int or (int,)
    padding : int, ((before, after),), "valid", "same", "same_lower", "full" or "causal"
        "causal" pads before the sequence only: output i depends on inputs up to i.
    groups : int
    padding_mode : "zeros", "reflect", "replicate" or "circular"
    activation : None or str
    algorithm : str
        "auto" or one of `algorithms`.
    out : array, optional
        Filled and returned.

    Returns
    -------
    (N, L_out, K) array, or (L_out, K) where the input has no batch axis

    Notes
    -----
    Long kernels, of 8 taps and more, are where "auto" may take the algorithm "fft" (any dilation and groups, stride 1;
    in 2-D and 3-D kernels along the width alone). It cuts the sequence in blocks of a few times the kernel's length and
    multiplies their Fourier transforms. Its error is a few log2(block) * eps, times the root mean square of the outputs
    of the whole block, small outputs beside large ones included; a NaN or an infinity spreads over its block and a
    neighbour, of this or another sequence of the batch, and in the gradient of the weight over everything. With
    ``algorithm="direct"`` it reaches exactly the outputs that see it, and the error is as in `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> signal = np.array([[[1.0], [2.0], [4.0], [7.0]]])
    >>> difference = np.array([[[-1.0]], [[1.0]]])
    >>> fc.conv1d(signal, difference)[0, :, 0]
    array([1., 2., 3.])
    """
    return forward(
        "conv1d", 1, input, weight, bias, stride, padding, dilation, groups, padding_mode, activation, algorithm, out
    )


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of images with a bank of filters.

    Parameters
    ----------
    input : (N, H, W, C) or (H, W, C) array of float32 or float64
        Images, channels last. Any strides: ``x.transpose(0, 2, 3, 1)`` is how channels-first data comes in
        (where channels aren't contiguous it is copied once, or read as it is, as mostly by large 1x1 layers).
    weight : (kernel_h, kernel_w, C // groups, K) array, dtype of the input
        The filters. OIHW weights come in as ``w.transpose(2, 3, 1, 0)``.
    bias : (K,) array, optional
        Added to every output pixel.
    stride, dilation : int or (int, int)
        Distance of neighbouring windows, and of neighbouring taps inside a window.
    padding : int, (int, int), ((before, after), (before, after)) or str
        Zeros around the image: one number, one per axis, one pair per axis, or a name: "valid" (none),
        "same" (output = ceil(input / stride), the odd one after), "same_lower" (the odd one before),
        "full" (every window that touches the image).
    groups : int
        Input and output channels fall into that many groups that don't see each other; groups=C is a
        depthwise convolution.
    padding_mode : "zeros", "reflect", "replicate" or "circular"
        What stands in the padding: zeros, the input mirrored about its edge pixels, the edge pixels themselves, or the
        pixels of the other end. A reflection reaches as far as extent - 1, a circle as far as the extent. There is no
        padded copy of the input.
    activation : None or str
        "relu", which is applied as the output is stored, or another of the activations ("relu6", "leaky_relu",
        "sigmoid", "tanh", "silu", "hardswish", "gelu"), which run over the output.
    algorithm : str
        "auto" or one of `algorithms`; `explain` tells what "auto" takes.
    out : C-contiguous array of the output's shape and dtype, optional
        Filled and returned. It must not share memory with an input.

    Returns
    -------
    (N, H_out, W_out, K) array, or (H_out, W_out, K) where the input has no batch axis

    Raises
    ------
    ValueError
        Shapes that don't fit, values out of range; the message says what was expected and what came.
    TypeError
        A dtype other than float32 or float64, or a mix of both.

    Notes
    -----
    Sums are accumulated in the dtype of the input, in one fixed order: the bits don't depend on the number
    of threads. The error against exact arithmetic is of the order of sqrt(taps * C / groups) * eps, times
    the size of the summands. Denormals (below 1.2e-38 in float32, 2.2e-308 in float64), which processors
    are slow with, count as zero, as inputs and as results; NumPy's own arithmetic keeps them.

    Kernels of 2, 3 and 5 taps with many channels, dilated or not, and larger ones at a stride, are where "auto" takes
    the algorithm "winograd", up to three times as fast. It rounds more: up to three times the error of direct
    summation (root mean square), relative to the largest values of a tile of 6 x 6 pixels, over which a NaN or an
    infinity spreads.
    ``algorithm="direct"`` or ``fc.options(winograd=False)`` do without (docs/winograd.md has the measurements).

    References
    ----------
    A. Lavin and S. Gray, "Fast algorithms for convolutional neural networks", CVPR 2016.
    V. Dumoulin and F. Visin, "A guide to convolution arithmetic for deep learning", 2016, sections 2 and 3.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> image = np.arange(25.0).reshape(1, 5, 5, 1)
    >>> edges = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]]).reshape(3, 3, 1, 1)
    >>> fc.conv2d(image, edges)[0, :, :, 0]
    array([[-8., -8., -8.],
           [-8., -8., -8.],
           [-8., -8., -8.]])
    >>> fc.conv2d(image, edges, stride=2, padding="same").shape
    (1, 3, 3, 1)
    """
    return forward(
        "conv2d", 2, input, weight, bias, stride, padding, dilation, groups, padding_mode, activation, algorithm, out
    )


def conv3d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    activation: Activation | None = None,
    algorithm: str = "auto",
    out: Array | None = None,
) -> Array:
    """Convolve a batch of volumes; see `conv2d` for everything that the ranks share.

    Parameters
    ----------
    input : (N, D, H, W, C) or (D, H, W, C) array of float32 or float64
        Volumes, channels last.
    weight : (kernel_d, kernel_h, kernel_w, C // groups, K) array, dtype of the input
    bias : (K,) array, optional
    stride, dilation : int or (int, int, int)
    padding : int, one int or (before, after) pair per axis, "valid", "same", "same_lower" or "full"
    groups : int
    padding_mode : "zeros", "reflect", "replicate" or "circular"
    activation : None or str
    algorithm : str
        "auto" or one of `algorithms`.
    out : array, optional
        Filled and returned.

    Returns
    -------
    (N, D_out, H_out, W_out, K) array, without the batch axis where the input has none

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> volume = np.ones((1, 4, 4, 4, 2), np.float32)
    >>> fc.conv3d(volume, np.ones((2, 2, 2, 2, 3), np.float32))[0, 0, 0, 0]
    array([16., 16., 16.], dtype=float32)
    """
    return forward(
        "conv3d", 3, input, weight, bias, stride, padding, dilation, groups, padding_mode, activation, algorithm, out
    )


def conv1d_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> ConvGradients:
    """Return the gradients of `conv1d`; see `conv2d_backward`.

    Parameters
    ----------
    grad_output : (N, L_out, K) array
    input : (N, L, C) array
    weight : (kernel, C // groups, K) array
    stride, padding, dilation, groups, padding_mode, algorithm
        As in the forward call.
    wrt : names among "input", "weight" and "bias"

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 4, 1)), np.ones((2, 1, 1))
    >>> fc.conv1d_backward(np.ones((1, 3, 1)), x, w).input[0, :, 0]
    array([1., 2., 2., 1.])
    """
    return backward(
        "conv1d_backward",
        1,
        grad_output,
        input,
        weight,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        algorithm,
        wrt,
    )


def conv2d_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> ConvGradients:
    """Return the gradients of a loss with respect to what went into `conv2d`.

    Parameters
    ----------
    grad_output : (N, H_out, W_out, K) or (H_out, W_out, K) array
        Gradient of the loss with respect to the output. Where the forward call had an activation, it is
        the gradient in front of it: ``relu_backward(grad, output)`` first.
    input, weight
        As in the forward call.
    stride, padding, dilation, groups, padding_mode, algorithm
        As in the forward call.
    wrt : names among "input", "weight" and "bias"
        What to compute; the first layer of a network doesn't need "input".

    Returns
    -------
    ConvGradients
        Named tuple (input, weight, bias): arrays shaped like their namesakes, None where not asked for.

    Raises
    ------
    ValueError, TypeError
        As in the forward call.

    Notes
    -----
    grad_input is the convolution of grad_output with the transposed weight, grad_weight the correlation of
    input and grad_output, grad_bias the sum of grad_output over batch and pixels. Accuracy as in `conv2d`.

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 3, 3, 1)), np.ones((2, 2, 1, 1))
    >>> gradients = fc.conv2d_backward(np.ones((1, 2, 2, 1)), x, w)
    >>> gradients.input[0, :, :, 0]
    array([[1., 2., 1.],
           [2., 4., 2.],
           [1., 2., 1.]])
    >>> gradients.bias
    array([4.])
    """
    return backward(
        "conv2d_backward",
        2,
        grad_output,
        input,
        weight,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        algorithm,
        wrt,
    )


def conv3d_backward(
    grad_output: Array,
    input: Array,
    weight: Array,
    *,
    stride: Size = 1,
    padding: Padding = 0,
    dilation: Size = 1,
    groups: int = 1,
    padding_mode: PaddingMode = "zeros",
    algorithm: str = "auto",
    wrt: Iterable[str] = ("input", "weight", "bias"),
) -> ConvGradients:
    """Return the gradients of `conv3d`; see `conv2d_backward`.

    Parameters
    ----------
    grad_output : (N, D_out, H_out, W_out, K) array
    input : (N, D, H, W, C) array
    weight : (kernel_d, kernel_h, kernel_w, C // groups, K) array
    stride, padding, dilation, groups, padding_mode, algorithm
        As in the forward call.
    wrt : names among "input", "weight" and "bias"

    Examples
    --------
    >>> import numpy as np, fastconv as fc
    >>> x, w = np.ones((1, 2, 2, 2, 1)), np.ones((1, 1, 1, 1, 3))
    >>> fc.conv3d_backward(np.ones((1, 2, 2, 2, 3)), x, w, wrt=["weight"]).weight.ravel()
    array([8., 8., 8.])
    """
    return backward(
        "conv3d_backward",
        3,
        grad_output,
        input,
        weight,
        stride,
        padding,
        dilation,
        groups,
        padding_mode,
        algorithm,
        wrt,
    )
