"""The oracle: every operation once more in NumPy float64, written to be obviously right and nothing else.

It imports NumPy and `math`, never the package. A convolution pads a copy of its input, then adds one tap of the kernel
after the other; a pooling layer visits one output position after the other. Names, layouts and arguments are those of
the public functions, except that every array has its batch axis. `test_oracle.py` holds it against numbers worked out
by hand, finite differences and SciPy.
"""

from __future__ import annotations

import itertools
import math

import numpy as np


def per_axis(value, rank):
    """An int stands for the same on every axis."""
    return (value,) * rank if isinstance(value, int) else tuple(value)


def resolve_padding(padding, spatial, kernel, stride, dilation):
    """One (before, after) pair per axis, from any of the spellings that the package understands."""
    reach = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]  # how far the last tap lies from the first
    if padding == "valid":
        return [(0, 0)] * len(spatial)
    if padding == "full":
        return [(r, r) for r in reach]
    if padding == "causal":
        return [(r, 0) for r in reach]
    if padding in ("same", "same_lower"):
        pairs = []
        for extent, s, r in zip(spatial, stride, reach, strict=True):
            output = math.ceil(extent / s)
            total = max((output - 1) * s + r + 1 - extent, 0)
            smaller, larger = total // 2, total - total // 2
            pairs.append((smaller, larger) if padding == "same" else (larger, smaller))
        return pairs
    return [(p, p) if isinstance(p, int) else tuple(p) for p in per_axis(padding, len(spatial))]


class Sliding:
    """A kernel that slides over a padded input: which positions there are, and what each tap meets in each."""

    def __init__(self, input_shape, kernel, stride=1, padding=0, dilation=1, ceil_mode=False, padding_mode="zeros"):
        self.spatial = tuple(input_shape[1:-1])
        rank = len(self.spatial)
        self.kernel = per_axis(kernel, rank)
        self.stride = per_axis(self.kernel if stride is None else stride, rank)
        self.dilation = per_axis(dilation, rank)
        self.pads = resolve_padding(padding, self.spatial, self.kernel, self.stride, self.dilation)
        self.output = tuple(self._positions(axis, ceil_mode) for axis in range(rank))
        self.padding_mode = padding_mode

    def _positions(self, axis, ceil_mode):
        before, after = self.pads[axis]
        extent, s = self.spatial[axis], self.stride[axis]
        room = extent + before + after - self.dilation[axis] * (self.kernel[axis] - 1) - 1
        positions = room // s + 1
        one_more_is_needed = ceil_mode and room > 0 and room % s > 0
        starts_in_the_far_padding = positions * s >= extent + before
        return positions + 1 if one_more_is_needed and not starts_in_the_far_padding else positions

    def taps(self):
        return list(itertools.product(*map(range, self.kernel)))

    def met_by(self, tap):
        """Index into a padded array: what this tap meets, for all output positions at once."""
        steps = zip(tap, self.dilation, self.stride, self.output, strict=True)
        return (slice(None), *(slice(t * d, t * d + (o - 1) * s + 1, s) for t, d, s, o in steps))

    def pad(self, array):
        mode = {"zeros": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[self.padding_mode]
        return np.pad(np.asarray(array, np.float64), [(0, 0), *self.pads, (0, 0)], mode)

    def unpad(self, padded):
        """The adjoint of `pad`: what stands in the padding goes back to where it came from."""
        if self.padding_mode != "zeros":
            for axis, (extent, pads) in enumerate(zip(self.spatial, self.pads, strict=True), start=1):
                origin = self.pad_positions(extent, pads)
                folded = np.zeros((extent, *np.delete(padded.shape, axis)))
                np.add.at(folded, origin, np.moveaxis(padded, axis, 0))
                padded = np.moveaxis(folded, 0, axis)
            return padded
        inside = (slice(before, before + extent) for (before, _), extent in zip(self.pads, self.spatial, strict=True))
        return padded[(slice(None), *inside)]

    def pad_positions(self, extent, pads):
        """Which position of the input stands at each position of the padded one, along an axis."""
        mode = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}[self.padding_mode]
        return np.pad(np.arange(extent), pads, mode)


