"""What tests share that train: a small model, a way to stop, when two runs are the same, models that have learnt."""

from __future__ import annotations

import csv
from functools import cache

import numpy as np

from fastconv import checkpoint, data, models, nn, optim, training
from fastconv.training import BEST, HISTORY, LAST


def make_noisy(*, seed, dtype, num_classes=10):
    """Return a small model with dropout and averages over batches, which a checkpoint must carry too."""
    rng = np.random.default_rng(seed)
    model = nn.Sequential(
        conv=nn.Conv2d(1, 4, 5, stride=2, seed=rng, dtype=dtype),
        norm=nn.BatchNorm(4, activation="relu", dtype=dtype),
        pool=nn.MaxPool2d(2),
        flatten=nn.Flatten(),
        dropout=nn.Dropout(0.2, seed=rng),
        fc=nn.Linear(196, num_classes, seed=rng, dtype=dtype),
    )
    model.input_shape = (32, 32, 1)
    return model


class StopAfter:
    """Ask to stop after so many steps."""

    def __init__(self, steps):
        self.left = steps

    def __call__(self):
        self.left -= 1
        return self.left == 0


def assert_same(one, other):
    """Two folders hold the same run: every bit of both checkpoints, and all of the history but the time."""
    for name in (BEST, LAST):
        (tensors, metadata), (others, other_metadata) = checkpoint.load(one / name), checkpoint.load(other / name)
        assert list(tensors) == list(others)
        for tensor, value in tensors.items():
            assert value.tobytes() == others[tensor].tobytes(), f"{name}: {tensor}"
        for document in (metadata, other_metadata):
            for result in document["history"]:
                del result["seconds"]
        assert metadata == other_metadata
    rows = [[row[:-1] for row in csv.reader((folder / HISTORY).read_text().splitlines())] for folder in (one, other)]
    assert rows[0] == rows[1]


def train_on_digits(model, learning_rate):
    """Give a model two short epochs of digits, and return it."""
    train, _ = data.digits()
    optimizer = optim.Adam(model, learning_rate=learning_rate)
    for epoch in range(2):
        for images, labels in data.batches(train[:800], batch_size=50, shuffle=True, seed=epoch):
            _, gradient = nn.cross_entropy(model(training.adapt(model, images)), labels)
            model.backward(gradient)
            optimizer.step()
    return model


@cache
def trained_on_digits(name):
    """Return a model of the zoo after two short epochs, which all tests share."""
    return train_on_digits(models.create(name), 2e-3)
