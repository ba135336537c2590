"""Inference keeps the transformed weight of a layer, and never a stale one."""

from __future__ import annotations

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np

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