# Convolution. With i(o, t) = o * stride + t * dilation - before:
#   output[n, o, k]      = bias[k] + sum over t, c:  input[n, i(o, t), c] * weight[t, c, k]
#   grad_input[n, i, c]  = sum over k, and o, t with i(o, t) = i:  grad_output[n, o, k] * weight[t, c, k]
#   grad_weight[t, c, k] = sum over n, o:  input[n, i(o, t), c] * grad_output[n, o, k]


def conv(input, weight, bias=None, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros", activation=None):
    weight = np.asarray(weight, np.float64)
    sliding = Sliding(input.shape, weight.shape[:-2], stride, padding, dilation, padding_mode=padding_mode)
    padded = sliding.pad(input)
    output = np.zeros((input.shape[0], *sliding.output, weight.shape[-1]))
    for channels, filters in _groups(weight, groups):
        for tap in sliding.taps():
            met = padded[sliding.met_by(tap)][..., channels]
            output[..., filters] += np.einsum("...c,ck->...k", met, weight[tap][:, filters])
    if bias is not None:
        output += np.asarray(bias, np.float64)
    return relu(output) if activation == "relu" else output


def conv_backward(grad_output, input, weight, *, stride=1, padding=0, dilation=1, groups=1, padding_mode="zeros"):
    """(grad_input, grad_weight, grad_bias)."""
    weight, grad_output = np.asarray(weight, np.float64), np.asarray(grad_output, np.float64)
    sliding = Sliding(input.shape, weight.shape[:-2], stride, padding, dilation, padding_mode=padding_mode)
    padded = sliding.pad(input)
    grad_padded, grad_weight = np.zeros_like(padded), np.zeros_like(weight)
    for channels, filters in _groups(weight, groups):
        arriving = grad_output[..., filters]
        for tap in sliding.taps():
            met = sliding.met_by(tap)
            grad_padded[met][..., channels] += np.einsum("...k,ck->...c", arriving, weight[tap][:, filters])
            grad_weight[tap][:, filters] = np.einsum("mc,mk->ck", _rows(padded[met][..., channels]), _rows(arriving))
    return sliding.unpad(grad_padded), grad_weight, _rows(grad_output).sum(axis=0)


def _groups(weight, groups):
    """Slices of the input channels and of the output channels that belong together."""
    channels, filters = weight.shape[-2], weight.shape[-1] // groups
    return [(slice(g * channels, (g + 1) * channels), slice(g * filters, (g + 1) * filters)) for g in range(groups)]


def _rows(array):
    """All axes but the last in one."""
    return array.reshape(math.prod(array.shape[:-1]), array.shape[-1])


# Transposed convolution: every input position p adds its value times the kernel to the output. With o(p, t) as i above,
#   output[n, o(p, t), k] += input[n, p, c] * weight[t, k, c]


class Transposed:
    """Where the taps of a transposed convolution land, on an output that hasn't been cut yet."""

    def __init__(self, spatial, kernel, stride=1, padding=0, output_padding=0, dilation=1):
        rank = len(spatial)
        self.spatial, self.kernel = spatial, kernel
        self.stride, self.dilation = per_axis(stride, rank), per_axis(dilation, rank)
        more = per_axis(output_padding, rank)
        reach = [d * (k - 1) for k, d in zip(kernel, self.dilation, strict=True)]
        if padding in ("same", "same_lower"):
            self.output = [extent * s for extent, s in zip(spatial, self.stride, strict=True)]
            pads = resolve_padding(padding, self.output, kernel, self.stride, self.dilation)
        else:
            pads = resolve_padding(padding, spatial, kernel, self.stride, self.dilation)
            steps = zip(spatial, self.stride, reach, pads, more, strict=True)
            self.output = [(extent - 1) * s + r + 1 - sum(pair) + m for extent, s, r, pair, m in steps]
        self.cut = (slice(None), *(slice(p[0], p[0] + o) for p, o in zip(pads, self.output, strict=True)))
        self.whole = [p[0] + max(o, e * s) + r for p, o, e, s, r in
                      zip(pads, self.output, spatial, self.stride, reach, strict=True)]  # fmt: skip

    def taps(self):
        return list(itertools.product(*map(range, self.kernel)))

    def landing(self, tap):
        steps = zip(tap, self.dilation, self.stride, self.spatial, strict=True)
        return (slice(None), *(slice(t * d, t * d + (e - 1) * s + 1, s) for t, d, s, e in steps))


def conv_transpose(input, weight, bias=None, *, groups=1, activation=None, **sliding):
    input, weight = np.asarray(input, np.float64), np.asarray(weight, np.float64)
    where = Transposed(input.shape[1:-1], weight.shape[:-2], **sliding)
    filters, channels = weight.shape[-2], weight.shape[-1] // groups
    whole = np.zeros((input.shape[0], *where.whole, filters * groups))
    for g in range(groups):
        arriving = input[..., g * channels : (g + 1) * channels]
        for tap in where.taps():
            product = np.einsum("...c,kc->...k", arriving, weight[tap][:, g * channels : (g + 1) * channels])
            whole[where.landing(tap)][..., g * filters : (g + 1) * filters] += product
    output = whole[where.cut] + (0 if bias is None else np.asarray(bias, np.float64))
    return relu(output) if activation == "relu" else output


def conv_transpose_backward(grad_output, input, weight, *, groups=1, **sliding):
    """(grad_input, grad_weight, grad_bias)."""
    input, weight = np.asarray(input, np.float64), np.asarray(weight, np.float64)
    where = Transposed(input.shape[1:-1], weight.shape[:-2], **sliding)
    filters, channels = weight.shape[-2], weight.shape[-1] // groups
    whole = np.zeros((input.shape[0], *where.whole, filters * groups))
    whole[where.cut] = grad_output
    grad_input, grad_weight = np.zeros(input.shape), np.zeros(weight.shape)
    for g in range(groups):
        mine = slice(g * channels, (g + 1) * channels)
        for tap in where.taps():
            landed = whole[where.landing(tap)][..., g * filters : (g + 1) * filters]
            grad_input[..., mine] += np.einsum("...k,kc->...c", landed, weight[tap][:, mine])
            grad_weight[tap][:, mine] = np.einsum("mk,mc->kc", _rows(landed), _rows(input[..., mine]))
    return grad_input, grad_weight, _rows(np.asarray(grad_output, np.float64)).sum(axis=0)


# The patch matrix and its adjoint: a row per output position, a column per (tap, channel).


def im2col(input, kernel_size, *, stride=1, padding=0, dilation=1):
    sliding = Sliding(input.shape, kernel_size, stride, padding, dilation)
    padded = sliding.pad(input)
    return np.concatenate([padded[sliding.met_by(tap)] for tap in sliding.taps()], axis=-1)


def col2im(patches, input_shape, kernel_size, *, stride=1, padding=0, dilation=1):
    sliding = Sliding(input_shape, kernel_size, stride, padding, dilation)
    padded, channels = sliding.pad(np.zeros(input_shape)), input_shape[-1]
    for number, tap in enumerate(sliding.taps()):
        padded[sliding.met_by(tap)] += patches[..., number * channels : (number + 1) * channels]
    return sliding.unpad(padded)


# Pooling


def max_pool(input, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False):
    """(output, indices): the first NaN wins, else the first maximum; a window without input gives -inf, index -1."""
    input = np.asarray(input, np.float64)
    sliding = Sliding(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    shape = (input.shape[0], *sliding.output, input.shape[-1])
    output, indices = np.full(shape, -np.inf), np.full(shape, -1, np.int64)
    for position in np.ndindex(sliding.output):
        here = (slice(None), *position)
        for tap in sliding.taps():
            steps = zip(position, sliding.stride, tap, sliding.dilation, sliding.pads, strict=True)
            place = tuple(o * s + t * d - before for o, s, t, d, (before, _) in steps)
            if not all(0 <= p < extent for p, extent in zip(place, sliding.spatial, strict=True)):
                continue
            value, best = input[(slice(None), *place)], output[here]
            wins = (indices[here] < 0) | (value > best) | (np.isnan(value) & ~np.isnan(best))
            output[here] = np.where(wins, value, best)
            indices[here] = np.where(wins, np.ravel_multi_index(place, sliding.spatial), indices[here])
    return output, indices


def max_pool_backward(grad_output, indices, input_shape):
    grad_input = np.zeros((input_shape[0], math.prod(input_shape[1:-1]), input_shape[-1]))
    for at in np.ndindex(grad_output.shape):
        if indices[at] >= 0:
            grad_input[at[0], indices[at], at[-1]] += grad_output[at]
    return grad_input.reshape(input_shape)


def avg_pool(input, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, **divisor):
    """Divided by the positions inside input and padding; or see `count_include_pad` and `divisor_override`."""
    input = np.asarray(input, np.float64)
    sliding = Sliding(input.shape, kernel_size, stride, padding, dilation, ceil_mode)
    output = np.zeros((input.shape[0], *sliding.output, input.shape[-1]))
    for position, window, count in _averages(sliding, **divisor):
        total = input[window].sum(axis=tuple(range(1, input.ndim - 1)))
        output[(slice(None), *position)] = total / count if count else 0
    return output


def avg_pool_backward(
    grad_output, input_shape, kernel_size, *, stride=None, padding=0, dilation=1, ceil_mode=False, **divisor
):
    sliding = Sliding(input_shape, kernel_size, stride, padding, dilation, ceil_mode)
    grad_output, grad_input = np.asarray(grad_output, np.float64), np.zeros(input_shape)
    for position, window, count in _averages(sliding, **divisor):
        arriving = grad_output[(slice(None), *position)]
        share = arriving / count if count else np.zeros_like(arriving)
        grad_input[window] += np.expand_dims(share, tuple(range(1, len(input_shape) - 1)))
    return grad_input


def _averages(sliding, count_include_pad=True, divisor_override=None):
    """(output position, index of the window's part inside the input, divisor) of every average."""
    for position in np.ndindex(sliding.output):
        inside, count = [], 1
        for axis, o in enumerate(position):
            (before, after), extent = sliding.pads[axis], sliding.spatial[axis]
            start, step = o * sliding.stride[axis] - before, sliding.dilation[axis]
            met = [start + t * step for t in range(sliding.kernel[axis]) if start + t * step < extent + after]
            covered = [i for i in met if 0 <= i < extent]
            inside.append(slice(covered[0], covered[-1] + 1, step) if covered else slice(0, 0))
            count *= len(met) if count_include_pad else len(covered)
        yield position, (slice(None), *inside), count if divisor_override is None else divisor_override


# Dense and elementwise


def linear(input, weight, bias=None, *, activation=None):
    output = np.einsum("...c,ck->...k", np.asarray(input, np.float64), np.asarray(weight, np.float64))
    if bias is not None:
        output = output + np.asarray(bias, np.float64)
    return relu(output) if activation == "relu" else output


def linear_backward(grad_output, input, weight):
    """(grad_input, grad_weight, grad_bias)."""
    grad_output, input = np.asarray(grad_output, np.float64), np.asarray(input, np.float64)
    grad_input = np.einsum("...k,ck->...c", grad_output, np.asarray(weight, np.float64))
    grad_weight = np.einsum("mc,mk->ck", _rows(input), _rows(grad_output))
    return grad_input, grad_weight, _rows(grad_output).sum(axis=0)


def relu(input):
    input = np.asarray(input, np.float64)
    return np.where(np.isnan(input), input, np.maximum(input, 0))


def softmax(input, axis=-1):
    exponentials = np.exp(input - np.max(input, axis=axis, keepdims=True))
    return exponentials / exponentials.sum(axis=axis, keepdims=True)


def softmax_backward(grad_output, output, axis=-1):
    """The Jacobian is diag(y) - y y': grad_input = y * (g - sum of g * y)."""
    return output * (grad_output - (grad_output * output).sum(axis=axis, keepdims=True))


def cross_entropy(logits, labels, *, reduction="mean"):
    losses = [-math.log(softmax(row)[label]) for row, label in zip(np.asarray(logits, np.float64), labels, strict=True)]
    return math.fsum(losses) / (len(losses) if reduction == "mean" else 1)


def cross_entropy_backward(logits, labels, *, reduction="mean"):
    """softmax(logits) - one_hot(labels), over the number of rows for the mean."""
    one_hot = np.eye(logits.shape[-1])[labels]
    return (softmax(np.asarray(logits, np.float64)) - one_hot) / (len(logits) if reduction == "mean" else 1)
