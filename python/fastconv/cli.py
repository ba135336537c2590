"""The command ``fastconv``: train, evaluate, predict, summary, bench, info, selftest.

Bad input ends in one line on the standard error and exit code 2; a run that was interrupted in exit code 130.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import numpy as np

from fastconv import analysis, benchmark, checkpoint, data, models, runtime, selftest, training, visualize
from fastconv._extras import MissingExtra, require
from fastconv.training import BEST, HISTORY, LAST, EpochResult, Recipe, Run

_CURVES, _MISCLASSIFIED = "learning_curves.png", "misclassified.png"
_OUTPUTS = (BEST, LAST, HISTORY, _CURVES, _MISCLASSIFIED)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Parameters
    ----------
    arguments : sequence of str, optional
        The arguments; those of the process by default.

    Returns
    -------
    int
        0 if all went well, 1 if a check or a training failed, 2 on bad input, 130 after Ctrl-C.

    Examples
    --------
    >>> from fastconv import cli
    >>> cli.main(["train", "resnet9000"])  # on stderr: unknown model 'resnet9000', expected one of: ...
    2
    """
    options = _parser().parse_args(arguments)
    try:
        with runtime.options(num_threads=options.threads):
            return int(options.command(options))
    except (training.Diverged, benchmark.WrongResult) as error:
        return _fail(error, 1)
    except (ValueError, OSError, MissingExtra) as error:
        return _fail(error, 2)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(error: object, code: int) -> int:
    print("fastconv:", " ".join(_words(error).split()), file=sys.stderr)
    return code


def _words(error: object) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}"
    return str(error)


class _Parser(argparse.ArgumentParser):
    """A parser that says what is wrong in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="fastconv", description="Train convolutional networks on CPUs.")
    parser.add_argument("--version", action="version", version=str(runtime.info()["version"]))
    parser.set_defaults(threads=None)
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    train = commands.add_parser("train", help="train a model and save it")
    train.set_defaults(command=_train)
    default = {field.name: field.default for field in fields(Recipe)}
    # What isn't given stays absent, so that --resume can tell it from what is given.
    train.add_argument("model", metavar="MODEL", help=", ".join(models.MODELS))
    recipe = train.add_argument_group("recipe", argument_default=argparse.SUPPRESS)
    for name, kind, metavar, text in (
        ("data", str, "DIR", "digits, or a folder with MNIST's files"),
        ("epochs", int, "N", "passes over the training images"),
        ("batch_size", int, "N", "images a step"),
        ("learning_rate", float, "RATE", "highest size of a step"),
        ("weight_decay", float, "RATE", "strength of the pull towards zero"),
        ("seed", int, "N", "where all that is random comes from"),
    ):
        option = f"--{name.replace('_', '-')}"
        recipe.add_argument(option, type=kind, metavar=metavar, help=f"{text} (default: {default[name]})")
    recipe.add_argument("--no-augment", dest="augment", action="store_false", help="leave the images as they are")
    train.add_argument("--out", type=Path, metavar="DIR", help="folder for all results (default: runs/MODEL)")
    train.add_argument("--threads", type=int, metavar="N", help="number of threads (default: one a core)")
    existing = train.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="go on with the run in DIR, exactly where it stopped")
    existing.add_argument("--overwrite", action="store_true", help="replace the run in DIR")

    evaluate = commands.add_parser("evaluate", help="test a saved model")
    evaluate.set_defaults(command=_evaluate)
    evaluate.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    evaluate.add_argument(
        "--data", metavar="DIR", help="digits, or a folder with MNIST's files (default: what it was trained on)"
    )

    predict = commands.add_parser("predict", help="read digits from image files")
    predict.set_defaults(command=_predict)
    predict.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    predict.add_argument("images", type=Path, nargs="+", metavar="IMAGE")

    info = commands.add_parser("info", help="show versions, instruction sets and threads")
    info.set_defaults(command=_info)
    for command in (evaluate, predict, info):
        command.add_argument("--json", action="store_true", help="print JSON")

    summary = commands.add_parser("summary", help="show what a model costs and sees, layer by layer")
    summary.set_defaults(command=analysis.main)
    analysis.add_arguments(summary)

    bench = commands.add_parser("bench", help="measure layers beside other libraries and the machine's limits")
    bench.set_defaults(command=benchmark.main)
    benchmark.add_arguments(bench)

    check = commands.add_parser("selftest", help="check every algorithm on this machine")
    check.set_defaults(command=lambda options: selftest.main())
    return parser


def _train(options: argparse.Namespace) -> int:
    # Whatever the end of the run will need is asked for before its beginning.
    require("safetensors", "matplotlib", "tqdm")
    given = {field.name: getattr(options, field.name) for field in fields(Recipe) if hasattr(options, field.name)}
    if given.get("data", "digits") != "digits":
        given["data"] = str(Path(given["data"]).expanduser().resolve())
    folder = options.out or Path("runs") / options.model
    run = _resumed(folder, given) if options.resume else Run(Recipe(**given))
    train, test = _load(run.recipe.data)
    if not options.resume:
        _clear(folder, options.overwrite)

    with _interruption() as requested, _Progress(run, len(train)) as progress:
        finished = training.fit(
            run, train, test, folder, stopped=requested.is_set, on_step=progress.step, on_epoch=progress.epoch
        )
    _draw(run, test, folder)
    if not finished:
        print(
            f"interrupted in epoch {run.epoch + 1} after {run.sums.step} steps; saved in {folder / LAST}; "
            f"go on with: fastconv train {run.recipe.model} --out {folder} --resume"
        )
        return 130
    best = run.best
    assert best is not None
    print(
        f"{100 * run.history[-1].test_accuracy:.2f} % of the test images right at the end, "
        f"{100 * best.test_accuracy:.2f} % in epoch {best.epoch}; all results in {folder}"
    )
    return 0


def _resumed(folder: Path, given: dict[str, Any]) -> Run:
    if not (folder / LAST).exists():
        raise FileNotFoundError(f"{folder}: holds no {LAST} to resume from")
    run = Run.load(folder / LAST)
    saved = asdict(run.recipe)
    other = [f"{name} {saved[name]}, not {value}" for name, value in given.items() if value != saved[name]]
    if other:
        raise ValueError(f"{folder}: can't resume with another recipe; the run has {', '.join(other)}")
    return run


def _clear(folder: Path, overwrite: bool) -> None:
    """Remove an earlier run's results, or refuse to."""
    existing = [folder / name for name in _OUTPUTS if (folder / name).exists()]
    if existing and not overwrite:
        raise ValueError(f"{folder}: already holds a run; --resume goes on with it, --overwrite replaces it")
    for path in existing:
        path.unlink()


