"""What a network is said to look at: against finite differences, sums that must come out, and the strokes of digits."""

from __future__ import annotations

import io

import numpy as np
import pytest

from fastconv import data, models, nn, visualize
from runs import train_on_digits, trained_on_digits

pytest.importorskip("matplotlib")
pillow = pytest.importorskip("PIL.Image")


def unseen_digits():
    return data.digits()[1].images[:100]


@pytest.fixture
def nested():
    """A network in float64 with all that behaves otherwise in training."""
    common = {"dtype": np.float64}
    body = nn.Sequential(
        conv=nn.Conv2d(4, 4, 3, padding="same", seed=1, **common),
        norm=nn.BatchNorm(4, activation="silu", **common),
        drop=nn.Dropout(0.5, seed=0),
        depth=nn.StochasticDepth(0.5, seed=0),
    )
    model = nn.Sequential(stem=nn.Conv2d(2, 4, 3, seed=0, activation="tanh", **common), block=nn.Residual(body))
    model.layers |= {"pool": nn.GlobalAvgPool(), "fc": nn.Linear(4, 3, seed=2, **common)}
    generator = np.random.default_rng(3)
    for value in (*model.buffers.values(), *model.parameters.values()):
        value += generator.random(value.shape) / 4
    return model


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 8, 7, 2))


def logits(model, images):
    return model.twin().eval()(images)


def test_the_gradient_is_that_of_finite_differences(nested, images):
    found = visualize.saliency(nested, images, [2, 0, 1])
    assert found.shape == (3, 8, 7)
    for image, label, at in ((0, 2, (0, 0)), (1, 0, (3, 4)), (2, 1, (7, 6))):
        slopes = []
        for channel in range(2):
            moved = [images.copy(), images.copy()]
            for sign, copy in zip((-1, 1), moved, strict=True):
                copy[(image, *at, channel)] += sign * 1e-5
            low, high = (logits(nested, copy)[image, label] for copy in moved)
            slopes.append(abs(high - low) / 2e-5)
        assert found[(image, *at)] == pytest.approx(max(slopes), rel=1e-6)  # rounding 1e-16 / 1e-5, curvature 1e-10


@pytest.mark.parametrize("look", ["saliency", "grad_cam", "activations"])
def test_looking_changes_nothing_of_the_model(nested, images, look):
    before, draws = nested.state_dict(), nested.layers["block"].layers["body"].layers["drop"].generators["generator"]
    drawn = draws.bit_generator.state
    getattr(visualize, look)(nested, images)
    assert nested.training and not nested.frozen and draws.bit_generator.state == drawn
    assert not any(value.any() for value in nested.gradients.values())
    assert all(np.array_equal(value, before[name]) for name, value in nested.state_dict().items())
    with pytest.raises(RuntimeError, match="no forward pass"):
        nested.backward(np.ones((3, 3)))


def test_integrated_gradients_sum_to_the_difference_of_the_logits(nested, images):
    difference = (logits(nested, images) - logits(nested, np.zeros_like(images)))[:, 1]
    errors = []
    for samples in (8, 16, 32):
        summed = visualize.saliency(nested, images, 1, "integrated", samples=samples).sum(axis=(1, 2))
        errors.append(np.abs(summed - difference).max())
    assert errors[2] < 1e-3 * np.abs(difference).max()
    assert errors[0] / errors[1] == pytest.approx(4, rel=0.1) and errors[1] / errors[2] == pytest.approx(4, rel=0.1)


@pytest.mark.parametrize("baseline", ["mean", 0.5, np.linspace(0, 1, 14).reshape(7, 2)], ids=["mean", "0.5", "array"])
def test_integrated_gradients_begin_at_any_image(nested, images, baseline):
    given = images.mean(axis=(1, 2), keepdims=True) if isinstance(baseline, str) else baseline
    origin = np.broadcast_to(given, images.shape)
    difference = (logits(nested, images) - logits(nested, origin))[:, 1]
    found = visualize.saliency(nested, images, 1, "integrated", baseline=baseline)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), difference, atol=1e-3 * np.abs(difference).max())
    assert not visualize.saliency(nested, origin, 1, "integrated", baseline=origin).any()


def test_with_kinks_the_sum_is_within_one_percent():
    model, digits = trained_on_digits("simple_cnn"), unseen_digits()
    best = logits(model, digits).argmax(axis=1)
    difference = (logits(model, digits) - logits(model, np.zeros_like(digits)))[np.arange(len(best)), best]
    summed = visualize.saliency(model, digits, method="integrated").sum(axis=(1, 2))
    assert np.abs(summed - difference).max() < 0.01 * np.abs(difference).max()


