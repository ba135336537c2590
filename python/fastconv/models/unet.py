"""U-Net: a class for every pixel, from what is near and what is far."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import DTypeLike

from fastconv import nn
from fastconv.models.parts import Parts
from fastconv.nn.initialize import Initializer


def unet(
    *,
    num_classes: int = 2,
    in_channels: int = 1,
    base_channels: int = 64,
    levels: int = 4,
    padding: Literal["same", "valid"] = "same",
    batch_norm: bool = False,
    seed: int | None = 0,
    dtype: DTypeLike = np.float32,
    initializer: Initializer | None = None,
) -> nn.Sequential:
    """Return a U-Net: 31,030,658 parameters with two classes, one channel and the paper's sizes.

    Two 3×3 convolutions, a pooling by 2, and so on downwards, with twice the channels each time; upwards, a transposed
    convolution of 2×2 doubles the size, the features of the same level on the way down come beside it, and two 3×3
    convolutions join them.

    Parameters
    ----------
    num_classes : int, default 2
        Channels of the output.
    in_channels : int, default 1
        Channels of the images.
    base_channels : int, default 64
        Channels of the first level.
    levels : int, default 4
        How often the size is halved.
    padding : "same" or "valid", default "same"
        "same" keeps sizes, which have to be multiples of ``2**levels``. "valid" computes only what the image decides
        whole, as published: 572×572 becomes 388×388, and what comes from the way down is cropped.
    batch_norm : bool, default False
        Whether a batch normalization follows every 3×3 convolution.
    seed : int or None, default 0
        Where initial weights come from; None is different each time.
    dtype : dtype, default float32
        float32 or float64.
    initializer : callable, optional
        Draws all weights: any function of `fastconv.nn.initialize`.

    Returns
    -------
    Sequential
        The model: its output are logits of every pixel, (N, H, W, num_classes). ``input_shape`` is
        (572, 572, in_channels) without padding, else (512, 512, in_channels).

    Raises
    ------
    ValueError
        If ``padding`` is something else, or ``levels`` below 1.

    References
    ----------
    O. Ronneberger, P. Fischer, T. Brox: U-Net: convolutional networks for biomedical image segmentation. MICCAI 2015,
    figure 1.

    Examples
    --------
    >>> import numpy as np
    >>> from fastconv import models
    >>> model = models.unet(num_classes=3, base_channels=4, levels=2)
    >>> model(np.zeros((1, 16, 24, 1), np.float32)).shape
    (1, 16, 24, 3)
    """
    if padding not in ("same", "valid"):
        raise ValueError(f"unet: padding is {padding!r}, expected 'same' or 'valid'")
    if levels < 1:
        raise ValueError(f"unet: levels is {levels}, expected 1 or more")
    make = Parts(seed, dtype, initializer)

    def convolutions(in_channels: int, width: int) -> nn.Sequential:
        layers: dict[str, nn.Layer] = {}
        for number, channels in (("1", in_channels), ("2", width)):
            activation = None if batch_norm else "relu"
            layers[f"conv{number}"] = make.conv(channels, width, 3, padding=padding, activation=activation)
            if batch_norm:
                layers[f"bn{number}"] = make.norm(width, "relu")
        return nn.Sequential(**layers)

    def level(depth: int, in_channels: int) -> nn.Sequential:
        width = base_channels * 2**depth
        down = convolutions(in_channels, width)
        if depth == levels:
            return down
        below = nn.Sequential(
            pool=nn.MaxPool2d(2), inner=level(depth + 1, width), enlarge=make.enlarge(2 * width, width)
        )
        # Without padding, the way through the level below loses 8 pixels in two pairs of convolutions there, or one
        # at the bottom, and twice what is lost further down: 4 at each side, 16, 40, 88.
        crop = 4 * (3 * 2 ** (levels - 1 - depth) - 2) if padding == "valid" else 0
        beside = nn.Sequential(crop=nn.Crop(crop)) if crop else nn.Sequential()
        return nn.Sequential(
            down=down, both=nn.Concatenate(beside=beside, below=below), up=convolutions(2 * width, width)
        )

    model = level(0, in_channels)
    model.layers["head"] = make.conv(base_channels, num_classes, 1)
    size = 572 if padding == "valid" else 512
    model.input_shape = (size, size, in_channels)
    return model
