"""``fastconv train``: from a recipe to a folder with checkpoints, a history and pictures."""

from __future__ import annotations

import argparse
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from fastconv import checkpoint, data, models, training, visualize
from fastconv._extras import require
from fastconv.cli.progress import Progress, interruption
from fastconv.training import BEST, HISTORY, LAST, EpochResult, Recipe, Run
from fastconv.training.recipe import OPTIMIZERS, SCHEDULES, as_text

_CURVES, _MISCLASSIFIED, _CONFUSION = "learning_curves.png", "misclassified.png", "confusion_matrix.png"
_OUTPUTS = (BEST, LAST, HISTORY, _CURVES, _MISCLASSIFIED, _CONFUSION)

_EVENTS = "events.out.tfevents.*"

_OPTIONS: dict[str, tuple[tuple[str, type, str, str], ...]] = {
    "recipe": (
        (
            "data",
            str,
            "DATA",
            "digits; a folder with MNIST's files, or with pictures in one folder a class; an NPZ file",
        ),
        ("validation", float, "SHARE", "share of the images to evaluate on, where the data have no test set"),
        ("in_channels", int, "N", "channels of the images that the model takes; 0: those that it was published with"),
        ("epochs", int, "N", "passes over the training images"),
        ("batch_size", int, "N", "images a step"),
        ("patience", int, "N", "end after so many epochs without a new best; 0: never"),
        ("seed", int, "N", "where all that is random comes from"),
    ),
    "steps": (
        ("optimizer", str, "NAME", ", ".join(OPTIMIZERS)),
        ("momentum", float, "SHARE", "share of the velocity that a step of sgd keeps"),
        ("learning_rate", float, "RATE", "highest size of a step"),
        ("rate_factors", str, "LAYER=FACTOR,...", "layers that learn at another rate; =FACTOR stands for all"),
        ("schedule", str, "NAME", f"how the learning rate falls: {', '.join(SCHEDULES)}"),
        ("warmup", float, "SHARE", "share of the run over which the learning rate rises"),
        ("decay_epochs", int, "N", "length of a stair of the schedule step"),
        ("decay_factor", float, "FACTOR", "from one stair to the next"),
        ("clip_norm", float, "NORM", "longest gradient; 0: any"),
        ("ema", float, "DECAY", "evaluate with an average over the weights, 0.999 for example; 0: without"),
    ),
    "against overfitting": (
        ("weight_decay", float, "RATE", "strength of the pull towards zero"),
        ("label_smoothing", float, "SHARE", "share of each label that is spread over all classes"),
        ("augment", str, "NAME,...", "change images at random: affine, shift=2, rotate=10, flip, crop=4, color=0.2"),
        ("mixup", float, "ALPHA", "mix images, 0.2 for example; 0: not"),
    ),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    default = {field.name: as_text(field.default) for field in fields(Recipe)}
    default["in_channels"] = "those of the data, or of the run to start from"
    parser.add_argument("model", metavar="MODEL", help=", ".join(models.MODELS))
    # What isn't given stays absent, so that --resume can tell it from what is given.
    for title, rows in _OPTIONS.items():
        group = parser.add_argument_group(title, argument_default=argparse.SUPPRESS)
        for name, kind, metavar, text in rows:
            option = f"--{name.replace('_', '-')}"
            group.add_argument(option, type=kind, metavar=metavar, help=f"{text} (default: {default[name]})")
        if title == "against overfitting":
            group.add_argument("--decay-all", action="store_true", help="let biases and normalizations decay as well")
            group.add_argument(
                "--no-augment", dest="augment", action="store_const", const="", help="leave the images as they are"
            )
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for all results (default: runs/MODEL)")
    parser.add_argument("--threads", type=int, metavar="N", help="number of threads (default: one a core)")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="threads that prepare images meanwhile (default: 1)"
    )
    parser.add_argument("--tensorboard", action="store_true", help="write the history for TensorBoard to DIR as well")
    parser.add_argument(
        "--start-from",
        type=Path,
        metavar="CHECKPOINT",
        help="begin with the weights of another run; for other classes the last layer is new",
    )
    existing = parser.add_mutually_exclusive_group()
    existing.add_argument("--resume", action="store_true", help="go on with the run in DIR, exactly where it stopped")
    existing.add_argument("--overwrite", action="store_true", help="replace the run in DIR")


