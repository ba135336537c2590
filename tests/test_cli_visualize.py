"""``fastconv visualize`` makes every picture of a run trained here, says what it leaves out, and what is wrong."""

from __future__ import annotations

import io

import numpy as np
import pytest

from fastconv import cli, data, models, nn, training, visualize
from fastconv.training import BEST

for package in ("safetensors", "matplotlib", "tqdm"):
    pytest.importorskip(package)
Image = pytest.importorskip("PIL.Image")

PICTURES = {
    *("architecture", "filters", "activations", "saliency", "grad_cam", "receptive_field"),
    *("inversion", "maximization", "misclassified"),
}


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The folder of a run of LeNet-5 on a few hundred digits, with an average of the weights."""
    folder = tmp_path_factory.mktemp("runs") / "lenet5"
    recipe = training.Recipe("lenet5", epochs=1, ema=0.5)
    train, test = training.load_data(recipe)
    training.fit(training.Run(recipe), train[:1000], test[:200], folder, workers=0)
    return folder


def pixels(path):
    return np.asarray(Image.open(path).convert("RGB"), int)


def test_all_pictures_are_made_beside_the_checkpoint(run, capsys):
    assert cli.main(["visualize", str(run / BEST), "--steps", "20"]) == 0
    assert {path.name for path in (run / "pictures").iterdir()} == {f"{name}.png" for name in PICTURES}
    loaded = training.Run.load(run / BEST)
    with loaded.averaged() as model:
        image = training.adapt(model, data.digits()[1].images[:1])
        label = training.predict(model, image)[0]
        methods = ("gradient", "smooth", "integrated")
        maps = [visualize.saliency(model, image, method=method) for method in methods]
        expected = visualize.draw_saliency(np.repeat(image, 3, axis=0), np.concatenate(maps), titles=methods)
    shown = f"the image shows {label.argmax()} ({100 * label.max():.1f} %); 9 pictures in {run / 'pictures'}\n"
    assert capsys.readouterr().out == shown
    np.testing.assert_array_equal(pixels(run / "pictures" / "saliency.png"), pixels(io.BytesIO(expected)))
    for path in (run / "pictures").iterdir():
        assert np.ptp(pixels(path)) > 100, path.name


def test_some_pictures_of_one_layer_and_a_file_are_drawings_if_wanted(run, tmp_path):
    grey = np.rint(255 - data.digits()[1].images[7, ..., 0] * 255).astype(np.uint8)
    Image.fromarray(grey).save(tmp_path / "digit.png")
    arguments = ["--what", "grad-cam,activations,maximization,inversion", "--layer", "conv2", "--format", "svg"]
    arguments += ["--image", str(tmp_path / "digit.png"), "--out", str(tmp_path / "new" / "folder"), "--steps", "3"]
    assert cli.main(["visualize", str(run / BEST), *arguments]) == 0
    drawings = {path.name: path.read_text() for path in (tmp_path / "new" / "folder").iterdir()}
    assert set(drawings) == {"grad_cam.svg", "activations.svg", "maximization.svg", "inversion.svg"}
    assert "<!-- conv2, 16 of 10×10 -->" in drawings["activations.svg"] and "conv1" not in drawings["activations.svg"]
    assert drawings["maximization.svg"].count("<image") == 16 and drawings["inversion.svg"].count("<image") == 2
    out = tmp_path / "same"
    same = ["--what", "activations", "--layer", "conv2", "--image", "7", "--format", "svg", "--out", str(out)]
    assert cli.main(["visualize", str(run / BEST), *same]) == 0
    # The file holds the same digit, dark on bright.
    assert (out / "activations.svg").read_text() == drawings["activations.svg"]


@pytest.fixture
def other(tmp_path, monkeypatch):
    """A run on coloured pictures, of a model without any convolution."""

    def make_tiny(*, seed, dtype, num_classes=10, initializer=None):
        model = nn.Sequential(pool=nn.MaxPool2d(4), flatten=nn.Flatten(), fc=nn.Linear(12, num_classes, seed=seed))
        model.input_shape = (8, 8, 3)
        return model

    monkeypatch.setitem(models.MODELS, "tiny", make_tiny)
    images = np.random.default_rng(0).random((6, 8, 8, 3)).astype(np.float32)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(6) % 2, classes=["cat", "dog"])
    recipe = training.Recipe("tiny", data=str(tmp_path / "a.npz"), epochs=1, validation=0.4, augment="")
    train, test = training.load_data(recipe)
    training.fit(training.Run(recipe, classes=train.classes, white_on_black=False), train, test, tmp_path, workers=0)
    return tmp_path


def test_what_a_model_does_not_have_is_left_out_and_said(other, capsys):
    assert cli.main(["visualize", str(other / BEST), "--steps", "2"]) == 0
    out = capsys.readouterr().out
    for name in ("filters", "grad_cam", "receptive_field"):
        assert f"left out {name}: " in out and not (other / "pictures" / f"{name}.png").exists()
    assert "; 6 pictures in " in out and ("shows cat (" in out or "shows dog (" in out)
    assert len(list((other / "pictures").iterdir())) == 6
    assert cli.main(["visualize", str(other / BEST), "--what", "filters"]) == 2
    assert capsys.readouterr().err == "fastconv: the model has no convolution\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--layer", "conv3"], "visualize: layer is 'conv3', expected one of: conv1, pool1"),
        (["--image", "2000"], "image is 2000, expected 0 to 1499, or a file"),
        (["--image", "nowhere.png"], "nowhere.png: No such file or directory"),
        (["--steps", "0"], "steps is 0, expected 1 or more"),
        (["--what", "filters", "--layer", "fc1"], "layer 'fc1' is Linear, expected Conv2d"),
        (["--what", "filters,movie"], "unknown picture 'movie', expected some of: architecture, filters"),
    ],
)
def test_bad_arguments_end_in_one_line(run, tmp_path, capsys, arguments, message):
    try:
        code = cli.main(["visualize", str(run / BEST), "--out", str(tmp_path / "out"), *arguments])
    except SystemExit as exit:
        code = exit.code
    told = capsys.readouterr()
    assert code == 2 and message in told.err and told.err.count("\n") == 1 and not told.out
