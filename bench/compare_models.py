"""Whole training steps of well-known networks beside PyTorch's: the same layers, weights and batches.

A step is forward, loss, backward and SGD with momentum. The two take turns in one process; best times count, and of
PyTorch's two memory layouts the better one. For inference ONNX Runtime takes part where it is installed. With --memory
each runs in a process of its own, whose memory is printed: the most it ever had, and after 3 and 200 steps.

    python bench/compare_models.py                        # all
    python bench/compare_models.py --models vgg16 --seconds 20 --inference
    python bench/compare_models.py --models lenet5 resnet18 --memory
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import math
import multiprocessing
import resource
import time
from collections.abc import Callable
from pathlib import Path

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
        model = nn.fold_batch_norm(model.eval())
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


def onnx_step(module, tensor, images) -> Callable[[], object]:
    """Return a forward pass of ONNX Runtime's, on a graph that PyTorch wrote."""
    import onnxruntime

    file = io.BytesIO()
    torch.onnx.export(module.eval(), (tensor.contiguous(),), file, dynamo=False, input_names=["input"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = fc.get_num_threads()
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])
    channels_first = np.ascontiguousarray(np.moveaxis(images, -1, 1))
    return lambda: session.run(None, {"input": channels_first})


def steps(name: str, inference: bool, only: str = "") -> dict[str, Callable[[], object]]:
    """Return the steps to be compared, by library and layout; or only those whose name begins like this."""
    batch, size, channels = STEPS[name]
    rng = np.random.default_rng(0)
    images = rng.standard_normal((1 if inference else batch, size, size, channels), np.float32)
    labels = rng.integers(0, 10, len(images))
    model = models.create(name, seed=0)
    found = {}
    if "fastconv".startswith(only):
        found["fastconv"] = our_step(model, images, labels, inference)
    if only == "fastconv":
        return found
    for layout in ("channels first", "channels last"):
        kind = torch.channels_last if layout == "channels last" else torch.contiguous_format
        module = torch_twin(torch, model).to(memory_format=kind)
        tensor = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous(memory_format=kind)
        found[f"torch {layout}"] = their_step(module, tensor, torch.from_numpy(labels), inference)
    if inference and importlib.util.find_spec("onnxruntime"):
        found["ONNX Runtime"] = onnx_step(module, tensor, images)
    return {name: step for name, step in found.items() if name.startswith(only)}


def best_times(contenders: dict[str, Callable[[], object]], seconds: float) -> dict[str, float]:
    """Return the best time of each, measured in turns for so long, and at least three times.

    Threads of the one before still wait for work, on all processors (ONNX Runtime's for 50 milliseconds): so the first
    step of a turn doesn't count.
    """
    best = dict.fromkeys(contenders, math.inf)
    start, rounds = time.perf_counter(), 0
    while rounds < 3 or time.perf_counter() - start < seconds:
        for name, step in contenders.items():
            step()
            turn = begin = time.perf_counter()
            while begin - turn < SHORTEST_TURN:
                step()
                end = time.perf_counter()
                best[name] = min(best[name], end - begin)
                begin = end
        rounds += 1
    return best


def resident_megabytes() -> float:
    """Return the memory that this process has now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def memory_of(name: str, contender: str, seconds: float, numbers: multiprocessing.Queue) -> None:
    """Put the most memory that a process ever had, and after 3 and 200 steps, and before there was a model."""
    torch.set_num_threads(fc.get_num_threads())
    before = resident_megabytes()
    (step,) = steps(name, inference=False, only=contender).values()
    for _ in range(3):
        step()
    early = resident_megabytes()
    # Long steps show it as well with fewer of them than 200.
    start = time.perf_counter()
    for count in range(3, 200):
        step()
        if time.perf_counter() - start > seconds and count >= 20:
            break
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
    numbers.put((peak, early, resident_megabytes(), before, count + 1))


def print_memory(names: list[str], seconds: float) -> None:
    """Print the memory of training steps, each in a process of its own."""
    context = multiprocessing.get_context("spawn")
    print("MB: at most, after 3 steps, after all, with libraries but without a model")
    for name in names:
        for contender in ("fastconv", "torch channels first", "torch channels last"):
            numbers = context.Queue()
            process = context.Process(target=memory_of, args=(name, contender, seconds, numbers))
            process.start()
            process.join()
            if process.exitcode:
                raise SystemExit(f"{name}, {contender}: the process ended with {process.exitcode}")
            *megabytes, count = numbers.get()
            print(
                f"{name:14} {contender:21}", *(f"{value:8.0f}" for value in megabytes), f"  {count} steps", flush=True
            )


def main() -> None:
    """Measure, and print a line per model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--models", nargs="+", default=list(STEPS), choices=list(STEPS))
    parser.add_argument("--seconds", type=float, default=20.0, help="for each model (default: %(default)s)")
    parser.add_argument("--inference", action="store_true", help="forward passes of one image instead of steps")
    parser.add_argument("--memory", action="store_true", help="memory instead of times")
    options = parser.parse_args()
    if options.memory:
        return print_memory(options.models, options.seconds)
    torch.set_num_threads(fc.get_num_threads())

    print(f"{fc.info()['isa']}, {fc.get_num_threads()} threads, torch {torch.__version__}; milliseconds")
    print(f"{'model':14} {'batch':>5} {'fastconv':>10} {'other':>10} {'ratio':>6}  the best of the others")
    ratios = []
    for name in tqdm(options.models, disable=None, leave=False):
        best = best_times(steps(name, options.inference), options.seconds)
        ours = best.pop("fastconv")
        layout, theirs = min(best.items(), key=lambda item: item[1])
        ratios.append(theirs / ours)
        batch = 1 if options.inference else STEPS[name][0]
        times = f"{ours * 1e3:10.2f} {theirs * 1e3:10.2f} {ratios[-1]:6.2f}"
        tqdm.write(f"{name:14} {batch:5} {times}  {layout}")
    print(f"geometric mean {math.exp(math.fsum(map(math.log, ratios)) / len(ratios)):.2f}")


if __name__ == "__main__":
    main()
