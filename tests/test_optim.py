"""Optimizers against their papers' formulas, written down here once more."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

from fastconv import nn, optim


class Parameters(nn.Layer):
    """Two parameters whose gradients the test sets by hand."""

    def __init__(self, dtype="float64"):
        rng = np.random.default_rng(0)
        super().__init__({"a": rng.standard_normal((3, 4)).astype(dtype), "b": rng.standard_normal(5).astype(dtype)})

    def _forward(self, input):
        raise AssertionError

    def _backward(self, grad_output, saved, input_gradient):
        raise AssertionError


def sgd(p, gradients, rate, momentum=0.0, nesterov=False, decay=0.0):
    v = 0.0
    for g in gradients:
        g = g + decay * p
        v = momentum * v + g
        p = p - rate * (g + momentum * v if nesterov else v)
    return p


def adam(p, gradients, rate, beta1=0.9, beta2=0.999, epsilon=1e-8, decay=0.0, decoupled=False):
    m = v = 0.0
    for t, g in enumerate(gradients, start=1):
        if decoupled:
            p = p - rate * decay * p
        else:
            g = g + decay * p
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        p = p - rate * (m / (1 - beta1**t)) / (np.sqrt(v / (1 - beta2**t)) + epsilon)
    return p


CASES = {
    "sgd": (lambda m: optim.SGD(m, 0.1), lambda p, g: sgd(p, g, 0.1)),
    "sgd with momentum": (lambda m: optim.SGD(m, 0.1, momentum=0.9), lambda p, g: sgd(p, g, 0.1, 0.9)),
    "sgd with nesterov": (
        lambda m: optim.SGD(m, 0.1, momentum=0.9, nesterov=True), lambda p, g: sgd(p, g, 0.1, 0.9, True)),
    "sgd with decay": (
        lambda m: optim.SGD(m, 0.1, momentum=0.5, weight_decay=0.2), lambda p, g: sgd(p, g, 0.1, 0.5, decay=0.2)),
    "adam": (lambda m: optim.Adam(m, 0.01), lambda p, g: adam(p, g, 0.01)),
    "adam with other constants": (
        lambda m: optim.Adam(m, 0.01, betas=(0.8, 0.99), epsilon=1e-3), lambda p, g: adam(p, g, 0.01, 0.8, 0.99, 1e-3)),
    "adam with decay": (lambda m: optim.Adam(m, 0.01, weight_decay=0.3), lambda p, g: adam(p, g, 0.01, decay=0.3)),
    "adamw": (
        lambda m: optim.AdamW(m, 0.01, weight_decay=0.3), lambda p, g: adam(p, g, 0.01, decay=0.3, decoupled=True)),
}  # fmt: skip


def random_gradients(model, steps):
    rng = np.random.default_rng(1)
    return [
        {name: rng.standard_normal(value.shape).astype(value.dtype) for name, value in model.parameters.items()}
        for _ in range(steps)
    ]


def take_step(model, optimizer, gradients):
    for name, gradient in gradients.items():
        model.gradients[name][...] = gradient
    optimizer.step()


@pytest.mark.parametrize("case", CASES)
def test_steps_follow_the_formulas(case):
    make, formula = CASES[case]
    model = Parameters()
    start, gradients = model.state_dict(), random_gradients(model, 7)
    optimizer = make(model)
    for gradient in gradients:
        take_step(model, optimizer, gradient)
    for name, value in model.parameters.items():
        expected = formula(start[name], [gradient[name] for gradient in gradients])
        np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=f"{case}, {name}")


@pytest.mark.parametrize("case", CASES)
def test_a_step_leaves_the_gradients_zero(case):
    model = Parameters()
    optimizer = CASES[case][0](model)
    take_step(model, optimizer, random_gradients(model, 1)[0])
    assert not any(gradient.any() for gradient in model.gradients.values())


@pytest.mark.parametrize("case", CASES)
def test_float32_parameters_move_as_float64_ones_do(case):
    single, double = Parameters("float32"), Parameters("float64")
    one, other = CASES[case][0](single), CASES[case][0](double)
    for gradients in random_gradients(double, 5):
        take_step(single, one, {name: value.astype(np.float32) for name, value in gradients.items()})
        take_step(double, other, gradients)
    for name, value in single.parameters.items():
        assert value.dtype == np.float32
        np.testing.assert_allclose(value, double.parameters[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_an_optimizer_goes_on_from_a_saved_state_with_the_same_bits(case):
    make, _ = CASES[case]
    model, other = Parameters(), Parameters()
    gradients = random_gradients(model, 6)
    optimizer = make(model)
    for gradient in gradients[:3]:
        take_step(model, optimizer, gradient)
    resumed = make(other)
    other.load_state_dict(model.state_dict())
    resumed.load_state_dict(optimizer.state_dict())
    for gradient in gradients[3:]:
        take_step(model, optimizer, gradient)
        take_step(other, resumed, gradient)
    for name, value in model.parameters.items():
        np.testing.assert_array_equal(value, other.parameters[name])


def test_a_state_of_another_optimizer_is_refused():
    with pytest.raises(ValueError, match=r"SGD\.load_state_dict: the state is of another optimizer or model"):
        optim.SGD(Parameters()).load_state_dict(optim.Adam(Parameters()).state_dict())


def test_the_learning_rate_may_change_between_steps():
    model = Parameters()
    start, gradients = model.state_dict(), random_gradients(model, 2)
    optimizer = optim.SGD(model, 0.1)
    take_step(model, optimizer, gradients[0])
    optimizer.learning_rate = 0.5
    take_step(model, optimizer, gradients[1])
    expected = start["a"] - 0.1 * gradients[0]["a"] - 0.5 * gradients[1]["a"]
    np.testing.assert_allclose(model.parameters["a"], expected, rtol=1e-14)


@pytest.mark.parametrize("make", [
    lambda m: optim.SGD(m, 0.05, momentum=0.9, nesterov=True), lambda m: optim.Adam(m, 0.05),
    lambda m: optim.AdamW(m, 0.05, weight_decay=1e-4),
], ids=["sgd", "adam", "adamw"])  # fmt: skip
def test_a_linear_layer_finds_the_line(make):
    layer = nn.Linear(1, 1, seed=0, dtype="float64")
    optimizer = make(layer)
    input = np.linspace(-1, 1, 20)[:, np.newaxis]
    for _ in range(400):
        layer.backward(2 * (layer(input) - (3 * input + 1)) / len(input))
        optimizer.step()
    assert layer.parameters["weight"].item() == pytest.approx(3, abs=0.01)
    assert layer.parameters["bias"].item() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(("make", "message"), [
    (lambda m: optim.SGD(m, -0.1), r"SGD: learning_rate is -0.1, expected 0 <= learning_rate < inf"),
    (lambda m: optim.SGD(m, math.nan), "SGD: learning_rate is nan"),
    (lambda m: optim.SGD(m, 0.1, momentum=1.0), r"SGD: momentum is 1.0, expected 0 <= momentum < 1"),
    (lambda m: optim.SGD(m, 0.1, nesterov=True), "SGD: nesterov=True needs a momentum"),
    (lambda m: optim.Adam(m, betas=(0.9, 1.0)), r"Adam: beta2 is 1.0, expected 0 <= beta2 < 1"),
    (lambda m: optim.Adam(m, epsilon=-1.0), "Adam: epsilon is -1.0"),
    (lambda m: optim.AdamW(m, weight_decay=-1.0), "AdamW: weight_decay is -1.0"),
])  # fmt: skip
def test_arguments_out_of_range_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(Parameters())


def test_the_schedule_rises_to_one_and_falls_to_almost_zero():
    shares = [optim.warmup_cosine(step, total_steps=1000, warmup_steps=50) for step in range(1000)]
    assert shares[0] == 1 / 50 and shares[49] == 1 and shares[50] == 1
    assert all(one < other for one, other in pairwise(shares[:50]))
    assert all(one > other for one, other in pairwise(shares[50:]))
    assert shares[525] == pytest.approx(0.5)
    assert 0 < shares[-1] < 1e-5


def test_a_schedule_without_warmup_begins_at_one():
    assert [optim.warmup_cosine(step, total_steps=2, warmup_steps=0) for step in (0, 1)] == pytest.approx([1, 0.5])
