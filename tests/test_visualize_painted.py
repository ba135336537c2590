"""Images found by gradient steps do what was asked of them, with a model trained here and with every kind of block."""

from __future__ import annotations

import io

import numpy as np
import pytest

from fastconv import data, models, nn, visualize
from runs import trained_on_digits

pytest.importorskip("matplotlib")
pillow = pytest.importorskip("PIL.Image")


@pytest.fixture(scope="module")
def model():
    return trained_on_digits("simple_cnn")


@pytest.fixture(scope="module")
def digits():
    return data.digits()[1].images[:200]


SMALL = {
    "resnet": (models.resnet, {"depth": 18, "num_classes": 5}, "layer1.0.body.conv1", "layer2.0"),
    "mobilenet": (models.mobilenet_v2, {"num_classes": 5, "width_multiplier": 0.25}, "block2.depthwise", "block4"),
    "unet": (models.unet, {"base_channels": 4, "levels": 2}, "both.below.inner.down.conv1", "both"),
}


@pytest.fixture(params=SMALL)
def relative(request):
    """A small relative of a family, two of its nested layers, and a coloured image."""
    function, options, *layers = SMALL[request.param]
    return function(in_channels=3, **options), layers, np.random.default_rng(0).random((1, 48, 48, 3), np.float32)


@pytest.mark.parametrize(("layer", "error"), [("conv1", 0.015), ("conv2", 0.015), ("pool2", 0.03), ("fc", 0.01)])
def test_inverted_features_reproduce_the_activations_of_their_layer(model, digits, layer, error):
    inverted = visualize.invert(model, digits[:2], layer)
    found, wanted = (visualize.activations(model, images, layer)[layer] for images in (inverted.images, digits[:2]))
    norms = [np.linalg.norm(values.reshape(2, -1), axis=1) for values in (found - wanted, wanted)]
    np.testing.assert_allclose(inverted.errors, norms[0] / norms[1], rtol=1e-3, atol=1e-5)
    assert inverted.errors.max() < error
    assert inverted.history.shape == (301, 2) and inverted.images.dtype == np.float32
    assert (inverted.history[-1] >= inverted.errors**2).all()
    assert (inverted.history[-1] < 0.03 * inverted.history[0]).all()


def test_a_shallow_layer_knows_the_image_and_a_deep_one_only_what_counts(model, digits):
    distances = {}
    for layer in ("conv1", "fc"):
        found = visualize.invert(model, digits[2:4], layer, steps=200).images
        distances[layer] = np.sqrt(np.square(found - digits[2:4]).mean())
        assert (model.twin().eval()(found).argmax(axis=1) == model.twin().eval()(digits[2:4]).argmax(axis=1)).all()
    assert distances["conv1"] < 0.02 and distances["fc"] > 0.2


def test_penalties_and_jitter_act_on_the_image(model, digits):
    def variation(images):
        return sum(np.square(np.diff(images, axis=axis)).mean() for axis in (1, 2))

    look = {"steps": 40, "layer": "fc"}
    rough, smooth = (visualize.invert(model, digits[:2], **look, total_variation=weight).images for weight in (0, 1))
    assert variation(smooth) < 0.2 * variation(rough)
    free, held = (visualize.invert(model, digits[:2], **look, norm=weight).images for weight in (0, 10))
    assert np.abs(held - 0.5).max() < np.abs(free - 0.5).max()
    still, moved, again = (visualize.invert(model, digits[:2], **look, jitter=by).images for by in (0, 2, 2))
    assert not np.array_equal(still, moved)
    np.testing.assert_array_equal(moved, again)


def test_classes_maximised_are_predicted_and_beyond_all_real_digits(model, digits):
    found = visualize.maximize(model, np.arange(10), jitter=1)
    logits = model.twin().eval()(found.images)
    np.testing.assert_array_equal(logits.argmax(axis=1), np.arange(10))
    np.testing.assert_allclose(found.activations, logits.diagonal(), rtol=1e-5)
    real = model.twin().eval()(digits).max(axis=0)
    assert (found.activations > real).all() and np.median(found.activations / real) > 1.3
    unbound = visualize.maximize(model, np.arange(10), total_variation=0, norm=0, jitter=0, steps=100)
    assert (unbound.activations > 1.3 * real).all() and np.median(unbound.activations / real) > 1.8
    assert found.images.min() >= 0 and found.images.max() <= 1
    assert found.history.shape == (257, 10) and (found.history[-1] > found.history[0]).all()


