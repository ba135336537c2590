"""Convolution, pooling and their gradients for CPUs, on NumPy arrays with channels last.

The functions are here; layers, optimizers, models and data are in `fastconv.nn`, `fastconv.optim`,
`fastconv.models` and `fastconv.data`.
"""

from fastconv._load import __version__  # isort: skip (first: it loads the core)
from fastconv.activation import cross_entropy, cross_entropy_backward, relu, relu_backward, softmax, softmax_backward
from fastconv.conv import (
    ConvGradients,
    conv1d,
    conv1d_backward,
    conv2d,
    conv2d_backward,
    conv3d,
    conv3d_backward,
)
from fastconv.dense import LinearGradients, linear, linear_backward
from fastconv.explanation import Explanation, PassPlan, explain
from fastconv.patches import col2im, im2col
from fastconv.pool import (
    avg_pool1d,
    avg_pool1d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    avg_pool3d,
    avg_pool3d_backward,
    global_avg_pool,
    global_avg_pool_backward,
    global_max_pool,
    global_max_pool_backward,
    max_pool1d,
    max_pool1d_backward,
    max_pool2d,
    max_pool2d_backward,
    max_pool3d,
    max_pool3d_backward,
)
from fastconv.runtime import algorithms, empty_cache, get_num_threads, info, measure_machine, options, set_num_threads

__all__ = [
    "ConvGradients",
    "Explanation",
    "LinearGradients",
    "PassPlan",
    "__version__",
    "algorithms",
    "avg_pool1d",
    "avg_pool1d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "avg_pool3d",
    "avg_pool3d_backward",
    "col2im",
    "conv1d",
    "conv1d_backward",
    "conv2d",
    "conv2d_backward",
    "conv3d",
    "conv3d_backward",
    "cross_entropy",
    "cross_entropy_backward",
    "empty_cache",
    "explain",
    "get_num_threads",
    "global_avg_pool",
    "global_avg_pool_backward",
    "global_max_pool",
    "global_max_pool_backward",
    "im2col",
    "info",
    "linear",
    "linear_backward",
    "max_pool1d",
    "max_pool1d_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "max_pool3d",
    "max_pool3d_backward",
    "measure_machine",
    "options",
    "relu",
    "relu_backward",
    "set_num_threads",
    "softmax",
    "softmax_backward",
]