def main(options: argparse.Namespace) -> int:
    """Train as the arguments say."""
    # Whatever the end of the run will need is asked for before its beginning.
    require("safetensors", "matplotlib", "tqdm", *(["tensorboard.summary"] if options.tensorboard else []))
    if options.workers < 0:
        raise ValueError(f"workers is {options.workers}, expected 0 or more")
    given = {field.name: getattr(options, field.name) for field in fields(Recipe) if hasattr(options, field.name)}
    if given.get("data", "digits") != "digits":
        given["data"] = str(Path(given["data"]).expanduser().resolve())
    folder = options.out or Path("runs") / options.model
    if options.resume:
        run = _resumed(folder, given, options.start_from)
        train, test = training.load_data(run.recipe)
    else:
        recipe = Recipe(**given)
        if "in_channels" not in given:
            recipe = _with_channels(recipe, options.start_from)
        run, train, test = _new(recipe, options.start_from)
        _clear(folder, options.overwrite)

    events = training.TensorBoard(folder) if options.tensorboard else None
    with interruption() as requested, Progress(run, len(train)) as progress:

        def on_epoch(result: EpochResult) -> None:
            progress.epoch(result)
            if events is not None:
                events(result)

        finished = training.fit(
            run,
            train,
            test,
            folder,
            workers=options.workers,
            stopped=requested.is_set,
            on_step=progress.step,
            on_epoch=on_epoch,
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
    if run.stopped_early:
        print(f"no epoch was better for {run.recipe.patience} epochs: ended after {run.epoch} of {run.recipe.epochs}")
    print(
        f"{100 * run.history[-1].test_accuracy:.2f} % of the test images right at the end, "
        f"{100 * best.test_accuracy:.2f} % in epoch {best.epoch}; all results in {folder}"
    )
    return 0


def _with_channels(recipe: Recipe, start: Path | None) -> Recipe:
    if start is None:
        return recipe.with_data_channels()
    return replace(recipe, in_channels=Run.load(start).recipe.in_channels)


def _new(recipe: Recipe, start: Path | None) -> tuple[Run, data.Dataset, data.Dataset]:
    train, test = training.load_data(recipe)
    run = Run(recipe, classes=train.classes, white_on_black=data.is_white_on_black(recipe.data))
    # What doesn't fit the model is to be found before an earlier run is removed.
    for part in (train, test):
        training.predict(run.model, part[:1].arrays()[0])
    if start is not None:
        new = run.start_from(start)
        print(f"weights of {start}" + (f", but for {' and '.join(new)}" if new else ""))
    return run, train, test


def _resumed(folder: Path, given: dict[str, Any], start: Path | None) -> Run:
    if start is not None:
        raise ValueError("a run that is resumed has its weights; leave out --start-from")
    if not (folder / LAST).exists():
        raise FileNotFoundError(f"{folder}: holds no {LAST} to resume from")
    run = Run.load(folder / LAST)
    other = run.recipe.differences(replace(run.recipe, **given))
    if other:
        words = ", ".join(f"{name} {saved}, not {value}" for name, saved, value in other)
        raise ValueError(f"{folder}: can't resume with another recipe; the run has {words}")
    return run


def _clear(folder: Path, overwrite: bool) -> None:
    """Remove an earlier run's results, or refuse to."""
    existing = [folder / name for name in _OUTPUTS if (folder / name).exists()] + list(folder.glob(_EVENTS))
    if existing and not overwrite:
        raise ValueError(f"{folder}: already holds a run; --resume goes on with it, --overwrite replaces it")
    for path in existing:
        path.unlink()


def _draw(run: Run, test: data.Dataset, folder: Path) -> None:
    if not run.history:
        return
    with Run.load(folder / BEST).averaged() as model:
        best = training.evaluate(model, test)
    for name, picture in (
        (_CURVES, visualize.learning_curves(run.history)),
        (_MISCLASSIFIED, visualize.misclassified(test, best.probabilities)),
        (_CONFUSION, visualize.confusion_matrix(best.confusion, run.classes)),
    ):
        checkpoint.write_atomically(folder / name, picture)
