"""``fastconv evaluate``: how often a saved model is right, and what it takes for what."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from fastconv import checkpoint, training, visualize
from fastconv.cli.images import evaluation_images
from fastconv.training import Evaluation, Run

_MOST_COLUMNS = 20
"""Wider matrices don't fit a terminal; there the classes with the lowest accuracies are listed instead."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--data", metavar="DATA", help="as of train (default: what it was trained on)")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="draw the confusion matrix, as FILE.png or FILE.svg")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Evaluate as the arguments say."""
    run = Run.load(options.checkpoint)
    source = options.data or run.recipe.data
    test = evaluation_images(run, source)
    with run.averaged() as model:
        evaluation = training.evaluate(model, test)
    if options.plot is not None:
        kind = options.plot.suffix.removeprefix(".").lower()
        picture = visualize.confusion_matrix(evaluation.confusion, run.classes, format=kind)
        checkpoint.write_atomically(options.plot, picture)
    if options.json:
        print(json.dumps(_document(options.checkpoint, run, source, len(test), evaluation)))
        return 0
    top5 = "" if evaluation.top5_accuracy is None else f", {100 * evaluation.top5_accuracy:.2f} % among the first five"
    print(f"{100 * evaluation.accuracy:.2f} % of {len(test):,} test images right{top5}, loss {evaluation.loss:.4f}\n")
    print("\n".join(_matrix(evaluation, run.classes) or _worst(evaluation, run.classes)))
    return 0


def _document(path: Path, run: Run, source: str, images: int, evaluation: Evaluation) -> dict[str, object]:
    return {
        "checkpoint": str(path),
        "model": run.recipe.model,
        "data": source,
        "images": images,
        "accuracy": evaluation.accuracy,
        "top5_accuracy": evaluation.top5_accuracy,
        "loss": evaluation.loss,
        "classes": run.classes,
        "class_accuracy": [None if math.isnan(share) else float(share) for share in evaluation.class_accuracy],
        "confusion": evaluation.confusion.tolist(),
    }


def _matrix(evaluation: Evaluation, classes: Sequence[str]) -> list[str]:
    """Return the confusion matrix as lines, with the accuracy of each class; nothing if it is too wide."""
    if len(classes) > _MOST_COLUMNS:
        return []
    head = max(len("class"), *map(len, classes))
    # Columns bear the beginnings of long names; the rows bear them whole.
    width = max(len(str(evaluation.confusion.max())), min(max(map(len, classes)), 6)) + 2
    lines = [f"{'class':<{head}}" + "".join(f"{name[: width - 2]:>{width}}" for name in classes) + "     right"]
    for name, row, share in zip(classes, evaluation.confusion, evaluation.class_accuracy, strict=True):
        counts = "".join(f"{count or '.':>{width}}" for count in row.tolist())
        lines.append(f"{name:<{head}}{counts}{_percent(float(share)):>10}")
    return lines


def _worst(evaluation: Evaluation, classes: Sequence[str]) -> list[str]:
    order = np.argsort(evaluation.class_accuracy, kind="stable")[:10]  # classes without images come last
    lines = ["the classes that are right least often, and what they are taken for:"]
    for label in order:
        row = evaluation.confusion[label].copy()
        row[label] = 0
        taken = f"   {classes[row.argmax()]} ({row.max()})" if row.any() else ""
        lines.append(f"{_percent(float(evaluation.class_accuracy[label])):>10}   {classes[label]}{taken}")
    return lines


def _percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{100 * share:.2f} %"
