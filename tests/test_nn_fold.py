"""Batch normalization folded into the layer before it."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import models, nn, optim

F64 = np.dtype("float64")


def layers_of(layer):
    yield layer
    for inner in getattr(layer, "layers", {}).values():
        yield from layers_of(inner)


def with_random_statistics(model):
    """The model with averages, scales and biases as training may leave them."""
    rng = np.random.default_rng(0)
    for layer in layers_of(model):
        if isinstance(layer, nn.BatchNorm):
            layer.buffers["running_mean"][...] = rng.normal(0, 0.5, layer.buffers["running_mean"].shape)
            layer.buffers["running_var"][...] = rng.uniform(0.5, 2, layer.buffers["running_var"].shape)
            layer.parameters["scale"][...] = rng.uniform(0.5, 1.5, layer.parameters["scale"].shape)
            layer.parameters["bias"][...] = rng.normal(0, 0.3, layer.parameters["bias"].shape)
    return model


@pytest.mark.parametrize(("name", "options", "shape"), [
    ("small_resnet", {"depth": 14}, (2, 32, 32, 1)),
    ("resnet18", {"num_classes": 9}, (1, 48, 40, 3)),
    ("mobilenet_v2", {"width_multiplier": 0.25}, (2, 48, 40, 3)),
    ("efficientnet_b0", {"num_classes": 9}, (1, 48, 40, 3)),
    ("vgg11", {"hidden": 32, "batch_norm": True}, (1, 32, 32, 3)),
    ("unet", {"base_channels": 4, "batch_norm": True}, (1, 32, 32, 1)),
])  # fmt: skip
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_folded_model_computes_the_same_without_normalizations(name, options, shape, dtype):
    model = with_random_statistics(models.create(name, dtype=dtype, **options))
    images = np.random.default_rng(1).random(shape).astype(dtype)
    folded = nn.fold_batch_norm(model)
    assert not any(isinstance(layer, nn.BatchNorm) for layer in layers_of(folded))
    expected = model.eval()(images)
    # Each layer rounds its factors once more; some twenty layers deep that stays below a few hundred units.
    tolerance = 500 * np.finfo(dtype).eps * np.abs(expected).max()
    np.testing.assert_allclose(folded(images), expected, rtol=0, atol=tolerance)


@pytest.mark.parametrize("layer", [
    nn.Conv2d(4, 6, 3, groups=2, seed=0, dtype=F64), nn.Conv2d(4, 6, 3, bias=False, seed=0, dtype=F64),
    nn.ConvTranspose2d(4, 6, 3, stride=2, seed=0, dtype=F64), nn.ConvTranspose2d(4, 6, 3, groups=2, seed=0, dtype=F64),
    nn.SeparableConv2d(4, 6, 3, seed=0, dtype=F64), nn.SeparableConv2d(4, 6, 3, bias=False, seed=0, dtype=F64),
], ids=repr)  # fmt: skip
@pytest.mark.parametrize("activation", [None, "relu", "silu"])
def test_all_kinds_of_convolution_take_a_normalization_over(layer, activation):
    rng = np.random.default_rng(0)
    if "bias" in layer.parameters:
        layer.parameters["bias"][...] = rng.standard_normal(6)
    model = with_random_statistics(nn.Sequential(layer, nn.BatchNorm(6, activation=activation, dtype=F64)))
    images = rng.standard_normal((2, 7, 6, 4))
    folded = nn.fold_batch_norm(model)
    assert list(folded.parameters)[-1] == "0.bias" and len(folded.layers) == 1
    np.testing.assert_allclose(folded(images), model.eval()(images), rtol=1e-12, atol=1e-13)


def test_a_dense_layer_takes_a_normalization_over():
    model = with_random_statistics(
        nn.Sequential(fc=nn.Linear(3, 4, seed=0, dtype=F64), norm=nn.BatchNorm(4, dtype=F64))
    )
    rows = np.random.default_rng(0).standard_normal((5, 3))
    folded = nn.fold_batch_norm(model)
    assert list(folded.layers) == ["fc"]
    np.testing.assert_allclose(folded(rows), model.eval()(rows), rtol=1e-12, atol=1e-13)


def test_a_folded_model_has_convolutions_of_its_own_and_can_be_trained_on():
    model = models.simple_cnn(num_classes=3, seed=0)
    images = np.random.default_rng(0).random((4, 28, 28, 1), np.float32)
    folded = nn.fold_batch_norm(model)
    expected = folded(images)
    for name, value in model.parameters.items():
        if "conv" in name:
            value[...] += 1
    np.testing.assert_array_equal(folded(images), expected)
    for make in (lambda: optim.SGD(folded, learning_rate=0.1), lambda: optim.ExponentialMovingAverage(folded)):
        with pytest.raises(ValueError, match=r"conv1\.weight, conv2\.weight: read-only"):
            make()
    optimizer = optim.SGD(folded.train(), learning_rate=0.1)
    folded.backward(np.ones_like(folded(images)))
    assert not any(gradient.any() for name, gradient in model.gradients.items() if "conv" in name)
    before = {name: value.copy() for name, value in folded.parameters.items()}
    optimizer.step()
    for name, value in folded.parameters.items():
        assert not np.array_equal(value, before[name])
    assert not np.array_equal(folded.eval()(images), expected)


def test_the_model_itself_stays_as_it_is():
    model = with_random_statistics(models.small_resnet(depth=8))
    before = model.state_dict()
    folded = nn.fold_batch_norm(model)
    assert folded.input_shape == (32, 32, 1) and not folded.training and model.training
    assert all(layer.training for layer in layers_of(model))
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, before[name])
    images = np.ones((2, 32, 32, 1), np.float32)
    assert model.backward(model(images)).shape == images.shape


def test_only_what_follows_directly_and_linearly_is_folded():
    bent = nn.Sequential(nn.Conv2d(2, 2, 1, activation="relu", seed=0), nn.BatchNorm(2))
    apart = nn.Sequential(nn.Conv2d(2, 2, 1, seed=0), nn.MaxPool2d(2), nn.BatchNorm(2))
    branches = nn.Concatenate(nn.Conv2d(2, 2, 1, seed=0), nn.BatchNorm(2))
    for model in (bent, apart, branches):
        folded = nn.fold_batch_norm(with_random_statistics(model))
        assert list(folded.layers) == list(model.layers)
        images = np.random.default_rng(0).random((2, 4, 4, 2), np.float32)
        np.testing.assert_array_equal(folded(images), model.eval()(images))
    alone = nn.fold_batch_norm(nn.BatchNorm(2))
    assert isinstance(alone, nn.BatchNorm) and not alone.training
