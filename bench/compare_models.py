"""Whole training steps of well-known networks beside PyTorch's: the same layers, weights and batches.

A step is forward, loss, backward and SGD with momentum. The two take turns in one process; best times count, and of
PyTorch's two memory layouts the better one.

    python bench/compare_models.py                        # all
    python bench/compare_models.py --models vgg16 --seconds 20 --inference
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable

import numpy as np
import torch
from tqdm import tqdm

import fastconv as fc
from fastconv import models, nn, optim
from fastconv.benchmark.torch_twin import torch_twin

# model: (batch, height and width, channels of the image)
STEPS = {
    "vgg16": (4, 224, 3),
    "alexnet": (32, 224, 3),
    "resnet18": (8, 224, 3),
    "resnet50": (8, 224, 3),
    "mobilenet_v1": (16, 224, 3),
    "lenet5": (128, 32, 1),
    "simple_cnn": (128, 28, 1),
}
LEARNING_RATE, MOMENTUM = 1e-3, 0.9
SHORTEST_TURN = 0.1  # seconds


def our_step(model: nn.Layer, images, labels, inference: bool) -> Callable[[], object]:
    """Return a training step of ours, or a forward pass."""
    if inference:
        model.eval()
        return lambda: model(images)
    optimizer = optim.SGD(model, learning_rate=LEARNING_RATE, momentum=MOMENTUM)

    def step() -> float:
        loss, gradient = nn.cross_entropy(model(images), labels)
        model.backward(gradient, input_gradient=False)
        optimizer.step()
        return loss

    return step


def their_step(module, images, labels, inference: bool) -> Callable[[], object]:
    """Return a training step of PyTorch's, or a forward pass."""
    if inference:
        module.eval()

        def forward():
            with torch.inference_mode():
                return module(images)

        return forward
    optimizer = torch.optim.SGD(module.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    criterion = torch.nn.CrossEntropyLoss()

    def step() -> float:
        optimizer.zero_grad()
        loss = criterion(module(images), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step


def steps(name: str, inference: bool) -> dict[str, Callable[[], object]]:
    """Return the steps to be compared, by library and layout."""
    batch, size, channels = STEPS[name]
    rng = np.random.default_rng(0)
    images = rng.standard_normal((1 if inference else batch, size, size, channels), np.float32)
    labels = rng.integers(0, 10, len(images))
    model = models.create(name, seed=0)
    found = {}
    for layout in ("channels first", "channels last"):
        kind = torch.channels_last if layout == "channels last" else torch.contiguous_format
        module = torch_twin(torch, model).to(memory_format=kind)
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=kind)
        found[f"torch {layout}"] = their_step(module, tensor, torch.from_numpy(labels), inference)
    return {"fastconv": our_step(model, images, labels, inference), **found}


def best_times(contenders: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the best time of each, measured in turns for so long, and at least three times.

    Threads of the one before still wait for work, on all processors, for some milliseconds: so a turn lasts long enough
    for a step of its own.
    """
    best = dict.fromkeys(contenders, math.inf)
    start, rounds = time.perf_counter(), 0
    while rounds < 4 or time.perf_counter() - start < seconds:
        for name, step in contenders.items():
            turn = begin = time.perf_counter()
            while begin - turn < SHORTEST_TURN:
                step()
                end = time.perf_counter()
                if rounds > 0:  # the first round warms up
                    best[name] = min(best[name], end - begin)
                begin = end
        rounds += 1
    return best


def main() -> None:
    """Measure, and print a line per model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for each model (default: %(default)s)")
    parser.add_argument("--inference", action="store_true", help="forward passes of one image instead of steps")
    options = parser.parse_args()
    torch.set_num_threads(fc.get_num_threads())

    print(f"{fc.info()['isa']}, {fc.get_num_threads()} threads, torch {torch.__version__}; milliseconds")
    print(f"{'model':14} {'batch':>5} {'fastconv':>10} {'torch':>10} {'ratio':>6}  torch's layout")
    ratios = []
    for name in tqdm(options.models, disable=None, leave=False):
        best = best_times(steps(name, options.inference), options.seconds)
        ours = best.pop("fastconv")
        layout, theirs = min(best.items(), key=lambda item: item[1])
        ratios.append(theirs / ours)
        batch = 1 if options.inference else STEPS[name][0]
        times = f"{ours * 1e3:10.2f} {theirs * 1e3:10.2f} {ratios[-1]:6.2f}"
        tqdm.write(f"{name:14} {batch:5} {times}  {layout.removeprefix('torch ')}")
    print(f"geometric mean {math.exp(math.fsum(map(math.log, ratios)) / len(ratios)):.2f}")


if __name__ == "__main__":
    main()
