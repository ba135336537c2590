"""Normalizations as layers: gradients, averages over batches, states and checkpoints."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn, optim
from problems import GAUSSIAN, assert_same_bits, numbers
from test_nn import central_differences

DOUBLE = {"dtype": "float64"}
NORMS = {
    "batch": lambda **options: nn.BatchNorm(4, **options),
    "group": lambda **options: nn.GroupNorm(2, 4, **options),
    "instance": lambda **options: nn.InstanceNorm(4, affine=True, **options),
    "bare": lambda **options: nn.InstanceNorm(4, **options),
}
every_norm = pytest.mark.parametrize("kind", NORMS)


def make_network():
    return nn.Sequential(
        nn.Conv2d(2, 4, 3, padding="same", seed=1, **DOUBLE),
        nn.BatchNorm(4, activation="relu", **DOUBLE),
        nn.LocalResponseNorm(3, alpha=0.5),
        nn.Conv2d(4, 6, 2, stride=2, activation="gelu", seed=2, **DOUBLE),
        nn.GroupNorm(3, 6, activation="silu", **DOUBLE),
        nn.Conv2d(6, 4, 1, activation="tanh", seed=3, **DOUBLE),
        nn.InstanceNorm(4, affine=True, activation="sigmoid", **DOUBLE),
        nn.LayerNorm(4, **DOUBLE),
        nn.Flatten(),
        nn.Linear(24, 3, activation="leaky_relu", seed=4, **DOUBLE),
    )


def test_gradients_of_a_network_agree_with_central_differences():
    model, input = make_network(), numbers(GAUSSIAN, (3, 5, 6, 2), np.float64)
    for number, parameter in enumerate(model.parameters.values()):
        parameter += 0.1 * numbers(GAUSSIAN, parameter.shape, np.float64, number)
    labels = np.array([0, 2, 1])
    _, grad_logits = nn.cross_entropy(model(input), labels)
    grad_input = model.backward(grad_logits)
    for name, array in [("input", input), *model.parameters.items()]:
        found = grad_input if name == "input" else model.gradients[name]
        expected = central_differences(lambda: nn.cross_entropy(model(input), labels)[0], array)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-8, err_msg=name)
        assert np.abs(expected).max() > 1e-4 or name in ("0.bias", "5.bias"), f"{name}: nothing to compare"


@every_norm
@pytest.mark.parametrize("activation", [None, "relu", "relu6", "gelu", "tanh"])
def test_a_layer_is_its_function_and_goes_back_through_it(kind, activation):
    layer, apart = NORMS[kind](activation=activation), NORMS[kind]()
    x, grad = numbers(GAUSSIAN, (3, 5, 6, 4), np.float32), numbers(GAUSSIAN, (3, 5, 6, 4), np.float32, 1)
    output, plain = layer(x), apart(x)
    assert_same_bits(output, plain if activation is None else getattr(fc, activation)(plain), kind)
    if activation is not None:
        name = f"{activation}_backward"
        before = getattr(fc, name)(grad, plain if activation == "gelu" else output)
    else:
        before = grad
    assert_same_bits(layer.backward(grad), apart.backward(before), kind)
    for name in layer.gradients:
        assert_same_bits(layer.gradients[name], apart.gradients[name], kind, name)
    once = {name: gradient.copy() for name, gradient in layer.gradients.items()}
    layer(x)
    assert layer.backward(grad, input_gradient=False) is None
    for name, gradient in once.items():
        assert_same_bits(layer.gradients[name], 2 * gradient, kind, name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(3, 7, 5, 3), (2, 130, 70), (40, 1, 9)])
@pytest.mark.parametrize("kind", [nn.BatchNorm, nn.InstanceNorm, partial(nn.GroupNorm, 1)])
def test_a_relu_on_the_way_back_masks_what_it_masked_on_the_way_there(kind, shape, dtype):
    rng = np.random.default_rng(6)
    x, grad = rng.standard_normal(shape).astype(dtype) + 3, rng.standard_normal(shape).astype(dtype)
    fused, plain = (kind(shape[-1], activation=name, dtype=dtype) for name in ("relu", None))
    for layer in (fused, plain):
        for name, value in layer.parameters.items():
            value[...] = np.random.default_rng(len(name)).standard_normal(value.shape)
    relu = nn.ReLU()
    for frozen in (False, True):
        for layer in (fused, plain):
            layer.frozen = frozen
        np.testing.assert_array_equal(fused(x), relu(plain(x)))
        np.testing.assert_array_equal(fused.backward(grad), plain.backward(relu.backward(grad)))
        for name in fused.gradients:
            np.testing.assert_array_equal(fused.gradients[name], plain.gradients[name])


def test_batches_move_the_averages_in_training_and_not_in_evaluation():
    layer, x = nn.BatchNorm(4, momentum=0.25), numbers(GAUSSIAN, (8, 6, 4), np.float32) * 2 + 3
    mean, var = np.zeros(4, np.float32), np.ones(4, np.float32)
    for _ in range(3):
        output = layer(x)
        expected = fc.batch_norm(x, *layer.parameters.values(), running_mean=mean, running_var=var, momentum=0.25)
        assert_same_bits(output, expected)
    assert_same_bits(layer.buffers["running_mean"], mean)
    assert_same_bits(layer.buffers["running_var"], var)
    layer.eval()
    expected = fc.batch_norm(x, *layer.parameters.values(), running_mean=mean, running_var=var, training=False)
    assert_same_bits(layer(x), expected)
    assert_same_bits(layer.buffers["running_mean"], mean)
    with pytest.raises(RuntimeError, match="in eval mode nothing is kept"):
        layer.backward(x)


def test_evaluation_approaches_training_with_many_batches():
    layer, x = nn.BatchNorm(4), numbers(GAUSSIAN, (64, 6, 4), np.float32) * 2 + 3
    for _ in range(200):
        trained = layer(x)
    np.testing.assert_allclose(layer.eval()(x), trained, atol=0.01)


def test_several_threads_may_call_a_layer_in_evaluation_mode():
    model = nn.Sequential(nn.BatchNorm(4, activation="silu"), nn.GroupNorm(2, 4), nn.LayerNorm(4)).eval()
    inputs = [numbers(GAUSSIAN, (2, 9, 9, 4), np.float32, seed) for seed in range(16)]
    expected = [model(input) for input in inputs]
    with ThreadPoolExecutor(4) as pool:
        for found, alone in zip(pool.map(model, inputs), expected, strict=True):
            assert_same_bits(found, alone)


def test_buffers_are_named_nest_and_are_no_parameters():
    model = nn.Sequential(nn.Linear(2, 4), inner=nn.Sequential(norm=nn.BatchNorm(4)))
    assert list(model.buffers) == ["inner.norm.running_mean", "inner.norm.running_var"]
    assert list(model.parameters) == ["0.weight", "0.bias", "inner.norm.scale", "inner.norm.bias"]
    assert list(model.state_dict()) == [*model.parameters, *model.buffers]
    assert not nn.Linear(2, 2).buffers and not nn.GroupNorm(2, 4).buffers
    with pytest.raises(TypeError):
        model.layers["inner"].buffers["norm.running_mean"] = np.zeros(4)


def test_an_optimizer_moves_parameters_and_leaves_buffers():
    layer = nn.BatchNorm(4)
    optimizer = optim.SGD(layer, learning_rate=0.1)
    layer.backward(layer(numbers(GAUSSIAN, (8, 4), np.float32)))
    before = layer.state_dict()
    optimizer.step()
    after = layer.state_dict()
    for name in layer.buffers:
        assert_same_bits(after[name], before[name])
    assert not np.array_equal(after["scale"], before["scale"])


def test_a_state_holds_the_averages_and_has_to_fit(tmp_path):
    source, target = nn.BatchNorm(4), nn.BatchNorm(4)
    x = numbers(GAUSSIAN, (8, 6, 4), np.float32)
    source(x)
    state = source.state_dict()
    target.load_state_dict(state)
    assert_same_bits(target.eval()(x), source.eval()(x))
    source.buffers["running_mean"][...] = 9
    assert not (state["running_mean"] == 9).any() and not (target.buffers["running_mean"] == 9).any()
    without = {name: value for name, value in state.items() if name != "running_var"}
    with pytest.raises(ValueError, match="load_state_dict: missing running_var"):
        target.load_state_dict(without)
    with pytest.raises(ValueError, match=r"running_mean has shape \(3,\), expected \(4,\)"):
        target.load_state_dict(state | {"running_mean": np.zeros(3, np.float32)})
    with pytest.raises(TypeError, match="running_mean is float64, expected float32"):
        target.load_state_dict(state | {"running_mean": np.zeros(4)})


def test_a_checkpoint_holds_the_averages(tmp_path):
    pytest.importorskip("safetensors")
    from fastconv import checkpoint

    model, path = make_network(), tmp_path / "model.safetensors"
    model(numbers(GAUSSIAN, (3, 5, 6, 2), np.float64))
    checkpoint.save(path, model.state_dict(), {})
    other = make_network()
    other.load_state_dict(checkpoint.load(path)[0])
    for name, value in model.state_dict().items():
        assert_same_bits(other.state_dict()[name], value, name)
    assert (other.buffers["1.running_mean"] != 0).any()


def test_repr_shows_what_differs_from_the_usual():
    assert repr(nn.BatchNorm(8)) == "BatchNorm(8)"
    shown = repr(nn.BatchNorm(8, momentum=0.5, epsilon=1e-3, activation="relu"))
    assert shown == "BatchNorm(8, momentum=0.5, epsilon=0.001, activation='relu')"
    assert repr(nn.GroupNorm(2, 8, epsilon=0.5)) == "GroupNorm(2, 8, epsilon=0.5)"
    assert repr(nn.InstanceNorm(8, affine=True)) == "InstanceNorm(8, affine=True)"
    assert repr(nn.LayerNorm(8)) == "LayerNorm(8)"
    assert repr(nn.LocalResponseNorm(3)) == "LocalResponseNorm(size=3, alpha=0.0001, beta=0.75, k=1.0)"


X = np.ones((2, 3, 4), np.float32)


@pytest.mark.parametrize(("call", "error", "message"), [
    (lambda: nn.BatchNorm(0), ValueError, "BatchNorm: channels=0, expected 1 or more"),
    (lambda: nn.BatchNorm(4.0), TypeError, "BatchNorm: channels must be an integer"),
    (lambda: nn.BatchNorm(4, momentum=2), ValueError, "BatchNorm: momentum is 2, expected 0 <= momentum <= 1"),
    (lambda: nn.BatchNorm(4, epsilon=-1), ValueError, "BatchNorm: epsilon must be finite and not negative"),
    (lambda: nn.BatchNorm(4, activation="swoosh"), ValueError, "BatchNorm: activation is 'swoosh'"),
    (lambda: nn.BatchNorm(4, dtype="int8"), TypeError, "dtype is int8, expected float32 or float64"),
    (lambda: nn.GroupNorm(3, 4), ValueError, "GroupNorm: channels=4, expected a multiple of num_groups=3"),
    (lambda: nn.GroupNorm(0, 4), ValueError, "GroupNorm: channels=4, expected a multiple of num_groups=0"),
    (lambda: nn.LayerNorm(4, epsilon=np.nan), ValueError, "LayerNorm: epsilon must be finite"),
    (lambda: nn.LocalResponseNorm(0), ValueError, "LocalResponseNorm: size is 0, expected 1 or more"),
    (lambda: nn.InstanceNorm(2)(X), ValueError, r"InstanceNorm: input \(2, 3, 4\) must have 2 channels on its last"),
    (lambda: nn.BatchNorm(3)(X), ValueError, r"BatchNorm: input \(2, 3, 4\) must have 3 channels on its last axis"),
    (lambda: nn.BatchNorm(4)(X.astype(float)), TypeError, "batch_norm: scale must be float64"),
    (lambda: nn.LayerNorm(3)(X), ValueError, r"layer_norm: scale must have shape \(4,\), got \(3,\)"),
])  # fmt: skip
def test_arguments_that_make_no_sense_are_refused(call, error, message):
    with pytest.raises(error, match=f"^{message}"):
        call()
