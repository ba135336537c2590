"""Evaluation: what is right, by class and among five; and which layer is the first to leave the numbers."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import data, nn, training
from fastconv.training import Diverged, Recipe, Run
from fastconv.training.diagnosis import explain


def reading_off(classes):
    """Return a model whose logits are the pixels of an image, (1, classes, 1), themselves."""
    model = nn.Sequential(flatten=nn.Flatten())
    model.input_shape = (1, classes, 1)
    return model


def dataset(logits, labels):
    return data.Dataset(np.float32(logits)[:, np.newaxis, :, np.newaxis], np.array(labels))


def test_the_confusion_matrix_counts_what_is_taken_for_what():
    logits = np.eye(3)[[0, 0, 1, 2, 2, 2]]
    evaluation = training.evaluate(reading_off(3), dataset(logits, [0, 1, 1, 1, 0, 0]), batch_size=4)
    np.testing.assert_array_equal(evaluation.confusion, [[1, 0, 2], [1, 1, 1], [0, 0, 0]])
    np.testing.assert_allclose(evaluation.class_accuracy, [1 / 3, 1 / 3, np.nan])
    assert evaluation.accuracy == 1 / 3 and evaluation.top5_accuracy is None


def test_top_5_counts_where_the_right_one_is_among_the_first_five():
    logits = np.tile(np.arange(12.0, 0, -1), (12, 1))
    evaluation = training.evaluate(reading_off(12), dataset(logits, np.arange(12)))
    assert evaluation.accuracy == 1 / 12 and evaluation.top5_accuracy == 5 / 12


def test_labels_that_the_model_does_not_know_are_refused():
    with pytest.raises(ValueError, match="labels must be between 0 and 2, got values from 3 to 3"):
        training.evaluate(reading_off(3), dataset(np.eye(3)[:1], [3]))


def test_grey_images_get_three_channels_where_the_model_wants_them():
    model = nn.Sequential(flatten=nn.Flatten())
    model.input_shape = (2, 2, 3)
    probabilities = training.predict(model, np.ones((1, 2, 2, 1), np.float32))
    np.testing.assert_allclose(probabilities, np.full((1, 12), 1 / 12))


@pytest.fixture
def nested():
    return nn.Sequential(
        nn.Sequential(conv=nn.Conv2d(1, 2, 3, seed=0), relu=nn.ReLU()),
        nn.Sequential(inner=nn.Sequential(norm=nn.GroupNorm(1, 2), pool=nn.MaxPool2d(2))),
        flatten=nn.Flatten(),
        fc=nn.Linear(8, 3, seed=0),
    )


IMAGES = np.ones((2, 6, 6, 1), np.float32)


@pytest.mark.parametrize(("parameter", "layer", "kind"), [
    ("0.conv.bias", "0.conv", "Conv2d"), ("1.inner.norm.scale", "1.inner.norm", "GroupNorm"),
    ("fc.weight", "fc", "Linear"),
])  # fmt: skip
def test_the_first_layer_whose_output_is_not_finite_is_found_in_layers_of_layers(nested, parameter, layer, kind):
    assert training.first_not_finite(nested, IMAGES) is None
    assert explain(nested, IMAGES) == "the outputs of all layers are finite"
    nested.parameters[parameter].flat[0] = np.inf
    name = parameter.rpartition(".")[2]
    with np.errstate(all="ignore"):
        assert training.first_not_finite(nested, IMAGES) == layer
        assert explain(nested, IMAGES) == f"the output of layer {layer} ({kind}) isn't finite, nor is its {name}"


def test_a_layer_that_goes_its_own_way_counts_as_one():
    class Residual(nn.Sequential):
        def _forward(self, input):
            output, saved = super()._forward(input)
            return input + output, saved

    model = nn.Sequential(block=Residual(relu=nn.ReLU()), flatten=nn.Flatten())
    assert training.first_not_finite(model, np.full((1, 2), np.float32(1e38))) is None
    with np.errstate(over="ignore"):
        assert training.first_not_finite(model, np.full((1, 2), np.float32(3.4e38))) == "block"


def test_a_run_names_the_layer_or_the_images_that_end_it():
    train, _ = data.digits()
    images, labels = train[:8].arrays()
    run = Run(Recipe("lenet5"))
    with pytest.raises(Diverged, match=r"nan in epoch 1 after 0 steps: the images themselves aren't finite; try"):
        run.train_on(images * np.float32("nan"), labels, 10)
    run.model.parameters["conv2.weight"].flat[0] = np.nan
    message = r"after 0 steps: the output of layer conv2 \(Conv2d\) isn't finite, nor is its weight; try a learning"
    with pytest.raises(Diverged, match=message):
        run.train_on(images, labels, 10)
    with np.errstate(all="ignore"):
        evaluation = training.evaluate(run.model, train[:8])
    with pytest.raises(Diverged, match=message):
        run.finish_epoch(evaluation, images)
