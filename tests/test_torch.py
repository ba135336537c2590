"""PyTorch's own samples of its functions, and its gradients: where it is installed, they are ours as well.

The parameter sets are those that PyTorch tests itself with (`torch.testing._internal`), in float64; each gradient is
compared with `torch.autograd`'s. Samples of what we don't have, or do otherwise (docs/differences.md), are named below.
"""

from __future__ import annotations

import functools
import warnings

import numpy as np
import pytest

import fastconv as fc

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's samples need it")

pytestmark = pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own workings

NEAR = {"rtol": 1e-9, "atol": 1e-9}


@functools.cache
def operations():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from torch.testing._internal.common_methods_invocations import op_db
    return {(op.name.removeprefix("nn.functional."), op.variant_test_name): op for op in op_db}


def samples(name, variant=""):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = list(operations()[name, variant].sample_inputs("cpu", torch.float64, requires_grad=True))
    assert found, name
    return found


def channels_last(tensor, rank):
    """The view of (N, C, *spatial) or (C, *spatial) with channels last."""
    return np.moveaxis(tensor.detach().numpy(), tensor.ndim - rank - 1, -1)


def channels_first(array, rank):
    return np.moveaxis(array, -1, array.ndim - rank - 1)


def weight_of(tensor):
    """(K, C, *kernel) as (*kernel, C, K)."""
    return tensor.detach().numpy().transpose(*range(2, tensor.ndim), 1, 0)


def weight_back(array):
    return array.transpose(-1, -2, *range(array.ndim - 2))


def agree(found, expected, *context):
    np.testing.assert_allclose(found, expected.detach().numpy(), **NEAR, err_msg=repr(context))


def cotangent(output):
    return torch.from_numpy(np.random.default_rng(0).standard_normal(tuple(output.shape)))


def gradients(output, tensors, grad):
    return torch.autograd.grad(output, tensors, grad)


CONVOLUTIONS = [(kind, rank) for kind in ("conv", "conv_transpose") for rank in (1, 2, 3)]


@pytest.mark.parametrize(("kind", "rank"), CONVOLUTIONS)
def test_convolutions(kind, rank):
    name = f"{kind}{rank}d"
    for sample in samples(name):
        weight, bias = (*sample.args, None)[:2]
        keywords = dict(sample.kwargs)
        output = getattr(torch.nn.functional, name)(sample.input, weight, bias, **keywords)
        x, w = channels_last(sample.input, rank), weight_of(weight)
        offset = None if bias is None else bias.detach().numpy()
        found = getattr(fc, name)(x, w, offset, **keywords)
        agree(channels_first(found, rank), output, name, x.shape, w.shape, keywords)

        grad = cotangent(output)
        tensors = [sample.input, weight, *([] if bias is None else [bias])]
        ours = getattr(fc, f"{name}_backward")(channels_last(grad, rank), x, w, **keywords)
        expected = gradients(output, tensors, grad)
        agree(channels_first(ours.input, rank), expected[0], name, keywords)
        agree(weight_back(ours.weight), expected[1], name, keywords)
        if bias is not None:
            agree(ours.bias, expected[2], name, keywords)


POOLING = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad", "divisor_override")


