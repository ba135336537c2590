"""Training: the same bits from the same seed, with any number of threads and any interruption."""

from __future__ import annotations

import csv
import math
from dataclasses import asdict, replace

import numpy as np
import pytest

from fastconv import checkpoint, data, models, runtime, training
from fastconv.training import BEST, HISTORY, LAST, Diverged, Evaluation, Recipe, Run
from runs import StopAfter, assert_same, make_noisy

pytest.importorskip("safetensors")

RECIPE = Recipe("noisy", epochs=3, batch_size=32, seed=5)
STEPS = 4  # an epoch, with the last batch not full


@pytest.fixture(scope="module")
def parts():
    train, test = data.digits()
    return train[:120], test[:60]


@pytest.fixture(scope="module", autouse=True)
def noisy():
    """A small model with dropout, whose random state a checkpoint must carry too."""
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(models.MODELS, "noisy", make_noisy)
        yield


@pytest.fixture(scope="module")
def whole(parts, noisy, tmp_path_factory):
    """The folder of a run that nothing has interrupted, with one thread."""
    folder = tmp_path_factory.mktemp("whole")
    with runtime.options(num_threads=1):
        assert training.fit(Run(RECIPE), *parts, folder)
    return folder


def test_two_threads_give_the_same_bits_as_one(parts, whole, tmp_path):
    with runtime.options(num_threads=2):
        training.fit(Run(RECIPE), *parts, tmp_path)
    assert_same(tmp_path, whole)


def test_another_seed_gives_other_bits(parts, whole, tmp_path):
    training.fit(Run(replace(RECIPE, seed=6)), *parts, tmp_path)
    with pytest.raises(AssertionError):
        assert_same(tmp_path, whole)


@pytest.mark.parametrize("steps", [1, STEPS - 1, STEPS, STEPS + 1, 3 * STEPS - 1])
def test_a_run_that_was_interrupted_ends_with_the_same_bits(parts, whole, tmp_path, steps):
    assert not training.fit(Run(RECIPE), *parts, tmp_path, stopped=StopAfter(steps))
    run = Run.load(tmp_path / LAST)
    assert run.epoch * STEPS + run.sums.step == steps
    assert training.fit(run, *parts, tmp_path)
    assert_same(tmp_path, whole)


def test_a_run_that_is_interrupted_at_every_step_ends_with_the_same_bits(parts, whole, tmp_path):
    run, sessions = Run(RECIPE), 1
    while not training.fit(run, *parts, tmp_path, stopped=StopAfter(1)):
        run = Run.load(tmp_path / LAST)
        sessions += 1
    assert sessions == 3 * STEPS + 1
    assert_same(tmp_path, whole)


def test_a_run_that_was_killed_goes_on_from_the_last_epoch_with_the_same_bits(parts, whole, tmp_path):
    class Killed(Exception):
        pass

    def die(run, images):
        if run.epoch == 1 and run.sums.step == 2:
            raise Killed

    with pytest.raises(Killed):
        training.fit(Run(RECIPE), *parts, tmp_path, on_step=die)
    run = Run.load(tmp_path / LAST)
    assert (run.epoch, run.sums.step) == (1, 0)
    training.fit(run, *parts, tmp_path)
    assert_same(tmp_path, whole)


def test_a_finished_run_has_nothing_left_to_do(parts, whole):
    run = Run.load(whole / LAST)
    assert run.finished
    assert training.fit(run, *parts, whole, on_step=lambda run, images: pytest.fail("a step"))


def test_the_history_tells_each_epoch(parts, whole):
    rows = list(csv.DictReader((whole / HISTORY).read_text().splitlines()))
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    for row, result in zip(rows, Run.load(whole / LAST).history, strict=True):
        assert {name: float(value) for name, value in row.items()} == asdict(result)
        assert math.isfinite(result.train_loss) and 0 <= result.train_accuracy <= 1 and result.seconds > 0


def test_callbacks_see_every_step_and_every_epoch(parts, tmp_path):
    images, epochs = [], []
    training.fit(
        Run(replace(RECIPE, epochs=2)),
        *parts,
        tmp_path,
        on_step=lambda run, count: images.append(count),
        on_epoch=epochs.append,
    )
    assert images == [32, 32, 32, 24] * 2
    assert [result.epoch for result in epochs] == [1, 2]


def test_the_best_checkpoint_is_that_of_the_first_best_epoch(parts, tmp_path, monkeypatch):
    accuracies = iter([0.2, 0.6, 0.6, 0.4])
    real = training.evaluate
    monkeypatch.setattr(
        "fastconv.training.loop.evaluate", lambda *arguments: replace(real(*arguments), accuracy=next(accuracies))
    )
    training.fit(Run(replace(RECIPE, epochs=4)), *parts, tmp_path)
    assert Run.load(tmp_path / BEST).epoch == 2
    assert Run.load(tmp_path / LAST).epoch == 4 and Run.load(tmp_path / LAST).best.epoch == 2


