"""Pictures are PNG files that hold what they should; no display is needed."""

from __future__ import annotations

import io
import sys

import numpy as np
import pytest

from fastconv import data, visualize
from fastconv.training import EpochResult

pytest.importorskip("matplotlib")
pillow = pytest.importorskip("PIL.Image")

HISTORY = [EpochResult(epoch, 0.5 / epoch, 1 - 0.2 / epoch, 0.3 / epoch, 1 - 0.1 / epoch, 1.0) for epoch in range(1, 9)]


def pixels(png):
    return np.asarray(pillow.open(io.BytesIO(png), formats=["PNG"]).convert("RGB"))


def shows(picture, colour):
    return (np.abs(picture.astype(int) - colour).max(axis=-1) < 4).sum() > 30


@pytest.mark.parametrize("epochs", [1, 2, 8])
def test_learning_curves_show_training_and_test(epochs):
    picture = pixels(visualize.learning_curves(HISTORY[:epochs]))
    assert picture.shape[0] > 300 and picture.shape[1] > 800
    assert shows(picture, (0x8D, 0xA0, 0xCB)) and shows(picture, (0xD9, 0x5F, 0x02))


def test_learning_curves_bear_a_model_without_errors():
    visualize.learning_curves([EpochResult(epoch, 0.0, 1.0, 0.0, 1.0, 1.0) for epoch in (1, 2)])


@pytest.mark.parametrize("wrong", [0, 1, 9, 60])
def test_misclassified_digits_grow_with_their_number(wrong):
    _, test = data.digits()
    test = test[:80]
    probabilities = np.full((80, 10), 0.02)
    read = np.where(np.arange(80) < wrong, (test.labels + 1) % 10, test.labels)
    probabilities[np.arange(80), read] = 0.82
    picture = pixels(visualize.misclassified(test, probabilities))
    rows = min(max(-(-wrong // 8), 1), 5)
    assert picture.shape[0] == pytest.approx(120 * (1.35 * rows + 0.7), abs=1)
    assert (picture[120:].min() < 50) == (wrong > 0)


CONFUSION = np.array([[7, 0, 1], [2, 0, 4], [0, 0, 0]])


@pytest.mark.parametrize("classes", [(), ("cat", "dog", "a very long name")])
def test_a_confusion_matrix_is_drawn_darkest_where_a_row_is(classes):
    picture = pixels(visualize.confusion_matrix(CONFUSION, classes))
    assert min(picture.shape[:2]) > 300
    darkest = pixels(visualize.confusion_matrix(np.array([[1, 0], [0, 1]])))
    assert shows(darkest, (0x08, 0x30, 0x6B)) and not shows(picture, (0x08, 0x30, 0x6B))


def test_a_confusion_matrix_may_be_large_or_a_drawing():
    assert pixels(visualize.confusion_matrix(np.eye(200, dtype=np.int64))).shape[0] < 2000
    drawing = visualize.confusion_matrix(CONFUSION, ("cat", "dog", "cow"), format="svg").decode()
    assert drawing.startswith("<?xml") and "<svg" in drawing
    with pytest.raises(ValueError, match="confusion_matrix: format is 'jpg', expected 'png' or 'svg'"):
        visualize.confusion_matrix(CONFUSION, format="jpg")


def test_curves_and_misclassified_images_may_be_drawings():
    dataset = data.Dataset(np.full((1, 8, 8, 1), 128, np.uint8), np.array([1]))
    for draw in (
        lambda kind: visualize.learning_curves(HISTORY, format=kind),
        lambda kind: visualize.misclassified(dataset, np.array([[0.9, 0.1]]), format=kind),
    ):
        assert draw("svg").decode().rstrip().endswith("</svg>")
        with pytest.raises(ValueError, match="format is 'jpg', expected 'png' or 'svg'"):
            draw("jpg")


def test_misclassified_images_bear_the_names_of_their_classes():
    dataset = data.Dataset(np.full((1, 8, 8, 3), 128, np.uint8), np.array([1]), ("cat", "dog"))
    named = pixels(visualize.misclassified(dataset, np.array([[0.9, 0.1]])))
    unnamed = pixels(visualize.misclassified(data.Dataset(*dataset.arrays()), np.array([[0.9, 0.1]])))
    assert named.shape == unnamed.shape and not np.array_equal(named, unnamed)


def test_the_same_picture_has_the_same_bytes():
    for kind in ("png", "svg"):
        assert len({visualize.confusion_matrix(CONFUSION, format=kind) for _ in range(2)}) == 1


def test_drawing_needs_no_global_state_of_matplotlib():
    visualize.learning_curves(HISTORY)
    assert "matplotlib.pyplot" not in sys.modules