def test_channels_maximised_answer_twice_as_much_as_to_any_digit(model, digits):
    means = visualize.activations(model, digits, "conv2")["conv2"].mean(axis=(1, 2)).max(axis=0)
    channels = np.flatnonzero(means > np.median(means))[::3]
    found = visualize.maximize(model, channels, "conv2")
    made = visualize.activations(model, found.images, "conv2")["conv2"].mean(axis=(1, 2))
    np.testing.assert_allclose(found.activations, made[np.arange(len(channels)), channels], rtol=1e-5)
    assert np.median(found.activations / means[channels]) > 2


def test_channels_that_grey_noise_leaves_silent_are_woken_by_other_noise():
    """Each channel is a detector with a threshold that grey noise doesn't reach, the last one's nothing reaches."""
    model = nn.Sequential(conv=nn.Conv2d(1, 3, 4, activation="relu", initializer=nn.initialize.zeros))
    weight, bias = model.layers["conv"].parameters.values()
    weight[:, :2, 0, 0], weight[:, 2:, 0, 0] = 1, -1
    weight[..., 1], bias[:] = -weight[..., 0], [-3, -3, -100]
    found = visualize.maximize(model, [0, 1, 2], "conv", input_shape=(16, 16, 1), steps=40)
    assert (found.history[0, :2] > 0).all() and (found.activations[:2] > 3 * found.history[0, :2]).all()
    assert found.activations[2] == 0
    grey = np.full((1, 16, 16, 1), 0.5, np.float32)
    assert visualize.maximize(model, 0, "conv", start=grey, steps=2).activations[0] == 0


def test_a_silent_channel_is_woken_by_images_that_it_answers_to(model, digits):
    outputs = visualize.activations(model, digits, "conv2")["conv2"].mean(axis=(1, 2))
    grey = np.full((64, 28, 28, 1), 0.5, np.float32)
    silent = visualize.maximize(model, np.arange(64), "conv2", start=grey, steps=1).history[0] == 0
    channel = int(np.where(silent, outputs.max(axis=0), 0).argmax())
    best = digits[[outputs[:, channel].argmax()]]
    for start in (best, None):
        woken = visualize.maximize(model, channel, "conv2", start=start)
        assert woken.history[0, 0] > 0 and woken.activations[0] > 2 * outputs[:, channel].max()


def test_every_family_can_be_inverted_and_maximised(relative):
    model, layers, image = relative
    before = model.state_dict()
    for layer in layers:
        inverted = visualize.invert(model, image, layer, steps=40)
        assert inverted.errors[0] < 0.5 and inverted.images.shape == image.shape, layer
        maximized = visualize.maximize(model, [0, 3], layer, input_shape=(48, 48, 3), steps=12)
        assert maximized.images.shape == (2, 48, 48, 3)
        assert (maximized.activations >= maximized.history[0]).all() and maximized.activations.any(), layer
    assert all(np.array_equal(value, before[name]) for name, value in model.state_dict().items()) and model.training


def test_large_coloured_images_are_no_exception():
    model = models.mobilenet_v2(num_classes=5, width_multiplier=0.25)
    image = np.random.default_rng(0).random((1, 224, 224, 3), np.float32)
    inverted = visualize.invert(model, image, "block2", steps=4)
    assert inverted.history[-1, 0] < inverted.history[0, 0] and inverted.images.shape == image.shape
    maximized = visualize.maximize(model, 3, steps=4, total_variation=0, norm=0, jitter=0)
    assert maximized.activations[0] > maximized.history[0, 0] and maximized.images.shape == image.shape


