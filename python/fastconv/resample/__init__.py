"""Resampling: sizes changed by interpolation, pixels and channels rearranged, borders added and cut off."""

from fastconv.resample.rearrange import (
    concatenate,
    concatenate_backward,
    crop,
    crop_backward,
    pixel_shuffle,
    pixel_unshuffle,
    zero_pad,
    zero_pad_backward,
)
from fastconv.resample.resize import resize, resize_backward

__all__ = [
    "concatenate",
    "concatenate_backward",
    "crop",
    "crop_backward",
    "pixel_shuffle",
    "pixel_unshuffle",
    "resize",
    "resize_backward",
    "zero_pad",
    "zero_pad_backward",
]
