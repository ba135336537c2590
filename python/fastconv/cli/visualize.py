"""``fastconv visualize``: pictures of what a saved model has learnt, and of what it sees in an image."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from fastconv import checkpoint, nn, training, visualize
from fastconv._arguments import Array
from fastconv._extras import require
from fastconv.cli.images import evaluation_images, read_image
from fastconv.cli.progress import bar
from fastconv.training import Run
from fastconv.visualize.probe import Inside

_MOST_ROWS, _MOST_INVERTED, _MOST_MAXIMIZED = 16, 4, 16  # layers, layers, and channels or classes in a picture


@dataclass
class _Subject:
    """What is looked at, and how."""

    run: Run
    model: nn.Sequential
    source: str
    image: Array
    layer: str | None
    steps: int
    format: str
    on_step: Callable[[], object]

    def __post_init__(self) -> None:
        self.layers = Inside("visualize", self.model).layers
        self.blocks = visualize.architecture(self.model, self.image.shape[1:])

    def convolution(self, first: bool) -> str:
        """Return the layer that was asked for, else the first or the last convolution."""
        if self.layer is not None:
            return self.layer
        names = [name for name, layer in self.layers.items() if isinstance(layer, nn.Conv2d | nn.SeparableConv2d)]
        if not names:
            raise ValueError("the model has no convolution")
        return names[0 if first else -1]

    def depths(self) -> list[str]:
        """Return the layer that was asked for, else a few from the first block to the last."""
        if self.layer is not None:
            return [self.layer]
        names = [block.name for block in self.blocks[1:]]
        return _spread(names, _MOST_INVERTED)


def _filters(subject: _Subject) -> bytes:
    name = subject.convolution(first=True)
    layer = subject.layers[name]
    if not isinstance(layer, nn.Conv2d):
        raise ValueError(f"layer {name!r} is {type(layer).__name__}, expected Conv2d")
    channel = None if layer.parameters["weight"].shape[2] in (1, 3) else 0
    return visualize.draw_filters(visualize.filters(layer, channel), format=subject.format)


def _activations(subject: _Subject) -> bytes:
    outputs = visualize.activations(subject.model, subject.image, subject.layer)
    if subject.layer is None:
        maps = [name for name, output in outputs.items() if output.ndim == 4]
        outputs = {name: outputs[name] for name in _spread(maps, _MOST_ROWS)}
    return visualize.draw_activations(outputs, format=subject.format)


def _saliency(subject: _Subject) -> bytes:
    methods: tuple[Literal["gradient", "smooth", "integrated"], ...] = ("gradient", "smooth", "integrated")
    maps = [visualize.saliency(subject.model, subject.image, method=method) for method in methods]
    images = np.repeat(subject.image, len(maps), axis=0)
    return visualize.draw_saliency(images, np.concatenate(maps), titles=methods, format=subject.format)


def _grad_cam(subject: _Subject) -> bytes:
    maps = visualize.grad_cam(subject.model, subject.image, layer=subject.layer)
    titles = [subject.layer or "last convolution"]
    return visualize.draw_grad_cam(subject.image, maps, titles=titles, format=subject.format)


def _inversion(subject: _Subject) -> bytes:
    names = subject.depths()
    found = [
        visualize.invert(subject.model, subject.image, name, steps=subject.steps, on_step=subject.on_step)
        for name in names
    ]
    images, errors = (np.concatenate([getattr(one, part) for one in found]) for part in ("images", "errors"))
    history = np.concatenate([one.history for one in found], axis=1)
    originals = np.repeat(subject.image, len(names), axis=0)
    inverted = visualize.Inverted(images, errors, history)
    return visualize.draw_inversion(originals, inverted, names, format=subject.format)


def _maximization(subject: _Subject) -> bytes:
    layer = subject.layer or ""
    count = visualize.activations(subject.model, subject.image, layer)[layer].shape[-1]
    channels = np.arange(min(count, _MOST_MAXIMIZED))
    found = visualize.maximize(
        subject.model, channels, layer, input_shape=subject.image.shape[1:], steps=subject.steps,
        on_step=subject.on_step,
    )  # fmt: skip
    classes = subject.run.classes if not layer else ()
    names = [classes[channel] if classes else f"{layer}, {channel}" for channel in channels]
    return visualize.draw_maximization(found, names, format=subject.format)


def _receptive_field(subject: _Subject) -> bytes:
    layer = subject.convolution(first=False)
    extents = visualize.activations(subject.model, subject.image, layer)[layer].shape[1:-1]
    noise = np.random.default_rng(0).standard_normal((16, *subject.image.shape[1:]), np.float32)
    middle = tuple(extent // 2 for extent in extents)
    seen = visualize.receptive_field_of(subject.model, layer, middle, noise)
    return visualize.draw_receptive_field(subject.image[0], seen, format=subject.format)


def _architecture(subject: _Subject) -> bytes:
    return visualize.draw_architecture(subject.blocks, format=subject.format)


def _misclassified(subject: _Subject) -> bytes:
    tests = evaluation_images(subject.run, subject.source)
    probabilities = training.evaluate(subject.model, tests).probabilities
    return visualize.misclassified(tests, probabilities, format=subject.format)


_PICTURES: dict[str, Callable[[_Subject], bytes]] = {
    "architecture": _architecture,
    "filters": _filters,
    "activations": _activations,
    "saliency": _saliency,
    "grad_cam": _grad_cam,
    "receptive_field": _receptive_field,
    "inversion": _inversion,
    "maximization": _maximization,
    "misclassified": _misclassified,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the arguments of the command to its parser."""
    parser.add_argument("checkpoint", type=Path, metavar="CHECKPOINT")
    parser.add_argument("--what", type=_names, metavar="NAME,...", help=f"{', '.join(_PICTURES)} (default: all)")
    parser.add_argument("--layer", metavar="LAYER", help="which layer to look at, by its name in fastconv summary")
    parser.add_argument("--image", metavar="IMAGE", help="an image file, or the number of a test image (default: 0)")
    parser.add_argument("--data", metavar="DATA", help="as of train (default: what it was trained on)")
    parser.add_argument("--steps", type=int, default=256, metavar="N",
                        help="of inversion and maximization (default: 256)")  # fmt: skip
    parser.add_argument("--out", type=Path, metavar="DIR", help="folder for the pictures (default: pictures, beside "
                        "the checkpoint)")  # fmt: skip
    parser.add_argument("--format", choices=("png", "svg"), default="png", help="of the files (default: png)")