def test_only_the_layers_that_are_needed_are_computed():
    above = nn.Sequential(fail=nn.Linear(3, 1))  # which would be refused, were it called
    model = nn.Sequential(stem=nn.Sequential(conv=nn.Conv2d(1, 2, 3, seed=0), pool=nn.MaxPool2d(2)), above=above)
    images = np.random.default_rng(0).random((1, 8, 8, 1), np.float32)
    assert visualize.invert(model, images, "stem.conv", steps=5).errors[0] < 1
    assert visualize.invert(model, images, "stem", steps=5).errors[0] < 1
    with pytest.raises(ValueError, match="must have 3 features"):
        visualize.invert(model, images, "above", steps=5)
    assert list(model.layers) == ["stem", "above"] and list(model.layers["stem"].layers) == ["conv", "pool"]


def test_steps_are_told_as_they_are_made(model, digits):
    made = []
    visualize.invert(model, digits[:1], "conv1", steps=3, on_step=lambda: made.append("invert"))
    visualize.maximize(model, 0, steps=2, on_step=lambda: made.append("maximize"))
    assert made == ["invert"] * 3 + ["maximize"] * 2


def test_faulty_questions_are_told(model, digits):
    for options, message in (
        ({"layer": "conv9"}, "invert: layer is 'conv9', expected one of: conv1, "),
        ({"steps": 0}, "invert: steps=0, jitter=0, expected at least 1 and at least 0"),
        ({"norm": -1}, "invert: norm is -1, expected 0 or more"),
        ({"images": digits[:2] * 0}, "invert: layer 'pool1' is zero for image 0"),
    ):
        with pytest.raises(ValueError, match=message):
            visualize.invert(**{"model": silent(), "images": digits[:2], "layer": "pool1"} | options)
    for options, message in (
        ({"channels": 10}, "maximize: channels is 10, expected 0 to 9"),
        ({"channels": 1.5}, "maximize: channels is 1.5, expected an int, or a row of them"),
        ({"bounds": (1, 0)}, r"maximize: bounds are \(1, 0\), expected two numbers, the lower one first"),
        ({"start": digits[:3]}, "maximize: start has 3 images, expected 1, one for each channel"),
        ({"model": model.layers["conv1"]}, "maximize: input_shape is None, and the model has none"),
    ):
        with pytest.raises(ValueError, match=message):
            visualize.maximize(**{"model": model, "channels": 0} | options)


def silent():
    """A model without biases that answers to black images with nothing."""
    return nn.Sequential(conv1=nn.Conv2d(1, 2, 3, bias=False, seed=0), pool1=nn.MaxPool2d(2))


def test_inverted_and_maximised_images_are_drawn(digits):
    blank = np.zeros_like(digits[:3])
    inverted = visualize.Inverted(blank, np.full(3, 0.25), np.ones((1, 3)))
    same = visualize.Inverted(digits[:3], np.zeros(3), np.ones((1, 3)))
    pictures = [
        np.asarray(pillow.open(io.BytesIO(visualize.draw_inversion(digits[:3], found))).convert("L"), int)
        for found in (inverted, same)
    ]
    (height, _), lower = pictures[0].shape, [picture[picture.shape[0] // 2 :] for picture in pictures]
    np.testing.assert_array_equal(*(picture[: height // 2 - 20] for picture in pictures))
    assert (lower[0] < 50).sum() > 1.1 * (lower[1] < 50).sum()  # all black, beside white strokes
    maximized = visualize.Maximized(digits[:9], np.arange(9.0), np.ones((1, 9)))
    assert np.ptp(np.asarray(pillow.open(io.BytesIO(visualize.draw_maximization(maximized))).convert("L"))) > 200
    drawing = visualize.draw_maximization(maximized, tuple("abcdefghi"), format="svg").decode()
    assert drawing.count("<image") == 9
    with pytest.raises(ValueError, match=r"images found have shape \(3, 28, 28, 1\), expected \(2, 28, 28, 1\)"):
        visualize.draw_inversion(digits[:2], inverted)
    named = visualize.draw_inversion(digits[:3], inverted, ("conv1", "conv2", "fc"), format="svg").decode()
    assert "<!-- conv2 -->" in named and named.count("<!-- error 25 % -->") == 3
    with pytest.raises(ValueError, match="there are 1 names, expected 9"):
        visualize.draw_maximization(maximized, ("a",))
