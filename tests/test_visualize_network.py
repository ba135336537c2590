"""What one sees inside a network is what its layers compute, and the model stays as it is."""

from __future__ import annotations

import io

import numpy as np
import pytest

from fastconv import models, nn, visualize

pytest.importorskip("matplotlib")
pillow = pytest.importorskip("PIL.Image")


def is_picture(file):
    return np.ptp(np.asarray(pillow.open(io.BytesIO(file), formats=["PNG"]).convert("RGB"))) > 100


def is_drawing(file):
    text = file.decode()
    return text.startswith("<?xml") and text.rstrip().endswith("</svg>")


@pytest.fixture
def images():
    return np.random.default_rng(0).random((3, 12, 12, 1), np.float32)


@pytest.fixture
def nested():
    body = nn.Sequential(conv=nn.Conv2d(4, 4, 3, padding="same", seed=1), norm=nn.BatchNorm(4), drop=nn.Dropout(0.5))
    model = nn.Sequential(stem=nn.Conv2d(1, 4, 3, seed=0), block=nn.Residual(body, activation="relu"))
    model.layers |= {"pool": nn.GlobalAvgPool(), "fc": nn.Linear(4, 3, seed=2)}
    return model


def test_activations_are_the_outputs_of_the_layers_themselves(nested, images):
    found = visualize.activations(nested, images)
    assert list(found) == ["stem", "block.body.conv", "block.body.norm", "block.body.drop", "block", "pool", "fc"]
    nested.eval()
    output = images
    for name in ("stem", "block", "pool", "fc"):
        output = nested.layers[name](output)
        np.testing.assert_array_equal(found[name], output)
    body = nested.layers["block"].layers["body"]
    np.testing.assert_array_equal(found["block.body.conv"], body.layers["conv"](found["stem"]))
    np.testing.assert_array_equal(found["block.body.drop"], body(found["stem"]))


def test_one_layer_is_found_by_its_name_and_a_wrong_name_is_told(nested, images):
    found = visualize.activations(nested, images, "block.body")
    np.testing.assert_array_equal(found["block.body"], visualize.activations(nested, images)["block.body.drop"])
    assert len(found) == 1
    with pytest.raises(ValueError, match=r"activations: layer is 'body', expected one of: stem, block\.body\.conv, "):
        visualize.activations(nested, images, "body")
    with pytest.raises(TypeError, match="images must be float32 or float64, got uint8"):
        visualize.activations(nested, images.astype(np.uint8))


class Detour(nn.Sequential):
    """Leaves its layers aside."""

    def __init__(self):
        super().__init__(beside=nn.Conv2d(1, 1, 3, seed=0))

    def _forward(self, input):
        return input.mean(axis=(1, 2)), ()

    def _backward(self, grad_output, saved, input_gradient):
        return grad_output


@pytest.mark.parametrize("look", [visualize.activations, visualize.grad_cam])
def test_a_layer_that_nothing_passes_is_told(images, look):
    with pytest.raises(ValueError, match=f"{look.__name__}: nothing passes layer 'beside'"):
        look(Detour(), images, layer="beside")
    found = visualize.activations(nn.Sequential(detour=Detour()), images)
    np.testing.assert_array_equal(found.pop("detour"), images.mean(axis=(1, 2)))
    assert not found


@pytest.mark.parametrize("format, shown", [("png", is_picture), ("svg", is_drawing)])
def test_activations_and_filters_are_drawn(nested, images, format, shown):
    assert shown(visualize.draw_activations(visualize.activations(nested, images), image=2, format=format))
    assert shown(visualize.draw_filters(visualize.filters(nested.layers["stem"]), format=format))
    assert shown(visualize.draw_filters(visualize.filters(nn.Conv2d(3, 5, 3, seed=0)), format=format))


def test_filters_are_the_weight_with_the_output_channels_first():
    grey, coloured, deep = nn.Conv2d(1, 8, (3, 5), seed=0), nn.Conv2d(3, 4, 3, seed=0), nn.Conv2d(6, 4, 3, seed=0)
    np.testing.assert_array_equal(visualize.filters(grey)[2], grey.parameters["weight"][:, :, 0, 2])
    np.testing.assert_array_equal(visualize.filters(coloured)[1], coloured.parameters["weight"][..., 1])
    np.testing.assert_array_equal(visualize.filters(deep, 5)[3], deep.parameters["weight"][:, :, 5, 3])
    with pytest.raises(ValueError, match="the layer has 6 input channels in a group: say which channel"):
        visualize.filters(deep)
    with pytest.raises(ValueError, match="channel is 6, expected 0 to 5"):
        visualize.filters(deep, 6)
    with pytest.raises(TypeError, match="layer is Linear, expected Conv2d"):
        visualize.filters(nn.Linear(2, 2))