def test_training_learns_the_digits(parts, tmp_path):
    train, test = data.digits()
    run = Run(Recipe("lenet5", epochs=1, batch_size=32))
    training.fit(run, train[:2000], test[:500], tmp_path)
    assert run.history[0].test_accuracy > 0.75


def test_a_loss_that_is_no_number_stops_the_run(parts, tmp_path):
    run = Run(replace(RECIPE, learning_rate=1e30))
    message = (
        r"the loss became (nan|inf) in epoch 1 after \d+ steps: the output of layer \w+ \(\w+\) isn't finite.*; "
        r"try a learning rate below 1e\+30"
    )
    with pytest.raises(Diverged, match=message):
        training.fit(run, *parts, tmp_path)


def test_a_loss_that_is_no_number_in_the_evaluation_stops_the_run_too():
    evaluation = Evaluation(math.nan, 0.1, np.zeros((1, 10)), np.zeros((10, 10), int))
    run = Run(RECIPE)
    with pytest.raises(Diverged):
        run.finish_epoch(evaluation)
    assert not run.history


def test_without_augmentation_the_images_stay_as_they_are(parts, tmp_path):
    class Seen(Run):
        def train_on(self, images, labels, steps):
            seen.extend(images)
            super().train_on(images, labels, steps)

    for augment in ((), ("affine",)):
        seen = []
        training.fit(Seen(replace(RECIPE, epochs=1, augment=augment)), *parts, tmp_path)
        known = {image.tobytes() for image in parts[0].images}
        assert all((image.tobytes() in known) != bool(augment) for image in seen)


def test_the_learning_rate_rises_and_falls(parts, tmp_path):
    rates = []
    training.fit(
        Run(replace(RECIPE, epochs=10, learning_rate=0.01)),
        *parts,
        tmp_path,
        on_step=lambda run, images: rates.append(run.optimizer.learning_rate),
    )
    assert rates[:3] == [0.005, 0.01, 0.01] and rates[-1] < 1e-4
    assert sorted(rates[1:], reverse=True) == rates[1:]


def test_evaluation_agrees_with_prediction_and_leaves_the_mode_alone(parts):
    _, test = parts
    model = models.create("lenet5")
    for mode in (model.train, model.eval):
        mode()
        was = model.training
        evaluation = training.evaluate(model, test, batch_size=7)
        probabilities = training.predict(model, test.images)
        assert model.training == was
        np.testing.assert_allclose(evaluation.probabilities, probabilities, rtol=1e-5)
        np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-5)
        assert evaluation.accuracy == np.mean(probabilities.argmax(axis=1) == test.labels)
        right = probabilities[np.arange(len(test)), test.labels]
        assert evaluation.loss == pytest.approx(-np.log(right).mean(), rel=1e-4)


def test_images_larger_than_the_model_are_refused():
    with pytest.raises(ValueError, match="images are 33×32, expected 32×32 at most"):
        training.predict(models.lenet5(), np.zeros((1, 33, 32, 1), np.float32))


@pytest.mark.parametrize(("name", "value"), [
    ("epochs", 0), ("batch_size", 0), ("learning_rate", -0.1), ("learning_rate", math.nan), ("weight_decay", -1),
    ("seed", -1),
])  # fmt: skip
def test_a_recipe_with_numbers_out_of_range_is_refused(name, value):
    with pytest.raises(ValueError, match=f"{name} is {value}, expected"):
        replace(RECIPE, **{name: value})


def test_a_checkpoint_of_something_else_is_refused(whole, tmp_path):
    tensors, metadata = checkpoint.load(whole / LAST)
    path = tmp_path / "a.safetensors"
    for changed, message in [
        ({"format": 99}, "a checkpoint of format 99, expected 2"),
        ({"recipe": metadata["recipe"] | {"model": "lenet5"}}, "not the checkpoint of a run: load_state_dict: missing"),
        ({"recipe": metadata["recipe"] | {"model": "lenet9"}}, "not the checkpoint of a run: unknown model 'lenet9'"),
        ({"recipe": {"flour": 500}}, "not the checkpoint of a run"),
    ]:
        checkpoint.save(path, tensors, metadata | changed)
        with pytest.raises(ValueError, match=message):
            Run.load(path)
    checkpoint.save(path, {name: value for name, value in tensors.items() if "second_moment" not in name}, metadata)
    with pytest.raises(ValueError, match="the state is of another optimizer or model"):
        Run.load(path)


def test_a_new_run_has_no_best_epoch():
    run = Run(RECIPE)
    assert run.best is None and run.epoch == 0 and not run.finished
    assert run.sums.loss == 0 and run.sums.accuracy == 0