def test_smoothing_is_a_mean_over_noise_from_a_seed(nested, images):
    plain = visualize.saliency(nested, images)
    np.testing.assert_allclose(visualize.saliency(nested, images, method="smooth", noise=0, samples=3), plain)
    noisy = [visualize.saliency(nested, images, method="smooth", samples=4, seed=seed) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(noisy[0], noisy[1])
    assert noisy[0].shape == plain.shape and not np.array_equal(noisy[0], noisy[2])


def test_grad_cam_is_the_weighted_sum_of_maps(nested, images):
    maps = visualize.activations(nested, images, "block")["block"]
    # Behind the block are a mean and a dense layer: each pixel's gradient is the weight over the number of pixels.
    weights = nested.layers["fc"].parameters["weight"][:, 2] / (6 * 5)
    expected = np.maximum(maps @ weights, 0)
    found = visualize.grad_cam(nested, images, 2, "block")
    assert found.shape == (3, 8, 7)
    np.testing.assert_allclose(found[:, [0, 0, -1, -1], [0, -1, 0, -1]], expected[:, [0, 0, -1, -1], [0, -1, 0, -1]])
    last = visualize.grad_cam(nested, images, 2)
    np.testing.assert_array_equal(last, visualize.grad_cam(nested, images, 2, "block.body.conv"))


def test_grad_cam_of_digits_lies_on_their_strokes():
    model = models.simple_cnn()  # with a head to which all positions are alike
    convolutions = {name: model.layers[name] for name in ("conv1", "pool1", "conv2")}
    model.layers = convolutions | {"pool": nn.GlobalAvgPool(), "fc": nn.Linear(64, 10, seed=0)}
    model, digits = train_on_digits(model, 1e-2), unseen_digits()
    strokes = digits[..., 0] > 0.1
    padded = np.pad(strokes, ((0, 0), (2, 2), (2, 2)))
    near = np.lib.stride_tricks.sliding_window_view(padded, (5, 5), axis=(1, 2)).any(axis=(-1, -2))
    found = visualize.grad_cam(model, digits)
    share = (found * near).sum() / found.sum()
    assert share > 1.5 * near.mean(), f"{share:.3f} of the mass on {near.mean():.3f} of the area"
    assert found.any(axis=(1, 2)).mean() > 0.9


def test_faulty_questions_are_told(nested, images):
    for wrong, message in (
        ({"classes": 3}, "saliency: classes is 3, expected 0 to 2"),
        ({"classes": [0, 1]}, r"classes is \[0, 1\], expected an int, or one for each image"),
        ({"classes": 1.0}, "classes is 1.0, expected an int"),
        ({"method": "grad"}, "method is 'grad', expected 'gradient', 'smooth' or 'integrated'"),
        (
            {"baseline": "white", "method": "integrated"},
            "baseline is 'white', expected 'black', 'mean', a number or an",
        ),
        (
            {"baseline": np.zeros(3), "method": "integrated"},
            r"baseline has shape \(3,\), which doesn't spread to that of",
        ),
        ({"samples": 0}, "samples=0, noise=0.15, expected at least 1 and at least 0"),
    ):
        with pytest.raises(ValueError, match=message):
            visualize.saliency(nested, images, **wrong)
    with pytest.raises(ValueError, match=r"grad_cam: the output of layer 'pool' is \(3, 4\)"):
        visualize.grad_cam(nested, images, layer="pool")
    with pytest.raises(ValueError, match="the model has no convolution"):
        visualize.grad_cam(nn.Sequential(nn.Flatten(), nn.Linear(112, 2, dtype=np.float64)), images)
    with pytest.raises(ValueError, match=r"saliency: the model's output is \(3, 6, 5, 4\), expected \(N, classes\)"):
        visualize.saliency(nested.layers["stem"], images)


@pytest.mark.parametrize("draw", [visualize.draw_saliency, visualize.draw_grad_cam])
def test_maps_are_drawn(draw):
    images, maps = np.random.default_rng(0).random((2, 9, 9, 3)), np.linspace(-1, 1, 162).reshape(2, 9, 9)
    picture = pillow.open(io.BytesIO(draw(images, maps)), formats=["PNG"])
    assert np.ptp(np.asarray(picture.convert("RGB"))) > 100
    assert draw(images, np.abs(maps), format="svg").decode().rstrip().endswith("</svg>")
    with pytest.raises(ValueError, match=r"maps have shape \(2, 9, 8\), expected \(2, 9, 9\)"):
        draw(images, maps[..., :-1])


@pytest.mark.parametrize("draw", [visualize.draw_saliency, visualize.draw_grad_cam])
def test_titles_stand_above_the_images(draw):
    images, maps = np.zeros((2, 4, 4, 1), np.float32), np.ones((2, 4, 4), np.float32)
    picture = draw(images, maps, titles=["one", "other"], format="svg").decode()
    assert "<!-- one -->" in picture and "<!-- other -->" in picture
    assert "<!--" not in draw(images, maps, format="svg").decode()