STACKS = {
    "strides": (nn.Conv2d(2, 4, 3, stride=2, padding=1, seed=0), nn.Conv2d(4, 4, (5, 2), stride=(1, 3), seed=1)),
    "dilation": (nn.Conv2d(2, 4, 3, dilation=(2, 3), seed=0), nn.Conv2d(4, 4, 3, dilation=2, padding="same", seed=1)),
    "pools": (nn.Conv2d(2, 8, 3, padding=1, activation="relu", seed=0), nn.MaxPool2d(2), nn.AvgPool2d(3, stride=2)),
    "all": (
        nn.Conv2d(2, 6, 3, stride=2, padding=1, seed=0, activation="silu"),
        nn.MaxPool2d(3, stride=2, padding=1),
        nn.Residual(nn.Conv2d(6, 6, 3, padding="same", dilation=2, seed=1)),
    ),
}


@pytest.mark.parametrize("name", STACKS)
def test_the_field_measured_is_the_theoretical_one(name):
    model = nn.Sequential(*STACKS[name], nn.Flatten())
    model.input_shape = (40, 36, 2)
    layer = str(len(STACKS[name]) - 1)
    _, height, width, _ = visualize.activations(model, np.zeros((1, 40, 36, 2), np.float32), layer)[layer].shape
    for position in ((0, 0), (height // 2, width // 2), (height - 1, width - 1), (0, width - 1)):
        seen = visualize.receptive_field_of(model, layer, position, samples=32)
        assert seen.measured == seen.theoretical, position
        assert seen.gradient.shape == (40, 36) and seen.gradient.max() > 0


def test_a_field_is_drawn_where_it_lies_and_questions_are_checked(nested, images):
    seen = visualize.receptive_field_of(nested, "block.body.conv", (4, 0), images)
    assert seen.theoretical == seen.measured == ((3, 8), (0, 4))
    whole = visualize.receptive_field_of(nested, "block.body", (4, 0), images)
    assert whole.measured == whole.theoretical == seen.theoretical
    assert is_picture(visualize.draw_receptive_field(images[0], seen))
    assert is_drawing(visualize.draw_receptive_field(images[0], seen, format="svg"))
    with pytest.raises(ValueError, match=r"position is \(10, 0\), expected one inside \(10, 10\)"):
        visualize.receptive_field_of(nested, "stem", (10, 0), images)
    with pytest.raises(ValueError, match=r"position is \(0,\), but layer 'pool' gives \(3, 4\)"):
        visualize.receptive_field_of(nested, "pool", (0,), images)
    with pytest.raises(ValueError, match="input_shape is None, samples=16; give images, or both"):
        visualize.receptive_field_of(nested, "stem", (0, 0))
    with pytest.raises(ValueError, match=r"image has shape \(5, 5, 1\), expected \(12, 12\) pixels"):
        visualize.draw_receptive_field(np.zeros((5, 5, 1)), seen)


@pytest.mark.parametrize("name", ["draw_activations", "draw_filters"])
def test_drawings_refuse_unknown_formats(name):
    with pytest.raises(ValueError, match=f"{name}: format is 'jpg', expected 'png' or 'svg'"):
        getattr(visualize, name)({}, format="jpg")


def test_drawings_refuse_what_is_no_picture():
    flat = visualize.activations(models.simple_cnn(), np.zeros((1, 28, 28, 1), np.float32), "fc")
    with pytest.raises(ValueError, match="draw_activations: 0 layers and 8 channels"):
        visualize.draw_activations(flat)
    with pytest.raises(ValueError, match="image is 1, expected 0 to 0"):
        visualize.draw_activations({"conv": np.ones((1, 2, 2, 1))}, image=1)
    with pytest.raises(ValueError, match=r"pictures has shape \(3, 3\), expected 3 or 4 axes"):
        visualize.draw_filters(np.ones((3, 3)))