def ours_of(keywords):
    """An empty stride is PyTorch's spelling of none, and one number in a tuple stands for all axes."""
    plain = {name: v[0] if isinstance(v, tuple) and len(v) == 1 else v for name, v in keywords.items()}
    return {name: value for name, value in plain.items() if not (name == "stride" and value == ())}


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_average_pooling(rank):
    name = f"avg_pool{rank}d"
    for sample in samples(name):
        keywords = ours_of(dict(zip(POOLING, sample.args, strict=False)) | sample.kwargs)
        if (keywords.get("divisor_override") or 1) < 0:
            continue
        output = getattr(torch.nn.functional, name)(sample.input, *sample.args, **sample.kwargs)
        x, kernel = channels_last(sample.input, rank), keywords.pop("kernel_size")
        agree(channels_first(getattr(fc, name)(x, kernel, **keywords), rank), output, x.shape, kernel, keywords)
        grad = cotangent(output)
        ours = getattr(fc, f"{name}_backward")(channels_last(grad, rank), x.shape, kernel, **keywords)
        agree(channels_first(ours, rank), gradients(output, [sample.input], grad)[0], x.shape, kernel, keywords)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_maximum_pooling(rank):
    name = f"max_pool{rank}d"
    for sample in samples(name):
        keywords = ours_of(dict(sample.kwargs))
        assert not sample.args
        theirs = dict(sample.kwargs) | {"return_indices": True}
        output, places = getattr(torch.nn.functional, name)(sample.input, **theirs)
        x, kernel = channels_last(sample.input, rank), keywords.pop("kernel_size")
        wanted = keywords.pop("return_indices", False)
        found, indices = getattr(fc, name)(x, kernel, **keywords, return_indices=True)
        agree(channels_first(found, rank), output, x.shape, kernel, keywords)
        np.testing.assert_array_equal(channels_first(indices, rank), places.numpy(), err_msg=repr(sample.kwargs))
        if not wanted:
            grad = cotangent(output)
            back = getattr(fc, f"{name}_backward")
            ours = back(channels_last(grad, rank), indices, x.shape, kernel_size=kernel, **keywords)
            agree(channels_first(ours, rank), gradients(output, [sample.input], grad)[0], kernel, keywords)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_adaptive_pooling(rank):
    for sample in samples(f"adaptive_avg_pool{rank}d"):
        output = getattr(torch.nn.functional, f"adaptive_avg_pool{rank}d")(sample.input, *sample.args)
        x = channels_last(sample.input, rank)
        found = getattr(fc, f"adaptive_avg_pool{rank}d")(x, *sample.args)
        agree(channels_first(found, rank), output, x.shape, sample.args)
        grad = cotangent(output)
        ours = getattr(fc, f"adaptive_avg_pool{rank}d_backward")(channels_last(grad, rank), x.shape)
        agree(channels_first(ours, rank), gradients(output, [sample.input], grad)[0], x.shape, sample.args)
    for sample in samples(f"adaptive_max_pool{rank}d"):
        size = sample.args[0]
        output, places = getattr(torch.nn.functional, f"adaptive_max_pool{rank}d")(sample.input, size, True)
        x = channels_last(sample.input, rank)
        found, indices = getattr(fc, f"adaptive_max_pool{rank}d")(x, size, return_indices=True)
        agree(channels_first(found, rank), output, x.shape, size)
        np.testing.assert_array_equal(channels_first(indices, rank), places.numpy(), err_msg=repr((x.shape, size)))
        grad = cotangent(output)
        ours = getattr(fc, f"adaptive_max_pool{rank}d_backward")(channels_last(grad, rank), indices, x.shape)
        agree(channels_first(ours, rank), gradients(output, [sample.input], grad)[0], x.shape, size)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_unpooling(rank):
    for variant in ("", "grad"):
        for sample in samples(f"max_unpool{rank}d", variant):
            (indices,), keywords = sample.args, dict(sample.kwargs)
            output = getattr(torch.nn.functional, f"max_unpool{rank}d")(sample.input, indices, **keywords)
            x, places = channels_last(sample.input, rank), channels_last(indices, rank)
            spatial = tuple(keywords.pop("output_size")[-rank:])
            kernel = keywords.pop("kernel_size")
            found = getattr(fc, f"max_unpool{rank}d")(x, places, kernel, output_size=spatial, **ours_of(keywords))
            if len(np.unique(indices)) < indices[0, 0].numel():
                continue  # several values with one place: which of them stays isn't determined there
            agree(channels_first(found, rank), output, x.shape, kernel, keywords)
            grad = cotangent(output)
            ours = getattr(fc, f"max_unpool{rank}d_backward")(channels_last(grad, rank), places)
            agree(channels_first(ours, rank), gradients(output, [sample.input], grad)[0], x.shape, kernel)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize("norm", [1, 2, 3.5])
def test_norms_of_windows(rank, norm):
    """PyTorch has no samples of these; positive numbers, because it raises x itself to the power, and no windows that
    leave the input, which it scales up to a whole one.
    """
    rng = np.random.default_rng(1)
    for kernel, stride, ceil_mode in ((2, None, False), (3, 2, False), (3, 1, True)):
        tensor = torch.from_numpy(rng.uniform(0.5, 2, (2, 3, *(7, 8)[:rank]))).requires_grad_()
        run = getattr(torch.nn.functional, f"lp_pool{rank}d")
        output = run(tensor, norm, kernel, stride, ceil_mode)
        x, keywords = channels_last(tensor, rank), {"norm_type": norm, "stride": stride, "ceil_mode": ceil_mode}
        found = getattr(fc, f"lp_pool{rank}d")(x, kernel, **keywords)
        agree(channels_first(found, rank), output, norm, kernel, stride)
        grad = cotangent(output)
        ours = getattr(fc, f"lp_pool{rank}d_backward")(channels_last(grad, rank), x, found, kernel, **keywords)
        agree(channels_first(ours, rank), gradients(output, [tensor], grad)[0], norm, kernel, stride)


MODES = {"nearest": {}, "nearest-exact": {"coordinates": "half_pixel", "nearest": "round_prefer_ceil"}}
LINEAR = ("linear", "bilinear", "trilinear")


