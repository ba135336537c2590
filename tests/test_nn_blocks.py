"""Layers made of layers, stochastic depth, and freezing."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import nn, optim
from problems import assert_close
from test_nn import central_differences

F64 = np.dtype("float64")


def make_residual():
    body = nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1, bias=False, seed=1, dtype=F64),
        nn.BatchNorm(6, activation="relu", dtype=F64),
        nn.Conv2d(6, 6, 3, padding=1, bias=False, seed=2, dtype=F64),
        nn.BatchNorm(6, dtype=F64),
    )
    shortcut = nn.Sequential(nn.Conv2d(4, 6, 1, stride=2, bias=False, seed=3, dtype=F64), nn.BatchNorm(6, dtype=F64))
    return nn.Residual(body, shortcut, activation="relu")


def make_inverted_residual():
    return nn.Residual(
        nn.Sequential(
            nn.Conv2d(4, 8, 1, bias=False, seed=1, dtype=F64),
            nn.BatchNorm(8, activation="relu6", dtype=F64),
            nn.Conv2d(8, 8, 3, padding=1, groups=8, bias=False, seed=2, dtype=F64),
            nn.BatchNorm(8, activation="silu", dtype=F64),
            nn.SqueezeExcitation(8, 2, activation="silu", seed=3, dtype=F64),
            nn.Conv2d(8, 4, 1, bias=False, seed=4, dtype=F64),
            nn.BatchNorm(4, dtype=F64),
            nn.StochasticDepth(0.5, seed=5),
        )
    )


BLOCKS = {
    "residual": make_residual,
    "identity": lambda: nn.Residual(nn.Conv2d(4, 4, 3, padding=1, seed=1, dtype=F64), activation="gelu"),
    "squeeze-excitation": lambda: nn.SqueezeExcitation(4, 3, seed=0, dtype=F64),
    "inverted residual": make_inverted_residual,
}


@pytest.mark.parametrize("kind", BLOCKS)
def test_gradients_of_a_block_agree_with_central_differences(kind):
    block, rng = BLOCKS[kind](), np.random.default_rng(0)
    input = rng.standard_normal((4, 4, 5, 4))
    for parameter in block.parameters.values():
        parameter += 0.1 * rng.standard_normal(parameter.shape)
    states = {name: generator.bit_generator.state for name, generator in block.generators.items()}
    grad_output = rng.standard_normal(block(input).shape)

    def loss():
        for name, generator in block.generators.items():
            generator.bit_generator.state = states[name]
        return float((block(input) * grad_output).sum())

    loss()
    grad_input = block.backward(grad_output)
    for name, array in [("input", input), *block.parameters.items()]:
        found = grad_input if name == "input" else block.gradients[name]
        expected = central_differences(loss, array)
        assert np.abs(expected).max() > 1e-4, f"{name}: nothing to compare"
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-7, err_msg=f"{kind}, {name}")


def test_a_residual_adds_its_shortcut_and_names_both():
    layer = nn.Residual(nn.Linear(2, 3, seed=0), nn.Linear(2, 3, bias=False, seed=1), activation="relu")
    assert list(layer.parameters) == ["body.weight", "body.bias", "shortcut.weight"]
    input = np.array([[1.0, -2.0]], np.float32)
    expected = np.maximum(layer.layers["body"](input) + layer.layers["shortcut"](input), 0)
    np.testing.assert_array_equal(layer(input), expected)
    assert repr(nn.Residual(nn.ReLU(), activation="relu")) == "Residual(activation='relu'\n  (body): ReLU()\n)"


def test_a_residual_of_an_identity_leaves_the_input_alone():
    layer, input = nn.Residual(nn.Sequential(), activation="relu"), np.ones((2, 3), np.float32)
    np.testing.assert_array_equal(layer(input), 2 * input)
    np.testing.assert_array_equal(layer.backward(input), 2 * input)
    np.testing.assert_array_equal(input, 1)


def test_stochastic_depth_drops_whole_samples_and_keeps_the_mean():
    layer = nn.StochasticDepth(0.25, seed=0)
    output = layer(np.ones((4000, 2, 3), np.float32))
    samples = output.reshape(4000, -1)
    assert set(np.unique(output)) == {np.float32(0), np.float32(4 / 3)}
    assert (samples == samples[:, :1]).all()
    assert abs((samples[:, 0] == 0).mean() - 0.25) < 0.03
    np.testing.assert_array_equal(layer.backward(np.ones_like(output)), output)
    assert list(layer.generators) == ["generator"]
    input = np.ones((3, 2), np.float32)
    assert layer.eval()(input) is input


@pytest.mark.parametrize("activation", [None, "relu", "silu"])
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("shortcut", [None, "conv"])
def test_a_sum_made_by_the_last_normalization_is_that_of_two_passes(activation, mode, shortcut):
    """A layer behind the normalization that does nothing keeps the block from adding on the way."""

    def block(*last):
        body = nn.Sequential(nn.Conv2d(3, 3, 3, padding=1, seed=0), nn.BatchNorm(3), *last)
        straight = None if shortcut is None else nn.Conv2d(3, 3, 1, seed=1)
        return getattr(nn.Residual(body, straight, activation), mode)()

    rng = np.random.default_rng(0)
    input, gradient = rng.standard_normal((2, 2, 5, 4, 3)).astype(np.float32)
    one, other = block(), block(nn.StochasticDepth(0.0))
    assert_close(one(input), other(input), 1e-6)
    if mode == "train":
        assert_close(one.backward(gradient), other.backward(gradient), 1e-6)
        for name, expected in other.gradients.items():
            assert_close(one.gradients[name], expected, 1e-6, name)
        assert not np.allclose(other.buffers["body.1.running_mean"], 0)
    for name, expected in other.buffers.items():
        assert_close(one.buffers[name], expected, 1e-6, name)


@pytest.mark.parametrize("kind", [nn.Sequential, nn.BatchNorm])
def test_a_body_that_computes_something_else_than_its_base_is_called_as_it_is(kind):
    class Doubled(kind):
        def _forward(self, input):
            output, saved = super()._forward(input)
            return 2 * output, saved

    body = Doubled(nn.BatchNorm(3)) if kind is nn.Sequential else Doubled(3)
    input = np.random.default_rng(0).standard_normal((4, 2, 2, 3)).astype(np.float32)
    expected = input + 2 * nn.BatchNorm(3)(input)
    np.testing.assert_allclose(nn.Residual(body)(input), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(("call", "message"), [
    (lambda: nn.Residual(nn.ReLU(), activation="swoosh"), "Residual: activation is 'swoosh'"),
    (lambda: nn.Residual(nn.Linear(2, 3))(np.ones((1, 2), np.float32)),
     r"Residual: body gives \(1, 3\) and shortcut \(1, 2\), expected the same"),
    (lambda: nn.Residual(nn.Sequential(nn.Linear(2, 3), nn.BatchNorm(3)))(np.ones((1, 2), np.float32)),
     r"Residual: body gives \(1, 3\) and shortcut \(1, 2\), expected the same"),
    (lambda: nn.StochasticDepth(1.0), "StochasticDepth: rate is 1.0, expected 0 <= rate < 1"),
    (lambda: nn.SqueezeExcitation(4, 2, activation="swoosh"), "Linear: activation is 'swoosh'"),
])  # fmt: skip
def test_what_makes_no_sense_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def make_network():
    return nn.Sequential(
        stem=nn.Conv2d(2, 4, 3, padding=1, seed=1),
        norm=nn.BatchNorm(4, activation="relu"),
        block=nn.Residual(nn.Conv2d(4, 4, 3, padding=1, seed=2), activation="relu"),
        pool=nn.GlobalAvgPool(),
        head=nn.Linear(4, 3, seed=3),
    )


def images(count=5):
    return np.random.default_rng(0).standard_normal((count, 6, 6, 2)).astype(np.float32)


def test_frozen_layers_get_no_gradient_and_the_others_the_same_as_ever():
    whole, part = make_network(), make_network()
    part.layers["block"].freeze()
    part.layers["head"].frozen = True
    for model in (whole, part):
        model.layers["norm"].buffers["running_var"][...] = 2
        grad_input = model.backward(model(images()))
        assert grad_input.shape == images().shape
    for name, gradient in part.gradients.items():
        if name.startswith(("block", "head")):
            assert not gradient.any(), name
        else:
            np.testing.assert_array_equal(gradient, whole.gradients[name], err_msg=name)
    assert [name for name in part.trainable_parameters] == ["stem.weight", "stem.bias", "norm.scale", "norm.bias"]


def test_the_way_back_ends_at_the_lowest_trainable_layer():
    model = make_network()
    for name in ("stem", "norm"):
        model.layers[name].freeze()
    model.layers["stem"]._backward = model.layers["norm"]._backward = None  # a call would be an error
    output = model(images())
    assert model.backward(output, input_gradient=False) is None
    assert model.gradients["block.body.weight"].any()
    assert all(layer._saved is None for layer in model.layers.values())


def test_of_a_frozen_model_only_the_gradient_of_the_input_is_computed():
    model, twin = make_network().freeze(), make_network()
    twin.layers["norm"].freeze()
    assert model.frozen and not twin.frozen
    np.testing.assert_array_equal(model.backward(model(images())), twin.backward(twin(images())))
    assert not any(gradient.any() for gradient in model.gradients.values())
    output = model(images())
    assert model.backward(output, input_gradient=False) is None
    assert model.layers["block"].layers["body"]._saved is None, "memory must not stay"
    with pytest.raises(RuntimeError, match="no forward pass"):
        model.backward(output, input_gradient=False)
    assert not model.unfreeze().frozen and list(model.trainable_parameters) == list(model.parameters)


def test_a_frozen_normalization_uses_its_averages_and_leaves_them_alone():
    layer, x = nn.BatchNorm(2, dtype=F64, activation="silu"), np.random.default_rng(0).standard_normal((3, 4, 2))
    layer.buffers["running_mean"][...] = [0.5, -0.5]
    layer.buffers["running_var"][...] = [2, 3]
    expected, before = layer.eval()(x), layer.state_dict()
    layer.train().freeze()
    np.testing.assert_array_equal(layer(x), expected)
    grad_output = np.random.default_rng(1).standard_normal(x.shape)
    found = layer.backward(grad_output)
    np.testing.assert_allclose(
        found, central_differences(lambda: float((layer(x) * grad_output).sum()), x), rtol=1e-6, atol=1e-8
    )
    for name, value in layer.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert not layer.gradients["scale"].any()


@pytest.mark.parametrize("kind", [optim.SGD, optim.Adam, optim.AdamW])
def test_an_optimizer_passes_frozen_parameters_over(kind):
    model = make_network()
    optimizer = kind(model, learning_rate=0.1, weight_decay=0.1)
    model.layers["stem"].freeze()
    before = model.state_dict()
    for _ in range(2):
        model.backward(model(images()))
        optimizer.step()
    for name, parameter in model.parameters.items():
        assert np.array_equal(parameter, before[name]) == name.startswith("stem"), name
    model.unfreeze()
    model.backward(model(images()))
    optimizer.step()
    assert not np.array_equal(model.parameters["stem.weight"], before["stem.weight"])


def test_a_head_is_replaced_and_trained_alone():
    model = make_network().freeze()
    model.layers["head"] = nn.Linear(4, 2, seed=9)
    before = model.state_dict()
    optimizer = optim.SGD(model, learning_rate=0.1)
    labels = np.array([0, 1, 0, 1, 1])
    losses = []
    for _ in range(20):
        loss, gradient = nn.cross_entropy(model(images()), labels)
        model.backward(gradient, input_gradient=False)
        optimizer.step()
        losses.append(loss)
    assert losses[-1] < losses[0]
    for name, value in model.state_dict().items():
        assert np.array_equal(value, before[name]) != name.startswith("head"), name


def test_a_twin_shares_arrays_and_has_a_mode_of_its_own():
    model = make_network()
    output = model(images())
    twin = model.twin().eval()
    assert model.training and not twin.training and model.layers["norm"].training
    for attribute in ("parameters", "gradients", "buffers"):
        own, other = getattr(model, attribute), getattr(twin, attribute)
        assert list(own) == list(other) and all(own[name] is other[name] for name in own)
    before = model.state_dict()
    twin(images())
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    assert model.backward(output).shape == images().shape


@pytest.mark.parametrize(("layer", "window"), [
    (nn.Conv2d(1, 1, 3, stride=2), {"kernel_size": (3, 3), "stride": 2, "padding": 0, "dilation": 1}),
    (nn.ConvTranspose1d(1, 1, 4, padding="same"), {"kernel_size": (4,), "stride": 1, "padding": "same", "dilation": 1}),
    (nn.SeparableConv2d(2, 2, (1, 3), dilation=2),
     {"kernel_size": (1, 3), "stride": 1, "padding": 0, "dilation": 2}),
    (nn.MaxPool2d(2), {"kernel_size": 2, "stride": None, "padding": 0, "dilation": 1, "ceil_mode": False}),
], ids=lambda value: type(value).__name__)  # fmt: skip
def test_layers_say_how_their_windows_slide(layer, window):
    assert layer.window == window


def test_a_pool_with_a_backward_pass_of_its_own_leaves_the_relu_to_the_convolution():
    class OwnPool(nn.MaxPool2d):
        def _backward(self, grad_output, saved, input_gradient):
            return super()._backward(grad_output, (*saved[:2], None), input_gradient)

    image = np.random.default_rng(0).standard_normal((2, 8, 8, 3)).astype(np.float32) - 1
    conv = nn.Conv2d(3, 4, 3, activation="relu", seed=0)
    conv.parameters["bias"][...] = -0.5
    models = [nn.Sequential(conv.twin(), pool) for pool in (nn.MaxPool2d(2), OwnPool(2))]
    outputs = [model(image) for model in models]
    assert (outputs[0] == 0).any()
    gradients = [model.backward(np.ones_like(outputs[0])) for model in models]
    np.testing.assert_array_equal(gradients[0], gradients[1])


@pytest.mark.parametrize("window", [{"kernel_size": 2}, {"kernel_size": 3, "stride": 2, "padding": 1}])
def test_a_maximum_goes_back_through_the_relu_before_it(window):
    conv, pool = nn.Conv2d(2, 5, 3, activation="relu", seed=0), nn.MaxPool2d(**window)
    image = np.random.default_rng(0).standard_normal((3, 11, 9, 2)).astype(np.float32)
    output = pool(conv(image))
    gradient = np.random.default_rng(1).standard_normal(output.shape).astype(np.float32)
    expected = conv.backward(pool.backward(gradient))
    weight, bias = (value.copy() for value in conv.gradients.values())
    conv.zero_gradients()

    model = nn.Sequential(conv, pool)
    np.testing.assert_array_equal(model(image), output)
    np.testing.assert_array_equal(model.backward(gradient), expected)
    np.testing.assert_array_equal(conv.gradients["weight"], weight)
    np.testing.assert_array_equal(conv.gradients["bias"], bias)
