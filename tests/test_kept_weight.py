"""Inference keeps the transformed or packed weight of a layer, and never a stale one."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

import fastconv as fc
from fastconv import _core, conv, nn
from fastconv.conv.passes import forward


def kept_layer():
    layer = nn.Conv2d(32, 40, 3, padding=1, activation="relu", seed=0, algorithm="winograd").eval()
    return layer, np.random.default_rng(1).standard_normal((2, 40, 40, 32), np.float32)


def fresh(layer, x):
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    return conv.conv2d(x, weight, bias, padding=1, activation="relu", algorithm="winograd")


def test_a_layer_in_evaluation_mode_keeps_its_transformed_weight_until_it_is_trained():
    layer, x = kept_layer()
    for _ in range(2):
        np.testing.assert_allclose(layer(x), fresh(layer, x), rtol=1e-5, atol=1e-5)
    assert layer._kept.bytes >= 36 * 32 * 40 * 4
    layer.train()
    layer(x)
    assert layer._kept is None


def test_a_kept_weight_is_dropped_when_any_value_of_the_weight_changes():
    layer, x = kept_layer()
    weight = layer.parameters["weight"]
    view = weight[1, :, 5]
    layer(x)
    for change in (
        lambda: weight.fill(0.5),
        lambda: view.__setitem__((2, 7), -3),
        lambda: np.multiply(weight, -1, out=weight),
        lambda: layer.load_state_dict({name: value + 1 for name, value in layer.state_dict().items()}),
        lambda: weight.flat.__setitem__(-1, np.nextafter(weight.flat[-1], np.float32(9))),
        lambda: weight.__setitem__(..., weight[::-1].copy()),
    ):
        change()
        np.testing.assert_array_equal(layer(x), kept_free(layer, x))


def kept_free(layer, x):
    """What a layer that has never seen another weight computes."""
    other = nn.Conv2d(32, 40, 3, padding=1, activation="relu", algorithm="winograd").eval()
    other.load_state_dict(layer.state_dict())
    return other(x)


def test_a_kept_weight_follows_the_shape_of_the_input_and_the_options():
    layer, x = kept_layer()
    for shape in ((1, 50, 50, 32), (2, 8, 8, 32), (1, 1, 1, 32)):
        other = np.random.default_rng(2).standard_normal(shape, np.float32)
        for tile in (2, 4, 6):
            with fc.options(winograd=tile):
                np.testing.assert_allclose(layer(other), fresh(layer, other), rtol=1e-4, atol=1e-4)
                np.testing.assert_allclose(layer(x), fresh(layer, x), rtol=1e-4, atol=1e-4)
    for isa in fc.info()["isa_available"]:
        with fc.options(isa=isa):
            np.testing.assert_array_equal(layer(x), kept_free(layer, x))


def test_a_kept_weight_knows_kernels_of_another_shape_with_the_same_values():
    """At a stride of 2, kernels of 3 and of 4 taps are transformed alike."""
    x = np.random.default_rng(3).standard_normal((1, 96, 96, 16), np.float32)
    tall = np.random.default_rng(4).standard_normal((4, 3, 16, 24), np.float32)
    kept, sliding = _core.KeptWeight(), (2, 1, 1, 1, "zeros")
    for weight in (tall, tall.reshape(3, 4, 16, 24)):
        found = forward("conv2d", 2, x, weight, None, *sliding, None, "winograd", None, kept)
        expected = conv.conv2d(x, weight, stride=2, padding=1, algorithm="winograd")
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


def test_several_threads_share_a_kept_weight_while_it_changes_shape():
    layer, x = kept_layer()
    inputs = [x, x[:1, :9, :9].copy(), x[:, :14].copy()]
    expected = [layer(one) for one in inputs]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(20):
            for found, wanted in zip(pool.map(layer, inputs * 2), expected * 2, strict=True):
                np.testing.assert_array_equal(found, wanted)


def test_a_layer_with_a_kept_weight_can_be_copied_and_pickled():
    layer, x = kept_layer()
    expected = layer(x)
    for other in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert other._kept.bytes == 0
        np.testing.assert_array_equal(other(x), expected)


def fixed(layer):
    """The layer in evaluation mode, with a weight that nobody can write to."""
    layer.fix_weight()
    return layer.eval()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("channels", "kernel", "options"), [
    ((70, 101), 1, {}),
    ((700, 40), 1, {"activation": "relu"}),
    ((37, 5), 1, {"stride": 2}),
    ((33, 4), (3, 1), {"padding": (1, 0)}),
    ((3, 40), 7, {"stride": 2, "padding": 3}),
    ((48, 96), 3, {"padding": 1, "groups": 2, "algorithm": "direct"}),
    ((24, 100), 3, {"padding": 2, "dilation": 2, "padding_mode": "circular"}),
    ((32, 40), 3, {"padding": 1, "algorithm": "winograd"}),
    ((20, 24), 3, {"padding": 1, "algorithm": "im2col"}),
    ((16, 16), 5, {"padding": 2, "groups": 16}),
], ids=str)  # fmt: skip
def test_a_fixed_weight_gives_the_bits_of_a_call_that_keeps_nothing(channels, kernel, options, dtype):
    rng = np.random.default_rng(0)
    layer = fixed(nn.Conv2d(*channels, kernel, seed=0, dtype=np.dtype(dtype), **options))
    weight, bias = layer.parameters["weight"], layer.parameters["bias"]
    images = [rng.standard_normal((*shape, channels[0])).astype(dtype)
              for shape in ((1, 7, 7), (1, 14, 13), (2, 40, 41), (1, 1, 1), (1, 7, 2))]  # fmt: skip
    if options.get("padding_mode") == "circular":
        images = images[:3]
    expected = [conv.conv2d(x, weight, bias, **options) for x in images]
    for _ in range(2):
        for x, wanted in zip(images, expected, strict=True):
            for _ in range(2):
                np.testing.assert_array_equal(layer(x), wanted)


def test_a_fixed_weight_is_packed_once_and_for_all_threads_and_instruction_sets():
    layer = fixed(nn.Conv2d(256, 300, 1, seed=0))
    x = np.random.default_rng(0).standard_normal((1, 9, 9, 256), np.float32)
    expected = conv.conv2d(x, layer.parameters["weight"], layer.parameters["bias"])
    np.testing.assert_array_equal(layer(x), expected)
    assert 256 * 300 * 4 <= layer._kept.bytes <= 256 * 320 * 4
    for threads in (1, 3, 2):
        with fc.options(num_threads=threads):
            np.testing.assert_array_equal(layer(x), expected)
    for isa in fc.info()["isa_available"]:
        with fc.options(isa=isa):
            plain = conv.conv2d(x, layer.parameters["weight"], layer.parameters["bias"])
            np.testing.assert_array_equal(layer(x), plain)
    with ThreadPoolExecutor(4) as pool:
        inputs = [x, x[:, :2].copy(), np.concatenate([x, x])] * 6
        for image, found in zip(inputs, pool.map(layer, inputs), strict=True):
            plain = conv.conv2d(image, layer.parameters["weight"], layer.parameters["bias"])
            np.testing.assert_array_equal(found, plain)


@pytest.mark.parametrize(("kind", "shape"), [
    (nn.Conv1d, (2, 33, 20)), (nn.Conv3d, (1, 5, 4, 6, 20)), (nn.Conv2d, (0, 5, 5, 20)),
], ids=str)  # fmt: skip
def test_a_fixed_weight_of_any_rank(kind, shape):
    layer = fixed(kind(20, 50, 1, seed=0))
    function = getattr(conv, kind.__name__.lower())
    x = np.random.default_rng(0).standard_normal(shape, np.float32)
    for _ in range(2):
        np.testing.assert_array_equal(layer(x), function(x, layer.parameters["weight"], layer.parameters["bias"]))
    assert (layer._kept.bytes > 0) == (x.size > 0)


@pytest.mark.parametrize("channels", [(0, 4), (4, 0)])
def test_a_fixed_weight_without_channels(channels):
    layer = fixed(nn.Conv2d(*channels, 3, seed=0))
    assert layer(np.zeros((1, 5, 5, channels[0]), np.float32)).shape == (1, 3, 3, channels[1])
    assert layer.train().parameters["weight"].flags.writeable


def test_a_weight_that_may_change_is_packed_anew():
    layer = nn.Conv2d(64, 96, 1, seed=0).eval()
    x = np.random.default_rng(0).standard_normal((1, 5, 5, 64), np.float32)
    layer(x)
    layer.parameters["weight"][..., 5] = 2
    np.testing.assert_array_equal(layer(x), conv.conv2d(x, layer.parameters["weight"]))
    assert layer._kept.bytes == 0


def test_a_fixed_weight_is_left_alone_by_a_twin_that_is_trained():
    layer = fixed(nn.Conv2d(64, 96, 1, seed=0))
    x = np.random.default_rng(0).standard_normal((1, 5, 5, 64), np.float32)
    expected = layer(x)
    for write in (lambda: layer.parameters["weight"].fill(0), lambda: layer.parameters["weight"].setflags(write=True)):
        with pytest.raises(ValueError, match=r"read-only|WRITEABLE"):
            write()
    state = layer.state_dict()
    with pytest.raises(ValueError, match=r"weight is read-only: call train\(\) first"):
        layer.load_state_dict(state)
    twin = layer.twin().train()
    twin.load_state_dict({name: value + 1 for name, value in state.items()})
    twin.backward(np.ones_like(twin(x)))
    np.testing.assert_array_equal(layer(x), expected)
    assert not layer.gradients["weight"].any()
    np.testing.assert_array_equal(twin.eval()(x), conv.conv2d(x, state["weight"] + 1, state["bias"] + 1))


def test_what_is_kept_of_one_fixed_weight_is_never_taken_for_another():
    """The memory of a fixed weight that is gone is that of the next one."""
    layer = nn.Conv2d(64, 96, 1, bias=False, seed=0).eval()
    x = np.random.default_rng(0).standard_normal((1, 5, 5, 64), np.float32)
    for _ in range(10):
        layer.parameters["weight"][...] += 1
        twin = layer.twin()
        twin.fix_weight()
        np.testing.assert_array_equal(twin(x), conv.conv2d(x, layer.parameters["weight"]))
        del twin


def test_a_weight_that_was_only_locked_is_not_taken_at_its_word():
    layer = nn.Conv2d(64, 96, 1, bias=False, seed=0)
    weight = layer.parameters["weight"]
    view = weight[...]
    weight.flags.writeable = False
    layer.eval()
    x = np.random.default_rng(0).standard_normal((1, 5, 5, 64), np.float32)
    layer(x)
    view[...] = 0
    assert not layer(x).any()


@pytest.mark.parametrize("copied", [copy.deepcopy, *(
    lambda layer, protocol=protocol: pickle.loads(pickle.dumps(layer, protocol)) for protocol in (2, 4, 5)
)])  # fmt: skip
def test_a_copy_of_a_layer_with_a_fixed_weight_keeps_its_own(copied):
    layer = fixed(nn.Conv2d(64, 96, 1, seed=0))
    x = np.random.default_rng(0).standard_normal((1, 5, 5, 64), np.float32)
    expected = layer(x)
    other = copied(layer)
    assert other._kept.bytes == 0
    np.testing.assert_array_equal(other(x), expected)
    other.train().parameters["weight"][...] = 0
    assert not other.eval()(x).any()
    np.testing.assert_array_equal(layer(x), expected)