@pytest.mark.parametrize("mode", [*MODES, *LINEAR])
def test_interpolation(mode):
    for sample in samples("interpolate", mode):
        keywords = dict(sample.kwargs)
        size = sample.args[0] if sample.args else keywords.pop("size", None)
        keywords.pop("size", None)
        output = torch.nn.functional.interpolate(sample.input, size, **keywords)
        rank = sample.input.ndim - 2
        x = channels_last(sample.input, rank)
        if mode in MODES:
            ours = {"mode": "nearest", **MODES[mode]}
        else:
            ours = {"mode": "linear", "align_corners": bool(keywords["align_corners"])}
        if size is not None:
            ours["size"] = tuple(size) if isinstance(size, tuple | list) else size
        elif keywords.get("recompute_scale_factor"):
            ours["size"] = tuple(output.shape[2:])
        else:
            ours["scale"] = keywords["scale_factor"]
        agree(channels_first(fc.resize(x, **ours), rank), output, x.shape, ours)
        grad = cotangent(output)
        ours.pop("size", None)
        back = fc.resize_backward(channels_last(grad, rank), x.shape, **ours)
        agree(channels_first(back, rank), gradients(output, [sample.input], grad)[0], x.shape, ours)


def test_pixel_shuffle():
    for name in ("pixel_shuffle", "pixel_unshuffle"):
        for sample in samples(name):
            if sample.input.ndim > 4:
                continue  # several batch axes
            output = getattr(torch.nn.functional, name)(sample.input, *sample.args, **sample.kwargs)
            (factor,) = (*sample.args, *sample.kwargs.values())
            agree(channels_first(getattr(fc, name)(channels_last(sample.input, 2), factor), 2), output, name, factor)


def norm_tensors(sample, *names):
    """The input and those of scale and bias that there are, as tensors and as arrays."""
    given = [sample.kwargs.get(name) for name in names]
    tensors = [sample.input, *(tensor for tensor in given if tensor is not None)]
    return tensors, [None if tensor is None else tensor.detach().numpy() for tensor in given]


def check_norm(sample, output, found, ours, tensors):
    rank = sample.input.ndim - 2
    agree(channels_first(found, rank), output, sample.kwargs)
    grad = cotangent(output)
    expected = gradients(output, tensors, grad)
    results = ours(channels_last(grad, rank))
    agree(channels_first(results.input, rank), expected[0], sample.kwargs)
    named = (("weight", results.scale), ("bias", results.bias))
    parts = [part for name, part in named if sample.kwargs.get(name) is not None]
    for part, right in zip(parts, expected[1:], strict=True):
        agree(part, right, sample.kwargs)


def test_batch_normalization():
    for sample in samples("batch_norm"):
        if sample.input.ndim < 2 or (sample.kwargs.get("momentum") or 0) < 0:
            continue
        mean, variance, weight, bias = (*sample.args, None, None)[:4]
        training, momentum = sample.kwargs.get("training", False), sample.kwargs.get("momentum", 0.1)
        epsilon = sample.kwargs.get("eps", 1e-5)
        rank = sample.input.ndim - 2
        x = channels_last(sample.input, rank)
        arrays = [None if t is None else t.detach().numpy() for t in (weight, bias)]
        running = [None if t is None else t.detach().numpy().copy() for t in (mean, variance)]
        before = [None if r is None else r.copy() for r in running]
        old = (None if t is None else t.detach() for t in (mean, variance))
        output = torch.nn.functional.batch_norm(sample.input, *old, weight, bias, training, momentum, epsilon)
        keywords = {"training": training, "epsilon": epsilon}
        found = fc.batch_norm(
            x, *arrays, running_mean=running[0], running_var=running[1], momentum=momentum, **keywords
        )
        agree(channels_first(found, rank), output, sample.kwargs)
        if training and mean is not None:
            agree(running[0], mean)
            agree(running[1], variance)
        if not training:
            keywords |= {"mean": before[0], "inverse_std": 1 / np.sqrt(before[1] + epsilon)}
        grad = cotangent(output)
        tensors = [sample.input, *(t for t in (weight, bias) if t is not None)]
        expected = gradients(output, tensors, grad)
        ours = fc.batch_norm_backward(channels_last(grad, rank), x, arrays[0], **keywords)
        agree(channels_first(ours.input, rank), expected[0], sample.kwargs)
        for part, right in zip((ours.scale, ours.bias), expected[1:], strict=False):
            agree(part, right, sample.kwargs)


