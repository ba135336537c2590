"""Layers: their gradients, their memory, their names and their errors."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastconv import conv, nn
from fastconv.nn import initialize


def make_1d() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(2, 4, 3, padding="same", activation="relu", seed=1, dtype="float64"),
        nn.MaxPool1d(2),
        nn.Conv1d(4, 4, 3, dilation=2, groups=2, bias=False, seed=2, dtype="float64"),
        nn.AvgPool1d(2, stride=1),
        nn.Flatten(),
        nn.Linear(4, 3, seed=3, dtype="float64"),
    )


def make_2d() -> nn.Sequential:
    return nn.Sequential(
        nn.Dropout(0.25, seed=0),
        nn.Conv2d(2, 4, 3, stride=2, padding=((1, 0), (1, 1)), seed=1, dtype="float64"),
        nn.ReLU(),
        nn.Conv2d(4, 6, (1, 2), groups=2, activation="relu", seed=2, dtype="float64"),
        nn.AvgPool2d(2, stride=1, padding=1),
        nn.MaxPool2d((2, 1), stride=1),
        nn.GlobalAvgPool(),
        nn.Linear(6, 5, activation="relu", seed=3, dtype="float64"),
        nn.Dropout(0.25, seed=1),
        nn.Linear(5, 3, bias=False, seed=4, dtype="float64"),
    )


def make_branches() -> nn.Sequential:
    return nn.Sequential(
        nn.ZeroPad(((1, 0), (0, 2))),
        nn.Concatenate(
            nn.Conv2d(2, 3, 3, padding=1, activation="relu", seed=1, dtype="float64"),
            nn.Sequential(),
            pooled=nn.Sequential(nn.MaxPool2d(3, stride=1, padding=1), nn.Conv2d(2, 3, 1, seed=2, dtype="float64")),
        ),
        nn.LpPool2d(2, stride=1, padding=1),
        nn.PixelShuffle(2),
        nn.Upsample(mode="linear", size=(9, 7)),
        nn.Crop(1),
        nn.AvgPool2d(2, stride=1, dilation=2, padding=1),
        nn.AdaptiveMaxPool2d((3, 4)),
        nn.Upsample(2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(8, 3, seed=3, dtype="float64"),
    )


def make_3d() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv3d(2, 3, (1, 2, 2), seed=1, dtype="float64"),
        nn.MaxPool3d((1, 2, 2), padding=(0, 1, 1)),
        nn.Conv3d(3, 4, 2, padding=1, activation="relu", seed=2, dtype="float64"),
        nn.AvgPool3d(2),
        nn.GlobalMaxPool(),
        nn.Linear(4, 3, seed=3, dtype="float64"),
    )


def make_enlarging() -> nn.Sequential:
    return nn.Sequential(
        nn.SeparableConv2d(2, 4, 3, stride=2, padding="same", multiplier=2, activation="gelu", seed=1, dtype="float64"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect", activation="silu", seed=2, dtype="float64"),
        nn.ConvTranspose2d(4, 4, 3, stride=2, padding=1, output_padding=1, groups=2, activation="hardswish",
                           seed=3, dtype="float64"),
        nn.ConvTranspose2d(4, 2, 2, stride=2, bias=False, activation="sigmoid", seed=4, dtype="float64"),
        nn.GlobalAvgPool(),
        nn.Linear(2, 3, activation="tanh", seed=5, dtype="float64"),
    )  # fmt: skip


def make_vocoder() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose1d(2, 3, 4, stride=2, padding=1, activation="leaky_relu", seed=1, dtype="float64"),
        nn.SeparableConv1d(3, 4, 3, padding="causal", bias=False, seed=2, dtype="float64"),
        nn.GlobalAvgPool(),
        nn.Linear(4, 3, seed=3, dtype="float64"),
    )


def make_volumes() -> nn.Sequential:
    return nn.Sequential(
        nn.ConvTranspose3d(2, 3, 2, stride=2, padding="same", seed=1, dtype="float64"),
        nn.SeparableConv3d(3, 3, 2, padding_mode="circular", padding=1, activation="relu6", seed=2, dtype="float64"),
        nn.GlobalAvgPool(),
    )


NETWORKS = {
    "1d": (make_1d, (3, 12, 2)),
    "2d": (make_2d, (3, 7, 6, 2)),
    "3d": (make_3d, (3, 3, 4, 5, 2)),
    "enlarging": (make_enlarging, (3, 6, 5, 2)),
    "vocoder": (make_vocoder, (3, 5, 2)),
    "volumes": (make_volumes, (3, 2, 2, 3, 2)),
    "branches": (make_branches, (3, 5, 4, 2)),
}


def central_differences(function, array, step=1e-6):
    """Return the gradient of ``function()`` with respect to ``array``, which it reads."""
    gradient = np.empty_like(array)
    for index in np.ndindex(array.shape):
        old = array[index]
        array[index] = old + step
        above = function()
        array[index] = old - step
        gradient[index] = (above - function()) / (2 * step)
        array[index] = old
    return gradient


@pytest.mark.parametrize("rank", NETWORKS)
def test_gradients_of_a_network_agree_with_central_differences(rank):
    make, shape = NETWORKS[rank]
    model, rng = make(), np.random.default_rng(0)
    input = rng.standard_normal(shape)
    for parameter in model.parameters.values():
        # With a bias of zero, a window of zeros (from padding or dropout) would lie on the bend of the ReLU.
        parameter += 0.1 * rng.standard_normal(parameter.shape)
    labels = np.array([0, 2, 1])
    states = {name: generator.bit_generator.state for name, generator in model.generators.items()}

    def loss_and_gradient():
        for name, generator in model.generators.items():
            generator.bit_generator.state = states[name]
        return nn.cross_entropy(model(input), labels)

    _, grad_logits = loss_and_gradient()
    grad_input = model.backward(grad_logits)
    for name, array in [("input", input), *model.parameters.items()]:
        found = grad_input if name == "input" else model.gradients[name]
        expected = central_differences(lambda: loss_and_gradient()[0], array)
        assert np.abs(expected).max() > 1e-4, f"{name}: nothing to compare"
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-8, err_msg=f"{rank}, {name}")


def test_a_layer_computes_what_its_function_does():
    layer = nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2, activation="relu", seed=0)
    input = np.random.default_rng(0).standard_normal((2, 9, 8, 4)).astype(np.float32)
    layer.parameters["bias"][...] = 0.5
    expected = conv.conv2d(
        input, layer.parameters["weight"], layer.parameters["bias"], stride=2, padding=1, groups=2, activation="relu"
    )
    np.testing.assert_array_equal(layer(input), expected)


def test_float32_layers_answer_in_float32_and_refuse_float64():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(8, 2))
    output = model(np.ones((1, 6, 6, 1), np.float32))
    assert output.dtype == np.float32
    assert model.backward(output).dtype == np.float32
    with pytest.raises(TypeError):
        model(np.ones((1, 6, 6, 1)))


def test_a_fused_relu_is_a_relu_layer_afterwards():
    fused = nn.Linear(5, 4, activation="relu", seed=0)
    apart = nn.Sequential(nn.Linear(5, 4, seed=0), nn.ReLU())
    rng = np.random.default_rng(0)
    input = rng.standard_normal((6, 5)).astype(np.float32)
    output, grad_output = fused(input), rng.standard_normal((6, 4)).astype(np.float32)
    np.testing.assert_array_equal(output, apart(input))
    np.testing.assert_array_equal(fused.backward(grad_output), apart.backward(grad_output))
    np.testing.assert_array_equal(fused.gradients["weight"], apart.gradients["0.weight"])


def test_gradients_add_up_until_they_are_zeroed():
    layer = nn.Linear(3, 2, seed=0)
    input, grad_output = np.ones((4, 3), np.float32), np.ones((4, 2), np.float32)
    for times in (1, 2, 3):
        layer(input)
        layer.backward(grad_output)
        np.testing.assert_array_equal(layer.gradients["weight"], np.full((3, 2), 4 * times))
        np.testing.assert_array_equal(layer.gradients["bias"], np.full(2, 4 * times))
    layer.zero_gradients()
    assert not layer.gradients["weight"].any() and not layer.gradients["bias"].any()


@pytest.mark.parametrize("first", [
    nn.Conv2d(2, 3, 2, seed=0), nn.MaxPool2d(2), nn.AvgPool2d(2), nn.GlobalAvgPool(), nn.GlobalMaxPool(), nn.ReLU(),
    nn.Flatten(), nn.Dropout(seed=0), nn.LpPool2d(2), nn.AdaptiveAvgPool2d(2), nn.AdaptiveMaxPool2d(2), nn.Upsample(2),
    nn.ZeroPad(1), nn.Crop(1), nn.Sequential(nn.Conv2d(2, 4, 1, seed=0), nn.PixelShuffle(2)),
    nn.Concatenate(nn.Sequential(), nn.Conv2d(2, 3, 1, seed=0)),
], ids=lambda layer: type(layer).__name__)  # fmt: skip
def test_the_gradient_of_the_input_can_be_left_out(first):
    model = nn.Sequential(first)
    output = model(np.ones((1, 4, 4, 2), np.float32))
    assert model.backward(np.ones_like(output), input_gradient=False) is None
    wanted = {name: gradient.copy() for name, gradient in model.gradients.items()}
    model.zero_gradients()
    model(np.ones((1, 4, 4, 2), np.float32))
    assert model.backward(np.ones_like(output)).shape == (1, 4, 4, 2)
    if not model.generators:
        assert all(np.array_equal(model.gradients[name], wanted[name]) for name in wanted)


def test_backward_without_a_forward_pass_is_an_error():
    layer = nn.Linear(2, 2)
    message = r"Linear\.backward: no forward pass to go back through: call the layer first"
    with pytest.raises(RuntimeError, match=message):
        layer.backward(np.ones((1, 2), np.float32))


def test_backward_twice_is_an_error():
    model = nn.Sequential(nn.ReLU())
    output = model(np.ones(3, np.float32))
    model.backward(output)
    with pytest.raises(RuntimeError, match=r"Sequential\.backward: no forward pass"):
        model.backward(output)


def test_backward_in_evaluation_mode_is_an_error():
    model = nn.Sequential(nn.Linear(2, 2))
    model.eval()
    output = model(np.ones((1, 2), np.float32))
    with pytest.raises(RuntimeError, match=r"in eval mode nothing is kept; call train\(\) first"):
        model.backward(output)
    model.train()
    model.backward(model(np.ones((1, 2), np.float32)))


def test_in_evaluation_mode_nothing_is_kept_and_no_indices_are_computed():
    layers = [nn.Conv2d(1, 1, 1), nn.MaxPool2d(2), nn.GlobalMaxPool()]
    model = nn.Sequential(*layers)
    model(np.ones((1, 4, 4, 1), np.float32))
    assert all(layer._saved for layer in layers)
    model.eval()
    assert not any(layer._saved for layer in layers)
    model(np.ones((1, 4, 4, 1), np.float32))
    assert not any(layer._saved for layer in layers)
    output, saved = layers[1]._forward(np.ones((1, 4, 4, 1), np.float32))
    assert saved == () and output.shape == (1, 2, 2, 1)


def test_several_threads_may_call_one_model_in_evaluation_mode():
    model = nn.Sequential(
        nn.Conv2d(1, 8, 3, activation="relu", seed=0), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(8 * 49, 10, seed=1)
    )
    model.eval()
    inputs = [np.random.default_rng(i).standard_normal((2, 16, 16, 1)).astype(np.float32) for i in range(32)]
    expected = [model(input) for input in inputs]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(pool.map(model, inputs), expected, strict=True):
            np.testing.assert_array_equal(one, other)


def test_parameters_are_named_by_position_or_by_name_and_nest():
    model = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), head=nn.Sequential(fc=nn.Linear(2, 1, bias=False)))
    assert list(model.parameters) == ["0.weight", "0.bias", "head.fc.weight"]
    assert list(model.gradients) == list(model.parameters)
    assert model.parameters["head.fc.weight"] is model.layers["head"].parameters["fc.weight"]


def test_parameters_cannot_be_replaced_only_written_into():
    model = nn.Sequential(nn.Linear(2, 2))
    with pytest.raises(TypeError):
        model.parameters["0.weight"] = np.zeros((2, 2))
    with pytest.raises(TypeError):
        model.layers["0"].parameters["weight"] = np.zeros((2, 2))


def test_a_state_that_was_loaded_gives_the_same_output():
    source, target = make_2d(), make_2d()
    for parameter in target.parameters.values():
        parameter += 1
    state = source.state_dict()
    target.load_state_dict(state)
    for name, value in target.parameters.items():
        np.testing.assert_array_equal(value, source.parameters[name])
    state["1.weight"] += 1
    assert not np.array_equal(source.parameters["1.weight"], state["1.weight"]), "state_dict must copy"


def test_a_state_that_does_not_fit_is_refused_as_a_whole():
    model = nn.Sequential(nn.Linear(2, 2, seed=0), nn.Linear(2, 3, seed=0))
    before = model.state_dict()
    state = {
        "0.weight": np.ones((2, 2), np.float32),
        "1.weight": np.ones((3, 2), np.float32),
        "1.bias": np.ones(3, np.float32),
        "2.bias": np.ones(1, np.float32),
    }
    message = r"missing 0\.bias; unexpected 2\.bias; 1\.weight has shape \(3, 2\), expected \(2, 3\)"
    with pytest.raises(ValueError, match=message):
        model.load_state_dict(state)
    with pytest.raises(TypeError, match=r"1\.bias is float64, expected float32"):
        model.load_state_dict(before | {"1.bias": np.ones(3)})
    assert all(np.array_equal(model.parameters[name], before[name]) for name in before)


def test_repr_shows_what_a_model_is_made_of():
    model = nn.Sequential(
        conv=nn.Conv2d(4, 8, 3, stride=2, groups=2, bias=False, activation="relu"),
        inner=nn.Sequential(nn.MaxPool2d(2, padding=1), nn.AvgPool1d(3), nn.Dropout(0.5)),
        head=nn.Linear(8, 2, activation="relu"),
    )
    branches = nn.Concatenate(
        nn.LpPool2d(2, norm_type=3), nn.Upsample(0.5, "linear"), up=nn.AdaptiveAvgPool2d((3, None))
    )
    assert repr(branches) == (
        "Concatenate(\n"
        "  (0): LpPool2d(kernel_size=2, norm_type=3)\n"
        "  (1): Upsample(scale=0.5, mode='linear')\n"
        "  (up): AdaptiveAvgPool2d((3, None))\n"
        ")"
    )
    assert repr(model) == (
        "Sequential(\n"
        "  (conv): Conv2d(4, 8, kernel_size=(3, 3), stride=2, groups=2, bias=False, activation='relu')\n"
        "  (inner): Sequential(\n"
        "    (0): MaxPool2d(kernel_size=2, padding=1)\n"
        "    (1): AvgPool1d(kernel_size=3)\n"
        "    (2): Dropout(0.5)\n"
        "  )\n"
        "  (head): Linear(8, 2, activation='relu')\n"
        ")"
    )


def test_an_empty_sequential_passes_everything_through():
    model = nn.Sequential()
    input = np.ones((2, 3))
    assert model(input) is input
    assert model.backward(input) is input


@pytest.mark.parametrize(("make", "error", "message"), [
    (lambda: nn.Conv2d(3, 4, 3, groups=2), ValueError, "in_channels=3, out_channels=4, expected multiples of groups=2"),
    (lambda: nn.Conv2d(3, 4, (3, 3, 3)), ValueError, r"Conv2d: kernel_size must be one integer or 2 of them"),
    (lambda: nn.Conv1d(3, 4, 2.5), TypeError, "Conv1d: kernel_size must be an integer, got 2.5"),
    (lambda: nn.Conv2d(3, 4, 3, activation="tanh2"), ValueError, "Conv2d: activation is 'tanh2'"),
    (lambda: nn.Linear(3, 4, activation="tanh2"), ValueError, "Linear: activation is 'tanh2'"),
    (lambda: nn.Conv2d(3, 4, 3, dtype="float16"), TypeError, "dtype is float16, expected float32 or float64"),
    (lambda: nn.Linear(3, 4, dtype="int64"), TypeError, "dtype is int64, expected float32 or float64"),
    (lambda: nn.Upsample(), ValueError, "Upsample: scale is None and size is None, expected one of the two"),
    (lambda: nn.Upsample(2, size=3), ValueError, "Upsample: scale is 2 and size is 3"),
    (lambda: nn.Concatenate(), ValueError, "Concatenate: there are no branches"),
    (lambda: nn.Dropout(1.0), ValueError, "Dropout: rate is 1.0, expected 0 <= rate < 1"),
    (lambda: nn.Dropout(-0.1), ValueError, "Dropout: rate is -0.1"),
    (lambda: nn.Layer(), TypeError, "abstract"),
])  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        make()


def test_dropout_keeps_the_mean_and_sends_gradients_the_same_way():
    layer = nn.Dropout(0.3, seed=0)
    input = np.ones((200, 200), np.float32)
    output = layer(input)
    assert abs(np.count_nonzero(output) / output.size - 0.7) < 0.01
    assert abs(output.mean() - 1) < 0.02
    np.testing.assert_array_equal(layer.backward(input), output)
    layer.eval()
    assert layer(input) is input


def test_cross_entropy_returns_the_loss_and_its_gradient():
    logits, labels = np.random.default_rng(0).standard_normal((4, 5)), np.array([0, 4, 2, 2])
    loss, grad_logits = nn.cross_entropy(logits, labels)
    exponentials = np.exp(logits)
    probabilities = exponentials / exponentials.sum(axis=1, keepdims=True)
    assert isinstance(loss, float)
    assert loss == pytest.approx(-np.log(probabilities[np.arange(4), labels]).mean(), rel=1e-12)
    np.testing.assert_allclose(grad_logits, (probabilities - np.eye(5)[labels]) / 4, atol=1e-15)


SHAPE = (5, 5, 40, 60)
FAN_IN, FAN_OUT = 25 * 40, 25 * 60


@pytest.mark.parametrize(("initializer", "variance"), [
    (initialize.he_normal, 2 / FAN_IN), (initialize.he_uniform, 2 / FAN_IN),
    (initialize.glorot_normal, 2 / (FAN_IN + FAN_OUT)), (initialize.glorot_uniform, 2 / (FAN_IN + FAN_OUT)),
])  # fmt: skip
def test_initial_weights_have_the_variance_of_the_paper(initializer, variance):
    weight = initializer(SHAPE, 0, np.float64)
    # 60,000 draws: the variance of their variance is 2 / 60,000 of its square at most, so 4 sigma are 2.3 %.
    assert weight.var() == pytest.approx(variance, rel=0.023)
    assert abs(weight.mean()) < 4 * (variance / weight.size) ** 0.5
    if "uniform" in initializer.__name__:
        bound = (3 * variance) ** 0.5
        assert 0.999 * bound < np.abs(weight).max() <= bound
    else:
        assert np.abs(weight).max() > 3.5 * variance**0.5


def test_a_seed_gives_the_same_weights_and_a_generator_goes_on():
    for initializer, dtype in itertools.product((initialize.he_normal, initialize.glorot_uniform), ("f4", "f8")):
        one, other = initializer((3, 4), 7, dtype), initializer((3, 4), 7, dtype)
        assert one.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(one, other)
        generator = np.random.default_rng(7)
        np.testing.assert_array_equal(initializer((3, 4), generator, dtype), one)
        assert not np.array_equal(initializer((3, 4), generator, dtype), one)


def test_weights_without_two_axes_are_refused():
    with pytest.raises(ValueError, match=r"shape is \(3,\), expected \(\*kernel, in_channels, out_channels\)"):
        initialize.he_normal((3,))
