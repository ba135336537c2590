"""The command line: what it writes, what it prints, and one line with exit code 2 for whatever is wrong."""

from __future__ import annotations

import csv
import gzip
import json
import os
import re
import signal
import struct
import subprocess
import sys

import numpy as np
import pytest

from fastconv import checkpoint, cli, data, models, training
from fastconv.training import BEST, HISTORY, LAST

for package in ("safetensors", "matplotlib", "tqdm"):
    pytest.importorskip(package)
Image = pytest.importorskip("PIL.Image")

OUTPUTS = {BEST, LAST, HISTORY, "learning_curves.png", "misclassified.png", "confusion_matrix.png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A small data set in MNIST's format: 200 digits to train with, 50 to test."""
    folder = tmp_path_factory.mktemp("mnist")
    for part, dataset in zip(("train", "t10k"), (data.digits()[0][:200], data.digits()[1][:50]), strict=True):
        images = np.rint(dataset.images * 255).astype(np.uint8)
        content = struct.pack(">4I", 0x803, len(images), 28, 28) + images.tobytes()
        (folder / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(content))
        content = struct.pack(">2I", 0x801, len(images)) + dataset.labels.astype(np.uint8).tobytes()
        (folder / f"{part}-labels-idx1-ubyte").write_bytes(content)
    return folder


@pytest.fixture
def train(folder):
    def train(out, *arguments):
        return cli.main(["train", "lenet5", "--data", str(folder), "--epochs", "2", "--out", str(out), *arguments])

    return train


@pytest.fixture(scope="module")
def finished(folder, tmp_path_factory):
    """The folder of a finished run."""
    out = tmp_path_factory.mktemp("runs") / "lenet5"
    assert cli.main(["train", "lenet5", "--data", str(folder), "--epochs", "2", "--out", str(out)]) == 0
    return out


@pytest.fixture
def png(tmp_path):
    def png(index, dark=False):
        image = np.rint(data.digits()[1].images[index, ..., 0] * 255).astype(np.uint8)
        path = tmp_path / f"digit{index}{'dark' * dark}.png"
        Image.fromarray(255 - image if dark else image).save(path)
        return path

    return png


def content(folder):
    """What a run leaves, without the time that it took and the pictures."""
    tensors, metadata = checkpoint.load(folder / LAST)
    metadata["history"] = [{**result, "seconds": 0} for result in metadata["history"]]
    rows = [row[:-1] for row in csv.reader((folder / HISTORY).read_text().splitlines())]
    return {name: value.tobytes() for name, value in tensors.items()}, metadata, rows


def test_training_leaves_checkpoints_history_and_pictures(finished):
    assert {path.name for path in finished.iterdir()} == OUTPUTS
    for name in ("learning_curves.png", "misclassified.png", "confusion_matrix.png"):
        with Image.open(finished / name) as image:
            assert image.format == "PNG" and min(image.size) > 100
    assert len((finished / HISTORY).read_text().splitlines()) == 3


def test_training_says_how_it_goes(train, tmp_path, capsys):
    assert train(tmp_path, "--no-augment", "--batch-size", "50", "--seed", "3", "--threads", "1") == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    figures = r"loss [\d.]+, [\d. ]+ %"
    assert re.fullmatch(rf"epoch   1   train: {figures}   test: {figures}   [\d.]+ s", lines[0])
    assert re.fullmatch(r"[\d.]+ % of the test images right at the end, [\d.]+ % in epoch [12]; all .*", lines[2])
    assert len(lines) == 3 and not err
    recipe = training.Run.load(tmp_path / LAST).recipe
    assert (recipe.augment, recipe.batch_size, recipe.seed, recipe.epochs) == ((), 50, 3, 2)


def test_a_run_is_not_destroyed_by_the_next_one(train, finished, capsys):
    before = content(finished)
    assert train(finished) == 2
    assert capsys.readouterr().err == (
        f"fastconv: {finished}: already holds a run; --resume goes on with it, --overwrite replaces it\n"
    )
    assert content(finished) == before and {path.name for path in finished.iterdir()} == OUTPUTS


def test_overwrite_replaces_a_run_and_touches_nothing_else(train, tmp_path):
    assert train(tmp_path) == 0
    (tmp_path / "notes.txt").write_text("mine")
    assert train(tmp_path, "--overwrite", "--seed", "1") == 0
    assert training.Run.load(tmp_path / BEST).recipe.seed == 1
    assert {path.name for path in tmp_path.iterdir()} == OUTPUTS | {"notes.txt"}


def test_overwrite_does_not_destroy_a_run_when_the_data_are_missing(finished, tmp_path):
    arguments = ["train", "lenet5", "--data", str(tmp_path / "nowhere"), "--out", str(finished), "--overwrite"]
    assert cli.main(arguments) == 2
    assert {path.name for path in finished.iterdir()} == OUTPUTS


@pytest.fixture
def interrupt(monkeypatch):
    """Send Ctrl-C to the process in the midst of the step of this number, counted from 1."""

    def interrupt(number):
        left = [number]
        original = training.Run.train_on

        def train_on(self, *arguments):
            left[0] -= 1
            if left[0] == 0:
                signal.raise_signal(signal.SIGINT)
            original(self, *arguments)

        monkeypatch.setattr(training.Run, "train_on", train_on)

    return interrupt


@pytest.mark.parametrize("step", [2, 4, 6])
def test_ctrl_c_saves_says_where_and_resume_ends_with_the_same_bits(
    train, finished, tmp_path, capsys, interrupt, step
):  # fmt: skip
    handler = signal.getsignal(signal.SIGINT)
    interrupt(step)
    assert train(tmp_path) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    epoch, steps = divmod(step, 4)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"interrupted in epoch {1 if step == 4 else epoch + 1} after {4 if step == 4 else steps} steps; saved in "
        f"{tmp_path / LAST}; go on with: fastconv train lenet5 --out {tmp_path} --resume"
    )
    names = {path.name for path in tmp_path.iterdir()}
    assert names == (OUTPUTS if step > 4 else {LAST})
    assert cli.main(["train", "lenet5", "--out", str(tmp_path), "--resume"]) == 0
    assert content(tmp_path) == content(finished)


