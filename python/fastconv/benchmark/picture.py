"""The roofline picture: speed over arithmetic intensity, both on logarithmic axes."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from fastconv._extras import require
from fastconv.benchmark.results import Machine, Measurement, stream_bandwidth
from fastconv.benchmark.tables import CONVOLUTION_PASSES, DTYPES

_COLOURS = dict(zip(CONVOLUTION_PASSES, ("#1b6ca8", "#d95f02", "#3a9d5d"), strict=True))
_ASIDE = dict(zip(CONVOLUTION_PASSES, (0.94, 1.0, 1.06), strict=True))  # the passes of a layer share their intensity
_MARKERS = dict(zip(DTYPES, ("o", "^"), strict=True))
_LINES = dict(zip(DTYPES, ("-", "--"), strict=True))
_DARK = "#333333"
_POINT = {"s": 22, "linewidths": 0}
_RING = {"s": 22, "facecolors": "none", "edgecolors": "#8c8c8c", "linewidths": 0.8}


def draw(measurements: Sequence[Measurement], machine: Machine) -> bytes:
    """Draw the convolutions under the machine's rooflines, and return a PNG file. There has to be one at least.

    A grey ring shows the best other library in the same pass of the same layer.

    Raises
    ------
    ImportError
        If matplotlib isn't installed.
    """
    figure = require("matplotlib.figure").Figure(figsize=(9.5, 6.3), layout="constrained")
    axes = figure.subplots()
    shown = [one for one in measurements if one.layer.operations]
    places = [one.layer.operations / one.layer.bytes(one.which) * _ASIDE[one.which] for one in shown]
    speeds = [one.gflops for one in shown]
    rings = [None if one.ratio is None else one.gflops / one.ratio for one in shown]
    dtypes = [dtype for dtype in DTYPES if any(one.layer.dtype == dtype for one in shown)]

    low, high = min(places) / 1.6, max(places) * 1.6
    line = np.geomspace(low, high, 400)
    for dtype in dtypes:
        peak, bandwidth = machine[f"peak_{dtype}"], stream_bandwidth(machine)
        label = f"roofline, {dtype}: {peak:.0f} GFLOP/s, {bandwidth:.0f} GB/s"
        axes.plot(line, np.minimum(peak, line * bandwidth), _LINES[dtype], color=_DARK, lw=1.2, label=label, zorder=1)
    for one, place, speed, ring in zip(shown, places, speeds, rings, strict=True):
        axes.scatter(place, speed, c=_COLOURS[one.which], marker=_MARKERS[one.layer.dtype], zorder=3, **_POINT)
        if ring is not None:
            axes.scatter(place, ring, zorder=2, **_RING)
    # Points without a place, for the legend.
    for which in dict.fromkeys(one.which for one in shown):
        label = which.replace("grad_", "gradient of the ")
        axes.scatter([], [], c=_COLOURS[which], marker="s", label=label, **_POINT)
    for dtype in dtypes:
        axes.scatter([], [], c=_DARK, marker=_MARKERS[dtype], label=dtype, **_POINT)
    if any(ring is not None for ring in rings):
        axes.scatter([], [], label="best of the others", **_RING)

    axes.set(xscale="log", yscale="log", xlim=(low, high))
    axes.set_xlabel("operations per compulsory byte")
    axes.set_ylabel("GFLOP/s (operations of the direct algorithm)")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper center", ncols=4, frameon=False, fontsize=9)
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=150)
    return png.getvalue()