def main(options: argparse.Namespace) -> int:
    """Make the pictures that the arguments ask for."""
    require("matplotlib", "tqdm")
    if options.steps < 1:
        raise ValueError(f"steps is {options.steps}, expected 1 or more")
    run = Run.load(options.checkpoint)
    source = options.data or run.recipe.data
    folder = options.out or options.checkpoint.parent / "pictures"
    with run.averaged() as model:
        image = training.adapt(model, _image(run, source, options.image)[np.newaxis])
        probabilities = training.predict(model, image)[0]
        subject = _Subject(run, model, source, image, options.layer, options.steps, options.format, lambda: None)
        if options.layer is not None:
            Inside("visualize", model).named(options.layer)
        left_out = _make(subject, options.what, folder)
    best = int(probabilities.argmax())
    for name, reason in left_out.items():
        print(f"left out {name}: {reason}")
    made = len(options.what or _PICTURES) - len(left_out)
    pictures = f"{made} picture{'s' * (made != 1)}"
    print(f"the image shows {run.classes[best]} ({100 * probabilities[best]:.1f} %); {pictures} in {folder}")
    return 0


def _make(subject: _Subject, wanted: list[str] | None, folder: Path) -> dict[str, str]:
    """Write the pictures; return those that can't be made of this model and layer, and why, where all were wanted."""
    names = wanted or list(_PICTURES)
    steps = {"inversion": subject.steps * len(subject.depths()), "maximization": subject.steps}
    folder.mkdir(parents=True, exist_ok=True)
    left_out = {}
    with bar(sum(steps.get(name, 1) for name in names), "steps") as progress:
        subject.on_step = progress.update
        for name in names:
            progress.set_description_str(f"{name} ")
            before = progress.n
            try:
                picture = _PICTURES[name](subject)
            except ValueError as error:
                if wanted:
                    raise
                left_out[name] = str(error)
            else:
                checkpoint.write_atomically(folder / f"{name}.{subject.format}", picture)
            progress.update(steps.get(name, 1) - (progress.n - before))
    return left_out


def _names(text: str) -> list[str]:
    names = [name.replace("-", "_") for name in text.split(",")]
    for name in names:
        if name not in _PICTURES:
            raise argparse.ArgumentTypeError(f"unknown picture {name!r}, expected some of: {', '.join(_PICTURES)}")
    return names


def _image(run: Run, source: str, text: str | None) -> Array:
    """Return the image of a file, or the test image of a number, the first one by default."""
    if text is not None and not (text.isdecimal() and not Path(text).exists()):
        return read_image(run, Path(text))[0]
    tests, number = evaluation_images(run, source), int(text or 0)
    if number >= len(tests):
        raise ValueError(f"image is {number}, expected 0 to {len(tests) - 1}, or a file")
    return tests[number][0]


def _spread(names: list[str], most: int) -> list[str]:
    """Return so many of the names at most, evenly spread, the first and the last among them."""
    if len(names) <= most:
        return names
    return [names[math.floor(at + 0.5)] for at in np.linspace(0, len(names) - 1, most)]