def test_resuming_a_finished_run_changes_nothing(train, finished):
    before = content(finished)
    assert train(finished, "--resume") == 0
    assert content(finished) == before


def test_resuming_with_another_recipe_is_refused_in_one_line(train, finished, capsys):
    assert train(finished, "--resume", "--seed", "9", "--batch-size", "10", "--no-augment") == 2
    assert capsys.readouterr().err == (
        f"fastconv: {finished}: can't resume with another recipe; the run has batch_size 64, not 10, "
        "augment affine, not none, seed 0, not 9\n"
    )
    assert cli.main(["train", "simple_cnn", "--out", str(finished), "--resume"]) == 2
    assert "the run has model lenet5, not simple_cnn" in capsys.readouterr().err


def test_a_loss_that_is_no_number_ends_in_one_line(train, tmp_path, capsys):
    assert train(tmp_path, "--learning-rate", "1e30") == 1
    assert re.fullmatch(
        r"fastconv: the loss became (nan|inf) in epoch 1 after \d steps: the output of layer \w+ \(\w+\) isn't "
        r"finite.*; try a learning rate below 1e\+30\n",
        capsys.readouterr().err,
    )


def test_evaluate_tells_accuracy_and_loss(finished, folder, capsys):
    assert cli.main(["evaluate", str(finished / LAST), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    last = training.Run.load(finished / LAST).history[-1]
    assert result["accuracy"] == last.test_accuracy and result["loss"] == pytest.approx(last.test_loss, rel=1e-6)
    assert result["images"] == 50 and result["model"] == "lenet5" and result["data"] == str(folder)
    assert cli.main(["evaluate", str(finished / LAST), "--data", "digits"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.fullmatch(r"[\d.]+ % of 1,500 test images right, loss [\d.]+", lines[0]) and not lines[1]
    assert lines[2].split() == ["class", *"0123456789", "right"] and len(lines) == 13
    labels = data.digits()[1].labels
    for label, line in enumerate(lines[3:]):
        name, *counts, share, percent = line.split()
        counts = [0 if count == "." else int(count) for count in counts]
        assert name == str(label) and percent == "%" and sum(counts) == (labels == label).sum()
        assert float(share) == pytest.approx(100 * counts[label] / sum(counts), abs=0.005)


def test_predict_reads_digits_whichever_way_they_are_drawn(finished, png, capsys):
    paths = [png(0), png(1), png(1, dark=True)]
    assert cli.main(["predict", str(finished / BEST), *map(str, paths), "--json"]) == 0
    results = json.loads(capsys.readouterr().out)
    model = training.Run.load(finished / BEST).model
    expected = training.predict(model, data.digits()[1].images[:2])
    assert [result["image"] for result in results] == [str(path) for path in paths]
    assert [result["inverted"] for result in results] == [False, False, True]
    for result, row in zip(results, expected[[0, 1, 1]], strict=True):
        assert result["class"] == row.argmax()
        np.testing.assert_allclose(result["probabilities"], row, rtol=1e-4)
        assert result["probability"] == max(result["probabilities"])
    assert cli.main(["predict", str(finished / BEST), *map(str, paths)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [bool(re.search(r": \d \([\d.]+ %\)$", line)) for line in lines] == [True, True, False]
    assert lines[2].endswith(" %, dark on bright: inverted)")


def test_info_tells_the_machine(capsys):
    assert cli.main(["info", "--json"]) == 0
    info = json.loads(capsys.readouterr().out)
    assert info["isa"] in info["isa_available"] and info["num_threads"] >= 1
    assert cli.main(["info"]) == 0
    assert re.search(r"^ +isa_available  .*baseline", capsys.readouterr().out, re.MULTILINE)


def test_selftest_passes(capsys):
    assert cli.main(["selftest"]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "ok"


BAD_INPUT = {
    "unknown model": ("train resnet9000", "unknown model 'resnet9000', expected one of: lenet5, simple_cnn"),
    "missing data": ("train lenet5 --data missing", "missing: no such file or folder"),
    "empty data": ("train lenet5 --data empty", "empty: holds neither MNIST's files nor a folder of pictures for each"),
    "no data": ("train lenet5 --data broken", "broken: not an NPZ file"),
    "unknown optimizer": ("train lenet5 --optimizer lion", "unknown optimizer 'lion', expected one of: adamw,"),
    "unknown schedule": ("train lenet5 --schedule no", "unknown schedule 'no', expected one of: cosine,"),
    "unknown augmentation": ("train lenet5 --augment flip,blur", "unknown augmentation 'blur', expected some of"),
    "unknown layer": ("train lenet5 --rate-factors conv9=0", "AdamW: no parameter is named 'conv9'; there are conv1."),
    "no factor": ("train lenet5 --rate-factors conv1", "rate_factors: 'conv1' isn't LAYER=FACTOR"),
    "no workers": ("train lenet5 --workers -1", "workers is -1, expected 0 or more"),
    "no start": ("train lenet5 --start-from missing", "missing: No such file or directory"),
    "other start": ("train simple_cnn --start-from CHECKPOINT", "holds the model lenet5, expected simple_cnn"),
    "start again": ("train lenet5 --resume --start-from CHECKPOINT", "leave out --start-from"),
    "no picture": ("evaluate CHECKPOINT --plot a.jpg", "confusion_matrix: format is 'jpg', expected 'png' or 'svg'"),
    "no epochs": ("train lenet5 --epochs 0", "epochs is 0, expected 1 or more"),
    "epochs in words": ("train lenet5 --epochs two", "argument --epochs: invalid int value: 'two'"),
    "no threads": ("train lenet5 --threads 0", "num_threads"),
    "nothing to resume": ("train lenet5 --resume", "lenet5: holds no last.safetensors to resume from"),
    "both ways": ("train lenet5 --resume --overwrite", "not allowed with argument"),
    "no model": ("train", "the following arguments are required: MODEL"),
    "no command": ("", "the following arguments are required: COMMAND"),
    "unknown command": ("fly", "invalid choice: 'fly'"),
    "out is a file": ("train lenet5 --out broken", "broken"),
    "missing checkpoint": ("evaluate missing", "missing: No such file or directory"),
    "folder for checkpoint": ("evaluate empty", "empty: Is a directory"),
    "broken checkpoint": ("evaluate broken", "broken: not a whole safetensors file"),
    "foreign checkpoint": ("predict foreign a.png", "foreign: a safetensors file, but not a checkpoint of fastconv"),
    "missing image": ("predict CHECKPOINT missing", "missing: No such file or directory"),
    "broken image": ("predict CHECKPOINT broken", "broken: not an image that can be read"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD_INPUT)
def test_bad_input_ends_in_one_line_and_exit_code_2(case, finished, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").write_bytes(b"not a checkpoint")
    (tmp_path / "foreign").write_bytes(struct.pack("<Q", 2) + b"{}")
    words, message = BAD_INPUT[case]
    arguments = [str(finished / BEST) if word == "CHECKPOINT" else word for word in words.split()]
    try:
        code = cli.main(arguments)
    except SystemExit as ended:  # as argparse ends
        code = ended.code
    out, err = capsys.readouterr()
    assert code == 2 and not out
    assert err.startswith("fastconv") and message in err
    assert err.count("\n") == 1 and err.endswith("\n"), err


@pytest.mark.parametrize(("command", "missing"), [
    ("train", "safetensors"), ("train", "matplotlib"), ("train", "tqdm"), ("evaluate", "safetensors"),
    ("predict", "PIL"),
])  # fmt: skip
def test_a_missing_package_is_named_with_the_remedy(finished, png, tmp_path, monkeypatch, capsys, command, missing):
    arguments = {"train": ["lenet5", "--out", tmp_path / "run"], "evaluate": [finished / BEST],
                 "predict": [finished / BEST, png(0)]}[command]  # fmt: skip
    for module in [missing, *(name for name in sys.modules if name.startswith(f"{missing}."))]:
        monkeypatch.setitem(sys.modules, module, None)
    assert cli.main([command, *map(str, arguments)]) == 2
    name = {"PIL": "pillow"}.get(missing, missing)
    assert capsys.readouterr().err == f"fastconv: {name} isn't installed; pip install 'fastconv[train]' brings it\n"
    assert not (tmp_path / "run").exists()


def test_the_package_runs_as_a_module(tmp_path):
    command = [sys.executable, "-m", "fastconv", "train", "nothing"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr == f"fastconv: unknown model 'nothing', expected one of: {', '.join(models.MODELS)}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C comes in another way")
def test_a_second_ctrl_c_ends_at_once_and_leaves_the_last_epoch(folder, tmp_path):
    script = (
        "import signal, sys; from fastconv import cli, training\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it\n"
        "def train_on(self, *arguments, original=training.Run.train_on):\n"
        "    if self.epoch == 1:\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "        signal.raise_signal(signal.SIGINT)\n"
        "    original(self, *arguments)\n"
        "training.Run.train_on = train_on\n"
        "sys.exit(cli.main(sys.argv[1:]))\n"
    )
    command = [sys.executable, "-c", script, "train", "lenet5", "--data", str(folder), "--out", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "FASTCONV_NUM_THREADS": "1"})
    assert ended.returncode == 130 and ended.stderr == "fastconv: interrupted\n"
    assert training.Run.load(tmp_path / LAST).epoch == 1


def test_the_version_is_printed(capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(["--version"])
    assert ended.value.code == 0 and re.fullmatch(r"\d+\.\d+\.\d+\n", capsys.readouterr().out)
