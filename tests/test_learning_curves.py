"""Training beside PyTorch, from the same weights on the same batches: the losses stay the same.

Rounding differs, and now and then decides which of two nearly equal values a pooling takes for its maximum; from there
on curves part, as those of PyTorch do with another number of threads. The seed is one where no such tie occurs.
"""

from __future__ import annotations

import numpy as np
import pytest

from fastconv import data, models, nn, optim

torch = pytest.importorskip("torch")

from fastconv.benchmark.torch_twin import torch_twin  # noqa: E402

STEPS, BATCH, LEARNING_RATE, MOMENTUM = 50, 32, 0.01, 0.9


def losses(model, inputs, labels):
    """The losses of all steps: ours, and PyTorch's."""
    twin = torch_twin(torch, model)
    ours = optim.SGD(model, learning_rate=LEARNING_RATE, momentum=MOMENTUM)
    theirs = torch.optim.SGD(twin.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM)
    found = []
    for step in range(len(labels) // BATCH):
        part = slice(step * BATCH, (step + 1) * BATCH)
        loss, gradient = nn.cross_entropy(model(inputs[part]), labels[part])
        model.backward(gradient, input_gradient=False)
        ours.step()
        theirs.zero_grad()
        images = torch.from_numpy(inputs[part]).permute(0, 3, 1, 2)
        other = torch.nn.functional.cross_entropy(twin(images), torch.from_numpy(labels[part]))
        other.backward()
        theirs.step()
        found.append((loss, other.item()))
    return np.array(found).T


def digits(dtype, size):
    train, _ = data.digits()
    images = data.pad_images(train.images[: STEPS * BATCH], size, size).astype(dtype)
    return images, train.labels[: STEPS * BATCH].astype(np.int64)


@pytest.mark.parametrize(("dtype", "near"), [(np.float32, 1e-3), (np.float64, 1e-9)])
def test_lenet_learns_as_in_pytorch(dtype, near):
    model = models.lenet5(seed=3, dtype=dtype)
    ours, theirs = losses(model, *digits(dtype, 32))
    assert ours[-10:].mean() < ours[:5].mean() / 2  # it learns
    np.testing.assert_allclose(ours, theirs, rtol=near)


def test_a_residual_network_learns_as_in_pytorch():
    model = models.small_resnet(depth=8, seed=1)
    images, labels = digits(np.float32, 32)
    ours, theirs = losses(model, images[: 20 * BATCH], labels[: 20 * BATCH])
    assert ours[-5:].mean() < ours[:3].mean()
    np.testing.assert_allclose(ours, theirs, rtol=1e-2)