def test_group_normalization():
    for sample in samples("group_norm"):
        if sample.input.ndim < 3:
            continue
        groups, epsilon = sample.args[0], sample.kwargs.get("eps", 1e-5)
        if epsilon < 0:
            continue
        tensors, (scale, bias) = norm_tensors(sample, "weight", "bias")
        output = torch.nn.functional.group_norm(sample.input, *sample.args, **sample.kwargs)
        x = channels_last(sample.input, sample.input.ndim - 2)
        found = fc.group_norm(x, groups, scale, bias, epsilon=epsilon)
        back = functools.partial(fc.group_norm_backward, input=x, num_groups=groups, scale=scale, epsilon=epsilon)
        check_norm(sample, output, found, back, tensors)


def test_instance_normalization():
    for sample in samples("instance_norm"):
        if sample.kwargs.get("running_mean") is not None and not sample.kwargs.get("use_input_stats", True):
            continue  # a batch normalization by another name
        tensors, (scale, bias) = norm_tensors(sample, "weight", "bias")
        keywords = {name: value for name, value in sample.kwargs.items() if "running" not in name}
        output = torch.nn.functional.instance_norm(sample.input, **keywords)
        epsilon = sample.kwargs.get("eps", 1e-5)
        x = channels_last(sample.input, sample.input.ndim - 2)
        found = fc.instance_norm(x, scale, bias, epsilon=epsilon)
        back = functools.partial(fc.instance_norm_backward, input=x, scale=scale, epsilon=epsilon)
        check_norm(sample, output, found, back, tensors)


def test_layer_normalization():
    for sample in samples("layer_norm"):
        shape, scale, bias = (*sample.args, None, None)[:3]
        epsilon = sample.kwargs.get("eps", 1e-5)
        if len(shape) > 1 or epsilon < 0:
            continue  # over more than the last axis
        output = torch.nn.functional.layer_norm(sample.input, *sample.args, **sample.kwargs)
        arrays = [None if t is None else t.detach().numpy() for t in (scale, bias)]
        x = sample.input.detach().numpy()
        agree(fc.layer_norm(x, *arrays, epsilon=epsilon), output, sample.args)
        grad = cotangent(output)
        tensors = [sample.input, *(t for t in (scale, bias) if t is not None)]
        ours = fc.layer_norm_backward(grad.numpy(), x, arrays[0], epsilon=epsilon)
        for part, right in zip(ours, gradients(output, tensors, grad), strict=False):
            agree(part, right, sample.args)


def test_local_response_normalization():
    for sample in samples("local_response_norm"):
        size = sample.args[0]
        if size % 2 == 0:
            continue  # PyTorch's window then begins one channel earlier
        output = torch.nn.functional.local_response_norm(sample.input, size, **sample.kwargs)
        x = channels_last(sample.input, sample.input.ndim - 2)
        found = fc.local_response_norm(x, size, **sample.kwargs)
        agree(channels_first(found, sample.input.ndim - 2), output, size, sample.kwargs)


@pytest.mark.parametrize("name", ["relu", "relu6", "leaky_relu", "sigmoid", "tanh", "silu", "hardswish", "gelu"])
def test_activations(name):
    theirs = getattr(torch.nn.functional, name, None) or getattr(torch, name)
    tensor = torch.linspace(-9, 9, 1001, dtype=torch.float64).requires_grad_()
    output = theirs(tensor)
    x = tensor.detach().numpy()
    found = getattr(fc, name)(x)
    agree(found, output, name)
    grad = cotangent(output)
    saved = x if name in ("silu", "hardswish", "gelu") else found
    agree(getattr(fc, f"{name}_backward")(grad.numpy(), saved), gradients(output, [tensor], grad)[0], name)


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("rank", [1, 2, 3])
def test_padding_modes(mode, rank):
    rng = np.random.default_rng(2)
    shape = (2, 4, *(7, 6, 5)[:rank])
    tensor = torch.from_numpy(rng.standard_normal(shape)).requires_grad_()
    layer = getattr(torch.nn, f"Conv{rank}d")(4, 6, 3, stride=2, padding=2, groups=2, padding_mode=mode).double()
    output = layer(tensor)
    x, w = channels_last(tensor, rank), weight_of(layer.weight)
    keywords = {"stride": 2, "padding": 2, "groups": 2, "padding_mode": mode}
    found = getattr(fc, f"conv{rank}d")(x, w, layer.bias.detach().numpy(), **keywords)
    agree(channels_first(found, rank), output, mode)
    grad = cotangent(output)
    ours = getattr(fc, f"conv{rank}d_backward")(channels_last(grad, rank), x, w, **keywords)
    expected = gradients(output, [tensor, layer.weight, layer.bias], grad)
    agree(channels_first(ours.input, rank), expected[0], mode)
    agree(weight_back(ours.weight), expected[1], mode)
    agree(ours.bias, expected[2], mode)
