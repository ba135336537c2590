"""Models: their sizes, shapes and initial values."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import data, models, nn, optim

# As the papers' configurations have them, and as PyTorch counts them where it has the same network.
SIZES = {
    "lenet5": 61_706,
    "simple_cnn": 50_186,
    "small_resnet": 272_186,
    "alexnet": 61_100_840,
    "alexnet_2012": 60_965_224,
    "vgg11": 132_863_336,
    "vgg13": 133_047_848,
    "vgg16": 138_357_544,
    "vgg19": 143_667_240,
    "resnet18": 11_689_512,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "mobilenet_v1": 4_231_976,
    "mobilenet_v2": 3_504_872,
    "efficientnet_b0": 5_288_548,
    "efficientnet_b1": 7_794_184,
    "efficientnet_b2": 9_109_994,
    "efficientnet_b3": 12_233_232,
    "efficientnet_b4": 19_341_616,
    "efficientnet_b5": 30_389_784,
    "efficientnet_b6": 43_040_704,
    "efficientnet_b7": 66_347_960,
    "unet": 31_030_658,
}

# All classifiers with few units or small images: (options, shape of a batch of images).
SMALL = {
    "lenet5": ({}, (3, 32, 32, 1)),
    "simple_cnn": ({"in_channels": 2}, (3, 28, 28, 2)),
    "small_resnet": ({"depth": 14, "in_channels": 3}, (3, 32, 32, 3)),
    "alexnet": ({"hidden": 64}, (3, 64, 64, 3)),
    "alexnet_2012": ({"hidden": 64}, (3, 67, 67, 3)),
    "vgg11": ({"hidden": 64}, (2, 32, 48, 3)),
    "vgg13": ({"hidden": 64, "batch_norm": True}, (3, 32, 32, 3)),
    "vgg16": ({"hidden": 64}, (2, 32, 32, 3)),
    "vgg19": ({"hidden": 64}, (2, 32, 32, 3)),
    **{f"resnet{depth}": ({}, (3, 64, 64, 3)) for depth in (18, 34, 101, 152)},
    "resnet50": ({"stride_in_1x1": True}, (3, 64, 64, 3)),
    "mobilenet_v1": ({"width_multiplier": 0.5}, (3, 64, 64, 3)),
    "mobilenet_v2": ({}, (3, 64, 64, 1)),
    **{f"efficientnet_b{number}": ({}, (4, 64, 64, 3)) for number in range(8)},
}


def count(model):
    return sum(parameter.size for parameter in model.parameters.values())


def test_every_model_is_tried_with_small_images():
    assert set(SMALL) | {"unet"} == set(models.MODELS)


def small(name, **more):
    options, shape = SMALL[name]
    options = {"num_classes": 7, "in_channels": shape[-1]} | options | more
    images = np.random.default_rng(0).random(shape).astype(options.get("dtype", "float32"))
    return models.create(name, **options), images


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_has_the_size_that_its_paper_or_document_states(name):
    model = models.create(name, initializer=nn.initialize.zeros)
    assert count(model) == SIZES[name]
    assert f"{SIZES[name]:,} parameters" in document(name)


def document(name):
    families = ("vgg", "resnet", "efficientnet")
    return models.MODELS[name].__doc__ + "".join(getattr(models, one).__doc__ for one in families if one in name)


def test_lenet5_has_the_layers_of_the_paper():
    assert {name: value.shape for name, value in models.lenet5().parameters.items()} == {
        "conv1.weight": (5, 5, 1, 6), "conv1.bias": (6,), "conv2.weight": (5, 5, 6, 16), "conv2.bias": (16,),
        "fc1.weight": (400, 120), "fc1.bias": (120,), "fc2.weight": (120, 84), "fc2.bias": (84,),
        "fc3.weight": (84, 10), "fc3.bias": (10,),
    }  # fmt: skip


@pytest.mark.parametrize(("options", "size"), [
    ({"depth": 20, "in_channels": 3}, 272_474), ({"depth": 56, "in_channels": 3}, 855_770),
    ({"depth": 110, "in_channels": 3}, 1_730_714),
])  # fmt: skip
def test_small_resnets_have_the_sizes_of_the_paper_and_their_projections(options, size):
    assert count(models.small_resnet(**options, initializer=nn.initialize.zeros)) == size


@pytest.mark.parametrize("name", SMALL)
def test_every_parameter_gets_a_gradient(name):
    model, images = small(name)
    logits = model(images)
    assert logits.shape == (len(images), 7) and logits.dtype == np.float32
    _, grad_logits = nn.cross_entropy(logits, np.arange(len(images)))
    assert model.backward(grad_logits).shape == images.shape
    for parameter, gradient in model.gradients.items():
        assert np.isfinite(gradient).all() and gradient.any(), parameter


@pytest.mark.parametrize("name", ["small_resnet", "mobilenet_v1"])
def test_a_model_learns_a_few_digits_by_heart(name):
    model, _ = small(name, num_classes=10, in_channels=1)
    train, _ = data.digits()
    images, labels = data.pad_images(train.images[:16], 32, 32), train.labels[:16]
    optimizer = optim.Adam(model, learning_rate=1e-3)
    for _ in range(25):
        loss, gradient = nn.cross_entropy(model(images), labels)
        model.backward(gradient, input_gradient=False)
        optimizer.step()
    assert loss < 0.2


@pytest.mark.parametrize("options", [{}, {"padding": "valid"}, {"batch_norm": True}], ids=str)
def test_a_unet_gives_every_pixel_its_classes(options):
    model = models.unet(num_classes=3, in_channels=2, base_channels=4, levels=2, **options)
    images = np.random.default_rng(0).random((2, 60, 52, 2), np.float32)
    logits = model(images)
    assert logits.shape == ((2, 20, 12, 3) if options.get("padding") == "valid" else (2, 60, 52, 3))
    _, gradient = nn.cross_entropy(logits.reshape(-1, 3), np.arange(logits.size // 3) % 3)
    assert model.backward(gradient.reshape(logits.shape)).shape == images.shape
    for parameter, gradient in model.gradients.items():
        assert np.isfinite(gradient).all() and gradient.any(), parameter


def test_a_unet_without_padding_has_the_sizes_of_the_paper():
    model = models.unet(padding="valid", initializer=nn.initialize.zeros)
    assert model.eval()(np.empty((0, 572, 572, 1), np.float32)).shape == (0, 388, 388, 2)


def test_a_pixel_of_a_unet_without_padding_is_decided_by_pixels_around_it():
    model = models.unet(padding="valid", base_channels=2, levels=2, dtype="float64").eval()
    image = np.random.default_rng(0).random((1, 60, 60, 1))
    whole, lost = model(image), 20
    np.testing.assert_allclose(model(image[:, 4:, 8:]), whole[:, 4:, 8:], rtol=1e-12)
    assert whole.shape[1] == 60 - 2 * lost


@pytest.mark.parametrize("name", ["lenet5", "small_resnet", "vgg11", "mobilenet_v2", "efficientnet_b0"])
def test_models_come_in_float64(name):
    model, images = small(name, dtype="float64")
    assert model.eval()(images[:1]).dtype == np.float64
    assert {value.dtype for value in model.state_dict().values()} == {np.dtype("float64")}


@pytest.mark.parametrize("name", ["lenet5", "simple_cnn", "small_resnet", "mobilenet_v1", "efficientnet_b0"])
def test_the_initial_values_follow_from_the_seed(name):
    one, same, other = (small(name, seed=seed)[0].state_dict() for seed in (1, 1, 2))
    for parameter, value in one.items():
        np.testing.assert_array_equal(value, same[parameter])
        assert not parameter.endswith("weight") or not np.array_equal(value, other[parameter])


@pytest.mark.parametrize("name", ["lenet5", "simple_cnn", "small_resnet", "mobilenet_v1", "efficientnet_b0"])
def test_no_two_layers_begin_with_the_same_values(name):
    firsts = [value.flat[0] for parameter, value in small(name)[0].parameters.items() if "weight" in parameter]
    assert len(set(firsts)) == len(firsts)


def test_dropouts_of_a_model_are_repeatable_and_independent():
    one, same = (models.efficientnet_b0(seed=3, initializer=nn.initialize.zeros).generators for _ in range(2))
    drawn = [generator.random() for generator in one.values()]
    assert drawn == [generator.random() for generator in same.values()]
    assert len(set(drawn)) == len(drawn) > 5


@pytest.mark.parametrize(("call", "message"), [
    (lambda: models.create("lenet6"), "unknown model 'lenet6', expected one of: lenet5, simple_cnn, small_resnet, "),
    (lambda: models.vgg(12), "vgg: depth is 12, expected one of 11, 13, 16, 19"),
    (lambda: models.resnet(20), "resnet: depth is 20, expected one of 18, 34, 50, 101, 152"),
    (lambda: models.small_resnet(depth=18), "small_resnet: depth is 18, expected 2 and a multiple of 6"),
    (lambda: models.efficientnet(8), "efficientnet: number is 8, expected 0 to 7"),
    (lambda: models.unet(padding="full"), "unet: padding is 'full', expected 'same' or 'valid'"),
    (lambda: models.unet(levels=0), "unet: levels is 0, expected 1 or more"),
])  # fmt: skip
def test_what_is_unknown_is_refused_with_what_is_known(call, message):
    with pytest.raises(ValueError, match=f"^{message}"):
        call()
