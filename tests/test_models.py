"""Models: their sizes, shapes and initial values."""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import models, nn

SIZES = {"lenet5": 61_706, "simple_cnn": 50_186}


@pytest.mark.parametrize("name", models.MODELS)
def test_a_model_has_the_size_that_its_paper_or_document_states(name):
    model = models.create(name)
    assert sum(parameter.size for parameter in model.parameters.values()) == SIZES[name]


def test_lenet5_has_the_layers_of_the_paper():
    assert {name: value.shape for name, value in models.lenet5().parameters.items()} == {
        "conv1.weight": (5, 5, 1, 6), "conv1.bias": (6,), "conv2.weight": (5, 5, 6, 16), "conv2.bias": (16,),
        "fc1.weight": (400, 120), "fc1.bias": (120,), "fc2.weight": (120, 84), "fc2.bias": (84,),
        "fc3.weight": (84, 10), "fc3.bias": (10,),
    }  # fmt: skip


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", models.MODELS)
def test_every_parameter_gets_a_gradient(name, dtype):
    model = models.create(name, num_classes=7, dtype=dtype)
    images = np.random.default_rng(0).random((3, *model.input_shape)).astype(dtype)
    logits = model(images)
    assert logits.shape == (3, 7) and logits.dtype == dtype
    _, grad_logits = nn.cross_entropy(logits, np.array([0, 3, 6]))
    assert model.backward(grad_logits).shape == images.shape
    for parameter, gradient in model.gradients.items():
        assert np.isfinite(gradient).all() and gradient.any(), parameter


@pytest.mark.parametrize("name", models.MODELS)
def test_the_initial_values_follow_from_the_seed(name):
    one, same, other = (models.create(name, seed=seed).state_dict() for seed in (1, 1, 2))
    for parameter, value in one.items():
        np.testing.assert_array_equal(value, same[parameter])
        assert parameter.endswith("bias") or not np.array_equal(value, other[parameter])


@pytest.mark.parametrize("name", models.MODELS)
def test_no_two_layers_begin_with_the_same_values(name):
    firsts = [value.flat[0] for parameter, value in models.create(name).parameters.items() if "weight" in parameter]
    assert len(set(firsts)) == len(firsts)


def test_an_unknown_model_is_refused_with_the_names_of_the_known_ones():
    with pytest.raises(ValueError, match="unknown model 'lenet6', expected one of: lenet5, simple_cnn"):
        models.create("lenet6")
