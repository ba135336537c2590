"""Optimizers against their papers' formulas, written down here once more."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest

import fastconv as fc
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
def test_steps_follow_the_formulas(case, isa):
    make, formula = CASES[case]
    model = Parameters()
    start, gradients = model.state_dict(), random_gradients(model, 7)
    optimizer = make(model)
    for gradient in gradients:
        take_step(model, optimizer, gradient)
    for name, value in model.parameters.items():
        expected = formula(start[name], [gradient[name] for gradient in gradients])
        np.testing.assert_allclose(value, expected, rtol=1e-12, err_msg=f"{case}, {name}, {isa}")


class Arranged(Parameters):
    """One large parameter, as it comes, transposed, or in every other value of a larger array."""

    def __init__(self, arrangement, dtype):
        values = np.random.default_rng(0).standard_normal((301, 503)).astype(dtype)  # five chunks
        parameters = {
            "as it comes": values,
            "transposed": np.asfortranarray(values),
            "spread": np.repeat(values, 2, axis=1)[:, ::2],
        }
        nn.Layer.__init__(self, {"a": parameters[arrangement]})


@pytest.mark.parametrize("case", CASES)
def test_a_step_is_the_same_for_any_threads_and_strides(case, dtype, isa):
    arrangements = {"as it comes": 1, "transposed": 2, "spread": 3}
    models = [Arranged(one, dtype) for one in arrangements]
    whole, (make, formula) = models[0], CASES[case]
    gradients, start = random_gradients(whole, 2), whole.state_dict()["a"].astype(np.float64)
    for model, threads in zip(models, arrangements.values(), strict=True):
        optimizer = make(model)
        with fc.options(num_threads=threads):
            for gradient in gradients:
                take_step(model, optimizer, gradient)
    for model in models[1:]:
        np.testing.assert_array_equal(model.parameters["a"], whole.parameters["a"])
    expected = formula(start, [gradient["a"].astype(np.float64) for gradient in gradients])
    np.testing.assert_allclose(whole.parameters["a"], expected, rtol=0, atol=40 * np.finfo(dtype).eps)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW])
def test_gradients_of_any_strides_are_read_and_those_of_another_dtype_refused(make):
    class Given(Parameters):
        gradients = None

    gradients = random_gradients(Parameters(), 1)[0]
    models = [Given(), Given()]
    for model, order in zip(models, "CF", strict=True):
        model.gradients = {name: np.asarray(value, order=order) for name, value in gradients.items()}
        make(model, 0.1).step()
    for name, value in models[0].parameters.items():
        np.testing.assert_array_equal(value, models[1].parameters[name])
    models[0].gradients = {name: value.astype(np.float32) for name, value in gradients.items()}
    with pytest.raises(
        TypeError, match=f"{make.__name__}: gradient must be float64 like the first argument, got float32"
    ):
        make(models[0], 0.1).step()


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam, optim.AdamW])
def test_without_a_decay_what_is_infinite_stays_out_of_the_moments(make, isa):
    model = Parameters()
    model.parameters["a"][0, 1] = -np.inf
    optimizer = make(model, 0.1, weight_decay=0.0)
    take_step(model, optimizer, random_gradients(model, 1)[0])
    assert model.parameters["a"][0, 1] == -np.inf
    assert all(np.isfinite(value).all() for value in optimizer.state_dict().values()), isa


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_parameters_without_values_or_axes_take_steps(make):
    model = Parameters()
    nn.Layer.__init__(model, {"a": np.zeros((0, 3)), "b": np.array(2.0)})
    take_step(model, make(model, 0.1), {"a": np.zeros((0, 3)), "b": np.array(1.0)})
    assert model.parameters["b"] == pytest.approx(1.9)


@pytest.mark.parametrize("make", [optim.SGD, optim.Adam])
def test_a_dtype_without_kernels_is_refused(make):
    model = Parameters("float16")
    with pytest.raises(TypeError, match=f"{make.__name__}: parameter must be float32 or float64"):
        take_step(model, make(model), random_gradients(model, 1)[0])


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


def test_stairs_go_down_by_the_factor_after_a_rise():
    shares = [optim.warmup_step(step, decay_steps=10, factor=0.5, warmup_steps=4) for step in range(30)]
    assert shares[:4] == [0.25, 0.5, 0.75, 1.0]
    assert shares[4:] == [1.0] * 6 + [0.5] * 10 + [0.25] * 10
    assert [optim.warmup(step, warmup_steps=0) for step in (0, 7)] == [1.0, 1.0]


MAKERS = {
    "sgd": (lambda m, **options: optim.SGD(m, 0.1, weight_decay=0.2, **options),
            lambda p, g, rate, decay: sgd(p, g, 0.1 * rate, decay=0.2 * decay)),
    "adam": (lambda m, **options: optim.Adam(m, 0.1, weight_decay=0.2, **options),
             lambda p, g, rate, decay: adam(p, g, 0.1 * rate, decay=0.2 * decay)),
    "adamw": (lambda m, **options: optim.AdamW(m, 0.1, weight_decay=0.2, **options),
              lambda p, g, rate, decay: adam(p, g, 0.1 * rate, decay=0.2 * decay, decoupled=True)),
}  # fmt: skip


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize(("groups", "factors"), [
    ([optim.Group("a", learning_rate=0.5)], {"a": (0.5, 1), "b": (1, 1)}),
    ([optim.Group("b", weight_decay=0)], {"a": (1, 1), "b": (1, 0)}),
    ([optim.Group("", learning_rate=0, weight_decay=3), optim.Group("b", learning_rate=2)], {"a": (0, 3), "b": (2, 3)}),
])  # fmt: skip
def test_groups_learn_and_decay_at_their_own_rates(kind, groups, factors):
    make, formula = MAKERS[kind]
    model = Parameters()
    start, gradients = model.state_dict(), random_gradients(model, 3)
    optimizer = make(model, groups=groups)
    for gradient in gradients:
        take_step(model, optimizer, gradient)
    for name, value in model.parameters.items():
        expected = formula(start[name], [gradient[name] for gradient in gradients], *factors[name])
        np.testing.assert_allclose(value, expected, rtol=1e-12)
        assert factors[name][0] or np.array_equal(value, start[name])
        assert not model.gradients[name].any()


def test_a_prefix_is_a_whole_name():
    group = optim.Group("conv1")
    names = ("conv1", "conv1.weight", "conv10.weight", "conv1weight")
    assert [group.holds(name) for name in names] == [True, True, False, False]
    with pytest.raises(ValueError, match="SGD: no parameter is named 'c'; there are a, b"):
        optim.SGD(Parameters(), groups=[optim.Group("c")])
    with pytest.raises(ValueError, match=r"Group 'a': learning_rate is -1, expected 0 <= learning_rate < inf"):
        optim.Group("a", learning_rate=-1)


def test_norms_and_biases_are_spared_from_decay():
    model = nn.Sequential(conv=nn.Conv2d(1, 2, 3, seed=0), norm=nn.BatchNorm(2), fc=nn.Linear(2, 2, seed=0))
    start = model.state_dict()
    optimizer = optim.AdamW(model, 0.1, weight_decay=0.5, groups=optim.without_decay(model))
    optimizer.step()
    for name, value in model.parameters.items():
        expected = start[name] * np.float32(0.95) if name.endswith("weight") else start[name]
        np.testing.assert_allclose(value, expected, rtol=1e-6, err_msg=name)


@pytest.mark.parametrize("kind", MAKERS)
def test_a_parameter_without_a_gradient_stays_as_it_is(kind):
    class HalfFrozen(Parameters):
        frozen = True

        @property
        def gradients(self):
            return {name: value for name, value in super().gradients.items() if name == "b" or not self.frozen}

    model = HalfFrozen()
    start, gradients = model.state_dict(), random_gradients(model, 1)[0]
    optimizer = MAKERS[kind][0](model)
    take_step(model, optimizer, {"b": gradients["b"]})
    np.testing.assert_array_equal(model.parameters["a"], start["a"])
    assert not np.array_equal(model.parameters["b"], start["b"])
    model.frozen = False
    take_step(model, optimizer, gradients)
    assert not np.array_equal(model.parameters["a"], start["a"])


def test_clipping_shortens_what_is_too_long_and_nothing_else(dtype):
    model = Parameters(dtype)
    gradients = random_gradients(model, 1)[0]
    norm = math.sqrt(sum((value.astype(np.float64) ** 2).sum() for value in gradients.values()))
    for limit in (norm / 3, norm * 1.01, math.inf):
        for name, value in gradients.items():
            model.gradients[name][...] = value
        assert optim.clip_gradients(model, limit) == pytest.approx(norm, rel=1e-12)
        for name, value in gradients.items():
            factor = min(1, limit / norm)
            np.testing.assert_allclose(model.gradients[name], value * dtype(factor), rtol=4 * np.finfo(dtype).eps)
    with pytest.raises(ValueError, match="clip_gradients: max_norm is 0, expected a positive number"):
        optim.clip_gradients(model, 0)


def test_the_average_follows_its_formula_and_goes_on_from_its_state():
    model, rng = Parameters(), np.random.default_rng(2)
    averages = [optim.ExponentialMovingAverage(model, 0.5)]
    expected = model.parameters["a"].copy()
    for step in range(12):
        model.parameters["a"][...] = rng.standard_normal((3, 4))
        expected += (1 - min(0.5, (1 + step) / (10 + step))) * (model.parameters["a"] - expected)
        if step == 6:
            averages.append(optim.ExponentialMovingAverage(model, 0.5))
            averages[1].load_state_dict(averages[0].state_dict())
        for average in averages:
            average.update()
    one, other = (average.state_dict() for average in averages)
    assert one.keys() == other.keys() and all(np.array_equal(one[name], other[name]) for name in one)
    np.testing.assert_allclose(one["a"], expected, rtol=1e-12)


def test_the_average_steps_in_and_leaves_every_bit_as_it_was():
    model = nn.Sequential(norm=nn.BatchNorm(2), fc=nn.Linear(2, 2, seed=0))
    average = optim.ExponentialMovingAverage(model)
    begin = model.state_dict()
    model(np.random.default_rng(0).standard_normal((8, 2)).astype(np.float32))
    model.parameters["fc.weight"][...] = np.pi
    now, averaged = model.state_dict(), average.state_dict()
    with pytest.raises(KeyError), average.applied():
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(value, begin[name])
        raise KeyError
    for name, value in model.state_dict().items():
        np.testing.assert_array_equal(value, now[name])
        np.testing.assert_array_equal(average.state_dict()[name], averaged[name])


def test_an_average_of_another_model_and_a_decay_out_of_range_are_refused():
    average = optim.ExponentialMovingAverage(Parameters())
    with pytest.raises(ValueError, match="the state is of another model"):
        average.load_state_dict(optim.ExponentialMovingAverage(nn.Linear(1, 1)).state_dict())
    with pytest.raises(ValueError, match=r"decay is 1, expected 0 <= decay < 1"):
        optim.ExponentialMovingAverage(Parameters(), 1)
