"""Which pixels a classifier's answer hangs on: gradients of a logit, at the image or at a layer inside.

A gradient says what a small change of a pixel does to the logit, not what the pixel has contributed; integrated
gradients say the latter, and Grad-CAM where the evidence lies. `draw_saliency` and `draw_grad_cam` show them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np

from fastconv import nn, resample
from fastconv._arguments import Array, integer
from fastconv.visualize.drawing import check_format, check_planes, file, grid, new_figure, show_image
from fastconv.visualize.probe import Inside


def saliency(
    model: nn.Layer,
    images: Array,
    classes: int | Array | None = None,
    method: Literal["gradient", "smooth", "integrated"] = "gradient",
    *,
    samples: int = 32,
    noise: float = 0.15,
    seed: int = 0,
    baseline: Literal["black", "mean"] | float | Array = "black",
) -> Array:
    """Return how much the logit of a class hangs on each pixel.

    Parameters
    ----------
    model : Layer
        A classifier whose output are logits, (N, classes). Stays as it is, and computes as in evaluation mode.
    images : ndarray, (N, *spatial, C)
        float32 or float64.
    classes : int or ndarray of int, (N,), optional
        Which logit; by default that of the class that the model finds most probable.
    method : {"gradient", "smooth", "integrated"}
        The gradient of the logit; its mean over ``samples`` noisy copies of the image; or its mean on the straight way
        from a ``baseline`` to the image, times the difference of the two.
    samples : int, default 32
        Number of gradients that "smooth" and "integrated" take the mean of.
    noise : float, default 0.15
        Standard deviation of the noise of "smooth", in units of the image's range of values.
    seed : int, default 0
        Where that noise comes from.
    baseline : "black", "mean", float or ndarray, default "black"
        Where the way of "integrated" begins, an image that says nothing: zeros; the image's own mean, channel by
        channel; or whatever spreads to the images' shape. What equals it has no weight: on white paper, black ink has
        all of it with the baseline 1, and none with "black".

    Returns
    -------
    ndarray, (N, *spatial)
        For "gradient" and "smooth" the largest absolute value over the channels; for "integrated" the sum over the
        channels, with its sign.

    Raises
    ------
    ValueError
        If the model is no classifier, or ``classes``, ``method``, ``samples``, ``noise`` or ``baseline`` are out of
        range.
    TypeError
        If the images are no floats.

    Notes
    -----
    Integrated gradients are complete: their sum over an image is its logit less that of the baseline. The mean is taken
    with the midpoint rule. Where activations are smooth the sum's error falls with the square of ``samples``, with
    kinks such as ReLU's and those of maximum pooling about with ``samples``: `models.simple_cnn`, trained on the
    digits, is within 1 % of the largest difference with 32 samples.

    References
    ----------
    "gradient": K. Simonyan, A. Vedaldi, A. Zisserman: Deep inside convolutional networks. ICLR workshop 2014, section
    3. "smooth": D. Smilkov et al.: SmoothGrad: removing noise by adding noise. arXiv:1706.03825, 2017, equation 2.
    "integrated": M. Sundararajan, A. Taly, Q. Yan: Axiomatic attribution for deep networks. ICML 2017, section 3.

    Examples
    --------
    A linear model has the same gradient everywhere, its weight:

    >>> import numpy as np
    >>> from fastconv import nn, visualize
    >>> model = nn.Sequential(flatten=nn.Flatten(), fc=nn.Linear(4, 2, initializer=nn.initialize.zeros))
    >>> model.layers["fc"].parameters["weight"][:, 1] = [3, -1, 0, 2]
    >>> image = np.full((1, 2, 2, 1), 0.5, np.float32)
    >>> visualize.saliency(model, image, 1)[0]
    array([[3., 1.],
           [0., 2.]], dtype=float32)
    >>> visualize.saliency(model, image, 1, "integrated")[0]
    array([[ 1.5, -0.5],
           [ 0. ,  1. ]], dtype=float32)
    """
    if method not in ("gradient", "smooth", "integrated"):
        raise ValueError(f"saliency: method is {method!r}, expected 'gradient', 'smooth' or 'integrated'")
    if integer("saliency", "samples", samples) < 1 or not noise >= 0:
        raise ValueError(f"saliency: samples={samples}, noise={noise}, expected at least 1 and at least 0")
    inside = Inside("saliency", model, gradients=True)
    inputs = inside.inputs(images)
    chosen = inside.chosen(inside.logits(inputs), classes)
    if method == "gradient":
        return np.asarray(np.abs(inside.gradient(inputs, chosen)).max(axis=-1))
    origin = _origin(inputs, baseline)
    total = np.zeros(inputs.shape)  # in float64
    rng = np.random.default_rng(seed)
    spread = noise * np.ptp(inputs, axis=tuple(range(1, inputs.ndim)), keepdims=True)
    for sample in range(samples):
        if method == "smooth":
            at = inputs + spread * rng.standard_normal(inputs.shape, np.float32)
        else:
            at = origin + (inputs - origin) * ((sample + 0.5) / samples)
        total += inside.gradient(at.astype(inputs.dtype, copy=False), chosen)
    mean = (total / samples).astype(inputs.dtype)
    return np.asarray(np.abs(mean).max(axis=-1) if method == "smooth" else (mean * (inputs - origin)).sum(axis=-1))


def _origin(images: Array, baseline: str | float | Array) -> Array:
    """Return where integrated gradients begin, in a shape that goes with the images."""
    if isinstance(baseline, str):
        if baseline not in ("black", "mean"):
            raise ValueError(f"saliency: baseline is {baseline!r}, expected 'black', 'mean', a number or an array")
        axes = tuple(range(1, images.ndim - 1))
        return np.zeros((), images.dtype) if baseline == "black" else images.mean(axis=axes, keepdims=True)
    origin = np.asarray(baseline, images.dtype)
    try:
        return np.broadcast_to(origin, images.shape)
    except ValueError:
        shapes = f"{origin.shape}, which doesn't spread to that of the images, {images.shape}"
        raise ValueError(f"saliency: baseline has shape {shapes}") from None


def grad_cam(model: nn.Layer, images: Array, classes: int | Array | None = None, layer: str | None = None) -> Array:
    """Return where in an image a layer finds the evidence for a class.

    Parameters
    ----------
    model : Layer
        A classifier whose output are logits, (N, classes). Stays as it is, and computes as in evaluation mode.
    images : ndarray, (N, *spatial, C)
        float32 or float64.
    classes : int or ndarray of int, (N,), optional
        Which logit; by default that of the class that the model finds most probable.
    layer : str, optional
        The dotted name of a layer whose output is (N, *spatial, channels), in any container; by default the last
        convolution.

    Returns
    -------
    ndarray, (N, *spatial)
        ``max(sum_k weight_k * map_k, 0)``, resized linearly to the images, where ``weight_k`` is the mean over the map
        of the gradient of the logit. All zero where nothing speaks for the class.

    Raises
    ------
    ValueError
        If the model is no classifier or has no convolution, there is no such layer, it has no map, or ``classes`` are
        out of range.
    TypeError
        If the images are no floats.

    Notes
    -----
    A weight is a mean over positions. Where the layers above treat positions alike, up to a global mean as in a ResNet,
    it says all. A dense layer over a flattened map, as in `models.simple_cnn`, weighs each position by itself: the mean
    may then be negative in all channels that are active, and the map of the last convolution zero.

    References
    ----------
    R. R. Selvaraju et al.: Grad-CAM: visual explanations from deep networks via gradient-based localization. ICCV 2017,
    equations 1 and 2.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models, visualize
    >>> visualize.grad_cam(models.lenet5(), np.zeros((2, 32, 32, 1), np.float32), layer="conv1").shape
    (2, 32, 32)
    """
    inside = Inside("grad_cam", model, gradients=True)
    if layer is None:
        layer = next(
            (name for name, found in reversed(inside.layers.items()) if isinstance(found, _CONVOLUTIONS)), None
        )
        if layer is None:
            raise ValueError("grad_cam: the model has no convolution; say which layer to look at")
    probe = inside.named(layer)
    inputs = inside.inputs(images)
    inside.gradient(inputs, inside.chosen(inside.logits(inputs), classes))
    maps, gradient = inside.output_of(layer), probe.gradient
    assert gradient is not None  # for what was passed forwards is passed backwards
    if maps.ndim != inputs.ndim:
        raise ValueError(f"grad_cam: the output of layer {layer!r} is {maps.shape}, expected (N, *spatial, channels)")
    weights = gradient.mean(axis=tuple(range(1, gradient.ndim - 1)), keepdims=True)
    evidence = np.maximum((weights * maps).sum(axis=-1, keepdims=True), 0)
    return resample.resize(evidence, size=inputs.shape[1:-1], mode="linear")[..., 0]


_CONVOLUTIONS = (nn.Conv, nn.SeparableConv, nn.ConvTranspose)


def draw_saliency(images: Array, maps: Array, *, titles: Sequence[str] = (), format: str = "png") -> bytes:
    """Draw images, and below each what its pixels weigh.

    Parameters
    ----------
    images : ndarray, (N, H, W, C)
        At most 16 are drawn.
    maps : ndarray, (N, H, W)
        As of `saliency`. Each has its own scale; where there are negative numbers, these are blue and others red.
    titles : sequence of str, default ()
        What stands above the images.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown, or the shapes don't fit.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> visualize.draw_saliency(np.eye(6).reshape(1, 6, 6, 1), np.eye(6).reshape(1, 6, 6))[1:4]
    b'PNG'
    """
    return _draw("draw_saliency", images, maps, titles, format, overlay=False)


def draw_grad_cam(images: Array, maps: Array, *, titles: Sequence[str] = (), format: str = "png") -> bytes:
    """Draw images, and below each the same with the evidence over it.

    Parameters
    ----------
    images : ndarray, (N, H, W, C)
        At most 16 are drawn.
    maps : ndarray, (N, H, W)
        As of `grad_cam`. Each has its own scale, from blue to red.
    titles : sequence of str, default ()
        What stands above the images.
    format : {"png", "svg"}
        Of the file.

    Returns
    -------
    bytes
        The file.

    Raises
    ------
    ValueError
        If ``format`` is unknown, or the shapes don't fit.
    ImportError
        If matplotlib isn't installed.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import visualize
    >>> visualize.draw_grad_cam(np.eye(6).reshape(1, 6, 6, 1), np.eye(6).reshape(1, 6, 6))[1:4]
    b'PNG'
    """
    return _draw("draw_grad_cam", images, maps, titles, format, overlay=True)


def _draw(operation: str, images: Array, maps: Array, titles: Sequence[str], format: str, *, overlay: bool) -> bytes:
    check_format(operation, format)
    check_planes(operation, "images", images, (4,))
    if maps.shape != images.shape[:3]:
        raise ValueError(f"{operation}: maps have shape {maps.shape}, expected {images.shape[:3]}")
    shown = min(len(images), 16)
    figure = new_figure(shown * 1.1 if shown > 1 else 1.6, 2.3)
    above, below_all = grid(figure, 2, shown)
    for axes, title in zip(above, titles, strict=False):
        axes.set_title(title, fontsize=8)
    for axes, below, image, values in zip(above, below_all, images, maps, strict=False):
        show_image(axes, image)
        reach = float(np.abs(values).max()) or 1.0
        style: dict[str, Any] = {"cmap": "inferno", "vmin": 0, "vmax": reach}
        if overlay:
            show_image(below, image)
            style |= {"cmap": "jet", "alpha": 0.5}
        elif values.min() < 0:
            style |= {"cmap": "RdBu_r", "vmin": -reach}
        below.imshow(values, **style)
    return file(figure, format)
