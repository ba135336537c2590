"""The command line on pictures with names of classes, and what else a run may be told."""

from __future__ import annotations

import json
import re
import sys
import types
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from fastconv import cli, models, nn, training
from fastconv.training import BEST, LAST, Recipe

for package in ("safetensors", "matplotlib", "tqdm"):
    pytest.importorskip(package)
Image = pytest.importorskip("PIL.Image")

COLOURS = {"green": (30, 200, 30), "red": (200, 30, 30)}


def make_tiny(*, seed, dtype, num_classes=10, initializer=None):
    model = nn.Sequential(pool=nn.MaxPool2d(4), flatten=nn.Flatten(), fc=nn.Linear(12, num_classes, seed=seed))
    model.input_shape = (8, 8, 3)
    return model


def make_published(**options):
    """A model that was published for colours, and passes its options on, as `models.resnet18` does."""
    return models.lenet5(**{"in_channels": 3} | options)


@pytest.fixture(scope="module", autouse=True)
def tiny():
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setitem(models.MODELS, "tiny", make_tiny)
        monkeypatch.setitem(models.MODELS, "published", make_published)
        yield


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """Ten pictures of each of two colours, of different sizes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for name, colour in COLOURS.items():
        (folder / name).mkdir()
        for number in range(10):
            pixels = np.clip(rng.normal(colour, 20, (9 + number, 12, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def finished(pictures, tmp_path_factory, tiny):
    out = tmp_path_factory.mktemp("runs") / "tiny"
    arguments = ["--epochs", "8", "--batch-size", "4", "--learning-rate", "0.1", "--ema", "0.8", "--augment",
                 "flip,color", "--mixup", "0.1", "--label-smoothing", "0.05", "--clip-norm", "5"]  # fmt: skip
    assert cli.main(["train", "tiny", "--data", str(pictures), "--out", str(out), *arguments]) == 0
    return out


def test_a_run_on_pictures_keeps_the_names_of_their_folders(finished, pictures):
    run = training.Run.load(finished / BEST)
    assert run.classes == ("green", "red") and not run.white_on_black
    assert run.recipe.data == str(pictures) and run.recipe.augment == ("flip", "color")
    assert run.model(np.zeros((1, 8, 8, 3), np.float32)).shape == (1, 2)


def test_evaluation_uses_the_pictures_that_were_held_out(finished, pictures, capsys, tmp_path):
    picture = tmp_path / "confusion.svg"
    assert cli.main(["evaluate", str(finished / BEST), "--json", "--plot", str(picture)]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["images"] == 4 and result["classes"] == ["green", "red"] and result["accuracy"] == 1
    assert result["confusion"] == [[2, 0], [0, 2]] and result["class_accuracy"] == [1, 1]
    assert "<svg" in picture.read_text()
    assert cli.main(["evaluate", str(finished / BEST)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("100.00 % of 4 test images right, loss ")
    assert lines[3].split() == ["green", "2", ".", "100.00", "%"]


def test_evaluation_on_other_pictures_uses_all_of_them_and_goes_by_their_names(finished, tmp_path, capsys):
    for name in ("red", "blue"):
        (tmp_path / name).mkdir()
        for number in range(3):
            Image.new("RGB", (20, 10), name).save(tmp_path / name / f"{number}.png")
    assert cli.main(["evaluate", str(finished / BEST), "--data", str(tmp_path)]) == 2
    assert f"{tmp_path}: has a class blue, but the model knows green, red" in capsys.readouterr().err
    (tmp_path / "blue").rename(tmp_path / ".blue")
    assert cli.main(["evaluate", str(finished / BEST), "--data", str(tmp_path), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["confusion"] == [[0, 0], [0, 3]] and result["class_accuracy"] == [None, 1]


def test_prediction_names_the_class(finished, pictures, tmp_path, capsys):
    Image.new("RGB", (50, 20), COLOURS["red"]).save(tmp_path / "a.png")
    paths = [str(tmp_path / "a.png"), str(pictures / "green" / "3.png")]
    assert cli.main(["predict", str(finished / BEST), *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r".*a\.png: red \([\d.]+ %\)", lines[0]) and ": green (" in lines[1]
    assert cli.main(["predict", str(finished / BEST), *paths, "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    assert [(result["class"], result["name"]) for result in results] == [(1, "red"), (0, "green")]
    assert not any(result["inverted"] for result in results)


def test_a_new_run_starts_from_the_weights_of_another(finished, pictures, tmp_path, capsys):
    common = ["train", "tiny", "--epochs", "1", "--batch-size", "8", "--start-from", str(finished / BEST)]
    rate = ["--learning-rate", "0"]
    assert cli.main([*common, "--data", str(pictures), "--out", str(tmp_path / "same"), *rate]) == 0
    out = capsys.readouterr().out
    assert f"weights of {finished / BEST}\n" in out and "100.00 % of the test images right" in out
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(12) % 3, classes=["x", "y", "z"])
    assert cli.main([*common, "--data", str(tmp_path / "a.npz"), "--out", str(tmp_path / "other")]) == 0
    assert f"weights of {finished / BEST}, but for fc.weight and fc.bias\n" in capsys.readouterr().out
    assert training.Run.load(tmp_path / "other" / LAST).classes == ("x", "y", "z")


@pytest.mark.parametrize(("shape", "message"), [
    ((9, 8, 3), "images are 9×8, expected 8×8 at most"), ((8, 8, 2), "images have 2 channels, expected 3"),
])  # fmt: skip
def test_images_that_do_not_fit_the_model_cost_no_earlier_run(finished, tmp_path, capsys, shape, message):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, *shape), np.uint8), labels=np.arange(4) % 2)
    arguments = ["train", "tiny", "--data", str(tmp_path / "a.npz"), "--out", str(finished), "--overwrite"]
    assert cli.main(arguments) == 2 and (finished / BEST).exists()
    assert capsys.readouterr().err == f"fastconv: {message}\n"


def test_a_run_without_progress_ends_early_and_says_so(pictures, tmp_path, capsys):
    arguments = ["--epochs", "9", "--learning-rate", "0", "--patience", "2", "--workers", "0", "--no-augment"]
    assert cli.main(["train", "tiny", "--data", str(pictures), "--out", str(tmp_path), *arguments]) == 0
    assert "no epoch was better for 2 epochs: ended after 3 of 9\n" in capsys.readouterr().out


@pytest.fixture
def written(monkeypatch):
    """What is written to TensorBoard, where a stand-in of its writer notes it."""
    written = []

    class Writer:
        def __init__(self, folder):
            self.file = Path(folder) / "events.out.tfevents.1"
            self.file.parent.mkdir(exist_ok=True)
            self.file.touch()

        def add_scalar(self, name, value, step):
            written.append((name, value, step))

        def flush(self):
            pass

    monkeypatch.setitem(sys.modules, "tensorboard", types.ModuleType("tensorboard"))
    monkeypatch.setitem(sys.modules, "tensorboard.summary", types.SimpleNamespace(Writer=Writer))
    return written


def test_the_history_goes_to_tensorboard_if_wanted(pictures, tmp_path, written):
    arguments = ["train", "tiny", "--data", str(pictures), "--epochs", "2", "--out", str(tmp_path)]
    assert cli.main(arguments) == 0 and not written
    assert cli.main([*arguments, "--overwrite", "--tensorboard"]) == 0
    history = training.Run.load(tmp_path / LAST).history
    assert written == [
        (f"{figure}/{part}", getattr(result, f"{part}_{figure}"), result.epoch)
        for result in history for figure in ("loss", "accuracy") for part in ("train", "test")
    ]  # fmt: skip
    assert (tmp_path / "events.out.tfevents.1").exists()
    assert cli.main([*arguments, "--overwrite"]) == 0
    assert not (tmp_path / "events.out.tfevents.1").exists()


def test_without_tensorboard_the_remedy_is_named(pictures, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    arguments = ["train", "tiny", "--data", str(pictures), "--out", str(tmp_path / "run"), "--tensorboard"]
    assert cli.main(arguments) == 2 and not (tmp_path / "run").exists()
    message = "tensorboard isn't installed; pip install 'fastconv[tensorboard]' brings it"
    assert capsys.readouterr().err == f"fastconv: {message}\n"


def test_tensorboard_reads_what_was_written(tmp_path):
    loader = pytest.importorskip("tensorboard.backend.event_processing.event_file_loader")
    training.TensorBoard(tmp_path)(training.EpochResult(3, 0.5, 0.25, 0.75, 0.125, 1.0))
    (file,) = tmp_path.glob("events.out.tfevents.*")
    found = {
        value.tag: (event.step, value.tensor.float_val[0])
        for event in loader.EventFileLoader(str(file)).Load()
        for value in event.summary.value
    }
    assert found == {
        "loss/train": (3, 0.5), "accuracy/train": (3, 0.25), "loss/test": (3, 0.75), "accuracy/test": (3, 0.125)
    }  # fmt: skip


def test_many_classes_are_listed_by_what_goes_wrong(tmp_path, capsys):
    images = np.random.default_rng(0).random((90, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(90) % 30)
    arguments = ["--data", str(tmp_path / "a.npz"), "--epochs", "1", "--out", str(tmp_path / "run")]
    assert cli.main(["train", "tiny", *arguments]) == 0
    capsys.readouterr()
    assert cli.main(["evaluate", str(tmp_path / "run" / LAST), "--data", str(tmp_path / "a.npz")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[\d.]+ % of 30 test images right, [\d.]+ % among the first five, loss [\d.]+", lines[0])
    assert lines[2].startswith("the classes that are right least often") and len(lines) == 13
    assert re.fullmatch(r" +0\.00 %   \d+   \d+ \(1\)", lines[3])


def test_every_choice_of_a_recipe_has_an_option(capsys):
    with pytest.raises(SystemExit):
        cli.main(["train", "--help"])
    text = capsys.readouterr().out
    for field in fields(Recipe):
        if field.name != "model":
            assert f"--{field.name.replace('_', '-')} " in text, field.name


@pytest.mark.parametrize("model", ["lenet5", "published"])
@pytest.mark.parametrize(("kind", "channels"), [("colour", 3), ("grey", 1), ("digits", 1)])
def test_a_model_is_made_for_the_channels_of_its_data(model, kind, channels, pictures, tmp_path, capsys):
    source, image = tmp_path / "grey", pictures / "red" / "3.png"
    for path in sorted(pictures.rglob("*.png")):
        target = source / path.relative_to(pictures)
        target.parent.mkdir(parents=True, exist_ok=True)
        Image.open(path).convert("L").save(target)
    if kind == "digits":
        digits, _ = training.load_data(Recipe("lenet5"))
        source = tmp_path / "digits.npz"
        np.savez(source, images=digits.images[:60, ..., 0], labels=digits.labels[:60])
    given = ["train", model, "--data", str(pictures if kind == "colour" else source), "--out", str(tmp_path / "run")]
    assert cli.main([*given, "--epochs", "1", "--augment", ""]) == 0
    assert cli.main(["train", model, "--out", str(tmp_path / "run"), "--resume"]) == 0
    run = training.Run.load(tmp_path / "run" / LAST)
    assert run.recipe.in_channels == channels and run.model.input_shape == (32, 32, channels)
    assert cli.main(["evaluate", str(tmp_path / "run" / LAST)]) == 0
    capsys.readouterr()
    assert cli.main(["predict", str(tmp_path / "run" / LAST), str(image)]) == 0
    assert re.search(r"3\.png: \w+ \(", capsys.readouterr().out)


def test_other_channels_are_taken_if_asked_for_and_kept_by_who_starts_from_the_run(pictures, tmp_path, capsys):
    for channels, out, more in (("1", "one", []), ("0", "zero", []), (None, "next", ["--start-from"])):
        given = ["train", "published", "--data", str(pictures), "--epochs", "1", "--out", str(tmp_path / out)]
        given += ["--in-channels", channels] if channels else [*more, str(tmp_path / "one" / BEST)]
        assert cli.main(given) == 0
        wanted = 3 if channels == "0" else 1
        assert training.Run.load(tmp_path / out / BEST).model.input_shape == (32, 32, wanted)
    capsys.readouterr()
    assert cli.main([*given[:6], "--out", str(tmp_path / "one"), "--resume", "--in-channels", "3"]) == 2
    assert "the run has in_channels 1, not 3" in capsys.readouterr().err
    assert cli.main(["train", "tiny", "--in-channels", "1", "--out", str(tmp_path / "no")]) == 2
    assert capsys.readouterr().err == "fastconv: tiny: in_channels is 1, expected 3\n"
