"""``fastconv predict``: what image files show, as a saved model sees it."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from fastconv import training
from fastconv.cli.images import read_image
from fastconv.training import Run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("images", type=Path, nargs="+", metavar="IMAGE")
    parser.add_argument("--json", action="store_true", help="print JSON")


def main(options: argparse.Namespace) -> int:
    """Predict as the arguments say."""
    run = Run.load(options.checkpoint)
    images, inverted = zip(*(read_image(run, path) for path in options.images), strict=True)
    with run.averaged() as model:
        probabilities = training.predict(model, np.stack(images))
    if options.json:
        print(
            json.dumps(
                [
                    {
                        "image": str(path),
                        "class": int(row.argmax()),
                        "name": run.classes[row.argmax()],
                        "probability": float(row.max()),
                        "inverted": dark,
                        "probabilities": [float(value) for value in row],
                    }
                    for path, row, dark in zip(options.images, probabilities, inverted, strict=True)
                ]
            )
        )
        return 0
    for path, row, dark in zip(options.images, probabilities, inverted, strict=True):
        note = ", dark on bright: inverted" if dark else ""
        print(f"{path}: {run.classes[row.argmax()]} ({100 * row.max():.1f} %{note})")
    return 0
