"""The choices of a recipe: each does what it says, and none of them costs a bit on resuming."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fastconv import checkpoint, data, models, nn, optim, training
from fastconv.training import BEST, LAST, Recipe, Run
from runs import StopAfter, assert_same, make_noisy

pytest.importorskip("safetensors")

RECIPE = Recipe("noisy", epochs=3, batch_size=32, seed=5)
CHOICES = {
    "average, clipping, smoothing": {"ema": 0.9, "clip_norm": 0.5, "label_smoothing": 0.2},
    "every augmentation": {"augment": ("affine", "flip", "crop=2", "color"), "mixup": 0.4},
    "sgd in stairs": {"optimizer": "sgd", "schedule": "step", "decay_epochs": 1, "ema": 0.5},
    "adam at a constant rate": {"optimizer": "adam", "schedule": "constant", "patience": 2, "decay_all": True},
    "layers at their own rates": {"rate_factors": ("=0.1", "fc=1", "conv.bias=0")},
}


@pytest.fixture(scope="module")
def parts():
    train, test = data.digits()
    return train[:120], test[:60]


@pytest.fixture(scope="module", autouse=True)
def noisy():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(models.MODELS, "noisy", make_noisy)
        yield


def without_noise(*, seed, dtype, num_classes=10):
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        flatten=nn.Flatten(), hidden=nn.Linear(784, 8, activation="relu", seed=rng, dtype=dtype),
        fc=nn.Linear(8, num_classes, seed=rng, dtype=dtype),
    )  # fmt: skip
    model.input_shape = (28, 28, 1)
    return model


@pytest.fixture
def plain(monkeypatch):
    monkeypatch.setitem(models.MODELS, "plain", without_noise)
    return Recipe("plain", epochs=1, batch_size=20, optimizer="sgd", momentum=0, schedule="constant", warmup=0,
                  weight_decay=0, label_smoothing=0, augment="", learning_rate=0.1)  # fmt: skip


@pytest.mark.parametrize("choice", CHOICES)
@pytest.mark.parametrize("steps", [1, 6])
def test_whatever_is_chosen_a_run_that_was_interrupted_ends_with_the_same_bits(parts, tmp_path, choice, steps):
    recipe = replace(RECIPE, **CHOICES[choice])
    whole, other = tmp_path / "whole", tmp_path / "other"
    assert training.fit(Run(recipe), *parts, whole, workers=0)
    assert not training.fit(Run(recipe), *parts, other, stopped=StopAfter(steps), workers=2)
    assert training.fit(Run.load(other / LAST), *parts, other, workers=3)
    assert_same(other, whole)
    assert Run.load(whole / LAST).recipe == recipe


def test_every_choice_makes_a_difference(parts, tmp_path):
    weights = set()
    for number, choices in enumerate([{}, {"ema": 0.9}, {"clip_norm": 0.5}, {"label_smoothing": 0.3}, {"mixup": 0.4},
                                      {"decay_all": True}, {"warmup": 0.5}, {"optimizer": "adam"}]):  # fmt: skip
        training.fit(Run(replace(RECIPE, epochs=1, **choices)), *parts, tmp_path / str(number))
        with Run.load(tmp_path / str(number) / BEST).averaged() as model:
            weights.add(model.parameters["conv.weight"].tobytes())
    assert len(weights) == 8


def test_a_model_is_evaluated_and_kept_with_its_average(parts, tmp_path):
    _, test = parts
    training.fit(Run(replace(RECIPE, ema=0.5)), *parts, tmp_path)
    run = Run.load(tmp_path / LAST)
    with run.averaged() as model:
        averaged = training.evaluate(model, test)
    assert averaged.loss == pytest.approx(run.history[-1].test_loss, rel=1e-6)
    assert training.evaluate(run.model, test).loss != pytest.approx(averaged.loss, rel=1e-3)
    tensors, _ = checkpoint.load(tmp_path / LAST)
    assert {"average.norm.running_mean", "average.fc.weight", "average.updates"} <= set(tensors)


def test_a_long_gradient_makes_a_step_of_the_length_that_is_allowed(parts, plain):
    images, labels = parts[0][:20].arrays()
    run = Run(replace(plain, clip_norm=0.01))
    before = run.model.state_dict()
    run.train_on(images, labels, 10)
    moved = [value - before[name] for name, value in run.model.state_dict().items()]
    assert math.sqrt(sum((one.astype(float) ** 2).sum() for one in moved)) == pytest.approx(0.1 * 0.01, rel=1e-3)


def test_a_step_goes_down_the_smoothed_loss_and_the_history_tells_the_plain_one(parts, plain):
    images, labels = parts[0][:20].arrays()
    run, other = (Run(replace(plain, label_smoothing=0.2)) for _ in range(2))
    logits = other.model(images)
    _, grad_logits = nn.cross_entropy(logits, labels, label_smoothing=0.2)
    other.model.backward(grad_logits)
    run.train_on(images, labels, 10)
    for name, value in run.model.parameters.items():
        expected = other.model.parameters[name] - np.float32(0.1) * other.model.gradients[name]
        np.testing.assert_allclose(value, expected, rtol=1e-5, atol=1e-7)
    assert run.sums.loss == pytest.approx(nn.cross_entropy(logits, labels)[0])


def test_mixed_labels_count_as_the_class_with_the_larger_share(parts, plain):
    images, labels = parts[0][:20].arrays()
    targets = np.eye(10, dtype=np.float32)[labels]
    other = Run(plain)
    predicted = other.model(images).argmax(axis=1)
    other.train_on(images, targets, 10)
    assert other.sums.correct == np.count_nonzero(predicted == labels)


def test_weight_decay_spares_norms_and_biases_unless_told_otherwise(parts):
    for decay_all in (False, True):
        run = Run(replace(RECIPE, weight_decay=0.5, learning_rate=0.1, warmup=0, decay_all=decay_all))
        run.model.parameters["conv.bias"][...] = 1
        before = run.model.state_dict()
        run.optimizer.learning_rate = 0.1
        run.optimizer.step()  # gradients are zero: what moves is the decay
        for name, value in run.model.parameters.items():
            decays = decay_all or value.ndim > 1
            np.testing.assert_allclose(value, before[name] * np.float32(0.95 if decays else 1), rtol=1e-6)


def test_a_layer_learns_at_its_own_rate(parts):
    images, labels = parts[0][:32].arrays()
    run = Run(replace(RECIPE, rate_factors="=0,fc=1"))
    before = run.model.state_dict()
    run.train_on(images, labels, 10)
    changed = {name for name, value in run.model.parameters.items() if not np.array_equal(value, before[name])}
    assert changed == {"fc.weight", "fc.bias"}


def test_every_schedule_is_that_of_optim():
    recipe = Recipe("m", epochs=10, learning_rate=0.5, warmup=0.1, decay_epochs=4)
    rates = {
        name: [replace(recipe, schedule=name).learning_rate_at(step, 8) for step in range(80)]
        for name in ("cosine", "step", "constant")
    }
    for step in range(80):
        assert rates["cosine"][step] == 0.5 * optim.warmup_cosine(step, total_steps=80, warmup_steps=8)
        assert rates["step"][step] == 0.5 * optim.warmup_step(step, decay_steps=32, factor=0.1, warmup_steps=8)
        assert rates["constant"][step] == 0.5 * optim.warmup(step, warmup_steps=8)


@pytest.mark.parametrize(("name", "kind"), [("sgd", optim.SGD), ("adam", optim.Adam), ("adamw", optim.AdamW)])
def test_the_optimizer_is_the_one_that_is_named(name, kind):
    optimizer = Recipe("m", optimizer=name, momentum=0.8, weight_decay=0.2).make_optimizer(nn.Linear(2, 2))
    assert type(optimizer) is kind and optimizer.weight_decay == 0.2
    assert name != "sgd" or (optimizer.momentum == 0.8 and optimizer.nesterov)


def test_patience_ends_a_run_that_gets_no_better_and_it_stays_ended(parts, tmp_path, monkeypatch):
    accuracies = iter([0.2, 0.6, 0.5, 0.6, 0.9])
    real = training.evaluate
    monkeypatch.setattr(
        "fastconv.training.loop.evaluate", lambda *arguments: replace(real(*arguments), accuracy=next(accuracies))
    )
    run = Run(replace(RECIPE, epochs=20, patience=2))
    assert training.fit(run, *parts, tmp_path)
    assert run.epoch == 4 and run.best.epoch == 2 and run.stopped_early and run.finished
    again = Run.load(tmp_path / LAST)
    assert again.stopped_early and training.fit(again, *parts, tmp_path, on_epoch=pytest.fail)


def test_a_run_that_uses_up_its_epochs_has_not_stopped_early(parts, tmp_path):
    run = Run(replace(RECIPE, epochs=2, learning_rate=0, patience=1))
    training.fit(run, *parts, tmp_path)
    assert run.finished and run.epoch == 2 and not run.stopped_early


def test_a_run_has_classes():
    with pytest.raises(ValueError, match="Run: there are no classes"):
        Run(RECIPE, classes=())


def test_texts_with_commas_and_lists_become_tuples():
    recipe = Recipe("m", augment="flip,crop=2", rate_factors=["conv=0.5"])
    assert recipe.augment == ("flip", "crop=2") and recipe.rate_factors == ("conv=0.5",)
    assert Recipe("m", augment="").augment == ()
    assert recipe.augmentations() == [data.RandomFlip(), data.RandomCrop(2)]
    assert recipe.differences(replace(recipe, augment="", seed=3)) == [
        ("augment", "flip,crop=2", "none"), ("seed", "0", "3")
    ]  # fmt: skip


@pytest.mark.parametrize(("choices", "message"), [
    ({"momentum": 1.0}, "momentum is 1.0, expected 0 or more, below 1"),
    ({"label_smoothing": 1}, "label_smoothing is 1, expected 0 or more, below 1"),
    ({"ema": -0.1}, "ema is -0.1"), ({"warmup": math.nan}, "warmup is nan"), ({"clip_norm": -1}, "clip_norm is -1"),
    ({"patience": -1}, "patience is -1"), ({"decay_epochs": 0}, "decay_epochs is 0, expected 1 or more"),
    ({"mixup": math.inf}, "mixup is inf"), ({"optimizer": "lion"}, "unknown optimizer 'lion'"),
    ({"schedule": "none"}, "unknown schedule 'none', expected one of: cosine, step, constant"),
    ({"augment": "blur"}, "unknown augmentation 'blur'"), ({"rate_factors": "fc"}, "'fc' isn't LAYER=FACTOR"),
    ({"rate_factors": "fc=-1"}, "'fc=-1' isn't LAYER=FACTOR with a factor of 0 or more"),
])  # fmt: skip
def test_choices_that_cannot_be_are_refused(choices, message):
    with pytest.raises(ValueError, match=message):
        Recipe("m", **choices)


def test_data_without_a_test_set_are_split_by_the_seed(tmp_path):
    _, test = data.digits()
    images = np.rint(test.images[:100] * 255).astype(np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=test.labels[:100])
    recipe = Recipe("lenet5", data=str(tmp_path / "a.npz"), validation=0.3)
    (train, held_out), (_, same) = training.load_data(recipe), training.load_data(recipe)
    assert len(train) + len(held_out) == 100 and 25 <= len(held_out) <= 35
    np.testing.assert_array_equal(held_out.images, same.images)
    _, other = training.load_data(replace(recipe, seed=1))
    assert not np.array_equal(held_out.images, other.images)


def part_of_digits(low):
    """The digits from low to low + 4, as classes of their own."""
    names = tuple(str(low + label) for label in range(5))
    for dataset, count in zip(data.digits(), (1200, 500), strict=True):
        chosen = dataset[(dataset.labels >= low) & (dataset.labels < low + 5)][:count]
        yield data.Dataset(chosen.images, chosen.labels - low, names)


def test_what_was_learnt_of_some_digits_helps_to_read_others(tmp_path):
    """A body that has seen 0 to 4 only, and stays as it is, carries a new head for 5 to 9."""
    (known, known_test), (train, test) = part_of_digits(0), part_of_digits(5)
    training.fit(Run(Recipe("lenet5", epochs=4), classes=known.classes), known, known_test, tmp_path / "known")
    recipe = Recipe("lenet5", epochs=4, learning_rate=0.03, rate_factors="=0,fc3=1", ema=0.9)
    run = Run(recipe, classes=train.classes)
    head = run.model.parameters["fc3.weight"].copy()
    assert run.start_from(tmp_path / "known" / LAST) == ["fc3.weight", "fc3.bias"]
    np.testing.assert_array_equal(run.model.parameters["fc3.weight"], head)
    training.fit(run, train, test, tmp_path / "new")
    body = Run.load(tmp_path / "known" / LAST).model.parameters
    for name, value in run.model.parameters.items():
        assert np.array_equal(value, body[name]) == (not name.startswith("fc3")), name
    assert run.history[-1].test_accuracy > 0.6  # guessing: 0.2


def test_the_same_classes_keep_their_head_and_another_model_is_refused(parts, tmp_path):
    training.fit(Run(replace(RECIPE, epochs=1, ema=0.9)), *parts, tmp_path)
    run = Run(replace(RECIPE, seed=9))
    assert run.start_from(tmp_path / LAST) == []
    with Run.load(tmp_path / LAST).averaged() as model:
        for name, value in model.state_dict().items():
            np.testing.assert_array_equal(run.model.state_dict()[name], value)
    with pytest.raises(ValueError, match=r"last\.safetensors: holds the model noisy, expected lenet5"):
        Run(Recipe("lenet5")).start_from(tmp_path / LAST)