def _draw(run: Run, test: data.Dataset, folder: Path) -> None:
    if run.history:
        best = training.evaluate(Run.load(folder / BEST).model, test)
        checkpoint.write_atomically(folder / _CURVES, visualize.learning_curves(run.history))
        checkpoint.write_atomically(folder / _MISCLASSIFIED, visualize.misclassified(test, best.probabilities))


class _Progress:
    """A bar over all images of the run, and a line for each epoch."""

    def __init__(self, run: Run, images: int) -> None:
        self._tqdm = require("tqdm").tqdm
        self._bar = self._tqdm(
            total=run.recipe.epochs * images,
            initial=run.epoch * images + run.sums.images,
            unit=" images",
            disable=None,
            dynamic_ncols=True,
            bar_format="{desc}{percentage:3.0f} % |{bar}| {rate_fmt}, {remaining} left{postfix}",
        )

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def step(self, run: Run, images: int) -> None:
        self._bar.set_description_str(f"epoch {run.epoch + 1}/{run.recipe.epochs} ", refresh=False)
        self._bar.set_postfix_str(f"loss {run.sums.loss:.4f}, {100 * run.sums.accuracy:.2f} % right", refresh=False)
        self._bar.update(images)

    def epoch(self, result: EpochResult) -> None:
        self._tqdm.write(
            f"epoch {result.epoch:3d}   train: loss {result.train_loss:.4f}, {100 * result.train_accuracy:5.2f} %   "
            f"test: loss {result.test_loss:.4f}, {100 * result.test_accuracy:5.2f} %   {result.seconds:.1f} s"
        )


@contextlib.contextmanager
def _interruption() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a request, which the training meets after a whole step; the second acts as ever."""
    requested = threading.Event()

    def request(number: int, frame: FrameType | None) -> None:
        requested.set()
        signal.signal(signal.SIGINT, previous)

    previous = signal.signal(signal.SIGINT, request)
    try:
        yield requested
    finally:
        signal.signal(signal.SIGINT, previous)


def _evaluate(options: argparse.Namespace) -> int:
    run = Run.load(options.checkpoint)
    source = options.data or run.recipe.data
    _, test = _load(source)
    evaluation = training.evaluate(run.model, test)
    if options.json:
        print(
            json.dumps(
                {
                    "checkpoint": str(options.checkpoint),
                    "model": run.recipe.model,
                    "data": source,
                    "images": len(test),
                    "accuracy": evaluation.accuracy,
                    "loss": evaluation.loss,
                }
            )
        )
    else:
        print(f"{100 * evaluation.accuracy:.2f} % of {len(test):,} test images right, loss {evaluation.loss:.4f}")
    return 0


def _predict(options: argparse.Namespace) -> int:
    run = Run.load(options.checkpoint)
    read = [data.read_image(path) for path in options.images]
    probabilities = training.predict(run.model, np.stack([image for image, _ in read]))
    if options.json:
        print(
            json.dumps(
                [
                    {
                        "image": str(path),
                        "class": int(row.argmax()),
                        "probability": float(row.max()),
                        "inverted": inverted,
                        "probabilities": [float(value) for value in row],
                    }
                    for path, row, (_, inverted) in zip(options.images, probabilities, read, strict=True)
                ]
            )
        )
        return 0
    for path, row, (_, inverted) in zip(options.images, probabilities, read, strict=True):
        note = ", dark on bright: inverted" if inverted else ""
        print(f"{path}: {row.argmax()} ({100 * row.max():.1f} %{note})")
    return 0


def _info(options: argparse.Namespace) -> int:
    info = runtime.info()
    if options.json:
        print(json.dumps(info))
        return 0
    for name, value in info.items():
        print(f"{name:>14}  {', '.join(map(str, value)) if isinstance(value, (list, tuple)) else value}")
    return 0


def _load(source: str) -> tuple[data.Dataset, data.Dataset]:
    return data.digits() if source == "digits" else data.mnist(source)
