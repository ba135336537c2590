"""How exact Winograd's algorithm is: the table, the picture and the training runs of docs/winograd.md.

    python bench/winograd_accuracy.py [--plot FILE] [--train]

An error is the root mean square of the distance from the same pass in float64, and is given relative to that of the
direct algorithm in float32. --train trains networks on the digits, with and without Winograd, from the same seeds.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from tqdm import tqdm

import fastconv as fc
from fastconv import data, nn, optim, training
from fastconv._arguments import Array

PASSES = ("forward", "grad input", "grad weight")
KINDS = ("Gaussian", "after ReLU")


class Scheme(NamedTuple):
    """A tile, and a layer (input, weight) to try it on."""

    name: str
    tile: int
    input: tuple[int, ...]
    weight: tuple[int, ...]
    stride: int = 1


SCHEMES = (
    Scheme("F(2x2, 3x3)", 2, (4, 56, 56, 64), (3, 3, 64, 64)),
    Scheme("F(4x4, 3x3), 64 channels", 4, (4, 56, 56, 64), (3, 3, 64, 64)),
    Scheme("F(4x4, 3x3), 512 channels", 4, (4, 14, 14, 512), (3, 3, 512, 512)),
    Scheme("F(2x2, 5x5)", 4, (2, 27, 27, 96), (5, 5, 96, 256)),
    Scheme("F(4x4, 2x2)", 4, (4, 56, 56, 64), (2, 2, 64, 64)),
    Scheme("F(4x4, 2x2), 3x3 at stride 2", 4, (4, 56, 56, 64), (3, 3, 64, 64), 2),
    Scheme("F(4x4, 2x2), 4x4 at stride 2", 4, (4, 56, 56, 64), (4, 4, 64, 64), 2),
    Scheme("F(4x4, 3x3), 5x5 at stride 2", 4, (4, 56, 56, 64), (5, 5, 64, 64), 2),
    Scheme("F(4, 3) in 1-D", 4, (4, 2000, 64), (3, 64, 64)),
    Scheme("F(2, 5) in 1-D", 4, (4, 2000, 64), (5, 64, 64)),
    Scheme("F(4x4, 3x3) in 3-D", 4, (1, 8, 28, 28, 64), (3, 3, 3, 64, 64)),
    Scheme("F(6x6, 3x3), if asked for", 6, (4, 56, 56, 64), (3, 3, 64, 64)),
)


def passes(input: Array, weight: Array, grad_output: Array, algorithm: str, stride: int) -> tuple[Array, Array, Array]:
    """Return output and gradients with padding "same"."""
    rank = input.ndim - 2
    forward, backward = getattr(fc, f"conv{rank}d"), getattr(fc, f"conv{rank}d_backward")
    how: dict[str, Any] = {"padding": "same", "algorithm": algorithm, "stride": stride}
    gradients = backward(grad_output, input, weight, wrt=("input", "weight"), **how)
    return forward(input, weight, **how), gradients.input, gradients.weight


def ratios(scheme: Scheme, kind: str) -> list[float]:
    """Return the errors of the three passes, relative to the direct algorithm's."""
    rng = np.random.default_rng(0)
    input = rng.standard_normal(scheme.input, np.float32)
    batch, *extents, _ = scheme.input
    outputs = (batch, *(-(-extent // scheme.stride) for extent in extents), scheme.weight[-1])
    grad_output = rng.standard_normal(outputs, np.float32)
    weight = rng.standard_normal(scheme.weight, np.float32)
    if kind != KINDS[0]:
        input = np.maximum(input, 0)
        grad_output = grad_output * (rng.random(grad_output.shape) < 0.5)  # as behind a ReLU
    arrays = (input, weight, grad_output.astype(np.float32))
    exact = passes(*(array.astype(np.float64) for array in arrays), "direct", scheme.stride)

    def errors(algorithm: str) -> list[float]:
        found = passes(*arrays, algorithm, scheme.stride)
        return [float(np.sqrt(np.mean((one - other) ** 2))) for one, other in zip(found, exact, strict=True)]

    with fc.options(winograd=scheme.tile):
        return [one / other for one, other in zip(errors("winograd"), errors("direct"), strict=True)]


def draw(rows: dict[str, list[float]], file: Path) -> None:
    """Draw the ratios as a PNG file."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 4.2), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    colours = ("#1b6ca8", "#d95f02", "#3a9d5d")
    for at, name in enumerate(PASSES):
        axes.plot([row[at] for row in rows.values()], places + 0.16, "o", color=colours[at], label=f"{name}, Gaussian")
        axes.plot(
            [row[at + 3] for row in rows.values()], places - 0.16, "^", color=colours[at], label=f"{name}, after ReLU"
        )
    axes.axvline(1, color="#333333", lw=1)
    axes.axvline(3, color="#333333", lw=1, ls="--")
    axes.text(3.08, places[0] + 0.42, "bound of the defaults", va="center", fontsize=9)
    axes.set(xscale="log", xlabel="error relative to direct summation (root mean square)", yticks=places)
    axes.set_xticks([0.5, 1, 2, 3, 5, 10], ["0.5", "1", "2", "3", "5", "10"])
    axes.minorticks_off()
    axes.set_yticklabels(list(rows))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, fontsize=8, loc="center right")
    figure.savefig(file, dpi=130)


def lenet(algorithm: str, seed: int) -> nn.Sequential:
    """Return LeNet-5 for 28 x 28 pixels."""
    rng = np.random.default_rng(seed)
    how: dict[str, Any] = {"activation": "relu", "seed": rng, "algorithm": algorithm}
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2, **how),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, **how),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(400, 120, activation="relu", seed=rng),
        nn.Linear(120, 84, activation="relu", seed=rng),
        nn.Linear(84, 10, seed=rng),
    )


def vgg(algorithm: str, seed: int) -> nn.Sequential:
    """Return a small VGG: pairs of 3 x 3 convolutions, each followed by a pool."""
    rng = np.random.default_rng(seed)
    how: dict[str, Any] = {"padding": 1, "activation": "relu", "seed": rng, "algorithm": algorithm}
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, **how),
        nn.Conv2d(16, 16, 3, **how),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, **how),
        nn.Conv2d(32, 32, 3, **how),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(7 * 7 * 32, 64, activation="relu", seed=rng),
        nn.Linear(64, 10, seed=rng),
    )


def accuracies(seeds: int, epochs: int) -> Iterator[tuple[str, str, list[float]]]:
    """Train on the digits; yield the model, the algorithm and the test accuracies in percent, seed by seed."""
    train, test = data.digits()
    bar = tqdm(total=4 * seeds * epochs, unit=" epochs", disable=None)
    for make in (lenet, vgg):
        for algorithm in ("direct", "winograd"):
            found = []
            for seed in range(seeds):
                model = make(algorithm, seed)
                optimizer = optim.Adam(model, learning_rate=1e-3)
                for epoch in range(epochs):
                    for images, labels in data.batches(train, batch_size=64, shuffle=True, seed=100 * seed + epoch):
                        _, gradient = nn.cross_entropy(model(images), labels)
                        model.backward(gradient, input_gradient=False)
                        optimizer.step()
                    bar.update()
                found.append(100 * training.evaluate(model.eval(), test).accuracy)
            yield make.__name__, algorithm, found
    bar.close()


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, metavar="FILE", help="a PNG of the errors")
    parser.add_argument("--train", action="store_true", help="also train; takes some minutes")
    options = parser.parse_args()
    rows = {
        scheme.name: [ratio for kind in KINDS for ratio in ratios(scheme, kind)]
        for scheme in tqdm(SCHEMES, unit=" schemes", disable=None)
    }
    print("| tile | " + " | ".join(f"{name}, {kind}" for kind in KINDS for name in PASSES) + " |")
    print("|---" * 7 + "|")
    for name, row in rows.items():
        print(f"| {name} | " + " | ".join(f"{ratio:.2f}" for ratio in row) + " |")
    if options.plot:
        draw(rows, options.plot)
    if options.train:
        for model, algorithm, found in accuracies(seeds=5, epochs=4):
            shown = ", ".join(f"{one:.2f}" for one in found)
            print(f"{model}, {algorithm}: {np.mean(found):.2f} +- {np.std(found, ddof=1):.2f} % ({shown})")


if __name__ == "__main__":
    main()
