"""ONNX operators by way of the public functions: views with channels last, attributes as arguments.

`OPERATORS` says for each operator which function computes it: that takes the node's attributes (a `Node`) and its
inputs, None where an optional one is missing, and returns the output, or all of them. A new line of the table is
tested by whatever cases of ONNX have one node of that kind (see `test_onnx.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

import fastconv as fc


@dataclass(frozen=True)
class Node:
    """The attributes of a node, and the arguments of our functions that they stand for."""

    attributes: dict
    outputs: int = 1

    def get(self, name, default=None):
        return self.attributes.get(name, default)

    def per_axis(self, name, rank, usual=1):
        """Strides and dilations: ones where nothing is said."""
        return tuple(self.get(name, (usual,) * rank))

    def padding(self, rank):
        named = {"SAME_UPPER": "same", "SAME_LOWER": "same_lower", "VALID": "valid"}
        auto_pad = self.get("auto_pad", "NOTSET")
        if auto_pad in named:
            return named[auto_pad]
        pads = self.get("pads", (0,) * (2 * rank))
        return tuple(zip(pads[:rank], pads[rank:], strict=True))

    def sliding(self, rank):
        return {
            "stride": self.per_axis("strides", rank),
            "padding": self.padding(rank),
            "dilation": self.per_axis("dilations", rank),
        }

    def pooling(self, rank):
        return {
            "kernel_size": tuple(self.get("kernel_shape")),
            "ceil_mode": bool(self.get("ceil_mode", 0)),
            **self.sliding(rank),
        }


def channels_last(array):
    return np.moveaxis(array, 1, -1)


def channels_first(array):
    return np.moveaxis(array, -1, 1)


def by_rank(name, rank):
    return getattr(fc, name.format(f"{rank}d"))


def conv(node, x, weight, bias=None):
    rank = x.ndim - 2
    weight = weight.transpose(*range(2, weight.ndim), 1, 0)
    keywords = {"groups": node.get("group", 1), **node.sliding(rank)}
    return channels_first(by_rank("conv{}", rank)(channels_last(x), weight, bias, **keywords))


def conv_transpose(node, x, weight, bias=None):
    rank = x.ndim - 2
    weight = weight.transpose(*range(2, weight.ndim), 1, 0)
    keywords = {"groups": node.get("group", 1), "output_padding": node.per_axis("output_padding", rank, 0)}
    keywords |= node.sliding(rank)
    if shape := node.get("output_shape"):  # which says the padding, and where it says too little of it, what is added
        steps = zip(x.shape[2:], weight.shape, keywords["stride"], keywords["dilation"], shape, strict=False)
        missing = [(extent - 1) * s + (k - 1) * d + 1 - wanted for extent, k, s, d, wanted in steps]
        halves = [(max(total, 0) // 2, max(total, 0) - max(total, 0) // 2) for total in missing]
        upper = node.get("auto_pad") == "SAME_UPPER"
        keywords["padding"] = tuple(halves if upper else [(after, before) for before, after in halves])
        keywords["output_padding"] = tuple(max(-total, 0) for total in missing)
    return channels_first(by_rank("conv_transpose{}", rank)(channels_last(x), weight, bias, **keywords))


def batch_norm(node, x, scale, bias, mean, variance):
    source, epsilon = channels_last(x), node.get("epsilon", 1e-5)
    if not node.get("training_mode", 0):
        keywords = {"running_mean": mean, "running_var": variance, "training": False, "epsilon": epsilon}
        return channels_first(fc.batch_norm(source, scale, bias, **keywords))
    # ONNX keeps the momentum's share of the old statistics, and of the new ones the variance of the batch itself.
    new_mean, new_variance = np.zeros_like(mean), np.zeros_like(variance)
    keywords = {"running_mean": new_mean, "running_var": new_variance, "momentum": 1.0, "epsilon": epsilon}
    output = channels_first(fc.batch_norm(source, scale, bias, **keywords))
    count, old = math.prod(source.shape[:-1]), np.float32(node.get("momentum", 0.9))
    new_variance *= (count - 1) / count
    return output, old * mean + (1 - old) * new_mean, old * variance + (1 - old) * new_variance


def instance_norm(node, x, scale, bias):
    return channels_first(fc.instance_norm(channels_last(x), scale, bias, epsilon=node.get("epsilon", 1e-5)))


def group_norm(node, x, scale, bias):
    groups, channels = node.get("num_groups"), x.shape[1]
    if scale.size != channels:  # one for each group, as the operator had them at first
        scale, bias = (np.repeat(array, channels // groups) for array in (scale, bias))
    return channels_first(fc.group_norm(channels_last(x), groups, scale, bias, epsilon=node.get("epsilon", 1e-5)))


def local_response_norm(node, x):
    keywords = {"alpha": node.get("alpha", 1e-4), "beta": node.get("beta", 0.75), "k": node.get("bias", 1.0)}
    return channels_first(fc.local_response_norm(channels_last(x), node.get("size"), **keywords))


def max_pool(node, x):
    rank = x.ndim - 2
    pool = by_rank("max_pool{}", rank)
    if node.outputs == 1:
        return channels_first(pool(channels_last(x), **node.pooling(rank)))
    values, places = pool(channels_last(x), **node.pooling(rank), return_indices=True)
    # ONNX counts through the whole tensor, in each plane by rows or (storage_order 1) by columns.
    spatial, places = x.shape[2:], channels_first(places)
    order = "F" if node.get("storage_order", 0) else "C"
    places = np.ravel_multi_index(np.unravel_index(places, spatial), spatial, order=order)
    planes = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *(1,) * rank)
    return channels_first(values), planes * math.prod(spatial) + places


def avg_pool(node, x):
    rank = x.ndim - 2
    include = bool(node.get("count_include_pad", 0))
    pooled = by_rank("avg_pool{}", rank)(channels_last(x), **node.pooling(rank), count_include_pad=include)
    return channels_first(pooled)


def lp_pool(node, x):
    rank = x.ndim - 2
    norm = node.get("p", 2)
    return channels_first(by_rank("lp_pool{}", rank)(channels_last(x), **node.pooling(rank), norm_type=norm))


def global_pool(pool):
    """Ours leave the spatial axes away."""
    return lambda node, x: pool(channels_last(x)).reshape(*x.shape[:2], *(1,) * (x.ndim - 2))


def max_unpool(node, x, places, output_shape=None):
    rank = x.ndim - 2
    window = node.pooling(rank)
    kernel, strides, pads = window["kernel_size"], window["stride"], window["padding"]
    axes = zip(x.shape[2:], kernel, strides, pads, strict=True)
    extents = tuple((extent - 1) * s - before - after + k for extent, k, s, (before, after) in axes)
    # Places count through the whole tensor that these extents give, and a larger output is that with zeros after it.
    plane = channels_last(places % math.prod(extents))
    unpool = by_rank("max_unpool{}", rank)
    values = unpool(channels_last(x), np.ascontiguousarray(plane), kernel, stride=strides, output_size=extents)
    if output_shape is not None:
        room = [(0, int(large) - small) for large, small in zip(output_shape[2:], extents, strict=True)]
        values = fc.zero_pad(values, tuple(room))
    return channels_first(values)


def resize(node, x, roi=None, scales=None, sizes=None):
    axes = [axis % x.ndim for axis in node.get("axes", range(x.ndim))]
    size, scale, region = dict(enumerate(x.shape)), dict.fromkeys(range(x.ndim), 1.0), {}
    if sizes is not None and sizes.size:
        size |= dict(zip(axes, (int(s) for s in sizes), strict=True))
        policy = node.get("keep_aspect_ratio_policy", "stretch")
        if policy == "stretch":
            scale = None
        else:
            factors = [size[axis] / x.shape[axis] for axis in axes]
            factor = min(factors) if policy == "not_larger" else max(factors)
            scale |= dict.fromkeys(axes, factor)
            size |= {axis: math.floor(factor * x.shape[axis] + 0.5) for axis in axes}
    else:
        scale |= dict(zip(axes, (float(s) for s in scales), strict=True))
        size = {axis: math.floor(scale[axis] * x.shape[axis]) for axis in scale}
    assert (size[0], size[1]) == x.shape[:2], "batch and channels aren't resized"
    if node.get("coordinate_transformation_mode") == "tf_crop_and_resize":
        edges = [float(edge) for edge in roi]
        region = dict(zip(axes, zip(edges[: len(axes)], edges[len(axes) :], strict=True), strict=True))
    spatial = range(2, x.ndim)
    resized = fc.resize(
        channels_last(x),
        size=tuple(size[axis] for axis in spatial),
        scale=None if scale is None else tuple(scale[axis] for axis in spatial),
        mode=node.get("mode", "nearest"),
        coordinates=node.get("coordinate_transformation_mode", "half_pixel"),
        nearest=node.get("nearest_mode", "round_prefer_floor"),
        antialias=bool(node.get("antialias", 0)),
        exclude_outside=bool(node.get("exclude_outside", 0)),
        region=tuple(region.get(axis, (0.0, 1.0)) for axis in spatial) if region else None,
        extrapolation_value=node.get("extrapolation_value", 0.0),
    )
    return channels_first(resized)


def upsample(node, x, scales):
    """The operator before Resize: coordinates without an offset, rounded down."""
    scale = tuple(float(s) for s in scales[2:])
    return channels_first(fc.resize(channels_last(x), scale=scale, mode=node.get("mode", "nearest")))


def col2im(node, columns, image_shape, block_shape):
    extents, block = tuple(map(int, image_shape)), tuple(map(int, block_shape))
    batch, rows, positions = columns.shape
    taps, sliding = math.prod(block), node.sliding(len(block))
    channels = rows // taps
    axes = zip(extents, block, sliding["stride"], sliding["padding"], sliding["dilation"], strict=True)
    spatial = [(extent + sum(pads) - d * (k - 1) - 1) // s + 1 for extent, k, s, pads, d in axes]
    assert math.prod(spatial) == positions
    # (C, taps) in the rows of ONNX's columns, (taps, C) in the columns of our rows
    patches = columns.reshape(batch, channels, taps, positions).transpose(0, 3, 2, 1)
    patches = patches.reshape(batch, *spatial, taps * channels)
    return channels_first(fc.col2im(patches, (batch, *extents, channels), block, **sliding))


OPERATORS = {
    "AveragePool": avg_pool,
    "BatchNormalization": batch_norm,
    "Col2Im": col2im,
    "Conv": conv,
    "ConvTranspose": conv_transpose,
    "GlobalAveragePool": global_pool(fc.global_avg_pool),
    "GlobalMaxPool": global_pool(fc.global_max_pool),
    "GroupNormalization": group_norm,
    "InstanceNormalization": instance_norm,
    "LRN": local_response_norm,
    "LpPool": lp_pool,
    "MaxPool": max_pool,
    "MaxUnpool": max_unpool,
    "Resize": resize,
    "Upsample": upsample,
}


def supports(node):
    """Whether this case is ours: of Resize, cubic interpolation is none of our modes."""
    return not (node.op_type == "Resize" and any(a.name == "mode" and a.s == b"cubic" for a in node.attribute))
